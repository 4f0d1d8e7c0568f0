// The levels of detail of one scenario agree, within errors that are measured over eight seeds and stated in the
// README.
//
// KISIM_LEVELS: print what is measured.

#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

using namespace kisim;
using namespace kisim::test;

namespace {

constexpr int kSeeds = 8;
constexpr double kLoads[] = {0.3, 0.6, 0.85};

// Of the runs of several seeds. Seconds.
struct Means {
  double completed = 0, tpot = 0, ttft_p50 = 0, e2e = 0, running = 0, busy = 0, tokens = 0;
};

Means means(Scenario scenario, const std::string& detail, int seeds) {
  scenario.models[0].detail = detail;
  scenario.warmup = Duration::seconds(scenario.duration.to_seconds() / 5);
  Means m;
  for (int seed = 1; seed <= seeds; ++seed) {
    scenario.seed = static_cast<uint64_t>(seed);
    const Summary s = run(compile(scenario));
    const Summary::Latency& l = s.latency_s;
    m.completed += static_cast<double>(s.requests.completed) / seeds;
    m.e2e += l.e2e->mean / seeds;
    m.running += static_cast<double>(s.requests.completed) / s.simulated_s * (l.e2e->mean - l.queue->mean) / seeds;
    if (s.gpu) m.busy += s.gpu->utilization / seeds;
    if (!l.ttft) continue;
    m.tpot += l.tpot->mean / seeds;
    m.ttft_p50 += l.ttft->p50 / seeds;
    m.tokens += s.tokens->per_s / seeds;
  }
  return m;
}

// How far `m` may be from `reference`, as shares of it: what was measured, and a little more.
struct Allowed {
  double tpot, ttft_p50, e2e, running;
  double completed = 0.01, busy = 0.02;
};

void compare(const std::string& what, const Means& m, const Means& reference, const Allowed& allowed) {
  auto one = [&](const char* name, double Means::*field, double most) {
    if (reference.*field == 0) return;
    const double error = m.*field / (reference.*field) - 1;
    if (std::getenv("KISIM_LEVELS"))
      fmt::print("{:44} {:10} {:10.5g} {:10.5g} {:+6.1f} %\n", what, name, m.*field, reference.*field, 100 * error);
    INFO(what << ": " << name << " " << m.*field << ", reference " << reference.*field);
    CHECK(std::abs(error) <= most);
  };
  one("completed", &Means::completed, allowed.completed);
  one("tokens", &Means::tokens, allowed.completed);
  one("tpot", &Means::tpot, allowed.tpot);
  one("ttft p50", &Means::ttft_p50, allowed.ttft_p50);
  one("e2e", &Means::e2e, allowed.e2e);
  one("running", &Means::running, allowed.running);
  one("gpu busy", &Means::busy, allowed.busy);
}

Scenario one_llama(double rate) {
  Scenario s = llama(1, rate, Duration::seconds(3000), 1);
  s.routers.clear();
  return s;
}

// Half the width and depth, and long prompts with short answers.
Scenario one_small(double rate) {
  Scenario s = one_llama(rate);
  s.llms = {llama_8b()};
  s.llms[0].parameters = 1.24e9;
  s.llms[0].layers = 16;
  s.llms[0].hidden = 2048;
  s.llms[0].head_dim = 64;
  s.traffic[0].prompt = Distribution::lognormal(1469, 0.7).clamped(1, 32768);
  s.traffic[0].output = Distribution::geometric(28).clamped(1, 4096);
  return s;
}

// 64 sequences at a time, of longer answers: those that come wait for one.
Scenario few_sequences(double rate) {
  Scenario s = one_llama(rate);
  s.models[0].max_num_seqs = 64;
  s.traffic[0].output = Distribution::geometric(300).clamped(1, 4096);
  return s;
}

// A batch server whose law is 5 ms + 1 ms per sample.
Scenario batches(int32_t instances, int32_t most, double rate) {
  Scenario s = queue(Distribution::constant(5e-3), instances, rate, Duration::seconds(60000 / rate), 1);
  s.models[0].latency->per_item = Distribution::constant(1e-3);
  s.models[0].max_batch_size = most;
  return s;
}

}  // namespace

TEST_CASE("fluid and linear agree on a language model") {
  struct Case {
    const char* name;
    Scenario (*make)(double);
    double capacity;  // requests per second
  };
  const Case c = GENERATE(Case{"llama", one_llama, 14.4}, Case{"small, long prompts", one_small, 110},
                          Case{"64 sequences", few_sequences, 9.6});
  // The flow knows what the source asks for on average, not what each seed has drawn.
  for (double load : kLoads) {
    const Scenario s = c.make(load * c.capacity);
    compare(fmt::format("{} at {:.0f} %, fluid to linear", c.name, 100 * load), means(s, "fluid", kSeeds),
            means(s, "linear", kSeeds), {.tpot = 0.035, .ttft_p50 = 0.17, .e2e = 0.02, .running = 0.02});
  }
}

TEST_CASE("linear and fluid agree with iterations on a language model") {
  // A prompt waits for the iterations under way, which these levels do not know: the more so the longer they are.
  const Allowed allowed[] = {{.tpot = 0.02, .ttft_p50 = 0.17, .e2e = 0.03, .running = 0.03},
                             {.tpot = 0.02, .ttft_p50 = 0.29, .e2e = 0.06, .running = 0.06},
                             {.tpot = 0.05, .ttft_p50 = 0.46, .e2e = 0.10, .running = 0.10}};
  for (size_t i = 0; i < std::size(kLoads); ++i) {
    const double load = kLoads[i];
    const Scenario s = one_llama(load * 14.4);
    const Means iteration = means(s, "iteration", kSeeds);
    compare(fmt::format("llama at {:.0f} %, linear to iteration", 100 * load), means(s, "linear", kSeeds), iteration,
            allowed[i]);
    compare(fmt::format("llama at {:.0f} %, fluid to iteration", 100 * load), means(s, "fluid", kSeeds), iteration,
            allowed[i]);
  }
}

TEST_CASE("fluid batch servers agree with those of single requests") {
  struct Case {
    int32_t instances, most;
  };
  const Case c = GENERATE(Case{1, 1}, Case{1, 8}, Case{1, 32}, Case{2, 8}, Case{4, 16});
  const double capacity = c.instances * c.most / (5e-3 + 1e-3 * c.most);
  for (double load : kLoads) {
    const Scenario s = batches(c.instances, c.most, load * capacity);
    compare(fmt::format("{} instances of {} at {:.0f} %", c.instances, c.most, 100 * load), means(s, "fluid", kSeeds),
            means(s, "iteration", kSeeds), c.instances == 1 ? Allowed{0, 0, 0.09, 0.06} : Allowed{0, 0, 0.20, 0.18});
  }
}
