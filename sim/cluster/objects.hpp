#pragma once
// Kubernetes objects as far as kisim reads them, under Kubernetes' own names. Filled at the border, constant after.

#include "core/error.hpp"
#include "core/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

using Labels = std::vector<std::pair<std::string, std::string>>;  // sorted by key, keys unique

// As Go's strconv.ParseInt reads it: a sign and decimal digits; nothing on anything else.
std::optional<int64_t> parse_int64(std::string_view text);

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
  bool operator==(const Toleration&) const = default;
};

enum class SelectorOperator : uint8_t { In, NotIn, Exists, DoesNotExist, Gt, Lt };
struct SelectorRequirement {
  std::string key;
  SelectorOperator op = SelectorOperator::In;
  std::vector<std::string> values;

  // NotIn and DoesNotExist hold when the key is absent; Gt and Lt compare int64 and fail on anything else.
  bool matches(const std::string* value) const;
  bool operator==(const SelectorRequirement&) const = default;
};

// A set-based selector: all requirements must hold. matchLabels become In requirements. Empty matches everything.
struct LabelSelector {
  std::vector<SelectorRequirement> requirements;
  bool matches(const Labels& labels) const;
  bool operator==(const LabelSelector&) const = default;
};

struct NodeSelectorTerm {
  std::vector<SelectorRequirement> match_expressions, match_fields;
  bool operator==(const NodeSelectorTerm&) const = default;
};
struct PreferredSchedulingTerm {
  int32_t weight = 1;
  NodeSelectorTerm preference;
  bool operator==(const PreferredSchedulingTerm&) const = default;
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

// An amount of pods: a number, or a share of them in per cent.
struct IntOrPercent {
  int32_t value = 0;
  bool percent = false;

  // Of `total` pods (intstr.GetScaledValueFromIntOrPercent).
  int32_t rounded_up(int64_t total) const { return percent ? static_cast<int32_t>((total * value + 99) / 100) : value; }
  int32_t rounded_down(int64_t total) const { return percent ? static_cast<int32_t>(total * value / 100) : value; }
};

// How the kubelet asks a container. What it answers is the simulation's business: whether its server is up and well.
struct Probe {
  Duration initial_delay, period{10'000'000'000}, timeout{1'000'000'000};
  int32_t success_threshold = 1, failure_threshold = 3;
  bool operator==(const Probe&) const = default;
};

enum class ImagePullPolicy : uint8_t { Always, IfNotPresent, Never };

struct Container {
  std::string name, image;
  ResourceList requests, limits;
  // Billionths of a unit by which an amount of `requests` was rounded up; those that were not are left out. Kubernetes
  // rounds the sum over the containers, not each.
  ResourceList rounded_up;
  std::vector<HostPort> host_ports;
  bool sidecar = false;                  // an init container with restartPolicy: Always
  std::optional<Probe> readiness_probe;  // absent: ready as soon as it has started
  std::optional<Probe> liveness_probe, startup_probe;
  ImagePullPolicy image_pull_policy = ImagePullPolicy::IfNotPresent;
  Duration pre_stop;  // lifecycle.preStop.sleep: before SIGTERM, within the grace period
  bool operator==(const Container&) const = default;
};

// Pods whose presence attracts or repels. matchLabelKeys and mismatchLabelKeys are merged into the selector, as the API
// server does.
struct PodAffinityTerm {
  std::optional<LabelSelector> label_selector;  // none: no pod
  std::vector<std::string> namespaces;
  std::optional<LabelSelector> namespace_selector;  // none and no namespaces: the pod's own namespace
  std::string topology_key;
  bool operator==(const PodAffinityTerm&) const = default;
};
struct WeightedPodAffinityTerm {
  int32_t weight = 1;
  PodAffinityTerm term;
  bool operator==(const WeightedPodAffinityTerm&) const = default;
};
struct PodAffinityTerms {
  std::vector<PodAffinityTerm> required;
  std::vector<WeightedPodAffinityTerm> preferred;
  bool operator==(const PodAffinityTerms&) const = default;
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
  bool operator==(const TopologySpreadConstraint&) const = default;
};

enum class PreemptionPolicy : uint8_t { PreemptLowerPriority, Never };

enum class RestartPolicy : uint8_t { Always, OnFailure, Never };

// A volume whose data stay on the node when its pod goes.
struct LocalVolume {
  enum class Source : uint8_t { EmptyDir, HostPath } source = Source::EmptyDir;
  std::string name;
  bool in_memory = false;  // emptyDir.medium: Memory
  bool operator==(const LocalVolume&) const = default;
};

struct PodSpec {
  std::vector<Container> containers, init_containers;
  RestartPolicy restart_policy = RestartPolicy::Always;
  std::vector<LocalVolume> local_volumes;
  ResourceList overhead;
  std::optional<ResourceList> pod_requests;  // spec.resources: pod-level requests, limits filled in
  ResourceList pod_limits;                   // likewise its limits
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
  std::optional<Duration> active_deadline;  // activeDeadlineSeconds
};

struct ObjectMeta {
  std::string namespace_ = "default", name;
  Labels labels;
  Labels annotations;
  std::vector<std::string> finalizers;
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

// Why the API server creates no pod of a template, in its words; empty: it does.
struct Refusal {
  std::string why;
  bool invalid = false;  // said by validation; else by an admission plugin

