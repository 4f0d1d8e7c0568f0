#include "run/compile_cluster.hpp"

#include "cluster/resource_quota.hpp"
#include "core/hash.hpp"
#include "kube/cluster_autoscaler_expander.hpp"
#include "kube/daemon_set_controller.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

namespace kisim {

namespace {

using Kind = WorkloadModel::Kind;

template <class Object>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<Object, Deployment>) return Kind::Deployment;
  if constexpr (std::is_same_v<Object, ReplicaSet>) return Kind::ReplicaSet;
  if constexpr (std::is_same_v<Object, StatefulSet>) return Kind::StatefulSet;
  if constexpr (std::is_same_v<Object, DaemonSet>) return Kind::DaemonSet;
  if constexpr (std::is_same_v<Object, Job>) return Kind::Job;
  return Kind::Pod;
}

template <class Object>
std::optional<int32_t> replicas_of(const Object& object) {
  if constexpr (requires { object.replicas; }) {
    if (object.has_replicas) return object.replicas;
  }
  return std::nullopt;
}

// The object without its pods, which are in their template.
template <class Object>
Object without_pods(const Object& object) {
  Object out = object;
  if constexpr (requires { out.pod_template; })
    out.pod_template = {};
  else
    out.spec = {};
  return out;
}

// Everything but where it was written.
bool same_pods(const PodTemplate& a, const PodTemplate& b) {
  auto fields = [](const PodTemplate& t) {
    const PodSpec& s = t.spec;
    return std::tie(t.labels, t.annotations, t.refusal, s.containers, s.init_containers, s.restart_policy, s.overhead,
                    s.pod_requests, s.pod_limits, s.node_selector, s.required_node_affinity, s.preferred_node_affinity,
                    s.pod_affinity, s.pod_anti_affinity, s.topology_spread_constraints, s.tolerations, s.priority,
                    s.priority_class_name, s.preemption_policy, s.scheduler_name, s.node_name, s.scheduling_gates,
                    s.termination_grace_period, s.active_deadline);
  };
  return fields(a) == fields(b);
}

// As Kubernetes writes hashes into names (util/rand, SafeEncodeString): digits of the alphabet of generated names.
std::string encoded_hash(const std::string& text) {
  constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  std::string out = std::to_string(static_cast<uint32_t>(hash_text(text)));
  for (char& c : out) c = kAlphabet[static_cast<size_t>(c) % 27];
  return out;
}

const std::string kMigConfig = "nvidia.com/mig.config", kMigConfigState = "nvidia.com/mig.config.state";

bool has_labels(const Labels& labels, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& want) {
    const std::string* have = find_label(labels, want.first);
    return have && *have == want.second;
  });
}

void set_label(Labels& labels, const std::string& key, const std::string& value) {
  std::erase_if(labels, [&](const auto& label) { return label.first == key; });
  labels.emplace_back(key, value);
  std::sort(labels.begin(), labels.end());
}

}  // namespace

ClusterCompiler::ClusterCompiler(const Scenario& scenario, Model& model, std::vector<Diagnostic>& diagnostics)
    : scenario_(scenario), model_(model), diagnostics_(diagnostics), builder_(scenario.gpus, scenario.gpu_configs) {}

void ClusterCompiler::error(const SourceMark& mark, const std::string& field, const std::string& message) {
  diagnostics_.push_back({Severity::Error, mark, field, message});
}

void ClusterCompiler::warn(const SourceMark& mark, const std::string& field, const std::string& message) {
  diagnostics_.push_back({Severity::Warning, mark, field, message});
}

void ClusterCompiler::compile() {
  const Manifests& m = scenario_.manifests;
  nodes();
  for (const Namespace& n : m.namespaces) builder_.add_namespace(n);
  for (const Service& s : m.services) builder_.add_service(s);
  workloads(m, nullptr);
  actions();
  mig_policy();
  mig_transitions();
  for (const PodDisruptionBudget& b : m.pod_disruption_budgets) builder_.add_budget(b);
  for (const Diagnostic& d : builder_.warnings()) diagnostics_.push_back(d);
  model_.cluster = std::move(builder_).build();
  quotas();
  faults();
}

// --- nodes

void ClusterCompiler::nodes() {
  for (const Node& node : scenario_.manifests.nodes) {
    NodeId id = node_names_[node.meta.name] = builder_.add_node(node);
    latest_nodes_[node.meta.name] = node;
    objects_[node.meta.name].push_back(id);
  }
  node_groups();
  if (node_names_.empty())
    error(scenario_.mark, "spec.manifests", "found no Node, allowed: at least one (kubectl get nodes -o yaml)");
}

