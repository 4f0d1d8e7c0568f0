#include "calibration/request_fit.hpp"

#include "calibration/least_squares.hpp"
#include "calibration/step_fit.hpp"
#include "core/error.hpp"
#include "io/coefficients.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <functional>

namespace kisim {

namespace {

enum Figure : size_t { kStepMs, kLayerUs, kWeight, kKv, kCompute, kSampling, kAllReduce, kPrefill };  // their order
constexpr size_t kFigures = kIterationFigures.size();
using Figures = std::array<double, kFigures>;
using Requests = std::vector<size_t>;  // by index

Figures figures_of(const StepCoefficients& c) {
  Figures out;
  for (size_t i = 0; i < kFigures; ++i) out[i] = c.*kIterationFigures[i].value;
  return out;
}

struct Fitted {
  Figures figures;
  double spread = 0;  // of log times
};

// What a fit to some of the requests has to explain: a row and a value per time of a request.
struct Equations {
  std::vector<std::vector<double>> rows;
  std::vector<double> values;
};

class RequestFitter {
 public:
  RequestFitter(const VllmLog& log, const GpuModel& gpu) : log_(log), gpu_(gpu) {
    start_ = step_coefficients(log.engine.profile, gpu);
    start_.gpu = gpu.name;
    start_.bandwidth_gbs = gpu.bandwidth_gbs;
    start_.max_sequences = start_.max_context = start_.max_tensor_parallel = 0;
    const Figures means = figures_of(start_);
    for (size_t i = 0; i < kFigures; ++i) priors_.push_back({means[i], step_priors()[i].deviation});
  }

  // At first every model is thought to be kStepSpread off; then as far as this one is, and no closer than clocks are.
  Fitted fit(const Requests& requests) const {
    constexpr double kClosest = 0.005;
    constexpr int kPasses = 2;
    Fitted out{figures_of(start_), kStepSpread};
    for (int pass = 0; pass < kPasses; ++pass) {
      improve(out, requests);
      out.spread = std::clamp(spread(out.figures, requests), kClosest, kStepSpread);
    }
    return out;
  }

  // By how much the requests narrow each prior: standard deviation after over that before.
  Figures narrowed(const Fitted& fitted, const Requests& requests) const {
    const Equations e = equations(fitted.figures, requests, kSteps[0]);
    Eigen::MatrixXd h = Eigen::MatrixXd::Identity(kFigures, kFigures);
    Eigen::VectorXd row(kFigures);
    for (const std::vector<double>& r : e.rows) {
      for (size_t i = 0; i < kFigures; ++i)
        row[static_cast<Eigen::Index>(i)] = r[i] * priors_[i].deviation / fitted.spread;
      h += row * row.transpose();
    }
    const Eigen::MatrixXd covariance = h.inverse();
    Figures out;
    for (size_t i = 0; i < kFigures; ++i)
      out[i] = std::sqrt(covariance(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(i)));
    return out;
  }

  StepCoefficients with(const Figures& c) const {
    StepCoefficients out = start_;
    for (size_t i = 0; i < kFigures; ++i) out.*kIterationFigures[i].value = c[i];
    return out;
  }

  std::vector<EngineAnswer> answers(const Figures& c) const {
    VllmLog log = log_;
    log.engine.profile.steps = {with(c)};
    return replay(log.engine, log.cost(gpu_), log.requests).answers;
  }

 private:
  // The wait for the iteration that is under way is chance in a TTFT, of which it may be a part.
  static constexpr double kTtftWeight = 0.25;
  // A request that comes a little later may be in another iteration: slopes of long steps see past that, those of short
  // ones are exact where it does not happen.
  static constexpr double kSteps[] = {0.5, 0.2, 0.05, 0.01};

  // log TPOT, 0 for a single token, and log TTFT, of each request; weighted.
  std::vector<double> times(const std::vector<EngineAnswer>& answers) const {
    constexpr double kLeast = 1e-6;  // seconds
    std::vector<double> out;
    for (size_t i = 0; i < answers.size(); ++i) {
      const EngineRequest& request = log_.requests[i];
      const bool decodes = request.output_tokens > 1;
      out.push_back(decodes ? std::log(std::max(kLeast, answers[i].tpot(request))) : 0);
      out.push_back(kTtftWeight * std::log(std::max(kLeast, answers[i].ttft(request))));
    }
    return out;
  }

