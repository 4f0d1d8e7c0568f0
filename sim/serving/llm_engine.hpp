#pragma once
// An LLM engine with continuous batching, as vLLM V1 schedules: one queue, running requests first, then admissions
// first come first served within the token and sequence budgets, chunked prefill, paged KV memory with prefix caching
// (kv_cache.hpp), preemption of the latest by recomputation. What a prompt has in the cache is looked up when it is
// admitted, at most all tokens but the last; it is not computed, only read as context. Tokens generated become known to
// the cache when their request leaves its blocks.
//
// Two levels of detail behind one interface:
//
//   iteration   every iteration has a duration from physics (LlmCost). Iterations in which nothing can change (no
//               prefill, nobody to admit, no end, enough KV blocks) are taken in one jump. Durations are integers of
//               picoseconds and linear in the context, so a jump ends at the same nanosecond as its single steps.
//   linear      ITL = a + b·batch: one event per change of the batch. A prompt stalls the batch for its prefill.
//
// While requests decode, nothing is touched per token: the engine counts iterations and each request remembers at
// which one it started.
//
// Neighbours on its GPU leave it a speed. A change of it keeps what the step under way has done and moves its end.

#include "cluster/power.hpp"
#include "policy/interference.hpp"
#include "serving/kv_cache.hpp"
#include "serving/request.hpp"
#include "serving/step_cost.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct LlmEngineState {
  struct Finish {
    uint64_t at;      // iteration (or virtual token count, as bits) at which the request ends
    uint64_t joined;  // rank of joining, for ties
    RequestId request;
    bool operator<(const Finish& o) const { return at != o.at ? at < o.at : joined < o.joined; }
  };

  RequestList waiting, running;
  std::vector<RequestId> loading;     // in order of Request::loaded
  std::vector<RequestId> prefilling;  // of the running, in order of admission: prompts that are not computed yet
  // Of the step under way, and, where scheduling is asynchronous, of the next one.
  std::vector<PrefillChunk> chunks, next_chunks;
  std::vector<Finish> finish;       // binary heap, earliest first
  std::vector<RequestId> finished;  // for the caller, after each step
  std::vector<RequestId> to_pull;   // likewise: their blocks are taken, and their KV is to be sent (Request::kept_by)
  int32_t kept = 0;                 // requests that have left and whose KV stays until another replica has it
  uint64_t joined = 0;
  KvCache kv;
  struct Tier {
    KvCache cache;
    Time idle_at;  // when it has read all that was asked for
  };
  std::vector<Tier> tiers;
  int64_t to_prefill = 0;  // Σ tokens of prompts here that are not computed
  struct Adapter {
    uint32_t id;
    int32_t running = 0;  // requests
  };
  std::vector<Adapter> adapters;       // on the GPU, the latest asked for last
  std::vector<uint32_t> cpu_adapters;  // in the host's memory, likewise
  int64_t load_ps = 0;                 // of adapters, before the next step

  // the decoding set, all as of iteration `iteration`
  uint64_t iteration = 0;
  int32_t decoding = 0;
  int64_t context = 0;         // Σ tokens of context
  std::vector<int32_t> phase;  // by (context − iteration) mod block_size: how many decode

  // the step under way
  bool stepping = false;
  static constexpr int64_t kFullSpeed = 1'000'000;
  int64_t speed = kFullSpeed;  // femtoseconds of work per nanosecond
  Time step_start;             // or when the speed last changed
  // Femtoseconds of its work that began after step_start, which is a whole nanosecond; below 0: were done by then.
  __int128 step_remainder_fs = 0;
  int64_t step_first_ps = 0;    // work of its first iteration
  int64_t step_growth_ps = 0;   // each next iteration is longer by this
  int64_t step_iterations = 0;  // planned
  int64_t step_reserved = 0;    // KV blocks already taken for it, at first those of its first iteration
  bool step_stalls = false;     // it computes prompts while those that decode wait
  GpuLoad step_load;            // its mean at full speed, as planned
  bool step_outside = false;    // the range that its cost was fitted on

  // linear level
  double progress = 0;  // virtual tokens since the engine was last idle
  Time progress_at, stalled_until;

  // counters since the start of the replica
  uint64_t preemptions = 0, generated_tokens = 0, prefilled_tokens = 0, steps = 0, steps_outside = 0;
  // Tokens that were looked up at first admissions, and those found; in the cache, and behind it the rest.
  uint64_t prefix_queries = 0, prefix_hits = 0, tier_queries = 0, tier_hits = 0;
  uint64_t drafts = 0, accepted_tokens = 0;  // speculative decoding: sequences times iterations; tokens on top
  uint64_t adapter_loads = 0;
};

