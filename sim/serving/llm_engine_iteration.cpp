#include "serving/llm_engine.hpp"

#include "core/hash.hpp"
#include "core/random.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace kisim {

int64_t LlmEngine::context_of(const Request& request) const {
  return request.prefill_target + static_cast<int64_t>(state_.iteration - request.decode_start);
}

// Requests of one phase need their next KV block at the same iterations.
int32_t LlmEngine::phase_of(int64_t context) const {
  int64_t size = model_.block_size;
  return static_cast<int32_t>((context + size - static_cast<int64_t>(state_.iteration % size)) % size);
}

// The phase that needs a block at `offset` iterations from now: those whose context is then a multiple of the block.
int32_t LlmEngine::phase_due(int64_t offset) const {
  int64_t size = model_.block_size;
  return static_cast<int32_t>((2 * size - static_cast<int64_t>(state_.iteration % size) - offset % size) % size);
}

int64_t LlmEngine::growth(int64_t iterations) const {
  if (drafts()) {
    int64_t blocks = 0;
    for (const LlmEngineState::Finish& f : state_.finish) {
      const Request& request = requests_[f.request];
      blocks += std::max<int64_t>(0, blocks_with_drafts(f, iterations) - request.blocks);
    }
    return blocks;
  }
  int64_t blocks = iterations / model_.block_size * state_.decoding;
  for (int64_t j = 0; j < iterations % model_.block_size; ++j) blocks += state_.phase[phase_due(j)];
  return blocks;
}

int64_t LlmEngine::iterations_before_shortage() const {
  int64_t blocks = state_.kv.free_blocks() + state_.step_reserved;
  int64_t rounds = blocks / state_.decoding, rest = blocks % state_.decoding;
  int64_t iterations = rounds * model_.block_size;
  for (int64_t j = 0; j < model_.block_size; ++j) {
    rest -= state_.phase[phase_due(j)];
    if (rest < 0) break;
    ++iterations;
  }
  return iterations;
}

int64_t LlmEngine::duration_ps(int64_t k) const {
  return k * state_.step_first_ps + state_.step_growth_ps * (k * (k - 1) / 2);
}

// A measured law may be faster than the peaks allow.
GpuLoad LlmEngine::load_of(double bandwidth, double compute) const {
  return GpuLoad::of(std::min(bandwidth, cost_.bandwidth_share), std::min(compute, cost_.compute_share),
                     cost_.compute_share, model_.gpus() > 1 ? 1 : 0);
}

GpuLoad LlmEngine::planned_load(const StepWork& work) const {
  int64_t k = state_.step_iterations;
  double seconds = static_cast<double>(duration_ps(k)) * 1e-12;
  auto context = static_cast<double>(k * work.decode_context + work.decoding * (k * (k - 1) / 2));
  double weights = cost_.ideal.weights + cost_.ideal.experts * cost_.experts_read(cost_.largest_batch(work)) +
                   cost_.ideal.state * static_cast<double>(work.decoding) / cost_.stages;
  // The line holds for all of them: every context is within the window, or none is.
  bool all_near = cost_.within_window(work.decode_context, work.decoding) == work.decode_context;
  double near = all_near ? context : static_cast<double>(k * work.decoding * cost_.window);
  double kv = cost_.ideal.kv_token * (context + static_cast<double>(work.prefill_context)) +
              cost_.ideal.window_token *
                  (near + static_cast<double>(cost_.within_window(work.prefill_context, work.prefilling())));
  double computed = cost_.ideal.token * static_cast<double>(tokens_of(k) * work.decoding + work.prefill_tokens) +
                    cost_.ideal.attention * (context + work.prefill_pairs);
  // Every stage of a pipeline has its part of the layers.
  return load_of((static_cast<double>(k) * weights + kv / cost_.stages) / seconds, computed / cost_.stages / seconds);
}

