#include "io/training_report.hpp"

#include "core/atomic_file.hpp"
#include "io/data_table.hpp"
#include "io/humanize.hpp"
#include "io/json_file.hpp"
#include "io/output.hpp"
#include "io/report_page.hpp"
#include "io/training_record.hpp"
#include "rl/policy_file.hpp"
#include "stats/sample.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>

namespace kisim {

namespace {

constexpr const char* kEvaluation = "eval/episodic_return";
constexpr const char* kTraining = "charts/episodic_return";

// An evaluation that a policy file was written after.
struct Score {
  double mean_return = 0, steps = 0;
};

struct Seed {
  uint64_t seed = 0;
  double steps = 0;
  std::vector<std::string> tags;         // in the order of the columns
  std::map<std::string, Series> curves;  // by tag, where there is a value
  std::optional<Score> last, best;       // none: not finished; never evaluated
};

struct Training {
  std::string environment, algorithm, file;
  double steps = 0;
  std::map<std::string, std::string> parameters;
  std::vector<uint64_t> wanted;
  std::vector<Seed> seeds;  // that have begun
};

std::optional<double> finite(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc{} && read.ptr == end && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::optional<Score> score_of(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const PolicyFile policy = read_policy_file(path);
  auto number = [&](const std::string& key) {
    auto found = policy.provenance.find(key);
    const std::optional<double> value = found == policy.provenance.end() ? std::nullopt : finite(found->second);
    if (!value) refuse(path, fmt::format("has no number of {} in its provenance", key));
    return *value;
  };
  return Score{number("evaluation"), number("steps")};
}

Seed read_seed(const std::string& directory, uint64_t seed) {
  Seed out;
  out.seed = seed;
  out.last = score_of(directory + "/last.safetensors");
  out.best = score_of(directory + "/best.safetensors");
  const DataTable table = DataTable::read(directory + "/curves.csv");
  const size_t step_column = table.column("global_step");
  std::vector<double> steps;
  for (size_t row = 0; row < table.rows(); ++row) steps.push_back(table.positive(row, step_column));
  if (!steps.empty()) out.steps = steps.back();
  for (size_t column = 0; column < table.header().size(); ++column) {
    if (column == step_column) continue;
    const std::string& tag = table.header()[column];
    Series& curve = out.curves[tag];
    out.tags.push_back(tag);
    for (size_t row = 0; row < table.rows(); ++row)
      if (const std::optional<double> value = finite(table.text(row, column))) {
        curve.t.push_back(steps[row]);
        curve.value.push_back(*value);
      }
  }
  // The last evaluation comes after the last row.
  if (out.last) {
    out.curves[kEvaluation].t.push_back(out.last->steps);
    out.curves[kEvaluation].value.push_back(out.last->mean_return);
  }
  return out;
}

Training read_files(const std::string& directory) {
  const TrainingRecord record = TrainingRecord::read(directory);
  Training out;
  out.environment = record.environment;
  out.algorithm = record.algorithm;
  out.file = std::filesystem::path(record.file).filename().string();
  out.steps = static_cast<double>(record.steps);
  out.parameters = record.parameters;
  out.wanted = record.seeds;
  for (uint64_t seed : out.wanted) {
    const std::string of_seed = fmt::format("{}/seed-{}", directory, seed);
    std::error_code none;
    // A table without a row has no header either.
    if (std::filesystem::file_size(of_seed + "/curves.csv", none) > 0 && !none)
      out.seeds.push_back(read_seed(of_seed, seed));
  }
  return out;
}

// ---- curves

// The median over the seeds of each stretch of steps in which all of them have values, of which the mean stands for a
// seed. A stretch is one step where there are few.
Series median_of(const std::vector<const Series*>& curves) {
  constexpr size_t kStretches = 400;
  std::vector<double> steps;
  for (const Series* curve : curves) steps.insert(steps.end(), curve->t.begin(), curve->t.end());
  std::sort(steps.begin(), steps.end());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  const size_t stretches = std::min(kStretches, steps.size());
  Series out;
  std::vector<size_t> at(curves.size());
  for (size_t i = 0; i < stretches; ++i) {
    const double last = steps[(i + 1) * steps.size() / stretches - 1];
    std::vector<double> means;
    for (size_t c = 0; c < curves.size(); ++c) {
      const size_t begin = at[c];
      while (at[c] < curves[c]->t.size() && curves[c]->t[at[c]] <= last) ++at[c];
      if (at[c] > begin) means.push_back(mean({curves[c]->value.data() + begin, at[c] - begin}));
    }
    if (means.size() < curves.size()) continue;
    out.t.push_back(last);
    out.value.push_back(median(means));
  }
  return out;
}

// How the figures of an iteration are shown; others stand under their own tags.
struct Look {
  const char *tag, *title, *note;
  bool from_zero;
};
constexpr Look kLooks[] = {
    {kTraining, "Return of training episodes", "mean of those that ended in an iteration", false},
    {kEvaluation, "Return of evaluations", "the likeliest actions; the last is the result", false},
    {"charts/episodic_length", "Episode length", "steps", true},
    {"charts/learning_rate", "Learning rate", "", true},
    {"charts/epsilon", "Epsilon", "share of random actions", true},
    {"losses/value_loss", "Value loss", "", true},
    {"losses/policy_loss", "Policy loss", "", false},
    {"losses/entropy", "Entropy", "of the policy, nats", false},
    {"losses/approx_kl", "KL divergence", "from the policy that acted, nats", true},
    {"losses/old_approx_kl", "KL divergence, by log ratios", "from the policy that acted, nats", false},
    {"losses/clipfrac", "Clipped", "share of the actions", true},
    {"losses/explained_variance", "Explained variance", "of the returns, by the critic; 1 is all", false},
    {"losses/td_loss", "TD loss", "", true},
    {"losses/q_values", "Q values", "mean of the actions taken", false},
};

Look look_of(const std::string& tag) {
  for (const Look& look : kLooks)
    if (tag == look.tag) return look;
  return {tag.c_str(), tag.c_str(), "", false};
}

// The plots of a training; they look at its curves, and at medians that are kept here.
class Curves {
 public:
  explicit Curves(const Training& training) : training_(training) {
    add(kTraining, false);
    add(kEvaluation, false);
    if (training.seeds.empty()) return;
    for (const std::string& tag : training.seeds.front().tags)
      if (tag != kTraining && tag != kEvaluation) add(tag, true);
  }
  std::vector<Plot> take() { return std::move(plots_); }

 private:
  void add(const std::string& tag, bool small) {
    const Look look = look_of(tag);
    Plot plot;
    plot.title = look.title;
    plot.note = look.note;
    plot.unit = "number";
    plot.from_zero = look.from_zero;
    plot.small = small;
    std::vector<const Series*> curves;
    for (size_t i = 0; i < training_.seeds.size(); ++i) {
      const Seed& seed = training_.seeds[i];
      auto found = seed.curves.find(tag);
      if (found == seed.curves.end() || found->second.t.empty()) continue;
      curves.push_back(&found->second);
      PlotLine& line = plot.lines.emplace_back();
      line.name = fmt::format("seed {}", seed.seed);
      line.color = fmt::format("c{}", i % 8);
      line.series = curves.back();
    }
    if (curves.empty()) return;
    if (curves.size() > 1) {
      for (PlotLine& line : plot.lines) line.faint = true;
      PlotLine line;
      line.name = "median";
      line.color = "ink";
      line.series = &medians_.emplace_back(median_of(curves));
      plot.lines.insert(plot.lines.begin(), line);
    }
    plots_.push_back(std::move(plot));
  }

  const Training& training_;
  std::vector<Plot> plots_;
  std::deque<Series> medians_;
};

// ---- text

std::string figure(double value) { return fmt::format("{:.2f}", value); }
std::string steps_text(double steps) { return human_count(static_cast<uint64_t>(std::llround(steps))); }

std::vector<double> returns_of(const Training& training, std::optional<Score> Seed::*score) {
  std::vector<double> out;
  for (const Seed& seed : training.seeds)
    if (seed.*score) out.push_back((seed.*score)->mean_return);
  return out;
}

std::string range_text(const std::vector<double>& values) {
  if (values.size() < 2) return "one seed";
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("median of {} seeds, {} to {}", values.size(), figure(*least), figure(*most));
}

std::string headline(const Training& training) {
  const std::vector<double> last = returns_of(training, &Seed::last);
  if (last.empty())
    return fmt::format("Not finished: {} of {} seeds have begun", training.seeds.size(), training.wanted.size());
  std::string out = fmt::format("A return of {} at the end", figure(median(last)));
  if (last.size() > 1) out += ", " + range_text(last);
  if (last.size() < training.wanted.size())
    out += fmt::format("; {} of {} seeds have finished", last.size(), training.wanted.size());
  return out;
}

std::string tiles_html(const Training& training) {
  Tiles tiles;
  auto add = [&](const char* name, std::optional<Score> Seed::*score) {
    const std::vector<double> found = returns_of(training, score);
    if (!found.empty()) tiles.add(name, figure(median(found)), range_text(found));
  };
  add("Return at the end", &Seed::last);
  add("Best evaluation", &Seed::best);
  double steps = 0;
  for (const Seed& seed : training.seeds) steps += seed.steps;
  const double all = training.steps * static_cast<double>(training.wanted.size());
  tiles.add("Steps", human_number(steps), "of " + human_number(all) + " of all seeds");
  tiles.add("Seeds finished", fmt::format("{}", returns_of(training, &Seed::last).size()),
            fmt::format("of {}", training.wanted.size()));
  return tiles.html();
}

std::string scores_html(const Training& training) {
  HtmlTable table("Scores",
                  {{"Seed", ""},
                   {"Steps", "number"},
                   {"Return at the end", "number"},
                   {"Best evaluation", "number"},
                   {"Best after", "number"}},
                  "the policies of each seed hold theirs");
  for (const Seed& seed : training.seeds)
    table.row({fmt::format("{}", seed.seed), steps_text(seed.steps), seed.last ? figure(seed.last->mean_return) : "–",
               seed.best ? figure(seed.best->mean_return) : "–",
               seed.best ? steps_text(seed.best->steps) + " steps" : "–"});
  return table.html();
}

std::string parameters_html(const Training& training) {
  HtmlTable table("Parameters", {{"Parameter", ""}, {"Value", "reason"}}, "all are in training.json");
  for (const auto& [name, value] : training.parameters) table.row({name, cut_text(value)});
  return table.html();
}

std::string eyebrow_html(const Training& training) {
  std::string out = fmt::format("<strong>{}</strong> · {} · {} steps each · seed", escape_html(training.environment),
                                escape_html(training.algorithm), human_number(training.steps));
  if (training.wanted.size() == 1) return out + fmt::format(" {}", training.wanted[0]);
  return out + fmt::format("s {} to {}", training.wanted.front(), training.wanted.back());
}

}  // namespace

std::string write_training_report(const std::string& directory) {
  const Training training = read_files(directory);
  Curves curves(training);
  ReportPage page;
  page.title = training.environment;
  page.eyebrow = eyebrow_html(training);
  page.headline = headline(training);
  page.tiles = tiles_html(training);
  page.tables = scores_html(training) + parameters_html(training);
  page.footer = fmt::format("kisim {} · {}{}", version(), training.environment,
                            training.file.empty() ? "" : " of " + training.file);
  page.over = "steps";
  for (const Seed& seed : training.seeds) page.end = std::max(page.end, seed.steps);
  page.plots = curves.take();
  page.rest = "curves.csv";
  const std::string path = directory + "/report.html";
  write_file(path, render_page(page));
  return path;
}

}  // namespace kisim