NodeId ClusterCompiler::find_node(const std::string& name) const {
  auto found = node_names_.find(name);
  return found == node_names_.end() ? NodeId{} : found->second;
}

// A group's nodes are all in the model from the start; those beyond its initial size join when they are made.
void ClusterCompiler::node_groups() {
  if (!scenario_.cluster_autoscaler) return;
  const ClusterAutoscalerSpec& spec = *scenario_.cluster_autoscaler;
  ClusterAutoscalerModel& out = model_.kube.cluster_autoscaler.emplace();
  for (const NodeGroupSpec& group : spec.node_groups) {
    NodeGroup& g = out.groups.emplace_back();
    g = {group.name,    {},          group.min,     group.max, group.initial, group.provision,
         group.failure, group.price, group.priority};
    for (int32_t i = 0; i < group.max; ++i) {
      Node node = group.node;
      node.meta.name = fmt::format("{}-{}", group.name, i + 1);
      for (auto& [key, value] : node.meta.labels)
        if (key == "kubernetes.io/hostname") value = node.meta.name;
      if (node_names_.contains(node.meta.name)) {
        error(group.mark, "spec.clusterAutoscaler.nodeGroups." + group.name,
              fmt::format("its node {} has the name of another node", node.meta.name));
        return;
      }
      g.nodes.push_back(node_names_[node.meta.name] = builder_.add_node(node, i >= group.initial));
    }
  }
  for (const std::string& name : spec.expander)  // checked by the reader
    for (const ExpanderDoc& expander : expander_docs())
      if (expander.name == name) out.expanders.push_back(expander.kind);
  out.scan_interval = spec.scan_interval;
  out.new_pod_scale_up_delay = spec.new_pod_scale_up_delay;
  out.max_node_provision_time = spec.max_node_provision_time;
  out.scale_down_enabled = spec.scale_down_enabled;
  out.utilization_threshold = spec.scale_down_utilization_threshold;
  out.unneeded_time = spec.scale_down_unneeded_time;
  out.unready_time = spec.scale_down_unready_time;
  out.delay_after_add = spec.scale_down_delay_after_add;
  out.delay_after_failure = spec.scale_down_delay_after_failure;
  out.delay_after_delete = spec.scale_down_delay_after_delete.value_or(spec.scan_interval);
  out.max_graceful_termination = spec.max_graceful_termination;
  out.max_nodes_total = spec.max_nodes_total;
  out.skip_nodes_with_system_pods = spec.skip_nodes_with_system_pods;
  out.skip_nodes_with_local_storage = spec.skip_nodes_with_local_storage;
}

// --- workloads

void ClusterCompiler::workloads(const Manifests& m, const ActionSpec* action) {
  for (const Deployment& d : m.deployments) workload(d, d.pod_template, &d.selector, action);
  for (const ReplicaSet& r : m.replica_sets) workload(r, r.pod_template, &r.selector, action);
  for (const StatefulSet& s : m.stateful_sets) workload(s, s.pod_template, &s.selector, action);
  for (const DaemonSet& d : m.daemon_sets) {
    PodTemplate pods = d.pod_template;
    for (Toleration& t : daemon_tolerations()) pods.spec.tolerations.push_back(std::move(t));
    workload(d, std::move(pods), &d.selector, action);
  }
  for (const Job& j : m.jobs) workload(j, j.pod_template, nullptr, action);
  for (const Pod& p : m.pods) workload(p, {p.meta.labels, p.meta.annotations, p.spec, {}}, nullptr, action);
}

TemplateId ClusterCompiler::add_revision(WorkloadId id, const std::string& namespace_, const PodTemplate& pods,
                                         const LabelSelector* selector) {
  std::vector<Revision>& revisions = revisions_[id];
  auto same = [&](const Revision& r) { return same_pods(r.pods, pods); };
  auto known = std::find_if(revisions.begin(), revisions.end(), same);
  if (known != revisions.end()) {
    std::rotate(known, known + 1, revisions.end());
    return revisions.back().id;
  }
  std::string address = fmt::format("{}/{}/{}", namespace_, metas_[id]->name, revisions.size());
  TemplateId pod_template = builder_.add_template(namespace_, pods, selector, encoded_hash(address));
  revisions.push_back({pods, pod_template});
  return pod_template;
}

