#pragma once
// Random clusters for property tests of the control plane: a pure function of a seed. Until `calm` things break and
// operators meddle; from then on nobody does, machines come back, and by `end` all should be as its owner wants it.

#include "core/hash.hpp"
#include "kube_world.hpp"
#include "policy/descheduler.hpp"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace kisim::test {

class Dice {
 public:
  Dice(uint64_t seed, uint64_t entity) : stream_(seed, entity, Purpose::Policy) {}

  bool one_in(uint32_t n) { return stream_.below(n) == 0; }
  int64_t between(int64_t low, int64_t high) { return low + stream_.below(static_cast<uint32_t>(high - low + 1)); }
  int32_t number(int32_t low, int32_t high) { return static_cast<int32_t>(between(low, high)); }
  size_t below(size_t n) { return stream_.below(static_cast<uint32_t>(n)); }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }
  template <class T>
  const T& any(const std::vector<T>& values) {
    return values[below(values.size())];
  }

 private:
  Stream stream_;
};

class ControlPlaneSetting : public KubeSetup {
 public:
  explicit ControlPlaneSetting(uint64_t seed) : dice_(seed, hash_text("control plane")) {
    kube.seed = scheduler.seed = seed;
    set_latencies();
    add_nodes();
    if (dice_.one_in(3)) add_cluster_autoscaler();
    for (int32_t i = dice_.number(3, 8); i > 0; --i) add_workload();
    for (int32_t i = dice_.number(0, 4); i > 0; --i) builder.add_budget(budget());
    if (dice_.one_in(2)) add_quota();
    if (dice_.one_in(3)) add_descheduler();
    for (int32_t i = dice_.number(0, 5); i > 0; --i) add_fault();
    for (int32_t i = dice_.number(8, 24); i > 0; --i) add_action();
    for (NodeId node : every_node_) act(Action::Kind::Uncordon, at(1999)).node = node;
  }

  SchedulerConfig scheduler;
  const Time calm = at(2000), end = at(2000 + 4 * 3600);

 private:
  using Kind = WorkloadModel::Kind;
  struct Template {
    std::string namespace_;
    int64_t milli_cpu = 0;
  };
  struct Workload {
    Kind kind = Kind::Pod;
    std::string namespace_;
    std::vector<SpecId> specs;
  };

  void set_latencies() {
    if (dice_.one_in(3)) return;
    kube.latencies = Latencies::upstream();
    if (dice_.one_in(2)) return;
    kube.latencies.watch = Duration{dice_.between(1, 200) * 1'000'000};
    scheduler.bind_latency = kube.latencies.bind = Duration{dice_.between(1, 500) * 1'000'000};
    if (dice_.one_in(2)) kube.latencies.controller_manager = {2, 3};
  }

  // --- nodes

