#include "kube/cluster_autoscaler_expander.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace kisim {

namespace {

constexpr int64_t kMebibyte = 1 << 20;
constexpr int64_t kStabilizationCpu = 500, kStabilizationMemory = 500 * kMebibyte;
// Of nodes with GPUs, so that they are bought for nothing but GPUs.
constexpr double kGpuUnfitness = 1000;

int64_t capacity(const Node& node, const char* resource) {
  for (const auto& [name, amount] : node.capacity)
    if (name == resource) return amount;
  return 0;
}

// SimplePreferredNodeProvider: milli-CPU of a node that suits a cluster of that size.
double preferred_cpu(size_t nodes) {
  if (nodes <= 2) return 1000;
  if (nodes <= 6) return 2000;
  if (nodes <= 20) return 4000;
  if (nodes <= 60) return 8000;
  return nodes <= 200 ? 16000 : 32000;
}

// x >= 0.
double tanh(double x) { return 1 - 2 / (math::exp(2 * x) + 1); }

// Those with the smallest value, in their order.
template <class Value>
std::vector<size_t> smallest(const std::vector<size_t>& left, Value&& value) {
  std::vector<size_t> out;
  auto best = value(left.front());
  for (size_t i : left) {
    auto v = value(i);
    if (!out.empty() && v < best) out.clear();
    if (out.empty()) best = v;
    if (v == best || out.empty()) out.push_back(i);
  }
  return out;
}

constexpr ExpanderDoc kDocs[] = {
    {ClusterAutoscalerModel::Expander::Random, "random", "one group, each equally likely"},
    {ClusterAutoscalerModel::Expander::MostPods, "most-pods", "the group whose new nodes take the most pods"},
    {ClusterAutoscalerModel::Expander::LeastWaste, "least-waste",
     "the smallest idle share of cpu plus idle share of memory of the new nodes"},
    {ClusterAutoscalerModel::Expander::LeastNodes, "least-nodes", "the fewest new nodes"},
    {ClusterAutoscalerModel::Expander::Price, "price",
     "the cheapest nodes for what their pods would cost, of a size that suits the cluster"},
    {ClusterAutoscalerModel::Expander::Priority, "priority", "the groups of the highest priority"},
};

}  // namespace

std::span<const ExpanderDoc> expander_docs() { return kDocs; }

size_t Expander::best_option(std::span<const ExpansionOption> options, Stream& stream) const {
  std::vector<size_t> left(options.size());
  std::iota(left.begin(), left.end(), size_t{0});
  for (Kind kind : model_.expanders) {
    left = best_options(kind, options, std::move(left), stream);
    if (left.size() == 1) return left.front();
  }
  return left[stream.below(static_cast<uint32_t>(left.size()))];
}

std::vector<size_t> Expander::best_options(Kind kind, std::span<const ExpansionOption> options,
                                           std::vector<size_t> left, Stream& stream) const {
  switch (kind) {
    case Kind::Random:
      return {left[stream.below(static_cast<uint32_t>(left.size()))]};
    case Kind::MostPods:
      return smallest(left, [&](size_t i) { return -static_cast<int64_t>(options[i].pods.size()); });
    case Kind::LeastWaste:
      return smallest(left, [&](size_t i) { return waste(options[i]); });
    case Kind::LeastNodes:
      return smallest(left, [&](size_t i) { return options[i].node_count; });
    case Kind::Price:
      return smallest(left, [&](size_t i) { return price_score(options[i]); });
    case Kind::Priority:
      return smallest(left, [&](size_t i) { return -int64_t{model_.groups[options[i].group].priority}; });
  }
  return left;
}

double Expander::waste(const ExpansionOption& option) const {
  int64_t cpu = 0, memory = 0;
  for (TemplateId pod : option.pods) {
    cpu += cluster_.templates[pod].request[kCpu.value];
    memory += cluster_.templates[pod].request[kMemory.value];
  }
  const Node& node = node_of(option.group).object;
  int64_t all_cpu = capacity(node, "cpu") * option.node_count,
          all_memory = capacity(node, "memory") * option.node_count;
  return static_cast<double>(all_cpu - cpu) / static_cast<double>(all_cpu) +
         static_cast<double>(all_memory - memory) / static_cast<double>(all_memory);
}

double Expander::pod_price(std::span<const int64_t> request) const {
  double cheapest = std::numeric_limits<double>::infinity();
  for (size_t g = 0; g < model_.groups.size(); ++g) {
    double share = 0;
    for (size_t r = 0; r < request.size(); ++r)
      if (request[r] > 0 && r != kPods.value)
        share = std::max(share, static_cast<double>(request[r]) / static_cast<double>(node_of(g).allocatable[r]));
    if (share <= 1) cheapest = std::min(cheapest, share * model_.groups[g].price);
  }
  return cheapest == std::numeric_limits<double>::infinity() ? 0 : cheapest;
}

double Expander::price_score(const ExpansionOption& option) const {
  std::vector<int64_t> stabilization(cluster_.resource_count());
  stabilization[kCpu.value] = kStabilizationCpu;
  stabilization[kMemory.value] = kStabilizationMemory;
  double steady = pod_price(stabilization), pods = 0;
  for (TemplateId pod : option.pods) pods += pod_price(cluster_.templates[pod].request);
  double nodes = model_.groups[option.group].price * option.node_count;
  double score = (nodes + steady) / (pods + steady);
  const NodeModel& node = node_of(option.group);
  if (node.gpus > 0) return kGpuUnfitness * score;
  double cpu = static_cast<double>(capacity(node.object, "cpu")), wanted = preferred_cpu(cluster_nodes_);
  double unfitness = std::max(wanted / cpu, cpu / wanted);
  return ((unfitness - 1.0) * (1.0 - tanh((option.node_count - 1) / 15.0)) + 1.0) * score;
}

}  // namespace kisim
