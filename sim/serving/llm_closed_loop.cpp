#include "serving/llm_closed_loop.hpp"

#include "core/hash.hpp"
#include "core/random.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

class Clients {
 public:
  Clients(const LlmClosedLoop& loop, RequestSlab& slab)
      : loop_(loop),
        slab_(slab),
        prompts_(loop.seed, hash_text("LlmClosedLoop"), Purpose::PromptTokens),
        outputs_(loop.seed, hash_text("LlmClosedLoop"), Purpose::OutputTokens) {}

  bool done() const { return sent_ == loop_.requests; }

  void send(LlmEngine& engine, Time now) {
    RequestId id = slab_.take();
    Request& request = slab_[id];
    request.prompt_tokens = drawn(loop_.prompt_tokens, prompts_);
    request.output_tokens = std::max(2, drawn(loop_.output_tokens, outputs_));
    request.arrival = now;
    request.scheduled = request.first_token = Time::max();
    ++sent_;
    engine.enqueue(id, now);
  }

  void answered(RequestId id, Time now) {
    const Request& request = slab_[id];
    sums_.ttft_s += (request.first_token - request.arrival).to_seconds();
    sums_.tpot_s += (now - request.first_token).to_seconds() / (request.output_tokens - 1);
    slab_.give_back(id);
  }

  LlmClosedLoopResult means() const {
    const auto n = static_cast<double>(sent_);
    return {sums_.ttft_s / n, sums_.tpot_s / n};
  }

 private:
  int32_t drawn(int32_t longest, Stream& stream) const {
    const auto least = static_cast<int32_t>(std::floor(loop_.shortest * longest));
    const int32_t tokens = least + static_cast<int32_t>(stream.below(static_cast<uint32_t>(longest - least) + 1));
    return std::max(1, tokens);
  }

  const LlmClosedLoop& loop_;
  RequestSlab& slab_;
  Stream prompts_, outputs_;
  uint64_t sent_ = 0;
  LlmClosedLoopResult sums_;
};

}  // namespace

LlmClosedLoopResult simulate_llm_closed_loop(const LlmEngineModel& model, const LlmCost& cost,
                                             const LlmClosedLoop& loop) {
  RequestSlab slab;
  LlmEngineState state;
  LlmEngine engine(model, cost, state, slab);
  engine.start();
  Clients clients(loop, slab);
  Time now;
  for (int32_t c = 0; c < loop.clients && !clients.done(); ++c) clients.send(engine, now);
  std::vector<RequestId> finished;
  while (engine.timer() != Time::max()) {
    now = engine.timer();
    engine.on_timer(now);
    finished.swap(state.finished);
    for (RequestId id : finished) {
      clients.answered(id, now);
      if (!clients.done()) clients.send(engine, now);
    }
    finished.clear();
  }
  return clients.means();
}

}  // namespace kisim
