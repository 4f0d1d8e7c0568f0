// Queues whose exact answers are known: each with 30 seeds, the exact mean within the confidence interval of the
// simulated one, and the interval narrow enough to mean something.

#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <functional>
#include <vector>

using namespace kisim;
using namespace kisim::test;

namespace {

constexpr int kSeeds = 30;
constexpr double kT999 = 3.659;  // Student's t, 29 degrees of freedom, two-sided 99.9 %

struct Estimate {
  double mean = 0, half_width = 0;
};

Estimate estimate(const std::function<double(uint64_t seed)>& measure) {
  std::vector<double> x;
  for (int seed = 1; seed <= kSeeds; ++seed) x.push_back(measure(seed));
  double sum = 0, squares = 0;
  for (double v : x) sum += v;
  double mean = sum / kSeeds;
  for (double v : x) squares += (v - mean) * (v - mean);
  return {mean, kT999 * std::sqrt(squares / (kSeeds - 1) / kSeeds)};
}

void check(const Estimate& e, double exact, double narrow = 0.04) {
  INFO("simulated " << e.mean << " ± " << e.half_width << ", exact " << exact);
  CHECK(std::abs(e.mean - exact) <= e.half_width);
  CHECK(e.half_width <= narrow * exact);
}

Summary simulate(Scenario scenario) {
  scenario.warmup = Duration::seconds(scenario.duration.to_seconds() / 20);
  return run(compile(scenario));
}

double mean_sojourn(const Distribution& service, int32_t servers, double rate, uint64_t seed, double requests = 60000) {
  return simulate(queue(service, servers, rate, Duration::seconds(requests / rate), seed)).latency_s.e2e->mean;
}

// Erlang C: probability that an arrival waits, `a` = λ/μ erlangs at c servers.
double erlang_c(int c, double a) {
  double b = 1;
  for (int k = 1; k <= c; ++k) b = a * b / (k + a * b);
  return b / (1 - a / c * (1 - b));
}

}  // namespace

TEST_CASE("M/M/1: W = 1/(μ − λ), and its quantiles") {
  double lambda = GENERATE(0.5, 0.8);
  check(estimate([&](uint64_t seed) { return mean_sojourn(Distribution::exponential(1), 1, lambda, seed); }),
        1 / (1 - lambda));
  // The sojourn time is exponential with rate μ − λ.
  check(estimate([&](uint64_t seed) {
          return simulate(queue(Distribution::exponential(1), 1, lambda, Duration::seconds(60000 / lambda), seed))
              .latency_s.e2e->p95;
        }),
        std::log(20) / (1 - lambda), 0.06);
}

TEST_CASE("M/M/c: Erlang C") {
  int c = GENERATE(2, 8);
  double lambda = 0.8 * c;
  double exact = erlang_c(c, lambda) / (c - lambda) + 1;
  check(estimate([&](uint64_t seed) { return mean_sojourn(Distribution::exponential(1), c, lambda, seed); }), exact);
}

TEST_CASE("M/D/1") {
  double rho = GENERATE(0.5, 0.8);
  check(estimate([&](uint64_t seed) { return mean_sojourn(Distribution::constant(1), 1, rho, seed); }),
        1 + rho / (2 * (1 - rho)));
}

TEST_CASE("M/G/1: Pollaczek–Khinchine") {
  struct Case {
    Distribution service;
    double mean, second_moment;
  };
  double sigma = 0.8, median = std::exp(-sigma * sigma / 2);  // mean 1
  Case c = GENERATE_COPY(Case{Distribution::gamma(1, 0.5), 1, 1.25}, Case{Distribution::uniform(0, 2), 1, 4.0 / 3},
                         Case{Distribution::lognormal(median, sigma), 1, std::exp(sigma * sigma)},
                         Case{Distribution::discrete({0.5, 3}, {0.8, 0.2}), 1, 2.0});
  double lambda = 0.7;
  double exact = c.mean + lambda * c.second_moment / (2 * (1 - lambda * c.mean));
  INFO(c.service.text());
  check(estimate([&](uint64_t seed) { return mean_sojourn(c.service, 1, lambda, seed); }), exact);
}

TEST_CASE("closed network: N users, think time, three stations chosen at random: mean-value analysis") {
  constexpr int kStations = 3, kUsers = 12;
  constexpr double kThink = 4, kDemand = 1.0 / kStations;  // visits 1/3 × mean service 1
  double throughput = 0, response = 0;
  std::vector<double> length(kStations, 0);
  for (int n = 1; n <= kUsers; ++n) {
    response = 0;
    for (double q : length) response += kDemand * (1 + q);
    throughput = n / (kThink + response);
    for (double& q : length) q = throughput * kDemand * (1 + q);
  }
  auto simulated = [&](uint64_t seed) {
    Scenario s = queue(Distribution::exponential(1), 1, 0, Duration::seconds(30000), seed);
    s.manifests.deployments[0].replicas = kStations;
    s.traffic[0].pattern = TrafficSpec::Pattern::Users;
    s.traffic[0].users = kUsers;
    s.traffic[0].think = Distribution::exponential(kThink);
    s.routers = {{"server", {"random", {}, {}}}};
    return simulate(s);
  };
  check(estimate([&](uint64_t seed) { return simulated(seed).latency_s.e2e->mean; }), response);
  check(estimate([&](uint64_t seed) {
          Summary s = simulated(seed);
          return static_cast<double>(s.requests.completed) / s.simulated_s;
        }),
        throughput);
}

TEST_CASE("Little's law: exact over any run, within 1 % as averages at steady state") {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world(compile(queue(Distribution::exponential(1), 2, 1.6, Duration::seconds(100000), seed)));
    world.run_until(Time::max());
    Summary s = world.summary();  // checks ∫N dt = Σ sojourn to the nanosecond
    double in_flight = world.state().serving.in_flight.mean(world.now());
    double rate = static_cast<double>(s.requests.arrived) / s.simulated_s;
    CHECK(in_flight == Approx(rate * s.latency_s.e2e->mean).epsilon(0.01));
    CHECK(s.requests.completed > 100000);
  }
}

TEST_CASE("batching: a full batch takes base + per item, and work is conserved") {
  // Deterministic: 10 requests at once, batches of 4, 4 and 2.
  Scenario s = queue(Distribution::constant(1), 1, 0, Duration::seconds(60), 1);
  s.models[0].max_batch_size = 4;
  s.models[0].latency->per_item = Distribution::constant(0.5);
  auto trace = std::make_shared<TraceColumns>();
  for (int i = 0; i < 10; ++i) {
    trace->time_ns.push_back(0);
    trace->prompt_tokens.push_back(0);
    trace->output_tokens.push_back(1);
  }
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = trace;
  Summary r = run(compile(s));
  REQUIRE(r.requests.completed == 10);
  // The first goes alone (1.5 s), then 4 (3 s), 4 (3 s), 1 (1.5 s).
  CHECK(r.latency_s.e2e->max == Approx(9.0));
  CHECK(r.latency_s.e2e->mean == Approx((1.5 + 4 * 4.5 + 4 * 7.5 + 9.0) / 10));
}
