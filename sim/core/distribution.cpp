#include "core/distribution.hpp"

#include "core/error.hpp"
#include "core/math.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace kisim {

namespace {

// The rational function p(x)/q(x) of AS 241, coefficients from the constant term up.
double ratio(double x, const double (&p)[8], const double (&q)[8]) {
  double numerator = p[7], denominator = q[7];
  for (int i = 6; i >= 0; --i) {
    numerator = numerator * x + p[i];
    denominator = denominator * x + q[i];
  }
  return numerator / denominator;
}

// Zipf's law by inverting H(x) = ∫ t^-s dt from 1 to x, written so that s = 1 is no special case.
class ZipfHat {
 public:
  explicit ZipfHat(double exponent) : s_(exponent) {}
  double density(double x) const { return math::exp(-s_ * math::log(x)); }
  double integral(double x) const {
    double l = math::log(x);
    return l * relative_exp((1 - s_) * l);
  }
  double inverse(double y) const { return math::exp(y * relative_log(std::max(-1.0, (1 - s_) * y))); }

 private:
  // (e^t - 1)/t
  static double relative_exp(double t) {
    if (std::fabs(t) > 1e-2) return (math::exp(t) - 1) / t;
    return 1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * (1 + t / 6))));
  }
  // log(1 + t)/t
  static double relative_log(double t) {
    if (std::fabs(t) > 1e-2) return math::log(1 + t) / t;
    return 1 - t * (1.0 / 2 - t * (1.0 / 3 - t * (1.0 / 4 - t * (1.0 / 5 - t * (1.0 / 6 - t / 7)))));
  }
  double s_;
};

int64_t poisson_by_inversion(Stream& stream, double mean) {
  constexpr double kNegligible = 0x1p-60;  // what rounding leaves of u may never be used up
  double u = stream.uniform_open(), p = math::exp(-mean);
  int64_t k = 0;
  while (u > p && (p > kNegligible || static_cast<double>(k) < mean)) {
    u -= p;
    ++k;
    p *= mean / static_cast<double>(k);
  }
  return k;
}

int64_t poisson_by_rejection(Stream& stream, double mean) {
  double b = 0.931 + 2.53 * std::sqrt(mean);
  double a = -0.059 + 0.02483 * b;
  double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  double squeeze = 0.9277 - 3.6224 / (b - 2);
  double log_mean = math::log(mean);
  for (;;) {
    double u = stream.uniform() - 0.5, v = stream.uniform_open();
    double distance = 0.5 - std::fabs(u);
    double k = std::floor((2 * a / distance + b) * u + mean + 0.43);
    if (distance >= 0.07 && v <= squeeze) return static_cast<int64_t>(k);
    if (k < 0 || (distance < 0.013 && v > distance)) continue;
    double hat = math::log(v * inverse_alpha / (a / (distance * distance) + b));
    if (hat <= k * log_mean - mean - math::lgamma(k + 1)) return static_cast<int64_t>(k);
  }
}

// Σ k^-s for k = 1 … n: the first terms one by one, the rest by Euler and Maclaurin.
double generalized_harmonic(double n, double s) {
  constexpr double kDirect = 64;
  double sum = 0, last = std::min(n, kDirect);
  for (double k = 1; k <= last; ++k) sum += math::pow(k, -s);
  if (n <= kDirect) return sum;
  ZipfHat hat(s);
  double f_a = hat.density(last), f_n = hat.density(n);
  return sum + hat.integral(n) - hat.integral(last) + (f_n - f_a) / 2 + s * (f_a / last - f_n / n) / 12;
}

}  // namespace

double draw_exponential(Stream& stream, double mean) { return -mean * math::log(stream.uniform_open()); }