template <class Object>
void ClusterCompiler::workload(const Object& object, PodTemplate pods, const LabelSelector* selector,
                               const ActionSpec* action) {
  const ObjectMeta& meta = object.meta;
  for (const Labels* annotations : std::initializer_list<const Labels*>{&pods.annotations, &meta.annotations})
    if (auto complaint = gpu_share_complaint(*annotations)) error(meta.mark, "metadata.annotations", *complaint);
  auto [name, is_new] = names_.try_emplace({kind_of<Object>(), meta.full_name()}, WorkloadId(metas_.size()));
  WorkloadId id = name->second;
  if (is_new) {
    metas_.push_back(&meta);
    pod_annotations_.push_back(pods.annotations);
    revisions_.push_back({});
    latest_.push_back({});
  }
  TemplateId pod_template = add_revision(id, meta.namespace_, pods, selector);
  if (is_new)
    builder_.add_workload(
        {kind_of<Object>(), meta.namespace_, meta.name, pod_template, replicas_of(object).value_or(1), {}});
  else
    builder_.set_workload(pod_template, id);
  latest_[id] = model_.kube.specs.push_back({without_pods(object), pod_template, replicas_of(object)});
  if (is_new) model_.kube.workloads.push_back({});
  if (!action) {
    model_.kube.workloads[id].spec = latest_[id];
    return;
  }
  Action& act = new_action(*action, Action::Kind::ApplyWorkload);
  act.workload = id;
  act.spec = latest_[id];
}

WorkloadId ClusterCompiler::find_workload(const std::string& name) const {
  for (const auto& [key, id] : names_)
    if (key.second == name || metas_[id]->name == name) return id;
  return {};
}

std::vector<std::string> ClusterCompiler::workload_names() const {
  std::vector<std::string> names;
  for (const ObjectMeta* meta : metas_) names.push_back(meta->full_name());
  return names;
}

std::string ClusterCompiler::annotation(WorkloadId id, const char* key) const {
  const std::string* value = find_label(pod_annotations_[id], key);
  if (!value) value = find_label(metas_[id]->annotations, key);
  return value ? *value : "";
}

// --- actions

void ClusterCompiler::actions() {
  // What an apply changes depends on what came before it.
  std::vector<const ActionSpec*> in_time;
  for (const ActionSpec& spec : scenario_.actions) in_time.push_back(&spec);
  std::stable_sort(in_time.begin(), in_time.end(),
                   [](const ActionSpec* a, const ActionSpec* b) { return a->at < b->at; });
  for (const ActionSpec* spec : in_time) add_action(*spec);
}

Action& ClusterCompiler::new_action(const ActionSpec& spec, Action::Kind kind) {
  Action& action = model_.kube.actions.emplace_back();
  action.kind = kind;
  action.at = Time{} + spec.at;
  return action;
}

void ClusterCompiler::add_action(const ActionSpec& spec) {
  using Is = ActionSpec::Kind;
  switch (spec.kind) {
    case Is::Apply:
      refuse_others(spec);
      apply_nodes(spec);
      return workloads(spec.apply, &spec);
    case Is::Restart:
      return restart(spec);
    case Is::Cordon:
    case Is::Uncordon:
    case Is::Drain: {
      Action::Kind kind = spec.kind == Is::Cordon     ? Action::Kind::Cordon
                          : spec.kind == Is::Uncordon ? Action::Kind::Uncordon
                                                      : Action::Kind::Drain;
      Action& action = new_action(spec, kind);
      action.node = find_node(spec.node);
      action.ignore_daemon_sets = spec.ignore_daemon_sets;
      action.delete_empty_dir_data = spec.delete_empty_dir_data;
      action.force = spec.force;
      action.grace_period = spec.grace_period;
      action.timeout = spec.timeout;
      if (kind == Action::Kind::Uncordon) uncordon_object(spec, action);
      if (!action.node.valid())
        error(spec.mark, "spec.actions", fmt::format("found node '{}', which no manifest has", spec.node));
      return;
    }
    case Is::Reconfigure:
      return reconfigure(spec);
    case Is::Scale:
    case Is::Delete:
      break;
  }
  if (spec.object_kind == "Namespace") {
    new_action(spec, Action::Kind::DeleteNamespace).namespace_ = spec.object_name;
    return;
  }
  if (spec.object_kind == "Node") {
    Action& action = new_action(spec, Action::Kind::DeleteNode);
    action.node = find_node(spec.object_name);
    if (!action.node.valid())
      error(spec.mark, "spec.actions", fmt::format("found node '{}', which no manifest has", spec.object_name));
    return;
  }
  Action& action = new_action(spec, spec.kind == Is::Scale ? Action::Kind::Scale : Action::Kind::DeleteWorkload);
  action.replicas = spec.replicas;
  action.cascade = static_cast<Action::Cascade>(spec.cascade);
  action.workload = target_of(spec);
}