  std::vector<double> times(const Figures& c) const { return times(answers(c)); }

  // Of each time of a request, by figure; `step` in deviations. What belongs to an iteration in any case changes all
  // times alike, and so does what belongs to a sequence that decodes.
  std::array<std::vector<double>, kFigures> slopes_at(const Figures& c, double step) const {
    std::array<std::vector<double>, kFigures> out;
    for (Figure i : {kWeight, kKv, kCompute, kAllReduce, kPrefill}) {
      Figures low = c, high = c;
      low[i] = std::max(0.0, c[i] - step * priors_[i].deviation);
      high[i] = c[i] + step * priors_[i].deviation;
      const std::vector<double> before = times(low);
      out[i] = times(high);
      for (size_t k = 0; k < before.size(); ++k) out[i][k] = (out[i][k] - before[k]) / (high[i] - low[i]);
    }
    auto scaled = [&](Figure of, double factor) {
      std::vector<double> slopes = out[of];
      for (double& slope : slopes) slope *= factor;
      return slopes;
    };
    out[kStepMs] = scaled(kWeight, 1e-3 / terms_.weights);
    out[kLayerUs] = scaled(kWeight, 1e-6 * terms_.layers / terms_.weights);
    out[kSampling] = scaled(kCompute, 1e-6 * terms_.vocabulary / dense_token_);
    return out;
  }

  Equations equations(const Figures& c, const Requests& requests, double step) const {
    const auto slopes = slopes_at(c, step);
    const std::vector<double> predicted = times(c);
    Equations out;
    for (size_t request : requests)
      for (size_t k : {2 * request, 2 * request + 1}) {
        std::vector<double>& row = out.rows.emplace_back();
        double value = measured_[k] - predicted[k];
        for (size_t i = 0; i < kFigures; ++i) {
          row.push_back(slopes[i][k]);
          value += slopes[i][k] * c[i];
        }
        out.values.push_back(value);
      }
    return out;
  }

  void improve(Fitted& fitted, const Requests& requests) const {
    constexpr int kRounds = 20;
    constexpr double kStill = 1e-3;
    double best = loss(fitted, requests);
    for (int round = 0; round < kRounds; ++round) {
      const double before = best;
      for (double step : kSteps) {
        const Equations e = equations(fitted.figures, requests, step);
        best = approach(nonnegative_least_squares(e.rows, e.values, fitted.spread, priors_), requests, fitted, best);
      }
      if (before - best <= kStill * before) break;
    }
  }

  // Of the residuals, as a standard deviation.
  double spread(const Figures& c, const Requests& requests) const {
    constexpr double kNormal = 1.4826;
    const std::vector<double> predicted = times(c);
    std::vector<double> off;
    for (size_t request : requests)
      for (size_t k : {2 * request, 2 * request + 1}) off.push_back(std::abs(measured_[k] - predicted[k]));
    return kNormal * median(off);
  }

  double loss(const Fitted& fitted, const Requests& requests) const {
    const Figures& c = fitted.figures;
    const std::vector<double> predicted = times(c);
    double out = 0;
    for (size_t request : requests)
      for (size_t k : {2 * request, 2 * request + 1}) out += huber((measured_[k] - predicted[k]) / fitted.spread);
    for (size_t i = 0; i < kFigures; ++i) out += std::pow((c[i] - priors_[i].mean) / priors_[i].deviation, 2) / 2;
    return out;
  }

  // Goes towards the target as far as the loss falls; the loss there.
  double approach(const std::vector<double>& target, const Requests& requests, Fitted& fitted, double best) const {
    constexpr double kShortest = 1.0 / 32;
    for (double share = 1; share >= kShortest; share /= 2) {
      Fitted next = fitted;
      for (size_t i = 0; i < kFigures; ++i) next.figures[i] += share * (target[i] - fitted.figures[i]);
      const double found = loss(next, requests);
      if (found >= best) continue;
      fitted = next;
      return found;
    }
    return best;
  }

