#include "serving/llm_engine.hpp"

#include <algorithm>
#include <utility>

namespace kisim {

KvCache::Found LlmEngine::find(const Request& request, int64_t tokens) const {
  return caches(request) ? state_.kv.find(path_of(request), most_cached(tokens)) : KvCache::Found{};
}

// Blocks that follow those in the cache and are in memory behind it, or with who has computed the prompt.
int64_t LlmEngine::behind(const Request& request, int64_t cached) const {
  if (request.kept_by.valid()) return blocks_for(request.prefill_target - 1) - cached;
  int64_t most = cached;
  if (!caches(request)) return 0;
  for (const LlmEngineState::Tier& tier : state_.tiers)
    most = std::max(most, tier.cache.find(path_of(request), most_cached(request.prefill_target)).blocks);
  return most - cached;
}

// What is there of the prompt, and room for what is behind. A preempted request is looked up again, but not counted.
void LlmEngine::hold_cached(Request& request, int64_t blocks, int64_t behind) {
  const int64_t tokens = blocks * model_.block_size;
  if (looks_up(request) && !std::exchange(request.looked_up, true)) {
    state_.prefix_queries += request.prefill_target;
    state_.prefix_hits += tokens;
    if (request.scheduled == Time::max()) request.cached = static_cast<int32_t>(tokens + behind * model_.block_size);
    // What another replica has computed for it was found in no cache.
    if (!state_.tiers.empty() && !request.kept_by.valid()) {
      state_.tier_queries += request.prefill_target - tokens;
      state_.tier_hits += behind * model_.block_size;
    }
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
  if (request.kept_by.valid()) return wait_for_pull(id);
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

void LlmEngine::wait_for_pull(RequestId id) {
  requests_[id].place = Request::Place::Loading;
  requests_[id].loaded = Time::max();
  state_.loading.push_back(id);
  state_.to_pull.push_back(id);
}

// The KV of its first tokens is there.
void LlmEngine::loaded(RequestId id, int64_t tokens) {
  Request& request = requests_[id];
  make_known(request, tokens);
  state_.to_prefill -= tokens - request.prefilled;
  request.prefilled = static_cast<int32_t>(tokens);
  request.place = Request::Place::Waiting;
  queue(id, true);
}

void LlmEngine::pulled(RequestId id, Time now) {
  if (state_.stepping) take_growth(now);
  std::erase(state_.loading, id);
  loaded(id, requests_[id].prefill_target - 1);
  reconsider(now);
}

void LlmEngine::not_pulled(RequestId id, Time now) {
  if (state_.stepping) take_growth(now);
  std::erase(state_.loading, id);
  stop_load(requests_[id]);
  requests_[id].place = Request::Place::Waiting;
  queue(id, true);
  reconsider(now);
}

// A computed prompt stays for whoever will decode.
void LlmEngine::keep(Request& request) {
  make_known(request, request.prefill_target);
  for (LlmEngineState::Tier& tier : state_.tiers) tier.cache.keep(path_of(request), request.known);
  request.kept_blocks = request.blocks;
  request.kept_known = request.known;
  request.blocks = request.known = 0;
  ++state_.kept;
}

void LlmEngine::release_kept(Request& request, Time now) {
  if (state_.stepping) take_growth(now);
  state_.kv.give(request.kept_blocks - request.kept_known);
  state_.kv.release(path_of(request), request.kept_known);
  request.kept_blocks = request.kept_known = 0;
  --state_.kept;
  reconsider(now);
}

// Those whose KV is there go to the head of the queue.
void LlmEngine::finish_loads(Time now) {
  if (state_.stepping) take_growth(now);
  auto due = [&](RequestId id) { return requests_[id].loaded <= now; };
  auto end = std::partition_point(state_.loading.begin(), state_.loading.end(), due);
  for (auto at = end; at != state_.loading.begin();) {
    --at;
    loaded(*at, int64_t{requests_[*at].blocks} * model_.block_size);
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

// ---- LoRA adapters ----

// Whether a request for it may run beside those that do.
bool LlmEngine::adapter_fits(uint32_t adapter) const {
  if (adapter == 0 || model_.lora.max_loras == 0) return true;
  int32_t in_use = 0;
  for (const LlmEngineState::Adapter& a : state_.adapters) {
    if (a.running > 0 && a.id == adapter) return true;
    in_use += a.running > 0;
  }
  return in_use < model_.lora.max_loras;
}

// One more runs with it. Precondition: adapter_fits().
void LlmEngine::use_adapter(uint32_t adapter) {
  if (adapter == 0 || model_.lora.max_loras == 0) return;
  std::vector<LlmEngineState::Adapter>& here = state_.adapters;
  auto at = std::find_if(here.begin(), here.end(), [&](const auto& a) { return a.id == adapter; });
  if (at == here.end()) {
    if (here.size() == static_cast<size_t>(model_.lora.max_loras))
      here.erase(std::find_if(here.begin(), here.end(), [](const auto& a) { return a.running == 0; }));
    here.push_back({adapter});
    state_.load_ps += cost_.adapter_load_ps;
    ++state_.adapter_loads;
    at = here.end() - 1;
  }
  keep_on_host(adapter);
  ++at->running;
  std::rotate(at, at + 1, here.end());
}

// In the host's memory are the latest that were asked for, those on the GPU among them.
void LlmEngine::keep_on_host(uint32_t adapter) {
  std::vector<uint32_t>& host = state_.cpu_adapters;
  if (std::erase(host, adapter) == 0) state_.load_ps += cost_.adapter_read_ps;
  if (host.size() == static_cast<size_t>(model_.lora.max_cpu_loras)) host.erase(host.begin());
  host.push_back(adapter);
}

void LlmEngine::leave_running(RequestId id) {
  state_.running.remove(requests_, id);
  for (LlmEngineState::Adapter& a : state_.adapters)
    if (a.id == requests_[id].adapter) --a.running;
}

int64_t LlmEngine::adapters_in_use() const {
  return std::count_if(state_.adapters.begin(), state_.adapters.end(), [](const auto& a) { return a.running > 0; });
}

}  // namespace kisim