// The workload that the action names; invalid after a complaint.
WorkloadId ClusterCompiler::target_of(const ActionSpec& spec) {
  for (const auto& [key, id] : names_)
    if (to_string(key.first) == spec.object_kind && key.second == spec.object_name) return id;
  error(
      spec.mark, "spec.actions",
      fmt::format("found {} '{}', allowed: {}", spec.object_kind, spec.object_name, fmt::join(workload_names(), ", ")));
  return {};
}

// Objects that can only be there from the start.
void ClusterCompiler::refuse_others(const ActionSpec& spec) {
  auto refuse = [&](const auto& objects, const char* kind) {
    for (const auto& object : objects)
      error(object.meta.mark, "spec.actions",
            fmt::format("found {} '{}', allowed: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, Pod, Node", kind,
                        object.meta.full_name()));
  };
  refuse(spec.apply.hpas, "HorizontalPodAutoscaler");
  refuse(spec.apply.services, "Service");
  refuse(spec.apply.pod_disruption_budgets, "PodDisruptionBudget");
  refuse(spec.apply.resource_quotas, "ResourceQuota");
  refuse(spec.apply.limit_ranges, "LimitRange");
}

void ClusterCompiler::apply_nodes(const ActionSpec& spec) {
  for (const Node& node : spec.apply.nodes) {
    NodeId known = find_node(node.meta.name);
    NodeId version = add_version(node);
    latest_nodes_[node.meta.name] = node;
    if (!known.valid()) node_names_[node.meta.name] = known = version;
    Action& action = new_action(spec, Action::Kind::ApplyNode);
    action.node = known;
    action.version = version;
  }
}

void ClusterCompiler::reconfigure(const ActionSpec& spec) {
  if (!find_node(spec.node).valid() || !latest_nodes_.contains(spec.node))
    return error(spec.mark, "spec.actions", fmt::format("found node '{}', which no manifest has", spec.node));
  if (!can_be_cut(spec.node, spec.mig_config, spec.mark, "spec.actions")) return;
  Action& action = new_action(spec, Action::Kind::Reconfigure);
  action.mig_node = mig_node(spec.node);
  action.mig_config =
      add_mig_config(action.mig_node, {spec.mig_config, {}, {}, spec.takes, spec.grace_period, spec.timeout});
}

// --- GPUs that are cut anew

// Whether the node can have that config; complains where somebody asks for it.
bool ClusterCompiler::can_be_cut(const std::string& name, const std::string& config, const SourceMark& mark,
                                 const std::string& field) {
  const Node& node = latest_nodes_.at(name);
  const bool lists_instances = std::any_of(node.allocatable.begin(), node.allocatable.end(), [](const auto& entry) {
    return entry.first.starts_with("nvidia.com/mig-") && entry.second > 0;
  });
  if (lists_instances) {
    error(mark, field,
          fmt::format("node {} lists its MIG instances as a live cluster does, so that its GPUs are taken as they are; "
                      "needed to cut them: its number of GPUs as nvidia.com/gpu, no nvidia.com/mig-…",
                      name));
    return false;
  }
  Node cut = node;
  set_label(cut.meta.labels, kMigConfig, config);
  std::vector<Diagnostic> complaints;
  publish_gpus(cut, scenario_.gpus, scenario_.gpu_configs, complaints);
  for (const Diagnostic& d : complaints) {
    if (d.field != "metadata.labels[" + std::string(kMigConfig) + "]") continue;
    error(mark, field, fmt::format("node {}: {}", name, d.message));
    return false;
  }
  return true;
}

// Its entry of KubeModel::mig_nodes.
uint32_t ClusterCompiler::mig_node(const std::string& name) {
  std::vector<MigNode>& nodes = model_.kube.mig_nodes;
  NodeId id = find_node(name);
  auto known = std::find_if(nodes.begin(), nodes.end(), [&](const MigNode& n) { return n.node == id; });
  if (known == nodes.end()) {
    nodes.push_back({id, {}, hash_text("Reconfigure/" + name)});
    known = nodes.end() - 1;
  }
  return static_cast<uint32_t>(known - nodes.begin());
}