  const VllmLog& log_;
  const GpuModel& gpu_;
  StepTerms terms_ = step_terms(log_.engine.llm, gpu_, log_.engine.tensor_parallel);
  // Of a token, the part that is not experts, which alone computeFactor stands before.
  double dense_token_ = terms_.token * log_.engine.llm.layer_parameters() /
                        (log_.engine.llm.layer_parameters() + log_.engine.llm.active_expert_parameters());
  StepCoefficients start_;
  std::vector<Prior> priors_;
  std::vector<double> measured_ = times(log_.answers);
};

// Sequences that decode at once, and their tokens on average, at most. Between its first and its last token a request
// has prompt + output·(share of the time) tokens.
void note_range(const VllmLog& log, StepCoefficients& c) {
  struct Change {
    Time at;
    int count;
    double tokens, per_second;  // tokens at time 0, by a line
  };
  std::vector<Change> changes;
  for (size_t i = 0; i < log.requests.size(); ++i) {
    const EngineRequest& request = log.requests[i];
    const EngineAnswer& answer = log.answers[i];
    if (answer.finished <= answer.first_token) continue;
    const double slope = request.output_tokens / (answer.finished - answer.first_token).to_seconds();
    const double start = request.prompt_tokens - slope * (answer.first_token - Time{}).to_seconds();
    changes.push_back({answer.first_token, 1, start, slope});
    changes.push_back({answer.finished, -1, -start, -slope});
  }
  std::stable_sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.at < b.at; });
  Change sum{};
  for (const Change& change : changes) {
    if (sum.count > 0) {
      const double tokens = sum.tokens + sum.per_second * (change.at - Time{}).to_seconds();
      c.max_context = std::max(c.max_context, static_cast<int32_t>(std::ceil(tokens / sum.count)));
    }
    sum.count += change.count;
    sum.tokens += change.tokens;
    sum.per_second += change.per_second;
    c.max_sequences = std::max(c.max_sequences, sum.count);
  }
  c.max_tensor_parallel = log.engine.tensor_parallel;
}

// Errors of some requests, each from its own replay.
class Errors {
 public:
  void add(const VllmLog& log, const std::vector<EngineAnswer>& answers, const Requests& requests) {
    auto off = [](double ours, double measured) { return std::abs(ours / measured - 1); };
    for (size_t i : requests) {
      const EngineRequest& r = log.requests[i];
      const EngineAnswer &ours = answers[i], &measured = log.answers[i];
      if (r.output_tokens > 1 && measured.finished > measured.first_token)
        tpot_.push_back(off(ours.tpot(r), measured.tpot(r)));
      if (measured.first_token > r.queued) ttft_.push_back(off(ours.ttft(r), measured.ttft(r)));
      if (measured.finished > r.queued) e2e_.push_back(off(ours.e2e(r), measured.e2e(r)));
    }
  }
  RequestErrors medians() const { return {of(tpot_), of(ttft_), of(e2e_)}; }

 private:
  static double of(const std::vector<double>& errors) { return errors.empty() ? 0 : median(errors); }
  std::vector<double> tpot_, ttft_, e2e_;
};

}  // namespace

RequestFit fit_requests(const VllmLog& log, const GpuModel& gpu) {
  const RequestFitter fitter(log, gpu);
  const size_t n = log.requests.size();
  KISIM_INVARIANT(n >= kLeastLoggedRequests, "{} requests", n);
  Requests all(n);
  for (size_t i = 0; i < n; ++i) all[i] = i;
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(n / 2);
  const Requests early(all.begin(), middle), late(middle, all.end());

  const Fitted found = fitter.fit(all);
  RequestFit out;
  out.coefficients = fitter.with(found.figures);
  note_range(log, out.coefficients);
  constexpr double kHeld = 0.5;
  const Figures narrowed = fitter.narrowed(found, all);
  for (size_t i = 0; i < kFigures; ++i)
    if (narrowed[i] > kHeld) out.held.push_back(kIterationFigures[i].name);
  Errors fit, left_out;
  fit.add(log, fitter.answers(found.figures), all);
  left_out.add(log, fitter.answers(fitter.fit(early).figures), late);
  left_out.add(log, fitter.answers(fitter.fit(late).figures), early);
  out.fit = fit.medians();
  out.left_out = left_out.medians();
  out.coefficients.error = out.left_out.tpot;
  return out;
}

}  // namespace kisim
