#pragma once
// The readers of the single kinds, for manifests.cpp, and of their parts. Each complains through its context, in the
// words of the API server's validation.

#include "io/object_reader.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace kisim {

ObjectMeta read_metadata(ObjectReader& object, NameRule rule);

// Selectors and affinity.
LabelSelector read_label_selector(ObjectReader selector);
// Nothing if the field is absent: that selects nothing, an empty selector everything.
std::optional<LabelSelector> read_optional_selector(ObjectReader& parent, std::string_view key);
// Whose affinity or constraint is read: kube-scheduler checks those of its profiles less, and in other words.
enum class Holder : uint8_t { Pod, Profile };
void read_node_affinity(ObjectReader affinity, Holder holder, std::optional<std::vector<NodeSelectorTerm>>& required,
                        std::vector<PreferredSchedulingTerm>& preferred);
// matchLabelKeys and mismatchLabelKeys are merged with `labels`, those of the pod.
void read_affinity(ObjectReader affinity, const Labels& labels, PodSpec& out);
// All fields but labelSelector and matchLabelKeys.
TopologySpreadConstraint read_topology_spread_constraint(ObjectReader& object, Holder holder);
// "{zone, DoNotSchedule}": what may not repeat among the constraints of a pod or of a profile.
std::string spread_kind(const TopologySpreadConstraint& constraint);
std::vector<TopologySpreadConstraint> read_topology_spread_constraints(ObjectReader& spec, const Labels& labels);

// Resources.
ResourceList read_resource_list(ObjectReader& parent, std::string_view key);
void read_container_resources(ObjectReader resources, Container& out);
// spec.resources. Precondition: the containers of `out` are read.
void read_pod_resources(ObjectReader resources, PodSpec& out);

// Of the pod, for its containers.
struct PodSettings {
  bool host_network = false;
  std::optional<Duration> grace_period;  // none: not valid
};
// All containers and init containers of a pod's spec.
void read_containers(ObjectReader& spec, const PodSettings& pod, PodSpec& out);

// `labels` are those of the pod.
PodSpec read_pod_spec(ObjectReader spec, const Labels& labels);

PodTemplate read_pod_template(ObjectReader object);

// A number of pods or a percentage; nothing if it is absent or neither.
std::optional<IntOrPercent> read_int_or_percent(ObjectReader& spec, std::string_view key);
// Complains about more than 100 %.
void check_at_most_all(ObjectReader& spec, std::string_view key, const std::optional<IntOrPercent>& amount);

void read_namespace(ObjectReader& object, Manifests& out);
void read_node(ObjectReader& object, Manifests& out);
void read_pod(ObjectReader& object, Manifests& out);
void read_deployment(ObjectReader& object, Manifests& out);
void read_replica_set(ObjectReader& object, Manifests& out);
void read_stateful_set(ObjectReader& object, Manifests& out);
void read_daemon_set(ObjectReader& object, Manifests& out);
void read_job(ObjectReader& object, Manifests& out);
void read_resource_quota(ObjectReader& object, Manifests& out);
void read_limit_range(ObjectReader& object, Manifests& out);
void read_service(ObjectReader& object, Manifests& out);
void read_priority_class(ObjectReader& object, Manifests& out);
void read_pod_disruption_budget(ObjectReader& object, Manifests& out);
void read_hpa_v1(ObjectReader& object, Manifests& out);
void read_hpa_v2(ObjectReader& object, Manifests& out);

// The priority classes that every cluster has (pkg/apis/scheduling/v1/helpers.go).
struct SystemPriority {
  const char* name;
  int32_t value;
};
inline constexpr SystemPriority kSystemPriorities[] = {{"system-node-critical", 2'000'001'000},
                                                       {"system-cluster-critical", 2'000'000'000}};

// What the API server does with objects when they are admitted, once all of them are read, beside what the cluster has
// already: priorities and preemption policies by class, the defaults of LimitRanges, and the refusal of pods by
// LimitRanges and ResourceQuotas, with a warning; then the namespaces that objects name without having one of their
// own.
void admit(Diagnostics& diagnostics, const Manifests& cluster, Manifests& manifests);

// Warns of budgets of `manifests` that never let a ready pod go.
void check_budgets(Diagnostics& diagnostics, const Manifests& cluster, const Manifests& manifests);

}  // namespace kisim
