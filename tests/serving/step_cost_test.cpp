// Times of iterations: against their formula by hand, on parts of GPUs, and along sliding windows.

#include "serving/step_cost.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace kisim;

namespace {

LlmEngineModel llama() {
  LlmEngineModel model;
  model.llm = {"llama-3.1-8b", 8.03e9, 32, 4096, 32, 8, 128};
  model.llm.vocabulary = 128256;
  StepCoefficients& step = model.profile.steps.emplace_back();
  step.gpu = "h100-80gb";
  step.bandwidth_gbs = 3350;
  step.step_ms = 1.72;
  step.layer_us = 10.9;
  step.weight_factor = 1.11;
  step.kv_factor = 1.02;
  step.compute_factor = 1.11;
  step.sampling_us = 0.26;
  step.all_reduce_factor = 0.69;
  model.profile.prefill_mfu = 0.6;
  model.profile.reserved_gib = 0.65;
  return model;
}

GpuModel h100() {
  GpuModel gpu;
  gpu.name = "h100-80gb";
  gpu.fp16_tflops = 989;
  gpu.fp8_tflops = 1979;
  gpu.bandwidth_gbs = 3350;
  gpu.nvlink_gbs = 900;
  return gpu;
}

StepWork decode(int64_t sequences, int64_t context) {
  StepWork work;
  work.decoding = sequences;
  work.decode_context = context;
  return work;
}

}  // namespace

TEST_CASE("an iteration of an 8B model on an H100 takes what its terms say, and what was measured") {
  const LlmEngineModel model = llama();
  CHECK(model.llm.kv_bytes_per_token() == 128 * 1024);
  Accelerator on;
  on.memory_bytes = 80ll << 30;
  const LlmCost cost = llm_cost(model, h100(), on);
  const double embedding = 128256 * 4096e-9, layers = 8.03 - 2 * embedding;  // 1e9 parameters
  const double itl_ms = 1.72 + 32 * 10.9e-3 + 1.11 * 2 * (layers + embedding) / 3.35 +
                        8 * (300 * 1.02 * 131072e-9 / 3.35 + 1.11 * 2 * layers / 989 + 0.26e-3 * 128.256);
  CHECK(static_cast<double>(cost.line(decode(8, 8 * 300)).first_ps) * 1e-9 == Approx(itl_ms).epsilon(1e-4));
  // ML.ENERGY, vLLM, batch 8: 7.3 ms.
  CHECK(itl_ms == Approx(7.3).epsilon(0.05));
  // 72 GiB − weights − activations, in blocks of 2 MiB.
  CHECK(cost.kv_blocks ==
        static_cast<int64_t>((72.0 - 16.06e9 / (1 << 30) - 0.65 - model.activation_bytes() / (1 << 30)) * 1024 / 2));

  // On 3g.40gb of it: 60 of 132 SMs, half the memory slices, 39.5 GiB. The host is as fast as ever.
  on.compute_share = 60.0 / 132;
  on.bandwidth_share = 0.5;
  on.memory_bytes = (79ll << 30) / 2;
  const LlmCost part = llm_cost(model, h100(), on);
  CHECK(part.step_ps - cost.step_ps == Approx(1.11 * 2 * (layers + embedding) / 3.35 * 1e9).epsilon(1e-6));
  CHECK(part.per_sequence_ps == cost.per_sequence_ps);
  CHECK(part.per_decode_ps == Approx(2.2 * cost.per_decode_ps).epsilon(1e-4));
  CHECK(part.per_kv_token_ps == Approx(2.0 * cost.per_kv_token_ps).epsilon(1e-4));
  CHECK(part.per_prefill_token_ps == Approx(2.2 * cost.per_prefill_token_ps).epsilon(1e-6));
  CHECK(part.per_attention_ps == Approx(2.2 * cost.per_attention_ps));
  CHECK(part.kv_blocks ==
        static_cast<int64_t>((0.9 * 39.5 - 16.06e9 / (1 << 30) - 0.65 - model.activation_bytes() / (1 << 30)) * 1024 /
                             2));
  CHECK(part.ideal.weights == cost.ideal.weights);

  on.memory_bytes = 16ll << 30;
  CHECK(llm_cost(model, h100(), on).kv_blocks < 0);
}

