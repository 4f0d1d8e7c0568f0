#include "serving/engine_replay.hpp"

#include "core/error.hpp"

namespace kisim {

EngineReplay replay(const LlmEngineModel& model, const LlmCost& cost, const std::vector<EngineRequest>& requests,
                    const std::vector<Time>& instants) {
  EngineReplay out;
  out.answers.resize(requests.size());
  LlmEngineState state;
  RequestSlab slab;
  LlmEngine engine(model, cost, state, slab);
  engine.start();
  auto leave = [&](Time now) {
    for (RequestId id : state.finished) {
      const Request& request = slab[id];
      out.answers[request.ordinal] = {false, request.scheduled, request.first_token, now};
      slab.give_back(id);
    }
    state.finished.clear();
  };
  size_t next = 0, instant = 0;
  for (;;) {
    Time arrival = next < requests.size() ? requests[next].queued : Time::max();
    Time look = instant < instants.size() ? instants[instant] : Time::max();
    Time timer = engine.timer();
    if (timer == Time::max() && arrival == Time::max() && look == Time::max()) break;
    if (timer <= arrival && timer <= look) {
      engine.on_timer(timer);
      leave(timer);
    } else if (arrival <= look) {
      RequestId id = slab.take();
      Request& request = slab[id];
      request.ordinal = next;
      request.identity.own = next + 1;  // only its own blocks are ever found again: after a preemption
      request.scheduled = request.first_token = Time::max();
      request.prompt_tokens = requests[next].prompt_tokens;
      request.output_tokens = requests[next].output_tokens;
      if (engine.fits(request)) {
        engine.enqueue(id, arrival);
      } else {
        out.answers[next].refused = true;
        slab.give_back(id);
      }
      ++next;
    } else {
      out.gauges.push_back({state.running.size, state.waiting.size, engine.kv_usage(look)});
      ++instant;
    }
  }
  KISIM_INVARIANT(slab.in_use() == 0, "{} requests were never answered", slab.in_use());
  out.preemptions = state.preemptions;
  out.steps = state.steps;
  return out;
}

}  // namespace kisim
