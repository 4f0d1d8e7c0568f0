#include "pod_selection.hpp"
#include "policy/registry.hpp"
#include "status_reasons.hpp"

#include <fmt/format.h>

namespace kisim {
namespace {

// pkg/framework/plugins/removepodshavingtoomanyrestarts/toomanyrestarts.go. Pods that have ended are looked at, too.
class RemovePodsHavingTooManyRestarts : public DeschedulerPlugin {
 public:
  explicit RemovePodsHavingTooManyRestarts(RemovePodsHavingTooManyRestartsArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    for (NodeId node : handle.nodes) {
      std::vector<ViewPodId> pods;
      for (ViewPodId pod : handle.view.pods_on(node))
        if (selected[handle.view.pod(pod).pod_template.value] && matches(handle, pod) && evictable(handle, pod))
          pods.push_back(pod);
      std::stable_sort(pods.begin(), pods.end(), [&](ViewPodId a, ViewPodId b) {
        return restarts(handle.view.pod(a)) > restarts(handle.view.pod(b));
      });
      for (ViewPodId pod : pods) {
        DeschedulerResult result =
            handle.evict(pod, fmt::format("{} restarts, the threshold is {}", restarts(handle.view.pod(pod)),
                                          args_.pod_restart_threshold));
        if (result == DeschedulerResult::TotalLimit) return;
        if (result == DeschedulerResult::NodeLimit) break;
      }
    }
  }

 private:
  int32_t restarts(const DeschedulerPod& pod) const {
    return pod.restarts + (args_.including_init_containers ? pod.init_restarts : 0);
  }

  bool matches(DeschedulerHandle& handle, ViewPodId id) const {
    const DeschedulerPod& pod = handle.view.pod(id);
    bool enough = restarts(pod) >= args_.pod_restart_threshold;
    bool in_state = args_.states.empty() || contains(args_.states, std::string(to_string(pod.phase))) ||
                    waits_for_any(pod, args_.states, args_.including_init_containers, false);
    if (!enough) handle.keep(id, "has fewer restarts than the threshold");
    if (enough && !in_state) handle.keep(id, "is in none of the states");
    return enough && in_state;
  }

  RemovePodsHavingTooManyRestartsArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemovePodsHavingTooManyRestarts", "no pod that restarted too often", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemovePodsHavingTooManyRestarts>(
                   params.args<RemovePodsHavingTooManyRestartsArgs>());
             });

}  // namespace
}  // namespace kisim
