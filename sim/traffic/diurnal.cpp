#include "traffic/diurnal.hpp"

#include "core/math.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

DiurnalRate::DiurnalRate(double mean, double peak, Duration period, Duration phase)
    : mean_(mean), amplitude_(peak - mean), period_(period.ns), phase_(phase.ns % period.ns) {
  // A peak below the mean is the same shape half a period later.
  if (amplitude_ < 0) {
    amplitude_ = -amplitude_;
    phase_ = (phase_ + period_ / 2) % period_;
  }
  if (phase_ < 0) phase_ += period_;
  max_rate_ = mean_ + amplitude_;
  if (!(mean_ > 0)) amplitude_ = max_rate_ = 0;
  if (bump()) share_ = 2 * mean_ / max_rate_;
  per_period_ = within_period(period_);
}

double DiurnalRate::rate(Time t) const {
  int64_t position = (t.ns % period_ + phase_) % period_;
  double angle = 2 * math::kPi * static_cast<double>(position) / static_cast<double>(period_);
  if (!bump()) return std::max(0.0, mean_ + amplitude_ * math::sin(angle));
  double off = angle - math::kPi / 2;
  if (off > math::kPi) off -= 2 * math::kPi;
  return std::abs(off) < math::kPi * share_ ? max_rate_ / 2 * (1 + math::cos(off / share_)) : 0.0;
}

double DiurnalRate::bump_integral(double angle) const {
  double off = std::clamp(angle, -math::kPi * share_, math::kPi * share_);
  return max_rate_ / 2 * (off + math::kPi * share_ + share_ * math::sin(off / share_));
}

double DiurnalRate::within_period(int64_t position) const {
  double angle = 2 * math::kPi * static_cast<double>(position) / static_cast<double>(period_);
  double sum = 0;
  if (bump()) {
    // The bump around pi/2, and the beginning of the next period's that reaches back into this one.
    double off = angle - math::kPi / 2;
    sum = bump_integral(off) - bump_integral(-math::kPi / 2) + bump_integral(off - 2 * math::kPi);
  } else {
    sum = mean_ * angle + amplitude_ * (1 - math::cos(angle));
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
