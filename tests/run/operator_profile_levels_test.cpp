// The iteration level on a GPU that its engine was not measured on, against an operator profile of that GPU.

#include "io/input.hpp"
#include "io/operator_profile.hpp"
#include "run/world.hpp"
#include "scenario_builder.hpp"
#include "shared_data.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace kisim;
using namespace kisim::test;

namespace {

template <class T>
const T& named(const std::vector<T>& all, const std::string& name) {
  return *std::find_if(all.begin(), all.end(), [&](const T& one) { return one.name == name; });
}

}  // namespace

TEST_CASE("iterations by specifications agree with an operator profile as far as the README says") {
  const std::string profile =
      shared_file("data/serving/vllm-operator-profiles/perf/RTXPRO6000/meta-llama/Llama-3.1-8B/bf16");
  if (profile.empty()) return;
  struct Case {
    double rate, tpot, e2e;  // errors that were measured, and a little more
  };
  const Case c = GENERATE(Case{1, 0.07, 0.08}, Case{3, 0.19, 0.18}, Case{4.5, 0.28, 0.27});
  Scenario s = llama(1, c.rate, Duration::seconds(1800), 1);
  s.warmup = Duration::seconds(300);
  s.gpus = read_gpu_catalogue();
  s.llms = read_llm_catalogue();
  s.engines = read_engine_catalogue();
  s.manifests.nodes = {node("node-0", 1, named(s.gpus, "rtx-pro-6000").products.front())};
  s.models[0].gpu = "rtx-pro-6000";
  s.traffic[0].prompt = Distribution::lognormal(800, 0.8).clamped(1, 32768);
  s.traffic[0].output = Distribution::geometric(200).clamped(1, 4096);
  const Summary iterations = run(compile(s));
  s.models[0].detail = "tables";
  s.models[0].tables = read_operator_profile(profile, 1, named(s.llms, "llama-3.1-8b"), s.gpus);
  const Summary tables = run(compile(s));
  CHECK(iterations.latency_s.tpot->mean == Approx(tables.latency_s.tpot->mean).epsilon(c.tpot));
  CHECK(iterations.latency_s.e2e->mean == Approx(tables.latency_s.e2e->mean).epsilon(c.e2e));
}
