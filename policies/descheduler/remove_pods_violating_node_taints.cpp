#include "node_fit.hpp"
#include "pod_selection.hpp"
#include "policy/registry.hpp"

#include <fmt/format.h>

namespace kisim {
namespace {

bool named(const std::vector<std::string>& list, const Taint& taint) {
  return contains(list, taint.key) || (!taint.value.empty() && contains(list, taint.key + "=" + taint.value));
}

// pkg/framework/plugins/removepodsviolatingnodetaints/node_taint.go. NoExecute is the node lifecycle controller's.
class RemovePodsViolatingNodeTaints : public DeschedulerPlugin {
 public:
  explicit RemovePodsViolatingNodeTaints(RemovePodsViolatingNodeTaintsArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    for (NodeId node : handle.nodes) {
      std::vector<Taint> taints;
      for (const Taint& taint : handle.view.node(node).taints)
        if (counts(taint)) taints.push_back(taint);
      if (taints.empty()) continue;
      for (ViewPodId pod : handle.view.active_pods_on(node)) {
        if (!selected[handle.view.pod(pod).pod_template.value]) continue;
        const Taint* broken = first_untolerated(handle.view.template_of(pod).spec, taints);
        if (!broken) handle.keep(pod, "tolerates the node's taints");
        if (!broken || !evictable(handle, pod)) continue;
        DeschedulerResult result = handle.evict(pod, text(*broken));
        if (result == DeschedulerResult::TotalLimit) return;
        if (result == DeschedulerResult::NodeLimit) break;
      }
    }
  }

 private:
  bool counts(const Taint& taint) const {
    bool effective = taint.effect == TaintEffect::NoSchedule ||
                     (args_.include_prefer_no_schedule && taint.effect == TaintEffect::PreferNoSchedule);
    return effective && !named(args_.excluded_taints, taint) &&
           (!args_.included_taints || named(*args_.included_taints, taint));
  }

  static const Taint* first_untolerated(const PodSpec& spec, const std::vector<Taint>& taints) {
    for (const Taint& taint : taints)
      if (!tolerated(spec, taint)) return &taint;
    return nullptr;
  }

  static std::string text(const Taint& taint) {
    return fmt::format("does not tolerate the taint {}{}{}:{}", taint.key, taint.value.empty() ? "" : "=", taint.value,
                       taint.effect == TaintEffect::NoSchedule ? "NoSchedule" : "PreferNoSchedule");
  }

  RemovePodsViolatingNodeTaintsArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemovePodsViolatingNodeTaints", "no pod on a node with taints it does not tolerate",
             {}, [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemovePodsViolatingNodeTaints>(params.args<RemovePodsViolatingNodeTaintsArgs>());
             });

}  // namespace
}  // namespace kisim
