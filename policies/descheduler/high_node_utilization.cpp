#include "node_utilization.hpp"
#include "policy/registry.hpp"

#include <fmt/format.h>

namespace kisim {
namespace {

constexpr double kWhole = 100;  // destinations may be filled up

ResourceThresholds whole(ResourceThresholds thresholds) {
  for (auto& [name, percent] : thresholds) percent = kWhole;
  return thresholds;
}

// pkg/framework/plugins/nodeutilization/highnodeutilization.go
class HighNodeUtilization : public DeschedulerPlugin {
 public:
  explicit HighNodeUtilization(HighNodeUtilizationArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.balance = true}; }

  void balance(DeschedulerHandle& handle) const override {
    NodeUtilizationCycle utilization(handle, args_.thresholds, whole(args_.thresholds), true);
    utilization.read(std::nullopt);
    std::vector<NodeUse> under, others;
    for (const NodeUse& use : utilization.nodes())
      if (utilization.is_below(use))
        under.push_back(use);
      else if (!handle.view.node(use.node).unschedulable)
        others.push_back(use);
    if (!acts(under.size(), handle.nodes.size()) || others.empty()) return;

    NodeUtilizationCycle::sort_by_usage(under, true);
    utilization.evict({.sources = under,
                       .destinations = others,
                       .exclude_namespaces = args_.exclude_namespaces,
                       .down_to_target = false,
                       .node_limit = std::nullopt,
                       .is_wanted = [&](ViewPodId pod) { return is_wanted(handle.view.template_of(pod).spec); },
                       .reason = [&](const NodeUse& use) { return text(utilization, use); }});
  }

 private:
  bool acts(size_t under, size_t nodes) const {
    return under > 0 && static_cast<int64_t>(under) > args_.number_of_nodes && under < nodes;
  }

  // OnlyThresholdingResources: a container names one of the resources among its requests.
  bool is_wanted(const PodSpec& spec) const {
    if (!args_.only_thresholding_resources) return true;
    for (const std::vector<Container>* list : {&spec.containers, &spec.init_containers})
      for (const Container& c : *list)
        for (const auto& [resource, amount] : c.requests)
          if (has_threshold(resource)) return true;
    return false;
  }

  bool has_threshold(const std::string& resource) const {
    return std::any_of(args_.thresholds.begin(), args_.thresholds.end(),
                       [&](const auto& threshold) { return threshold.first == resource; });
  }

  // The usage before the cycle: what leads to the node's being emptied.
  static std::string text(const NodeUtilizationCycle& utilization, const NodeUse& use) {
    for (size_t c = 0; c < utilization.columns().size(); ++c)
      if (const UtilizationColumn& column = utilization.columns()[c]; column.low)
        return fmt::format("node is underutilized: {} {:.1f} %, threshold {:.1f} %", column.name,
                           use.percent[c].value_or(0), *column.low);
    return "node is underutilized";
  }

  HighNodeUtilizationArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "HighNodeUtilization", "pods leave underutilized nodes, so that fewer are needed", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<HighNodeUtilization>(params.args<HighNodeUtilizationArgs>());
             });

}  // namespace
}  // namespace kisim
