#include "kube/job_controller.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "job-controller";
constexpr Duration kFirstBackoff = 10_s, kLongestBackoff = 600_s;  // DefaultJobPodFailureBackOff, Max…
constexpr int32_t kMostAtOnce = 500;                               // MaxPodCreateDeletePerSync

}  // namespace

JobController::Turn JobController::look(WorkloadId workload) const {
  Turn turn{workload, plane_.object<Job>(workload), plane_.control(workload)};
  bool indexed = turn.object.completion_mode == Job::Completion::Indexed;
  if (indexed) {
    auto count = static_cast<size_t>(turn.object.completions.value_or(0));
    turn.done.assign(count, 0);
    turn.taken.assign(count, 0);
    turn.failures.assign(count, 0);
  }
  for (PodId id : plane_.cluster.state.workload_pods[workload.value]) {
    const PodState& pod = plane_.cluster.state.pods[id];
    bool has_index = indexed && pod.index < turn.done.size();
    if (pod.phase == PodPhase::Succeeded) {
      if (has_index && turn.done[pod.index]) continue;  // one success of an index counts
      ++turn.succeeded;
      turn.last_success = std::max(turn.last_success, pod.deleted);
      if (has_index) turn.done[pod.index] = 1;
    } else if (pod.phase == PodPhase::Failed) {
      ++turn.failed;
      turn.ends.push_back(pod.deleted);
      if (has_index) ++turn.failures[pod.index];
    } else if (pod.phase == PodPhase::Terminating) {
      ++turn.terminating;
      if (has_index && turn.object.pod_replacement == Job::Replacement::Failed) turn.taken[pod.index] = 1;
    } else {
      turn.active.push_back(id);
      turn.restarts += pod.restarts;
      if (has_index) turn.taken[pod.index] = 1;
    }
  }
  turn.failed += turn.control.job.removed;
  if (turn.object.backoff_limit_per_index)
    for (size_t i = 0; i < turn.failures.size(); ++i)
      turn.failed_indexes +=
          !turn.done[i] && turn.failures[i] > static_cast<uint32_t>(*turn.object.backoff_limit_per_index);
  return turn;
}

void JobController::sync(WorkloadId workload) {
  Turn turn = look(workload);
  JobState& job = turn.control.job;
  if (job.end != JobEnd::None) {
    if (turn.object.ttl_after_finished) {
      Time due = job.ended + *turn.object.ttl_after_finished;
      if (plane_.now() < due) return plane_.api.enqueue_after(workload, due - plane_.now());
      turn.control.exists = false;
      std::vector<PodId> pods = plane_.cluster.state.workload_pods[workload.value];
      for (PodId id : pods) plane_.api.delete_pod(id);
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

// Of the failures since the last success (backoff_utils.go).
Time JobController::backoff_ends(const Turn& turn) const {
  uint32_t failures = 0;
  Time last;
  for (Time end : turn.ends) {
    if (end <= turn.last_success) continue;
    ++failures;
    last = std::max(last, end);
  }
  if (failures == 0) return {};
  Duration backoff = std::min(Duration{kFirstBackoff.ns << std::min(failures - 1, 16u)}, kLongestBackoff);
  return last + backoff;
}

// The lowest index that is neither done, taken nor given up.
uint32_t JobController::next_index(Turn& turn) const {
  if (turn.object.completion_mode != Job::Completion::Indexed) return PodState::kNoIndex;
  for (size_t i = 0; i < turn.done.size(); ++i) {
    bool given_up = turn.object.backoff_limit_per_index &&
                    turn.failures[i] > static_cast<uint32_t>(*turn.object.backoff_limit_per_index);
    if (turn.done[i] || turn.taken[i] || given_up) continue;
    turn.taken[i] = 1;
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
  if (missing <= 0) return;
  if (Time ready = backoff_ends(turn); plane_.now() < ready)
    return plane_.api.enqueue_after(turn.workload, ready - plane_.now());
  for (int32_t i = 0; i < std::min(missing, kMostAtOnce); ++i) {
    uint32_t index = next_index(turn);
    if (turn.object.completion_mode == Job::Completion::Indexed && index == PodState::kNoIndex) return;
    if (!plane_.may_call(turn.workload)) return;
    if (!plane_.create_pod({turn.workload, turn.control.pod_template, index}, kComponent))
      return plane_.api.enqueue_rate_limited(turn.workload);
  }
  turn.control.failures = 0;
  if (missing > kMostAtOnce) plane_.api.enqueue(turn.workload);
}

}  // namespace kisim
