#include "stats/time_weighted.hpp"

#include "stats/series.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

TEST_CASE("the integral is value times time", "[gauge]") {
  TimeWeighted gauge;
  gauge.set(Time{10}, 3);
  gauge.add(Time{20}, 2);
  gauge.add(Time{25}, -5);
  CHECK(gauge.value() == 0);
  CHECK(gauge.max() == 5);
  CHECK(gauge.integral(Time{100}) == 55);
  CHECK(gauge.mean(Time{100}) == 0.55);
}

TEST_CASE("reset keeps the present value alone", "[gauge]") {
  TimeWeighted gauge;
  gauge.set(Time{0}, 9);
  gauge.set(Time{50}, 4);
  gauge.reset(Time{100});
  CHECK(gauge.integral(Time{100}) == 0);
  CHECK(gauge.mean(Time{100}) == 0);
  CHECK(gauge.max() == 4);
  CHECK(gauge.integral(Time{110}) == 40);
  CHECK(gauge.mean(Time{110}) == 4);
}

TEST_CASE("the integral is exact beyond 64 bits", "[gauge]") {
  TimeWeighted gauge;
  gauge.set(Time{0}, INT64_MAX);
  CHECK(gauge.integral(Time::max()) == static_cast<__int128>(INT64_MAX) * INT64_MAX);
}

TEST_CASE("two changes at one instant leave no trace of the first", "[gauge]") {
  TimeWeighted gauge;
  gauge.set(Time{5}, 100);
  gauge.set(Time{5}, 1);
  CHECK(gauge.integral(Time{15}) == 10);
  CHECK(gauge.max() == 100);
}

TEST_CASE("a series collects points", "[series]") {
  Series series{"up", "1", {{"job", "llama"}}, {}, {}};
  series.add(Time{1500000000}, 2);
  CHECK(series.t == std::vector<double>{1.5});
  CHECK(series.value == std::vector<double>{2});
}
