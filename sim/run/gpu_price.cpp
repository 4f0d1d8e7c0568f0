#include "run/gpu_price.hpp"

#include <algorithm>
#include <optional>

namespace kisim {

double gpu_price(const Model& model, GpuModelId gpu, Time at) {
  if (!model.accounts.priced) return 1;
  return gpu.valid() ? model.accounts.price[gpu].at(at) : 0;
}

PriceRange gpu_prices(const Model& model, WorkloadId workload, Time at) {
  const PodTemplateModel& pods = model.cluster.templates[model.cluster.workloads[workload].pod_template];
  std::optional<PriceRange> range;
  for (const NodeModel& node : model.cluster.nodes) {
    auto has = [&](const auto& label) {
      const Labels& labels = node.object.meta.labels;
      return std::find(labels.begin(), labels.end(), label) != labels.end();
    };
    const bool admitted = std::all_of(pods.spec.node_selector.begin(), pods.spec.node_selector.end(), has);
    if (!admitted || !node.gpu_model.valid()) continue;
    const double price = gpu_price(model, node.gpu_model, at);
    range = range ? PriceRange{std::min(range->least, price), std::max(range->most, price)} : PriceRange{price, price};
  }
  return range.value_or(PriceRange{});
}

}  // namespace kisim
