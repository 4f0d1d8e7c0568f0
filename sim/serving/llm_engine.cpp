#include "serving/llm_engine.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace kisim {

namespace {

bool later(const LlmEngineState::Finish& a, const LlmEngineState::Finish& b) { return b < a; }

}  // namespace

void LlmEngine::start() {
  state_ = {};
  state_.free_blocks = cost_.kv_blocks;
  state_.phase.assign(model_.block_size, 0);
  state_.finish.reserve(model_.max_num_seqs);
  state_.finished.reserve(model_.max_num_seqs);
  for (auto* chunks : {&state_.chunks, &state_.next_chunks}) chunks->reserve(model_.max_num_seqs);
  state_.prefilling.reserve(model_.max_num_seqs);
}

bool LlmEngine::fits(const Request& request) const {
  int64_t tokens = static_cast<int64_t>(request.prompt_tokens) + request.output_tokens;
  if (model_.max_model_len > 0 && tokens > model_.max_model_len) return false;
  return blocks_for(tokens) <= cost_.kv_blocks;
}

void LlmEngine::enqueue(RequestId id, Time now) {
  Request& request = requests_[id];
  request.place = Request::Place::Waiting;
  request.queued = now;
  request.prefill_target = std::max(1, request.prompt_tokens);
  request.prefilled = request.generated = request.blocks = 0;
  state_.waiting.push_back(requests_, id);
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_admit(now);
  if (!state_.stepping) return begin_step(now);
  // Only a new head of the queue can change what the next steps do.
  bool may_enter = state_.waiting.size == 1 && state_.running.size < static_cast<uint32_t>(model_.max_num_seqs);
  if (may_enter) cut_step(now);
}

void LlmEngine::on_timer(Time now) {
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_on_timer(now);
  end_step(now);
  begin_step(now);
}

Time LlmEngine::timer() const {
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_timer();
  if (!state_.stepping) return Time::max();
  __int128 left_fs = state_.step_remainder_fs + static_cast<__int128>(duration_ps(state_.step_iterations)) * 1000;
  return state_.step_start + Duration{static_cast<int64_t>(left_fs / state_.speed)};
}

void LlmEngine::set_speed(double speed, Time now) {
  auto millionths = std::max<int64_t>(1, std::llround(speed * LlmEngineState::kFullSpeed));
  if (millionths == state_.speed) return;
  if (model_.detail == LlmEngineModel::Detail::Linear) {
    linear_set_speed(millionths, now);
  } else if (state_.stepping) {
    state_.step_remainder_fs -= static_cast<__int128>((now - state_.step_start).ns) * state_.speed;
    state_.step_start = now;
  }
  state_.speed = millionths;
}

GpuLoad LlmEngine::load_alone(Time now) const {
  if (!busy()) return {};
  return model_.detail == LlmEngineModel::Detail::Linear ? linear_load(now) : state_.step_load;
}

GpuLoad LlmEngine::load(Time now) const {
  GpuLoad load = load_alone(now);
  load.bandwidth = load.bandwidth * state_.speed / LlmEngineState::kFullSpeed;
  load.compute = load.compute * state_.speed / LlmEngineState::kFullSpeed;
  return load;
}

GpuDemand LlmEngine::demand(Time now) const {
  GpuLoad load = load_alone(now);
  double computing = static_cast<double>(load.compute) * 1e-6 / (cost_.compute_share * cost_.prefill_mfu);
  double reading = static_cast<double>(load.bandwidth) * 1e-6 / cost_.bandwidth_share;
  return {std::min(1.0, computing), std::min(1.0, reading)};
}

double LlmEngine::kv_usage(Time now) const {
  int64_t used = cost_.kv_blocks - state_.free_blocks;
  if (state_.stepping) used += std::max<int64_t>(0, growth(iterations_done(now)) - state_.step_reserved);
  return static_cast<double>(used) / static_cast<double>(cost_.kv_blocks);
}

uint64_t LlmEngine::generated_tokens(Time now) const {
  return state_.generated_tokens + (state_.stepping ? iterations_done(now) * state_.decoding : 0);
}

