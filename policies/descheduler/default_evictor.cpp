#include "node_fit.hpp"
#include "policy/descheduler.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <optional>

namespace kisim {
namespace {

using Protection = PodProtection;

class DefaultEvictorFilter : public EvictorFilter {
 public:
  DefaultEvictorFilter(const DefaultEvictorArgs& args, const DeschedulerView& view) : args_(args), view_(view) {
    for (size_t t = 0; t < view.model().templates.size(); ++t) {
      kept_.push_back(template_reason(TemplateId(t)));
      admitted_.push_back(admits_namespace(view.model().templates[TemplateId(t)].namespace_));
    }
    if (args.node_fit) fitting_.emplace(view, view.ready_nodes(args.node_selector));
  }

  // The first reason, in the order in which upstream looks.
  KeepReason filter(ViewPodId pod) override {
    const DeschedulerTemplate& facts = view_.facts(pod);
    if (facts.evict) return {};
    if (facts.prefer_no_eviction && args_.no_eviction_policy == DefaultEvictorArgs::NoEvictionPolicy::Mandatory)
      return "annotated as not to be evicted";
    if (view_.pod(pod).terminating) return "is terminating";
    if (KeepReason kept = kept_[view_.pod(pod).pod_template.value]; !kept.empty()) return kept;
    return pod_reason(pod);
  }

  KeepReason pre_eviction_filter(ViewPodId pod) override {
    if (fitting_ && !fitting_->any_other(pod)) return "fits no other node";
    return admitted_[view_.pod(pod).pod_template.value] ? KeepReason() : "namespace is not selected";
  }

 private:
  bool protects(Protection protection) const { return args_.protects(protection); }

  KeepReason template_reason(TemplateId id) const {
    const DeschedulerTemplate& facts = view_.facts(id);
    if (facts.mirror) return "is a mirror pod";
    if (facts.is_static) return "is a static pod";
    if (protects(Protection::SystemCriticalPods) && facts.priority) {
      if (*facts.priority >= kSystemCriticalPriority) return "has system-critical priority";
      if (*facts.priority >= args_.priority_threshold) return "priority is not below the threshold";
    }
    if (protects(Protection::FailedBarePods) && facts.owners.empty()) return "has no owner";
    if (protects(Protection::PodsWithLocalStorage) && facts.local_storage) return "has local storage";
    if (protects(Protection::DaemonSetPods) && is_of_daemon_set(facts)) return "belongs to a DaemonSet";
    if (protects(Protection::PodsWithPVC) && has_protected_volume(facts)) return "has a persistent volume";
    if (protects(Protection::PodsWithoutPDB) && !has_budget(id)) return "has no PodDisruptionBudget";
    if (protects(Protection::PodsWithResourceClaims) && facts.resource_claims) return "has resource claims";
    if (!args_.label_selector.matches(view_.model().templates[id].labels)) return "labels are not selected";
    return {};
  }

  KeepReason pod_reason(ViewPodId id) const {
    const DeschedulerTemplate& facts = view_.facts(id);
    const DeschedulerPod& pod = view_.pod(id);
    if (facts.owners.empty() && pod.phase != DeschedulerPod::Phase::Failed) return "has no owner and has not failed";
    // Pods of several owners are not asked.
    if (args_.min_replicas > 1 && facts.owners.size() == 1 &&
        static_cast<uint64_t>(view_.pods_of_owner(facts.owners[0].uid)) < args_.min_replicas)
      return "owner has fewer pods than minReplicas";
    if (args_.min_pod_age && (!pod.start_time || view_.now() - *pod.start_time < *args_.min_pod_age))
      return "is younger than minPodAge";
    return {};
  }

  static bool is_of_daemon_set(const DeschedulerTemplate& facts) {
    return std::any_of(facts.owners.begin(), facts.owners.end(),
                       [](const OwnerReference& owner) { return owner.kind == "DaemonSet"; });
  }

  // With classes named: only their volumes count, and those whose class cannot be found out.
  bool has_protected_volume(const DeschedulerTemplate& facts) const {
    if (!facts.persistent_volumes) return false;
    const std::vector<std::string>& wanted = args_.protected_storage_classes;
    if (wanted.empty() || !facts.storage_classes) return true;
    return std::any_of(facts.storage_classes->begin(), facts.storage_classes->end(), [&](const std::string& name) {
      return std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    });
  }

  bool has_budget(TemplateId id) const {
    const auto& budgets = view_.model().budgets;
    return std::any_of(budgets.begin(), budgets.end(),
                       [&](const PodDisruptionBudgetModel& budget) { return budget.covers[id.value] != 0; });
  }

  // A namespace without an object has no labels to match.
  bool admits_namespace(const std::string& name) const {
    if (args_.namespace_label_selector.requirements.empty()) return true;
    auto found = view_.model().namespaces.find(name);
    return found != view_.model().namespaces.end() && args_.namespace_label_selector.matches(found->second);
  }

  const DefaultEvictorArgs& args_;
  const DeschedulerView& view_;
  std::vector<KeepReason> kept_;   // by TemplateId
  std::vector<uint8_t> admitted_;  // by TemplateId: its namespace
  std::optional<FittingNodes> fitting_;
};

// pkg/framework/plugins/defaultevictor/{defaultevictor,constraints}.go. PodsWithoutPDB does what it is documented to
// do: at the commit that this follows (7d2b28b), it asks a lister that is never filled, and would keep every pod.
class DefaultEvictor : public DeschedulerPlugin {
 public:
  explicit DefaultEvictor(DefaultEvictorArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.evictor = true}; }
  std::unique_ptr<EvictorFilter> evictor(const DeschedulerView& view) const override {
    return std::make_unique<DefaultEvictorFilter>(args_, view);
  }

 private:
  DefaultEvictorArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "DefaultEvictor", "which pods may be evicted at all", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<DefaultEvictor>(params.args<DefaultEvictorArgs>());
             });

}  // namespace
}  // namespace kisim