void LlmEngine::begin_step(Time now) {
  bool preempted = false;
  state_.step_iterations = 1;
  if (!model_.profile.prefill_first)
    preempted = plan_mixed(now);
  else if (!plan_prefill(now, preempted))
    preempted = plan_decoding() || preempted;
  if (state_.running.empty()) {
    state_.stepping = false;
    state_.step_remainder_fs = 0;
    return;
  }
  StepWork work = step_work();
  StepLine line = cost_.line(work);
  state_.step_start = now;
  state_.step_first_ps = line.first_ps;
  state_.step_growth_ps = line.growth_ps;
  const int64_t load_ps = std::exchange(state_.load_ps, 0);
  state_.step_first_ps += load_ps;
  const bool ahead = model_.async_scheduling && !model_.profile.prefill_first;
  if (ahead) preempted = plan_chunks(When::Next, preempted, now);
  // With nothing to prefill, whoever waits cannot enter before someone ends: jump.
  if (model_.jump && !drafts() && load_ps == 0 && state_.chunks.empty() && state_.next_chunks.empty() && !preempted &&
      state_.decoding > 0) {
    auto to_first_end = static_cast<int64_t>(state_.finish.front().at - state_.iteration);
    int64_t most = std::min({to_first_end, iterations_before_shortage(), line.iterations});
    state_.step_iterations = std::max<int64_t>(1, most);
  }
  state_.prefilled_tokens += work.prefill_tokens;
  state_.step_load = planned_load(work);
  state_.step_outside = cost_.outside(work);
}

// Running requests first. Blocks for the next token of each; the latest make room. True: some had to.
bool LlmEngine::plan_decoding() {
  bool preempted = false;
  while (state_.decoding > 0 && growth(1) > state_.kv.free_blocks()) {
    preempt(first_to_preempt());
    preempted = true;
  }
  state_.stepping = true;
  if (drafts()) {
    take_blocks_for_drafts();
    return preempted;
  }
  state_.step_reserved = growth(1);
  state_.kv.take(state_.step_reserved);
  return preempted;
}

// Tokens of those that decode and chunks of prompts, as vLLM schedules.
bool LlmEngine::plan_mixed(Time now) {
  bool preempted = plan_decoding();
  state_.chunks.swap(state_.next_chunks);
  if (model_.async_scheduling && (state_.decoding > 0 || !state_.chunks.empty())) return preempted;
  preempted = plan_chunks(When::Now, preempted, now);
  state_.chunks.swap(state_.next_chunks);
  return preempted;
}

// Chunks of prompts alone, as SGLang schedules. False: there are none to compute.
bool LlmEngine::plan_prefill(Time now, bool& preempted) {
  int64_t budget = model_.max_num_batched_tokens;
  state_.stepping = state_.step_stalls = true;
  preempted = grow_chunks(budget);
  if (!preempted || state_.running.empty()) admit(When::Now, budget, now);
  state_.chunks.swap(state_.next_chunks);
  state_.stepping = state_.step_stalls = !state_.chunks.empty();
  return state_.stepping;
}

StepWork LlmEngine::step_work() const {
  StepWork work;
  if (!state_.step_stalls) {
    work.decoding = state_.decoding;
    work.decode_context = state_.context;
  }
  work.chunks = state_.chunks;
  work.adapters = adapters_in_use();
  if (cost_.tables) {
    // Only tables ask for it, and whoever decodes has to be looked at.
    work.shortest = std::numeric_limits<int64_t>::max();
    for (RequestId id = state_.running.front(); id.valid(); id = requests_[id].next()) {
      if (!requests_[id].decoding) continue;
      work.shortest = std::min(work.shortest, context_of(requests_[id]));
      work.longest = std::max(work.longest, context_of(requests_[id]));
    }
  }
  for (const PrefillChunk& chunk : state_.chunks) {
    double p = chunk.tokens, c = chunk.context;
    work.prefill_tokens += chunk.tokens;
    work.prefill_context += chunk.context;
    work.prefill_pairs += p * (c + 0.5 * p);
  }
  return work;
}

// Behind the tokens of those that decode then. A step that preempted admits nobody, unless it would be empty.
bool LlmEngine::plan_chunks(When when, bool preempted, Time now) {
  int64_t budget = model_.pipeline_parallel * model_.max_num_batched_tokens - tokens_of(decoding(when));
  preempted = grow_chunks(budget) || preempted;
  if (!preempted || state_.running.empty()) admit(when, budget, now);
  return preempted;
}

