#include "cluster/node_selector.hpp"
#include "node_fit.hpp"
#include "pod_selection.hpp"
#include "policy/registry.hpp"

#include <fmt/format.h>

#include <optional>

namespace kisim {
namespace {

using Type = NodeAffinityType;

int32_t preference(const PodSpec& spec, const Node& node) {
  int32_t sum = 0;
  for (const PreferredSchedulingTerm& term : spec.preferred_node_affinity)
    if (matches(term.preference, node)) sum += term.weight;
  return sum;
}

// pkg/framework/plugins/removepodsviolatingnodeaffinity/node_affinity.go
class RemovePodsViolatingNodeAffinity : public DeschedulerPlugin {
 public:
  explicit RemovePodsViolatingNodeAffinity(RemovePodsViolatingNodeAffinityArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    FittingNodes fitting(handle.view, {handle.nodes.begin(), handle.nodes.end()});
    std::vector<std::optional<int32_t>> best(selected.size());
    for (Type type : args_.node_affinity_type)
      for (NodeId node : handle.nodes)
        for (ViewPodId pod : handle.view.active_pods_on(node)) {
          if (!selected[handle.view.pod(pod).pod_template.value]) continue;
          std::string broken = type == Type::RequiredDuringSchedulingIgnoredDuringExecution
                                   ? broken_requirement(handle, pod, node)
                                   : better_node(handle, pod, node, best);
          if (broken.empty() || !evictable(handle, pod)) continue;
          if (!fitting.any(pod)) {
            handle.keep(pod, "fits no node");
            continue;
          }
          DeschedulerResult result = handle.evict(pod, std::move(broken));
          if (result == DeschedulerResult::TotalLimit) return;
          if (result == DeschedulerResult::NodeLimit) break;
        }
  }

 private:
  // Empty: the node is what the pod asks for. A nodeSelector alone is not looked at.
  static std::string broken_requirement(DeschedulerHandle& handle, ViewPodId pod, NodeId node) {
    const PodSpec& spec = handle.view.template_of(pod).spec;
    if (!spec.required_node_affinity) return {};
    if (!matches_required(spec, handle.view.object(node))) return "required node affinity does not match the node";
    handle.keep(pod, "required node affinity matches the node");
    return {};
  }

  // Empty: no node is preferred to its own. `best` keeps the weight of the best node by template.
  static std::string better_node(DeschedulerHandle& handle, ViewPodId pod, NodeId node,
                                 std::vector<std::optional<int32_t>>& best) {
    const PodSpec& spec = handle.view.template_of(pod).spec;
    if (spec.preferred_node_affinity.empty()) return {};
    std::optional<int32_t>& most = best[handle.view.pod(pod).pod_template.value];
    if (!most) {
      most = 0;
      for (NodeId other : handle.nodes) most = std::max(*most, preference(spec, handle.view.object(other)));
    }
    int32_t own = preference(spec, handle.view.object(node));
    if (*most > own) return fmt::format("prefers another node: weight {}, here {}", *most, own);
    handle.keep(pod, "no node is preferred to its own");
    return {};
  }

  RemovePodsViolatingNodeAffinityArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemovePodsViolatingNodeAffinity",
             "no pod on a node that its node affinity no longer admits, or likes less than another", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemovePodsViolatingNodeAffinity>(
                   params.args<RemovePodsViolatingNodeAffinityArgs>());
             });

}  // namespace
}  // namespace kisim
