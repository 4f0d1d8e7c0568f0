#include "calibration/scrape_fit.hpp"

#include "calibration/least_squares.hpp"
#include "core/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

namespace kisim {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// One scrape of one engine: a metric's value, summed over what else tells its series apart (why requests finished); the
// buckets of a histogram by their upper end.
struct Scrape {
  std::map<std::string, double> values;
  std::map<std::string, std::map<double, double>> buckets;

  std::optional<double> value(const std::string& name) const {
    auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  }
};

bool of_series(const std::string& label) { return label == "le" || label == "finished_reason" || label == "__name__"; }

std::string engine_of(const MetricSample& sample) {
  auto labels = sample.labels;
  std::sort(labels.begin(), labels.end());
  std::string out;
  for (const auto& [name, value] : labels)
    if (!of_series(name)) out += name + "=" + value + "\n";
  return out;
}

double end_of_bucket(const MetricSample& sample, const std::string& le) {
  double upper = kInf;
  const char* end = le.data() + le.size();
  auto [stop, problem] = std::from_chars(le.data(), end, upper);
  if (le == "+Inf") return kInf;
  if (problem == std::errc() && stop == end && std::isfinite(upper)) return upper;
  throw InputError(Diagnostic{Severity::Error, {}, sample.name, fmt::format("found le=\"{}\", allowed: a number", le)});
}

using Scrapes = std::map<double, Scrape>;  // by time, or by the number of the file

std::map<std::string, Scrapes> by_engine(const std::vector<std::vector<MetricSample>>& files, bool& timed) {
  timed = true;
  for (const auto& samples : files)
    for (const MetricSample& s : samples)
      if (s.name.starts_with("vllm:") && !s.time) timed = false;
  std::map<std::string, Scrapes> out;
  for (size_t file = 0; file < files.size(); ++file)
    for (const MetricSample& s : files[file]) {
      if (!s.name.starts_with("vllm:") || std::isnan(s.value)) continue;
      Scrape& scrape = out[engine_of(s)][timed ? *s.time : static_cast<double>(file)];
      const std::string* end = s.label("le");
      if (!end) {
        scrape.values[s.name] += s.value;
        continue;
      }
      scrape.buckets[s.name][end_of_bucket(s, *end)] += s.value;
    }
  return out;
}

// From one scrape to the next.
class Difference {
 public:
  Difference(const Scrape& before, const Scrape& after) : before_(before), after_(after) {}

  // Of the first of such counters that both have.
  std::optional<double> of(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const auto a = before_.value(name), b = after_.value(name);
      if (a && b) return *b - *a;
    }
    return std::nullopt;
  }
  std::optional<double> mean(const std::string& histogram) const {
    const auto sum = of({(histogram + "_sum").c_str()}), count = of({(histogram + "_count").c_str()});
    if (!sum || !count || *count <= 0) return std::nullopt;
    return *sum / *count;
  }
  // Of what a histogram counts, where its sum is not told; none: some of it is beyond the last bucket.
  std::optional<Interval> mean_by_buckets(const std::string& histogram) const {
    const auto a = before_.buckets.find(histogram + "_bucket"), b = after_.buckets.find(histogram + "_bucket");
    if (a == before_.buckets.end() || b == after_.buckets.end()) return std::nullopt;
    double low = 0, high = 0, lower = 0, seen = 0;
    for (const auto& [upper, count] : b->second) {
      auto earlier = a->second.find(upper);
      const double here = count - (earlier == a->second.end() ? 0 : earlier->second) - seen;
      if (here > 0) {
        if (upper == kInf) return std::nullopt;
        low += here * lower;
        high += here * upper;
      }
      seen += here;
      lower = upper;
    }
    if (seen <= 0) return std::nullopt;
    return Interval{low / seen, high / seen};
  }
  // Did the engine begin anew in between?
  bool restarted() const {
    for (const auto& [name, value] : before_.values)
      if (name.ends_with("_count") || name.ends_with("_total"))
        if (const auto later = after_.value(name); later && *later < value) return true;
    return false;
  }
  double gauge_before(const char* name) const { return before_.value(name).value_or(0); }
  double gauge_after(const char* name) const { return after_.value(name).value_or(0); }

 private:
  const Scrape &before_, &after_;
};

