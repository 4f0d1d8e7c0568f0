#include "traffic/diurnal.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// The angle in [0, pi/2] with this sine.
double arcsine(double sine) {
  double low = 0, high = math::kPi / 2;
  for (int i = 0; i < 60; ++i) {
    double middle = (low + high) / 2;
    (math::sin(middle) < sine ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

DiurnalRate::DiurnalRate(double mean, double peak, Duration period, Duration phase)
    : mean_(mean), amplitude_(peak - mean), period_(period.ns), phase_(phase.ns % period.ns) {
  // A peak below the mean is the same shape half a period later.
  if (amplitude_ < 0) {
    amplitude_ = -amplitude_;
    phase_ = (phase_ + period_ / 2) % period_;
  }
  if (phase_ < 0) phase_ += period_;
  max_rate_ = mean_ + amplitude_;
  zero_angle_ = arcsine(amplitude_ > mean_ ? mean_ / amplitude_ : 1);
  per_period_ = within_period(period_);
}

double DiurnalRate::rate(Time t) const {
  int64_t position = (t.ns % period_ + phase_) % period_;
  double angle = 2 * math::kPi * static_cast<double>(position) / static_cast<double>(period_);
  return std::max(0.0, mean_ + amplitude_ * math::sin(angle));
}

double DiurnalRate::within_period(int64_t position) const {
  // ∫ (mean + amplitude sin) over angle, leaving out where it is negative: from pi + zero to 2 pi - zero.
  auto primitive = [this](double angle) { return mean_ * angle + amplitude_ * (1 - math::cos(angle)); };
  double angle = 2 * math::kPi * static_cast<double>(position) / static_cast<double>(period_);
  double sum = primitive(angle);
  if (amplitude_ > mean_) {
    double from = math::kPi + zero_angle_, to = 2 * math::kPi - zero_angle_;
    if (angle > from) sum -= primitive(std::min(angle, to)) - primitive(from);
  }
  return sum * static_cast<double>(period_) * 1e-9 / (2 * math::kPi);
}

double DiurnalRate::since_epoch(int64_t shifted) const {
  return static_cast<double>(shifted / period_) * per_period_ + within_period(shifted % period_);
}

double DiurnalRate::integral(Time t) const {
  // t + phase may be beyond the clock: add the periods apart.
  int64_t position = t.ns % period_ + phase_;
  return static_cast<double>(t.ns / period_) * per_period_ + since_epoch(position) - since_epoch(phase_);
}

std::optional<Time> DiurnalRate::when(double count, Time from) const {
  if (!(max_rate_ > 0) || integral(Time::max()) < count) return std::nullopt;
  int64_t low = from.ns, step = std::max<int64_t>(1, period_ / 1024), high = low;
  do {
    low = high;
    high = high > INT64_MAX - step ? INT64_MAX : high + step;
    step = step > INT64_MAX / 2 ? INT64_MAX : 2 * step;
  } while (integral(Time{high}) < count);
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    (integral(Time{middle}) < count ? low : high) = middle;
  }
  return Time{high};
}

}  // namespace kisim
