// LLM engines: one alone with the log of a real run, 64 replicas with the sizes of Azure's conversations, and eight of
// a 70B model with Mooncake's, whose prompts begin alike.

#include "core/hash.hpp"
#include "io/input.hpp"
#include "run/world.hpp"
#include "scenario_builder.hpp"
#include "serving/engine_replay.hpp"
#include "slices.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

namespace kisim {
namespace {

template <class Entry>
const Entry& named(const std::vector<Entry>& entries, const std::string& name) {
  return *std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.name == name; });
}

// 300 requests in half a minute on a GPU that is too small for them: waiting, preemption and recomputation.
void replay_log(benchmark::State& state) {
  LlmEngineModel model;
  model.max_num_batched_tokens = 2048;
  model.async_scheduling = model.scheduler_reserve_full_isl = true;
  model.llm = named(read_llm_catalogue(), "llama-3.1-8b");
  model.profile = named(read_engine_catalogue(), "vllm-0.19");
  Accelerator gpu;
  gpu.gpus = 1;
  LlmCost cost = llm_cost(model, named(read_gpu_catalogue(), "rtx-4090"), gpu);
  cost.kv_blocks = 2588;
  Stream stream(1, hash_text("bench/replay_log"), Purpose::Arrivals);
  std::vector<EngineRequest> requests;
  double t = 0;
  for (int i = 0; i < 300; ++i) {
    t += draw_exponential(stream, 0.1);
    requests.push_back({Time{} + Duration::seconds(t), 100 + static_cast<int32_t>(stream.below(1500)),
                        100 + static_cast<int32_t>(stream.below(1100))});
  }
  uint64_t preemptions = 0;
  for (auto _ : state) preemptions = replay(model, cost, requests).preemptions;
  state.counters["preemptions"] = static_cast<double>(preemptions);
}
BENCHMARK(replay_log)->Name("llm_engine/replay_300_requests")->Unit(benchmark::kMillisecond);

std::string shared(const std::string& path) {
  const char* root = std::getenv("KISIM_SHARED");
  return std::string(root ? root : KISIM_ROOT "/../shared") + "/data/traces/" + path;
}

// Arrivals at `rate` with the sizes of the conversation trace in turn; null without it.
std::shared_ptr<const TraceColumns> conversations(double rate, Duration duration) {
  std::string path = shared("azure-llm-2023/AzureLLMInferenceTrace_conv.csv");
  if (!std::ifstream(path)) return nullptr;
  auto sizes = read_trace(path, {}, {});
  auto out = std::make_shared<TraceColumns>();
  Stream stream(1, hash_text("bench/conversations"), Purpose::Arrivals);
  double t = 0;
  for (size_t i = 0; (t += draw_exponential(stream, 1 / rate)) < duration.to_seconds(); ++i) {
    size_t row = i % sizes->time_ns.size();
    out->time_ns.push_back(Duration::seconds(t).ns);
    out->prompt_tokens.push_back(sizes->prompt_tokens[row]);
    out->output_tokens.push_back(sizes->output_tokens[row]);
  }
  return out;
}

// A World in slices of its duration.
std::pair<SlicedRun, Summary> served(benchmark::State& state, const std::shared_ptr<const Model>& model,
                                     Duration duration) {
  std::pair<SlicedRun, Summary> out;
  for (auto _ : state) {
    World world(model);
    out.first = run_in_slices(
        duration, [&](Time until) { world.run_until(until); },
        [&] { return world.serving().state.clients[0].completed; });
    out.second = world.summary();
  }
  return out;
}

// Everything of 64 replicas on 64 GPUs, the control plane included. mean_batch: requests in each on average.
void serve(benchmark::State& state, const char* detail, Duration duration) {
  constexpr double kRate = 64 * 9;
  Scenario s = test::llama(64, 0, duration, 1);
  s.models[0].detail = detail;
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = conversations(kRate, duration);
  if (!s.traffic[0].trace) return state.SkipWithError("the Azure trace is not here");
  auto model = compile(s);
  const auto [run, summary] = served(state, model, duration);
  double in_service = summary.latency_s.e2e->mean - summary.latency_s.queue->mean;
  state.counters["requests_per_s"] = static_cast<double>(run.completed) / run.wall_s;
  state.counters["late_over_early"] = run.late_over_early;
  state.counters["mean_batch"] = static_cast<double>(run.completed) / duration.to_seconds() * in_service / 64;
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}