constexpr const char* kItl[] = {"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"};

// Whether about as much ran at its end as at its beginning.
bool steady(const Difference& d) {
  constexpr double kShare = 0.25, kRequests = 2;
  const double a = d.gauge_before("vllm:num_requests_running"), b = d.gauge_after("vllm:num_requests_running");
  return std::abs(a - b) <= kRequests + kShare * (a + b) / 2;
}

double tokens_per_prompt(const Difference& d, double prompts) {
  double tokens = d.mean("vllm:request_prompt_tokens").value_or(0);
  if (tokens == 0 && prompts > 0) tokens = d.of({"vllm:prompt_tokens_total"}).value_or(0) / prompts;
  const double hits = d.of({"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"}).value_or(0);
  return std::max(0.0, tokens - (prompts > 0 ? hits / prompts : 0));
}

double prefill_of(const Difference& d) {
  constexpr double kWaited = 0.05;  // of a TTFT
  if (const auto prefill = d.mean("vllm:request_prefill_time_seconds")) return *prefill;
  const double ttft = d.mean("vllm:time_to_first_token_seconds").value_or(0);
  if (const auto queued = d.mean("vllm:request_queue_time_seconds")) return *queued <= kWaited * ttft ? ttft : 0;
  const char* waiting = "vllm:num_requests_waiting";
  return d.gauge_before(waiting) == 0 && d.gauge_after(waiting) == 0 ? ttft : 0;
}

// `seconds` between the scrapes; 0: not known. None: nobody decoded.
std::optional<ScrapeInterval> interval_of(const Difference& d, double seconds) {
  ScrapeInterval out;
  std::optional<double> tokens;
  for (const char* histogram : kItl) {
    tokens = d.of({(std::string(histogram) + "_count").c_str()});
    if (!tokens) continue;
    if (const auto mean = d.mean(histogram))
      out.itl = out.itl_low = out.itl_high = *mean;
    else if (const auto within = d.mean_by_buckets(histogram))
      out = {(within->low + within->high) / 2, within->low, within->high};
    break;
  }
  if (!tokens || *tokens <= 0 || out.itl <= 0) return std::nullopt;
  const auto iterations = d.of({"vllm:iteration_tokens_total_count", "vllm:iteration_tokens_count"});
  const char* running = "vllm:num_requests_running";
  out.batch = iterations && *iterations > 0 ? *tokens / *iterations
              : seconds > 0                 ? out.itl * *tokens / seconds
                                            : (d.gauge_before(running) + d.gauge_after(running)) / 2;
  if (out.batch <= 0) return std::nullopt;
  const double prompts = d.of({"vllm:time_to_first_token_seconds_count"}).value_or(0);
  out.prompts = prompts * out.batch / *tokens;
  out.prompt_tokens = tokens_per_prompt(d, prompts);
  if (out.prompt_tokens > 0) out.prefill = prefill_of(d);
  return out;
}

enum Part : size_t { kBase, kPerItem, kPrefillPerToken, kParts };

// base, perItem, prefillPerToken. `itl`: which of the three of an interval.
std::vector<double> solve(const std::vector<ScrapeInterval>& intervals, double ScrapeInterval::*itl) {
  std::vector<std::vector<double>> rows;
  for (const ScrapeInterval& i : intervals) {
    const double seconds = i.*itl;
    rows.push_back({(1 + i.prompts) / seconds, i.batch / seconds, i.prompts * i.prompt_tokens / seconds});
    if (i.prefill > 0) rows.push_back({1 / i.prefill, 0, i.prompt_tokens / i.prefill});
  }
  return robust_least_squares(rows, std::vector<double>(rows.size(), 1.0));
}

double off(const ScrapeInterval& i, const std::vector<double>& law) {
  const double itl =
      law[kBase] * (1 + i.prompts) + law[kPerItem] * i.batch + law[kPrefillPerToken] * i.prompts * i.prompt_tokens;
  return std::abs(itl / i.itl - 1);
}

double left_out(const std::vector<ScrapeInterval>& intervals) {
  std::vector<double> errors;
  for (size_t out = 0; out < intervals.size(); ++out) {
    std::vector<ScrapeInterval> others = intervals;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(out));
    errors.push_back(off(intervals[out], solve(others, &ScrapeInterval::itl)));
  }
  return median(errors);
}

