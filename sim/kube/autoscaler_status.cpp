#include "kube/autoscaler_status.hpp"

#include "kube/resource_request.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace kisim {

namespace {

// As labels.Selector prints itself.
std::string selector_text(const LabelSelector& selector) {
  std::string out;
  for (const SelectorRequirement& r : selector.requirements) {
    std::string values;
    for (const std::string& v : r.values) values += (values.empty() ? "" : ",") + v;
    if (!out.empty()) out += ',';
    switch (r.op) {
      case SelectorOperator::In:
        out += r.values.size() == 1 ? r.key + "=" + values : fmt::format("{} in ({})", r.key, values);
        break;
      case SelectorOperator::NotIn:
        out += fmt::format("{} notin ({})", r.key, values);
        break;
      case SelectorOperator::Exists:
        out += r.key;
        break;
      case SelectorOperator::DoesNotExist:
        out += "!" + r.key;
        break;
      case SelectorOperator::Gt:
        out += fmt::format("{}>{}", r.key, values);
        break;
      case SelectorOperator::Lt:
        out += fmt::format("{}<{}", r.key, values);
        break;
    }
  }
  return out;
}

// Of its target as it is now; nullptr: there is none.
const LabelSelector* selector_of(const KubeModel& model, const KubeState& state, const AutoscalerBinding& binding) {
  if (!binding.workload.valid() || !state.workloads[binding.workload].spec.valid()) return nullptr;
  return model.specs[state.workloads[binding.workload].spec].selector();
}

bool has_pods(const PodCounts& counts) { return counts.active + counts.terminating + counts.ended > 0; }

}  // namespace

std::string target_text(const AutoscalerBinding& binding, const ClusterModel& cluster) {
  if (!binding.workload.valid())
    return fmt::format("{} {}/{}", binding.object->target_kind, binding.object->meta.namespace_,
                       binding.object->target_name);
  const WorkloadModel& workload = cluster.workloads[binding.workload];
  return fmt::format("{} {}", to_string(workload.kind), workload.full_name());
}

std::string scale_error(const AutoscalerBinding& binding, const ClusterModel& cluster) {
  const WorkloadModel* workload = binding.workload.valid() ? &cluster.workloads[binding.workload] : nullptr;
  std::string kind = workload ? to_string(workload->kind) : binding.object->target_kind;
  const std::string& name = workload ? workload->name : binding.object->target_name;
  if (kind == "Deployment") return fmt::format("deployments.apps \"{}\" not found", name);
  if (kind == "ReplicaSet") return fmt::format("replicasets.apps \"{}\" not found", name);
  if (kind == "StatefulSet") return fmt::format("statefulsets.apps \"{}\" not found", name);
  if (kind == "ReplicationController") return fmt::format("replicationcontrollers \"{}\" not found", name);
  // Kinds of the API that have no scale.
  if (kind == "DaemonSet" || kind == "Job" || kind == "CronJob" || kind == "Pod")
    return "the server could not find the requested resource";
  return fmt::format("no matches for kind \"{}\" in group \"{}\"", kind, binding.object->target_group);
}

std::vector<AutoscalerId> selecting_autoscalers(const KubeModel& model, const KubeState& state, const Cluster& cluster,
                                                AutoscalerId id) {
  std::vector<AutoscalerId> out;
  const AutoscalerBinding& binding = model.autoscalers[id];
  const LabelSelector* selector = selector_of(model, state, binding);
  if (model.autoscalers.size() == 1 || !binding.object || !selector) return {id};
  const std::string& space = binding.object->meta.namespace_;
  for (size_t a = 0; a < model.autoscalers.size(); ++a) {
    const AutoscalerBinding& other = model.autoscalers[AutoscalerId(a)];
    const LabelSelector* others = selector_of(model, state, other);
    bool known = AutoscalerId(a) == id || state.autoscalers[AutoscalerId(a)].selects;
    if (!known || !other.object || !others || other.object->meta.namespace_ != space) continue;
    for (size_t t = 0; t < cluster.model.templates.size(); ++t) {
      const PodTemplateModel& pods = cluster.model.templates[TemplateId(t)];
      if (pods.namespace_ != space || !has_pods(cluster.state.counts[TemplateId(t)])) continue;
      if (!pods.matches(*selector) || !pods.matches(*others)) continue;
      out.push_back(AutoscalerId(a));
      break;
    }
  }
  std::sort(out.begin(), out.end(), [&](AutoscalerId a, AutoscalerId b) {
    return model.autoscalers[a].object->meta.name < model.autoscalers[b].object->meta.name;
  });
  return out;
}

FailurePlace failure_place(const AutoscalerBinding& binding, const Cluster& cluster, const MetricSpec& spec,
                           MetricFailure failure, PodId pod) {
  FailurePlace place;
  place.namespace_ = binding.object->meta.namespace_;
  bool of_pod = failure == MetricFailure::NoRequest || failure == MetricFailure::NoPodRequest ||
                failure == MetricFailure::NoContainer;
  if (!of_pod || !pod.valid()) return place;
  place.pod = cluster.pod_name(pod);
  place.container = container_without_request(cluster.model.templates[cluster.state.pods[pod].pod_template], spec);
  return place;
}

std::string condition_message(const KubeModel& model, const KubeState& state, const Cluster& cluster, AutoscalerId id,
                              const ScalingCondition& condition) {
  const AutoscalerBinding& binding = model.autoscalers[id];
  ConditionPlace place;
  place.object = binding.object ? &*binding.object : nullptr;
  if (condition.reason == "FailedGetScale") place.scale_error = scale_error(binding, cluster.model);
  if (condition.reason == "AmbiguousSelector") {
    place.selector = selector_text(*selector_of(model, state, binding));
    std::vector<std::string> names;
    for (AutoscalerId a : selecting_autoscalers(model, state, cluster, id))
      names.push_back(model.autoscalers[a].object->meta.full_name());
    place.autoscalers = fmt::format("{}", fmt::join(names, " "));
  }
  if (condition.failure != MetricFailure::None)
    place.failure = failure_place(binding, cluster, binding.object->metrics[static_cast<size_t>(condition.detail)],
                                  condition.failure, PodId(size_t{condition.pod}));
  return condition_text(condition, place);
}

}  // namespace kisim
