#include "kube/deployment_controller.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "deployment-controller";

}  // namespace

DeploymentController::Turn DeploymentController::look(WorkloadId workload) {
  const auto& object = plane_.object<Deployment>(workload);
  Turn turn{workload, object, plane_.control(workload), plane_.replicas(workload)};
  if (object.strategy != Deployment::Strategy::RollingUpdate) return turn;
  turn.max_surge = object.rolling_update.max_surge.rounded_up(turn.replicas);
  int32_t unavailable = object.rolling_update.max_unavailable.rounded_down(turn.replicas);
  // A rollout that may do neither would never move (deployment_util.go, ResolveFenceposts).
  if (turn.max_surge == 0 && unavailable == 0) unavailable = 1;
  turn.max_unavailable = std::min(unavailable, turn.replicas);
  return turn;
}

void DeploymentController::sync(WorkloadId workload) {
  Turn turn = look(workload);
  bool has_new_set = ensure_new_set(turn);
  manage_sets(turn.workload);
  if (has_new_set || (turn.object.paused && !turn.sets().empty()))
    while (step(turn)) manage_sets(turn.workload);
  // The last step may have emptied sets and wait for their pods to go.
  for (ReplicaSetState& set : turn.sets())
    if (plane_.counts(set.pod_template).active > set.replicas) replica_sets_.manage(workload, set);
  update_status(turn);
}

void DeploymentController::sync_orphans(WorkloadId workload) { manage_sets(workload); }

bool DeploymentController::ensure_new_set(Turn& turn) {
  std::vector<ReplicaSetState>& sets = turn.sets();
  auto same = [&](const ReplicaSetState& s) { return s.pod_template == turn.control.pod_template; };
  auto known = std::find_if(sets.begin(), sets.end(), same);
  if (known != sets.end()) {
    if (known + 1 != sets.end()) {
      turn.control.rollout = {};
      turn.control.rollout.moved = plane_.now();
    }
    std::rotate(known, known + 1, sets.end());  // a revision that comes back is the newest again
    return true;
  }
  if (turn.object.paused) return false;
  if (turn.object.strategy == Deployment::Strategy::Recreate && !empty_old_sets(turn)) return false;
  sets.push_back({turn.control.pod_template, 0, turn.replicas, turn.replicas + turn.max_surge, plane_.now(), {}});
  plane_.set_condition(turn.control, "Progressing", true, "NewReplicaSetCreated", [&] {
    return fmt::format("Created new replica set \"{}\"", plane_.replica_set_name(turn.control.pod_template));
  });
  turn.control.rollout = {};
  turn.control.rollout.moved = plane_.now();
  set_replicas(turn, sets.back(), new_set_replicas(turn));
  return true;
}

int32_t DeploymentController::total(const Turn& turn) const {
  int32_t sum = 0;
  for (const ReplicaSetState& set : turn.sets()) sum += set.replicas;
  return sum;
}

int32_t DeploymentController::available(const Turn& turn, const ReplicaSetState& set) {
  return replica_sets_.available(turn.workload, set.pod_template, turn.object.min_ready);
}

// NewRSNewReplicas
int32_t DeploymentController::new_set_replicas(const Turn& turn) const {
  if (turn.object.strategy == Deployment::Strategy::Recreate) return turn.replicas;
  int32_t present = turn.newest().replicas, room = turn.replicas + turn.max_surge - total(turn);
  if (room <= 0) return present;
  return present + std::min(room, turn.replicas - present);
}

bool DeploymentController::set_replicas(Turn& turn, ReplicaSetState& set, int32_t replicas) {
  set.desired = turn.replicas;
  set.most = turn.replicas + turn.max_surge;
  if (set.replicas == replicas) return false;
  int32_t before = std::exchange(set.replicas, replicas);
  plane_.api.workload_event(turn.workload, KubeEvent::Type::Normal, "ScalingReplicaSet", kComponent, [&] {
    return fmt::format("Scaled {} replica set {} from {} to {}", replicas > before ? "up" : "down",
                       plane_.replica_set_name(set.pod_template), before, replicas);
  });
  return true;
}

bool DeploymentController::step(Turn& turn) {
  if (turn.object.paused) return scale(turn);
  for (const ReplicaSetState& set : turn.sets())
    if (set.replicas > 0 && set.desired != turn.replicas) return scale(turn);
  return turn.object.strategy == Deployment::Strategy::Recreate ? recreate(turn) : roll(turn);
}

// --- somebody changed spec.replicas (sync.go, scale)

