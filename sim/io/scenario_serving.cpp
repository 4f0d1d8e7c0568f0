#include "io/scenario_serving.hpp"

#include "core/hash.hpp"
#include "core/math.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim {

namespace {

// Digits only, without a leading zero.
std::optional<int32_t> count_of(const std::string& text) {
  int32_t number = 0;
  const char* end = text.data() + text.size();
  auto result = std::from_chars(text.data(), end, number);
  bool ok = result.ec == std::errc() && result.ptr == end && number > 0;
  return ok ? std::optional(number) : std::nullopt;
}

void check_table(SpecPlaces& places, const SpecPath& path, const BatchModelSpec::Latency& latency) {
  for (const auto& [samples, seconds] : latency.table)
    if (!count_of(samples))
      places.error(below(path, "table"), fmt::format("found the size '{}', allowed: whole numbers above 0", samples));
  bool affine = places.given(below(path, "base")) || places.given(below(path, "perItem"));
  if (affine && !latency.table.empty())
    places.error(path, "found a table beside base or perItem, allowed: one or the other");
}

void check_law(SpecPlaces& places, const SpecPath& path, const BatchModelSpec& model) {
  const SpecPath latency = below(path, "latency");
  if (!model.steps.empty()) {
    if (model.latency) places.error(latency, "found one of an ensemble, allowed: none: its steps have theirs");
    return;
  }
  if (!model.latency) return places.error(latency, "missing, needed: base, perItem or table with the engine 'batch'");
  check_table(places, latency, *model.latency);
  for (const auto& [gpu, there] : model.latency_on) check_table(places, below(below(path, "latencyOn"), gpu), there);
}

void check_queues(SpecPlaces& places, const SpecPath& path, const BatchModelSpec& model) {
  if (model.default_priority_level > model.priority_levels)
    places.error(below(path, "defaultPriorityLevel"), fmt::format("found {}, allowed: at most priorityLevels ({})",
                                                                  model.default_priority_level, model.priority_levels));
  for (const auto& [level, policy] : model.priority_queue_policy) {
    auto number = count_of(level);
    if (!number || *number > model.priority_levels)
      places.error(below(below(path, "priorityQueuePolicy"), level),
                   fmt::format("found level '{}', allowed: 1 to priorityLevels ({})", level, model.priority_levels));
  }
  const QueuePolicy& policy = model.default_queue_policy;
  bool policies = model.priority_levels > 1 || policy.default_timeout.ns > 0 || policy.allow_timeout_override ||
                  policy.max_queue_size > 0 || !model.priority_queue_policy.empty();
  if (model.prefetched_batches > 0 && policies)
    places.error(below(path, "prefetchedBatches"),
                 fmt::format("found {} beside priority levels or a queue policy, allowed: 0 (Triton forms no batches "
                             "ahead of a queue that may refuse or reorder)",
                             model.prefetched_batches));
}

void check_batch_model(SpecPlaces& places, const SpecPath& path, const BatchModelSpec& model,
                       const std::vector<std::string>& gpus) {
  for (const auto& [gpu, latency] : model.latency_on)
    places.check_name(below(below(path, "latencyOn"), gpu), gpu, gpus);
  check_law(places, path, model);
  check_queues(places, path, model);
  for (int32_t size : model.preferred_batch_sizes)
    if (size > model.max_batch_size)
      places.error(below(path, "preferredBatchSizes"),
                   fmt::format("found {}, allowed: at most maxBatchSize ({})", size, model.max_batch_size));
}

// Whole users, as int() of Python leaves them.
int32_t above_min(const UsersDraft& draft, double more) { return draft.min + static_cast<int32_t>(std::trunc(more)); }
double above_min(const RatesDraft& draft, double more) { return draft.min + more; }

// Step is a time and a number.
template <class Step, class T>
std::vector<Step> steps_of(const StepsDraft<T>& draft, Duration run) {
  using Pattern = typename StepsDraft<T>::Pattern;
  double period = draft.duration.value_or(run - draft.start).to_seconds();
  auto at = [&](double share) { return Time{} + draft.start + Duration::seconds(period * share); };
  std::vector<Step> out;
  switch (draft.pattern) {
    case Pattern::Constant:
      break;
    case Pattern::Ramp:
      for (int32_t i = 1; i <= draft.steps; ++i)
        out.push_back(
            {at((i - 1.0) / draft.steps), above_min(draft, (draft.max - draft.min) * double(i) / draft.steps)});
      break;
    case Pattern::Spike:
      out = {{at(0), draft.min}, {at(draft.begin), draft.max}, {at(draft.begin + draft.width), draft.min}};
      break;
    case Pattern::Periodic:
      for (int32_t i = 0; i < draft.steps; ++i) {
        double angle = 2 * math::kPi * draft.cycles * i / draft.steps;
        double share = 0.5 + 0.5 * math::sin(angle);
        out.push_back({at(static_cast<double>(i) / draft.steps), above_min(draft, (draft.max - draft.min) * share)});
      }
      break;
    case Pattern::Random:
      for (double t = 0; t < period; t += draft.every.to_seconds()) out.push_back({at(t / period), draft.max});
      break;
    case Pattern::List:
      for (const auto& step : draft.list) out.push_back({Time{} + step.at, step.level});
      std::stable_sort(out.begin(), out.end(), [](const Step& a, const Step& b) { return a.at < b.at; });
      break;
  }
  return out;
}

// Complains of what cannot be; true: nothing to complain of.
template <class T>
bool check_steps(SpecPlaces& places, const SpecPath& over, const StepsDraft<T>& draft, Duration run) {
  if (draft.start >= run) {
    places.error(over, fmt::format("found start {:.6g}s, allowed: before the run ends at {:.6g}s",
                                   draft.start.to_seconds(), run.to_seconds()));
    return false;
  }
  if (draft.min > draft.max) {
    places.error(over, fmt::format("found min {} above max {}", draft.min, draft.max));
    return false;
  }
  return true;
}

template <class T>
std::optional<SourceModel::Levels> drawn_levels(const StepsDraft<T>& draft) {
  if (draft.pattern != StepsDraft<T>::Pattern::Random) return std::nullopt;
  return SourceModel::Levels{static_cast<double>(draft.min), static_cast<double>(draft.max)};
}

}  // namespace

