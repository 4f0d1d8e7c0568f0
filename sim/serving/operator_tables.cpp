#include "serving/operator_tables.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

// Between axis[low] and axis[low + 1], `part` of the way; beyond the ends along the last segment.
struct Between {
  size_t low = 0;
  double part = 0;
};

Between find(const std::vector<double>& axis, size_t from, double value) {
  if (axis.size() <= from + 1) return {from, 0};
  auto above = std::upper_bound(axis.begin() + static_cast<std::ptrdiff_t>(from) + 1, axis.end() - 1, value);
  auto low = static_cast<size_t>(above - axis.begin()) - 1;
  return {low, (value - axis[low]) / (axis[low + 1] - axis[low])};
}

// A step with no chunk is another kind of step, not one with a very small chunk: 0 stands for itself.
Between find_or_none(const std::vector<double>& axis, double value) {
  if (value == 0) return {0, 0};
  return find(axis, 1, std::max(value, axis[std::min<size_t>(1, axis.size() - 1)]));
}

size_t bucket(const std::vector<double>& edges, double value) {
  return static_cast<size_t>(std::lower_bound(edges.begin(), edges.end(), value) - edges.begin());
}

double next_above(const std::vector<double>& knots, double value) {
  auto next = std::upper_bound(knots.begin(), knots.end(), value);
  return next == knots.end() ? HUGE_VAL : *next;
}

}  // namespace

double Curve::at(double value) const {
  Between b = find(x, 0, std::max(value, x.front()));
  return b.part == 0 ? y[b.low] : y[b.low] + b.part * (y[b.low + 1] - y[b.low]);
}

double AttentionTable::at(double chunk, double before, double sequences, double context) const {
  std::array<Between, 4> places = {find_or_none(axes[0], chunk), find(axes[1], 0, chunk > 0 ? before : 0),
                                   find_or_none(axes[2], sequences),
                                   find_or_none(axes[3], sequences > 0 ? context : 0)};
  double sum = 0;
  for (uint32_t corner = 0; corner < 16; ++corner) {
    double weight = 1;
    size_t place = 0;
    for (size_t a = 0; a < 4; ++a) {
      bool high = corner >> a & 1;
      weight *= high ? places[a].part : 1 - places[a].part;
      place = place * axes[a].size() + places[a].low + (high && places[a].part != 0);
    }
    if (weight != 0) sum += weight * us[place];
  }
  return sum;
}

size_t SkewTable::place(size_t chunk, size_t sequence, size_t rate, size_t longest_bucket, size_t before_bucket) const {
  size_t at = chunk * (sequences.size() + 1) + sequence;
  at = at * (rates.size() + 1) + rate;
  at = at * (longest.size() + 1) + longest_bucket;
  return at * (before.size() + 1) + before_bucket;
}

double SkewTable::at(double chunk, double n, double rate, double longest_context, double before_chunk) const {
  if (chunks.empty()) return otherwise;
  size_t nearest = 0;
  for (size_t c = 1; c < chunks.size(); ++c)
    if (std::abs(chunks[c] - chunk) < std::abs(chunks[nearest] - chunk)) nearest = c;
  double found = alpha[place(nearest, bucket(sequences, n), bucket(rates, rate), bucket(longest, longest_context),
                             bucket(before, before_chunk))];
  return std::isnan(found) ? otherwise : found;
}

// µs per layer with decoding sequences of `mean` tokens of context on average.
double OperatorTables::attention_us(const StepWork& work, double mean) const {
  auto n = static_cast<double>(work.decoding), chunk = static_cast<double>(work.prefill_tokens);
  // Where the one chunk that stands for all begins: so that it has the context that they have together.
  double before = 0;
  for (const PrefillChunk& c : work.chunks) before += static_cast<double>(c.tokens) * c.context / chunk;
  double us = attention.at(chunk, before, n, mean);
  if (work.decoding > 1 && work.longest > work.shortest) {
    double grown = mean - static_cast<double>(work.decode_context) / n;
    double longest = static_cast<double>(work.longest) + grown, shortest = static_cast<double>(work.shortest) + grown;
    double alpha = skew.at(chunk, n, (mean - shortest) / (longest - shortest), longest, before);
    us += alpha * (attention.at(chunk, before, n, longest) - us);
  }
  if (work.prefilling() < 2) return us;
  double least = work.decoding > 0 ? attention.at(0, 0, n, mean) : 0, launch = attention.at(1, 0, 0, 0);
  double several = launch;
  for (const PrefillChunk& c : work.chunks) several += attention.at(c.tokens, c.context, 0, 0) - launch;
  return std::max(us - attention.at(chunk, before, 0, 0) + several, least);
}

// Attention is linear in the mean context between the knots that the mean and the longest pass.
StepLine OperatorTables::line(const StepWork& work) const {
  auto all_tokens = static_cast<double>(work.decoding + work.prefill_tokens);
  double us = tokens.at(all_tokens) + sequences.at(static_cast<double>(work.decoding + work.prefilling()));
  if (!moe.empty()) us += layers * moe.at(all_tokens);
  if (!all_reduce.empty()) us += 2 * layers * all_reduce.at(all_tokens);
  double mean = work.decoding > 0 ? static_cast<double>(work.decode_context) / static_cast<double>(work.decoding) : 0;
  double first = attention_us(work, mean);
  StepLine line;
  line.first_ps = std::max(1ll, std::llround((us + layers * first) * 1e6));
  if (work.decoding == 0 || work.prefill_tokens > 0) return line;
  auto longest = static_cast<double>(work.longest);
  double room = std::min(next_above(attention.axes[3], mean) - mean, next_above(attention.axes[3], longest) - longest);
  // The edge of a bucket is in it.
  auto edge = std::lower_bound(skew.longest.begin(), skew.longest.end(), longest);
  if (edge != skew.longest.end()) room = std::min(room, *edge - longest);
  if (room < HUGE_VAL) line.iterations = std::max<int64_t>(1, static_cast<int64_t>(std::floor(room)) + 1);
  if (line.iterations > 1) {
    double step = std::min(room, 1.0);
    // Measured times need not grow with the context; a step that would become shorter stays as it is.
    line.growth_ps = std::max(0ll, std::llround(layers * (attention_us(work, mean + step) - first) / step * 1e6));
  }
  return line;
}

}  // namespace kisim