class LlmEngine {
 public:
  LlmEngine(const LlmEngineModel& model, const LlmCost& cost, LlmEngineState& state, RequestSlab& requests)
      : model_(model), cost_(cost), state_(state), requests_(requests) {}

  void start();
  // Can this request ever run here? If not it must be refused.
  bool fits(const Request& request) const;
  void enqueue(RequestId id, Time now);
  // The timer has gone off: ends the step and begins the next. Requests that are done are in state.finished.
  void on_timer(Time now);
  // Takes the request out, wherever it is; what it was sent stands in Request::generated.
  void abort(RequestId id, Time now);
  // What was in state.to_pull: the KV of all its tokens but the last is here; or it will not come, and the prompt is
  // computed here.
  void pulled(RequestId id, Time now);
  void not_pulled(RequestId id, Time now);
  // KV that is kept for another replica is needed no more.
  void release_kept(Request& request, Time now);
  // When on_timer() wants to be called; max() = idle. Read it again after every call.
  Time timer() const;
  // A step goes on even if its last request was taken out.
  bool busy() const { return state_.stepping || state_.running.size > 0; }
  // All goes on at another speed from now on, 1: alone on its GPUs; in millionths. Read timer() again.
  void set_speed(double speed, Time now);
  // What it takes of each of its GPUs until timer(), on average; nothing when idle.
  GpuLoad load(Time now) const;
  // What it asks of what it has, alone there: the bandwidth that it reads with, and of the SMs those that computing
  // keeps busy, all of them during a prefill.
  GpuDemand demand(Time now) const;
  // KV blocks in use, and their share. What nobody uses is free, in the cache or not.
  int64_t kv_blocks_used(Time now) const;
  double kv_usage(Time now) const;
  // Tokens of its prompt that are in the cache as of the last step.
  int64_t cached_tokens(const Request& request) const;
  // Tokens sent since the start, those of the step under way included. Linear level: counted when a request ends.
  uint64_t generated_tokens(Time now) const;
  // Sent to a request that is here, as of the last step.
  int32_t generated(const Request& request) const;
  // That it is sent from here.
  int32_t to_generate(const Request& request) const {
    return model_.role == LlmEngineModel::Role::Prefill ? 1 : request.output_tokens;
  }
  // Who is here holds all KV blocks that are not free, and the prompts that are not computed. Throws InvariantError.
  void check() const;

 private:
  // KV memory
  KvPath path_of(const Request& request) const {
    return KvPath(request.identity, request.prompt_tokens, model_.block_size);
  }
  bool looks_up(const Request& request) const { return model_.prefix_caching && request.identity.own != 0; }
  // At the linear level nobody comes twice, so that what only this prompt begins with need not be known: its blocks are
  // taken again in the same order.
  bool caches(const Request& request) const {
    const bool of_its_own = request.identity.ids == 0 && request.identity.own == request.entity;
    return looks_up(request) && !(of_its_own && model_.detail == LlmEngineModel::Detail::Linear);
  }
  // The longest that a prompt of so many tokens may have in the cache, in blocks: the last token is always computed.
  int64_t most_cached(int64_t tokens) const { return (tokens - 1) / model_.block_size; }
  KvCache::Found find(const Request& request, int64_t tokens) const;
  int64_t behind(const Request& request, int64_t cached) const;
  void hold_cached(Request& request, int64_t blocks, int64_t behind);
  void make_known(Request& request, int64_t tokens);
  void free_blocks(Request& request, int64_t blocks, int64_t tokens);
  void start_load(RequestId id, Time now);
  void finish_loads(Time now);
  void loaded(RequestId id, int64_t tokens);
  void wait_for_pull(RequestId id);
  void keep(Request& request);
  void stop_load(Request& request);
  bool give_up_loaded();