int32_t LlmEngine::generated(const Request& request) const {
  if (!request.decoding) return request.generated;
  return request.generated + static_cast<int32_t>(state_.iteration - request.decode_start);
}

// ---- the iteration level ----

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
  int64_t blocks = iterations / model_.block_size * state_.decoding;
  for (int64_t j = 0; j < iterations % model_.block_size; ++j) blocks += state_.phase[phase_due(j)];
  return blocks;
}

int64_t LlmEngine::iterations_before_shortage() const {
  int64_t blocks = state_.free_blocks + state_.step_reserved;
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
                     cost_.compute_share, model_.tensor_parallel > 1 ? 1 : 0);
}

GpuLoad LlmEngine::planned_load(const StepWork& work) const {
  int64_t k = state_.step_iterations;
  double seconds = static_cast<double>(duration_ps(k)) * 1e-12;
  auto context = static_cast<double>(k * work.decode_context + work.decoding * (k * (k - 1) / 2));
  // The line holds for all of them: every context is within the window, or none is.
  bool all_near = cost_.within_window(work.decode_context, work.decoding) == work.decode_context;
  double near = all_near ? context : static_cast<double>(k * work.decoding * cost_.window);
  double read = static_cast<double>(k) * cost_.ideal.weights +
                cost_.ideal.kv_token * (context + static_cast<double>(work.prefill_context)) +
                cost_.ideal.window_token *
                    (near + static_cast<double>(cost_.within_window(work.prefill_context, work.prefilling())));
  double computed = cost_.ideal.token * static_cast<double>(k * work.decoding + work.prefill_tokens) +
                    cost_.ideal.attention * (context + work.prefill_pairs);
  return load_of(read / seconds, computed / seconds);
}

void LlmEngine::begin_step(Time now) {
  // Running requests first. Blocks for the next token of each; the latest make room.
  bool preempted = false;
  while (state_.decoding > 0 && growth(1) > state_.free_blocks) {
    preempt_last();
    preempted = true;
  }
  state_.step_reserved = growth(1);
  state_.free_blocks -= state_.step_reserved;
  state_.stepping = true;
  state_.chunks.swap(state_.next_chunks);
  if (!model_.async_scheduling || (state_.decoding == 0 && state_.chunks.empty())) {
    preempted = plan_chunks(When::Now, preempted, now);
    state_.chunks.swap(state_.next_chunks);
  }
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
  state_.step_iterations = 1;
  if (model_.async_scheduling) preempted = plan_chunks(When::Next, preempted, now);
  // With nothing to prefill, whoever waits cannot enter before someone ends: jump.
  if (model_.jump && state_.chunks.empty() && state_.next_chunks.empty() && !preempted && state_.decoding > 0) {
    auto to_first_end = static_cast<int64_t>(state_.finish.front().at - state_.iteration);
    int64_t most = std::min({to_first_end, iterations_before_shortage(), line.iterations});
    state_.step_iterations = std::max<int64_t>(1, most);
  }
  state_.prefilled_tokens += work.prefill_tokens;
  state_.step_load = planned_load(work);
  state_.step_outside = cost_.outside(work);
}

StepWork LlmEngine::step_work() const {
  StepWork work;
  work.decoding = state_.decoding;
  work.decode_context = state_.context;
  work.chunks = state_.chunks;
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
  int64_t budget = model_.max_num_batched_tokens - decoding(when);
  preempted = grow_chunks(budget) || preempted;
  if (!preempted || state_.running.empty()) admit(when, budget, now);
  return preempted;
}

// In the next step those whose prompt is done after this one decode, too, and those that end with it do not.
int64_t LlmEngine::decoding(When when) const {
  if (when == When::Now) return state_.decoding;
  int64_t count = state_.decoding;
  for (const PrefillChunk& chunk : state_.chunks) count += chunk.last && requests_[chunk.request].output_tokens > 1;
  uint64_t end = state_.iteration + 1;
  if (!state_.finish.empty() && state_.finish.front().at == end)
    count -= std::count_if(state_.finish.begin(), state_.finish.end(),
                           [&](const LlmEngineState::Finish& f) { return f.at == end; });
  return count;
}

