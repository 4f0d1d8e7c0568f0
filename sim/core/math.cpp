#include "core/math.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace kisim::math {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// ln 2 in 42 bits and the rest, so that k · high is exact for every exponent k of a double.
constexpr double kLn2High = 0x1.62e42fefa38p-1, kLn2Low = 0x1.ef35793c7673p-45;
constexpr double kInverseLn2 = 0x1.71547652b82fep+0;

// pi/2 in two parts of 33 bits and the rest: k · part is exact for |k| < 2^20.
constexpr double kHalfPi1 = 0x1.921fb544p+0, kHalfPi2 = 0x1.0b4611a6p-34, kHalfPi3 = 0x1.3198a2e037073p-69;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// Nearest integer, ties to even, without a call. Precondition: |x| < 2^51.
double nearest(double x) {
  constexpr double kShift = 0x1.8p52;
  return (x + kShift) - kShift;
}

// The unevaluated sum high + low with |low| <= ulp(high)/2 (Dekker, Numerische Mathematik 18, 1971).
struct Pair {
  double high, low;
};

Pair two_sum(double a, double b) {
  double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

Pair halves(double x) {
  double c = 0x1.000002p27 * x, high = c - (c - x);
  return {high, x - high};
}

Pair two_product(double a, double b) {
  double p = a * b;
  Pair x = halves(a), y = halves(b);
  return {p, ((x.high * y.high - p) + x.high * y.low + x.low * y.high) + x.low * y.low};
}

Pair operator+(Pair a, Pair b) {
  Pair s = two_sum(a.high, b.high);
  return two_sum(s.high, s.low + (a.low + b.low));
}

Pair operator*(Pair a, Pair b) {
  Pair p = two_product(a.high, b.high);
  return two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// x = 2^exponent · mantissa, mantissa in [sqrt(1/2), sqrt(2)). Precondition: x is positive and finite.
struct Parts {
  int exponent;
  double mantissa;
};

Parts split(double x) {
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdull;
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    exponent = -54;
  }
  auto bits = std::bit_cast<uint64_t>(x);
  auto k = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  return {exponent + static_cast<int>(k), std::bit_cast<double>(bits - (static_cast<uint64_t>(k) << 52))};
}

// 2/5 + 2/7 z + 2/9 z² + …: the series of (2 artanh(s) - 2s)/s³ after its 2/3, z = s² < 0.0295.
double artanh_tail(double z) {
  double w = z * z;
  double even = 2.0 / 5 + w * (2.0 / 9 + w * (2.0 / 13 + w * (2.0 / 17 + w * (2.0 / 21))));
  double odd = 2.0 / 7 + w * (2.0 / 11 + w * (2.0 / 15 + w * (2.0 / 19)));
  return even + z * odd;
}

// log(x) to about 2^-63 of itself, for pow: log m = 2 artanh(s), s = (m - 1)/(m + 1).
Pair log_pair(double x) {
  auto [k, m] = split(x);
  double f = m - 1;
  Pair denominator = two_sum(m, 1);
  double quotient = f / denominator.high;
  Pair product = two_product(quotient, denominator.high);
  double rest = ((f - product.high) - product.low - quotient * denominator.low) / denominator.high;
  Pair s = two_sum(quotient, rest);
  Pair z = s * s;
  Pair series = two_sum(2.0 / 3, 0x1.5555555555555p-55 + z.high * artanh_tail(z.high));
  Pair log_m = Pair{2 * s.high, 2 * s.low} + s * z * series;
  return Pair{k * kLn2High, k * kLn2Low} + log_m;
}

double power_of_two(int k) { return std::bit_cast<double>(static_cast<uint64_t>(1023 + k) << 52); }

// exp(high + low). Reduction by multiples of ln 2, then Taylor's series on |r| <= 0.347.
double exp_pair(double high, double low) {
  if (high != high) return kNan;
  if (high > 709.79) return kInfinity;
  if (high < -745.2) return 0;
  double k = nearest(high * kInverseLn2);
  double a = high - k * kLn2High, b = k * kLn2Low - low;
  double r = a - b, r_low = (a - r) - b;
  double z = r * r;
  double even = 1.0 / 2 + z * (1.0 / 24 + z * (1.0 / 720 + z * (1.0 / 40320 + z * (1.0 / 3628800 + z / 479001600))));
  double odd =
      1.0 / 6 + z * (1.0 / 120 + z * (1.0 / 5040 + z * (1.0 / 362880 + z * (1.0 / 39916800 + z / 6227020800))));
  double e = 1 + (r + (r_low + z * (even + r * odd)));
  // In two steps, since 2^k alone may be no normal number.
  int exponent = static_cast<int>(k), half = exponent / 2;
  return e * power_of_two(half) * power_of_two(exponent - half);
}

// x - k · pi/2 in [-pi/4, pi/4].
struct Reduced {
  int64_t quadrant;
  Pair rest;
};

Reduced reduce(double x) {
  double k = nearest(x * kTwoOverPi);
  Pair near = two_sum(x - k * kHalfPi1, -k * kHalfPi2);
  return {static_cast<int64_t>(k), two_sum(near.high, near.low - k * kHalfPi3)};
}

double sin_series(Pair x) {
  double r = x.high, z = r * r;
  double tail =
      1.0 / 120 -
      z * (1.0 / 5040 - z * (1.0 / 362880 - z * (1.0 / 39916800 - z * (1.0 / 6227020800 - z * (1.0 / 1307674368000 -
                                                                                               z / 355687428096000)))));
  return r + (r * z * (-1.0 / 6 + z * tail) + x.low * (1 - 0.5 * z));
}

double cos_series(Pair x) {
  double r = x.high, z = r * r;
  double tail =
      1.0 / 24 -
      z * (1.0 / 720 - z * (1.0 / 40320 - z * (1.0 / 3628800 -
                                               z * (1.0 / 479001600 - z * (1.0 / 87178291200 - z / 20922789888000)))));
  double half = 0.5 * z, w = 1 - half;
  return w + (((1 - w) - half) + (z * z * tail - r * x.low));
}

double sin_in_quadrant(int64_t quadrant, Pair x) {
  double value = quadrant & 1 ? cos_series(x) : sin_series(x);
  return quadrant & 2 ? -value : value;
}

}  // namespace

