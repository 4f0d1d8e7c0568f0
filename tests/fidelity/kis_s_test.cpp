// The testbed of KIS-S (Xu et al., arXiv 2507.07932) as the scenarios under scenarios/kis-s, against what its
// repository GuilinDev/KISim publishes: two runs of each pattern on the GPU machine.

#include "io/input.hpp"
#include "run/model.hpp"
#include "run/world.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Catch::Detail::Approx;

namespace {

constexpr uint64_t kSeeds = 5;

std::shared_ptr<const Model> kis_s(const std::string& pattern, uint64_t seed) {
  return compile(read_scenario({std::string(KISIM_ROOT) + "/scenarios/kis-s/" + pattern + ".yaml"}, {.seed = seed}));
}

// Answers of a stretch of a run.
struct Answers {
  double count = 0, seconds = 0;
  double mean() const { return seconds / count; }
  Answers operator-(const Answers& before) const { return {count - before.count, seconds - before.seconds}; }
  void operator+=(const Answers& more) {
    count += more.count;
    seconds += more.seconds;
  }
};

Answers answers_at(World& world, double seconds) {
  world.run_until(Time{} + Duration::seconds(seconds));
  const Histogram& e2e = world.state().serving.clients.at(0).e2e;
  const auto count = static_cast<double>(e2e.count());
  return {count, count * e2e.mean() * 1e-9};
}

}  // namespace

TEST_CASE("KIS-S: one of three GPU pods runs, two wait with Kubernetes' message") {
  World world(kis_s("spike", 1));
  world.run_until(Time{} + Duration::seconds(60));
  const ClusterState& cluster = world.state().cluster;
  int ready = 0, pending = 0;
  for (const PodState& pod : cluster.pods) {
    ready += pod.phase == PodPhase::Ready;
    pending += pod.phase == PodPhase::Pending;
  }
  CHECK(ready == 1);
  CHECK(pending == 2);
}

TEST_CASE("KIS-S: whole runs agree with the published ones") {
  struct Run {
    const char* pattern;
    double rate, mean, p95;  // both runs' mean: 1/s, s, s
  };
  for (const Run& run : {Run{"ramp", 12.42, 1.893, 4.7}, Run{"spike", 9.58, 2.075, 5.65}}) {
    CAPTURE(run.pattern);
    double rate = 0, mean = 0, p95 = 0;
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const Summary s = kisim::run(kis_s(run.pattern, seed));
      rate += static_cast<double>(s.requests.completed) / (s.simulated_s - 60) / kSeeds;
      mean += s.latency_s.e2e->mean / kSeeds;
      p95 += s.latency_s.e2e->p95 / kSeeds;
    }
    CHECK(rate == Approx(run.rate).epsilon(0.05));
    CHECK(mean == Approx(run.mean).epsilon(0.10));
    CHECK(p95 == Approx(run.p95).epsilon(0.15));
  }
}

TEST_CASE("KIS-S: rate and response time by the number of users") {
  // Ten users: 6.15/s at 0.115 s. A hundred, once the queue is full: 1,579 answers in 106.4 s and 1,313 in 94.2 s of
  // the two runs (their steps of "15 s" took 15 to 28 s), half of them within 3.09 s.
  Answers ten, hundred;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    World world(kis_s("spike", seed));
    const Answers settled = answers_at(world, 75);
    ten += answers_at(world, 150) - settled;
    const Answers full = answers_at(world, 175);
    hundred += answers_at(world, 275) - full;
  }
  CHECK(ten.count / kSeeds / 75 == Approx(6.15).epsilon(0.05));
  CHECK(ten.mean() == Approx(0.115).epsilon(0.15));
  CHECK(hundred.count / kSeeds / 100 == Approx(14.4).epsilon(0.06));
  CHECK(hundred.mean() == Approx(3.09).epsilon(0.10));

  // The ramp's mean by band of users: between the snapshots of 28, 41, 59, 77 and 100 users, the mean of both runs.
  struct Band {
    double from, until, mean;
  };
  for (const Band& band : {Band{52, 100, 0.906}, Band{100, 167, 1.533}, Band{167, 231, 2.087}, Band{231, 339, 2.774}}) {
    CAPTURE(band.mean);
    Answers there;
    for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
      World world(kis_s("ramp", seed));
      const Answers before = answers_at(world, 60 + band.from);
      there += answers_at(world, 60 + band.until) - before;
    }
    CHECK(there.mean() == Approx(band.mean).epsilon(0.15));
  }
}
