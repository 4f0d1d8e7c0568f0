#include "traffic/stepped_rate.hpp"

#include "traffic/traffic.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

TEST_CASE("A rate in steps, its integral and when that reaches a count", "[traffic]") {
  const SteppedRate rate({{Time{} + 10_s, 2}, {Time{} + 20_s, 0}, {Time{} + 30_s, 5}});
  CHECK(rate.integral(Time{} + 5_s) == 0);
  CHECK(rate.integral(Time{} + 15_s) == 10);
  CHECK(rate.integral(Time{} + 25_s) == 20);
  CHECK(rate.integral(Time{} + 32_s) == 30);
  CHECK(rate.when(10, Time{}) == Time{} + 15_s);
  CHECK(rate.when(30, Time{}) == Time{} + 32_s);
  CHECK(rate.when(10, Time{} + 17_s) == Time{} + 17_s);
  CHECK(SteppedRate().when(1, Time{}) == std::nullopt);
  CHECK(SteppedRate({{Time{}, 3}, {Time{} + 1_s, 0}}).when(4, Time{}) == std::nullopt);
}

TEST_CASE("Steps that are drawn belong to the seed and the source", "[traffic]") {
  SourceModel source;
  source.entity = 7;
  source.pattern = SourceModel::Pattern::Steps;
  source.drawn = {10, 20};
  for (int i = 0; i < 1000; ++i) source.rates.push_back({Time{} + 1_s * i, 0});
  auto drawn = [&](uint64_t seed) {
    draw_steps(source, seed);
    return source.rates;
  };
  const std::vector<RateStep> first = drawn(1), other = drawn(2), again = drawn(1);
  double sum = 0;
  bool equal = true, differs = false;
  for (size_t i = 0; i < first.size(); ++i) {
    equal &= first[i].rate == again[i].rate;
    differs |= first[i].rate != other[i].rate;
    CHECK((first[i].rate >= 10 && first[i].rate <= 20));
    sum += first[i].rate;
  }
  CHECK(equal);
  CHECK(differs);
  CHECK(sum / 1000 == Approx(15).margin(0.4));  // 4 standard deviations of the mean: 0.37
}