void check_batch_models(SpecPlaces& places, const ModelSpec& model, const std::vector<std::string>& gpus) {
  const SpecPath path{"models", model.name};
  if (model.served.empty()) return check_batch_model(places, path, model, gpus);
  for (const char* field :
       {"latency", "latencyOn", "maxBatchSize", "instances", "preferredBatchSizes", "maxQueueDelay", "memory"})
    if (places.given(below(path, field)))
      places.error(below(path, field), "found beside serves, allowed: in each of the models that it serves");
  for (const BatchModelSpec& served : model.served)
    check_batch_model(places, {"models", model.name, "serves", served.name}, served, gpus);
}

void finish_users(SpecPlaces& places, TrafficSpec& source, const UsersDraft& draft, Duration run) {
  if (source.pattern != TrafficSpec::Pattern::Users) return;
  const SpecPath path{"traffic", source.name, "pattern", "users"};
  if (source.users == 0 && draft.pattern == UsersDraft::Pattern::Constant) {
    // A number that was refused has its complaint already.
    bool refused = places.given(below(path, "count")) || places.at(path).kind != Value::Kind::Mapping;
    return refused ? void() : places.error(path, "missing, needed: count or over");
  }
  if (source.users > 0 && draft.pattern != UsersDraft::Pattern::Constant)
    return places.error(below(path, "count"), "found beside over, allowed: one or the other");
  if (!check_steps(places, below(path, "over"), draft, run)) return;
  source.user_steps = steps_of<UserStep>(draft, run);
  source.drawn = drawn_levels(draft);
  for (const UserStep& step : source.user_steps) source.users = std::max(source.users, step.users);
}

void finish_rates(SpecPlaces& places, TrafficSpec& source, const RatesDraft& draft, Duration run) {
  if (source.pattern != TrafficSpec::Pattern::Steps) return;
  if (!check_steps(places, {"traffic", source.name, "pattern", "over"}, draft, run)) return;
  source.rate_steps = steps_of<RateStep>(draft, run);
  source.drawn = drawn_levels(draft);
}

}  // namespace kisim