  void queue(RequestId id, bool again);
  bool goes_before(RequestId a, RequestId b) const;

  // LoRA adapters
  bool adapter_fits(uint32_t adapter) const;
  void use_adapter(uint32_t adapter);
  void keep_on_host(uint32_t adapter);
  int64_t adapters_in_use() const;
  void leave_running(RequestId id);

  // iteration level
  void begin_step(Time now);
  void end_step(Time now);
  bool plan_decoding();
  bool plan_mixed(Time now);
  bool plan_prefill(Time now, bool& preempted);
  // A step is put together when it begins, or, with asynchronous scheduling, when the one before it begins.
  enum class When : uint8_t { Now, Next };
  bool plan_chunks(When when, bool preempted, Time now);
  bool grow_chunks(int64_t& budget);
  void admit(When when, int64_t& budget, Time now);
  void add_chunk(RequestId id, int64_t tokens, int64_t& budget);
  int64_t chunk_of(const Request& request, int64_t context, int64_t budget) const;
  int64_t decoding(When when) const;
  StepWork step_work() const;
  void leave_prefilling(RequestId id);
  RequestId first_to_preempt() const;
  RequestId next_to_admit() const;
  void preempt(RequestId id);
  void prefill_done(RequestId id, Time now);
  void take_growth(Time now);
  void leave_decoding(Request& request, int64_t done = 0);
  void cut_step(Time now);
  void reconsider(Time now);
  Time step_end() const;
  int64_t iterations_done(Time now) const;
  int64_t decoded(Time now) const;
  int64_t iterations_before_shortage() const;
  // KV blocks that the decoding set needs for its next iterations.
  int64_t growth(int64_t iterations) const;
  // Speculative decoding: KV is written for all drafts of an iteration, and stays taken; each sequence has its blocks
  // in Request::blocks. No jumps.
  bool drafts() const { return model_.speculation.tokens > 0; }
  int64_t tokens_of(int64_t iterations) const { return iterations * (1 + model_.speculation.tokens); }
  int64_t blocks_with_drafts(const LlmEngineState::Finish& f, int64_t iterations) const;
  void take_blocks_for_drafts();
  void accept_drafts();
  int32_t draw_accepted(const Request& request) const;
  int32_t phase_of(int64_t context) const;
  int32_t phase_due(int64_t offset) const;
  int64_t duration_ps(int64_t iterations) const;
  GpuLoad planned_load(const StepWork& work) const;
  GpuLoad load_of(double bandwidth, double compute) const;
  GpuLoad load_alone(Time now) const;
  int64_t context_of(const Request& request) const;
  int64_t blocks_for(int64_t tokens) const { return (tokens + model_.block_size - 1) / model_.block_size; }

  // linear level
  void linear_settle(Time now);
  void linear_set_speed(int64_t speed, Time now);
  void linear_admit(Time now);
  void linear_on_timer(Time now);
  Time linear_timer() const;
  GpuLoad linear_load(Time now) const;
  double linear_itl() const { return cost_.linear.base + cost_.linear.per_sequence * state_.running.size; }
  double speed() const { return static_cast<double>(state_.speed) / LlmEngineState::kFullSpeed; }

  void push_finish(uint64_t at, RequestId id);
  void pop_finish();
  void erase_finish(RequestId id);
  void order_finishes();
  const LlmEngineState::Finish& finish_of(RequestId id) const;

  const LlmEngineModel& model_;
  const LlmCost& cost_;
  LlmEngineState& state_;
  RequestSlab& requests_;
};

}  // namespace kisim