bool DeploymentController::scale(Turn& turn) {
  ReplicaSetState* active = nullptr;
  size_t actives = 0;
  for (ReplicaSetState& set : turn.sets())
    if (set.replicas > 0) {
      active = &set;
      ++actives;
    }
  if (actives <= 1) {
    ReplicaSetState& only = active ? *active : turn.newest();
    return set_replicas(turn, only, turn.replicas);
  }
  ReplicaSetState& newest = turn.newest();
  bool saturated = newest.pod_template == turn.control.pod_template && newest.replicas == turn.replicas &&
                   newest.desired == turn.replicas && available(turn, newest) == turn.replicas;
  bool changed = false;
  if (saturated) {
    for (size_t i = 0; i + 1 < turn.sets().size(); ++i) changed |= set_replicas(turn, turn.sets()[i], 0);
    return changed;
  }
  return turn.object.strategy == Deployment::Strategy::RollingUpdate && scale_proportionally(turn);
}

// In the midst of a rollout each ReplicaSet grows or shrinks by its share; the largest takes what is left.
bool DeploymentController::scale_proportionally(Turn& turn) {
  std::vector<ReplicaSetState*> by_size;
  for (ReplicaSetState& set : turn.sets())
    if (set.replicas > 0) by_size.push_back(&set);
  int32_t allowed = turn.replicas > 0 ? turn.replicas + turn.max_surge : 0;
  int32_t to_add = allowed - total(turn);
  std::stable_sort(by_size.begin(), by_size.end(), [&](const ReplicaSetState* a, const ReplicaSetState* b) {
    if (a->replicas != b->replicas) return a->replicas > b->replicas;
    // Newer first when there is more to come, older first when there is less.
    return to_add > 0 ? a->created > b->created : a->created < b->created;
  });
  std::vector<int32_t> wanted;
  int32_t added = 0;
  for (ReplicaSetState* set : by_size) {
    int32_t part = 0;
    if (to_add != 0 && set->replicas != 0) {
      double most_before = set->most > 0 ? set->most : turn.replicas;
      double size = static_cast<double>(set->replicas) * (turn.replicas + turn.max_surge) / most_before;
      int32_t fraction = turn.replicas == 0 ? -set->replicas : static_cast<int32_t>(std::round(size)) - set->replicas;
      part = to_add > 0 ? std::min(fraction, to_add - added) : std::max(fraction, to_add - added);
    }
    wanted.push_back(set->replicas + part);
    added += part;
  }
  if (!wanted.empty()) wanted[0] = std::max(0, wanted[0] + to_add - added);
  bool changed = false;
  for (size_t i = 0; i < by_size.size(); ++i) changed |= set_replicas(turn, *by_size[i], wanted[i]);
  return changed;
}

// --- rollouts

bool DeploymentController::roll(Turn& turn) { return grow_new(turn) || shrink_old(turn); }

bool DeploymentController::grow_new(Turn& turn) {
  ReplicaSetState& newest = turn.newest();
  if (newest.replicas == turn.replicas) return set_replicas(turn, newest, turn.replicas);
  return set_replicas(turn, newest, newest.replicas > turn.replicas ? turn.replicas : new_set_replicas(turn));
}

// rolling.go, reconcileOldReplicaSets: first the pods that are not available anyway, then as many as minAvailable
// leaves.
bool DeploymentController::shrink_old(Turn& turn) {
  std::vector<ReplicaSetState>& sets = turn.sets();
  ReplicaSetState& newest = turn.newest();
  int32_t old_pods = total(turn) - newest.replicas;
  if (old_pods == 0) return false;
  int32_t min_available = turn.replicas - turn.max_unavailable;
  int32_t new_unavailable = newest.replicas - available(turn, newest);
  int32_t may_go = total(turn) - min_available - new_unavailable;
  if (may_go <= 0) return false;

  bool changed = false;
  int32_t cleaned = 0;
  for (size_t i = 0; i + 1 < sets.size() && cleaned < may_go; ++i) {
    int32_t unhealthy = sets[i].replicas - available(turn, sets[i]);
    if (unhealthy <= 0) continue;
    int32_t count = std::min(may_go - cleaned, unhealthy);
    changed |= set_replicas(turn, sets[i], sets[i].replicas - count);
    cleaned += count;
  }
  if (changed) manage_sets(turn.workload);

  int32_t all_available = 0;
  for (const ReplicaSetState& set : sets) all_available += available(turn, set);
  int32_t left = all_available - min_available;
  for (size_t i = 0; i + 1 < sets.size() && left > 0; ++i) {
    int32_t count = std::min(sets[i].replicas, left);
    if (count == 0) continue;
    changed |= set_replicas(turn, sets[i], sets[i].replicas - count);
    left -= count;
  }
  return changed;
}

