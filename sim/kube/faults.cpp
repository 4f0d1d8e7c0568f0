#include "kube/faults.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

bool is_active(const KubeModel& model, const KubeState& state, Fault::Kind kind) {
  for (size_t i = 0; i < model.faults.size(); ++i)
    if (model.faults[i].kind == kind && state.faults[i].active) return true;
  return false;
}

void Faults::start() {
  state_.faults.resize(model_.faults.size());
  for (uint32_t i = 0; i < model_.faults.size(); ++i) {
    const Fault& fault = model_.faults[i];
    Duration first = fault.at ? draw(i, *fault.at, 0) : interval(i);
    engine_.schedule(engine_.now() + first, Priority::Failure, events_.begin, i);
  }
}

Duration Faults::interval(uint32_t i) const {
  const Fault& fault = model_.faults[i];
  const Duration drawn = draw(i, *fault.every, 1);
  return fault.rate == 1 ? drawn : Duration::seconds(std::min(drawn.to_seconds() / fault.rate, kForever.to_seconds()));
}

Duration Faults::draw(uint32_t i, const Distribution& distribution, uint32_t which) const {
  uint64_t occurrence = state_.faults[i].occurrences;
  Stream stream(model_.seed, hash_combine(model_.faults[i].entity, occurrence * 4 + which), Purpose::Fault);
  double seconds = std::clamp(distribution.draw(stream), 0.0, kForever.to_seconds());
  return Duration::seconds(seconds);
}

void Faults::on_begin(uint32_t i) {
  const Fault& fault = model_.faults[i];
  set(i, true);
  Duration lasts = draw(i, fault.for_, 2);
  bool momentary = fault.kind == Fault::Kind::OomKill;
  if (momentary) return on_end(i);
  if (lasts.ns > 0) engine_.schedule(engine_.now() + lasts, Priority::Failure, events_.end, i);
}

void Faults::on_end(uint32_t i) {
  const Fault& fault = model_.faults[i];
  set(i, false);
  ++state_.faults[i].occurrences;
  if (fault.every) engine_.schedule(engine_.now() + interval(i), Priority::Failure, events_.begin, i);
}

void Faults::set(uint32_t i, bool active) {
  const Fault& fault = model_.faults[i];
  state_.faults[i].active = active;
  switch (fault.kind) {
    case Fault::Kind::NodeLoss:
      return active ? stop_nodes(i) : start_nodes(i);
    case Fault::Kind::GpuFailure:
      return active ? break_gpus(i) : repair_gpus(i);
    case Fault::Kind::NvlinkFailure:
      return active ? break_nvlinks(i) : repair_nvlinks(i);
    case Fault::Kind::CrashLoop:
      return kubelet_.set_crash_looping(fault.workload, active);
    case Fault::Kind::OomKill:
      return active ? kill_one(fault) : void();
    case Fault::Kind::RegistryFailure:
    case Fault::Kind::RegistrySlow:
    case Fault::Kind::MetricsOutage:
      return;  // whoever asks the registry or the APIs looks
  }
}

void Faults::stop_nodes(uint32_t i) {
  for (NodeId node : model_.faults[i].nodes) {
    if (!cluster_.state.node_present[node.value]) continue;
    state_.faults[i].nodes.push_back(node);
    nodes_.stop(node);
  }
}

void Faults::start_nodes(uint32_t i) {
  for (NodeId node : std::exchange(state_.faults[i].nodes, {})) nodes_.restart(node);
}

// The last GPUs of the fault's node that work so far, as many as it breaks.
template <class Works>
std::vector<GpuId> Faults::choose_gpus(uint32_t i, Works works) const {
  NodeId node = model_.faults[i].nodes.front();
  std::vector<GpuId> out;
  if (!cluster_.state.node_present[node.value]) return out;
  for (uint32_t g = cluster_.gpus(node); g-- > 0 && out.size() < static_cast<size_t>(model_.faults[i].gpus);)
    if (works(cluster_.state.gpus[cluster_.gpu(node, g)])) out.push_back(cluster_.gpu(node, g));
  return out;
}

// The GPUs go on over PCIe.
void Faults::break_nvlinks(uint32_t i) {
  state_.faults[i].gpus = choose_gpus(i, [](const GpuState& gpu) { return gpu.nvlink_up; });
  if (state_.faults[i].gpus.empty()) return;
  for (GpuId gpu : state_.faults[i].gpus) cluster_.set_nvlink_up(gpu, false);
  state_.statistics.decisions.add("NvlinkDown");
}

void Faults::repair_nvlinks(uint32_t i) {
  for (GpuId gpu : std::exchange(state_.faults[i].gpus, {})) cluster_.set_nvlink_up(gpu, true);
}

void Faults::break_gpus(uint32_t i) {
  NodeId node = model_.faults[i].nodes.front();
  if (!cluster_.state.node_present[node.value]) return;
  uint32_t first = cluster_.state.first_gpu[node.value];
  state_.faults[i].gpus = choose_gpus(i, [](const GpuState& gpu) { return gpu.healthy; });
  const std::vector<GpuId>& broken = state_.faults[i].gpus;
  for (GpuId gpu : broken) {
    cluster_.set_gpu_healthy(gpu, false);
    scheduler_.device_changed(node, static_cast<uint16_t>(gpu.value - first), false);
    kubelet_.gpu_failed(gpu);
  }
  state_.statistics.decisions.add("GpuUnhealthy");
}

void Faults::repair_gpus(uint32_t i) {
  NodeId node = model_.faults[i].nodes.front();
  uint32_t first = cluster_.state.first_gpu[node.value];
  for (GpuId gpu : std::exchange(state_.faults[i].gpus, {})) {
    cluster_.set_gpu_healthy(gpu, true);
    if (!cluster_.state.node_present[node.value]) continue;
    scheduler_.device_changed(node, static_cast<uint16_t>(gpu.value - first), true);
  }
}

// The ready pod that was created first, of those whose machine runs.
void Faults::kill_one(const Fault& fault) {
  for (PodId pod : cluster_.state.workload_pods[fault.workload.value])
    if (cluster_.state.pods[pod].phase == PodPhase::Ready && kubelet_.usage().is_running(pod))
      return kubelet_.crash(pod, "OOMKilled", 137);
}

}  // namespace kisim
