#include "core/distribution.hpp"

#include "core/error.hpp"
#include "core/statistics.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace kisim;

namespace {

constexpr int kDraws = 100000;

template <class Draw>
std::vector<double> sample(Draw draw, int n = kDraws) {
  Stream stream(11, 12, Purpose::ServiceTime);
  std::vector<double> values;
  for (int i = 0; i < n; ++i) values.push_back(draw(stream));
  return values;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Regularised lower incomplete gamma function, by its series.
double gamma_cdf(double shape, double x) {
  if (x <= 0) return 0;
  double term = 1 / shape, sum = term;
  for (double k = shape + 1; term > sum * 1e-16; ++k) sum += term *= x / k;
  return sum * std::exp(shape * std::log(x) - x - std::lgamma(shape));
}

// How far counts of integers lie from the law `p`, as a normal deviate.
template <class Draw, class Law>
double deviate_of_counts(Draw draw, Law p, int64_t first, int64_t last) {
  Stream stream(13, 14, Purpose::ServiceTime);
  std::vector<uint64_t> seen(static_cast<size_t>(last - first + 1));
  std::vector<double> expected;
  for (int i = 0; i < kDraws; ++i) ++seen[static_cast<size_t>(std::clamp<int64_t>(draw(stream), first, last) - first)];
  double rest = kDraws;
  for (int64_t k = first; k <= last; ++k) {
    expected.push_back(k == last ? rest : kDraws * p(static_cast<double>(k)));
    rest -= expected.back();
  }
  return chi_square_deviate(seen, expected);
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

// Is the mean of many draws the declared mean, in standard errors?
double mean_deviate(const Distribution& d) {
  auto values = sample([&](Stream& s) { return d.draw(s); });
  double mean = mean_of(values), square = 0;
  for (double v : values) square += (v - mean) * (v - mean);
  double error = std::sqrt(square) / static_cast<double>(values.size());
  return std::fabs(mean - d.mean()) / std::max(error, 1e-12);
}

}  // namespace

TEST_CASE("the normal quantile matches AS 241's own checks", "[distribution]") {
  CHECK(normal_quantile(0.25) == Approx(-0.6744897501960817).epsilon(1e-15));
  CHECK(normal_quantile(0.001) == Approx(-3.090232306167814).epsilon(1e-15));
  CHECK(normal_quantile(1e-20) == Approx(-9.262340089798408).epsilon(1e-15));
  CHECK(normal_quantile(0.5) == 0);
  for (double p = 1e-12; p < 1; p = p < 0.01 ? p * 1.7 : p + 0.0097)
    CHECK(normal_cdf(normal_quantile(p)) == Approx(p).epsilon(1e-12));
}

TEST_CASE("continuous draws follow their laws", "[distribution]") {
  auto fits = [](auto draw, auto cdf) { return kolmogorov(sample(draw), cdf) < kKolmogorovLimit; };
  CHECK(fits([](Stream& s) { return draw_exponential(s, 3); }, [](double x) { return 1 - std::exp(-x / 3); }));
  CHECK(fits([](Stream& s) { return draw_normal(s, 5, 2); }, [](double x) { return normal_cdf((x - 5) / 2); }));
  CHECK(fits([](Stream& s) { return draw_lognormal(s, 1020, 0.9); },
             [](double x) { return normal_cdf(std::log(x / 1020) / 0.9); }));
  for (double shape : {0.1, 0.5, 1.0, 2.5, 40.0})
    CHECK(fits([=](Stream& s) { return draw_gamma(s, shape, 2); }, [=](double x) { return gamma_cdf(shape, x / 2); }));
  CHECK_FALSE(fits([](Stream& s) { return draw_gamma(s, 2.5, 2); }, [](double x) { return gamma_cdf(2.6, x / 2); }));
}

TEST_CASE("integer draws follow their laws", "[distribution]") {
  for (double mean : {0.01, 0.7, 4.0, 9.99, 10.0, 35.0, 500.0}) {
    auto p = [=](double k) { return std::exp(k * std::log(mean) - mean - std::lgamma(k + 1)); };
    int64_t last = static_cast<int64_t>(mean + 10 * std::sqrt(mean) + 10);
    CHECK(deviate_of_counts([=](Stream& s) { return draw_poisson(s, mean); }, p, 0, last) < kNormalLimit);
  }
  for (double mean : {1.5, 20.0, 211.0}) {
    auto p = [=](double k) { return std::pow(1 - 1 / mean, k - 1) / mean; };
    int64_t last = static_cast<int64_t>(12 * mean);
    CHECK(deviate_of_counts([=](Stream& s) { return draw_geometric(s, mean); }, p, 1, last) < kNormalLimit);
  }
  for (double exponent : {0.0, 0.5, 1.0, 1.0001, 2.0, 4.0})
    for (int64_t n : {1, 2, 10, 1000}) {
      double sum = 0;
      for (double k = 1; k <= static_cast<double>(n); ++k) sum += std::pow(k, -exponent);
      auto p = [=](double k) { return std::pow(k, -exponent) / sum; };
      if (n == 1) {
        Stream stream(1, 1, Purpose::Policy);
        CHECK(draw_zipf(stream, 1, exponent) == 1);
        continue;
      }
      CHECK(deviate_of_counts([=](Stream& s) { return draw_zipf(s, n, exponent); }, p, 1, n) < kNormalLimit);
    }
}

TEST_CASE("the extremes of integer draws", "[distribution]") {
  Stream stream(1, 1, Purpose::Policy);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(draw_geometric(stream, 1) == 1);
    REQUIRE(draw_poisson(stream, 0) == 0);
    int64_t rank = draw_zipf(stream, 1000000000, 1.1);
    REQUIRE((rank >= 1 && rank <= 1000000000));
  }
}

TEST_CASE("means are what is declared", "[distribution]") {
  std::vector<Distribution> all{Distribution::uniform(-1, 3),
                                Distribution::exponential(0.2),
                                Distribution::normal(10, 4),
                                Distribution::lognormal(1020, 0.9),
                                Distribution::gamma(5, 0.3),
                                Distribution::gamma(5, 2.5),
                                Distribution::geometric(211),
                                Distribution::poisson(3),
                                Distribution::zipf(100000, 1.2),
                                Distribution::zipf(50, 0.8),
                                Distribution::discrete({1, 5}, {3, 1}),
                                Distribution::empirical({2, 4, 9})};
  for (const Distribution& d : all) {
    INFO(d.text());
    CHECK(mean_deviate(d) < 4);
  }
  CHECK(Distribution::discrete({1, 5}, {3, 1}).mean() == 2);
  double numerator = 0, denominator = 0;
  for (double k = 1; k <= 100000; ++k) {
    numerator += std::pow(k, -0.2);
    denominator += std::pow(k, -1.2);
  }
  CHECK(Distribution::zipf(100000, 1.2).mean() == Approx(numerator / denominator).epsilon(1e-9));
}

TEST_CASE("weights and values decide what a discrete law gives", "[distribution]") {
  Stream stream(2, 3, Purpose::Policy);
  Distribution d = Distribution::discrete({10, 20, 30, 40}, {0, 1, 0, 3});
  std::map<double, uint64_t> seen;
  for (int i = 0; i < kDraws; ++i) ++seen[d.draw(stream)];
  CHECK(seen.size() == 2);
  CHECK(chi_square_deviate({seen[20], seen[40]}, {kDraws / 4.0, kDraws * 3 / 4.0}) < kNormalLimit);
  Distribution e = Distribution::empirical({1, 2, 2, 7});
  seen.clear();
  for (int i = 0; i < kDraws; ++i) ++seen[e.draw(stream)];
  CHECK(chi_square_deviate({seen[1], seen[2], seen[7]}, {kDraws / 4.0, kDraws / 2.0, kDraws / 4.0}) < kNormalLimit);
}

TEST_CASE("clamping cuts draws and not the law", "[distribution]") {
  Stream stream(2, 3, Purpose::Policy);
  Distribution d = Distribution::normal(0, 10).clamped(-1, 1);
  double low = 2, high = -2;
  for (int i = 0; i < 1000; ++i) {
    double x = d.draw(stream);
    low = std::min(low, x);
    high = std::max(high, x);
  }
  CHECK(low == -1);
  CHECK(high == 1);
  CHECK(d.mean() == 0);
}

TEST_CASE("a constant draws nothing from its stream", "[distribution]") {
  Stream stream(2, 3, Purpose::Policy), untouched = stream;
  Distribution d = Distribution::constant(7);
  CHECK(d.is_constant());
  CHECK(d.draw(stream) == 7);
  CHECK(stream.next_u64() == untouched.next_u64());
  CHECK(Distribution().draw(stream) == 0);
}

TEST_CASE("draws are pinned: the same numbers on every machine", "[distribution]") {
  Stream stream(42, 42, Purpose::Policy);
  std::vector<double> draws{draw_exponential(stream, 1), draw_normal(stream, 0, 1), draw_lognormal(stream, 1, 1),
                            draw_gamma(stream, 0.5, 1), draw_gamma(stream, 3, 1)};
  std::vector<double> pinned{0x1.6a4d32d246d9ep+0, 0x1.1ebe9c805f30ap-1, 0x1.2f2231798277ap-3, 0x1.988c658f91285p-9,
                             0x1.9c0502131067cp+1};
  CHECK(draws == pinned);
  CHECK(draw_poisson(stream, 100) == 100);
  CHECK(draw_geometric(stream, 211) == 163);
  CHECK(draw_zipf(stream, 1000, 1.1) == 35);
}

TEST_CASE("distributions say what they are and refuse nonsense", "[distribution]") {
  CHECK(Distribution::lognormal(1020, 0.9).text() == "lognormal(median 1020, sigma 0.9)");
  CHECK(Distribution::constant(211).text() == "211");
  CHECK(Distribution::gamma(5, 0.3).text() == "gamma(mean 5, cv 0.3)");
  CHECK_THROWS_AS(Distribution::uniform(2, 1), InvariantError);
  CHECK_THROWS_AS(Distribution::geometric(0.5), InvariantError);
  CHECK_THROWS_AS(Distribution::discrete({1}, {0}), InvariantError);
  CHECK_THROWS_AS(Distribution::discrete({1, 2}, {1}), InvariantError);
  CHECK_THROWS_AS(Distribution::empirical({}), InvariantError);
}
