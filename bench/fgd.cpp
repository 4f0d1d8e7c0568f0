#include "fgd.hpp"

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/parallel.hpp"
#include "fgd_figure.hpp"
#include "fgd_run.hpp"
#include "io/text_table.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace kisim {

namespace {

constexpr uint64_t kFirstSeed = 42;
constexpr size_t kFinal = kFgdColumns - 1;
constexpr const char* kDefaultTrace = "default";

// How far our mean may lie from the published one, in points of per cent, by position in kFgdPolicies: two or three
// standard deviations of a mean of ten seeds.
constexpr double kMarks[] = {0.6, 0.6, 0.8, 0.8, 0.3, 0.3};

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

// Of the sample; 0 for a single value.
double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  double center = mean(values), sum = 0;
  for (double v : values) sum += (v - center) * (v - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

FgdCurve mean_curve(const std::vector<FgdCurve>& curves) {
  FgdCurve out{};
  for (const FgdCurve& curve : curves)
    for (size_t i = 0; i < kFgdColumns; ++i) out[i] += curve[i] / static_cast<double>(curves.size());
  return out;
}

// The runs of one policy on one trace, and what was published about it.
struct Series {
  std::vector<FgdCurve> allocated, fragmented;  // by seed
  std::vector<FgdCurve> published_allocated, published_fragmented;
  size_t pods = 0;
  double cpu_s = 0;

  static std::vector<double> finals(const std::vector<FgdCurve>& curves) {
    std::vector<double> out;
    for (const FgdCurve& curve : curves) out.push_back(curve[kFinal]);
    return out;
  }
  double final_mean() const { return mean(finals(allocated)); }
  double difference() const { return final_mean() - mean(finals(published_allocated)); }
  double pods_per_s() const { return static_cast<double>(pods) / cpu_s; }
};

struct Comparison {
  std::string trace;
  std::vector<Series> policies;  // as kFgdPolicies
};

std::vector<FgdCurve> curves_of(const FgdCurves& curves, const std::string& trace, const std::string& policy) {
  auto found = curves.find({trace, policy});
  return found == curves.end() ? std::vector<FgdCurve>{} : found->second;
}

std::vector<Comparison> run_all(const FgdData& data, const FgdOptions& options) {
  auto seeds = static_cast<size_t>(options.seeds);
  std::vector<FgdRun> runs(data.traces.size() * kFgdPolicyCount * seeds);
  parallel_for(runs.size(), static_cast<size_t>(std::max(options.threads, 0)), [&](size_t i) {
    size_t policy = i / seeds % kFgdPolicyCount, trace = i / seeds / kFgdPolicyCount;
    runs[i] = run_fgd_once(data.nodes, data.traces[trace], kFgdPolicies[policy], kFirstSeed + i % seeds);
  });

  std::vector<Comparison> comparisons;
  auto run = runs.begin();
  for (const FgdTrace& trace : data.traces) {
    Comparison comparison{trace.name, {}};
    for (const FgdPolicy& policy : kFgdPolicies) {
      Series series;
      for (size_t s = 0; s < seeds; ++s, ++run) {
        series.allocated.push_back(run->allocated);
        series.fragmented.push_back(run->fragmented);
        series.pods += run->pods;
        series.cpu_s += run->cpu_s;
      }
      series.published_allocated = curves_of(data.allocated, trace.name, policy.published);
      series.published_fragmented = curves_of(data.fragmented, trace.name, policy.published);
      comparison.policies.push_back(std::move(series));
    }
    comparisons.push_back(std::move(comparison));
  }
  return comparisons;
}

std::string spread(const std::vector<double>& values) {
  return values.empty() ? "-" : fmt::format("{:.2f} ± {:.2f}", mean(values), deviation(values));
}
std::string mean_text(const std::vector<double>& values) {
  return values.empty() ? "-" : fmt::format("{:.2f}", mean(values));
}

struct Score {
  size_t judged = 0, met = 0;
};

void print_comparison(const Comparison& comparison, Score& score, std::ostream& out) {
  TextTable table({{"POLICY", false, 10},
                   {"PUBLISHED", true, 12},
                   {"KISIM", true, 12},
                   {"DIFF", true, 5},
                   {"MARK", true},
                   {"", false, 4},
                   {"FRAG.", true},
                   {"KISIM", true},
                   {"PODS/S", true, 7}});
  for (size_t p = 0; p < kFgdPolicyCount; ++p) {
    const Series& s = comparison.policies[p];
    std::string difference = "-", verdict;
    if (!s.published_allocated.empty()) {
      bool met = std::fabs(s.difference()) <= kMarks[p];
      ++score.judged;
      score.met += met;
      difference = fmt::format("{:+.2f}", s.difference());
      verdict = met ? "ok" : "MISS";
    }
    table.row({kFgdPolicies[p].name, spread(Series::finals(s.published_allocated)), spread(Series::finals(s.allocated)),
               difference, fmt::format("{:.1f}", kMarks[p]), verdict, mean_text(Series::finals(s.published_fragmented)),
               mean_text(Series::finals(s.fragmented)), fmt::format("{:.0f}", s.pods_per_s())});
  }
  out << "\nTrace " << comparison.trace << '\n' << table.text({});
}

// FGD > BestFit > Packing and Clustering > DotProd > Random. On other traces the published order differs.
bool order_as_published(const Comparison& comparison) {
  std::vector<double> final;
  for (const Series& s : comparison.policies) final.push_back(s.final_mean());
  enum { kRandom, kDotProd, kClustering, kPacking, kBestFit, kFgd };
  auto [low, high] = std::minmax(final[kClustering], final[kPacking]);
  return final[kFgd] > final[kBestFit] && final[kBestFit] > high && low > final[kDotProd] &&
         final[kDotProd] > final[kRandom];
}

void write_figure(const std::string& path, const Comparison& comparison) {
  std::vector<FgdLine> lines;
  for (size_t p = 0; p < kFgdPolicyCount; ++p) {
    const Series& s = comparison.policies[p];
    std::optional<FgdCurve> published;
    if (!s.published_allocated.empty()) published = mean_curve(s.published_allocated);
    lines.push_back({kFgdPolicies[p].name, mean_curve(s.allocated), published});
  }
  write_file(path, fgd_figure(comparison.trace, lines));
}

double fgd_pods_per_s(const std::vector<Comparison>& comparisons) {
  double pods = 0, seconds = 0;
  for (const Comparison& comparison : comparisons) {
    pods += static_cast<double>(comparison.policies.back().pods);
    seconds += comparison.policies.back().cpu_s;
  }
  return pods / seconds;
}

}  // namespace

int run_fgd(const FgdOptions& options, std::ostream& out) {
  FgdData data = read_fgd_data(options.data);
  std::vector<Comparison> comparisons = run_all(data, options);

  out << fmt::format("Placement of pods that share GPUs, openb: {} nodes, seeds {} to {}\n\n", data.nodes.size(),
                     kFirstSeed, kFirstSeed + static_cast<uint64_t>(options.seeds) - 1)
      << "Mean and deviation over the seeds when pods have asked for 130 % of the GPU.\n"
         "PUBLISHED, KISIM: allocated GPU, % of the cluster's. MARK: how far the means\n"
         "may lie apart. FRAG.: fragmented GPU as published, % of the cluster's. PODS/S:\n"
         "decided about in a second of one thread, the scheduling framework included.\n";
  Score score;
  for (const Comparison& comparison : comparisons) print_comparison(comparison, score, out);
  if (!options.figure.empty()) write_figure(options.figure, comparisons.front());

  std::string order = "order not judged";
  bool ordered = true;
  if (comparisons.front().trace == kDefaultTrace) {
    ordered = order_as_published(comparisons.front());
    order = ordered ? "order as published" : "order NOT as published";
    out << fmt::format("\nOrder on {}, FGD > BestFit > Packing, Clustering > DotProd > Random: {}\n", kDefaultTrace,
                       ordered ? "yes" : "NO");
  }
  out << fmt::format("Speed of FGD: {:.0f} pods/s on {} nodes in one thread\n", fgd_pods_per_s(comparisons),
                     data.nodes.size());
  bool passed = score.met == score.judged && ordered;
  out << fmt::format("fgd: {}, {} of {} means within their marks, {}\n", passed ? "pass" : "MISS", score.met,
                     score.judged, order);
  return passed ? 0 : 1;
}

}  // namespace kisim
