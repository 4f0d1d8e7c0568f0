#include "kube/job_controller.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "job-controller";
constexpr Duration kFirstBackoff = 10_s, kLongestBackoff = 600_s;  // DefaultJobPodFailureBackOff, Max…
constexpr int32_t kMostAtOnce = 500;                               // MaxPodCreateDeletePerSync

}  // namespace

// backoff_utils.go
Time JobController::Failures::backoff_ends() const {
  if (count == 0) return {};
  return last + std::min(Duration{kFirstBackoff.ns << std::min(count - 1, 16u)}, kLongestBackoff);
}

JobController::Turn JobController::look(WorkloadId workload) const {
  Turn turn{workload, plane_.object<Job>(workload), plane_.control(workload)};
  if (turn.indexed()) turn.indexes.resize(static_cast<size_t>(turn.object.completions.value_or(0)));
  const JobState& job = turn.control.job;
  for (const JobState::Gone& pod : job.gone) count_end(turn, pod);
  bool waits_for_end = turn.object.pod_replacement == Job::Replacement::Failed;
  for (PodId id : plane_.cluster.state.workload_pods[workload.value]) {
    if (!plane_.owns(id)) continue;
    const PodState& pod = plane_.cluster.state.pods[id];
    bool has_index = pod.index < turn.indexes.size();
    if (is_terminal(pod.phase)) {
      count_end(turn, {pod.index, pod.phase == PodPhase::Succeeded, pod.deleted});
    } else if (pod.phase == PodPhase::Terminating) {
      ++turn.terminating;
      bool surplus = std::find(job.surplus.begin(), job.surplus.end(), id) != job.surplus.end();
      if (has_index && waits_for_end) turn.indexes[pod.index].taken = true;
      if (!surplus && !waits_for_end) count_end(turn, {pod.index, false, pod.deleted});
    } else {
      turn.active.push_back(id);
      turn.restarts += pod.restarts;
      if (has_index) turn.indexes[pod.index].taken = true;
    }
  }
  for (const Index& index : turn.indexes) turn.failed_indexes += !index.done && turn.given_up(index);
  return turn;
}

// A pod that others delete has failed (isPodFailed); of an index one success counts.
void JobController::count_end(Turn& turn, const JobState::Gone& pod) const {
  Index* index = pod.index < turn.indexes.size() ? &turn.indexes[pod.index] : nullptr;
  if (!pod.succeeded) {
    ++turn.failed;
    turn.ends.push_back(pod.at);
    if (index) index->failures = {index->failures.count + 1, std::max(index->failures.last, pod.at)};
    return;
  }
  if (index && std::exchange(index->done, true)) return;
  ++turn.succeeded;
  turn.last_success = std::max(turn.last_success, pod.at);
}

void JobController::sync(WorkloadId workload) {
  Turn turn = look(workload);
  JobState& job = turn.control.job;
  if (job.end != JobEnd::None) {
    if (turn.object.ttl_after_finished) {
      Time due = job.ended + *turn.object.ttl_after_finished;
      if (plane_.now() < due) return plane_.api.enqueue_after(workload, due - plane_.now());
      turn.control.deleting = true;  // ttlafterfinished deletes it in the foreground
      plane_.api.enqueue(workload);
    }
    return;
  }
  if (turn.object.suspend) return suspend(turn);
  if (!job.running) {
    job.running = true;
    job.started = plane_.now();
  }
  if (std::optional<End> end = end_of(turn)) return finish(turn, *end);
  if (turn.object.active_deadline) {
    Time due = job.started + *turn.object.active_deadline;
    plane_.api.enqueue_after(workload, due - plane_.now());
  }
  manage(turn);
}

