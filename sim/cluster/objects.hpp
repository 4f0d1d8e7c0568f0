#pragma once
// Kubernetes objects as far as kisim reads them, under Kubernetes' own names. Filled at the border, constant after.

#include "core/error.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

using Labels = std::vector<std::pair<std::string, std::string>>;  // sorted by key, keys unique

// nullptr if absent.
const std::string* find_label(const Labels& labels, const std::string& key);

// name -> amount, sorted by name: cpu in milli-CPU, everything else in units of itself (memory in bytes), both
// rounded up as kube-scheduler does.
using ResourceList = std::vector<std::pair<std::string, int64_t>>;

enum class TaintEffect : uint8_t { NoSchedule, PreferNoSchedule, NoExecute };
struct Taint {
  std::string key, value;
  TaintEffect effect = TaintEffect::NoSchedule;
};

enum class TolerationOperator : uint8_t { Equal, Exists };
struct Toleration {
  std::string key;  // empty: every key, with Exists
  TolerationOperator op = TolerationOperator::Equal;
  std::string value;
  std::optional<TaintEffect> effect;  // none: every effect
  std::optional<int64_t> toleration_seconds;

  bool tolerates(const Taint& taint) const;
};

enum class SelectorOperator : uint8_t { In, NotIn, Exists, DoesNotExist, Gt, Lt };
struct SelectorRequirement {
  std::string key;
  SelectorOperator op = SelectorOperator::In;
  std::vector<std::string> values;

  // NotIn and DoesNotExist hold when the key is absent; Gt and Lt compare int64 and fail on anything else.
  bool matches(const std::string* value) const;
};

// A set-based selector: all requirements must hold. matchLabels become In requirements. Empty matches everything.
struct LabelSelector {
  std::vector<SelectorRequirement> requirements;
  bool matches(const Labels& labels) const;
};

struct NodeSelectorTerm {
  std::vector<SelectorRequirement> match_expressions, match_fields;
};
struct PreferredSchedulingTerm {
  int32_t weight = 1;
  NodeSelectorTerm preference;
};

struct ContainerImage {
  std::string name;
  int64_t size_bytes = 0;
};

// A port that a container opens on its node. hostPort, or containerPort with hostNetwork.
struct HostPort {
  enum class Protocol : uint8_t { TCP, UDP, SCTP } protocol = Protocol::TCP;
  std::string ip = "0.0.0.0";  // hostIP
  int32_t port = 0;

  bool conflicts(const HostPort& other) const;
  bool operator==(const HostPort&) const = default;
};

struct Container {
  std::string name, image;
  ResourceList requests, limits;
  // Billionths of a unit by which an amount of `requests` was rounded up; those that were not are left out. Kubernetes
  // rounds the sum over the containers, not each.
  ResourceList rounded_up;
  std::vector<HostPort> host_ports;
  bool sidecar = false;  // an init container with restartPolicy: Always
  // readinessProbe; absent: ready as soon as it has started
  struct ReadinessProbe {
    Duration initial_delay, period{10'000'000'000}, timeout{1'000'000'000};
    int32_t success_threshold = 1, failure_threshold = 3;
  };
  std::optional<ReadinessProbe> readiness_probe;
};

// Pods whose presence attracts or repels. matchLabelKeys and mismatchLabelKeys are merged into the selector, as the API
// server does.
struct PodAffinityTerm {
  std::optional<LabelSelector> label_selector;  // none: no pod
  std::vector<std::string> namespaces;
  std::optional<LabelSelector> namespace_selector;  // none and no namespaces: the pod's own namespace
  std::string topology_key;
};
struct WeightedPodAffinityTerm {
  int32_t weight = 1;
  PodAffinityTerm term;
};
struct PodAffinityTerms {
  std::vector<PodAffinityTerm> required;
  std::vector<WeightedPodAffinityTerm> preferred;
};

struct TopologySpreadConstraint {
  enum class Unsatisfiable : uint8_t { DoNotSchedule, ScheduleAnyway };
  enum class InclusionPolicy : uint8_t { Honor, Ignore };
  int32_t max_skew = 1;
  std::string topology_key;
  Unsatisfiable when_unsatisfiable = Unsatisfiable::DoNotSchedule;
  std::optional<LabelSelector> label_selector;  // none: no pod; matchLabelKeys are merged into it
  int32_t min_domains = 1;
  InclusionPolicy node_affinity_policy = InclusionPolicy::Honor, node_taints_policy = InclusionPolicy::Ignore;
};

enum class PreemptionPolicy : uint8_t { PreemptLowerPriority, Never };

