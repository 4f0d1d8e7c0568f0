#include "serving/operator_tables.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

// Attention takes 1 us per chunk token, 0.1 per token before it, and per sequence 0.01 per token of context up to 1000
// and 0.03 beyond.
OperatorTables tables() {
  OperatorTables t;
  t.layers = 10;
  t.tokens = {{1, 100, 1000}, {500, 1000, 9000}};
  t.sequences = {{1, 200}, {10, 50}};
  AttentionTable& a = t.attention;
  a.axes = {std::vector<double>{0, 1, 1000}, {0, 1000}, {0, 1, 100}, {0, 1, 1000, 10000}};
  for (double chunk : a.axes[0])
    for (double before : a.axes[1])
      for (double n : a.axes[2])
        for (double context : a.axes[3]) {
          double each = 0.01 * std::min(context, 1000.0) + 0.03 * std::max(0.0, context - 1000);
          a.us.push_back(chunk + (chunk > 0 ? 0.1 * before : 0) + n * each);
        }
  return t;
}

StepWork decoding(int64_t n, int64_t context) {
  StepWork work;
  work.decoding = n;
  work.decode_context = n * context;
  work.shortest = work.longest = context;
  return work;
}

}  // namespace

TEST_CASE("operator tables are linear between their points and along the last segment beyond them") {
  Curve curve{{10, 20, 40}, {1, 2, 8}};
  CHECK(curve.at(5) == Approx(1));
  CHECK(curve.at(15) == Approx(1.5));
  CHECK(curve.at(30) == Approx(5));
  CHECK(curve.at(60) == Approx(14));
  OperatorTables t = tables();
  CHECK(t.attention.at(500, 500, 0, 0) == Approx(550));
  CHECK(t.attention.at(0, 0, 50, 500) == Approx(250));
  CHECK(t.attention.at(0, 0, 50, 20000) == Approx(50 * (10 + 0.03 * 19000)));
}

TEST_CASE("a step by operator tables is the sum of its operators") {
  OperatorTables t = tables();
  StepLine line = t.line(decoding(50, 500));
  CHECK(line.first_ps == Approx(1e6 * (t.tokens.at(50) + t.sequences.at(50) + 10 * 50 * 5)));
  CHECK(line.growth_ps == Approx(1e6 * 10 * 50 * 0.01));
  // It is a line until the context passes the next point of the profile.
  CHECK(line.iterations == 501);

  t.all_reduce = {{1, 1000}, {10, 30}};
  t.moe = {{1, 1000}, {100, 300}};
  double more = 2 * 10 * t.all_reduce.at(50) + 10 * t.moe.at(50);
  CHECK(t.line(decoding(50, 500)).first_ps - line.first_ps == Approx(1e6 * more));
}

TEST_CASE("jumps along a line of operator tables end where single steps do") {
  OperatorTables t = tables();
  StepWork work = decoding(20, 990);
  work.longest = 1500;
  work.shortest = 700;
  t.skew.chunks = {0};
  t.skew.longest = {1510};
  t.skew.alpha = {0.1, 0.2};
  StepLine line = t.line(work);
  CHECK(line.iterations == 11);  // the mean passes 1000 and the longest 1510
  // At the edge of a bucket the next iteration is in another.
  StepWork at_edge = work;
  at_edge.longest = 1510;
  CHECK(t.line(at_edge).iterations == 1);
  for (int64_t i = 0; i < line.iterations; ++i) {
    StepWork then = work;
    then.decode_context += i * work.decoding;
    then.longest += i;
    then.shortest += i;
    CHECK(t.line(then).first_ps == Approx(line.first_ps + i * line.growth_ps).epsilon(1e-9));
  }
}

TEST_CASE("several prompts in a step have fewer pairs of tokens than one as long as all") {
  OperatorTables t = tables();
  AttentionTable& a = t.attention;
  a.axes = {std::vector<double>{0, 10, 500, 1000}, {0, 1}, {0, 1}, {0, 1}};
  a.us.clear();
  for (double us : {0.0, 5.0, 250.0, 1000.0}) a.us.insert(a.us.end(), 8, us);
  StepWork work;
  work.prefill_tokens = 1000;
  std::vector<PrefillChunk> one{{RequestId(0u), 1000, 0, true}};
  std::vector<PrefillChunk> two{{RequestId(0u), 500, 0, true}, {RequestId(1u), 500, 0, true}};
  work.chunks = one;
  int64_t alone = t.line(work).first_ps;
  work.chunks = two;
  // Both are launched once: 5 of the smallest chunk and twice what 500 tokens take more than it.
  double sequence = t.sequences.at(2) - t.sequences.at(1);
  CHECK(t.line(work).first_ps - alone == Approx(1e6 * (10 * (5 + 2 * 245 - 1000) + sequence)));
}

TEST_CASE("sequences of unequal length take a part of the way from their mean to their longest") {
  OperatorTables t = tables();
  StepWork work = decoding(10, 1000);
  int64_t even = t.line(work).first_ps;
  work.shortest = 500;
  work.longest = 1500;
  t.skew.otherwise = 0.5;
  double longest = t.attention.at(0, 0, 10, 1500), mean = t.attention.at(0, 0, 10, 1000);
  CHECK(t.line(work).first_ps - even == Approx(1e6 * 10 * 0.5 * (longest - mean)));
}
