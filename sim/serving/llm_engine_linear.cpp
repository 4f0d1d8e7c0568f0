#include "serving/llm_engine.hpp"

#include <algorithm>
#include <bit>

namespace kisim {

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
    const KvCache::Found cached = find(request, request.prefill_target);
    int64_t need = blocks_for(static_cast<int64_t>(request.prompt_tokens) + request.output_tokens) - cached.blocks;
    if (need + cached.unused > state_.kv.free_blocks()) return;
    hold_cached(request, cached.blocks, 0);
    state_.kv.take(need);
    request.blocks += static_cast<int32_t>(need);
    const int32_t tokens = request.prompt_tokens - request.prefilled;
    state_.to_prefill -= request.prefill_target - request.prefilled;
    make_known(request, request.prompt_tokens);
    state_.waiting.pop_front(requests_);
    state_.running.push_back(requests_, id);
    request.place = Request::Place::Running;
    request.scheduled = std::max(now, state_.stalled_until);
    double prefill = cost_.linear.prefill_base + cost_.linear.prefill_per_token * tokens;
    state_.stalled_until = after(request.scheduled, prefill / speed());
    request.first_token = state_.stalled_until;
    state_.prefilled_tokens += tokens;
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
  double weights = ideal.weights + ideal.experts * cost_.experts.share_read(n);
  double kv = ideal.kv_token * LlmCost::kNominalContext + ideal.window_token * near;
  double read = (weights + n * kv) / itl;
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
    free_blocks(request, request.blocks, request.prompt_tokens + request.output_tokens - 1);
    state_.running.remove(requests_, id);
    state_.finished.push_back(id);
  }
  linear_admit(now);
}

}  // namespace kisim
