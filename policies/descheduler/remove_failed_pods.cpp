#include "pod_selection.hpp"
#include "policy/registry.hpp"
#include "status_reasons.hpp"

#include <fmt/format.h>

namespace kisim {
namespace {

// pkg/framework/plugins/removefailedpods/failedpods.go
class RemoveFailedPods : public DeschedulerPlugin {
 public:
  explicit RemoveFailedPods(RemoveFailedPodsArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    for (NodeId node : handle.nodes)
      for (ViewPodId pod : handle.view.pods_on(node)) {
        if (handle.view.pod(pod).phase != DeschedulerPod::Phase::Failed) continue;
        if (!selected[handle.view.pod(pod).pod_template.value]) continue;
        KeepReason kept = reason_to_keep(handle.view, pod);
        if (!kept.empty()) handle.keep(pod, kept);
        if (!kept.empty() || !evictable(handle, pod)) continue;
        int64_t age = seconds_since(handle.view.pod(pod).created, handle.view.now());
        DeschedulerResult result = handle.evict(pod, fmt::format("has failed and is {} s old", age));
        if (result == DeschedulerResult::TotalLimit) return;
        if (result == DeschedulerResult::NodeLimit) break;
      }
  }

 private:
  KeepReason reason_to_keep(const DeschedulerView& view, ViewPodId id) const {
    const DeschedulerPod& pod = view.pod(id);
    if (seconds_since(pod.created, view.now()) < static_cast<int64_t>(args_.min_pod_lifetime_seconds))
      return "is younger than minPodLifetimeSeconds";
    for (const OwnerReference& owner : view.facts(id).owners)
      if (contains(args_.exclude_owner_kinds, owner.kind)) return "ownerKinds are excluded";
    bool init = args_.including_init_containers;
    bool has_reason = (!pod.reason.empty() && contains(args_.reasons, pod.reason)) ||
                      waits_for_any(pod, args_.reasons, init, false) ||
                      terminated_for_any(pod, args_.reasons, init, false);
    if (!args_.reasons.empty() && !has_reason) return "failed for none of the reasons";
    if (!args_.exit_codes.empty() && !exited_with_any(pod, args_.exit_codes, init))
      return "exited with none of the exitCodes";
    return {};
  }

  RemoveFailedPodsArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemoveFailedPods", "no pod that has failed a while ago", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemoveFailedPods>(params.args<RemoveFailedPodsArgs>());
             });

}  // namespace
}  // namespace kisim
