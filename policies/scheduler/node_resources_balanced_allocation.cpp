#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "resource_weights.hpp"

#include <cmath>

namespace kisim {
namespace {

struct BalanceData : PluginData {
  std::vector<WeighedResource> resources;
  bool scores_change = true;  // Kubernetes 1.36 and later
};

// How evenly the shares of the resources are used: 100 minus their standard deviation in per cent, truncated
// (plugins/noderesources/balanced_allocation.go). Two passes over the resources, so that no shares need storing.
template <class Share>
int64_t balance(const std::vector<WeighedResource>& resources, Share&& share) {
  double total = 0, first = 0, second = 0;
  int count = 0;
  for (const WeighedResource& r : resources) {
    double f = share(r);
    if (f < 0) continue;
    first = count == 0 ? f : first;
    second = f;
    total += f;
    ++count;
  }
  double deviation = 0;
  if (count == 2) {
    deviation = std::fabs((first - second) / 2);
  } else if (count > 2) {
    double mean = total / count, sum = 0;
    for (const WeighedResource& r : resources) {
      double f = share(r);
      if (f >= 0) sum += (f - mean) * (f - mean);
    }
    deviation = std::sqrt(sum / count);
  }
  return static_cast<int64_t>((1 - deviation) * static_cast<double>(kMaxNodeScore));
}

class NodeResourcesBalancedAllocation : public SchedulerPlugin {
 public:
  explicit NodeResourcesBalancedAllocation(NodeResourcesBalancedAllocationArgs args) : args_(std::move(args)) {}

  ExtensionPoints points() const override { return {ExtensionPoint::PreScore, ExtensionPoint::Score}; }
  Reads score_reads() const override { return Reads::NodePods; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<BalanceData>();
    data->resources = resolve(args_.resources, p.model);
    data->scores_change = p.kubernetes_minor >= 36;
    return data;
  }

  // A pod that requests none of the resources cannot change their balance.
  StatusCode pre_score(PluginContext& c, std::span<const NodeId>) const override {
    for (const WeighedResource& r : c.data_as<BalanceData>().resources)
      if (c.model.request[r.id.value] > 0) return StatusCode::Success;
    return StatusCode::Skip;
  }

  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    const BalanceData& data = c.data_as<BalanceData>();
    const int64_t* own = c.model.request.data();
    const NodeRows rows(c.cluster);
    for (size_t i = 0; i < nodes.size(); ++i) {
      const int64_t *allocatable = rows.allocatable(nodes[i]), *requested = rows.requested(nodes[i]);
      // The used share of a resource, negative where it does not count.
      auto share = [&](const WeighedResource& r, bool with_pod) {
        int64_t capacity = allocatable[r.id.value], request = own[r.id.value];
        if (capacity == 0 || (r.scalar && request == 0)) return -1.0;
        int64_t used = requested[r.id.value] + (with_pod ? request : 0);
        return std::min(1.0, static_cast<double>(used) / static_cast<double>(capacity));
      };
      int64_t with = balance(data.resources, [&](const WeighedResource& r) { return share(r, true); });
      if (!data.scores_change) {
        scores[i] = with;
        continue;
      }
      int64_t without = balance(data.resources, [&](const WeighedResource& r) { return share(r, false); });
      scores[i] = 50 + (50 + with - without) / 2;
    }
  }

 private:
  NodeResourcesBalancedAllocationArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "NodeResourcesBalancedAllocation", "nodes whose resources are used evenly", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeResourcesBalancedAllocation>(
                   params.args<NodeResourcesBalancedAllocationArgs>());
             });

}  // namespace
}  // namespace kisim