struct PodSpec {
  std::vector<Container> containers, init_containers;
  ResourceList overhead;
  std::optional<ResourceList> pod_requests;  // spec.resources: pod-level requests, limits filled in
  std::vector<std::pair<std::string, std::string>> node_selector;
  std::optional<std::vector<NodeSelectorTerm>> required_node_affinity;
  std::vector<PreferredSchedulingTerm> preferred_node_affinity;
  PodAffinityTerms pod_affinity, pod_anti_affinity;
  std::vector<TopologySpreadConstraint> topology_spread_constraints;
  std::vector<Toleration> tolerations;
  int32_t priority = 0;
  std::string priority_class_name;
  SourceMark priority_class_mark;
  std::optional<PreemptionPolicy> preemption_policy;  // none: PreemptLowerPriority
  std::string scheduler_name = "default-scheduler", node_name;
  std::vector<std::string> scheduling_gates;
  Duration termination_grace_period{30'000'000'000};
};

struct ObjectMeta {
  std::string namespace_ = "default", name;
  Labels labels;
  Labels annotations;
  std::string owner_kind, owner_name;  // the controller among its ownerReferences; empty: none
  SourceMark mark;                     // where it was read, for messages

  std::string full_name() const { return namespace_ + "/" + name; }
};

struct Node {
  ObjectMeta meta;
  ResourceList capacity, allocatable;
  std::vector<Taint> taints;
  bool unschedulable = false;
  std::vector<ContainerImage> images;  // already on the node
};

// What a workload stamps out.
struct PodTemplate {
  Labels labels, annotations;
  PodSpec spec;
};

struct Pod {
  ObjectMeta meta;
  PodSpec spec;
  std::optional<Time> start_time;  // status.startTime, since the Unix epoch
};

struct Namespace {
  ObjectMeta meta;
};

// An amount of pods: a number, or a share of them in per cent.
struct IntOrPercent {
  int32_t value = 0;
  bool percent = false;
};
struct PodDisruptionBudget {
  ObjectMeta meta;
  std::optional<LabelSelector> selector;  // none: no pod; empty: every pod of the namespace
  std::optional<IntOrPercent> min_available, max_unavailable;
  std::optional<int32_t> disruptions_allowed;  // status, where a dump holds it
  std::vector<std::string> disrupted_pods;     // status
};

struct Deployment {
  ObjectMeta meta;
  int32_t replicas = 1;
  LabelSelector selector;
  PodTemplate pod_template;
};

struct ReplicaSet {
  ObjectMeta meta;
  int32_t replicas = 1;
  LabelSelector selector;
  PodTemplate pod_template;
};

struct Service {
  ObjectMeta meta;
  Labels selector;
};

// autoscaling/v2. Quantities are in milli-units, as the HPA controller computes with them.
struct MetricTarget {
  enum class Type : uint8_t { Utilization, AverageValue, Value } type = Type::AverageValue;
  int64_t milli_value = 0;  // AverageValue, Value
  int32_t utilization = 0;  // per cent of the request
};
struct MetricSpec {
  enum class Source : uint8_t { Resource, ContainerResource, Pods, Object, External } source = Source::Resource;
  std::string name;       // "cpu" or "vllm:num_requests_waiting"
  std::string container;  // ContainerResource
  LabelSelector selector;
  MetricTarget target;
  SourceMark mark;
};
struct ScalingPolicy {
  enum class Type : uint8_t { Pods, Percent } type = Type::Pods;
  int32_t value = 0;
  Duration period;
};
struct ScalingRules {
  std::optional<Duration> stabilization_window;  // none: the controller's default
  enum class Select : uint8_t { Max, Min, Disabled } select = Select::Max;
  std::vector<ScalingPolicy> policies;
  std::optional<int64_t> tolerance_milli;
};
struct HorizontalPodAutoscaler {
  ObjectMeta meta;
  std::string target_kind, target_name;
  int32_t min_replicas = 1, max_replicas = 1;
  std::vector<MetricSpec> metrics;
  std::optional<ScalingRules> scale_up, scale_down;  // `behavior`, defaults filled in when present
  bool has_behavior() const { return scale_up.has_value() || scale_down.has_value(); }
};

struct PriorityClass {
  ObjectMeta meta;
  int32_t value = 0;
  bool global_default = false;
  std::optional<PreemptionPolicy> preemption_policy;
};

// Something the manifests say that kisim does not act on: told once, with the first place and how often.
struct Ignored {
  std::string what;   // "kind Secret is not modelled"
  std::string field;  // may be empty
  SourceMark mark;
  int32_t count = 0;
  Severity severity = Severity::Warning;
};

// Everything the manifests say, in the order read.
struct Manifests {
  std::vector<Namespace> namespaces;
  std::vector<Node> nodes;
  std::vector<Pod> pods;
  std::vector<Deployment> deployments;
  std::vector<ReplicaSet> replica_sets;
  std::vector<Service> services;
  std::vector<HorizontalPodAutoscaler> hpas;
  std::vector<PriorityClass> priority_classes;
  std::vector<PodDisruptionBudget> pod_disruption_budgets;
  std::vector<Ignored> ignored;
};

}  // namespace kisim
