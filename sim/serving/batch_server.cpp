#include "serving/batch_server.hpp"

namespace kisim {

int32_t BatchServer::batch_size(Time now) const {
  auto queue = static_cast<int32_t>(state_.waiting.size);
  if (queue >= model_.max_batch_size) return model_.max_batch_size;
  for (auto size = model_.preferred.rbegin(); size != model_.preferred.rend(); ++size)
    if (*size <= queue) return *size;
  if (model_.max_queue_delay.ns == 0) return queue;
  Time oldest = requests_[state_.waiting.front()].queued;
  return now >= oldest + model_.max_queue_delay ? queue : 0;
}

BatchServer::Started BatchServer::start_batch(int32_t size, Time now) {
  uint32_t i = 0;
  while (state_.instances[i].timer) ++i;
  BatchServerState::Instance& instance = state_.instances[i];
  const Request& first = requests_[state_.waiting.front()];
  Stream noise(model_.seed, first.entity, Purpose::ServiceTime);
  double seconds = model_.base.draw(noise) + model_.per_item.draw(noise) * size;
  for (int32_t k = 0; k < size; ++k) {
    RequestId id = state_.waiting.pop_front(requests_);
    requests_[id].place = Request::Place::Running;
    requests_[id].scheduled = now;
    requests_[id].instance = i;
    instance.batch.push_back(requests_, id);
  }
  ++state_.busy;
  return {i, after(now, seconds)};
}

}  // namespace kisim
