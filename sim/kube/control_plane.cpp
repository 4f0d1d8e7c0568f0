#include "kube/control_plane.hpp"

namespace kisim {

// As the controllers say it of a pod that they made or deleted.
std::string ControlPlane::done(const char* verb, const char* past, WorkloadId id, PodId pod) const {
  if (workload(id).kind == WorkloadModel::Kind::StatefulSet)
    return fmt::format("{} Pod {} in StatefulSet {} successful", verb, cluster.pod_name(pod), workload(id).name);
  return fmt::format("{} pod: {}", past, cluster.pod_name(pod));
}

PodCounts ControlPlane::counts(TemplateId id) const {
  const PodCounts& all = cluster.state.counts[id];
  if (all.abandoned + all.unmanaged == 0) return all;
  PodCounts own;
  for (PodId pod : cluster.state.workload_pods[cluster.model.templates[id].workload.value])
    if (owns(pod) && cluster.state.pods[pod].pod_template == id) own.count(cluster.state.pods[pod], 1);
  return own;
}

bool ControlPlane::may_call(WorkloadId id) const {
  const ClientLimit& limit = model.latencies.controller_manager;
  if (client(id).ready(limit, now())) return true;
  ClientLimiter trial = client(id);
  api.enqueue_after(id, trial.reserve(limit, now()) - now());
  return false;
}

bool ControlPlane::create_pod(const ApiServer::NewPod& pod, std::string_view component) const {
  client(pod.workload).reserve(model.latencies.controller_manager, now());
  std::string refusal;
  if (std::optional<PodId> created = api.create_pod(pod, refusal)) {
    owner_event(pod.workload, pod.pod_template, KubeEvent::Type::Normal, "SuccessfulCreate", component,
                [&] { return done("create", "Created", pod.workload, *created); });
    return true;
  }
  owner_event(pod.workload, pod.pod_template, KubeEvent::Type::Warning, "FailedCreate", component, [&] {
    const WorkloadModel& owner = workload(pod.workload);
    if (owner.kind != WorkloadModel::Kind::StatefulSet) return "Error creating: " + refusal;
    return fmt::format("create Pod {0}-{1} in StatefulSet {0} failed error: {2}", owner.name, pod.index, refusal);
  });
  set_condition(control(pod.workload), "ReplicaFailure", true, "FailedCreate", [&] { return refusal; });
  return false;
}

void ControlPlane::delete_pod(PodId pod, std::string_view component) const {
  const PodState& object = cluster.state.pods[pod];
  client(object.workload).reserve(model.latencies.controller_manager, now());
  owner_event(object.workload, object.pod_template, KubeEvent::Type::Normal, "SuccessfulDelete", component,
              [&] { return done("delete", "Deleted", object.workload, pod); });
  api.delete_pod(pod);
}

void ControlPlane::went_well(WorkloadControl& control, Backoff& backoff) const {
  backoff.failures = 0;
  for (const ReplicaSetState& set : control.replica_sets)
    if (set.backoff.failures > 0) return;
  std::erase_if(control.conditions, [](const Condition& c) { return c.type == "ReplicaFailure"; });
}

}  // namespace kisim