int64_t LlmEngine::chunk_of(const Request& request, int64_t budget) const {
  int64_t tokens = std::min<int64_t>(request.prefill_target - request.prefilled, budget);
  int64_t most = model_.long_prefill_token_threshold;
  return most > 0 ? std::min(tokens, most) : tokens;
}

void LlmEngine::add_chunk(RequestId id, int64_t tokens, int64_t& budget) {
  Request& request = requests_[id];
  int64_t blocks = blocks_for(request.prefilled + tokens);
  state_.free_blocks -= blocks - request.blocks;
  request.blocks = static_cast<int32_t>(blocks);
  PrefillChunk chunk{id, static_cast<int32_t>(tokens), request.prefilled};
  request.prefilled += chunk.tokens;
  chunk.last = request.prefilled == request.prefill_target;
  state_.next_chunks.push_back(chunk);
  budget -= tokens;
}

// The next chunk of every prompt that is under way. True: others had to make room.
bool LlmEngine::grow_chunks(int64_t& budget) {
  bool preempted = false;
  for (size_t i = 0; i < state_.prefilling.size() && budget > 0; ++i) {
    RequestId id = state_.prefilling[i];
    const Request& request = requests_[id];
    int64_t tokens = chunk_of(request, budget);
    if (tokens == 0) continue;
    int64_t need = blocks_for(request.prefilled + tokens) - request.blocks;
    bool stays = true;
    while (need > state_.free_blocks && stays) {
      stays = state_.running.back() != id;
      preempt_last();
      preempted = true;
    }
    if (!stays) return true;  // it was the latest: nobody is behind it
    add_chunk(id, tokens, budget);
  }
  return preempted;
}

