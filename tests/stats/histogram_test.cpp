#include "stats/histogram.hpp"

#include "core/distribution.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

using namespace kisim;

namespace {

int64_t exact_quantile(const std::vector<int64_t>& sorted, double q) {
  auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

std::vector<int64_t> draw_many(const Distribution& d, int n) {
  Stream stream(31, 1, Purpose::Policy);
  std::vector<int64_t> values;
  for (int i = 0; i < n; ++i) values.push_back(static_cast<int64_t>(d.draw(stream)));
  return values;
}

Histogram filled(const std::vector<int64_t>& values) {
  Histogram h;
  for (int64_t v : values) h.add(v);
  return h;
}

}  // namespace

TEST_CASE("quantiles are the nearest rank within half a percent", "[histogram]") {
  std::vector<Distribution> shapes{Distribution::constant(123456789),
                                   Distribution::uniform(0, 100),
                                   Distribution::uniform(0, 1e12),
                                   Distribution::exponential(5e7),
                                   Distribution::lognormal(1e8, 2),
                                   Distribution::lognormal(200, 1),
                                   Distribution::discrete({10, 1e15}, {99, 1}),
                                   Distribution::geometric(3),
                                   Distribution::gamma(1e9, 0.1)};
  for (const Distribution& shape : shapes)
    for (int n : {1, 2, 3, 10, 1000, 20000}) {
      auto values = draw_many(shape, n);
      Histogram h = filled(values);
      std::sort(values.begin(), values.end());
      for (double q : {0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) {
        INFO(shape.text() << ", n " << n << ", q " << q);
        auto exact = static_cast<double>(exact_quantile(values, q));
        REQUIRE(std::fabs(static_cast<double>(h.quantile(q)) - exact) <= 0.005 * exact);
      }
      CHECK(h.count() == static_cast<uint64_t>(n));
      CHECK(h.min() == values.front());
      CHECK(h.max() == values.back());
      CHECK(h.quantile(1) == values.back());
    }
}

TEST_CASE("small values are exact", "[histogram]") {
  Histogram h;
  for (int64_t v = 0; v < 256; ++v) h.add(v);
  for (int64_t v = 0; v < 256; ++v) CHECK(h.quantile(static_cast<double>(v + 1) / 256) == v);
}

TEST_CASE("the mean is exact where doubles would not be", "[histogram]") {
  Histogram h;
  for (int i = 0; i < 1000; ++i) h.add(INT64_MAX);
  CHECK(h.mean() == static_cast<double>(INT64_MAX));
  CHECK(h.quantile(0.5) == INT64_MAX);
  Histogram small = filled({1, 2, 4});
  CHECK(small.mean() == 7.0 / 3);
}

TEST_CASE("an empty histogram answers 0, negative values count as 0", "[histogram]") {
  Histogram h;
  CHECK(h.quantile(0.5) == 0);
  CHECK(h.mean() == 0);
  CHECK(h.buckets().empty());
  h.add(-5);
  CHECK(h.min() == 0);
  CHECK(h.max() == 0);
  CHECK(h.count() == 1);
}

TEST_CASE("merging is as if all had been added to one", "[histogram]") {
  auto a = draw_many(Distribution::lognormal(1e6, 2), 1000), b = draw_many(Distribution::exponential(1e9), 777);
  auto all = a;
  all.insert(all.end(), b.begin(), b.end());
  Histogram together = filled(all), left = filled(a), right = filled(b), empty;
  left.merge(empty);
  left.merge(filled(b));
  right.merge(filled(a));
  empty.merge(together);
  for (const Histogram* h : {&left, &right, &empty}) {
    CHECK(h->count() == together.count());
    CHECK(h->mean() == together.mean());
    CHECK(h->min() == together.min());
    CHECK(h->max() == together.max());
    for (double q : {0.1, 0.5, 0.99}) CHECK(h->quantile(q) == together.quantile(q));
  }
}

TEST_CASE("buckets cover every value once and are narrow", "[histogram]") {
  auto values = draw_many(Distribution::lognormal(1e6, 4), 5000);
  uint64_t total = 0;
  int64_t before = 0;
  for (const auto& bucket : filled(values).buckets()) {
    CHECK(bucket.low >= before);
    CHECK(bucket.high > bucket.low);
    CHECK((bucket.high - bucket.low == 1 || (bucket.high - bucket.low) * 128 <= bucket.low));
    auto inside =
        std::count_if(values.begin(), values.end(), [&](int64_t v) { return v >= bucket.low && v < bucket.high; });
    CHECK(bucket.count == static_cast<uint64_t>(inside));
    total += bucket.count;
    before = bucket.high;
  }
  CHECK(total == values.size());
}

TEST_CASE("reset forgets everything", "[histogram]") {
  Histogram h = filled({1, 1000, 1000000});
  h.reset();
  CHECK(h.count() == 0);
  CHECK(h.quantile(0.9) == 0);
  h.add(7);
  CHECK(h.min() == 7);
  CHECK(h.quantile(0.5) == 7);
}