// The node as its last manifest has it, with the label. Layouts that the GPUs do not allow are refused here.
uint32_t ClusterCompiler::add_mig_config(uint32_t mig_node, MigNode::Config config) {
  MigNode& node = model_.kube.mig_nodes[mig_node];
  Node& latest = latest_nodes_.at(builder_.node(node.node).object.meta.name);
  set_label(latest.meta.labels, kMigConfig, config.name);
  config.success = add_version(latest);
  node.configs.push_back(std::move(config));
  return static_cast<uint32_t>(node.configs.size()) - 1;
}

// Once all objects that a node may have are known.
void ClusterCompiler::mig_transitions() {
  for (MigNode& node : model_.kube.mig_nodes) {
    const std::vector<NodeId>& objects = objects_[builder_.node(node.node).object.meta.name];
    for (MigNode::Config& config : node.configs)
      for (NodeId before : objects) {
        Labels labels = builder_.node(before).object.meta.labels;
        set_label(labels, kMigConfig, config.name);
        set_label(labels, kMigConfigState, "pending");
        NodeId pending = builder_.add_relabelled(before, labels);
        set_label(labels, kMigConfigState, "failed");
        config.from.push_back({before, pending, builder_.add_relabelled(before, labels)});
      }
  }
}

void ClusterCompiler::mig_policy() {
  if (!scenario_.mig_policy) return;
  const MigPolicySpec& spec = *scenario_.mig_policy;
  MigPolicyModel& out = model_.kube.mig_policy.emplace();
  out.interval = spec.interval;
  out.configs = spec.configs;
  bool selected = false;
  for (const auto& [name, manifest] : std::map(latest_nodes_)) {
    NodeId id = find_node(name);
    const NodeModel& node = builder_.node(id);
    bool can = node.gpu_model.valid() && scenario_.gpus[node.gpu_model.value].mig.profiles().size() > 0;
    if (!can || !has_labels(manifest.meta.labels, spec.node_selector)) continue;
    selected = true;
    if (objects_[name].size() > 1) {
      error(spec.mark, "spec.policies.mig.nodeSelector",
            fmt::format("selects node {}, which actions change, too", name));
      continue;
    }
    if (!std::all_of(spec.configs.begin(), spec.configs.end(), [&, &node_name = name](const std::string& config) {
          return can_be_cut(node_name, config, spec.mark, "spec.policies.mig.configs");
        }))
      continue;
    uint32_t i = mig_node(name);
    out.nodes.push_back({i, static_cast<uint32_t>(model_.kube.mig_nodes[i].configs.size())});
    for (const std::string& config : spec.configs)
      add_mig_config(i, {config, {}, {}, spec.takes, spec.grace_period, spec.timeout});
  }
  if (!selected)
    error(spec.mark, "spec.policies.mig", "found no node whose GPUs can be cut (MIG), allowed: at least one");
}

// A further object of a node that is there already, or may be later.
NodeId ClusterCompiler::add_version(const Node& node) {
  NodeId version = builder_.add_node(node, true);
  objects_[node.meta.name].push_back(version);
  return version;
}

// A node whose manifest says unschedulable is another object afterwards.
void ClusterCompiler::uncordon_object(const ActionSpec& spec, Action& action) {
  auto latest = latest_nodes_.find(spec.node);
  if (latest == latest_nodes_.end() || !latest->second.unschedulable) return;
  latest->second.unschedulable = false;
  action.version = add_version(latest->second);
}

// kubectl rollout restart: the same pods with a new annotation.
void ClusterCompiler::restart(const ActionSpec& spec) {
  WorkloadId id = target_of(spec);
  if (!id.valid()) return;
  WorkloadSpec restarted = model_.kube.specs[latest_[id]];
  PodTemplate pods = revisions_[id].back().pods;
  const char* key = "kubectl.kubernetes.io/restartedAt";
  std::erase_if(pods.annotations, [&](const auto& annotation) { return annotation.first == key; });
  pods.annotations.emplace_back(key, fmt::format("{}", spec.at.to_seconds()));
  std::sort(pods.annotations.begin(), pods.annotations.end());
  restarted.pod_template = add_revision(id, metas_[id]->namespace_, pods, restarted.selector());
  builder_.set_workload(restarted.pod_template, id);
  restarted.replicas.reset();
  Action& action = new_action(spec, Action::Kind::Restart);
  action.workload = id;
  action.spec = latest_[id] = model_.kube.specs.push_back(std::move(restarted));
}

