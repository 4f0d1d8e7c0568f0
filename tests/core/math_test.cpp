#include "core/math.hpp"

#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace kisim;

namespace {

// Distance in units of the last place of the right value.
double ulps(double value, double right) {
  if (value == right) return 0;
  double step = std::nextafter(std::fabs(right), INFINITY) - std::fabs(right);
  return std::fabs(value - right) / step;
}

// The largest error of f against g over points made by `draw`.
template <class F, class G, class Draw>
double worst(F f, G g, Draw draw) {
  Stream stream(7, 1, Purpose::Policy);
  double most = 0;
  for (int i = 0; i < 200000; ++i) {
    double x = draw(stream);
    most = std::max(most, ulps(f(x), g(x)));
  }
  return most;
}

auto between(double low, double high) {
  return [=](Stream& s) { return low + (high - low) * s.uniform(); };
}
auto log_between(double low, double high) {
  return [=](Stream& s) { return std::exp2(low + (high - low) * s.uniform()); };
}

}  // namespace

TEST_CASE("log is within 2 ulp", "[math]") {
  auto standard = [](double x) { return std::log(x); };
  CHECK(worst(math::log, standard, log_between(-1070, 1023)) <= 2);
  CHECK(worst(math::log, standard, between(0.5, 2)) <= 2);
  CHECK(worst(math::log, standard, between(1 - 1e-6, 1 + 1e-6)) <= 2);
  CHECK(math::log(1) == 0);
  CHECK(math::log(0) == -INFINITY);
  CHECK(math::log(INFINITY) == INFINITY);
  CHECK(std::isnan(math::log(-1)));
  CHECK(std::isnan(math::log(NAN)));
  CHECK(ulps(math::log(std::numeric_limits<double>::denorm_min()), -744.44007192138126) <= 2);
}

TEST_CASE("exp is within 2 ulp", "[math]") {
  auto standard = [](double x) { return std::exp(x); };
  CHECK(worst(math::exp, standard, between(-745, 709.7)) <= 2);
  CHECK(worst(math::exp, standard, between(-1, 1)) <= 2);
  CHECK(math::exp(0) == 1);
  CHECK(math::exp(710) == INFINITY);
  CHECK(math::exp(INFINITY) == INFINITY);
  CHECK(math::exp(-746) == 0);
  CHECK(math::exp(-INFINITY) == 0);
  CHECK(std::isnan(math::exp(NAN)));
}

TEST_CASE("pow is within 2 ulp, large exponents included", "[math]") {
  Stream stream(7, 2, Purpose::Policy);
  double most = 0;
  for (int i = 0; i < 200000; ++i) {
    double x = std::exp2(-20 + 40 * stream.uniform());
    double y = (stream.uniform() - 0.5) * 1000 / std::max(1.0, std::fabs(std::log(x)));
    most = std::max(most, ulps(math::pow(x, y), std::pow(x, y)));
  }
  CHECK(most <= 2);
  CHECK(math::pow(2, 10) == 1024);
  CHECK(math::pow(10, -3) == 1e-3);
  CHECK(math::pow(0, 2) == 0);
  CHECK(math::pow(0, 0) == 1);
  CHECK(math::pow(0, -1) == INFINITY);
  CHECK(std::isnan(math::pow(-1, 0.5)));
}

TEST_CASE("sin and cos are within 2 ulp", "[math]") {
  auto sine = [](double x) { return std::sin(x); };
  auto cosine = [](double x) { return std::cos(x); };
  CHECK(worst(math::sin, sine, between(-1, 1)) <= 2);
  CHECK(worst(math::sin, sine, between(-100, 100)) <= 2);
  CHECK(worst(math::sin, sine, between(-1e6, 1e6)) <= 2);
  CHECK(worst(math::cos, cosine, between(-1e6, 1e6)) <= 2);
  // Close to a multiple of pi, where the reduction must keep its low bits.
  CHECK(ulps(math::sin(math::kPi), 1.2246467991473532e-16) <= 2);
  CHECK(ulps(math::sin(355), std::sin(355.0)) <= 2);
  CHECK(math::sin(0) == 0);
  CHECK(math::cos(0) == 1);
}

TEST_CASE("lgamma is right to 1e-13", "[math]") {
  for (double x = 1e-3; x < 1e9; x *= 1.01) {
    double right = std::lgamma(x);
    CHECK(std::fabs(math::lgamma(x) - right) <= 1e-13 * std::max(1.0, std::fabs(right)));
  }
  CHECK(math::lgamma(171) == Approx(706.57306224578736).epsilon(1e-14));
}
