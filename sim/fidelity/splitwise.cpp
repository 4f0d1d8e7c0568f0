#include "calibration/latency_fit.hpp"
#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "io/data_table.hpp"
#include "serving/latency_law.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace kisim {

namespace {

constexpr double kMs = 1e-3;

// Times by tokens in all: prompt size × batch size. Ascending.
using Series = std::vector<LatencyPoint>;

// Medians of the repeats of one model on one number of GPUs: of single prompts, and of batches of one prompt size,
// whose first stands in both.
struct SplitwiseTable {
  Series prompts, batches;
  double shared() const { return batches.empty() ? 0 : batches.front().samples; }
};

struct SplitwiseConfiguration {
  SplitwiseTable prompt_time, token_time;
  std::map<std::string, size_t> skipped;
};

struct Shape {
  int32_t prompt = 0, batch = 0;
  auto operator<=>(const Shape&) const = default;
};

struct Repeats {
  std::vector<double> prompt, token;  // seconds
};

// The key for which most is found; the first of them.
template <class Key, class Value>
Key largest(const std::map<Key, std::vector<Value>>& groups) {
  return std::max_element(groups.begin(), groups.end(),
                          [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); })
      ->first;
}

SplitwiseConfiguration configuration(const std::map<Shape, Repeats>& shapes) {
  std::map<int32_t, std::vector<int32_t>> batches;  // by prompt size
  for (const auto& [shape, repeats] : shapes) batches[shape.prompt].push_back(shape.batch);
  const int32_t prompt = largest(batches);
  SplitwiseConfiguration out;
  for (const auto& [shape, repeats] : shapes) {
    const double tokens = static_cast<double>(shape.prompt) * shape.batch;
    auto add = [&, &times = repeats](Series SplitwiseTable::*axis) {
      (out.prompt_time.*axis).push_back({tokens, median(times.prompt)});
      (out.token_time.*axis).push_back({tokens, median(times.token)});
    };
    if (shape.batch == 1) add(&SplitwiseTable::prompts);
    if (shape.prompt == prompt) add(&SplitwiseTable::batches);
    if (shape.batch != 1 && shape.prompt != prompt) ++out.skipped["a batch of another prompt size"];
  }
  return out;
}

