#include "serving/step_cost.hpp"

#include "cluster/topology.hpp"
#include "core/error.hpp"
#include "core/math.hpp"
#include "serving/collectives.hpp"
#include "serving/operator_tables.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kHiddenOfLayer = 4096;  // of a layer that counts as one
constexpr double kActivationBytes = 2;
constexpr double kHopLatency = 10e-6;  // seconds, from GPU to GPU: aiconfigurator, systems/h100_sxm.yaml
constexpr int32_t kUsualPcie = 4;      // generation, of a GPU that does not say

int64_t ps(double seconds) { return static_cast<int64_t>(std::nearbyint(seconds * 1e12)); }

// FLOP/s that a prefill reaches with weights of so many bytes each: computed in the narrowest type that holds them and
// that the GPU and the engine know.
double prefill_flops(const GpuModel& gpu, const EngineProfile& engine, double bytes_per_parameter) {
  if (bytes_per_parameter <= 0.625 && gpu.fp4_tflops > 0 && engine.prefill_mfu_fp4 > 0)
    return engine.prefill_mfu_fp4 * gpu.fp4_tflops * 1e12;
  if (bytes_per_parameter <= 1 && gpu.fp8_tflops > 0 && engine.prefill_mfu_fp8 > 0)
    return engine.prefill_mfu_fp8 * gpu.fp8_tflops * 1e12;
  return engine.prefill_mfu * gpu.fp16_tflops * 1e12;
}

// With weights of so many bytes each, as above.
double peak_flops(const GpuModel& gpu, double bytes_per_parameter) {
  if (bytes_per_parameter <= 0.625 && gpu.fp4_tflops > 0) return gpu.fp4_tflops * 1e12;
  if (bytes_per_parameter <= 1 && gpu.fp8_tflops > 0) return gpu.fp8_tflops * 1e12;
  return gpu.fp16_tflops * 1e12;
}

// One way between neighbouring stages.
double link_gbs(const GpuModel& gpu) {
  return gpu.nvlink_gbs > 0 ? gpu.nvlink_gbs / 2 : pcie_gbs(gpu.pcie_gen > 0 ? gpu.pcie_gen : kUsualPcie);
}

}  // namespace

// The largest iteration at once: 16-bit inputs and outputs of a layer and its MLP (gate, up and their product; of the
// experts as often as a token asks for them), and for each sequence the logits in 16 and twice in 32 bits.
double LlmEngineModel::activation_bytes() const {
  const double mlp = std::max(llm.intermediate, llm.experts.per_token * llm.experts.intermediate);
  return 2.0 * max_num_batched_tokens * (2.0 * llm.hidden + 3 * mlp / tensor_parallel) +
         10.0 * max_num_seqs * llm.vocabulary;
}

// NCCL's buffers: aiconfigurator, systems/h100_sxm.yaml.
double LlmEngineModel::fixed_bytes(int32_t gpus) const {
  constexpr double kCollectives = 400e6;
  const double each = activation_bytes() + profile.reserved_gib * kGiB + (gpus > 1 ? kCollectives : 0);
  return llm.dense_bytes() * data_parallel + llm.expert_bytes() + speculation.draft_bytes * data_parallel +
         lora.max_loras * lora.bytes(llm) * data_parallel + each * gpus;
}

// Two matrices per linear layer, from its inputs to `rank` and from there to its outputs: q, k, v, o, gate, up, down.
double LoraModel::bytes(const LlmModel& llm) const {
  const double q = llm.heads * llm.head_dim, kv = 2.0 * llm.kv_heads * llm.head_dim, hidden = llm.hidden;
  const double inputs_and_outputs = 2 * (hidden + q) + 2 * hidden + kv + 3 * (hidden + llm.intermediate);
  return 2.0 * rank * inputs_and_outputs * llm.layers;
}