// In the next step those whose prompt is done after this one decode, too, and those that end with it do not.
int64_t LlmEngine::decoding(When when) const {
  if (when == When::Now) return state_.decoding;
  int64_t count = state_.decoding;
  for (const PrefillChunk& chunk : state_.chunks) {
    const Request& request = requests_[chunk.request];
    count += chunk.last && to_generate(request) > request.generated + 1;
  }
  uint64_t end = state_.iteration + 1;
  if (!state_.finish.empty() && state_.finish.front().at == end)
    count -= std::count_if(state_.finish.begin(), state_.finish.end(),
                           [&](const LlmEngineState::Finish& f) { return f.at == end; });
  return count;
}

int64_t LlmEngine::chunk_of(const Request& request, int64_t context, int64_t budget) const {
  int64_t tokens = std::min<int64_t>({request.prefill_target - context, budget, model_.max_num_batched_tokens});
  int64_t most = model_.long_prefill_token_threshold;
  return most > 0 ? std::min(tokens, most) : tokens;
}

void LlmEngine::add_chunk(RequestId id, int64_t tokens, int64_t& budget) {
  Request& request = requests_[id];
  int64_t blocks = blocks_for(request.prefilled + tokens);
  state_.kv.take(blocks - request.blocks);
  request.blocks = static_cast<int32_t>(blocks);
  PrefillChunk chunk{id, static_cast<int32_t>(tokens), request.prefilled};
  request.prefilled += chunk.tokens;
  chunk.last = request.prefilled == request.prefill_target;
  state_.to_prefill -= tokens;
  make_known(request, request.prefilled);
  state_.next_chunks.push_back(chunk);
  budget -= tokens;
}

// The next chunk of every prompt that is under way. True: others had to make room.
bool LlmEngine::grow_chunks(int64_t& budget) {
  bool preempted = false;
  for (size_t i = 0; i < state_.prefilling.size() && budget > 0; ++i) {
    RequestId id = state_.prefilling[i];
    const Request& request = requests_[id];
    int64_t tokens = chunk_of(request, request.prefilled, budget);
    if (tokens == 0) continue;
    int64_t need = blocks_for(request.prefilled + tokens) - request.blocks;
    RequestId pushed_out;
    while (need > state_.kv.free_blocks() && pushed_out != id) {
      pushed_out = first_to_preempt();
      if (requests_[pushed_out].decoding) budget += tokens_of(1);
      for (const PrefillChunk& chunk : state_.next_chunks)
        if (chunk.request == pushed_out) budget += chunk.tokens;
      preempt(pushed_out);
      preempted = true;
    }
    if (pushed_out == id) return true;  // it made room itself: the others get nothing in this step
    add_chunk(id, tokens, budget);
    // Who was pushed out stands in the list no more.
    if (pushed_out.valid())
      i = static_cast<size_t>(std::find(state_.prefilling.begin(), state_.prefilling.end(), id) -
                              state_.prefilling.begin());
  }
  return preempted;
}

// First come, first served; stops at the first that does not fit. Cached blocks that nobody uses are free until then.
// What is behind the cache is read when there is room for it and the chunk after it, so that whoever does not fit will
// not because the cache loses of his prompt what memory behind it has.
void LlmEngine::admit(When when, int64_t& budget, Time now) {
  int64_t kept = when == When::Next ? growth(2) - growth(1) : 0;
  // Whom a prompt makes wait has room for its next block, or the two would take turns in pushing each other out.
  if (state_.step_stalls) kept = state_.decoding;
  while (!state_.waiting.empty() && budget > 0 && state_.running.size < static_cast<uint32_t>(model_.max_num_seqs)) {
    RequestId id = next_to_admit();
    if (!id.valid()) return;
    Request& request = requests_[id];
    const bool loaded = request.blocks > 0;
    const KvCache::Found cached = loaded ? KvCache::Found{request.blocks, 0} : find(request, request.prefill_target);
    const int64_t missing = loaded ? 0 : behind(request, cached.blocks);
    const int64_t there = std::min((cached.blocks + missing) * model_.block_size, request.prefill_target - int64_t{1});
    const int64_t context = loaded ? request.prefilled : there;
    int64_t tokens = chunk_of(request, context, budget);
    int64_t need = blocks_for(model_.scheduler_reserve_full_isl ? request.prefill_target : context + tokens);
    if (need - cached.blocks + cached.unused + kept > state_.kv.free_blocks()) {
      if (state_.running.empty() && give_up_loaded()) continue;
      return;
    }
    if (!loaded) hold_cached(request, cached.blocks, missing);
    state_.waiting.remove(requests_, id);
    if (missing > 0 || (request.kept_by.valid() && !loaded)) {
      start_load(id, now);
      continue;
    }
    use_adapter(request.adapter);
    state_.running.push_back(requests_, id);
    state_.prefilling.push_back(id);
    request.place = Request::Place::Running;
    if (request.scheduled == Time::max()) request.scheduled = now;
    add_chunk(id, tokens, budget);
  }
}