TEST_CASE(
    "tensor parallelism divides what is read and computed and adds all-reduces; FP8 halves weights and computing") {
  LlmEngineModel model = llama();
  const StepTerms one = step_terms(model.llm, h100(), 1), four = step_terms(model.llm, h100(), 4);
  CHECK(one.all_reduce == 0);
  CHECK(one.all_reduce_token == 0);
  CHECK(four.weights == Approx(one.weights / 4));
  CHECK(four.kv_token == Approx(one.kv_token / 4));
  CHECK(four.token == Approx(one.token / 4));
  CHECK(four.layers == one.layers);
  CHECK(four.vocabulary == one.vocabulary);
  CHECK(four.all_reduce == Approx(64 * 21e-6));
  CHECK(four.all_reduce_token == Approx(64 * 1.5 * 4096 * 2 / 333e9));
  // Eight heads of KV are not cut for sixteen GPUs.
  CHECK(step_terms(model.llm, h100(), 16).kv_token == Approx(one.kv_token / 8));

  model.llm.bytes_per_parameter = 1;
  const StepTerms fp8 = step_terms(model.llm, h100(), 1);
  CHECK(fp8.weights == Approx((model.llm.layer_parameters() + model.llm.embedding_bytes()) / 3.35e12));
  CHECK(fp8.token == Approx(one.token * 989 / 1979));
  GpuModel old = h100();
  old.fp8_tflops = 0;
  CHECK(step_terms(model.llm, old, 1).token == one.token);
}

TEST_CASE("a GPU that nobody measured takes the coefficients of the nearest, and that is told") {
  LlmEngineModel model = llama();
  StepCoefficients b200 = model.profile.steps[0];
  b200.gpu = "b200-180gb";
  b200.bandwidth_gbs = 7700;
  b200.max_sequences = 256;
  b200.max_context = 1000;
  model.profile.steps.push_back(b200);
  GpuModel gpu = h100();
  CHECK_FALSE(llm_cost(model, gpu, {}).estimated);
  struct Row {
    const char* name;
    double bandwidth;
    const char* from;
  };
  for (const Row& row : {Row{"a100-80gb", 2039, "h100-80gb"}, Row{"h200-141gb", 4800, "h100-80gb"},
                         Row{"b300", 8000, "b200-180gb"}, Row{"b200-180gb", 3350, "b200-180gb"}}) {
    gpu.name = row.name;
    gpu.bandwidth_gbs = row.bandwidth;
    CAPTURE(row.name);
    CHECK(step_coefficients(model.profile, gpu).gpu == row.from);
    CHECK(llm_cost(model, gpu, {}).estimated == (gpu.name != row.from));
  }
  const LlmCost cost = llm_cost(model, gpu, {});
  CHECK_FALSE(cost.outside(decode(256, 256 * 1000)));
  CHECK(cost.outside(decode(257, 257)));
  CHECK(cost.outside(decode(2, 2001)));
  model.linear = {1e-3, 0, 1e-3, 0};
  gpu.name = "a100-80gb";
  CHECK_FALSE(llm_cost(model, gpu, {}).estimated);
}

TEST_CASE("stages of a pipeline have a batch each, and the largest of them takes the iteration's time") {
  LlmEngineModel model = llama();
  Accelerator on;
  on.gpus = 4;
  on.memory_bytes = 4 * (80ll << 30);
  model.tensor_parallel = 2;
  const LlmCost one = llm_cost(model, h100(), on);
  model.pipeline_parallel = 2;
  CHECK(model.gpus() == 4);
  const LlmCost two = llm_cost(model, h100(), on);
  // Half of the sequences, with all layers, each read by the two GPUs that have it; and one hop of 10 us.
  CHECK(two.line(decode(64, 64 * 500)).first_ps ==
        Approx(one.line(decode(32, 32 * 500)).first_ps + 10'000'000).epsilon(1e-3));
  CHECK(two.line(decode(1, 500)).first_ps == Approx(one.line(decode(1, 500)).first_ps + 10'000'000).epsilon(1e-3));
  // One prompt is in one batch, four are in two.
  auto prompts = [&](int n) {
    std::vector<PrefillChunk> chunks(n, {{}, 1000, 0, true});
    StepWork work;
    work.chunks = chunks;
    work.prefill_tokens = 1000 * n;
    work.prefill_pairs = 500'000.0 * n;
    return two.line(work).first_ps;
  };
  CHECK(prompts(2) == prompts(1));
  CHECK(static_cast<double>(prompts(4) - two.step_ps) / static_cast<double>(prompts(2) - two.step_ps) ==
        Approx(2).epsilon(1e-6));
}