double normal_quantile(double p) {
  // Wichura, AS 241, Applied Statistics 37(3), 1988: three rational functions, relative error about 1e-16.
  static constexpr double kA[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                   1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                   3.3430575583588128105e4, 2.5090809287301226727e3};
  static constexpr double kB[8] = {1.0,
                                   4.2313330701600911252e1,
                                   6.8718700749205790830e2,
                                   5.3941960214247511077e3,
                                   2.1213794301586595867e4,
                                   3.9307895800092710610e4,
                                   2.8729085735721942674e4,
                                   5.2264952788528545610e3};
  static constexpr double kC[8] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                   3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                   2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double kD[8] = {1.0,
                                   2.05319162663775882187e0,
                                   1.67638483018380384940e0,
                                   6.89767334985100004550e-1,
                                   1.48103976427480074590e-1,
                                   1.51986665636164571966e-2,
                                   5.47593808499534494600e-4,
                                   1.05075007164441684324e-9};
  static constexpr double kE[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                   2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                   2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double kF[8] = {1.0,
                                   5.99832206555887937690e-1,
                                   1.36929880922735805310e-1,
                                   1.48753612908506148525e-2,
                                   7.86869131145613259100e-4,
                                   1.84631831751005468180e-5,
                                   1.42151175831644588870e-7,
                                   2.04426310338993978564e-15};
  double q = p - 0.5;
  if (std::fabs(q) <= 0.425) return q * ratio(0.180625 - q * q, kA, kB);
  double r = std::sqrt(-math::log(q < 0 ? p : 1 - p));
  double x = r <= 5 ? ratio(r - 1.6, kC, kD) : ratio(r - 5, kE, kF);
  return q < 0 ? -x : x;
}

double draw_normal(Stream& stream, double mean, double sd) {
  return mean + sd * normal_quantile(stream.uniform_open());
}

double draw_lognormal(Stream& stream, double median, double sigma) {
  return median * math::exp(draw_normal(stream, 0, sigma));
}

double draw_gamma(Stream& stream, double shape, double scale) {
  if (shape < 1) {
    double boosted = draw_gamma(stream, shape + 1, scale);
    return boosted * math::exp(math::log(stream.uniform_open()) / shape);
  }
  double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x = draw_normal(stream, 0, 1), v = 1 + c * x;
    if (v <= 0) continue;
    v = v * v * v;
    double u = stream.uniform_open();
    if (math::log(u) < 0.5 * x * x + d * (1 - v + math::log(v))) return d * v * scale;
  }
}

int64_t draw_poisson(Stream& stream, double mean) {
  return mean < 10 ? poisson_by_inversion(stream, mean) : poisson_by_rejection(stream, mean);
}

int64_t draw_geometric(Stream& stream, double mean) {
  if (mean <= 1) return 1;
  return 1 + static_cast<int64_t>(math::log(stream.uniform_open()) / math::log(1 - 1 / mean));
}

int64_t draw_zipf(Stream& stream, int64_t n, double exponent) {
  ZipfHat hat(exponent);
  double first = hat.integral(1.5) - 1, last = hat.integral(static_cast<double>(n) + 0.5);
  double accept_at_once = 2 - hat.inverse(hat.integral(2.5) - hat.density(2));
  for (;;) {
    double u = last + stream.uniform() * (first - last);
    double x = hat.inverse(u);
    double k = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(n));
    if (k - x <= accept_at_once || u >= hat.integral(k + 0.5) - hat.density(k)) return static_cast<int64_t>(k);
  }
}

Distribution::Distribution(Kind kind, double a, double b) : kind_(kind), a_(a), b_(b) {}

Distribution Distribution::constant(double value) { return {Kind::Constant, value, 0}; }

Distribution Distribution::uniform(double min, double max) {
  KISIM_INVARIANT(min <= max, "uniform from {} to {}", min, max);
  return {Kind::Uniform, min, max};
}

Distribution Distribution::exponential(double mean) {
  KISIM_INVARIANT(mean >= 0, "exponential of mean {}", mean);
  return {Kind::Exponential, mean, 0};
}

Distribution Distribution::normal(double mean, double sd) {
  KISIM_INVARIANT(sd >= 0, "normal of sd {}", sd);
  return {Kind::Normal, mean, sd};
}

Distribution Distribution::lognormal(double median, double sigma) {
  KISIM_INVARIANT(median > 0 && sigma >= 0, "lognormal of median {}, sigma {}", median, sigma);
  return {Kind::Lognormal, median, sigma};
}

Distribution Distribution::gamma(double mean, double cv) {
  KISIM_INVARIANT(mean > 0 && cv > 0, "gamma of mean {}, cv {}", mean, cv);
  return {Kind::Gamma, mean, cv};
}

Distribution Distribution::geometric(double mean) {
  KISIM_INVARIANT(mean >= 1, "geometric of mean {}", mean);
  return {Kind::Geometric, mean, 0};
}

Distribution Distribution::poisson(double mean) {
  KISIM_INVARIANT(mean >= 0, "poisson of mean {}", mean);
  return {Kind::Poisson, mean, 0};
}

