#include "calibration/latency_fit.hpp"

#include "calibration/least_squares.hpp"
#include "core/error.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace kisim {

double seconds_at(const std::vector<LatencyPoint>& table, double samples) {
  auto after = std::lower_bound(table.begin(), table.end(), samples,
                                [](const LatencyPoint& p, double n) { return p.samples < n; });
  if (after == table.end()) return table.back().seconds;
  if (after == table.begin()) return after->seconds;
  const LatencyPoint& before = after[-1];
  const double share = (samples - before.samples) / (after->samples - before.samples);
  return before.seconds + share * (after->seconds - before.seconds);
}

namespace {

using BySize = std::map<double, std::vector<double>>;

BySize by_size(const std::vector<LatencyPoint>& points) {
  BySize out;
  for (const LatencyPoint& point : points) out[point.samples].push_back(point.seconds);
  return out;
}

std::vector<double> distances(const std::vector<LatencyPoint>& table, const std::vector<LatencyPoint>& points) {
  std::vector<double> out;
  for (const LatencyPoint& p : points) out.push_back(std::abs(seconds_at(table, p.samples) / p.seconds - 1));
  return out;
}

double leave_one_out(const std::vector<LatencyPoint>& points, const BySize& sizes) {
  std::vector<double> errors;
  for (auto at = std::next(sizes.begin()); std::next(at) != sizes.end(); ++at) {
    std::vector<LatencyPoint> kept, left_out;
    for (const LatencyPoint& p : points) (p.samples == at->first ? left_out : kept).push_back(p);
    for (double error : distances(isotonic(kept), left_out)) errors.push_back(error);
  }
  return median(errors);
}

Interval interval_of_mean(const std::vector<double>& values, uint64_t seed) {
  return bootstrap(
      values.size(),
      [&](std::span<const size_t> drawn) {
        double sum = 0;
        for (size_t i : drawn) sum += values[i];
        return sum / static_cast<double>(drawn.size());
      },
      seed);
}

}  // namespace

LatencyFit fit_latency(std::vector<LatencyPoint> points, uint64_t seed) {
  const BySize sizes = by_size(points);
  KISIM_INVARIANT(sizes.size() >= kLeastLatencyPoints, "{} sizes", sizes.size());
  LatencyFit out;
  out.table = isotonic(points);
  for (const LatencyPoint& p : out.table) out.intervals.push_back(interval_of_mean(sizes.at(p.samples), seed));

  // Every equation divided by its seconds, so that small batches count as much as large ones.
  std::vector<std::vector<double>> rows;
  for (const LatencyPoint& p : points) rows.push_back({1 / p.seconds, p.samples / p.seconds});
  const std::vector<double> line = robust_least_squares(rows, std::vector<double>(points.size(), 1.0));
  out.base = line[0];
  out.per_sample = line[1];
  out.fit_error = median(distances(out.table, points));
  out.leave_one_out_error = leave_one_out(points, sizes);
  return out;
}

}  // namespace kisim
