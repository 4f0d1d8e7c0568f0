#include "node_utilization.hpp"
#include "policy/registry.hpp"

namespace kisim {
namespace {

// pkg/framework/plugins/nodeutilization/lownodeutilization.go
class LowNodeUtilization : public DeschedulerPlugin {
 public:
  explicit LowNodeUtilization(LowNodeUtilizationArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.balance = true}; }

  void balance(DeschedulerHandle& handle) const override {
    bool prometheus =
        args_.metrics_utilization && args_.metrics_utilization->source == MetricsUtilization::Source::Prometheus;
    NodeUtilizationCycle utilization(handle, args_.thresholds, args_.target_thresholds, !prometheus);
    if (!utilization.read(args_.metrics_utilization)) return;
    if (args_.use_deviation_thresholds) utilization.center();

    std::vector<NodeUse> under, over;
    for (const NodeUse& use : utilization.nodes())
      if (!handle.view.node(use.node).unschedulable && utilization.is_below(use))
        under.push_back(use);
      else if (utilization.is_above(use))
        over.push_back(use);
    if (!acts(under.size(), handle.nodes.size()) || over.empty()) return;

    NodeUtilizationCycle::sort_by_usage(over, false);
    utilization.evict({.sources = over,
                       .destinations = under,
                       .exclude_namespaces = args_.exclude_namespaces,
                       .down_to_target = true,
                       .node_limit = args_.node_limit,
                       .is_wanted = [](ViewPodId) { return true; },
                       .reason = [&](const NodeUse& use) { return utilization.above_target(use); }});
  }

 private:
  bool acts(size_t under, size_t nodes) const {
    return under > 0 && static_cast<int64_t>(under) > args_.number_of_nodes && under < nodes;
  }

  LowNodeUtilizationArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "LowNodeUtilization", "pods move from overutilized to underutilized nodes", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<LowNodeUtilization>(params.args<LowNodeUtilizationArgs>());
             });

}  // namespace
}  // namespace kisim
