// Fits that must find what made-up data were made from, in spite of wild points.

#include "calibration/least_squares.hpp"
#include "calibration/interference.hpp"
#include "calibration/latency_fit.hpp"
#include "calibration/startup_fit.hpp"
#include "core/distribution.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace kisim;

TEST_CASE("Robust least squares: a third of wild points does not move the line") {
  std::vector<std::vector<double>> rows;
  std::vector<double> values;
  Stream noise(1, 1, Purpose::Resampling);
  for (int i = 0; i < 60; ++i) {
    rows.push_back({1, static_cast<double>(i)});
    values.push_back(i % 3 == 0 ? 1000.0 + i : 2 + 0.5 * i + 0.01 * draw_normal(noise, 0, 1));
  }
  const std::vector<double> fit = robust_least_squares(rows, values);
  CHECK(fit[0] == Approx(2).margin(0.1));
  CHECK(fit[1] == Approx(0.5).margin(0.005));
}

TEST_CASE("Robust least squares: points on the line give the line") {
  const std::vector<double> fit = robust_least_squares({{1, 1}, {1, 2}, {1, 3}}, std::vector<double>{3, 5, 7});
  CHECK(fit[0] == Approx(1));
  CHECK(fit[1] == Approx(2));
}

TEST_CASE("Quantiles are nearest ranks; a median of two is between them") {
  CHECK(quantile({4, 1, 3, 2}, 0.5) == 2);
  CHECK(quantile({4, 1, 3, 2}, 1) == 4);
  CHECK(quantile({4, 1, 3, 2}, 0) == 1);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("Bootstrap: the interval of a mean holds it, is as wide as theory says, and is the same each time") {
  std::vector<double> values;
  Stream noise(1, 2, Purpose::Resampling);
  for (int i = 0; i < 400; ++i) values.push_back(draw_normal(noise, 10, 2));
  auto of_mean = [&](std::span<const size_t> drawn) {
    double sum = 0;
    for (size_t i : drawn) sum += values[i];
    return sum / static_cast<double>(drawn.size());
  };
  const Interval interval = bootstrap(values.size(), of_mean, 7), again = bootstrap(values.size(), of_mean, 7);
  CHECK(interval.low < mean(values));
  CHECK(interval.high > mean(values));
  CHECK(interval.high - interval.low == Approx(2 * 1.96 * 2 / 20).epsilon(0.2));
  CHECK(interval.low == again.low);
  CHECK(interval.high == again.high);
}

TEST_CASE("Bootstrap: of six points, too, about 95 of 100 intervals hold the mean") {
  constexpr int kSamples = 400;
  Stream noise(3, 2, Purpose::Resampling);
  int hold = 0;
  for (int k = 0; k < kSamples; ++k) {
    std::vector<double> values;
    for (int i = 0; i < 6; ++i) values.push_back(draw_normal(noise, 10, 2));
    const Interval interval = bootstrap(
        values.size(),
        [&](std::span<const size_t> drawn) {
          double sum = 0;
          for (size_t i : drawn) sum += values[i];
          return sum / 6;
        },
        static_cast<uint64_t>(k));
    hold += interval.low <= 10 && 10 <= interval.high;
  }
  // The plain percentiles hold it in some 86.
  CHECK(hold > 0.915 * kSamples);
  CHECK(hold < 0.985 * kSamples);
}

TEST_CASE("Latency: the table is monotone, exact where the data are, and left-out sizes are told by the others") {
  std::vector<LatencyPoint> points;
  for (double n : {1, 2, 4, 8, 16}) points.push_back({n, 0.002 + 0.0005 * n});
  LatencyFit fit = fit_latency(points, 1);
  CHECK(fit.base == Approx(0.002));
  CHECK(fit.per_sample == Approx(0.0005));
  CHECK(fit.fit_error == Approx(0).margin(1e-12));
  CHECK(fit.leave_one_out_error == Approx(0).margin(1e-12));

  points[3].seconds = 0.001;  // less than a batch of one takes
  fit = fit_latency(points, 1);
  for (size_t i = 1; i < fit.table.size(); ++i) CHECK(fit.table[i].seconds >= fit.table[i - 1].seconds);
  CHECK(fit.leave_one_out_error > 0.05);
}

TEST_CASE("Start-up: a lognormal's parameters are found, within their intervals") {
  std::vector<double> seconds;
  Stream noise(1, 3, Purpose::Resampling);
  for (int i = 0; i < 3000; ++i) seconds.push_back(draw_lognormal(noise, 20, 0.5));
  const StartupFit fit = fit_startup(seconds, 1);
  CHECK(fit.median == Approx(20).epsilon(0.05));
  CHECK(fit.sigma == Approx(0.5).epsilon(0.08));
  CHECK(fit.median_interval.low < 20);
  CHECK(fit.median_interval.high > 20);
  CHECK(fit.fit_error < 0.05);
  CHECK(fit.left_out_error < 0.1);
}

TEST_CASE("Interference: a heavy neighbour slows more, also one that was never seen") {
  std::vector<SharedSpeed> pairs;
  std::vector<SharingJob> light, heavy;
  for (double batch : {16, 32, 64}) {
    light.push_back({"light", batch, 100 / batch});
    heavy.push_back({"heavy", batch, 100 / batch});
  }
  for (const auto* jobs : {&light, &heavy}) {
    for (const SharingJob& job : *jobs) {
      for (const SharingJob& neighbour : light) pairs.push_back({job, neighbour, 0.9});
      for (const SharingJob& neighbour : heavy) pairs.push_back({job, neighbour, 0.4});
    }
  }
  const InterferenceModel model(pairs);
  const SharingJob unseen{"heavy", 128, 1}, stranger{"new", 0, 3};
  CHECK(model.speed(light[0], light[1]) == Approx(0.9).epsilon(0.05));
  CHECK(model.speed(light[0], unseen) == Approx(0.4).epsilon(0.15));
  CHECK(model.speed(light[0], stranger) > 0.35);
  CHECK(model.speed(light[0], stranger) < 1);
  CHECK(model.speed(stranger, light[0]) > model.speed(stranger, heavy[0]));
}
