#include "run/search.hpp"

#include "core/hash.hpp"
#include "core/parallel.hpp"
#include "run/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace kisim {

namespace {

constexpr size_t kThird = 3;

size_t third(size_t n) { return (n + kThird - 1) / kThird; }

// Runs of all rounds, of so many candidates to begin with.
size_t cost_of(size_t candidates, size_t families) {
  size_t runs = candidates * families;
  for (size_t each = families; candidates > 1; each *= kThird) {
    candidates = third(candidates);
    runs += candidates * each * (kThird - 1);
  }
  return runs;
}

// 0: more than `most`, or without end.
size_t size_of(const std::vector<SearchParameter>& parameters, size_t most) {
  size_t size = 1;
  for (const SearchParameter& p : parameters) {
    if (p.values.empty() && !p.integer) return 0;
    const size_t n = p.values.empty() ? static_cast<size_t>(p.high - p.low) + 1 : p.values.size();
    if (n > most / size) return 0;
    size *= n;
  }
  return size;
}

std::string number(const SearchParameter& p, double x) {
  return p.integer ? fmt::format("{:.0f}", x) : fmt::format("{:.4g}", x);
}

std::string drawn(const SearchParameter& p, Stream& stream) {
  const double u = stream.uniform();
  if (!p.values.empty()) return p.values[static_cast<size_t>(u * static_cast<double>(p.values.size()))];
  if (p.integer) return number(p, std::floor(p.low + u * (p.high - p.low + 1)));
  return number(p, p.low + u * (p.high - p.low));
}

std::string nth(const SearchParameter& p, size_t n) {
  return p.values.empty() ? number(p, p.low + static_cast<double>(n)) : p.values[n];
}

struct Contender {
  SearchedCandidate candidate;
  std::vector<std::shared_ptr<const Model>> models;  // by family
  double simulated_s = 0;

  // In each family, with the next so many seeds.
  void run(const SearchSpec& spec, size_t seeds, const std::atomic<bool>& stop) {
    const size_t from = candidate.runs / models.size();
    double total = candidate.total * static_cast<double>(candidate.runs);
    double cost = candidate.cost * static_cast<double>(candidate.runs);
    double attainment = candidate.attainment * static_cast<double>(candidate.runs);
    for (const std::shared_ptr<const Model>& model : models) {
      ModelVariant variant(*model);
      for (size_t i = from; i < from + seeds && !stop; ++i) {
        variant.set(spec.seed + i, spec.variation.draw(spec.seed + i, 0));
        RunOptions options;
        options.stop = &stop;
        const Summary s = kisim::run(variant.model(), options);
        if (!s.cost || !s.slo_penalty)
          throw InputError({Severity::Error,
                            {},
                            "spec",
                            fmt::format("{} has no {}, needed: both, to tell what is better", s.scenario,
                                        s.cost ? "slo.<traffic>.penalty" : "prices")});
        cost += *s.cost;
        total += *s.cost + *s.slo_penalty;
        attainment += s.slo ? s.slo->attainment : 1;
        simulated_s += s.simulated_s;
        ++candidate.runs;
      }
    }
    const double n = std::max(1.0, static_cast<double>(candidate.runs));
    candidate.total = total / n;
    candidate.cost = cost / n;
    candidate.attainment = attainment / n;
  }
};

}  // namespace

size_t first_round(size_t budget, size_t families) {
  size_t n = 1;
  while (cost_of(n + 1, families) <= budget) ++n;
  return n;
}

std::vector<Settings> candidates_of(const SearchSpec& spec, size_t most) {
  constexpr size_t kPatience = 20;  // draws for each that is wanted, before there seem to be no others
  const size_t all = size_of(spec.parameters, most);
  std::vector<Settings> out;
  std::set<Settings> known;
  for (size_t k = 0; all > 0 ? k < all : out.size() < most && k < kPatience * most; ++k) {
    Settings settings;
    Stream stream(spec.seed, hash_combine(hash_text("Search"), k), Purpose::Variation);
    size_t rest = k;
    for (const SearchParameter& p : spec.parameters) {
      if (all == 0) {
        settings[p.name] = drawn(p, stream);
        continue;
      }
      const size_t n = p.values.empty() ? static_cast<size_t>(p.high - p.low) + 1 : p.values.size();
      settings[p.name] = nth(p, rest % n);
      rest /= n;
    }
    if (known.insert(settings).second) out.push_back(std::move(settings));
  }
  return out;
}

SearchResult search(const SearchSpec& spec,
                    const std::function<std::vector<std::shared_ptr<const Model>>(const Settings&)>& compiled,
                    size_t families, size_t threads, const std::atomic<bool>& stop) {
  std::vector<Contender> all;
  for (Settings& settings : candidates_of(spec, first_round(spec.budget, families)))
    all.push_back({{std::move(settings)}, {}, 0});
  SearchResult out;
  size_t alive = all.size(), seeds = std::max<size_t>(1, spec.budget / cost_of(alive, families));
  for (bool first = true; alive > 0 && !stop; first = false) {
    parallel_for(alive, threads, [&](size_t i) {
      if (first) all[i].models = compiled(all[i].candidate.settings);
      all[i].run(spec, seeds, stop);
    });
    // Equal ones stay in the order in which they were drawn.
    std::stable_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(alive),
                     [](const Contender& a, const Contender& b) { return a.candidate.total < b.candidate.total; });
    const size_t runs = all.front().candidate.runs, next = third(alive);
    out.runs += alive * seeds * families;
    seeds = runs / families * (kThird - 1);
    alive = alive == 1 || out.runs + next * seeds * families > spec.budget ? 0 : next;
    for (size_t i = alive; i < all.size(); ++i) all[i].models.clear();
  }
  for (Contender& c : all) {
    out.simulated_hours += c.simulated_s / 3600;
    out.candidates.push_back(std::move(c.candidate));
  }
  return out;
}

}  // namespace kisim
