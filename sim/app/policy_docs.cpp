#include "policy_docs.hpp"

#include "kube/cluster_autoscaler_expander.hpp"
#include "kube/scheduler_model.hpp"
#include "policy/agent.hpp"
#include "policy/autoscaler.hpp"
#include "policy/descheduler.hpp"
#include "policy/interference.hpp"
#include "policy/mig.hpp"
#include "policy/registry.hpp"
#include "policy/router.hpp"
#include "policy/scheduler.hpp"

namespace kisim::app {

namespace {

template <class Role>
void add_role(const char* role, std::vector<PolicyDoc>& out) {
  for (const auto& [name, entry] : Registry<Role>::instance().entries())
    out.push_back({role, name, entry.doc, entry.params});
}

}  // namespace

std::vector<PolicyDoc> policy_docs() {
  std::vector<PolicyDoc> out;
  add_role<Autoscaler>("autoscaler", out);
  add_role<Router>("router", out);
  add_role<Interference>("interference", out);
  out.push_back(
      {"scheduler", "kube", "kube-scheduler, with the profiles of schedulerConfiguration", scheduler_params()});
  add_role<SchedulerPlugin>("scheduler plugin", out);
  add_role<DeschedulerPlugin>("descheduler plugin", out);
  add_role<MigPolicy>("mig", out);
  add_role<AgentCoding>("agent", out);
  for (const ExpanderDoc& expander : expander_docs())
    out.push_back({"cluster-autoscaler expander", expander.name, expander.doc, {}});
  return out;
}

}  // namespace kisim::app
