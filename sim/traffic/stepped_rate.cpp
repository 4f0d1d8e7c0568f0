#include "traffic/stepped_rate.hpp"

#include <algorithm>

namespace kisim {

SteppedRate::SteppedRate(const std::vector<RateStep>& steps) {
  for (const RateStep& step : steps) steps_.push_back({step.at, step.rate, integral(step.at)});
}

double SteppedRate::integral(Time t) const {
  auto next = std::partition_point(steps_.begin(), steps_.end(), [t](const Step& s) { return s.at <= t; });
  if (next == steps_.begin()) return 0;
  const Step& now = *std::prev(next);
  return now.before + now.rate * (t - now.at).to_seconds();
}

std::optional<Time> SteppedRate::when(double count, Time from) const {
  auto next = std::partition_point(steps_.begin(), steps_.end(), [count](const Step& s) { return s.before < count; });
  if (next == steps_.begin()) return std::nullopt;
  const Step& now = *std::prev(next);
  // In the last step with a rate of 0 the count is never reached.
  if (!(now.rate > 0)) return std::nullopt;
  const Time at = after(now.at, (count - now.before) / now.rate);
  return at == Time::max() ? std::nullopt : std::optional(std::max(at, from));
}

}  // namespace kisim
