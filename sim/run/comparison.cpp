#include "run/comparison.hpp"

#include "run/world.hpp"
#include "stats/sample.hpp"

#include <algorithm>
#include <exception>
#include <thread>

namespace kisim {

namespace {

using Better = ComparedFigure::Better;

std::optional<double> attainment(const Summary& s) { return s.slo ? std::optional(s.slo->attainment) : std::nullopt; }
std::optional<double> cost(const Summary& s) { return s.cost; }
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
  double n = 0;
  for (const auto& [name, r] : s.replicas) n += static_cast<double>(r.scale_ups + r.scale_downs);
  return n;
}
std::optional<double> unanswered(const Summary& s) {
  return static_cast<double>(s.requests.arrived - s.requests.completed);
}

constexpr ComparedFigure kFigures[] = {
    {Better::More, "SLO", "%", true, attainment},       {Better::Less, "COST", "", false, cost},
    {Better::Less, "GPU-HOURS", "h", false, gpu_hours}, {Better::Less, "P95", "s", false, p95},
    {Better::Less, "P95-TTFT", "s", false, p95_ttft},   {Better::Less, "ENERGY", "kWh", false, energy},
    {Better::Neither, "RESCALES", "", false, rescales}, {Better::Less, "UNANSWERED", "", false, unanswered},
};

Estimate estimate_of(const std::vector<double>& values) {
  auto mean_of = [&](std::span<const size_t> drawn) {
    double sum = 0;
    for (size_t i : drawn) sum += values[i];
    return sum / static_cast<double>(drawn.size());
  };
  return {mean(values), bootstrap(values.size(), mean_of, 1)};
}

}  // namespace

std::span<const ComparedFigure> compared_figures() { return kFigures; }

std::string_view to_string(Verdict verdict) {
  constexpr std::string_view kNames[] = {"better", "worse", "no difference shown"};
  return kNames[static_cast<size_t>(verdict)];
}

std::vector<double> Comparison::values(const ComparedFigure& figure, size_t contestant,
                                       std::optional<size_t> family) const {
  std::vector<double> out;
  for (size_t f = 0; f < families.size(); ++f) {
    if (family && *family != f) continue;
    for (size_t s = 0; s < seeds.size(); ++s) {
      const std::optional<double> value = figure.of(run(contestant, f, s));
      if (!value) return {};
      out.push_back(*value);
    }
  }
  return out;
}

std::optional<Estimate> Comparison::estimate(const ComparedFigure& figure, size_t contestant,
                                             std::optional<size_t> family) const {
  const std::vector<double> all = values(figure, contestant, family);
  return all.empty() ? std::nullopt : std::optional(estimate_of(all));
}

std::optional<Estimate> Comparison::difference(const ComparedFigure& figure, size_t contestant,
                                               std::optional<size_t> family) const {
  std::vector<double> all = values(figure, contestant, family);
  const std::vector<double> base = values(figure, baseline, family);
  if (all.empty() || base.empty()) return std::nullopt;
  for (size_t i = 0; i < all.size(); ++i) all[i] -= base[i];
  return estimate_of(all);
}

// A difference is shown where its interval does not hold 0; one pair of runs shows nothing.
Verdict Comparison::verdict(const ComparedFigure& figure, const Estimate& difference) const {
  const bool less = difference.interval.high<0, more = difference.interval.low> 0;
  const bool several = families.size() * seeds.size() > 1;
  if (!(less || more) || !several || figure.better == Better::Neither) return Verdict::NoDifferenceShown;
  return less == (figure.better == Better::Less) ? Verdict::Better : Verdict::Worse;
}

Comparison compare(const std::vector<Contestant>& contestants, const std::vector<std::string>& families,
                   const std::vector<uint64_t>& seeds, const VariationRange& variation, size_t threads,
                   std::atomic<size_t>& done, const std::atomic<bool>& stop) {
  Comparison out;
  for (const Contestant& c : contestants) out.contestants.push_back(c.name);
  out.families = families;
  out.seeds = seeds;
  const size_t jobs = contestants.size() * families.size();
  out.runs.resize(jobs * seeds.size());
  std::vector<std::exception_ptr> failures(jobs);
  std::atomic<size_t> next = 0;
  auto work = [&] {
    for (size_t job = next++; job < jobs && !stop; job = next++) try {
        ModelVariant variant(compile(contestants[job / families.size()].families[job % families.size()]));
        for (size_t s = 0; s < seeds.size() && !stop; ++s, ++done) {
          variant.set(seeds[s], variation.draw(seeds[s], 0));
          out.runs[job * seeds.size() + s] = run(variant.model(), {.stop = &stop});
        }
      } catch (...) {
        failures[job] = std::current_exception();
      }
  };
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::jthread> pool;
  for (size_t i = 1; i < std::min(threads == 0 ? cores : threads, jobs); ++i) pool.emplace_back(work);
  work();
  pool.clear();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  return out;
}

}  // namespace kisim
