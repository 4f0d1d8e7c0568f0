#include "kube/stateful_set_controller.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr std::string_view kComponent = "statefulset-controller";

}  // namespace

StatefulSetController::Turn StatefulSetController::look(WorkloadId workload) const {
  const auto& object = plane_.object<StatefulSet>(workload);
  Turn turn{workload, object, plane_.control(workload), plane_.replicas(workload),
            object.pod_management == StatefulSet::PodManagement::OrderedReady};
  turn.wanted.resize(static_cast<size_t>(turn.replicas));
  for (PodId id : plane_.cluster.state.workload_pods[workload.value]) {
    if (!plane_.owns(id)) continue;
    int64_t place = int64_t{plane_.cluster.state.pods[id].index} - object.first_ordinal;
    if (place >= 0 && place < turn.replicas)
      turn.wanted[static_cast<size_t>(place)] = id;
    else
      turn.condemned.push_back(id);
  }
  const auto& pods = plane_.cluster.state.pods;
  std::sort(turn.condemned.begin(), turn.condemned.end(),
            [&](PodId a, PodId b) { return pods[a].index > pods[b].index; });
  return turn;
}

void StatefulSetController::sync(WorkloadId workload) {
  Turn turn = look(workload);
  if (!turn.control.current_template.valid()) turn.control.current_template = turn.control.pod_template;
  bool goes_on = fill(turn) && condemn(turn);
  if (!turn.stopped) plane_.went_well(turn.control, turn.control.backoff);
  if (!goes_on) return;
  if (turn.object.update == StatefulSet::Update::RollingUpdate) update(turn);
}

// Pods below the partition are made as they were before the update.
TemplateId StatefulSetController::template_of(const Turn& turn, int32_t ordinal) const {
  bool old = turn.object.update == StatefulSet::Update::RollingUpdate &&
             ordinal < turn.object.first_ordinal + turn.object.partition;
  return old ? turn.control.current_template : turn.control.pod_template;
}

bool StatefulSetController::available(const Turn& turn, PodId id) const {
  const PodState& pod = plane_.cluster.state.pods[id];
  if (pod.phase != PodPhase::Ready) return false;
  Time since = pod.ready + turn.object.min_ready;
  if (since > plane_.now()) plane_.api.enqueue_after(turn.workload, since - plane_.now());
  return since <= plane_.now();
}

// A pod that belongs to somebody else and is not gone yet. Nobody tells when it is: the controller tries again.
bool StatefulSetController::name_is_taken(const Turn& turn, uint32_t ordinal) const {
  const std::vector<PodId>& pods = plane_.cluster.state.workload_pods[turn.workload.value];
  return std::any_of(pods.begin(), pods.end(),
                     [&](PodId id) { return !plane_.owns(id) && plane_.cluster.state.pods[id].index == ordinal; });
}

bool StatefulSetController::create(Turn& turn, size_t place) {
  auto ordinal = static_cast<int32_t>(place) + turn.object.first_ordinal;
  turn.stopped = true;
  if (!plane_.may_call(turn.workload)) return false;
  ApiServer::NewPod pod{turn.workload, template_of(turn, ordinal), static_cast<uint32_t>(ordinal)};
  turn.stopped = name_is_taken(turn, pod.index) || !plane_.create_pod(pod, kComponent);
  if (turn.stopped) plane_.api.enqueue_rate_limited(turn.workload, turn.control.backoff);
  return !turn.stopped;
}

bool StatefulSetController::fill(Turn& turn) {
  const auto& pods = plane_.cluster.state.pods;
  for (size_t place = 0; place < turn.wanted.size(); ++place) {
    PodId id = turn.wanted[place];
    // A pod that ended is deleted, and its place taken by a new one.
    if (id.valid() && is_terminal(pods[id].phase)) {
      plane_.delete_pod(id, kComponent);
      id = turn.wanted[place] = {};
    }
    if (!id.valid()) {
      if (!create(turn, place) || turn.monotonic) return false;
      continue;
    }
    if (pods[id].phase == PodPhase::Terminating) {
      if (turn.monotonic) return false;  // its name is taken until it is gone
      continue;
    }
    if (turn.monotonic && !available(turn, id)) return false;
  }
  return true;
}

bool StatefulSetController::condemn(Turn& turn) {
  const auto& pods = plane_.cluster.state.pods;
  for (PodId id : turn.condemned) {
    if (pods[id].phase == PodPhase::Terminating) {
      if (turn.monotonic) return false;
      continue;
    }
    if (!plane_.may_call(turn.workload)) return false;
    plane_.delete_pod(id, kComponent);
    if (turn.monotonic) return false;
  }
  return true;
}

void StatefulSetController::update(Turn& turn) {
  const auto& pods = plane_.cluster.state.pods;
  bool all_new = true;
  for (size_t place = turn.wanted.size(); place-- > 0;) {
    if (static_cast<int32_t>(place) < turn.object.partition) {
      all_new &= turn.object.partition == 0;
      break;
    }
    PodId id = turn.wanted[place];
    if (!id.valid()) return;
    if (pods[id].phase == PodPhase::Terminating) return;
    if (pods[id].pod_template != turn.control.pod_template) {
      if (plane_.may_call(turn.workload)) plane_.delete_pod(id, kComponent);
      return;
    }
    if (!available(turn, id)) return;
  }
  if (all_new) turn.control.current_template = turn.control.pod_template;
}

}  // namespace kisim