  Node node(const std::string& name, int64_t milli_cpu) {
    Node out;
    out.meta.name = name;
    out.allocatable = {{"cpu", milli_cpu}, {"memory", 64 * kGigabyte}, {"pods", 12}};
    out.capacity = out.allocatable;
    out.meta.labels = {{"kubernetes.io/hostname", name}, {"topology.kubernetes.io/zone", dice_.pick({"a", "b", "c"})}};
    return out;
  }
  NodeId put(const Node& object, bool joins_later) {
    builder.add_node(object, joins_later);
    return NodeId(nodes++);
  }
  void add_nodes() {
    std::vector<std::pair<NodeId, Node>> objects;
    for (int32_t i = dice_.number(3, 7); i > 0; --i) {
      Node object = node(fmt::format("n{}", i), dice_.between(2, 8) * 1000);
      if (dice_.one_in(3)) {
        object.allocatable.push_back({"nvidia.com/gpu", dice_.pick({2, 4})});
        std::sort(object.allocatable.begin(), object.allocatable.end());
      }
      if (dice_.one_in(6)) object.taints.push_back({"dedicated", "ml", TaintEffect::NoSchedule});
      NodeId id = put(object, dice_.one_in(6));
      every_node_.push_back(id);
      if (find_label_of(object.allocatable, "nvidia.com/gpu")) gpu_nodes_.push_back(id);
      objects.emplace_back(id, object);
    }
    for (auto& [id, object] : objects) {
      versions_.emplace_back(id, id);
      if (dice_.one_in(2)) continue;
      object.taints.clear();
      if (dice_.one_in(2))
        object.taints.push_back({"dedicated", "ml", dice_.pick({TaintEffect::NoSchedule, TaintEffect::NoExecute})});
      object.meta.labels.push_back({"zzz", "changed"});
      versions_.emplace_back(id, put(object, true));
    }
  }
  static bool find_label_of(const ResourceList& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == name; });
  }
  void add_cluster_autoscaler() {
    ClusterAutoscalerModel& autoscaler = kube.cluster_autoscaler.emplace();
    using Expander = ClusterAutoscalerModel::Expander;
    autoscaler.expanders = {dice_.pick({Expander::Random, Expander::MostPods, Expander::LeastWaste})};
    autoscaler.unneeded_time = dice_.pick({60_s, 600_s});
    autoscaler.delay_after_add = dice_.pick({30_s, 600_s});
    for (int32_t g = dice_.number(1, 2); g > 0; --g) {
      NodeGroup group;
      group.name = fmt::format("group{}", g);
      group.max = dice_.number(1, 4);
      group.initial = dice_.number(0, 1);
      group.provision = Distribution::exponential(60);
      group.failure = dice_.pick({0.0, 0.2});
      for (int32_t i = 0; i < group.max; ++i)
        group.nodes.push_back(put(node(fmt::format("{}-{}", group.name, i), 4000), i >= group.initial));
      every_node_.insert(every_node_.end(), group.nodes.begin(), group.nodes.end());
      autoscaler.groups.push_back(std::move(group));
    }
  }

  // --- workloads

  void add_workload() {
    Workload w;
    w.kind = dice_.pick({Kind::Deployment, Kind::Deployment, Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet,
                         Kind::StatefulSet, Kind::DaemonSet, Kind::Job, Kind::Job, Kind::Pod});
    w.namespace_ = dice_.pick({"default", "team"});
    std::string name = fmt::format("{}{}", static_cast<char>('a' + workloads_.size()), workloads_.size());
    WorkloadId id(workloads_.size());
    WorkloadModel object{w.kind, w.namespace_, name, {}, 1, {}};
    KubeWorkload workload;
    bool serves = w.kind == Kind::Deployment && dice_.one_in(3);
    if (serves) {
      ServingModelModel server;
      server.name = name;
      server.batch.models[0].laws[0].base = Distribution::constant(1);
      object.serving = serving.models.push_back(server);
      workload.service =
          serving.services.push_back({w.namespace_, name, std::make_shared<FirstEndpoint>(), hash_text(name)});
    }
    workload.startup.container = Distribution::exponential(dice_.pick({1, 20}));
    if (w.kind == Kind::Job || dice_.one_in(5)) {
      workload.behaviour.run = Distribution::exponential(dice_.pick({30, 300}));
      workload.behaviour.failure = dice_.pick({0.0, 0.3});
    }
    PodSpec pods = pod_spec(w.kind);
    object.pod_template = add_template(w.namespace_, name, pods, "v1");
    builder.add_workload(object);
    add_specs(w, id, name, pods, object.pod_template);
    if (!dice_.one_in(8)) workload.spec = w.specs.front();
    kube.workloads.push_back(workload);
    workloads_.push_back(std::move(w));
  }
  TemplateId add_template(const std::string& namespace_, const std::string& name, const PodSpec& spec,
                          const std::string& hash) {
    PodTemplate pods{{{"app", name}, {"tier", name < "d" ? "front" : "back"}}, {}, spec, {}};
    templates_.push_back({namespace_, spec.containers[0].requests[0].second});
    return builder.add_template(namespace_, pods, nullptr, hash);
  }
  PodSpec pod_spec(Kind kind) {
    PodSpec spec = pod(dice_.between(1, 25) * 100);
    if (!gpu_nodes_.empty() && dice_.one_in(5)) spec.containers[0].requests.push_back({"nvidia.com/gpu", 1});
    spec.termination_grace_period = dice_.pick({0_s, 5_s, 30_s});
    if (dice_.one_in(8)) spec.priority = dice_.pick({-20, 100});
    if (dice_.one_in(4)) spec.tolerations.push_back({"dedicated", TolerationOperator::Exists, "", {}, {}});
    if (dice_.one_in(6))
      spec.tolerations.push_back({"dedicated", TolerationOperator::Exists, "", TaintEffect::NoExecute, 60});
    if (dice_.one_in(6)) spec.containers[0].readiness_probe = Probe{};
    if (kind == Kind::Job || (kind == Kind::Pod && dice_.one_in(2)))
      spec.restart_policy = dice_.pick({RestartPolicy::OnFailure, RestartPolicy::Never});
    if (kind == Kind::DaemonSet)
      for (Toleration& t : daemon_tolerations()) spec.tolerations.push_back(std::move(t));
    return spec;
  }

  // What its manifest says at first and at each later apply.
  void add_specs(Workload& w, WorkloadId id, const std::string& name, const PodSpec& pods, TemplateId first) {
    switch (w.kind) {
      case Kind::Deployment: {
        Deployment object;
        object.replicas = dice_.number(0, 8);
        if (dice_.one_in(4)) object.strategy = Deployment::Strategy::Recreate;
        object.rolling_update = {amount(), amount()};
        object.min_ready = dice_.pick({0_s, 0_s, 10_s});
        object.revision_history_limit = dice_.number(0, 2);
        return add_revisions(w, id, name, object, pods, first, [&](Deployment& d) {
          d.replicas = dice_.number(0, 8);
          d.paused = dice_.one_in(8);
        });
      }
      case Kind::ReplicaSet: {
        ReplicaSet object;
        object.replicas = dice_.number(0, 6);
        return add_revisions(w, id, name, object, pods, first, [&](ReplicaSet& r) { r.replicas = dice_.number(0, 6); });
      }
      case Kind::StatefulSet: {
        StatefulSet object;
        object.replicas = dice_.number(0, 5);
        object.first_ordinal = dice_.pick({0, 0, 3});
        if (dice_.one_in(2)) object.pod_management = StatefulSet::PodManagement::Parallel;
        return add_revisions(w, id, name, object, pods, first, [&](StatefulSet& s) {
          s.replicas = dice_.number(0, 5);
          s.partition = dice_.pick({0, 0, 0, 2});
          s.update = dice_.one_in(6) ? StatefulSet::Update::OnDelete : StatefulSet::Update::RollingUpdate;
          s.min_ready = dice_.pick({0_s, 10_s});
        });
      }
      case Kind::DaemonSet: {
        DaemonSet object;
        if (dice_.one_in(3)) object.rolling_update = {{1, false}, {0, false}};
        return add_revisions(w, id, name, object, pods, first, [&](DaemonSet& d) {
          d.update = dice_.one_in(6) ? DaemonSet::Update::OnDelete : DaemonSet::Update::RollingUpdate;
        });
      }
      case Kind::Job:
        return add_job(w, name, first);
      case Kind::Pod: {
        Pod object;
        object.meta.name = name;
        w.specs.push_back(add_spec(object, first));
      }
    }
  }
  template <class Object, class Change>
  void add_revisions(Workload& w, WorkloadId id, const std::string& name, Object object, PodSpec pods,
                     TemplateId pod_template, Change&& change) {
    object.meta.name = name;
    object.meta.namespace_ = w.namespace_;
    w.specs.push_back(add_spec(object, pod_template));
    for (int32_t i = dice_.number(0, 3); i > 0; --i) {
      change(object);
      if (!dice_.one_in(3)) {
        pods.containers[0].requests[0].second = dice_.between(1, 25) * 100;
        pod_template = add_template(w.namespace_, name, pods, fmt::format("v{}", 1 + i));
        builder.set_workload(pod_template, id);
      }
      w.specs.push_back(add_spec(object, pod_template));
      if constexpr (requires { object.replicas; })
        if (dice_.one_in(3)) kube.specs[w.specs.back()].replicas.reset();
    }
  }
  void add_job(Workload& w, const std::string& name, TemplateId pod_template) {
    Job job;
    job.meta.name = name;
    job.parallelism = dice_.number(1, 5);
    if (!dice_.one_in(4)) job.completions = dice_.number(1, 8);
    if (job.completions && dice_.one_in(2)) job.completion_mode = Job::Completion::Indexed;
    job.backoff_limit = dice_.number(0, 6);
    if (job.completion_mode == Job::Completion::Indexed && dice_.one_in(2))
      job.backoff_limit_per_index = dice_.number(0, 2);
    if (dice_.one_in(4)) job.active_deadline = Duration::seconds(static_cast<double>(dice_.between(60, 1000)));
    if (dice_.one_in(3)) job.ttl_after_finished = Duration::seconds(static_cast<double>(dice_.between(0, 500)));
    if (dice_.one_in(3)) job.pod_replacement = Job::Replacement::Failed;
    w.specs.push_back(add_spec(job, pod_template));
    for (int32_t i = dice_.number(0, 2); i > 0; --i) {
      job.suspend = dice_.one_in(3);
      job.parallelism = dice_.number(0, 5);
      w.specs.push_back(add_spec(job, pod_template));
    }
  }
  IntOrPercent amount() {
    return dice_.one_in(2) ? IntOrPercent{dice_.number(0, 2), false} : IntOrPercent{dice_.pick({0, 25, 50, 100}), true};
  }

  // --- what watches over them

  PodDisruptionBudget budget() {
    PodDisruptionBudget out;
    out.meta.name = fmt::format("budget{}", dice_.below(1000));
    out.meta.namespace_ = dice_.pick({"default", "team"});
    size_t w = dice_.below(workloads_.size());
    out.selector = LabelSelector{};
    if (dice_.one_in(3))
      out.selector->requirements = {{"tier", SelectorOperator::In, {dice_.pick({"front", "back"})}}};
    else
      out.selector->requirements = {
          {"app", SelectorOperator::In, {fmt::format("{}{}", static_cast<char>('a' + w), w)}}};
    IntOrPercent amount{dice_.number(0, 3), false};
    if (dice_.one_in(2)) amount = {dice_.pick({0, 30, 50, 100}), true};
    (dice_.one_in(2) ? out.min_available : out.max_unavailable) = amount;
    if (dice_.one_in(2)) out.unhealthy_pod_eviction_policy = PodDisruptionBudget::UnhealthyPods::AlwaysAllow;
    return out;
  }
  void add_quota() {
    QuotaModel quota;
    quota.object.meta.namespace_ = "team";
    quota.object.meta.name = "team";
    quota.object.hard = {{"pods", dice_.between(2, 16)}, {"requests.cpu", dice_.between(4, 24) * 1000}};
    for (const Template& t : templates_)
      quota.charges.push_back(t.namespace_ == "team" ? std::vector<int64_t>{1, t.milli_cpu} : std::vector<int64_t>{});
    kube.quotas.push_back(std::move(quota));
  }
  void add_descheduler() {
    DeschedulerProfile profile;
    profile.name = "default";
    profile.plugin_config["DefaultEvictor"].args = DefaultEvictorArgs{};
    PodLifeTimeArgs life_time;
    life_time.max_pod_life_time_seconds = 300;
    profile.plugin_config["PodLifeTime"].args = life_time;
    profile.plugin_config["RemoveDuplicates"].args = RemoveDuplicatesArgs{};
    RemovePodsHavingTooManyRestartsArgs restarts;
    restarts.pod_restart_threshold = 3;
    profile.plugin_config["RemovePodsHavingTooManyRestarts"].args = restarts;
    profile.plugin_config["RemovePodsViolatingNodeTaints"].args = RemovePodsViolatingNodeTaintsArgs{};
    profile.deschedule = {"RemovePodsHavingTooManyRestarts", "RemovePodsViolatingNodeTaints"};
    if (dice_.one_in(2)) profile.deschedule.push_back("PodLifeTime");
    profile.balance = {"RemoveDuplicates"};
    profile.filter = profile.pre_eviction_filter = {"DefaultEvictor"};
    DeschedulerPolicy policy;
    policy.profiles = {profile};
    if (dice_.one_in(2)) policy.max_pods_per_node = 2;
    if (dice_.one_in(2)) policy.grace_period_seconds = 10;
    kube.descheduler = DeschedulerModel{std::make_shared<const DeschedulerPolicy>(policy), 120_s, at(50), false};
  }

  // --- what happens to them

  void add_fault() {
    using Break = Fault::Kind;
    Fault fault;
    fault.kind =
        dice_.pick({Break::NodeLoss, Break::NodeLoss, Break::NodeLoss, Break::GpuFailure, Break::RegistryFailure,
                    Break::RegistrySlow, Break::CrashLoop, Break::OomKill, Break::MetricsOutage});
    if (fault.kind == Break::GpuFailure && gpu_nodes_.empty()) fault.kind = Break::NodeLoss;
    if (fault.kind == Break::NodeLoss)
      for (int32_t i = dice_.number(1, 3); i > 0; --i) {
        NodeId node = dice_.any(every_node_);
        if (std::find(fault.nodes.begin(), fault.nodes.end(), node) == fault.nodes.end()) fault.nodes.push_back(node);
      }
    if (fault.kind == Break::GpuFailure) fault.nodes = {dice_.any(gpu_nodes_)};
    fault.gpus = dice_.number(1, 3);
    fault.workload = WorkloadId(dice_.below(workloads_.size()));
    fault.factor = 0.1;
    if (!dice_.one_in(4)) fault.at = Distribution::constant(static_cast<double>(dice_.between(0, 1500)));
    if (!fault.at || dice_.one_in(3)) fault.every = Distribution::exponential(500);
    fault.for_ = dice_.one_in(2) ? Distribution::exponential(100) : Distribution::constant(600);
    fault.entity = kube.faults.size();
    kube.faults.push_back(std::move(fault));
  }
  Action& act(Action::Kind kind, Time when) {
    Action action;
    action.kind = kind;
    action.at = when;
    kube.actions.push_back(action);
    return kube.actions.back();
  }
  void add_action() {
    using Do = Action::Kind;
    Do kind = dice_.pick({Do::ApplyWorkload, Do::ApplyWorkload, Do::ApplyWorkload, Do::ApplyWorkload, Do::Restart,
                          Do::Scale, Do::Scale, Do::DeleteWorkload, Do::DeleteNamespace, Do::ApplyNode, Do::ApplyNode,
                          Do::DeleteNode, Do::Cordon, Do::Uncordon, Do::Drain, Do::Drain, Do::Drain});
    if (kind == Do::DeleteNamespace && !dice_.one_in(4)) kind = Do::ApplyWorkload;
    Action& action = act(kind, Time{dice_.between(10, 1900) * 1'000'000'000});
    size_t w = dice_.below(workloads_.size());
    action.workload = WorkloadId(w);
    action.spec = dice_.any(workloads_[w].specs);
    action.replicas = dice_.number(0, 9);
    action.cascade = dice_.pick({Action::Cascade::Background, Action::Cascade::Foreground, Action::Cascade::Orphan});
    action.namespace_ = dice_.pick({"default", "team"});
    action.node = dice_.any(every_node_);
    if (kind == Do::ApplyNode) std::tie(action.node, action.version) = dice_.any(versions_);
    action.ignore_daemon_sets = !dice_.one_in(4);
    action.force = dice_.one_in(2);
    if (dice_.one_in(3)) action.grace_period = 3_s;
    if (dice_.one_in(2)) action.timeout = Duration::seconds(static_cast<double>(dice_.between(0, 300)));
    // Somebody wants it back before all of it has gone.
    if (kind != Do::DeleteWorkload || dice_.one_in(2)) return;
    Action again = action;
    again.kind = Do::ApplyWorkload;
    again.at = again.at + 1_s * dice_.between(0, 40);
    kube.actions.push_back(std::move(again));
  }

  Dice dice_;
  std::vector<NodeId> every_node_, gpu_nodes_;
  std::vector<std::pair<NodeId, NodeId>> versions_;
  std::vector<Template> templates_;
  std::vector<Workload> workloads_;
};

}  // namespace kisim::test
