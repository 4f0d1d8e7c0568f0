#pragma once
// Scenarios made in C++, for tests that want no files: one Deployment behind a Service, one traffic source.

#include "run/scenario.hpp"

#include <string>
#include <vector>

namespace kisim::test {

inline constexpr int64_t kGiB = 1ll << 30;

inline Node node(const std::string& name, int64_t gpus, const std::string& product = "NVIDIA-H100-80GB-HBM3") {
  Node n;
  n.meta.name = name;
  n.allocatable = {{"cpu", 96000}, {"memory", 1024 * kGiB}};
  if (gpus > 0) {
    n.allocatable.push_back({"nvidia.com/gpu", gpus});
    n.meta.labels = {{"nvidia.com/gpu.product", product}};
  }
  n.allocatable.push_back({"pods", 110});
  n.capacity = n.allocatable;
  return n;
}

inline Deployment deployment(const std::string& name, int32_t replicas, int64_t gpus) {
  Deployment d;
  d.meta.name = name;
  d.replicas = replicas;
  d.selector.requirements = {{"app", SelectorOperator::In, {name}}};
  d.pod_template.labels = {{"app", name}};
  Container c;
  c.name = "server";
  c.image = name + ":1";
  c.requests = {{"cpu", 1000}, {"memory", kGiB}};
  if (gpus > 0) c.requests.push_back({"nvidia.com/gpu", gpus});
  d.pod_template.spec.containers = {c};
  return d;
}

inline Service service(const std::string& name) {
  Service s;
  s.meta.name = name;
  s.selector = {{"app", name}};
  return s;
}

// Instant cold start: what a queueing formula assumes.
inline ModelSpec::Startup instant() {
  ModelSpec::Startup s;
  s.container = Distribution::constant(0);
  return s;
}

// A batch server without GPUs whose requests take `service_time` seconds each.
inline Scenario queue(Distribution service_time, int32_t servers, double rate, Duration duration, uint64_t seed) {
  Scenario s;
  s.name = "queue";
  s.duration = duration;
  s.seed = seed;
  s.manifests.nodes = {node("node-0", 0)};
  s.manifests.deployments = {deployment("server", 1, 0)};
  s.manifests.services = {service("server")};
  EngineProfile batch;
  batch.name = "batch";
  batch.kind = "batch";
  s.engines = {batch};
  ModelSpec m;
  m.name = "server";
  m.selector = {{"app", "server"}};
  m.engine = "batch";
  m.instances = servers;
  m.latency = ModelSpec::Latency{service_time, Distribution::constant(0)};
  m.startup = instant();
  s.models = {m};
  TrafficSpec t;
  t.name = "clients";
  t.service = "server";
  t.rate = rate;
  s.traffic = {t};
  return s;
}

inline GpuModel h100() {
  GpuModel g;
  g.name = "h100-80gb";
  g.products = {"NVIDIA-H100-80GB-HBM3"};
  g.fp16_tflops = 989;
  g.memory_bytes = 80 * kGiB;
  g.bandwidth_gbs = 3350;
  g.tdp_watts = 700;
  g.idle_watts = 95;
  g.power_base = 263;
  g.power_bandwidth = 218;
  g.power_compute = 635;
  g.power_waiting = 64;
  return g;
}

inline MigProfile mig_profile(std::string name, int32_t compute, int32_t memory, std::vector<uint8_t> starts,
                              int32_t sm, int64_t gib) {
  MigProfile out;
  out.name = std::move(name);
  out.compute_slices = compute;
  out.memory_slices = memory;
  out.max_instances = static_cast<int32_t>(starts.size());
  out.starts = std::move(starts);
  out.sm = sm;
  out.memory_bytes = gib * kGiB;
  return out;
}

inline GpuModel h100_with_mig() {
  GpuModel gpu = h100();
  gpu.sm = 132;
  gpu.mig_slices = 7;
  gpu.pci_ids = {"0x233010DE"};
  gpu.mig = MigGeometry(
      {mig_profile("1g.10gb", 1, 1, {0, 1, 2, 3, 4, 5, 6}, 16, 9), mig_profile("2g.20gb", 2, 2, {0, 2, 4}, 0, 19),
       mig_profile("3g.40gb", 3, 4, {0, 4}, 60, 39), mig_profile("4g.40gb", 4, 4, {0}, 64, 39)},
      8);
  return gpu;
}

inline LlmModel llama_8b() {
  LlmModel m{"llama-3.1-8b", 8.03e9, 32, 4096, 32, 8, 128};
  m.vocabulary = 128256;
  return m;
}

inline EngineProfile vllm() {
  EngineProfile e;
  e.name = "vllm-0.19";
  StepCoefficients& h100 = e.steps.emplace_back();
  h100.gpu = "h100-80gb";
  h100.bandwidth_gbs = 3350;
  h100.step_ms = 1.72;
  h100.layer_us = 10.9;
  h100.weight_factor = 1.11;
  h100.kv_factor = 1.02;
  h100.compute_factor = 1.11;
  h100.sampling_us = 0.26;
  h100.all_reduce_factor = 0.69;
  e.prefill_mfu = 0.6;
  e.request_overhead_ms = 15.563;
  e.reserved_gib = 5.65;
  return e;
}

// `replicas` of Llama-3.1-8B on H100s, as many nodes of eight as they need.
inline Scenario llama(int32_t replicas, double rate, Duration duration, uint64_t seed) {
  Scenario s;
  s.name = "llama";
  s.duration = duration;
  s.seed = seed;
  for (int32_t n = 0; n * 8 < replicas; ++n) s.manifests.nodes.push_back(node("gpu-" + std::to_string(n), 8));
  s.manifests.deployments = {deployment("llama", replicas, 1)};
  s.manifests.services = {service("llama")};
  s.gpus = {h100()};
  s.llms = {llama_8b()};
  s.engines = {vllm()};
  ModelSpec m;
  m.name = "llama";
  m.selector = {{"app", "llama"}};
  m.model = "llama-3.1-8b";
  m.gpu = "h100-80gb";
  m.startup = instant();
  s.models = {m};
  TrafficSpec t;
  t.name = "chat";
  t.service = "llama";
  t.rate = rate;
  t.prompt = Distribution::lognormal(1020, 0.9).clamped(1, 32768);
  t.output = Distribution::geometric(211).clamped(1, 4096);
  s.traffic = {t};
  s.routers = {{"llama", {"least-requests", {}, {}}}};
  return s;
}

}  // namespace kisim::test