std::optional<JobController::End> JobController::end_of(const Turn& turn) const {
  const Job& job = turn.object;
  auto limit = static_cast<uint32_t>(job.backoff_limit);
  bool per_index = job.backoff_limit_per_index.has_value();
  bool on_failure =
      plane_.cluster.model.templates[turn.control.pod_template].spec.restart_policy == RestartPolicy::OnFailure;
  bool restarted = on_failure && (limit == 0 ? turn.restarts > 0 : turn.restarts >= limit);
  if (turn.failed > limit) return End{false, "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
  if (restarted) return End{false, "BackoffLimitExceeded", "Job has reached the specified backoff limit"};
  if (job.active_deadline && plane_.now() >= turn.control.job.started + *job.active_deadline)
    return End{false, "DeadlineExceeded", "Job was active longer than specified deadline"};
  if (job.max_failed_indexes && turn.failed_indexes > static_cast<uint32_t>(*job.max_failed_indexes))
    return End{false, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"};
  if (!job.completions) {
    if (turn.succeeded == 0 || !turn.active.empty() || turn.terminating > 0) return std::nullopt;
    return End{true, "CompletionsReached", "Reached expected number of succeeded pods"};
  }
  if (turn.succeeded >= static_cast<uint32_t>(*job.completions))
    return End{true, "CompletionsReached", "Reached expected number of succeeded pods"};
  bool all_decided = per_index && turn.failed_indexes > 0 &&
                     turn.succeeded + turn.failed_indexes >= static_cast<uint32_t>(*job.completions);
  if (all_decided) return End{false, "FailedIndexes", "Job has failed indexes"};
  return std::nullopt;
}

void JobController::finish(Turn& turn, const End& end) {
  turn.control.job.end = end.complete ? JobEnd::Complete : JobEnd::Failed;
  turn.control.job.ended = plane_.now();
  plane_.set_condition(turn.control, end.complete ? "Complete" : "Failed", true, end.reason,
                       [&] { return std::string(end.message); });
  if (end.complete)
    plane_.api.workload_event(turn.workload, KubeEvent::Type::Normal, "Completed", kComponent,
                              [] { return std::string("Job completed"); });
  else
    plane_.api.workload_event(turn.workload, KubeEvent::Type::Warning, end.reason, kComponent,
                              [&] { return std::string(end.message); });
  for (PodId id : turn.active) give_up(turn, id);
  if (turn.object.ttl_after_finished) plane_.api.enqueue_after(turn.workload, *turn.object.ttl_after_finished);
}

void JobController::suspend(Turn& turn) {
  if (turn.control.job.running) {
    turn.control.job.running = false;
    plane_.api.workload_event(turn.workload, KubeEvent::Type::Normal, "Suspended", kComponent,
                              [] { return std::string("Job suspended"); });
  }
  for (PodId id : turn.active) give_up(turn, id);
}

// A pod that it deletes itself is no failure.
void JobController::give_up(Turn& turn, PodId pod) {
  turn.control.job.surplus.push_back(pod);
  plane_.delete_pod(pod, kComponent);
}

int32_t JobController::wanted_active(const Turn& turn) const {
  auto active = static_cast<int32_t>(turn.active.size());
  if (!turn.object.completions) return turn.succeeded > 0 ? active : turn.object.parallelism;
  auto left = *turn.object.completions - static_cast<int32_t>(turn.succeeded + turn.failed_indexes);
  return std::max(0, std::min(turn.object.parallelism, left));
}

JobController::Failures JobController::failures_since_success(const Turn& turn) const {
  Failures out;
  for (Time end : turn.ends)
    if (end > turn.last_success) out = {out.count + 1, std::max(out.last, end)};
  return out;
}

// The lowest index that is neither done, taken nor given up.
uint32_t JobController::next_index(Turn& turn) const {
  for (size_t i = 0; i < turn.indexes.size(); ++i) {
    Index& index = turn.indexes[i];
    if (index.done || index.taken || turn.given_up(index)) continue;
    index.taken = true;
    return static_cast<uint32_t>(i);
  }
  return PodState::kNoIndex;
}

void JobController::manage(Turn& turn) {
  int32_t wanted = wanted_active(turn), active = static_cast<int32_t>(turn.active.size());
  for (int32_t surplus = active - wanted; surplus > 0; --surplus) {
    if (!plane_.may_call(turn.workload)) return;
    give_up(turn, turn.active.back());
    turn.active.pop_back();
  }
  int32_t missing = wanted - active;
  if (turn.object.pod_replacement == Job::Replacement::Failed) missing -= turn.terminating;
  if (missing <= 0) return plane_.went_well(turn.control, turn.control.backoff);
  // With backoffLimitPerIndex each index waits for itself, and holds its place among those that run.
  bool per_index = turn.object.backoff_limit_per_index.has_value();
  Failures failures = per_index ? Failures{} : failures_since_success(turn);
  Time now = plane_.now(), next = Time::max();
  if (Time ready = failures.backoff_ends(); now < ready) return plane_.api.enqueue_after(turn.workload, ready - now);
  for (int32_t i = 0; i < std::min(missing, kMostAtOnce); ++i) {
    uint32_t index = next_index(turn);
    if (turn.indexed() && index == PodState::kNoIndex) break;
    Time ready = per_index ? turn.indexes[index].failures.backoff_ends() : now;
    if (now < ready) {
      next = std::min(next, ready);
      continue;
    }
    if (!plane_.may_call(turn.workload)) return;
    if (!plane_.create_pod({turn.workload, turn.control.pod_template, index}, kComponent))
      return plane_.api.enqueue_rate_limited(turn.workload, turn.control.backoff);
  }
  plane_.went_well(turn.control, turn.control.backoff);
  if (next != Time::max()) plane_.api.enqueue_after(turn.workload, next - now);
  if (missing > kMostAtOnce) plane_.api.enqueue(turn.workload);
}

}  // namespace kisim
