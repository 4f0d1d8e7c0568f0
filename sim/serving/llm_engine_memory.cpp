#include "serving/llm_engine.hpp"

#include <algorithm>

namespace kisim {

KvCache::Found LlmEngine::find(const Request& request, int64_t tokens) const {
  return caches(request) ? state_.kv.find(path_of(request), most_cached(tokens)) : KvCache::Found{};
}

// Blocks that follow those in the cache and are in memory behind it.
int64_t LlmEngine::behind(const Request& request, int64_t cached) const {
  int64_t most = cached;
  if (!caches(request)) return 0;
  for (const LlmEngineState::Tier& tier : state_.tiers)
    most = std::max(most, tier.cache.find(path_of(request), most_cached(request.prefill_target)).blocks);
  return most - cached;
}

// What is there of the prompt, and room for what is behind. A preempted request is looked up again, but not counted.
void LlmEngine::hold_cached(Request& request, int64_t blocks, int64_t behind) {
  const int64_t tokens = blocks * model_.block_size;
  if (caches(request) && request.scheduled == Time::max()) {
    state_.prefix_queries += request.prefill_target;
    state_.prefix_hits += tokens;
    request.cached = static_cast<int32_t>(tokens + behind * model_.block_size);
    if (!state_.tiers.empty()) state_.tier_queries += request.prefill_target - tokens;
    state_.tier_hits += behind * model_.block_size;
  }
  state_.kv.hold(path_of(request), 0, blocks);
  state_.kv.take(behind);
  request.known = static_cast<int32_t>(blocks);
  request.blocks = static_cast<int32_t>(blocks + behind);
  request.prefilled = static_cast<int32_t>(tokens);
  state_.to_prefill -= tokens;
}

// The full blocks of its first `tokens`, which are computed.
void LlmEngine::make_known(Request& request, int64_t tokens) {
  int64_t full = tokens / model_.block_size;
  if (!caches(request) || full <= request.known) return;
  state_.kv.store(path_of(request), request.known, full);
  request.known = static_cast<int32_t>(full);
}

// Gives back the blocks that it holds. Its first `tokens` are computed.
void LlmEngine::free_blocks(Request& request, int64_t blocks, int64_t tokens) {
  make_known(request, tokens);
  for (LlmEngineState::Tier& tier : state_.tiers) tier.cache.keep(path_of(request), request.known);
  state_.kv.give(blocks - request.known);
  state_.kv.release(path_of(request), request.known);
  request.blocks = request.known = 0;
}

// Reads what is behind the cache, from each tier what those before it do not have.
void LlmEngine::start_load(RequestId id, Time now) {
  Request& request = requests_[id];
  const int64_t most = most_cached(request.prefill_target);
  int64_t here = request.known;
  request.loaded = now;
  for (size_t t = 0; t < state_.tiers.size(); ++t) {
    LlmEngineState::Tier& tier = state_.tiers[t];
    const int64_t there = tier.cache.find(path_of(request), most).blocks;
    if (there <= here) continue;
    const KvTierModel& memory = model_.kv_offload[t];
    const double rate =
        cost_.host_bytes_per_s > 0 ? std::min(memory.bytes_per_s, cost_.host_bytes_per_s) : memory.bytes_per_s;
    const double seconds = static_cast<double>(there - here) * model_.block_bytes() / rate;
    tier.idle_at = after(std::max(now, tier.idle_at) + memory.latency, seconds);
    request.loaded = std::max(request.loaded, tier.idle_at);
    here = there;
  }
  request.place = Request::Place::Loading;
  auto later = [this](Time loaded, RequestId other) { return loaded < requests_[other].loaded; };
  state_.loading.insert(std::upper_bound(state_.loading.begin(), state_.loading.end(), request.loaded, later), id);
}

// Those whose KV is there go to the head of the queue.
void LlmEngine::finish_loads(Time now) {
  if (state_.stepping) take_growth(now);
  auto due = [&](RequestId id) { return requests_[id].loaded <= now; };
  auto end = std::partition_point(state_.loading.begin(), state_.loading.end(), due);
  for (auto at = end; at != state_.loading.begin();) {
    Request& request = requests_[*--at];
    make_known(request, int64_t{request.blocks} * model_.block_size);
    state_.to_prefill -= int64_t{request.known} * model_.block_size - request.prefilled;
    request.prefilled = request.known * model_.block_size;
    request.place = Request::Place::Waiting;
    state_.waiting.push_front(requests_, *at);
  }
  state_.loading.erase(state_.loading.begin(), end);
  reconsider(now);
}

// A request that does not run yet gives its blocks back.
void LlmEngine::stop_load(Request& request) {
  free_blocks(request, request.blocks, 0);
  state_.to_prefill += request.prefilled;
  request.prefilled = 0;
}

// Nothing runs, and the first in the queue does not fit: the last of those behind it that hold blocks.
bool LlmEngine::give_up_loaded() {
  for (RequestId id = state_.waiting.back(); id != state_.waiting.front(); id = requests_[id].previous()) {
    if (requests_[id].blocks == 0) continue;
    stop_load(requests_[id]);
    return true;
  }
  return false;
}

}  // namespace kisim
