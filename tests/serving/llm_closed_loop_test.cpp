// The closed loop of an LLM engine against what follows from its laws.

#include "serving/llm_closed_loop.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

LlmCost cost_of(int64_t kv_blocks) {
  LlmCost cost;
  cost.step_ps = 10'000'000'000;
  cost.per_sequence_ps = 100'000'000;
  cost.per_prefill_token_ps = 20'000'000;
  cost.kv_blocks = kv_blocks;
  return cost;
}

}  // namespace

TEST_CASE("one client: its prompt, then a step per token") {
  const LlmClosedLoopResult result = simulate_llm_closed_loop({}, cost_of(1000), {1, 500, 101, 1, 7});
  CHECK(result.ttft_s == Approx(10.1e-3 + 500 * 20e-6));
  CHECK(result.tpot_s == Approx(10.1e-3));
}

TEST_CASE("where prompts come first, clients of equal requests go round together") {
  LlmEngineModel model;
  model.max_num_batched_tokens = 1000;
  model.profile.prefill_first = true;
  const LlmClosedLoopResult result = simulate_llm_closed_loop(model, cost_of(10000), {10, 1000, 101, 1, 100});
  // Ten prompts one after the other: the k-th has its first token after k of them, and its second after all.
  const double prompt = 10.1e-3 + 1000 * 20e-6, step = 11e-3;
  CHECK(result.ttft_s == Approx(5.5 * prompt));
  CHECK(result.tpot_s == Approx((100 * step + 4.5 * prompt) / 100));
}

TEST_CASE("where prompts and tokens share iterations, clients spread out and wait little") {
  LlmEngineModel model;
  model.max_num_batched_tokens = 1000;
  const LlmClosedLoopResult result = simulate_llm_closed_loop(model, cost_of(10000), {10, 1000, 101, 1, 400});
  const double prompt = 11e-3 + 1000 * 20e-6;
  CHECK(result.ttft_s < 4 * prompt);
  // Between two tokens there is the step, and what the prompts of the other nine add: 9 prompts per 100 tokens.
  CHECK(result.tpot_s == Approx(11e-3 + 9 * 20e-3 / 100).epsilon(0.05));
}

TEST_CASE("lengths are drawn, the same for equal seeds") {
  const LlmClosedLoop loop{4, 1000, 200, 0.5, 200};
  const LlmClosedLoopResult a = simulate_llm_closed_loop({}, cost_of(1000), loop);
  const LlmClosedLoopResult b = simulate_llm_closed_loop({}, cost_of(1000), loop);
  CHECK(a.ttft_s == b.ttft_s);
  LlmClosedLoop other = loop;
  other.seed = 2;
  CHECK(simulate_llm_closed_loop({}, cost_of(1000), other).ttft_s != a.ttft_s);
}
