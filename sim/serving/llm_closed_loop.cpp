#include "serving/llm_closed_loop.hpp"

#include "core/hash.hpp"
#include "core/random.hpp"

#include <algorithm>
#include <cmath>
#include <queue>
#include <vector>

namespace kisim {

namespace {

class Clients {
 public:
  Clients(const LlmClosedLoop& loop, RequestSlab& slab)
      : loop_(loop),
        slab_(slab),
        prompts_(loop.seed, hash_text("LlmClosedLoop"), Purpose::PromptTokens),
        outputs_(loop.seed, hash_text("LlmClosedLoop"), Purpose::OutputTokens),
        ways_(loop.seed, hash_text("LlmClosedLoop"), Purpose::Network) {}

  void send(Time now) {
    if (sent_ == loop_.requests) return;
    RequestId id = slab_.take();
    Request& request = slab_[id];
    request.prompt_tokens = drawn(loop_.prompt_tokens, prompts_);
    request.output_tokens = std::max(2, drawn(loop_.output_tokens, outputs_));
    request.arrival = now;
    request.scheduled = request.first_token = Time::max();
    Time there = now + Duration::seconds(loop_.overhead * (0.5 + ways_.uniform()));
    under_way_.push({there, sent_++, id});
  }

  // When the next request is at the engine; max(): there is none.
  Time next() const { return under_way_.empty() ? Time::max() : under_way_.top().at; }
  void arrive(LlmEngine& engine) {
    const Arrival arrival = under_way_.top();
    under_way_.pop();
    engine.enqueue(arrival.request, arrival.at);
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
  struct Arrival {
    Time at;
    uint64_t ordinal = 0;
    RequestId request;
    bool operator<(const Arrival& o) const { return at != o.at ? at > o.at : ordinal > o.ordinal; }  // earliest on top
  };

  int32_t drawn(int32_t longest, Stream& stream) const {
    const auto least = static_cast<int32_t>(std::floor(loop_.shortest * longest));
    const int32_t tokens = least + static_cast<int32_t>(stream.below(static_cast<uint32_t>(longest - least) + 1));
    return std::max(1, tokens);
  }

  const LlmClosedLoop& loop_;
  RequestSlab& slab_;
  Stream prompts_, outputs_, ways_;
  std::priority_queue<Arrival> under_way_;
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
  for (int32_t c = 0; c < loop.clients; ++c) clients.send(Time{});
  std::vector<RequestId> finished;
  for (;;) {
    const Time now = std::min(engine.timer(), clients.next());
    if (now == Time::max()) return clients.means();
    if (now < engine.timer()) {
      clients.arrive(engine);
      continue;
    }
    engine.on_timer(now);
    finished.swap(state.finished);
    for (RequestId id : finished) {
      clients.answered(id, now);
      clients.send(now);
    }
    finished.clear();
  }
}

}  // namespace kisim
