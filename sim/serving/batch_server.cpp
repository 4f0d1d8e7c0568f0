#include "serving/batch_server.hpp"

#include "core/error.hpp"

#include <algorithm>

namespace kisim {

// What the batcher finds when it looks at the waiting, in the order in which it would take them.
struct BatchServer::Look {
  const BatchModel& model;
  uint32_t count = 0;  // requests that a batch may hold
  int64_t samples = 0;
  uint32_t best = 0;  // of these, the prefix of a preferred size
  bool full = false;  // the next one has no room
  Time oldest = Time::max(), expires = Time::max();

  int64_t largest_preferred() const { return model.preferred.empty() ? model.max_batch_size : model.preferred.back(); }
  void add(const Request& request) {
    int64_t with = samples + request.samples;
    if (count > 0 && best == 0 && with > largest_preferred()) best = count;
    full = count > 0 && with > model.max_batch_size;
    if (full) return;
    samples = with;
    ++count;
    oldest = std::min(oldest, request.queued);
    expires = std::min(expires, request.expires);
    if (std::binary_search(model.preferred.begin(), model.preferred.end(), samples)) best = count;
  }
  // How many to send now; 0: none, or wait.
  uint32_t to_send(Time now) const {
    bool delays = model.max_queue_delay.ns > 0;
    bool late = delays && count > 0 && now >= oldest + model.max_queue_delay;
    if (best > 0 && !late) return best;
    return late || !delays || full || samples >= largest_preferred() ? count : 0;
  }
  Time again() const { return count == 0 ? Time::max() : std::min(oldest + model.max_queue_delay, expires); }
  // More samples than those here that could make a batch.
  int64_t enough() const {
    auto next = std::upper_bound(model.preferred.begin(), model.preferred.end(), samples);
    return next == model.preferred.end() ? model.max_batch_size : *next;
  }
};

int64_t BatchServerModel::most_running() const {
  int64_t sum = 0;
  for (const BatchModel& m : models)
    if (m.steps.empty()) sum += static_cast<int64_t>(m.max_batch_size) * m.instances;
  return sum;
}

void BatchServer::start(const Accelerator& accelerator) {
  state_ = {};
  state_.models.resize(model_.models.size());
  for (size_t m = 0; m < model_.models.size(); ++m) {
    const BatchModel& model = model_.models[m];
    BatchModelState& s = state_.models[m];
    s.levels.resize(model.levels.size());
    s.instances.resize(model.steps.empty() ? model.instances : 0);
    if (accelerator.gpu_model.valid() && accelerator.gpu_model.value < model.law_of_gpu.size())
      s.law = model.law_of_gpu[accelerator.gpu_model.value];
    s.slowdown = model.laws[s.law].slowdown(accelerator);
  }
}

bool BatchServer::fits(const Request& request) const {
  const BatchModel& model = model_.models[request.model];
  auto holds = [&](uint32_t m) { return request.samples <= model_.models[m].max_batch_size; };
  return model.steps.empty() ? holds(request.model) : std::all_of(model.steps.begin(), model.steps.end(), holds);
}

bool BatchServer::enqueue(RequestId id, Time now) {
  Request& request = requests_[id];
  const BatchModel& asked = model_.models[request.model];
  request.serving = asked.steps.empty() ? request.model : asked.steps[request.step];
  const BatchModel& model = model_.models[request.serving];
  BatchModelState& s = state_.models[request.serving];
  request.level = model.default_level;
  if (request.priority > 0) request.level = std::min(request.priority, static_cast<uint32_t>(model.levels.size())) - 1;
  const QueuePolicy& policy = model.levels[request.level];
  BatchModelState::Level& level = s.levels[request.level];
  if (policy.max_queue_size > 0 &&
      level.queue.size + level.deferred.size >= static_cast<uint32_t>(policy.max_queue_size))
    return false;
  Duration timeout = policy.default_timeout;
  if (policy.allow_timeout_override && request.queue_timeout.ns > 0) timeout = std::min(timeout, request.queue_timeout);
  request.place = Request::Place::Waiting;
  request.queued = now;
  request.expires = timeout.ns > 0 ? now + timeout : Time::max();
  request.deferred = false;
  level.queue.push_back(requests_, id);
  ++s.waiting;
  s.waiting_samples += request.samples;
  return true;
}

// Looks at one list of a level until the batch is full; false: it is.
bool BatchServer::add_waiting(Look& look, uint32_t model, BatchModelState::Level& level, const QueuePolicy& policy,
                              bool deferred, Time now) {
  RequestList& list = deferred ? level.deferred : level.queue;
  for (RequestId id = list.front(); id.valid();) {
    Request& request = requests_[id];
    RequestId next = request.next();
    if (request.expires > now) {
      look.add(request);
      if (look.full) return false;
    } else {
      list.remove(requests_, id);
      if (policy.timeout_delays) {
        request.expires = Time::max();
        request.deferred = true;
        level.deferred.push_back(requests_, id);
      } else {
        forget_waiting(model, request);
        state_.refused.push_back(id);
      }
    }
    id = next;
  }
  return true;
}

BatchServer::Look BatchServer::look(uint32_t model, Time now) {
  Look look{model_.models[model]};
  BatchModelState& s = state_.models[model];
  for (size_t l = 0; l < s.levels.size(); ++l)
    for (bool deferred : {false, true})
      if (!add_waiting(look, model, s.levels[l], look.model.levels[l], deferred, now)) return look;
  return look;
}

Time BatchServer::form(uint32_t m, Time now) {
  BatchModelState& s = state_.models[m];
  const BatchModel& model = model_.models[m];
  s.enough_samples = 0;
  for (;;) {
    bool idle = s.busy < model.instances;
    if (idle && !s.formed.empty()) {
      RequestList batch = s.formed.front();
      s.formed.pop_front();
      ++s.first_formed;
      if (!batch.empty()) begin(m, batch, now);
      continue;
    }
    bool room = idle || s.formed.size() < static_cast<size_t>(model.prefetched);
    if (!room || s.waiting == 0) return Time::max();
    Look found = look(m, now);
    uint32_t count = found.to_send(now);
    if (count == 0) {
      if (found.count > 0) s.enough_samples = found.enough();
      return found.again();
    }
    RequestList batch = take(m, count);
    if (idle)
      begin(m, batch, now);
    else
      s.formed.push_back(batch);
  }
}

// The first of the waiting, in the batcher's order.
RequestList BatchServer::take(uint32_t m, uint32_t count) {
  BatchModelState& s = state_.models[m];
  RequestList batch;
  auto number = s.first_formed + static_cast<uint32_t>(s.formed.size());
  for (BatchModelState::Level& level : s.levels)
    for (RequestList* list : {&level.queue, &level.deferred})
      while (batch.size < count && !list->empty()) {
        RequestId id = list->pop_front(requests_);
        Request& request = requests_[id];
        forget_waiting(m, request);
        request.place = Request::Place::Formed;
        request.instance = number;
        batch.push_back(requests_, id);
      }
  return batch;
}

void BatchServer::begin(uint32_t m, RequestList batch, Time now) {
  BatchModelState& s = state_.models[m];
  uint32_t i = 0;
  while (s.instances[i].busy) ++i;
  int64_t samples = 0;
  for (RequestId id = batch.front(); id.valid(); id = requests_[id].next()) {
    Request& request = requests_[id];
    request.place = Request::Place::Running;
    request.scheduled = std::min(request.scheduled, now);
    request.instance = i;
    samples += request.samples;
  }
  Stream noise(model_.seed, requests_[batch.front()].entity, Purpose::ServiceTime);
  BatchInstance& instance = s.instances[i];
  instance.batch = batch;
  instance.busy = true;
  instance.left = law(m).seconds(samples, noise, s.slowdown);
  instance.since = now;
  ++s.busy;
  ++state_.busy;
  ++s.batches;
  s.outside += law(m).outside(samples);
  state_.started.push_back({m, i});
}

void BatchServer::end(uint32_t m, uint32_t i) {
  state_.models[m].instances[i].busy = false;
  state_.models[m].instances[i].timer = {};
  --state_.models[m].busy;
  --state_.busy;
}

void BatchServer::forget_waiting(uint32_t m, const Request& request) {
  --state_.models[m].waiting;
  state_.models[m].waiting_samples -= request.samples;
}

void BatchServer::withdraw(RequestId id) {
  Request& request = requests_[id];
  BatchModelState& s = state_.models[request.serving];
  if (request.place == Request::Place::Waiting) {
    BatchModelState::Level& level = s.levels[request.level];
    (request.deferred ? level.deferred : level.queue).remove(requests_, id);
    forget_waiting(request.serving, request);
  } else if (request.place == Request::Place::Formed) {
    s.formed[request.instance - s.first_formed].remove(requests_, id);
  } else {
    s.instances[request.instance].batch.remove(requests_, id);
  }
}

void BatchServer::set_speed(double speed, Time now) {
  for (BatchModelState& s : state_.models)
    for (BatchInstance& instance : s.instances) {
      if (!instance.busy) continue;
      instance.left = std::max(0.0, instance.left - (now - instance.since).to_seconds() * state_.speed);
      instance.since = now;
    }
  state_.speed = speed;
}

double BatchServer::own_speed() const {
  if (state_.busy <= 1) return 1;
  double k = state_.busy;
  return (1 + model_.overlap * (k - 1)) / k;
}

double BatchServer::demand(double LatencyLaw::*of) const {
  double most = 0;
  for (uint32_t m = 0; m < state_.models.size(); ++m)
    if (state_.models[m].busy > 0) most = std::max(most, law(m).*of);
  return most;
}

GpuLoad BatchServer::load(const Accelerator& accelerator) const {
  if (state_.busy == 0) return {};
  double bandwidth = 0, compute = 0;
  for (uint32_t m = 0; m < state_.models.size(); ++m) {
    double running = state_.models[m].busy * state_.speed;
    bandwidth += running * law(m).bandwidth;
    compute += running * law(m).compute;
  }
  return GpuLoad::of(std::min(bandwidth, accelerator.bandwidth_share), std::min(compute, accelerator.compute_share),
                     accelerator.compute_share);
}

uint32_t BatchServer::waiting() const {
  uint32_t sum = 0;
  for (const BatchModelState& s : state_.models) {
    sum += s.waiting;
    for (size_t i = 0; i < s.formed.size(); ++i) sum += s.formed[i].size;
  }
  return sum;
}

uint32_t BatchServer::running() const {
  uint32_t sum = 0;
  for (const BatchModelState& s : state_.models)
    for (const BatchInstance& instance : s.instances) sum += instance.batch.size;
  return sum;
}

void BatchServer::check() const {
  int32_t busy = 0;
  for (size_t m = 0; m < state_.models.size(); ++m) {
    const BatchModelState& s = state_.models[m];
    uint32_t waiting = 0;
    int64_t samples = 0;
    for (const BatchModelState::Level& level : s.levels)
      for (const RequestList* list : {&level.queue, &level.deferred}) {
        waiting += list->size;
        for (RequestId id = list->front(); id.valid(); id = requests_[id].next()) samples += requests_[id].samples;
      }
    KISIM_INVARIANT(waiting == s.waiting && samples == s.waiting_samples,
                    "model {} counts {} waiting requests of {} samples and has {} of {}", m, s.waiting,
                    s.waiting_samples, waiting, samples);
    for (const BatchInstance& instance : s.instances) {
      busy += instance.busy;
      KISIM_INVARIANT(instance.busy || instance.batch.empty(), "model {}: an idle instance has a batch", m);
    }
  }
  KISIM_INVARIANT(busy == state_.busy, "{} instances run, {} are counted", busy, state_.busy);
}

}  // namespace kisim
