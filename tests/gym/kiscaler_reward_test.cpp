#include "gym/kiscaler_reward.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

// The rewards that KIS-S publishes are those of answers that never came: its p95 stands at the 1000 ms that are put in
// place of a missing one, its throughput at 5 requests per second, its replicas at three and three, for five steps.
TEST_CASE("KIScaler's published rewards follow from constants", "[kiscaler]") {
  auto [pattern, reward] =
      GENERATE(table<const char*, double>({{"random", 1.761}, {"ramp", 2.710}, {"spike", 0.530}, {"periodic", 2.160}}));
  double sum = 0;
  for (int step = 0; step < 5; ++step)
    sum += kiscaler_reward(
        *find_kiscaler_pattern(pattern),
        {.p95_ms = 1000, .requests_per_s = 5, .gpu_replicas = 3, .cpu_replicas = 3, .steps_before = step});
  INFO(pattern);
  CHECK(sum == Approx(reward).margin(0.0005));
}

TEST_CASE("KIScaler's reward by hand", "[kiscaler]") {
  const KiscalerPattern& ramp = *find_kiscaler_pattern("ramp");
  // 0.4 · (6250 − 3125)/6250 + 0.3 · (20.5 − 10.25)/10.25 + 0.2 · (1 − 2/4) + 0.01 − 0.5
  CHECK(kiscaler_reward(ramp, {3125, 20.5, 95, 3, 1, 2}) == Approx(0.2 + 0.3 + 0.1 + 0.01 - 0.5));
  // Worse than the baseline costs nothing, and more replicas neither.
  CHECK(kiscaler_reward(ramp, {1e6, 0, 0, 10, 10, 0}) == Approx(0.2));
  CHECK(kiscaler_reward(*find_kiscaler_pattern("spike"), {1e6, 0, 0, 3, 1, 0}) == Approx(0.2 * 3 / 4));
  CHECK(find_kiscaler_pattern("sawtooth") == nullptr);
}
