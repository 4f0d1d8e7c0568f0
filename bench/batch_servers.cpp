// Batch servers alone with their clients, no Kubernetes around them: how many requests one core simulates per second of
// wall time.

#include "core/hash.hpp"
#include "policy/registry.hpp"
#include "serving/serving_rig.hpp"
#include "slices.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace kisim {
namespace {

ServingRigModel servers(int32_t replicas, double rate) {
  ServingRigModel m;
  m.server.name = "resnet";
  BatchModel& model = m.server.batch.models[0];
  model.max_batch_size = 32;
  model.instances = 2;
  model.max_queue_delay = Duration{1'000'000};
  model.laws[0].table = {{1, 0.002}, {8, 0.004}, {32, 0.011}};
  m.replicas = replicas;
  m.router = std::shared_ptr<const Router>(Registry<Router>::instance().find("round-robin")->make({}));
  ClientModel client;
  client.name = "clients";
  client.entity = hash_text("Traffic/clients");
  SourceModel source;
  source.name = client.name;
  source.entity = client.entity;
  source.rate = rate;
  m.clients = {client};
  m.traffic.sources = {source};
  m.seed = m.traffic.seed = m.server.batch.seed = 1;
  return m;
}

// 64 replicas at four fifths of their capacity.
void open_loop(benchmark::State& state) {
  constexpr double kRate = 64 * 4600;
  SlicedRun run;
  uint64_t signature = 0;
  for (auto _ : state) {
    ServingRig world(servers(64, kRate));
    run = run_in_slices(
        Duration::seconds(20), [&](Time until) { world.run_until(until); },
        [&] { return world.state().clients[0].completed; });
    world.serving().check_conservation();
    signature = world.engine().signature();
  }
  state.counters["requests_per_s"] = static_cast<double>(run.completed) / run.wall_s;
  state.counters["late_over_early"] = run.late_over_early;
  state.SetLabel("signature " + std::to_string(signature));
}
BENCHMARK(open_loop)->Name("batch_servers/open_loop_64_replicas")->Unit(benchmark::kSecond)->Iterations(1);

// What a fit pays for one point: 256 clients of one server, with a host thread and instances that overlap.
void closed_loop(benchmark::State& state) {
  BatchServerModel server = servers(1, 1).server.batch;
  server.overlap = 0.4;
  ClosedLoop loop;
  loop.clients = 256;
  loop.host_in = loop.host_out = Distribution::constant(5e-5);
  loop.warmup = 2560;
  loop.completions = 10240;
  for (auto _ : state) benchmark::DoNotOptimize(simulate_closed_loop(server, loop));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(loop.warmup + loop.completions));
}
BENCHMARK(closed_loop)->Name("batch_servers/closed_loop_256_clients")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kisim
