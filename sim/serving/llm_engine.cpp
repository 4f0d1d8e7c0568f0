#include "serving/llm_engine.hpp"

#include "core/error.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace kisim {

namespace {

bool later(const LlmEngineState::Finish& a, const LlmEngineState::Finish& b) { return b < a; }

}  // namespace

void LlmEngine::start() {
  state_ = {};
  state_.kv = KvCache(cost_.kv_blocks);
  for (const KvTierModel& tier : model_.kv_offload)
    state_.tiers.push_back({KvCache(static_cast<int64_t>(static_cast<double>(tier.bytes) / model_.block_bytes())), {}});
  state_.phase.assign(model_.block_size, 0);
  state_.finish.reserve(model_.max_num_seqs);
  state_.finished.reserve(model_.max_num_seqs);
  for (auto* chunks : {&state_.chunks, &state_.next_chunks}) chunks->reserve(model_.max_num_seqs);
  state_.prefilling.reserve(model_.max_num_seqs);
}

bool LlmEngine::fits(const Request& request) const {
  int64_t tokens = static_cast<int64_t>(request.prompt_tokens) + to_generate(request);
  if (model_.max_model_len > 0 && tokens > model_.max_model_len) return false;
  return blocks_for(tokens) <= cost_.kv_blocks;
}

void LlmEngine::enqueue(RequestId id, Time now) {
  Request& request = requests_[id];
  request.place = Request::Place::Waiting;
  request.queued = now;
  request.prefill_target = std::max(1, request.prompt_tokens);
  request.prefilled = request.generated = request.blocks = request.known = 0;
  request.looked_up = false;
  state_.to_prefill += request.prefill_target;
  queue(id, false);
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_admit(now);
  if (!state_.stepping) return begin_step(now);
  // Only a new head of the queue can change what the next steps do, or who may pass it.
  const bool first = state_.waiting.front() == id || model_.lora.max_loras > 0;
  bool may_enter = first && state_.running.size < static_cast<uint32_t>(model_.max_num_seqs);
  if (may_enter) cut_step(now);
}

// By priority and time of coming, or by that alone. `again`: it has been there before, and goes first.
void LlmEngine::queue(RequestId id, bool again) {
  if (!model_.by_priority)
    return again ? state_.waiting.push_front(requests_, id) : state_.waiting.push_back(requests_, id);
  RequestId last = state_.waiting.back(), next;
  while (last.valid() && goes_before(id, last)) {
    next = last;
    last = requests_[last].previous();
  }
  state_.waiting.insert_before(requests_, id, next);
}

bool LlmEngine::goes_before(RequestId a, RequestId b) const {
  const Request &x = requests_[a], &y = requests_[b];
  return x.priority != y.priority ? x.priority < y.priority : x.queued < y.queued;
}

void LlmEngine::on_timer(Time now) {
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_on_timer(now);
  if (state_.stepping && step_end() <= now) {
    end_step(now);
    begin_step(now);
  }
  if (!state_.loading.empty() && requests_[state_.loading.front()].loaded <= now) finish_loads(now);
}

Time LlmEngine::timer() const {
  if (model_.detail == LlmEngineModel::Detail::Linear) return linear_timer();
  Time loaded = state_.loading.empty() ? Time::max() : requests_[state_.loading.front()].loaded;
  return state_.stepping ? std::min(loaded, step_end()) : loaded;
}

Time LlmEngine::step_end() const {
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

int64_t LlmEngine::kv_blocks_used(Time now) const {
  int64_t used = cost_.kv_blocks - state_.kv.free_blocks();
  if (state_.stepping) used += std::max<int64_t>(0, growth(decoded(now)) - state_.step_reserved);
  return used;
}

double LlmEngine::kv_usage(Time now) const {
  return static_cast<double>(kv_blocks_used(now)) / static_cast<double>(cost_.kv_blocks);
}

int64_t LlmEngine::cached_tokens(const Request& request) const {
  return find(request, std::max(1, request.prompt_tokens)).blocks * model_.block_size;
}

uint64_t LlmEngine::generated_tokens(Time now) const {
  return state_.generated_tokens + (state_.stepping ? decoded(now) * state_.decoding : 0);
}

int32_t LlmEngine::generated(const Request& request) const {
  if (!request.decoding) return request.generated;
  return request.generated + static_cast<int32_t>(state_.iteration - request.decode_start);
}

void LlmEngine::check() const {
  state_.kv.check();
  for (const LlmEngineState::Tier& tier : state_.tiers) tier.cache.check();
  int64_t to_prefill = 0;
  auto count = [&](RequestId id) { to_prefill += requests_[id].prefill_target - requests_[id].prefilled; };
  for (RequestId id = state_.waiting.front(); id.valid(); id = requests_[id].next()) count(id);
  for (RequestId id : state_.loading) count(id);
  for (RequestId id : state_.prefilling) count(id);
  KISIM_INVARIANT(to_prefill == state_.to_prefill, "{} tokens are to be computed, of requests {}", state_.to_prefill,
                  to_prefill);
  const bool empty = !busy() && state_.waiting.empty() && state_.loading.empty() && state_.kept == 0;
  KISIM_INVARIANT(!empty || state_.kv.free_blocks() == cost_.kv_blocks,
                  "nobody is here, and {} of {} KV blocks are free", state_.kv.free_blocks(), cost_.kv_blocks);
}

void LlmEngine::abort(RequestId id, Time now) {
  Request& request = requests_[id];
  if (request.place == Request::Place::Waiting || request.place == Request::Place::Loading) {
    bool head = !state_.waiting.empty() && state_.waiting.front() == id, held = request.blocks > 0;
    if (request.place == Request::Place::Loading)
      std::erase(state_.loading, id);
    else
      state_.waiting.remove(requests_, id);
    if (state_.stepping) take_growth(now);
    stop_load(request);
    state_.to_prefill -= request.prefill_target;
    return head || held || model_.lora.max_loras > 0 ? reconsider(now) : void();
  }
  if (model_.detail == LlmEngineModel::Detail::Linear) {
    linear_settle(now);
    if (request.first_token <= now) {
      double left = std::bit_cast<double>(finish_of(id).at) - state_.progress;
      request.generated = request.output_tokens - std::max(0, static_cast<int32_t>(std::ceil(left)));
      state_.generated_tokens += request.generated;
    }
    state_.running.remove(requests_, id);
    free_blocks(request, request.blocks, request.prompt_tokens + std::max(0, request.generated - 1));
    erase_finish(id);
    return linear_admit(now);
  }
  int64_t done = 0;
  if (state_.stepping) {
    done = decoded(now);
    take_growth(now);
    cut_step(now);
  }
  leave_running(id);
  if (!request.decoding) return leave_prefilling(id);
  leave_decoding(request, done);
  erase_finish(id);
  state_.generated_tokens += done;
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
  order_finishes();
}

void LlmEngine::order_finishes() { std::make_heap(state_.finish.begin(), state_.finish.end(), later); }

}  // namespace kisim