void serve_iterations(benchmark::State& state) { serve(state, "iteration", Duration::seconds(1200)); }
void serve_linear(benchmark::State& state) { serve(state, "linear", Duration::seconds(3600)); }
BENCHMARK(serve_iterations)->Name("llm_engine/64_replicas_iteration")->Unit(benchmark::kSecond)->Iterations(1);
BENCHMARK(serve_linear)->Name("llm_engine/64_replicas_linear")->Unit(benchmark::kSecond)->Iterations(1);

// 64 replicas at 576 requests/s whose rate changes from step to step, as of a trace.
void serve_fluid(benchmark::State& state) {
  const Duration duration = Duration::seconds(36'000);
  Scenario s = test::llama(64, 576, duration, 1);
  s.models[0].detail = "fluid";
  s.traffic[0].pattern = TrafficSpec::Pattern::Diurnal;
  s.traffic[0].diurnal_mean = 576;
  s.traffic[0].diurnal_peak = 900;
  s.traffic[0].diurnal_period = Duration::seconds(7200);
  auto model = compile(s);
  const auto [run, summary] = served(state, model, duration);
  state.counters["requests_per_s"] = static_cast<double>(run.completed) / run.wall_s;
  state.counters["steps_per_s"] = duration.to_seconds() / run.wall_s;
  state.counters["replica_steps_per_s"] = 64 * duration.to_seconds() / run.wall_s;
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}
BENCHMARK(serve_fluid)->Name("llm_engine/64_replicas_fluid")->Unit(benchmark::kSecond)->Iterations(1);

// What an autoscaling environment asks of a world: five replicas, 10 requests/s, and a look every 15 s.
void decide_fluid(benchmark::State& state, TrafficSpec::Pattern pattern) {
  constexpr int kDecisions = 40'000;
  const Duration duration = Duration::seconds(15.0 * kDecisions);
  Scenario s = test::llama(5, 10, duration, 1);
  s.models[0].detail = "fluid";
  s.traffic[0].pattern = pattern;
  s.traffic[0].diurnal_mean = 10;
  s.traffic[0].diurnal_peak = 16;
  auto model = compile(s);
  double seconds = 0;
  for (auto _ : state) {
    World world(model);
    double running = 0;
    seconds = time_of([&] {
      for (int i = 1; i <= kDecisions; ++i) {
        world.run_until(Time{} + Duration::seconds(15.0 * i));
        for (ReplicaId id : world.serving().state.services[ServiceId(0u)].serving.endpoints)
          running += world.replica_gauges(id).running;
      }
    });
    benchmark::DoNotOptimize(running);
  }
  state.counters["decisions_per_s"] = kDecisions / seconds;
}
void decide_steady(benchmark::State& state) { decide_fluid(state, TrafficSpec::Pattern::Constant); }
void decide_diurnal(benchmark::State& state) { decide_fluid(state, TrafficSpec::Pattern::Diurnal); }
BENCHMARK(decide_steady)->Name("fluid/decisions_steady")->Unit(benchmark::kSecond)->Iterations(1);
BENCHMARK(decide_diurnal)->Name("fluid/decisions_diurnal")->Unit(benchmark::kSecond)->Iterations(1);

// 12,031 requests of 12,035 tokens each on average, a third of them known to a cache that forgets nothing.
void serve_mooncake(benchmark::State& state, const char* router) {
  const std::string path = shared("mooncake/conversation_trace.jsonl.gz");
  if (!std::ifstream(path)) return state.SkipWithError("the Mooncake trace is not here");
  Scenario s = test::llama(32, 0, Duration::seconds(3900), 1);
  s.manifests.deployments = {test::deployment("llama", 8, 4)};
  s.llms = read_llm_catalogue();
  s.models[0].model = "llama-3.1-70b";
  s.models[0].tensor_parallel = 4;
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = read_trace(path, {}, {});
  s.routers = {{"llama", {router, {}, {}}}};
  auto model = compile(s);
  Summary summary;
  for (auto _ : state) {
    World world(model);
    world.run_until(Time{} + s.duration);
    summary = world.summary();
  }
  state.counters["completed"] = static_cast<double>(summary.requests.completed);
  state.counters["cached"] = static_cast<double>(summary.tokens->cached) / static_cast<double>(summary.tokens->prompt);
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}

void mooncake_by_requests(benchmark::State& state) { serve_mooncake(state, "least-requests"); }
void mooncake_by_prefix(benchmark::State& state) { serve_mooncake(state, "prefix-aware"); }
BENCHMARK(mooncake_by_requests)->Name("llm_engine/mooncake_8_replicas")->Unit(benchmark::kSecond)->Iterations(1);
BENCHMARK(mooncake_by_prefix)->Name("llm_engine/mooncake_8_prefix_aware")->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace kisim