StepTerms step_terms(const LlmModel& llm, const GpuModel& gpu, int32_t tensor_parallel, int32_t data_parallel) {
  const double n = tensor_parallel * data_parallel;
  const double bandwidth = gpu.bandwidth_gbs * 1e9 * n, copies = llm.kv_copies(tensor_parallel);
  StepTerms t;
  t.layers = llm.layers * llm.hidden / kHiddenOfLayer;
  t.weights = (llm.layer_parameters() * llm.bytes_per_parameter + llm.embedding_bytes()) * data_parallel / bandwidth;
  t.experts = llm.expert_bytes() / bandwidth;
  t.kv_token = llm.kv_bytes_per_token() * copies / bandwidth;
  t.window_token = llm.window_bytes_per_token() * copies / bandwidth;
  t.state = 2 * llm.state_bytes * copies / bandwidth;
  t.token = (2 * llm.layer_parameters() / peak_flops(gpu, llm.bytes_per_parameter) +
             2 * llm.active_expert_parameters() / peak_flops(gpu, llm.experts.bytes_per_parameter)) /
            n;
  t.attention = llm.attention_flops() / (gpu.fp16_tflops * 1e12 * n);
  t.vocabulary = llm.vocabulary * 1e-3;
  const double reduces = 2.0 * llm.layers;
  t.all_reduce = reduces * all_reduce_seconds(gpu, tensor_parallel, 0);
  t.all_reduce_token =
      (reduces * all_reduce_seconds(gpu, tensor_parallel, llm.hidden * kActivationBytes) - t.all_reduce) /
      data_parallel;
  return t;
}

namespace {

// What ranks of data parallelism exchange around the experts, in seconds per iteration and per token: the tokens of all
// of them are gathered and their sums scattered again, which moves as much as an all-reduce, or with expert parallelism
// every token is sent to where its experts are and back. One rank, or several that have the same tokens: nothing.
struct Exchange {
  double latency = 0, token = 0;
};

Exchange exchange_of(const LlmEngineModel& model, const GpuModel& gpu) {
  const LlmModel& llm = model.llm;
  if (model.data_parallel == 1 || llm.experts.count == 0) return {};
  const int32_t ranks = model.tensor_parallel * model.data_parallel;
  const double latency = all_reduce_seconds(gpu, ranks, 0);
  const double gathered = all_reduce_seconds(gpu, ranks, llm.hidden * kActivationBytes) - latency;
  const double sent = gathered * llm.experts.per_token / ranks;
  const double token = model.expert_parallel ? std::min(sent, gathered) : gathered;
  return {llm.experts.layers * latency, llm.experts.layers * token};
}

// What is drafted for one iteration, token after token: passes of a model as of any other, without the engine's step.
// Returns what a prompt's token takes besides, as prompts pass the draft model, too.
double add_drafts(const LlmEngineModel& model, const GpuModel& gpu, const StepCoefficients& c,
                  const Accelerator& accelerator, LlmCost& cost) {
  cost.drafts = model.speculation.tokens;
  if (!model.speculation.draft) return 0;
  const LlmModel& draft = *model.speculation.draft;
  const StepTerms t = step_terms(draft, gpu, model.tensor_parallel, model.data_parallel);
  const double bandwidth = accelerator.bandwidth_share, compute = accelerator.compute_share;
  const double factor = model.profile.step_factor;
  const double pass =
      c.layer_us * 1e-6 * t.layers + c.weight_factor * t.weights / bandwidth + c.all_reduce_factor * t.all_reduce;
  const double sequence = c.sampling_us * 1e-6 * t.vocabulary / model.data_parallel +
                          c.compute_factor * t.token / compute + c.all_reduce_factor * t.all_reduce_token +
                          model.profile.expert_factor * t.experts * draft.experts.share_read(1) / bandwidth;
  cost.draft_step_ps = ps(cost.drafts * factor * pass);
  cost.draft_sequence_ps = ps(cost.drafts * factor * sequence);
  cost.draft_kv_token_ps = ps(cost.drafts * factor * c.kv_factor * (t.kv_token + t.window_token) / bandwidth);
  return c.prefill_factor * t.token / (compute * model.profile.prefill_mfu);
}

}  // namespace