void check(const ScrapeIntervals& found, const std::string& source) {
  auto refuse = [&](const std::string& message) {
    throw InputError(Diagnostic{Severity::Error, {source, 0, 0}, "", message});
  };
  const auto& intervals = found.intervals;
  if (intervals.size() < kLeastScrapeIntervals)
    refuse(fmt::format(
        "found {} intervals of a steady load in {} scrapes ({} unsteady, {} without tokens, {} with a "
        "restart), allowed: {} or more",
        intervals.size(), found.scrapes, found.unsteady, found.idle, found.restarts, kLeastScrapeIntervals));
  auto smaller = [](const ScrapeInterval& a, const ScrapeInterval& b) { return a.batch < b.batch; };
  const auto [least, most] = std::minmax_element(intervals.begin(), intervals.end(), smaller);
  if (most->batch < kLeastBatchRatio * least->batch)
    refuse(
        fmt::format("found batches of {:.1f} to {:.1f} sequences, which do not tell base and perItem apart, allowed: "
                    "scrapes at loads whose batches differ by a factor of {}",
                    least->batch, most->batch, kLeastBatchRatio));
  if (std::none_of(intervals.begin(), intervals.end(), [](const ScrapeInterval& i) { return i.prefill > 0; }))
    refuse(
        "no interval tells how long a prompt takes, allowed: one in which nobody waited, or "
        "vllm:request_prefill_time_seconds, and the tokens of prompts");
}

}  // namespace

ScrapeIntervals intervals_of(const std::vector<std::vector<MetricSample>>& scrapes) {
  ScrapeIntervals out;
  bool timed = false;
  for (const auto& [engine, of_engine] : by_engine(scrapes, timed)) {
    out.scrapes += of_engine.size();
    for (auto before = of_engine.begin(); before != of_engine.end(); ++before) {
      const auto after = std::next(before);
      if (after == of_engine.end()) break;
      const Difference d(before->second, after->second);
      const auto interval = interval_of(d, timed ? after->first - before->first : 0);
      if (d.restarted())
        ++out.restarts;
      else if (!interval)
        ++out.idle;
      else if (!steady(d))
        ++out.unsteady;
      else
        out.intervals.push_back(*interval);
    }
  }
  return out;
}

LinearCoefficients fit_scrapes(const ScrapeIntervals& found, const std::string& source, uint64_t seed) {
  check(found, source);
  const auto& intervals = found.intervals;
  const std::vector<double> law = solve(intervals, &ScrapeInterval::itl);
  for (size_t part = 0; part < kParts; ++part)
    if (law[part] < 0)
      throw InputError(
          Diagnostic{Severity::Error,
                     {source, 0, 0},
                     "",
                     fmt::format("the fit gives a {} below 0: what was scraped does not follow the linear law",
                                 part == kBase      ? "base"
                                 : part == kPerItem ? "perItem"
                                                    : "prefillPerToken")});
  LinearCoefficients out;
  out.law = {law[kBase], law[kPerItem], law[kBase], law[kPrefillPerToken]};
  // What chance left open, and what the buckets do.
  auto interval = [&](Part part) {
    Interval all = bootstrap(
        intervals.size(),
        [&](std::span<const size_t> drawn) {
          std::vector<ScrapeInterval> some;
          for (size_t i : drawn) some.push_back(intervals[i]);
          return solve(some, &ScrapeInterval::itl)[part];
        },
        seed);
    for (auto itl : {&ScrapeInterval::itl_low, &ScrapeInterval::itl_high}) {
      const double there = solve(intervals, itl)[part];
      all = {std::min(all.low, there), std::max(all.high, there)};
    }
    return Interval{std::max(0.0, all.low), std::max(0.0, all.high)};
  };
  out.base = interval(kBase);
  out.per_sequence = interval(kPerItem);
  std::vector<double> errors;
  out.min_batch = kInf;
  for (const ScrapeInterval& i : intervals) {
    errors.push_back(off(i, law));
    out.min_batch = std::min(out.min_batch, i.batch);
    out.max_batch = std::max(out.max_batch, i.batch);
  }
  out.fit_error = median(errors);
  out.left_out_error = left_out(intervals);
  return out;
}

}  // namespace kisim