Distribution Distribution::zipf(double n, double exponent) {
  KISIM_INVARIANT(n >= 1 && exponent >= 0, "zipf of n {}, exponent {}", n, exponent);
  return {Kind::Zipf, std::floor(n), exponent};
}

Distribution Distribution::discrete(std::vector<double> values, std::vector<double> weights) {
  KISIM_INVARIANT(values.size() == weights.size(), "{} values, {} weights", values.size(), weights.size());
  Distribution d(Kind::Discrete, 0, 0);
  double total = 0;
  for (double weight : weights) {
    KISIM_INVARIANT(weight >= 0, "weight {}", weight);
    d.cumulative_.push_back(total += weight);
  }
  KISIM_INVARIANT(total > 0, "weights sum to {}", total);
  d.values_ = std::move(values);
  return d;
}

Distribution Distribution::empirical(std::vector<double> values) {
  KISIM_INVARIANT(!values.empty(), "no values");
  Distribution d(Kind::Empirical, 0, 0);
  d.values_ = std::move(values);
  return d;
}

Distribution Distribution::clamped(double min, double max) const {
  KISIM_INVARIANT(min <= max, "clamp from {} to {}", min, max);
  Distribution d = *this;
  d.min_ = min;
  d.max_ = max;
  return d;
}

double Distribution::draw_unclamped(Stream& stream) const {
  switch (kind_) {
    case Kind::Constant:
      break;
    case Kind::Uniform:
      return a_ + (b_ - a_) * stream.uniform();
    case Kind::Exponential:
      return draw_exponential(stream, a_);
    case Kind::Normal:
      return draw_normal(stream, a_, b_);
    case Kind::Lognormal:
      return draw_lognormal(stream, a_, b_);
    case Kind::Gamma:
      return draw_gamma(stream, 1 / (b_ * b_), a_ * b_ * b_);
    case Kind::Geometric:
      return static_cast<double>(draw_geometric(stream, a_));
    case Kind::Poisson:
      return static_cast<double>(draw_poisson(stream, a_));
    case Kind::Zipf:
      return static_cast<double>(draw_zipf(stream, static_cast<int64_t>(a_), b_));
    case Kind::Discrete: {
      auto at = std::upper_bound(cumulative_.begin(), cumulative_.end(), stream.uniform() * cumulative_.back());
      return values_[static_cast<size_t>(at - cumulative_.begin())];
    }
    case Kind::Empirical:
      return values_[stream.below(static_cast<uint32_t>(values_.size()))];
  }
  return a_;
}

double Distribution::mean() const {
  switch (kind_) {
    case Kind::Uniform:
      return (a_ + b_) / 2;
    case Kind::Lognormal:
      return a_ * math::exp(b_ * b_ / 2);
    case Kind::Zipf:
      return generalized_harmonic(a_, b_ - 1) / generalized_harmonic(a_, b_);
    case Kind::Discrete: {
      double sum = 0, before = 0;
      for (size_t i = 0; i < values_.size(); ++i) {
        sum += values_[i] * (cumulative_[i] - before);
        before = cumulative_[i];
      }
      return sum / cumulative_.back();
    }
    case Kind::Empirical:
      return std::accumulate(values_.begin(), values_.end(), 0.0) / static_cast<double>(values_.size());
    default:
      return a_;
  }
}

std::string Distribution::text() const {
  switch (kind_) {
    case Kind::Constant:
      return fmt::format("{}", a_);
    case Kind::Uniform:
      return fmt::format("uniform(min {}, max {})", a_, b_);
    case Kind::Exponential:
      return fmt::format("exponential(mean {})", a_);
    case Kind::Normal:
      return fmt::format("normal(mean {}, sd {})", a_, b_);
    case Kind::Lognormal:
      return fmt::format("lognormal(median {}, sigma {})", a_, b_);
    case Kind::Gamma:
      return fmt::format("gamma(mean {}, cv {})", a_, b_);
    case Kind::Geometric:
      return fmt::format("geometric(mean {})", a_);
    case Kind::Poisson:
      return fmt::format("poisson(mean {})", a_);
    case Kind::Zipf:
      return fmt::format("zipf(n {}, exponent {})", a_, b_);
    case Kind::Discrete:
      return fmt::format("discrete({} values)", values_.size());
    case Kind::Empirical:
      return fmt::format("empirical({} values)", values_.size());
  }
  return {};
}

}  // namespace kisim