// --- quotas and faults

void ClusterCompiler::quotas() {
  for (const ResourceQuota& object : scenario_.manifests.resource_quotas) {
    QuotaModel& quota = model_.kube.quotas.emplace_back();
    quota.object = object;
    for (const PodTemplateModel& t : model_.cluster.templates) {
      std::vector<int64_t>& charges = quota.charges[quota.charges.push_back({})];
      if (t.namespace_ != object.meta.namespace_ || !covers(object, t.spec)) continue;
      ResourceList usage = quota_usage(t.spec);
      for (const auto& [name, hard] : object.hard) {
        auto used = std::find_if(usage.begin(), usage.end(), [&, &n = name](const auto& u) { return u.first == n; });
        charges.push_back(used == usage.end() ? 0 : used->second);
      }
    }
  }
}

void ClusterCompiler::faults() {
  auto matching = [&](auto&& wanted) {
    std::vector<NodeId> out;
    for (const auto& [name, id] : node_names_)
      if (wanted(model_.cluster.nodes[id])) out.push_back(id);
    std::sort(out.begin(), out.end());
    return out;
  };
  for (const FaultSpec& spec : scenario_.faults) {
    if (!spec.zone.empty()) {
      std::vector<NodeId> nodes = matching([&](const NodeModel& node) {
        const std::string* zone = find_label(node.object.meta.labels, "topology.kubernetes.io/zone");
        if (!zone) zone = find_label(node.object.meta.labels, "failure-domain.beta.kubernetes.io/zone");
        return zone && *zone == spec.zone;
      });
      if (nodes.empty())
        error(spec.mark, "spec.faults.zone",
              fmt::format("found '{}', which is the zone of no node (label topology.kubernetes.io/zone)", spec.zone));
      add_fault(spec, nodes, spec.zone);
    } else if (!spec.node.empty()) {
      NodeId node = find_node(spec.node);
      if (!node.valid()) {
        std::vector<std::string> names;
        for (const auto& [name, id] : node_names_) names.push_back(name);
        error(spec.mark, "spec.faults.node", fmt::format("found '{}', allowed: {}", spec.node, fmt::join(names, ", ")));
        continue;
      }
      add_fault(spec, {node}, spec.node);
    } else if (!spec.node_selector.empty()) {
      // Each node breaks by itself.
      std::vector<NodeId> nodes =
          matching([&](const NodeModel& node) { return has_labels(node.object.meta.labels, spec.node_selector); });
      if (nodes.empty()) error(spec.mark, "spec.faults.nodeSelector", "selects no node");
      for (NodeId node : nodes) add_fault(spec, {node}, model_.cluster.nodes[node].object.meta.name);
    } else {
      add_fault(spec, {}, spec.workload);
    }
  }
}

void ClusterCompiler::add_fault(const FaultSpec& spec, std::vector<NodeId> nodes, const std::string& target) {
  using In = FaultSpec::Kind;
  using Out = Fault::Kind;
  const std::map<In, Out> kinds{{In::NodeLoss, Out::NodeLoss},
                                {In::ZoneOutage, Out::NodeLoss},
                                {In::GpuFailure, Out::GpuFailure},
                                {In::NvlinkFailure, Out::NvlinkFailure},
                                {In::RegistryFailure, Out::RegistryFailure},
                                {In::RegistrySlow, Out::RegistrySlow},
                                {In::CrashLoop, Out::CrashLoop},
                                {In::OomKill, Out::OomKill},
                                {In::MetricsOutage, Out::MetricsOutage}};
  Fault& fault = model_.kube.faults.emplace_back();
  fault.kind = kinds.at(spec.kind);
  fault.nodes = std::move(nodes);
  fault.gpus = spec.gpus;
  fault.factor = spec.factor;
  fault.at = spec.at;
  fault.every = spec.every;
  fault.for_ = spec.for_;
  // The n-th of its kind on this target, so that other faults shift nothing.
  std::string address = fmt::format("Fault/{}/{}", static_cast<int>(spec.kind), target);
  fault.entity = hash_combine(hash_text(address), fault_count_[address]++);
  if (spec.workload.empty()) return;
  fault.workload = find_workload(spec.workload);
  if (!fault.workload.valid())
    error(spec.mark, "spec.faults.workload",
          fmt::format("found '{}', allowed: {}", spec.workload, fmt::join(workload_names(), ", ")));
}

}  // namespace kisim
