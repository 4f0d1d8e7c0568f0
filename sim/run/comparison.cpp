#include "run/comparison.hpp"

#include "core/parallel.hpp"
#include "run/clairvoyant.hpp"
#include "run/world.hpp"
#include "stats/sample.hpp"

#include <functional>
#include <numeric>

namespace kisim {

namespace {

using Better = ComparedFigure::Better;

std::optional<double> attainment(const Summary& s) { return s.slo ? std::optional(s.slo->attainment) : std::nullopt; }
std::optional<double> cost(const Summary& s) { return s.cost; }
std::optional<double> total(const Summary& s) {
  return s.cost && s.slo_penalty ? std::optional(*s.cost + *s.slo_penalty) : std::nullopt;
}
std::optional<double> gpu_hours(const Summary& s) {
  return s.gpu ? std::optional(s.gpu->hours_allocated) : std::nullopt;
}
std::optional<double> p95(const Summary& s) {
  return s.latency_s.e2e ? std::optional(s.latency_s.e2e->p95) : std::nullopt;
}
std::optional<double> p95_ttft(const Summary& s) {
  return s.latency_s.ttft ? std::optional(s.latency_s.ttft->p95) : std::nullopt;
}
std::optional<double> energy(const Summary& s) { return s.energy_kwh; }
std::optional<double> rescales(const Summary& s) {
  if (s.replicas.empty()) return std::nullopt;  // a bound
  double n = 0;
  for (const auto& [name, r] : s.replicas) n += static_cast<double>(r.scale_ups + r.scale_downs);
  return n;
}
std::optional<double> unanswered(const Summary& s) {
  if (s.requests.arrived == 0) return std::nullopt;
  return static_cast<double>(s.requests.arrived - s.requests.completed);
}

constexpr ComparedFigure kFigures[] = {
    {Better::More, "SLO", "%", true, attainment},
    {Better::Less, "COST", "", false, cost},
    {Better::Less, "TOTAL", "", false, total},
    {Better::Less, "GPU-HOURS", "", false, gpu_hours},
    {Better::Less, "P95", "s", false, p95},
    {Better::Less, "P95-TTFT", "s", false, p95_ttft},
    {Better::Less, "ENERGY", "kWh", false, energy},
    {Better::Neither, "RESCALES", "", false, rescales},
    {Better::Less, "UNANSWERED", "", false, unanswered},
};

// What a bound has of a run's figures.
Summary summary_of(const ClairvoyantBound& bound) {
  Summary out;
  out.slo = Summary::Slo{bound.attainment, 0};
  out.cost = bound.cost;
  out.slo_penalty = bound.penalty;
  out.gpu = Summary::Gpu{bound.gpu_hours, 0, 0};
  return out;
}

double mean_of(const std::vector<std::vector<double>>& values, std::span<const size_t> trainings,
               std::span<const size_t> seeds) {
  double sum = 0;
  for (size_t t : trainings)
    for (size_t s : seeds) sum += values[t][s];
  return sum / static_cast<double>(trainings.size() * seeds.size());
}

std::vector<size_t> all_of(size_t n) {
  std::vector<size_t> out(n);
  std::iota(out.begin(), out.end(), size_t{0});
  return out;
}

// The statistic of everything, and of resamples.
Estimate estimate_of(const std::vector<size_t>& sizes, const std::function<double(DrawnAxes)>& statistic) {
  std::vector<std::vector<size_t>> all;
  for (size_t size : sizes) all.push_back(all_of(size));
  return {statistic(all), bootstrap(sizes, statistic, 1)};
}

}  // namespace

std::span<const ComparedFigure> compared_figures() { return kFigures; }

std::string_view to_string(Verdict verdict) {
  constexpr std::string_view kNames[] = {"better", "worse", "no difference shown"};
  return kNames[static_cast<size_t>(verdict)];
}

std::optional<Comparison::Table> Comparison::values(const ComparedFigure& figure, size_t contestant,
                                                    std::optional<size_t> family) const {
  const size_t first = family.value_or(0), last = family ? *family + 1 : families.size();
  Table out(contestants[contestant].trainings, std::vector<double>(seeds.size()));
  for (size_t t = 0; t < out.size(); ++t)
    for (size_t s = 0; s < seeds.size(); ++s) {
      double sum = 0;
      for (size_t f = first; f < last; ++f) {
        const std::optional<double> value = figure.of(run(contestant, t, f, s));
        if (!value) return std::nullopt;
        sum += *value;
      }
      out[t][s] = sum / static_cast<double>(last - first);
    }
  return out;
}

std::optional<Estimate> Comparison::estimate(const ComparedFigure& figure, size_t contestant,
                                             std::optional<size_t> family) const {
  const std::optional<Table> own = values(figure, contestant, family);
  if (!own) return std::nullopt;
  return estimate_of({own->size(), seeds.size()}, [&](DrawnAxes drawn) { return mean_of(*own, drawn[0], drawn[1]); });
}

std::optional<Estimate> Comparison::difference(const ComparedFigure& figure, size_t contestant,
                                               std::optional<size_t> family) const {
  const std::optional<Table> own = values(figure, contestant, family), base = values(figure, baseline, family);
  if (!own || !base) return std::nullopt;
  return estimate_of({own->size(), base->size(), seeds.size()}, [&](DrawnAxes drawn) {
    return mean_of(*own, drawn[0], drawn[2]) - mean_of(*base, drawn[1], drawn[2]);
  });
}

Verdict Comparison::verdict(const ComparedFigure& figure, size_t contestant, const Estimate& difference) const {
  auto enough = [&](size_t c) { return contestants[c].trainings == 1 || contestants[c].trainings >= kFewestPoints; };
  const bool less = difference.interval.high < 0;
  const bool more = difference.interval.low > 0;
  if (!(less || more) || figure.better == Better::Neither) return Verdict::NoDifferenceShown;
  if (seeds.size() < kFewestPoints || !enough(contestant) || !enough(baseline)) return Verdict::NoDifferenceShown;
  return less == (figure.better == Better::Less) ? Verdict::Better : Verdict::Worse;
}

Comparison compare(const std::vector<Contestant>& contestants, const std::vector<std::string>& families,
                   const std::vector<uint64_t>& seeds, const VariationRange& variation, size_t threads,
                   const std::atomic<bool>& stop) {
  Comparison out;
  out.families = families;
  out.seeds = seeds;
  struct Job {
    std::shared_ptr<const Model> model;  // null: a bound's
    const Scenario* bound;
    size_t contestant, first;  // where its runs go
  };
  std::vector<Job> jobs;
  for (size_t c = 0; c < contestants.size(); ++c) {
    size_t runs = 0;
    auto add = [&](std::shared_ptr<const Model> model, const Scenario* bound) {
      jobs.push_back({std::move(model), bound, c, runs});
      runs += seeds.size();
    };
    for (const auto& training : contestants[c].trainings)
      for (const std::shared_ptr<const Model>& model : training) add(model, nullptr);
    for (const Scenario& scenario : contestants[c].bounds) add(nullptr, &scenario);
    out.contestants.push_back({contestants[c].name, std::max<size_t>(1, contestants[c].trainings.size()),
                               std::vector<Summary>(runs), !contestants[c].bounds.empty()});
  }
  parallel_for(jobs.size(), threads, [&](size_t i) {
    const Job& job = jobs[i];
    std::optional<ModelVariant> variant;
    std::optional<Clairvoyant> clairvoyant;
    if (job.model) variant.emplace(*job.model);
    if (job.bound) clairvoyant.emplace(*job.bound);
    for (size_t s = 0; s < seeds.size() && !stop; ++s) {
      const Variation drawn = variation.draw(seeds[s], 0);
      Summary& to = out.contestants[job.contestant].runs[job.first + s];
      if (job.bound) {
        to = summary_of(clairvoyant->bound(seeds[s], drawn));
        continue;
      }
      variant->set(seeds[s], drawn);
      to = run(variant->model(), {.stop = &stop});
    }
  });
  return out;
}

}  // namespace kisim
