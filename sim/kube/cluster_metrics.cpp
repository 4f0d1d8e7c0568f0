#include "kube/cluster_metrics.hpp"

#include <algorithm>
#include <array>
#include <variant>

namespace kisim {

namespace {

constexpr std::string_view kKsm = "kube-state-metrics", kScheduler = "kube-scheduler",
                           kController = "kube-controller-manager", kCadvisor = "cAdvisor", kDcgm = "dcgm-exporter";

constexpr MetricDoc recorded(std::string_view name, std::string_view unit, std::string_view doc,
                             std::string_view source) {
  return {name, unit, doc, source, MetricUse::Recorded};
}

constexpr MetricDoc kDocs[] = {
    recorded("kube_deployment_spec_replicas", "1", "spec.replicas", kKsm),
    recorded("kube_deployment_status_replicas", "1", "pods that exist and are not being deleted", kKsm),
    recorded("kube_deployment_status_replicas_ready", "1", "of them, those ready", kKsm),
    recorded("kube_deployment_status_replicas_available", "1", "of them, those ready for minReadySeconds", kKsm),
    recorded("kube_deployment_status_replicas_unavailable", "1", "spec.replicas less those available", kKsm),
    recorded("kube_deployment_status_replicas_updated", "1", "pods of the present template", kKsm),
    recorded("kube_replicaset_spec_replicas", "1", "spec.replicas", kKsm),
    recorded("kube_replicaset_status_replicas", "1", "pods that exist and are not being deleted", kKsm),
    recorded("kube_replicaset_status_ready_replicas", "1", "of them, those ready", kKsm),
    recorded("kube_statefulset_replicas", "1", "spec.replicas", kKsm),
    recorded("kube_statefulset_status_replicas", "1", "pods that exist and are not being deleted", kKsm),
    recorded("kube_statefulset_status_replicas_ready", "1", "of them, those ready", kKsm),
    recorded("kube_statefulset_status_replicas_available", "1", "of them, those ready for minReadySeconds", kKsm),
    recorded("kube_daemonset_status_current_number_scheduled", "1", "pods bound to the node that they are for", kKsm),
    recorded("kube_daemonset_status_number_ready", "1", "of them, those ready", kKsm),
    recorded("kube_daemonset_status_number_available", "1", "of them, those ready for minReadySeconds", kKsm),
    recorded("kube_job_status_active", "1", "pods that have not ended", kKsm),
    recorded("kube_job_status_succeeded", "1", "pods that succeeded", kKsm),
    recorded("kube_job_status_failed", "1", "pods that failed, or were deleted before their end", kKsm),
    recorded("kube_horizontalpodautoscaler_spec_min_replicas", "1", "spec.minReplicas", kKsm),
    recorded("kube_horizontalpodautoscaler_spec_max_replicas", "1", "spec.maxReplicas", kKsm),
    recorded("kube_horizontalpodautoscaler_status_current_replicas", "1", "replicas at its last sync", kKsm),
    recorded("kube_horizontalpodautoscaler_status_desired_replicas", "1", "replicas that it last wanted", kKsm),
    recorded("kube_horizontalpodautoscaler_status_condition", "1", "1 for the status that the condition has", kKsm),
    recorded("kube_node_status_condition", "1", "1 for the status that the condition has", kKsm),
    recorded("kube_node_spec_unschedulable", "1", "1: cordoned", kKsm),
    recorded("DCGM_FI_DEV_POWER_USAGE", "W", "what the GPU draws now", kDcgm),
    recorded("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "mJ", "since the start", kDcgm),
    recorded("DCGM_FI_DEV_FB_TOTAL", "MiB", "memory of the GPU, or of the MIG instance", kDcgm),
    recorded("scheduler_pending_pods", "1", "pods by queue: active, backoff, unschedulable, gated", kScheduler),
    recorded("scheduler_schedule_attempts_total", "1", "attempts by result: scheduled, unschedulable, error",
             kScheduler),
    recorded("horizontal_pod_autoscaler_controller_reconciliations_total", "1",
             "syncs of all autoscalers, by action and error", kController),
    recorded("horizontal_pod_autoscaler_controller_metric_computation_total", "1",
             "metrics evaluated, by action, error and metric_type", kController),
    recorded("kube_pod_status_phase", "1", "1 for the phase that the pod has", kKsm),
    recorded("kube_pod_status_ready", "1", "1 for the status that the Ready condition has", kKsm),
    recorded("kube_pod_container_status_restarts_total", "1", "restarts of the pod's containers", kKsm),
    recorded("container_cpu_usage_seconds_total", "s", "CPU time since the container started", kCadvisor),
    recorded("container_memory_working_set_bytes", "By", "memory in use now", kCadvisor),
};

double number(bool value) { return value ? 1 : 0; }

// A condition is one series per status that it may have.
template <class Callback>
void for_each_status(std::string_view status, Callback&& callback) {
  for (std::string_view each : {"true", "false", "unknown"})
    callback(MetricLabel{"status", each}, number(each == status));
}

Duration min_ready_of(const KubeModel& model, const WorkloadControl& control) {
  if (!control.spec.valid()) return {};
  return std::visit(
      [](const auto& object) {
        if constexpr (requires { object.min_ready; })
          return object.min_ready;
        else
          return Duration{};
      },
      model.specs[control.spec].object);
}

constexpr std::array<std::string_view, 3> kActions{"none", "scale_up", "scale_down"};
constexpr std::array<std::string_view, 2> kErrors{"none", "internal"};
constexpr std::array<std::string_view, 5> kMetricTypes{"Resource", "ContainerResource", "Pods", "Object", "External"};

}  // namespace

std::vector<MetricDoc> cluster_metric_docs() { return {std::begin(kDocs), std::end(kDocs)}; }

ClusterMetrics::Counts ClusterMetrics::count(WorkloadId id, Duration min_ready, Time now) const {
  Counts counts;
  for (PodId p : cluster_.state.workload_pods[id.value]) {
    const PodState& pod = cluster_.state.pods[p];
    if (!is_active(pod.phase)) continue;
    bool ready = pod.phase == PodPhase::Ready;
    ++counts.replicas;
    counts.ready += ready;
    counts.available += ready && now - pod.ready >= min_ready;
    counts.updated += pod.pod_template == state_.workloads[id].pod_template;
  }
  return counts;
}

void ClusterMetrics::for_each_cluster_metric(Time now, const MetricCallback& callback) const {
  for (size_t w = 0; w < cluster_.model.workloads.size(); ++w) {
    WorkloadId id(w);
    if (!state_.workloads[id].exists) continue;
    switch (cluster_.model.workloads[id].kind) {
      case WorkloadModel::Kind::Deployment:
        deployment(id, now, callback);
        break;
      case WorkloadModel::Kind::ReplicaSet:
        replica_set(id, now, callback);
        break;
      case WorkloadModel::Kind::StatefulSet:
        stateful_set(id, now, callback);
        break;
      case WorkloadModel::Kind::DaemonSet:
        daemon_set(id, now, callback);
        break;
      case WorkloadModel::Kind::Job:
        job(id, callback);
        break;
      case WorkloadModel::Kind::Pod:
        break;
    }
  }
  for (size_t a = 0; a < model_.autoscalers.size(); ++a) autoscaler(AutoscalerId(a), callback);
  nodes(callback);
  scheduler(callback);
  autoscaler_controller(callback);
}

void ClusterMetrics::deployment(WorkloadId id, Time now, const MetricCallback& callback) const {
  const WorkloadModel& w = cluster_.model.workloads[id];
  MetricLabel space{"namespace", w.namespace_}, name{"deployment", w.name};
  Counts counts = count(id, min_ready_of(model_, state_.workloads[id]), now);
  int32_t wanted = cluster_.state.replicas[id.value];
  callback("kube_deployment_spec_replicas", {name, space}, wanted);
  callback("kube_deployment_status_replicas", {name, space}, counts.replicas);
  callback("kube_deployment_status_replicas_ready", {name, space}, counts.ready);
  callback("kube_deployment_status_replicas_available", {name, space}, counts.available);
  // calculateStatus: what a rollout has beyond spec.replicas counts too, but never less than nothing.
  callback("kube_deployment_status_replicas_unavailable", {name, space},
           std::max(0, std::max(wanted, counts.replicas) - counts.available));
  callback("kube_deployment_status_replicas_updated", {name, space}, counts.updated);
}

void ClusterMetrics::replica_set(WorkloadId id, Time now, const MetricCallback& callback) const {
  const WorkloadModel& w = cluster_.model.workloads[id];
  MetricLabel space{"namespace", w.namespace_}, name{"replicaset", w.name};
  Counts counts = count(id, {}, now);
  callback("kube_replicaset_spec_replicas", {space, name}, cluster_.state.replicas[id.value]);
  callback("kube_replicaset_status_replicas", {space, name}, counts.replicas);
  callback("kube_replicaset_status_ready_replicas", {space, name}, counts.ready);
}

void ClusterMetrics::stateful_set(WorkloadId id, Time now, const MetricCallback& callback) const {
  const WorkloadModel& w = cluster_.model.workloads[id];
  MetricLabel space{"namespace", w.namespace_}, name{"statefulset", w.name};
  Counts counts = count(id, min_ready_of(model_, state_.workloads[id]), now);
  callback("kube_statefulset_replicas", {space, name}, cluster_.state.replicas[id.value]);
  callback("kube_statefulset_status_replicas", {space, name}, counts.replicas);
  callback("kube_statefulset_status_replicas_ready", {space, name}, counts.ready);
  callback("kube_statefulset_status_replicas_available", {space, name}, counts.available);
}

void ClusterMetrics::daemon_set(WorkloadId id, Time now, const MetricCallback& callback) const {
  const WorkloadModel& w = cluster_.model.workloads[id];
  MetricLabel space{"namespace", w.namespace_}, name{"daemonset", w.name};
  Counts counts = count(id, min_ready_of(model_, state_.workloads[id]), now);
  int32_t bound = 0;
  for (PodId p : cluster_.state.workload_pods[id.value]) {
    const PodState& pod = cluster_.state.pods[p];
    bound += is_active(pod.phase) && pod.node.valid();
  }
  callback("kube_daemonset_status_current_number_scheduled", {name, space}, bound);
  callback("kube_daemonset_status_number_ready", {name, space}, counts.ready);
  callback("kube_daemonset_status_number_available", {name, space}, counts.available);
}

void ClusterMetrics::job(WorkloadId id, const MetricCallback& callback) const {
  const WorkloadModel& w = cluster_.model.workloads[id];
  MetricLabel space{"namespace", w.namespace_}, name{"job_name", w.name};
  int32_t active = 0, succeeded = 0, failed = 0;
  for (const JobState::Gone& pod : state_.workloads[id].job.gone) ++(pod.succeeded ? succeeded : failed);
  for (PodId p : cluster_.state.workload_pods[id.value]) {
    if (cluster_.state.pods[p].owner != PodOwner::Present) continue;
    PodPhase phase = cluster_.state.pods[p].phase;
    active += is_active(phase);
    succeeded += phase == PodPhase::Succeeded;
    failed += phase == PodPhase::Failed;
  }
  callback("kube_job_status_active", {name, space}, active);
  callback("kube_job_status_succeeded", {name, space}, succeeded);
  callback("kube_job_status_failed", {name, space}, failed);
}

void ClusterMetrics::autoscaler(AutoscalerId id, const MetricCallback& callback) const {
  const AutoscalerBinding& binding = model_.autoscalers[id];
  if (!binding.object) return;
  const AutoscalerState& state = state_.autoscalers[id];
  const ObjectMeta& meta = binding.object->meta;
  MetricLabel space{"namespace", meta.namespace_}, name{"horizontalpodautoscaler", meta.name};
  callback("kube_horizontalpodautoscaler_spec_min_replicas", {name, space}, binding.min_replicas);
  callback("kube_horizontalpodautoscaler_spec_max_replicas", {name, space}, binding.max_replicas);
  callback("kube_horizontalpodautoscaler_status_current_replicas", {name, space}, state.current_replicas);
  callback("kube_horizontalpodautoscaler_status_desired_replicas", {name, space}, state.desired_replicas);
  auto tell = [&](std::string_view type, const AutoscalerCondition& c) {
    if (!c.known) return;
    for_each_status(c.value.status ? "true" : "false", [&](MetricLabel status, double value) {
      callback("kube_horizontalpodautoscaler_status_condition", {{"condition", type}, name, space, status}, value);
    });
  };
  tell("AbleToScale", state.able_to_scale);
  tell("ScalingActive", state.scaling_active);
  tell("ScalingLimited", state.scaling_limited);
  tell("ScaledToZero", state.scaled_to_zero);
}

void ClusterMetrics::nodes(const MetricCallback& callback) const {
  for (size_t n = 0; n < cluster_.state.node_present.size(); ++n) {
    if (!cluster_.state.node_present[n]) continue;
    MetricLabel node{"node", cluster_.node(NodeId(n)).object.meta.name};
    NodeConditions conditions = cluster_.state.node_conditions[n];
    auto tell = [&](std::string_view type, std::string_view is) {
      for_each_status(is, [&](MetricLabel status, double value) {
        callback("kube_node_status_condition", {{"condition", type}, node, status}, value);
      });
    };
    bool unknown = conditions.any_of(kNodeUnreachable);
    // A kubelet that is not heard of leaves every condition of its node unknown.
    auto status = [&](bool value) { return unknown ? "unknown" : value ? "true" : "false"; };
    tell("Ready", status(!conditions.any_of(kNodeNotReady)));
    tell("MemoryPressure", status(conditions.any_of(kNodeMemoryPressure)));
    tell("DiskPressure", status(conditions.any_of(kNodeDiskPressure)));
    callback("kube_node_spec_unschedulable", {node},
             number(conditions.any_of(kNodeCordoned) || cluster_.node(NodeId(n)).object.unschedulable));
  }
}

void ClusterMetrics::scheduler(const MetricCallback& callback) const {
  const SchedulerState& s = state_.scheduler;
  auto size = [](size_t n) { return static_cast<double>(n); };
  callback("scheduler_pending_pods", {{"queue", "active"}}, size(s.queue.active.size()));
  callback("scheduler_pending_pods", {{"queue", "backoff"}},
           size(s.queue.backoff.size() + s.queue.error_backoff.size()));
  callback("scheduler_pending_pods", {{"queue", "gated"}}, size(s.queue.gated.size()));
  callback("scheduler_pending_pods", {{"queue", "unschedulable"}}, size(s.queue.unschedulable));
  callback("scheduler_schedule_attempts_total", {{"result", "error"}}, size(s.errors));
  callback("scheduler_schedule_attempts_total", {{"result", "scheduled"}}, size(s.scheduled));
  callback("scheduler_schedule_attempts_total", {{"result", "unschedulable"}}, size(s.unschedulable));
}

void ClusterMetrics::autoscaler_controller(const MetricCallback& callback) const {
  uint64_t syncs[3][2] = {}, computed[5][3][2] = {};
  for (const AutoscalerState& a : state_.autoscalers)
    for (size_t action = 0; action < 3; ++action)
      for (size_t error = 0; error < 2; ++error) {
        syncs[action][error] += a.reconciliations[action][error];
        for (size_t type = 0; type < 5; ++type) computed[type][action][error] += a.computations[type][action][error];
      }
  // As a counter with labels does, those that never came are not there.
  for (size_t action = 0; action < 3; ++action)
    for (size_t error = 0; error < 2; ++error) {
      MetricLabel by_action{"action", kActions[action]}, by_error{"error", kErrors[error]};
      if (syncs[action][error] > 0)
        callback("horizontal_pod_autoscaler_controller_reconciliations_total", {by_action, by_error},
                 static_cast<double>(syncs[action][error]));
      for (size_t type = 0; type < 5; ++type)
        if (computed[type][action][error] > 0)
          callback("horizontal_pod_autoscaler_controller_metric_computation_total",
                   {by_action, by_error, {"metric_type", kMetricTypes[type]}},
                   static_cast<double>(computed[type][action][error]));
    }
}

void ClusterMetrics::for_each_pod_metric(Time now, const MetricCallback& callback) const {
  for (const std::vector<PodId>& pods : cluster_.state.workload_pods)
    for (PodId id : pods) {
      const PodState& pod = cluster_.state.pods[id];
      if (pod.phase == PodPhase::Gone) continue;
      const PodTemplateModel& t = cluster_.model.templates[pod.pod_template];
      std::string full = cluster_.pod_name(id);
      MetricLabel space{"namespace", t.namespace_}, name{"pod", full};
      std::string_view phase = to_string(api_phase(pod));
      for (std::string_view each : kApiPhases)
        callback("kube_pod_status_phase", {space, {"phase", each}, name}, number(each == phase));
      std::string_view ready = pod.phase == PodPhase::Ready ? "true" : "false";
      for (std::string_view each : {"true", "false", "unknown"})
        callback("kube_pod_status_ready", {{"condition", each}, space, name}, number(each == ready));
      MetricLabel container{"container", t.spec.containers.empty() ? "" : std::string_view(t.spec.containers[0].name)};
      callback("kube_pod_container_status_restarts_total", {container, space, name}, pod.restarts);
      if (!usage_.has_usage(pod.workload) || !usage_.is_running(id)) continue;
      callback("container_cpu_usage_seconds_total", {container, space, name}, usage_.cpu_seconds(id, now));
      callback("container_memory_working_set_bytes", {container, space, name},
               static_cast<double>(usage_.memory_bytes(id)));
    }
}

}  // namespace kisim
