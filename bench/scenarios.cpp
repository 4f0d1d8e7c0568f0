// Whole scenarios: how much of a cluster one core simulates per second. The yardstick is a std::priority_queue that
// pops and pushes as many events with the gaps of such a run, and does nothing else: `ratio` is its time over ours.

#include "gaps.hpp"
#include "interleaved.hpp"
#include "io/input.hpp"
#include "memory_use.hpp"
#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <cstdlib>
#include <queue>
#include <string>

namespace kisim {
namespace {

using test::llama;

// Seconds that a std::priority_queue takes for `events` holds with `pending` events pending.
double yardstick_seconds(uint64_t events, size_t pending) {
  struct Later {
    bool operator()(const PendingEvent& a, const PendingEvent& b) const { return b < a; }
  };
  std::priority_queue<PendingEvent, std::vector<PendingEvent>, Later> queue;
  Gaps gaps(GapShape::Bimodal);
  for (size_t i = 0; i < pending; ++i) queue.push({gaps.next(), i});
  uint64_t sequence = pending;
  return time_of([&] {
    for (uint64_t i = 0; i < events; ++i) {
      PendingEvent next = queue.top();
      queue.pop();
      queue.push({next.time + gaps.next(), sequence++});
    }
    benchmark::DoNotOptimize(queue.top());
  });
}

void simulate(benchmark::State& state, const Scenario& scenario) {
  auto model = compile(scenario);
  Summary summary;
  double peak = 0;
  for (auto _ : state) {
    bool clean = reset_peak_rss();
    summary = run(model);
    peak = clean ? peak_rss() : static_cast<double>(summary.peak_rss_bytes);
  }
  state.SetItemsProcessed(static_cast<int64_t>(summary.events) * state.iterations());
  state.counters["simulated_s"] = summary.simulated_s;
  state.counters["requests"] = static_cast<double>(summary.requests.arrived);
  state.counters["events"] = static_cast<double>(summary.events);
  state.counters["events_per_s"] = summary.events_per_s;
  state.counters["times_real_time"] = summary.simulated_s / summary.wall_s;
  state.counters["ns_per_request"] = summary.wall_s * 1e9 / static_cast<double>(summary.requests.arrived);
  state.counters["peak_rss_MB"] = peak / 1e6;
  state.counters["ratio"] = yardstick_seconds(summary.events, 256) / summary.wall_s;
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}

// The Azure conversation trace on four replicas, from reading the trace to the summary; skipped without the data.
void azure_conversation(benchmark::State& state) {
  const char* shared = std::getenv("KISIM_SHARED");
  std::string path = std::string(shared ? shared : KISIM_ROOT "/../shared") +
                     "/data/traces/azure-llm-2023/AzureLLMInferenceTrace_conv.csv";
  if (!std::ifstream(path)) return state.SkipWithError("the Azure trace is not here");
  Summary summary;
  for (auto _ : state) {
    Scenario s = llama(4, 0, Duration::seconds(3600), 1);
    s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
    s.traffic[0].trace = read_trace(path, {}, {});
    summary = run(compile(s));
  }
  state.counters["requests"] = static_cast<double>(summary.requests.arrived);
  state.counters["completed"] = static_cast<double>(summary.requests.completed);
  state.counters["events_per_s"] = summary.events_per_s;
  state.SetLabel(fmt::format("signature {:016x}", summary.signature));
}
BENCHMARK(azure_conversation)->Name("scenario/azure_conversation")->Unit(benchmark::kSecond);

// An hour of 200 requests/s on 64 replicas, every iteration of every engine with its own duration.
void iteration_hour(benchmark::State& state) { simulate(state, llama(64, 200, Duration::seconds(3600), 1)); }
BENCHMARK(iteration_hour)->Name("scenario/iteration_hour")->Unit(benchmark::kSecond)->Iterations(1);

// A day of 100 requests/s on 64 replicas at the linear level.
void linear_day(benchmark::State& state) {
  Scenario s = llama(64, 100, Duration::seconds(86400), 1);
  s.models[0].detail = "linear";
  simulate(state, s);
}
BENCHMARK(linear_day)->Name("scenario/linear_day")->Unit(benchmark::kSecond)->Iterations(1);

// Ten million requests: memory follows the requests in flight.
void ten_million(benchmark::State& state) {
  Scenario s = llama(64, 100, Duration::seconds(100000), 2);
  s.models[0].detail = "linear";
  s.traffic[0].timeout = Duration::seconds(60);
  simulate(state, s);
}
BENCHMARK(ten_million)->Name("scenario/ten_million_requests")->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace kisim
