#pragma once
// Distributions of numbers, written here because std:: ones differ between libraries. `Distribution` is what any
// number of a scenario may be; the free functions are the draws.

#include "core/random.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// The x that a standard normal variable stays below with probability p, 0 < p < 1 (Wichura, AS 241, PPND16).
double normal_quantile(double p);

double draw_exponential(Stream&, double mean);
double draw_normal(Stream&, double mean, double sd);          // by normal_quantile
double draw_lognormal(Stream&, double median, double sigma);  // sigma of the logarithm
double draw_gamma(Stream&, double shape, double scale);       // Marsaglia, Tsang, TOMS 2000
int64_t draw_poisson(Stream&, double mean);                   // inversion below 10, PTRS above (Hoermann 1993)
int64_t draw_geometric(Stream&, double mean);                 // on 1, 2, …; mean >= 1
int64_t draw_zipf(Stream&, int64_t n, double exponent);  // on 1 … n; rejection-inversion (Hoermann, Derflinger 1996)

// A number or a random number. Plain value; `values`/`weights` are only used by Discrete and Empirical.
class Distribution {
 public:
  enum class Kind : uint8_t {
    Constant,
    Uniform,
    Exponential,
    Normal,
    Lognormal,
    Gamma,
    Geometric,
    Poisson,
    Zipf,
    Discrete,
    Empirical
  };

  Distribution() = default;
  static Distribution constant(double value);
  static Distribution uniform(double min, double max);
  static Distribution exponential(double mean);
  static Distribution normal(double mean, double sd);
  static Distribution lognormal(double median, double sigma);
  static Distribution gamma(double mean, double cv);
  static Distribution geometric(double mean);
  static Distribution poisson(double mean);
  static Distribution zipf(double n, double exponent);
  static Distribution discrete(std::vector<double> values, std::vector<double> weights);
  static Distribution empirical(std::vector<double> values);  // each value equally likely

  // Cut draws to [min, max] by clamping (for example token counts at 1).
  Distribution clamped(double min, double max) const;

  // Does not allocate.
  double draw(Stream& stream) const {
    return std::clamp(kind_ == Kind::Constant ? a_ : draw_unclamped(stream), min_, max_);
  }
  double mean() const;  // of the unclamped distribution
  // Draws nothing from the stream.
  bool is_constant() const { return kind_ == Kind::Constant; }
  bool is_zero() const { return is_constant() && a_ == 0; }
  Kind kind() const { return kind_; }
  // "lognormal(median 1020, sigma 0.9)"
  std::string text() const;

 private:
  Distribution(Kind kind, double a, double b);
  double draw_unclamped(Stream&) const;

  Kind kind_ = Kind::Constant;
  double a_ = 0, b_ = 0;  // its parameters, in the order of its factory
  double min_ = -1.7976931348623157e308, max_ = 1.7976931348623157e308;
  std::vector<double> values_, cumulative_;  // cumulative: weights up to and with each value
};

}  // namespace kisim