std::map<std::string, SplitwiseConfiguration> read_splitwise(const std::string& directory) {
  std::map<std::string, std::map<int32_t, std::map<Shape, Repeats>>> found;  // by name and output tokens
  for (const std::string& file : files_of(directory + "/splitwise", ".csv")) {
    const DataTable t = DataTable::read(file);
    const size_t model = t.column("model"), gpu = t.column("hardware"), gpus = t.column("tensor_parallel");
    const size_t prompt = t.column("prompt_size"), batch = t.column("batch_size"), output = t.column("token_size");
    const size_t prompt_time = t.column("prompt_time"), token_time = t.column("token_time");
    for (size_t row = 0; row < t.rows(); ++row) {
      auto whole = [&](size_t column) { return static_cast<int32_t>(t.positive(row, column)); };
      const std::string name = fmt::format("{}, {} {}", t.text(row, model), whole(gpus), t.text(row, gpu));
      Repeats& repeats = found[name][whole(output)][{whole(prompt), whole(batch)}];
      repeats.prompt.push_back(t.positive(row, prompt_time) * kMs);
      repeats.token.push_back(t.positive(row, token_time) * kMs);
    }
  }
  std::map<std::string, SplitwiseConfiguration> out;
  for (const auto& [name, outputs] : found) {
    auto most = std::max_element(outputs.begin(), outputs.end(),
                                 [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
    out[name] = configuration(most->second);
    for (const auto& [output, shapes] : outputs)
      if (output != most->first) out[name].skipped["the same prompts with longer or shorter outputs"] += shapes.size();
  }
  return out;
}

// 0: not measured.
double seconds_of(const Series& series, double tokens) {
  for (const LatencyPoint& p : series)
    if (p.samples == tokens) return p.seconds;
  return 0;
}

bool inside(const Series& series, double tokens) {
  return !series.empty() && series.front().samples < tokens && tokens < series.back().samples;
}

// From the neighbours, linear in tokens.
double by_neighbours(const Series& own, double tokens) { return seconds_at(own, tokens); }

// A prompt takes about as long as as many tokens in shorter prompts: their time, times a factor that changes slowly,
// linear in the logarithm of the tokens between shapes whose factor is known.
double by_shape(const Series& own, const Series& other, double tokens) {
  Series factors;
  for (const LatencyPoint& p : own)
    if (const double same = seconds_of(other, p.samples); same > 0)
      factors.push_back({std::log(p.samples), p.seconds / same});
  const double same = seconds_of(other, tokens);
  if (same <= 0 || factors.empty()) return by_neighbours(own, tokens);
  const double place = std::clamp(std::log(tokens), factors.front().samples, factors.back().samples);
  return same * (factors.size() == 1 ? factors.front().seconds : seconds_at(factors, place));
}

Series without(Series series, double tokens) {
  std::erase_if(series, [&](const LatencyPoint& p) { return p.samples == tokens; });
  return series;
}

// Whoever knows one point only: time in proportion to tokens for a prompt, the same time for a token.
double naive(const Series& own, double tokens, bool proportional) {
  auto distance = [&](const LatencyPoint& p) { return std::abs(std::log(p.samples / tokens)); };
  const LatencyPoint& nearest = *std::min_element(
      own.begin(), own.end(), [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  return proportional ? nearest.seconds * tokens / nearest.samples : nearest.seconds;
}

// The points of `scored` along one axis, from `known`: the same table, of which each is left out in turn, or another.
void add_points(const std::string& name, const SplitwiseTable& scored, const SplitwiseTable* known, bool batches,
                ScoreRow& row) {
  const bool prompt = row.metric == "prompt time";
  auto axis = [](const SplitwiseTable& table, bool of_batches) -> const Series& {
    return of_batches ? table.batches : table.prompts;
  };
  for (const LatencyPoint& p : axis(scored, batches)) {
    const double tokens = p.samples;
    if (known && batches && tokens == scored.shared()) continue;  // counted among the prompts
    const SplitwiseTable& table = known ? *known : scored;
    Series own = axis(table, batches), other = axis(table, !batches);
    if (!known) {
      own = without(std::move(own), tokens);
      if (tokens == scored.shared()) other = without(std::move(other), tokens);
    }
    if (!inside(own, tokens)) {
      ++row.skipped["at the end of an axis, where nothing is on its other side"];
      continue;
    }
    const double ours = prompt ? by_shape(own, other, tokens) : by_neighbours(own, tokens);
    const std::string what =
        batches ? fmt::format("{:g} tokens in a batch", tokens) : fmt::format("{:g} tokens", tokens);
    row.points.push_back({name + ", " + what, p.seconds / kMs, ours / kMs, naive(own, tokens, prompt) / kMs});
  }
}

}  // namespace

void compare_splitwise(const FidelityData& data, Scoreboard& board) {
  const auto scored = read_splitwise(data.scored);
  const auto known = data.calibrated.empty() ? decltype(scored){} : read_splitwise(data.calibrated);
  auto row_of = [&](const char* metric, double pass, double aim) {
    ScoreRow row;
    row.data = "splitwise, prompt and batch sizes";
    row.metric = metric;
    row.unit = "ms";
    row.split = data.calibrated.empty()
                    ? "each point inside an axis in turn left out, from the other points of its configuration"
                    : "from the points of the same configuration in the calibration data";
    row.naive = "the nearest point; prompts in proportion to tokens";
    row.pass = pass;
    row.aim = aim;
    return row;
  };
  ScoreRow prompt = row_of("prompt time", 0.05, 0.03), token = row_of("token time", 0.03, 0.015);
  for (const auto& [name, configuration] : scored) {
    data.progress("splitwise, " + name);
    auto same = known.find(name);
    const bool missing = !data.calibrated.empty() && same == known.end();
    const SplitwiseConfiguration* table = same == known.end() ? nullptr : &same->second;
    for (ScoreRow* row : {&prompt, &token}) {
      const auto times = row == &prompt ? &SplitwiseConfiguration::prompt_time : &SplitwiseConfiguration::token_time;
      for (const auto& [why, count] : configuration.skipped) row->skipped[why] += count;
      if (missing) {
        row->skipped["of a configuration that is not in the calibration data"] +=
            (configuration.*times).prompts.size() + (configuration.*times).batches.size();
        continue;
      }
      for (bool batches : {false, true})
        add_points(name, configuration.*times, table ? &(table->*times) : nullptr, batches, *row);
    }
  }
  for (ScoreRow* row : {&prompt, &token})
    if (!row->points.empty()) board.rows.push_back(std::move(*row));
}

}  // namespace kisim