TEST_CASE("drafting is passes of the draft model, and verifying computes one token more than are drafted") {
  LlmEngineModel model = llama();
  Accelerator on;
  on.memory_bytes = 80ll << 30;
  const LlmCost plain = llm_cost(model, h100(), on);
  model.speculation = {3, {0.7, 0.5, 0.3}, std::nullopt, 0, 1};
  const LlmCost ngram = llm_cost(model, h100(), on);
  const int64_t more = ngram.line(decode(8, 800)).first_ps - plain.line(decode(8, 800)).first_ps;
  CHECK(more == 24 * (plain.per_sequence_ps + plain.per_decode_ps));
  CHECK(ngram.kv_blocks == plain.kv_blocks);

  const LlmModel head = draft_head(model.llm);
  CHECK(head.parameters == Approx(model.llm.layer_parameters() / 32 + 2 * 128256 * 4096.0));
  model.speculation.draft = head;
  model.speculation.draft_bytes = 2 * head.layer_parameters();
  const LlmCost eagle = llm_cost(model, h100(), on);
  // Three times a layer and the logits: by hand at the H100's bandwidth.
  const double read_ms = 1.11 * 2 * (head.layer_parameters() + 128256 * 4096.0) / 3350e9 * 1e3;
  CHECK(static_cast<double>(eagle.draft_step_ps) * 1e-9 == Approx(3 * (10.9e-3 + read_ms)).epsilon(1e-3));
  CHECK(eagle.kv_blocks < ngram.kv_blocks);
}

TEST_CASE("adapters take memory and are read in every iteration that uses them") {
  LlmEngineModel model = llama();
  model.llm.intermediate = 14336;
  Accelerator on;
  on.memory_bytes = 80ll << 30;
  const LlmCost plain = llm_cost(model, h100(), on);
  model.lora = {4, 8, 16};
  // q, k, v, o and the MLP of Llama-3.1-8B at rank 16: 41.9 M parameters, as PEFT counts them.
  CHECK(model.lora.bytes(model.llm) == 2 * 41'943'040.0);
  const LlmCost lora = llm_cost(model, h100(), on);
  CHECK(plain.kv_blocks - lora.kv_blocks == Approx(4 * 2 * 41'943'040.0 / model.block_bytes()).margin(1));
  StepWork work = decode(8, 800);
  const int64_t none = lora.line(work).first_ps;
  work.adapters = 3;
  CHECK(lora.line(work).first_ps - none == 3 * lora.per_adapter_ps);
}

TEST_CASE("with expert parallelism all wait for the rank that reads most") {
  LlmEngineModel model = llama();
  model.llm.experts = {128, 8, 768, 32, 2};
  model.tensor_parallel = 8;
  Accelerator on;
  on.gpus = 8;
  on.memory_bytes = 8 * (80ll << 30);
  const LlmCost split = llm_cost(model, h100(), on);
  model.expert_parallel = true;
  const LlmCost whole = llm_cost(model, h100(), on);
  const double few = split.experts_read(decode(8, 800));
  CHECK(whole.experts_read(decode(8, 800)) == Approx(few + std::sqrt(2 * std::log(8.0) * few * (1 - few) / 16)));
  CHECK(whole.experts_read(decode(4096, 409600)) == Approx(1));
}

TEST_CASE("a line of iterations ends where the window is full, and is what its single iterations are") {
  LlmEngineModel model = llama();
  model.llm.window = 100;
  model.llm.window_layers = 24;
  const LlmCost cost = llm_cost(model, h100(), {});
  CHECK(cost.per_window_token_ps == Approx(3.0 * cost.per_kv_token_ps).epsilon(1e-4));
  for (int64_t n : {1, 3, 7}) {
    for (int64_t context : {n, 50 * n + 1, 99 * n, 100 * n - 1, 100 * n, 101 * n}) {
      CAPTURE(n, context);
      const StepLine line = cost.line(decode(n, context));
      REQUIRE(line.iterations >= 1);
      for (int64_t i = 0; i < std::min<int64_t>(line.iterations, 200); ++i)
        REQUIRE(line.first_ps + i * line.growth_ps == cost.line(decode(n, context + i * n)).first_ps);
      if (line.iterations > 200) continue;
      // One more would be wrong.
      CHECK(line.first_ps + line.iterations * line.growth_ps >
            cost.line(decode(n, context + line.iterations * n)).first_ps);
    }
  }
  // Beyond the window only the layers without one read more.
  const auto at = [&](int64_t context) { return cost.line(decode(1, context)).first_ps; };
  CHECK(at(100) - at(99) == cost.per_kv_token_ps + cost.per_window_token_ps);
  CHECK(at(101) - at(100) == cost.per_kv_token_ps);
}
