#include "conformance/scheduler_record.hpp"

#include "core/hash.hpp"
#include "io/input.hpp"
#include "io/scheduler_configuration.hpp"

namespace kisim::conformance {

namespace {

int minor_of(const std::string& version) {  // "v1.34.1"
  size_t dot = version.find('.');
  return dot == version.npos ? 34 : std::stoi(version.substr(dot + 1));
}

}  // namespace

std::string full_name(const Json& object) {
  const Json& metadata = at(object, "metadata");
  std::string space = text(metadata, "namespace");
  return (space.empty() ? "default" : space) + "/" + text(metadata, "name");
}

SchedulerRecord::SchedulerRecord(const Json& record)
    : id_(text(record, "id")), minor_(minor_of(text(record, "k8s"))), gates_(minor_) {
  for (const auto& [gate, on] : at(record, "featureGates").items())
    if (auto complaint = gates_.set(gate, on.is_boolean() ? on.get<bool>() : on == "true")) refuse(*complaint);
  if (const Json& config = at(record, "config"); config.is_object()) {
    Diagnostics diagnostics;
    configuration_ = read_scheduler_configuration(to_value(config, id_), diagnostics);
    diagnostics.throw_if_errors();
  }
  read_objects(record);
  read_nodes(record);
  read_pods(record);
  cluster_ = std::move(builder_).build();

  SchedulerConfig config;
  config.kubernetes_minor = minor_;
  config.gates = gates_;
  config.configuration = configuration_;
  // From 1.35 on, ties are not drawn; before, any choice is as good.
  config.tie_break = minor_ >= 35 ? TieBreak::Heap : TieBreak::First;
  model_ = compile_scheduler(cluster_, config);
  for (const SchedulerModel::Profile& profile : model_.profiles) {
    memory_.emplace_back();
    for (const SchedulerModel::Plugin& p : profile.plugins)
      memory_.back().push_back(PolicyMemoryBox(p.plugin->make_memory()));
  }
  cache_ = std::make_unique<SchedulerCache>(cluster_, model_.counters, snapshot_);
  cache_->start();
  cycle_ = std::make_unique<SchedulingCycle>(model_, cluster_, *cache_, memory_);
  for (const Json& object : at(record, "objects"))
    if (at(object, "kind") == "Node") add_node(object);
}

void SchedulerRecord::refuse(const std::string& message) const {
  throw InputError(Diagnostic{Severity::Error, {}, id_, message});
}

Manifests SchedulerRecord::read(const Json& object, std::vector<PriorityClass> classes) const {
  Manifests out;
  out.priority_classes = std::move(classes);
  Diagnostics diagnostics;
  read_manifest(to_value(object, id_), diagnostics, out);
  finish_manifests(diagnostics, out);
  diagnostics.throw_if_errors();
  return out;
}

void SchedulerRecord::read_objects(const Json& record) {
  Diagnostics diagnostics;
  for (const Json& object : at(record, "objects"))
    if (at(object, "kind") != "Node" && at(object, "kind") != "Pod")
      read_manifest(to_value(object, id_), diagnostics, objects_);
  diagnostics.throw_if_errors();
  for (const Namespace& n : objects_.namespaces) builder_.add_namespace(n);
  for (const Service& s : objects_.services) builder_.add_service(s);
  for (const PodDisruptionBudget& b : objects_.pod_disruption_budgets) builder_.add_budget(b);
}

// Every object that a node has in the course of the record, in that order.
void SchedulerRecord::read_nodes(const Json& record) {
  auto add = [&](const Json& node) {
    Json object = node;
    object["apiVersion"] = "v1";
    object["kind"] = "Node";
    builder_.add_node(read(object).nodes.at(0));
  };
  for (const Json& object : at(record, "objects"))
    if (at(object, "kind") == "Node") add(object);
  for (const Json& step : at(record, "steps"))
    if (at(step, "node").is_object()) add(at(step, "node"));
}

void SchedulerRecord::read_pods(const Json& record) {
  std::map<std::string, const LabelSelector*> owners;
  for (const ReplicaSet& r : objects_.replica_sets) owners[r.meta.full_name()] = &r.selector;
  auto add = [&](const Json& pod_object) {
    Json object = pod_object;
    object["apiVersion"] = "v1";
    object["kind"] = "Pod";
    Pod pod = read(object, objects_.priority_classes).pods.at(0);
    auto owner = owners.find(pod.meta.namespace_ + "/" + pod.meta.owner_name);
    bool owned = pod.meta.owner_kind == "ReplicaSet" && owner != owners.end();
    builder_.add_template(pod.meta.namespace_, {pod.meta.labels, pod.meta.annotations, pod.spec},
                          owned ? owner->second : nullptr);
    start_times_.push_back(pod.start_time.value_or(Time::max()));
    pod_names_.push_back(pod.meta.full_name());
  };
  for (const Json& object : at(record, "objects"))
    if (at(object, "kind") == "Pod") add(object);
  for (const Json& step : at(record, "steps"))
    if (at(step, "pod").is_object()) add(at(step, "pod"));
}

PodId SchedulerRecord::next_pod(const Json& object) {
  PodId pod(next_pod_++);
  std::string name = full_name(object);
  // A pod that comes again is the same pod: its earlier nomination is its own.
  if (auto earlier = pods_.find(name); earlier != pods_.end()) cache_->nominate(earlier->second, {});
  pods_[name] = pod;
  cache_->know_pod(pod, TemplateId(pod.value), hash_text("Pod/" + name));
  for (size_t b = 0; b < cluster_.budgets.size(); ++b)
    for (const std::string& disrupted : cluster_.budgets[b].object.disrupted_pods)
      if (cluster_.budgets[b].object.meta.namespace_ + "/" + disrupted == name)
        snapshot_.disrupted_pods[b].push_back(pod);
  return pod;
}

// A node that comes again under its name is the same node.
NodeId SchedulerRecord::add_node(const Json& object) {
  auto [known, is_new] = nodes_.try_emplace(text(at(object, "metadata"), "name"), NodeId(slots_));
  if (is_new) ++slots_;
  NodeId node = known->second;
  if (!is_new && snapshot_.present[node.value]) refuse("found addNode for a node that is there already");
  cache_->add_node(node, next_version());
  return node;
}

ClusterEvent SchedulerRecord::update_node(const Json& object) {
  NodeId node = this->node(text(at(object, "metadata"), "name"));
  ClusterEvent event;
  event.node = node;
  event.before = snapshot_.version[node.value];
  event.after = next_version();
  cache_->update_node(node, event.after);
  return event;
}

std::vector<std::string> SchedulerRecord::names(std::span<const NodeId> nodes) const {
  std::vector<std::string> out;
  for (NodeId n : nodes) out.push_back(node_name(n));
  return out;
}

}  // namespace kisim::conformance