bool DeploymentController::recreate(Turn& turn) {
  return empty_old_sets(turn) && set_replicas(turn, turn.newest(), turn.replicas);
}

// Whether the last pod of the old revisions is gone.
bool DeploymentController::empty_old_sets(Turn& turn) {
  bool empty = true;
  for (ReplicaSetState& set : turn.sets()) {
    if (set.pod_template == turn.control.pod_template) continue;
    set_replicas(turn, set, 0);
    PodCounts pods = plane_.counts(set.pod_template);
    empty &= pods.active + pods.terminating == 0;
  }
  return empty;
}

void DeploymentController::manage_sets(WorkloadId workload) {
  for (ReplicaSetState& set : plane_.control(workload).replica_sets) replica_sets_.manage(workload, set);
}

// --- status

void DeploymentController::update_status(Turn& turn) {
  WorkloadControl& control = turn.control;
  RolloutProgress before = control.rollout, &now = control.rollout;
  now.updated = now.old = now.ready = now.available = 0;
  for (const ReplicaSetState& set : turn.sets()) {
    PodCounts pods = plane_.counts(set.pod_template);
    (set.pod_template == control.pod_template ? now.updated : now.old) += pods.active;
    now.ready += pods.ready;
    now.available += available(turn, set);
  }
  if (now.available >= turn.replicas - turn.max_unavailable)
    plane_.set_condition(control, "Available", true, "MinimumReplicasAvailable",
                         [] { return std::string("Deployment has minimum availability."); });
  else
    plane_.set_condition(control, "Available", false, "MinimumReplicasUnavailable",
                         [] { return std::string("Deployment does not have minimum availability."); });
  if (!turn.object.paused) tell_progress(turn, before);
  if (now.complete) clean_up(turn);
}

void DeploymentController::tell_progress(Turn& turn, const RolloutProgress& before) {
  WorkloadControl& control = turn.control;
  RolloutProgress& now = control.rollout;
  bool moved = now.updated > before.updated || now.old < before.old || now.ready > before.ready ||
               now.available > before.available;
  if (moved) now.moved = plane_.now();
  auto name = [&] { return plane_.replica_set_name(control.pod_template); };
  bool complete = now.updated == turn.replicas && now.old == 0 && now.available >= turn.replicas;
  if (complete) {
    now.complete = true;
    return plane_.set_condition(control, "Progressing", true, "NewReplicaSetAvailable",
                                [&] { return fmt::format("ReplicaSet \"{}\" has successfully progressed.", name()); });
  }
  // Once a revision is complete, pods that come and go are no rollout any more.
  if (now.complete) return;
  Time deadline = now.moved + turn.object.progress_deadline;
  if (!moved && plane_.now() >= deadline) {
    bool told = std::any_of(control.conditions.begin(), control.conditions.end(),
                            [](const Condition& c) { return c.reason == "ProgressDeadlineExceeded"; });
    if (!told) plane_.state.statistics.decisions.add("ProgressDeadlineExceeded");
    return plane_.set_condition(control, "Progressing", false, "ProgressDeadlineExceeded",
                                [&] { return fmt::format("ReplicaSet \"{}\" has timed out progressing.", name()); });
  }
  if (moved)
    plane_.set_condition(control, "Progressing", true, "ReplicaSetUpdated",
                         [&] { return fmt::format("ReplicaSet \"{}\" is progressing.", name()); });
  if (plane_.now() < deadline) plane_.api.enqueue_after(turn.workload, deadline - plane_.now());
}

// Empty ReplicaSets of old revisions go beyond revisionHistoryLimit.
void DeploymentController::clean_up(Turn& turn) {
  auto empty = [&](const ReplicaSetState& set) {
    PodCounts pods = plane_.counts(set.pod_template);
    return set.replicas == 0 && pods.active + pods.terminating == 0;
  };
  auto old = static_cast<int64_t>(turn.sets().size()) - 1;
  int64_t surplus = old - turn.object.revision_history_limit;
  for (size_t i = 0; surplus > 0 && i + 1 < turn.sets().size();) {
    if (!empty(turn.sets()[i])) {
      ++i;
      continue;
    }
    turn.sets().erase(turn.sets().begin() + static_cast<std::ptrdiff_t>(i));
    --surplus;
  }
}

}  // namespace kisim