double log(double x) {
  if (!(x > 0)) return x == 0 ? -kInfinity : kNan;
  if (x == kInfinity) return x;
  auto [k, m] = split(x);
  double f = m - 1, s = f / (2 + f), z = s * s;
  double tail = z * (2.0 / 3 + z * artanh_tail(z));
  // 2s = f - f²/2 + s·f²/2, and f is exact: the rounding of s only enters at second order.
  double half_square = 0.5 * f * f;
  return k * kLn2High + (f - (half_square - (s * (half_square + tail) + k * kLn2Low)));
}

double exp(double x) { return exp_pair(x, 0); }

double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x == 0) return y > 0 ? 0 : kInfinity;
  if (!(x > 0)) return kNan;
  Pair product = log_pair(x) * Pair{y, 0};
  return exp_pair(product.high, product.low);
}

double sin(double x) {
  auto [quadrant, rest] = reduce(x);
  return sin_in_quadrant(quadrant, rest);
}

double cos(double x) {
  auto [quadrant, rest] = reduce(x);
  return sin_in_quadrant(quadrant + 1, rest);
}

double lgamma(double x) {
  constexpr double kHalfLogTwoPi = 0x1.d67f1c864beb5p-1;
  // Gamma(x) = Gamma(x + n)/(x (x + 1) … (x + n - 1)) lifts x to where the series converges fast.
  double product = 1;
  for (; x < 10; ++x) product *= x;
  double y = 1 / x, z = y * y;
  double series =
      y * (1.0 / 12 -
           z * (1.0 / 360 - z * (1.0 / 1260 - z * (1.0 / 1680 - z * (1.0 / 1188 - z * (691.0 / 360360 - z / 156))))));
  return (x - 0.5) * log(x) - x + kHalfLogTwoPi + series - log(product);
}

}  // namespace kisim::math
