// Deployments, ReplicaSets, StatefulSets and DaemonSets.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

namespace kisim {

namespace {

constexpr int64_t kMaxReplicas = 1'000'000;

// How validation calls a kind: what a Deployment says of its pods is said by its ReplicaSet.
struct KindRules {
  NameRule name;
  const char* selector_kind;
  const char* pod_kind;
};
constexpr KindRules kReplicaSetRules{check_dns1123_subdomain, "deployment", "ReplicaSet"};
constexpr KindRules kStatefulSetRules{check_dns1123_label, "statefulset", "StatefulSet"};
constexpr KindRules kDaemonSetRules{check_dns1123_subdomain, "daemonset", "DaemonSet"};

// Pods that end are a Job's.
void check_runs_for_ever(ObjectReader pod_spec, const PodSpec& spec, const char* kind) {
  if (spec.restart_policy != RestartPolicy::Always)
    pod_spec.error("restartPolicy", unsupported_value(shown_value(pod_spec.find("restartPolicy")), {"Always"}));
  if (spec.active_deadline)
    pod_spec.forbidden("activeDeadlineSeconds", fmt::format("activeDeadlineSeconds in {} is not Supported", kind));
}

template <class Workload>
Workload read_workload(ObjectReader& object, ObjectReader& spec, const KindRules& rules) {
  Workload out;
  out.meta = read_metadata(object, rules.name);
  ObjectReader selector = spec.object("selector"), pod_template = spec.object("template");
  out.selector = read_label_selector(selector);
  out.pod_template = read_pod_template(pod_template);
  if (!selector.exists())
    spec.required("selector");
  else if (out.selector.requirements.empty())
    spec.invalid("selector", fmt::format("empty selector is invalid for {}", rules.selector_kind));
  else if (!out.selector.matches(out.pod_template.labels))
    pod_template.object("metadata").invalid("labels", "`selector` does not match template `labels`");
  check_runs_for_ever(pod_template.object("spec"), out.pod_template.spec, rules.pod_kind);
  spec.seconds("minReadySeconds", 0, INT32_MAX, out.min_ready);
  object.harmless({"status"});
  return out;
}

template <class Workload>
void read_replicas(ObjectReader& spec, Workload& out) {
  spec.integer("replicas", 0, kMaxReplicas, out.replicas);
  out.has_replicas = spec.find("replicas") != nullptr;
}

// ------------------------------------------------------------------------------------------------------- deployments

bool is_zero(const IntOrPercent& amount) { return amount.value == 0; }

void read_surge(ObjectReader& rolling_update, RollingUpdate& out) {
  std::optional<IntOrPercent> unavailable = read_int_or_percent(rolling_update, "maxUnavailable");
  check_at_most_all(rolling_update, "maxUnavailable", unavailable);
  std::optional<IntOrPercent> surge = read_int_or_percent(rolling_update, "maxSurge");
  if (unavailable) out.max_unavailable = *unavailable;
  if (surge) out.max_surge = *surge;
}

void read_rolling_update(ObjectReader rolling_update, Deployment& out) {
  read_surge(rolling_update, out.rolling_update);
  if (is_zero(out.rolling_update.max_unavailable) && is_zero(out.rolling_update.max_surge))
    rolling_update.invalid("maxUnavailable", "may not be 0 when `maxSurge` is 0");
  rolling_update.finish();
}

void read_strategy(ObjectReader strategy, ObjectReader& spec, Deployment& out) {
  const std::string type = strategy.text("type");
  ObjectReader rolling_update = strategy.object("rollingUpdate");
  if (type == "Recreate") {
    out.strategy = Deployment::Strategy::Recreate;
    if (rolling_update.exists())
      strategy.forbidden("rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
  } else if (type.empty() || type == "RollingUpdate") {
    read_rolling_update(rolling_update, out);
  } else {
    spec.error("strategy", unsupported_value(strategy.shown(), {"Recreate", "RollingUpdate"}));
  }
  strategy.finish();
}

void read_progress_deadline(ObjectReader& spec, Deployment& out) {
  spec.seconds("progressDeadlineSeconds", 0, INT32_MAX, out.progress_deadline);
  if (out.progress_deadline <= out.min_ready)
    spec.error("progressDeadlineSeconds", invalid_value(std::to_string(out.progress_deadline.ns / 1'000'000'000),
                                                        "must be greater than minReadySeconds"));
}

// ------------------------------------------------------------------------------------------------------ stateful sets

void read_partition(ObjectReader rolling_update, StatefulSet& out) {
  rolling_update.integer("partition", 0, INT32_MAX, out.partition);
  std::optional<IntOrPercent> unavailable = read_int_or_percent(rolling_update, "maxUnavailable");
  check_at_most_all(rolling_update, "maxUnavailable", unavailable);
  if (unavailable && is_zero(*unavailable)) rolling_update.invalid("maxUnavailable", "cannot be 0");
  if (unavailable && (unavailable->percent || unavailable->value != 1)) rolling_update.unmodelled("maxUnavailable");
  rolling_update.finish();
}

void read_stateful_update(ObjectReader strategy, ObjectReader& spec, StatefulSet& out) {
  const std::string type = strategy.text("type");
  ObjectReader rolling_update = strategy.object("rollingUpdate");
  if (type == "OnDelete") {
    out.update = StatefulSet::Update::OnDelete;
    if (rolling_update.exists()) strategy.invalid("rollingUpdate", "only allowed for updateStrategy 'RollingUpdate'");
  } else if (type.empty() || type == "RollingUpdate") {
    read_partition(rolling_update, out);
  } else {
    spec.invalid("updateStrategy", "must be 'RollingUpdate' or 'OnDelete'");
  }
  strategy.finish();
}

void read_pod_management(ObjectReader& spec, StatefulSet& out) {
  const std::string policy = spec.text("podManagementPolicy");
  if (policy == "Parallel")
    out.pod_management = StatefulSet::PodManagement::Parallel;
  else if (!policy.empty() && policy != "OrderedReady")
    spec.invalid("podManagementPolicy", "must be 'OrderedReady' or 'Parallel'");
}

// -------------------------------------------------------------------------------------------------------- daemon sets

void check_daemon_surge(ObjectReader& rolling_update, const RollingUpdate& update) {
  if (!is_zero(update.max_unavailable) && !is_zero(update.max_surge))
    rolling_update.invalid("maxSurge", "may not be set when maxUnavailable is non-zero");
  if (is_zero(update.max_unavailable) && is_zero(update.max_surge))
    rolling_update.required("maxUnavailable", "cannot be 0 when maxSurge is 0");
}

void read_daemon_update(ObjectReader strategy, ObjectReader& spec, DaemonSet& out) {
  const std::string type = strategy.text("type");
  ObjectReader rolling_update = strategy.object("rollingUpdate");
  if (type == "OnDelete") {
    out.update = DaemonSet::Update::OnDelete;
  } else if (type.empty() || type == "RollingUpdate") {
    read_surge(rolling_update, out.rolling_update);
    check_at_most_all(rolling_update, "maxSurge", out.rolling_update.max_surge);
    check_daemon_surge(rolling_update, out.rolling_update);
    rolling_update.finish();
  } else {
    spec.error("updateStrategy", unsupported_value(strategy.shown(), {"RollingUpdate", "OnDelete"}));
  }
  strategy.finish();
}

}  // namespace

void read_deployment(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  Deployment deployment = read_workload<Deployment>(object, spec, kReplicaSetRules);
  read_replicas(spec, deployment);
  read_strategy(spec.object("strategy"), spec, deployment);
  read_progress_deadline(spec, deployment);
  spec.integer("revisionHistoryLimit", 0, INT32_MAX, deployment.revision_history_limit);
  deployment.paused = spec.flag("paused");
  spec.finish();
  object.finish();
  out.deployments.push_back(std::move(deployment));
}

void read_replica_set(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  ReplicaSet replica_set = read_workload<ReplicaSet>(object, spec, kReplicaSetRules);
  read_replicas(spec, replica_set);
  spec.finish();
  object.finish();
  out.replica_sets.push_back(std::move(replica_set));
}

void read_stateful_set(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  StatefulSet stateful_set = read_workload<StatefulSet>(object, spec, kStatefulSetRules);
  read_replicas(spec, stateful_set);
  read_pod_management(spec, stateful_set);
  read_stateful_update(spec.object("updateStrategy"), spec, stateful_set);
  ObjectReader ordinals = spec.object("ordinals");
  ordinals.integer("start", 0, INT32_MAX, stateful_set.first_ordinal);
  ordinals.finish();
  if (std::string service = spec.text("serviceName"); !service.empty())
    spec.check_name("serviceName", service, check_dns1123_label);
  spec.unmodelled("volumeClaimTemplates");
  spec.harmless({"revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy"});
  spec.finish();
  object.finish();
  out.stateful_sets.push_back(std::move(stateful_set));
}

void read_daemon_set(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  DaemonSet daemon_set = read_workload<DaemonSet>(object, spec, kDaemonSetRules);
  read_daemon_update(spec.object("updateStrategy"), spec, daemon_set);
  spec.harmless({"revisionHistoryLimit", "templateGeneration"});
  spec.finish();
  object.finish();
  out.daemon_sets.push_back(std::move(daemon_set));
}

}  // namespace kisim