// First come, first served; stops at the first that does not fit.
void LlmEngine::admit(When when, int64_t& budget, Time now) {
  int64_t kept = when == When::Next ? growth(2) - growth(1) : 0;
  while (!state_.waiting.empty() && budget > 0 && state_.running.size < static_cast<uint32_t>(model_.max_num_seqs)) {
    RequestId id = state_.waiting.front();
    Request& request = requests_[id];
    int64_t tokens = chunk_of(request, budget);
    int64_t need = blocks_for(model_.scheduler_reserve_full_isl ? request.prefill_target : tokens);
    if (need + kept > state_.free_blocks) return;
    state_.waiting.pop_front(requests_);
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
  state_.free_blocks += requests_[id].blocks;
  std::erase(state_.prefilling, id);
  std::erase_if(state_.chunks, its);
  std::erase_if(state_.next_chunks, its);
}

// The latest of the running goes back to the head of the queue and will compute everything again.
void LlmEngine::preempt_last() {
  RequestId id = state_.running.back();
  Request& request = requests_[id];
  state_.running.remove(requests_, id);
  if (request.decoding) {
    leave_decoding(request);
    erase_finish(id);
  } else {
    leave_prefilling(id);
  }
  request.place = Request::Place::Waiting;
  request.prefilled = request.blocks = 0;
  request.prefill_target = std::max(1, request.prompt_tokens) + request.generated;
  state_.waiting.push_front(requests_, id);
  ++state_.preemptions;
}

// Settles what it was sent and gives its blocks back, the one reserved for the step under way included.
void LlmEngine::leave_decoding(Request& request) {
  int64_t context = context_of(request);
  request.generated = generated(request);
  request.decoding = false;
  state_.free_blocks += blocks_for(context);
  if (state_.stepping && context % model_.block_size == 0) {
    ++state_.free_blocks;
    --state_.step_reserved;
  }
  --state_.phase[phase_of(context)];
  --state_.decoding;
  state_.context -= context;
}

void LlmEngine::end_step(Time now) {
  int64_t k = state_.step_iterations;
  state_.step_remainder_fs = (state_.step_remainder_fs + static_cast<__int128>(duration_ps(k)) * 1000) % state_.speed;
  state_.free_blocks -= growth(k) - state_.step_reserved;
  state_.stepping = false;
  state_.step_reserved = 0;
  state_.iteration += k;
  state_.steps += k;
  if (state_.step_outside) state_.steps_outside += k;
  state_.context += k * state_.decoding;
  state_.generated_tokens += k * state_.decoding;

  while (!state_.finish.empty() && state_.finish.front().at <= state_.iteration) {
    RequestId id = state_.finish.front().request;
    pop_finish();
    leave_decoding(requests_[id]);
    state_.running.remove(requests_, id);
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
  if (request.first_token == Time::max()) request.first_token = now;
  if (request.generated >= request.output_tokens) {
    state_.free_blocks += request.blocks;
    state_.running.remove(requests_, id);
    state_.finished.push_back(id);
    return;
  }
  request.decoding = true;
  request.decode_start = state_.iteration;
  ++state_.decoding;
  state_.context += request.prefill_target;
  ++state_.phase[phase_of(request.prefill_target)];
  push_finish(state_.iteration + (request.output_tokens - request.generated), id);
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

// The jump ends with the iteration that is running now.
void LlmEngine::cut_step(Time now) {
  if (state_.step_iterations > 1) state_.step_iterations = std::min(state_.step_iterations, iterations_done(now) + 1);
}

void LlmEngine::abort(RequestId id, Time now) {
  Request& request = requests_[id];
  if (request.place == Request::Place::Waiting) {
    bool head = state_.waiting.front() == id;
    state_.waiting.remove(requests_, id);
    if (!head) return;
    // The next in the queue may fit where this one did not.
    if (model_.detail == LlmEngineModel::Detail::Linear) return linear_admit(now);
    if (state_.stepping) cut_step(now);
    return;
  }
  if (model_.detail == LlmEngineModel::Detail::Linear) {
    linear_settle(now);
    if (request.first_token <= now) {
      double left = std::bit_cast<double>(finish_of(id).at) - state_.progress;
      request.generated = request.output_tokens - std::max(0, static_cast<int32_t>(std::ceil(left)));
      state_.generated_tokens += request.generated;
    }
    state_.running.remove(requests_, id);
    state_.free_blocks += request.blocks;
    erase_finish(id);
    return linear_admit(now);
  }
  int64_t done = 0;
  if (state_.stepping) {
    done = iterations_done(now);
    cut_step(now);
  }
  state_.running.remove(requests_, id);
  if (!request.decoding) return leave_prefilling(id);
  leave_decoding(request);
  erase_finish(id);
  request.generated += static_cast<int32_t>(done);
  state_.generated_tokens += done;
}

// ---- the linear level ----

void LlmEngine::linear_settle(Time now) {
  Time from = std::max(state_.progress_at, state_.stalled_until);
  if (state_.running.empty())
    state_.progress = 0;
  else if (now > from)
    state_.progress += (now - from).to_seconds() / linear_itl() * speed();
  state_.progress_at = now;
}

// Decoding goes on from where it is; prefills that are not over end sooner or later, and so begin those behind them.
void LlmEngine::linear_set_speed(int64_t speed, Time now) {
  linear_settle(now);
  double stretch = static_cast<double>(state_.speed) / static_cast<double>(speed);
  auto moved = [&](Time t) { return t > now ? after(now, (t - now).to_seconds() * stretch) : t; };
  for (RequestId id = state_.running.front(); id.valid(); id = requests_[id].next()) {
    Request& request = requests_[id];
    request.scheduled = moved(request.scheduled);
    request.first_token = moved(request.first_token);
  }
  state_.stalled_until = moved(state_.stalled_until);
}

void LlmEngine::linear_admit(Time now) {
  linear_settle(now);
  while (!state_.waiting.empty() && state_.running.size < static_cast<uint32_t>(model_.max_num_seqs)) {
    RequestId id = state_.waiting.front();
    Request& request = requests_[id];
    int64_t need = blocks_for(static_cast<int64_t>(request.prompt_tokens) + request.output_tokens);
    if (need > state_.free_blocks) return;
    state_.waiting.pop_front(requests_);
    state_.running.push_back(requests_, id);
    state_.free_blocks -= need;
    request.blocks = static_cast<int32_t>(need);
    request.place = Request::Place::Running;
    request.scheduled = std::max(now, state_.stalled_until);
    double prefill = cost_.linear.prefill_base + cost_.linear.prefill_per_token * request.prompt_tokens;
    state_.stalled_until = after(request.scheduled, prefill / speed());
    request.first_token = state_.stalled_until;
    state_.prefilled_tokens += request.prompt_tokens;
    // Progress is never negative, so its bits order as the number does.
    push_finish(std::bit_cast<uint64_t>(state_.progress + std::max(0, request.output_tokens - 1)), id);
  }
}

Time LlmEngine::linear_timer() const {
  if (state_.finish.empty()) return Time::max();
  const LlmEngineState::Finish& next = state_.finish.front();
  double left = std::bit_cast<double>(next.at) - state_.progress;
  if (left <= 0) return std::max(state_.progress_at, requests_[next.request].first_token);
  return after(std::max(state_.progress_at, state_.stalled_until), left * linear_itl() / speed());
}

// A prefill computes at its own pace and reads little; decoding reads the weights and the KV of the nominal context.
GpuLoad LlmEngine::linear_load(Time now) const {
  double seconds = (linear_timer() - now).to_seconds(), n = state_.running.size, itl = linear_itl();
  double stalled = std::max(0.0, (state_.stalled_until - now).to_seconds());
  double prefill = seconds > 0 ? std::min(1.0, stalled / seconds) : 0, decode = 1 - prefill;
  const StepTerms& ideal = cost_.ideal;
  double near = std::min<double>(LlmCost::kNominalContext, static_cast<double>(cost_.window));
  double prefilling = cost_.linear.prefill_per_token > 0 ? ideal.token / cost_.linear.prefill_per_token : 0;
  double kv = ideal.kv_token * LlmCost::kNominalContext + ideal.window_token * near;
  double read = (ideal.weights + n * kv) / itl;
  double computed = n * (ideal.token + ideal.attention * LlmCost::kNominalContext) / itl;
  return load_of(decode * read, decode * computed + prefill * prefilling);
}

void LlmEngine::linear_on_timer(Time now) {
  linear_settle(now);
  state_.progress = std::max(state_.progress, std::bit_cast<double>(state_.finish.front().at));
  while (!state_.finish.empty()) {
    const LlmEngineState::Finish& next = state_.finish.front();
    if (std::bit_cast<double>(next.at) > state_.progress || requests_[next.request].first_token > now) break;
    RequestId id = next.request;
    pop_finish();
    Request& request = requests_[id];
    request.generated = request.output_tokens;
    state_.generated_tokens += request.output_tokens;
    state_.free_blocks += request.blocks;
    state_.running.remove(requests_, id);
    state_.finished.push_back(id);
  }
  linear_admit(now);
}

// ---- the heap of ends ----

void LlmEngine::push_finish(uint64_t at, RequestId id) {
  state_.finish.push_back({at, ++state_.joined, id});
  std::push_heap(state_.finish.begin(), state_.finish.end(), later);
}

void LlmEngine::pop_finish() {
  std::pop_heap(state_.finish.begin(), state_.finish.end(), later);
  state_.finish.pop_back();
}

const LlmEngineState::Finish& LlmEngine::finish_of(RequestId id) const {
  return *std::find_if(state_.finish.begin(), state_.finish.end(),
                       [&](const LlmEngineState::Finish& f) { return f.request == id; });
}

// Rare (preemption, time-out), so a search will do.
void LlmEngine::erase_finish(RequestId id) {
  std::erase_if(state_.finish, [&](const LlmEngineState::Finish& f) { return f.request == id; });
  std::make_heap(state_.finish.begin(), state_.finish.end(), later);
}

}  // namespace kisim