const StepCoefficients& step_coefficients(const EngineProfile& engine, const GpuModel& gpu) {
  KISIM_INVARIANT(!engine.steps.empty(), "engine {} has no coefficients", engine.name);
  // As a ratio: logarithms differ between libraries.
  auto distance = [&](const StepCoefficients& c) {
    if (c.gpu == gpu.name) return 0.0;
    return std::max(c.bandwidth_gbs / gpu.bandwidth_gbs, gpu.bandwidth_gbs / c.bandwidth_gbs);
  };
  return *std::min_element(engine.steps.begin(), engine.steps.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

LlmCost llm_cost(const LlmEngineModel& model, const GpuModel& gpu, const Accelerator& accelerator) {
  const EngineProfile& engine = model.profile;
  const LlmModel& llm = model.llm;
  const int32_t gpus = model.gpus(), ranks = model.tensor_parallel * model.data_parallel;
  const StepCoefficients& c = step_coefficients(engine, gpu);
  const StepTerms t = step_terms(llm, gpu, model.tensor_parallel, model.data_parallel);
  const double bandwidth = accelerator.bandwidth_share, compute = accelerator.compute_share;
  const double factor = engine.step_factor;
  const int32_t hops = model.pipeline_parallel - 1;
  const Exchange exchange = exchange_of(model, gpu);
  LlmCost cost;
  const double step =
      factor *
          (c.step_ms * 1e-3 + c.layer_us * 1e-6 * t.layers + c.weight_factor * t.weights / bandwidth +
           c.all_reduce_factor * (t.all_reduce + exchange.latency) + engine.moe_layer_ms * 1e-3 * llm.experts.layers) +
      hops * kHopLatency;
  const double experts = factor * engine.expert_factor * t.experts / bandwidth;
  const double sent = c.all_reduce_factor * (t.all_reduce_token + exchange.token) +
                      hops * kActivationBytes * llm.hidden / (link_gbs(gpu) * 1e9);
  const double sequence = factor * c.sampling_us * 1e-6 * t.vocabulary / model.data_parallel;
  // Experts get few tokens each, even of a large batch, and compute them as those of a prompt.
  const double dense_token = 2 * llm.layer_parameters() / (peak_flops(gpu, llm.bytes_per_parameter) * ranks);
  const double expert_token = 2 * llm.active_expert_parameters() /
                              (compute * ranks * prefill_flops(gpu, engine, llm.experts.bytes_per_parameter));
  const double decode =
      factor * (c.compute_factor * dense_token / compute + expert_token + c.kv_factor * t.state / bandwidth) + sent;
  const double kv_factor = factor * c.kv_factor;
  const double kv_token = kv_factor * t.kv_token / bandwidth, window_token = kv_factor * t.window_token / bandwidth;
  const double computed_token =
      c.prefill_factor *
      (2 * llm.layer_parameters() / (compute * ranks * prefill_flops(gpu, engine, llm.bytes_per_parameter)) +
       expert_token);
  const double prefill_token = computed_token + sent + add_drafts(model, gpu, c, accelerator, cost);
  cost.step_ps = ps(step);
  cost.experts_ps = ps(experts);
  cost.experts = llm.experts;
  cost.per_sequence_ps = ps(sequence);
  cost.per_decode_ps = ps(decode);
  cost.per_kv_token_ps = ps(kv_token);
  cost.per_window_token_ps = ps(window_token);
  cost.per_prefill_token_ps = ps(prefill_token);
  cost.per_attention_ps = c.prefill_factor * t.attention / (compute * engine.prefill_mfu) * 1e12;
  cost.window = llm.window;
  cost.stages = model.pipeline_parallel;
  cost.expert_ranks = model.expert_parallel ? ranks : 1;
  cost.per_adapter_ps = ps(factor * c.weight_factor * model.lora.bytes(llm) /
                           (gpu.bandwidth_gbs * 1e9 * model.tensor_parallel * bandwidth));

  double room = static_cast<double>(accelerator.memory_bytes) * model.memory_utilization - model.fixed_bytes(gpus);
  cost.kv_blocks = static_cast<int64_t>(std::floor(room / model.block_bytes()));

  cost.host_bytes_per_s = pcie_gbs(gpu.pcie_gen) * 1e9 * gpus;
  cost.adapter_load_ps =
      ps(model.lora.bytes(llm) / (pcie_gbs(gpu.pcie_gen > 0 ? gpu.pcie_gen : kUsualPcie) * 1e9 * gpus));
  cost.adapter_read_ps = ps(model.lora.bytes(llm) / (model.lora.disk_mbs * 1e6));

  const double seen = std::min<double>(LlmCost::kNominalContext, static_cast<double>(cost.window));
  // A prompt of some length reads about all experts, a small batch about none beyond those of its sequences.
  const double per_sequence = sequence + decode + kv_token * LlmCost::kNominalContext + window_token * seen +
                              experts * llm.experts.share_read(1);
  cost.linear = model.linear.value_or(LinearLaw{step, per_sequence / cost.stages, step + experts, prefill_token});

  cost.ideal = t;
  bool whole = accelerator.compute_share == 1 && accelerator.bandwidth_share == 1;
  if (model.tables && model.tables->gpu == gpu.name && whole) cost.tables = model.tables;
  cost.compute_share = compute;
  cost.bandwidth_share = bandwidth;
  cost.prefill_mfu = t.token > 0 ? t.token / (compute * computed_token) : engine.prefill_mfu;
  cost.slow_down(accelerator.slowdown);
  if (cost.tables || model.linear) return cost;
  cost.estimated = c.gpu != gpu.name;
  cost.beyond_tensor_parallel = c.max_tensor_parallel > 0 && model.tensor_parallel > c.max_tensor_parallel;
  cost.max_sequences = c.max_sequences;
  cost.max_context = c.max_context;
  return cost;
}

void LlmCost::slow_down(double factor) {
  if (factor == 1) return;
  slowdown *= factor;
  for (int64_t* ps : {&step_ps, &experts_ps, &per_sequence_ps, &per_decode_ps, &per_kv_token_ps, &per_window_token_ps,
                      &per_prefill_token_ps, &draft_step_ps, &draft_sequence_ps, &draft_kv_token_ps, &per_adapter_ps})
    *ps = static_cast<int64_t>(std::nearbyint(static_cast<double>(*ps) * factor));
  per_attention_ps *= factor;
  for (double* seconds : {&linear.base, &linear.per_sequence, &linear.prefill_base, &linear.prefill_per_token})
    *seconds *= factor;
}

StepWork LlmCost::largest_batch(const StepWork& all) const {
  if (stages == 1) return all;
  StepWork work = all;
  work.decoding = (all.decoding + stages - 1) / stages;
  if (all.decoding > 0) work.decode_context = all.decode_context * work.decoding / all.decoding;
  if (all.chunks.empty()) return work;
  int64_t largest = 0;
  for (const PrefillChunk& chunk : all.chunks) largest = std::max<int64_t>(largest, chunk.tokens);
  const double share = std::max(1.0 / stages, static_cast<double>(largest) / static_cast<double>(all.prefill_tokens));
  work.chunks = all.chunks.first((all.chunks.size() + stages - 1) / stages);
  auto part = [&](int64_t whole) { return static_cast<int64_t>(std::nearbyint(share * static_cast<double>(whole))); };
  work.prefill_tokens = part(all.prefill_tokens);
  work.prefill_context = part(all.prefill_context);
  work.prefill_pairs = share * all.prefill_pairs;
  return work;
}

double LlmCost::experts_read(const StepWork& work) const {
  const double read = experts.share_read(static_cast<double>(work.decoding * (1 + drafts) + work.prefill_tokens));
  if (expert_ranks == 1 || read <= 0) return read;
  const double each = static_cast<double>(experts.count) / expert_ranks;
  return std::min(1.0, read + std::sqrt(2 * math::log(expert_ranks) * read * (1 - read) / each));
}

StepLine LlmCost::line(const StepWork& all) const {
  if (tables) return tables->line(all).times(slowdown);
  const StepWork work = largest_batch(all);
  const int64_t decoded = work.decoding * (1 + drafts);
  StepLine line;
  const int64_t near = within_window(work.decode_context, work.decoding);
  line.first_ps = step_ps + static_cast<int64_t>(std::nearbyint(static_cast<double>(experts_ps) * experts_read(work))) +
                  (work.decoding > 0 ? draft_step_ps : 0) + draft_sequence_ps * work.decoding +
                  draft_kv_token_ps * work.decode_context + per_adapter_ps * work.adapters +
                  per_sequence_ps * (decoded + work.prefilling()) + per_decode_ps * decoded +
                  per_kv_token_ps * (work.decode_context + work.prefill_context) +
                  per_window_token_ps * (near + within_window(work.prefill_context, work.prefilling())) +
                  per_prefill_token_ps * work.prefill_tokens +
                  static_cast<int64_t>(std::nearbyint(per_attention_ps * work.prefill_pairs));
  line.growth_ps = per_kv_token_ps * work.decoding;
  if (window == 0 || near < work.decode_context || work.decoding == 0) return line;
  line.growth_ps += per_window_token_ps * work.decoding;
  line.iterations = window - (work.decode_context + work.decoding - 1) / work.decoding + 1;
  return line;
}

}  // namespace kisim
