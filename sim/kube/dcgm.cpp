#include "kube/dcgm.hpp"

#include <algorithm>

namespace kisim {

namespace {

// Nanoseconds × share of the whole GPU.
double share_ns(const TimeWeighted& millionths, Time now) {
  return static_cast<double>(millionths.integral(now)) / static_cast<double>(kWholeLoad);
}

bool holds(const PodState& pod, size_t device) {
  return std::find(pod.devices.begin(), pod.devices.end(), device) != pod.devices.end();
}

// From the end of loading until its containers have stopped.
bool has_loaded(const PodState& pod) {
  if (pod.phase == PodPhase::Terminating) return pod.started != Time::max();
  return pod.phase == PodPhase::Probing || pod.phase == PodPhase::Ready;
}

}  // namespace

DcgmGauges Dcgm::of_device(NodeId node, size_t device, Time now) const {
  const DeviceState& counted = cluster_.state.devices[node.value][device];
  const Accelerator a = cluster_.accelerator(node, cluster_.devices(node)[device]);
  DcgmGauges g;
  g.instance = a.instance != nullptr;
  g.active = share_ns(counted.active, now);
  g.dram = share_ns(counted.bandwidth, now) / a.bandwidth_share;
  g.tensor = share_ns(counted.compute, now) / a.compute_share;
  g.fb_used = fb_used(node, device);
  g.fb_total = a.memory_bytes;
  return g;
}

std::optional<DcgmGauges> Dcgm::of_pod(PodId id, Time now) const {
  const PodState& pod = cluster_.state.pods[id];
  if (pod.devices.empty()) return std::nullopt;
  DcgmGauges mean{.fb_used = 0};
  for (uint16_t d : pod.devices) {
    DcgmGauges g = of_device(pod.node, d, now);
    mean.instance |= g.instance;
    mean.active += g.active;
    mean.dram += g.dram;
    mean.tensor += g.tensor;
    mean.fb_total += g.fb_total;
    mean.fb_used = mean.fb_used && g.fb_used ? std::optional(*mean.fb_used + *g.fb_used) : std::nullopt;
  }
  auto count = static_cast<int64_t>(pod.devices.size());
  for (double* sum : {&mean.active, &mean.dram, &mean.tensor}) *sum /= static_cast<double>(count);
  mean.fb_total /= count;
  if (mean.fb_used) *mean.fb_used /= count;
  return mean;
}

std::optional<int64_t> Dcgm::fb_used(NodeId node, size_t device) const {
  int64_t sum = 0;
  for (PodId id : cluster_.state.node_pods[node.value]) {
    if (!holds(cluster_.state.pods[id], device)) continue;
    std::optional<int64_t> memory = memory_on_each_device(id);
    if (!memory) return std::nullopt;
    sum += *memory;
  }
  return sum;
}

std::optional<int64_t> Dcgm::memory_on_each_device(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  if (!has_loaded(pod)) return 0;
  ServingModelId serving = cluster_.model.workloads[pod.workload].serving;
  if (!serving.valid()) return std::nullopt;
  const ServingModelModel& m = serving_.model.models[serving];
  if (m.batch_bytes > 0) return m.batch_bytes;
  Accelerator a = cluster_.accelerator(id);
  if (!m.llm || a.memory_bytes == 0) return std::nullopt;
  auto devices = static_cast<double>(a.instance ? pod.devices.size() : pod.gpus.size());
  return static_cast<int64_t>(static_cast<double>(a.memory_bytes) * m.engine.memory_utilization / devices);
}

}  // namespace kisim
