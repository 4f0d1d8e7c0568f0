#include "policy_docs.hpp"

#include "kube/scheduler_model.hpp"
#include "policy/autoscaler.hpp"
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
  out.push_back(
      {"scheduler", "kube", "kube-scheduler, with the profiles of schedulerConfiguration", scheduler_params()});
  add_role<SchedulerPlugin>("scheduler plugin", out);
  return out;
}

}  // namespace kisim::app
