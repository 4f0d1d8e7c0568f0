#include "kube/pod_usage.hpp"

#include "core/hash.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kMost = 9e18;  // keeps the conversion to int64 in range

bool is_nothing(const Distribution& d) { return d.is_constant() && d.mean() == 0; }

int64_t rounded(double amount) { return std::llround(std::clamp(amount, 0.0, kMost)); }

std::optional<int64_t> memory_limit_of(const PodSpec& spec) {
  double sum = 0;
  auto add = [&](const Container& c) {
    for (const auto& [name, amount] : c.limits)
      if (name == "memory") return sum += static_cast<double>(amount), true;
    return false;
  };
  for (const Container& c : spec.containers)
    if (!add(c)) return std::nullopt;
  for (const Container& c : spec.init_containers)
    if (c.sidecar && !add(c)) return std::nullopt;
  return rounded(sum);
}

}  // namespace

PodUsage::PodUsage(const KubeModel& model, const KubeState& state, const Cluster& cluster, const Serving& serving)
    : model_(model), state_(state), cluster_(cluster), serving_(serving) {
  for (const WorkloadModel& w : cluster_.model.workloads) entities_.push_back(hash_text("Pod/" + w.full_name()));
  for (const PodTemplateModel& t : cluster_.model.templates) limits_.push_back(memory_limit_of(t.spec));
}

bool PodUsage::has_memory(WorkloadId workload) const {
  const PodBehaviour& b = behaviour(workload);
  return !is_nothing(b.memory) || b.memory_per_request != 0;
}

bool PodUsage::has_usage(WorkloadId workload) const {
  const PodBehaviour& b = behaviour(workload);
  return has_memory(workload) || !is_nothing(b.cpu) || b.cpu_per_request != 0;
}

// The stream is addressed by the pod, so drawing again gives the same numbers and nothing needs to be kept.
PodUsage::Own PodUsage::own(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  const PodBehaviour& b = behaviour(pod.workload);
  Stream stream(model_.seed, hash_combine(entities_[pod.workload.value], pod.ordinal), Purpose::Usage);
  double cpu = b.cpu.draw(stream);
  return {cpu, b.memory.draw(stream)};
}

bool PodUsage::is_running(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  bool may_run = kisim::is_running(pod.phase) ||
                 (pod.phase == PodPhase::Terminating && pod.node.valid() && pod.started != Time::max());
  if (!may_run || !state_.nodes[pod.node].alive()) return false;
  const KubeletPod* record = state_.nodes[pod.node].find(id);
  return !record || !record->exited;
}

Time PodUsage::containers_started(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  const KubeletPod* record = pod.node.valid() ? state_.nodes[pod.node].find(id) : nullptr;
  return record && record->started != Time::max() ? record->started : pod.started;
}

const ReplicaState* PodUsage::replica(const PodState& pod) const {
  return pod.replica.valid() ? &serving_.state.replicas[pod.replica] : nullptr;
}

int64_t PodUsage::cpu_milli(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  if (!has_usage(pod.workload) || !is_running(id)) return 0;
  const ReplicaState* server = replica(pod);
  double of_requests = server ? behaviour(pod.workload).cpu_per_request * server->requests : 0;
  return rounded((own(id).cpu + of_requests) * 1000);
}

double PodUsage::cpu_seconds(PodId id, Time now) const {
  const PodState& pod = cluster_.state.pods[id];
  if (!has_usage(pod.workload) || !is_running(id)) return 0;
  const ReplicaState* server = replica(pod);
  double of_requests =
      server ? behaviour(pod.workload).cpu_per_request * static_cast<double>(server->requests_ns(now)) * 1e-9 : 0;
  return own(id).cpu * (now - containers_started(id)).to_seconds() + of_requests;
}

int64_t PodUsage::memory_bytes(PodId id) const {
  const PodState& pod = cluster_.state.pods[id];
  if (!has_memory(pod.workload) || !is_running(id)) return 0;
  const ReplicaState* server = replica(pod);
  return rounded(own(id).memory + (server ? behaviour(pod.workload).memory_per_request * server->requests : 0));
}

int64_t PodUsage::own_memory(PodId id) const { return rounded(own(id).memory); }

std::optional<int64_t> PodUsage::most_memory(PodId id) const {
  WorkloadId workload = cluster_.state.pods[id].workload;
  const PodBehaviour& b = behaviour(workload);
  ServingModelId serving = cluster_.model.workloads[workload].serving;
  if (b.memory_per_request == 0 || !serving.valid()) return own_memory(id);
  const ServingModelModel& m = serving_.model.models[serving];
  if (m.max_queue_size == 0) return std::nullopt;
  double running = m.llm ? m.engine.max_num_seqs : static_cast<double>(m.batch.most_running());
  return rounded(own(id).memory + b.memory_per_request * (running + m.max_queue_size));
}

}  // namespace kisim
