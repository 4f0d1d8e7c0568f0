#include "gpu_fragmentation.hpp"

#include "gpu_devices.hpp"

#include <cmath>
#include <tuple>

namespace kisim {

namespace {

using TypicalPod = FgdArgs::TypicalPod;

// Shares of typical pods that were given are counted in this many parts.
constexpr double kParts = 1e9;

constexpr int64_t kFrequentPercent = 95;

auto key(const TypicalPod& pod) { return std::tie(pod.milli_cpu, pod.gpu_milli, pod.gpu_count, pod.gpu_products); }

TypicalPod typical(const PodTemplateModel& pod) {
  GpuRequest gpus = gpu_request(pod);
  TypicalPod out{pod.request[kCpu.value], gpus.milli, gpus.count, pod.gpu_products, 0};
  std::sort(out.gpu_products.begin(), out.gpu_products.end());
  return out;
}

bool accepts(const TypicalPod& pod, const std::string& product) {
  return pod.gpu_milli > 0 && (pod.gpu_products.empty() || std::find(pod.gpu_products.begin(), pod.gpu_products.end(),
                                                                     product) != pod.gpu_products.end());
}

}  // namespace

GpuFragmentation::GpuFragmentation(const ClusterModel& model, const FgdArgs& args) {
  TypicalPods pods;
  double sum = 0;
  for (const TypicalPod& pod : args.typical_pods) sum += pod.share;
  for (const TypicalPod& pod : args.typical_pods) pods.emplace_back(pod, std::llround(pod.share / sum * kParts));
  if (pods.empty()) pods = frequent_pods(model);

  typical_ = pods.size();
  int64_t weight = 0;
  for (const auto& [pod, share] : pods) weight += share;
  weight_ = std::max<int64_t>(weight, 1);

  std::sort(pods.begin(), pods.end(), [](const auto& a, const auto& b) {
    auto order = [](const TypicalPod& p) { return std::tie(p.gpu_milli, p.gpu_count, p.milli_cpu, p.gpu_products); };
    return order(a.first) < order(b.first);
  });
  std::map<std::string, uint32_t> products;
  for (const NodeModel& node : model.nodes) {
    std::string product = gpu_product(node.object);
    auto [at, is_new] = products.emplace(product, static_cast<uint32_t>(shapes_.size()));
    if (is_new) add_product(product, pods);
    product_.push_back(at->second);
  }
}

GpuFragmentation::TypicalPods GpuFragmentation::frequent_pods(const ClusterModel& model) {
  TypicalPods pods;
  int64_t total = 0;
  for (const WorkloadModel& workload : model.workloads) {
    pods.emplace_back(typical(model.templates[workload.pod_template]), workload.replicas);
    total += workload.replicas;
  }
  auto by_key = [](const auto& a, const auto& b) { return key(a.first) < key(b.first); };
  std::sort(pods.begin(), pods.end(), by_key);
  size_t distinct = 0;
  for (size_t i = 0; i < pods.size(); ++i) {
    if (distinct > 0 && key(pods[i].first) == key(pods[distinct - 1].first)) {
      pods[distinct - 1].second += pods[i].second;
    } else {
      std::swap(pods[distinct++], pods[i]);
    }
  }
  pods.resize(distinct);
  std::stable_sort(pods.begin(), pods.end(), [](const auto& a, const auto& b) { return a.second > b.second; });

  int64_t covered = 0;
  size_t kept = 0;
  for (; kept < pods.size() && covered * 100 < total * kFrequentPercent; ++kept) covered += pods[kept].second;
  pods.resize(kept);
  return pods;
}

// Precondition: `pods` are sorted by shape, then CPU.
void GpuFragmentation::add_product(const std::string& product, const TypicalPods& pods) {
  std::vector<Shape> shapes;
  int64_t weight = 0;
  for (const auto& [pod, share] : pods) {
    if (!accepts(pod, product)) continue;
    auto step = static_cast<uint32_t>(steps_.size());
    if (shapes.empty() || shapes.back().gpu_milli != pod.gpu_milli || shapes.back().gpu_count != pod.gpu_count) {
      shapes.push_back({pod.gpu_milli, pod.gpu_count, step, step});
      weight = 0;
    }
    weight += share;
    steps_.push_back({pod.milli_cpu, weight});
    shapes.back().last_step = step + 1;
  }
  shapes_.push_back(std::move(shapes));
}

int64_t GpuFragmentation::weight_within(const Shape& shape, int64_t free_cpu) const {
  uint32_t step = shape.last_step;
  while (step > shape.first_step && steps_[step - 1].milli_cpu > free_cpu) --step;
  return step == shape.first_step ? 0 : steps_[step - 1].weight;
}

// Everything, less what each shape that fits can use.
int64_t GpuFragmentation::amount(uint32_t version, int64_t free_cpu, std::span<const int32_t> free) const {
  int64_t amount = weight_ * sum_milli(free);
  for (const Shape& shape : shapes_[product_[version]]) {
    int64_t devices = 0, milli = 0;
    for (int32_t f : free) {
      if (f < shape.gpu_milli) continue;
      ++devices;
      milli += f;
    }
    if (devices >= shape.gpu_count) amount -= weight_within(shape, free_cpu) * milli;
  }
  return amount;
}

GpuFragmentation::Choice::Choice(const GpuFragmentation& fragmentation, uint32_t version, int64_t free_cpu, int64_t cpu,
                                 std::span<const int32_t> free, std::vector<int64_t>& scratch)
    : fragmentation_(fragmentation), product_(fragmentation.product_[version]), usable_(scratch) {
  usable_.clear();
  for (const Shape& shape : fragmentation_.shapes_[product_]) {
    int64_t devices = 0, milli = 0;
    for (int32_t f : free) {
      if (f < shape.gpu_milli) continue;
      ++devices;
      milli += f;
    }
    if (devices >= shape.gpu_count) usable_before_ += fragmentation_.weight_within(shape, free_cpu) * milli;
    usable_.insert(usable_.end(), {devices, milli, fragmentation_.weight_within(shape, free_cpu - cpu)});
  }
}

int64_t GpuFragmentation::Choice::decrease(int32_t milli, int32_t devices, int32_t device_free) const {
  int64_t left = device_free - milli, usable_after = 0;
  const int64_t* usable = usable_.data();
  for (const Shape& shape : fragmentation_.shapes_[product_]) {
    int64_t enough = usable[0], free = usable[1];
    if (device_free >= shape.gpu_milli) enough -= devices, free -= int64_t{devices} * device_free;
    if (left >= shape.gpu_milli) enough += devices, free += devices * left;
    if (enough >= shape.gpu_count) usable_after += usable[2] * free;
    usable += 3;
  }
  return fragmentation_.weight_ * milli * devices - (usable_before_ - usable_after);
}

}  // namespace kisim
