#include "serving/latency_law.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

LatencyLaw table(std::vector<LatencyPoint> points) {
  LatencyLaw law;
  law.table = isotonic(std::move(points));
  return law;
}

double at(const LatencyLaw& law, int64_t samples, double slowdown = 1) {
  Stream stream(1, 2, Purpose::ServiceTime);
  return law.seconds(samples, stream, slowdown);
}

}  // namespace

TEST_CASE("isotonic pools what falls, and nothing else", "[law]") {
  auto points = isotonic({{8, 4}, {1, 1}, {4, 5}, {2, 3}, {16, 6}});
  REQUIRE(points.size() == 5);
  std::vector<double> seconds;
  for (const LatencyPoint& p : points) seconds.push_back(p.seconds);
  CHECK(seconds == std::vector<double>{1, 3, 4.5, 4.5, 6});
  // A long fall is one level, the mean of all of it.
  for (const LatencyPoint& p : isotonic({{1, 4}, {2, 3}, {3, 2}})) CHECK(p.seconds == 3);
  // Points of one size are one point.
  auto twice = isotonic({{1, 1}, {2, 2}, {2, 4}, {3, 9}});
  REQUIRE(twice.size() == 3);
  CHECK(twice[1].seconds == 3);
}

TEST_CASE("a table is linear between its points, and flags what lies beyond", "[law]") {
  LatencyLaw law = table({{2, 1}, {4, 2}, {8, 6}});
  law.range_min = 2;
  law.range_max = 8;
  CHECK(at(law, 1) == 1);
  CHECK(at(law, 2) == 1);
  CHECK(at(law, 3) == 1.5);
  CHECK(at(law, 6) == 4);
  CHECK(at(law, 8) == 6);
  CHECK(at(law, 10) == 8);
  CHECK(law.outside(1));
  CHECK_FALSE(law.outside(8));
  CHECK(law.outside(9));
  CHECK(at(table({{4, 2}}), 100) == 2);
  law.factor = Distribution::constant(1.5);
  CHECK(at(law, 3) == 2.25);
}

TEST_CASE("a slice stretches what it has too little of, and no more", "[law]") {
  LatencyLaw law;
  law.base = Distribution::constant(2);
  law.per_sample = Distribution::constant(1);
  law.host = 1;
  Accelerator slice;
  slice.gpus = 1;
  slice.compute_share = 0.25;
  slice.bandwidth_share = 0.5;
  law.compute = 1;
  law.bandwidth = 1;
  CHECK(law.slowdown(slice) == 4);
  law.compute = 0.2;  // bound by memory
  CHECK(law.slowdown(slice) == 2);
  law.bandwidth = 0.4;  // by nothing
  CHECK(law.slowdown(slice) == 1);
  CHECK(law.slowdown({}) == 1);
  law.compute = law.bandwidth = 1;
  slice.sharing = GpuSharing::Fraction;
  CHECK(law.slowdown(slice) == 1);
  CHECK(at(law, 3) == 5);
  CHECK(at(law, 3, 2) == 1 + 4 * 2);
  law.host = 7;  // nothing of it is the GPU's
  CHECK(at(law, 3, 2) == 5);
}