// It is in no further step; the one under way goes on as it is.
void LlmEngine::leave_prefilling(RequestId id) {
  auto its = [&](const PrefillChunk& chunk) { return chunk.request == id; };
  Request& request = requests_[id];
  state_.to_prefill -= request.prefill_target - request.prefilled;
  free_blocks(request, request.blocks, request.prefilled);
  std::erase(state_.prefilling, id);
  std::erase_if(state_.chunks, its);
  std::erase_if(state_.next_chunks, its);
}

// The first in the queue; but whoever asks for one adapter too many waits, and those behind may pass.
RequestId LlmEngine::next_to_admit() const {
  RequestId id = state_.waiting.front();
  while (id.valid() && !adapter_fits(requests_[id].adapter)) id = requests_[id].next();
  return id;
}

// The latest of the running; by priority, the latest of those of the lowest.
RequestId LlmEngine::first_to_preempt() const {
  RequestId last = state_.running.back();
  if (!model_.by_priority) return last;
  for (RequestId id = requests_[last].previous(); id.valid(); id = requests_[id].previous())
    if (goes_before(last, id)) last = id;
  return last;
}

// It goes back to the queue and will compute again what the cache loses of it.
void LlmEngine::preempt(RequestId id) {
  Request& request = requests_[id];
  leave_running(id);
  if (request.decoding) {
    leave_decoding(request);
    erase_finish(id);
  } else {
    leave_prefilling(id);
  }
  request.place = Request::Place::Waiting;
  request.prefilled = 0;
  request.prefill_target = std::max(1, request.prompt_tokens) + request.generated;
  state_.to_prefill += request.prefill_target;
  queue(id, true);
  ++state_.preemptions;
}

// The blocks of the step's iterations that have begun, for whoever looks at the KV memory before the step ends.
void LlmEngine::take_growth(Time now) {
  if (state_.step_stalls) return;
  const int64_t begun = growth(std::min(iterations_done(now) + 1, state_.step_iterations));
  state_.kv.take(begun - state_.step_reserved);
  state_.step_reserved = begun;
}

// Settles what it was sent and gives its blocks back, those for the iterations of the step that have begun included;
// `done` of them have ended.
void LlmEngine::leave_decoding(Request& request, int64_t done) {
  int64_t context = context_of(request);
  const bool decodes = state_.stepping && !state_.step_stalls;
  int64_t begun = decodes ? std::min(done + 1, state_.step_iterations) : 0;
  int64_t held = drafts() ? request.blocks : blocks_for(context + begun);
  request.generated = generated(request) + static_cast<int32_t>(done);
  request.decoding = false;
  if (!drafts()) state_.step_reserved -= held - blocks_for(context);
  free_blocks(request, held, context + done);
  --state_.phase[phase_of(context)];
  --state_.decoding;
  state_.context -= context;
}

void LlmEngine::end_step(Time now) {
  int64_t k = state_.step_iterations, decoded = state_.step_stalls ? 0 : k;
  state_.step_remainder_fs = (state_.step_remainder_fs + static_cast<__int128>(duration_ps(k)) * 1000) % state_.speed;
  state_.kv.take(growth(decoded) - state_.step_reserved);
  state_.stepping = state_.step_stalls = false;
  state_.step_reserved = 0;
  state_.iteration += decoded;
  state_.steps += k;
  if (state_.step_outside) state_.steps_outside += k;
  state_.context += decoded * state_.decoding;
  state_.generated_tokens += decoded * state_.decoding;
  if (drafts() && decoded > 0) accept_drafts();

  while (!state_.finish.empty() && state_.finish.front().at <= state_.iteration) {
    RequestId id = state_.finish.front().request;
    pop_finish();
    leave_decoding(requests_[id]);
    leave_running(id);
    state_.finished.push_back(id);
  }
  for (const PrefillChunk& chunk : state_.chunks)
    if (chunk.last) prefill_done(chunk.request, now);
  state_.chunks.clear();
}