  bool empty() const { return why.empty(); }
  // `pods "web-x2b4q" is forbidden: exceeded quota: …`, `Pod "web-x2b4q" is invalid: …`
  std::string message(const std::string& pod) const;
  bool operator==(const Refusal&) const = default;
};

// What a workload stamps out.
struct PodTemplate {
  Labels labels, annotations;
  PodSpec spec;
  Refusal refusal;  // of every pod of it
};

// status.phase
enum class ApiPhase : uint8_t { Pending, Running, Succeeded, Failed, Unknown };
inline constexpr std::string_view kApiPhases[] = {"Pending", "Running", "Succeeded", "Failed", "Unknown"};
inline std::string_view to_string(ApiPhase phase) { return kApiPhases[static_cast<size_t>(phase)]; }

struct Pod {
  ObjectMeta meta;
  PodSpec spec;
  std::optional<Time> start_time;  // status.startTime, since the Unix epoch
};

struct Namespace {
  ObjectMeta meta;
};

struct PodDisruptionBudget {
  ObjectMeta meta;
  std::optional<LabelSelector> selector;  // none: no pod; empty: every pod of the namespace
  std::optional<IntOrPercent> min_available, max_unavailable;
  enum class UnhealthyPods : uint8_t { IfHealthyBudget, AlwaysAllow };
  UnhealthyPods unhealthy_pod_eviction_policy = UnhealthyPods::IfHealthyBudget;
  std::optional<int32_t> disruptions_allowed;  // status, where a dump holds it
  std::vector<std::string> disrupted_pods;     // status
};

// Percentages are of spec.replicas: maxSurge rounds up, maxUnavailable down; both zero means maxUnavailable one.
struct RollingUpdate {
  IntOrPercent max_surge{25, true}, max_unavailable{25, true};
};

struct Deployment {
  ObjectMeta meta;
  int32_t replicas = 1;
  bool has_replicas = true;  // false: the manifest leaves them out, so that an apply does not touch them
  LabelSelector selector;
  PodTemplate pod_template;
  enum class Strategy : uint8_t { RollingUpdate, Recreate } strategy = Strategy::RollingUpdate;
  RollingUpdate rolling_update;
  Duration min_ready;                           // minReadySeconds
  Duration progress_deadline{600'000'000'000};  // progressDeadlineSeconds
  int32_t revision_history_limit = 10;
  bool paused = false;
};

struct ReplicaSet {
  ObjectMeta meta;
  int32_t replicas = 1;
  bool has_replicas = true;  // false: the manifest leaves them out, so that an apply does not touch them
  LabelSelector selector;
  PodTemplate pod_template;
  Duration min_ready;
};

struct StatefulSet {
  ObjectMeta meta;
  int32_t replicas = 1;
  bool has_replicas = true;  // false: the manifest leaves them out, so that an apply does not touch them
  LabelSelector selector;
  PodTemplate pod_template;
  enum class PodManagement : uint8_t { OrderedReady, Parallel } pod_management = PodManagement::OrderedReady;
  enum class Update : uint8_t { RollingUpdate, OnDelete } update = Update::RollingUpdate;
  int32_t partition = 0;      // pods of lower ordinals keep the old template
  int32_t first_ordinal = 0;  // ordinals.start
  Duration min_ready;
};

struct DaemonSet {
  ObjectMeta meta;
  LabelSelector selector;
  PodTemplate pod_template;
  enum class Update : uint8_t { RollingUpdate, OnDelete } update = Update::RollingUpdate;
  RollingUpdate rolling_update{{0, false}, {1, false}};
  Duration min_ready;
};

struct Job {
  ObjectMeta meta;
  PodTemplate pod_template;
  int32_t parallelism = 1;
  std::optional<int32_t> completions;  // none: done when one pod has succeeded and no other runs
  enum class Completion : uint8_t { NonIndexed, Indexed } completion_mode = Completion::NonIndexed;
  int32_t backoff_limit = 6;
  std::optional<int32_t> backoff_limit_per_index, max_failed_indexes;
  std::optional<Duration> active_deadline, ttl_after_finished;
  enum class Replacement : uint8_t { TerminatingOrFailed, Failed } pod_replacement = Replacement::TerminatingOrFailed;
  bool suspend = false;
};

// What the pods of a namespace may ask for together, by the names of the API: pods, requests.cpu (or cpu),
// limits.memory, requests.nvidia.com/gpu, count/pods …
struct ResourceQuota {
  ObjectMeta meta;
  ResourceList hard;
  enum class Scope : uint8_t {
    BestEffort,
    NotBestEffort,
    Terminating,
    NotTerminating,
    PriorityClass,
    CrossNamespacePodAffinity
  };
  struct ScopeRequirement {
    Scope scope = Scope::BestEffort;
    SelectorRequirement requirement;  // PriorityClass: on the name of the class; else unused
  };
  std::vector<ScopeRequirement> scopes;  // all must hold for a pod to count
};

struct LimitRange {
  ObjectMeta meta;
  struct Item {
    enum class Type : uint8_t { Container, Pod } type = Type::Container;
    ResourceList max, min, default_limit, default_request;
    std::vector<std::pair<std::string, double>> max_limit_request_ratio;
  };
  std::vector<Item> limits;
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
  std::string described_kind, described_name;  // Object: describedObject
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
// `behavior` as the API server defaults it (apis/autoscaling/v2, GenerateHPAScaleUpRules, GenerateHPAScaleDownRules).
ScalingRules default_scale_up_rules();
ScalingRules default_scale_down_rules();

struct HorizontalPodAutoscaler {
  ObjectMeta meta;
  std::string target_kind, target_name, target_group;  // scaleTargetRef; the group of its apiVersion
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
  std::vector<StatefulSet> stateful_sets;
  std::vector<DaemonSet> daemon_sets;
  std::vector<Job> jobs;
  std::vector<ResourceQuota> resource_quotas;
  std::vector<LimitRange> limit_ranges;
  std::vector<Service> services;
  std::vector<HorizontalPodAutoscaler> hpas;
  std::vector<PriorityClass> priority_classes;
  std::vector<PodDisruptionBudget> pod_disruption_budgets;
  std::vector<Ignored> ignored;
};

}  // namespace kisim
