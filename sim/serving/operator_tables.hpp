#pragma once
// Operator tables: how long the operators of one model took on one kind of GPU with one degree of tensor parallelism,
// as profiled inside an engine (Vidur, MLSys'24; LLMServingSim 2.0). The time of an iteration is
//   tokens(T) + sequences(S) + layers·(attention + moe(T)) + 2·layers·all-reduce(T)
// with T tokens in it and S sequences that get one. Between the points of a profile it is interpolated linearly, beyond
// them along the last segment.
//
// Attention was profiled for one chunk of p prompt tokens after c beside n sequences of k tokens each. Real batches
// differ in two ways:
//   several chunks   their pairs of tokens are fewer than those of one chunk as long as all: what one chunk alone takes
//                    more than each of them alone is taken off.
//   skew             sequences of unequal length: mean + alpha·(longest - mean), by the times of n sequences that are
//   all
//                    as long as the mean and as the longest; alpha by bucket (LLMServingSim, profiler: skew fit).

#include "serving/step_cost.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace kisim {

// A function given by points, ascending in x.
struct Curve {
  std::vector<double> x, y;

  bool empty() const { return x.empty(); }
  double at(double value) const;
};

struct AttentionTable {
  // Prompt tokens of the chunk, tokens before it, sequences that decode, tokens of each; ascending. The first and the
  // third begin with 0: no chunk, nobody decodes.
  std::array<std::vector<double>, 4> axes;
  std::vector<double> us;  // row by row, the last axis fastest; per layer

  double at(double chunk, double before, double sequences, double context) const;
};

// How much of the way from the mean to the longest, by bucket. Edges are the upper ends of all buckets but the last.
struct SkewTable {
  std::vector<double> chunks;  // prompt tokens, points of the profile; the nearest counts
  std::vector<double> sequences, rates, longest, before;
  std::vector<double> alpha;  // NaN: not profiled
  double otherwise = 0;

  size_t size() const {
    return chunks.size() * (sequences.size() + 1) * (rates.size() + 1) * (longest.size() + 1) * (before.size() + 1);
  }
  // Place of a bucket in `alpha`.
  size_t place(size_t chunk, size_t sequence, size_t rate, size_t longest_bucket, size_t before_bucket) const;
  double at(double chunk, double n, double rate, double longest_context, double before_chunk) const;
};

struct OperatorTables {
  std::string source;  // directory of the profile
  std::string gpu;     // of the catalogue; whole ones
  int32_t layers = 0;
  Curve tokens, sequences;  // µs of the whole model by tokens and by sequences
  Curve moe;                // µs per layer by tokens; empty: dense
  AttentionTable attention;
  SkewTable skew;
  Curve all_reduce;  // µs of one by tokens; empty: one GPU

  StepLine line(const StepWork& work) const;

 private:
  double attention_us(const StepWork& work, double mean) const;
};

}  // namespace kisim