// The end of the prefill gives one token.
void LlmEngine::prefill_done(RequestId id, Time now) {
  Request& request = requests_[id];
  std::erase(state_.prefilling, id);
  ++request.generated;
  ++state_.generated_tokens;
  const bool half = model_.role == LlmEngineModel::Role::Prefill;
  if (request.first_token == Time::max() && !half) request.first_token = now;
  if (request.generated >= to_generate(request)) {
    half ? keep(request) : free_blocks(request, request.blocks, request.prefill_target);
    leave_running(id);
    state_.finished.push_back(id);
    return;
  }
  request.decoding = true;
  request.decode_start = state_.iteration;
  ++state_.decoding;
  state_.context += request.prefill_target;
  ++state_.phase[phase_of(request.prefill_target)];
  push_finish(state_.iteration + (to_generate(request) - request.generated), id);
}

// ---- speculative decoding ----

// After so many iterations, the last one's drafts included, but none beyond the end of the answer.
int64_t LlmEngine::blocks_with_drafts(const LlmEngineState::Finish& f, int64_t iterations) const {
  const auto left = static_cast<int64_t>(f.at - state_.iteration);
  return blocks_for(context_of(requests_[f.request]) + std::min(tokens_of(iterations), left));
}

void LlmEngine::take_blocks_for_drafts() {
  state_.kv.take(growth(1));
  for (const LlmEngineState::Finish& f : state_.finish) {
    Request& request = requests_[f.request];
    request.blocks = std::max(request.blocks, static_cast<int32_t>(blocks_with_drafts(f, 1)));
  }
}

// Whoever has more tokens than iterations began to decode so many iterations earlier, as far as the books go.
void LlmEngine::accept_drafts() {
  for (LlmEngineState::Finish& f : state_.finish) {
    Request& request = requests_[f.request];
    const int64_t left = static_cast<int64_t>(f.at - state_.iteration);
    const int64_t accepted = std::min<int64_t>(draw_accepted(request), left);
    ++state_.drafts;
    state_.accepted_tokens += accepted;
    --state_.phase[phase_of(context_of(request))];
    request.decode_start -= accepted;
    ++state_.phase[phase_of(context_of(request))];
    f.at -= accepted;
    state_.context += accepted;
    state_.generated_tokens += accepted;
  }
  order_finishes();
}

int32_t LlmEngine::draw_accepted(const Request& request) const {
  Stream stream(model_.speculation.seed, hash_combine(request.entity, generated(request)), Purpose::Drafts);
  const double u = stream.uniform();
  const std::vector<double>& accepted = model_.speculation.accepted;
  // They fall with the place.
  return static_cast<int32_t>(std::partition_point(accepted.begin(), accepted.end(), [&](double p) { return u < p; }) -
                              accepted.begin());
}

// Iterations of the step that have ended at or before `now`.
int64_t LlmEngine::iterations_done(Time now) const {
  __int128 next_fs = static_cast<__int128>((now - state_.step_start).ns + 1) * state_.speed - state_.step_remainder_fs;
  auto done_ps = static_cast<int64_t>((next_fs - 1) / 1000);  // work that ends before the next nanosecond
  int64_t low = 0, high = state_.step_iterations;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (duration_ps(middle) <= done_ps)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Of them, those that gave a token to everyone who decodes.
int64_t LlmEngine::decoded(Time now) const { return state_.step_stalls ? 0 : iterations_done(now); }

// The jump ends with the iteration that is running now.
void LlmEngine::cut_step(Time now) {
  if (state_.step_iterations > 1) state_.step_iterations = std::min(state_.step_iterations, iterations_done(now) + 1);
}

// The next in the queue may fit where the one before it did not.
void LlmEngine::reconsider(Time now) {
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_admit(now);
  state_.stepping ? cut_step(now) : begin_step(now);
}

}  // namespace kisim
