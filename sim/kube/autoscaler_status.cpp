#include "kube/autoscaler_status.hpp"

#include "kube/resource_request.hpp"

#include <variant>

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

std::string selector_of(const KubeModel& model, const WorkloadControl& control) {
  if (!control.spec.valid()) return {};
  return std::visit(
      [](const auto& object) {
        if constexpr (requires { object.selector; })
          return selector_text(object.selector);
        else
          return std::string();
      },
      model.specs[control.spec].object);
}

// Of two objects at most: the controller looks for no more.
std::string rivals_text(const AutoscalerBinding& binding) {
  if (binding.rivals.empty()) return {};
  return binding.object->meta.full_name() + " " + binding.rivals.front();
}

}  // namespace

std::string scale_error(const WorkloadModel& workload) {
  switch (workload.kind) {
    case WorkloadModel::Kind::Deployment:
      return fmt::format("deployments.apps \"{}\" not found", workload.name);
    case WorkloadModel::Kind::ReplicaSet:
      return fmt::format("replicasets.apps \"{}\" not found", workload.name);
    case WorkloadModel::Kind::StatefulSet:
      return fmt::format("statefulsets.apps \"{}\" not found", workload.name);
    default:
      return "the server could not find the requested resource";
  }
}

FailurePlace failure_place(const KubeModel& model, const Cluster& cluster, WorkloadId workload, const MetricSpec& spec,
                           MetricFailure failure, PodId pod) {
  FailurePlace place;
  place.namespace_ = model.workloads[workload].autoscaler.object->meta.namespace_;
  bool of_pod = failure == MetricFailure::NoRequest || failure == MetricFailure::NoPodRequest ||
                failure == MetricFailure::NoContainer;
  if (!of_pod || !pod.valid()) return place;
  place.pod = cluster.pod_name(pod);
  place.container = container_without_request(cluster.model.templates[cluster.state.pods[pod].pod_template], spec);
  return place;
}

std::string condition_message(const KubeModel& model, const KubeState& state, const Cluster& cluster,
                              WorkloadId workload, const ScalingCondition& condition) {
  const AutoscalerBinding& binding = model.workloads[workload].autoscaler;
  ConditionPlace place;
  place.object = binding.object ? &*binding.object : nullptr;
  place.scale_error = scale_error(cluster.model.workloads[workload]);
  place.selector = selector_of(model, state.workloads[workload]);
  place.autoscalers = rivals_text(binding);
  if (condition.failure != MetricFailure::None)
    place.failure =
        failure_place(model, cluster, workload, binding.object->metrics[static_cast<size_t>(condition.detail)],
                      condition.failure, PodId(size_t{condition.pod}));
  return condition_text(condition, place);
}

}  // namespace kisim
