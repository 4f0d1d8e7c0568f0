// Properties that hold for every cluster, workload and history: random clusters live through random events, and after
// each of them the scheduler's books are compared with what an onlooker can count for himself.
//
// KISIM_PROPERTY_STEPS: how many steps (20000). KISIM_PROPERTY_SEED: the first seed (0), to see a failure again.

#include "core/hash.hpp"
#include "kube/scheduler_fixture.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler_args.hpp"
#include "property.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <memory>
#include <set>

namespace kisim {
namespace {

using namespace test;
using Place = QueuedPod::Place;
using Stage = SchedulerState::Pod::Stage;

constexpr uint64_t kStepsPerCluster = 500, kStepsTogether = 50;
const std::string kZone = "topology.kubernetes.io/zone", kHostname = "kubernetes.io/hostname";

// --- a plugin with whims, for the paths that nothing in tree takes

// By turns it lets a pod wait, lets those that wait go on, and refuses one here and there. Calm, it agrees to
// everything.
struct WhimMemory : CopyableMemory<WhimMemory> {
  uint64_t asked = 0;
  bool calm = false;
  std::vector<PodId> waiting;
};
class Whims : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override {
    return {ExtensionPoint::Reserve, ExtensionPoint::Permit, ExtensionPoint::PreBind};
  }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<WhimMemory>(); }

  StatusCode reserve(PluginContext& c, NodeId, std::vector<uint16_t>&) const override {
    return !memory(c).calm && memory(c).asked++ % 16 == 7 ? StatusCode::Unschedulable : StatusCode::Success;
  }
  void unreserve(PluginContext& c, NodeId) const override { std::erase(memory(c).waiting, c.pod); }

  StatusCode permit(PluginContext& c, NodeId, PermitOutcome& out) const override {
    if (memory(c).calm) return StatusCode::Success;
    switch (memory(c).asked++ % 8) {
      case 0:
      case 3:
        memory(c).waiting.push_back(c.pod);
        out.timeout = 3_s;
        return StatusCode::Wait;
      case 1:
        out.allow = memory(c).waiting;
        return StatusCode::Success;
      case 2:
        return StatusCode::Unschedulable;
      case 5:
        return StatusCode::Pending;
      default:
        return StatusCode::Success;
    }
  }
  StatusCode pre_bind(PluginContext& c, NodeId) const override {
    std::erase(memory(c).waiting, c.pod);
    return !memory(c).calm && memory(c).asked++ % 16 == 3 ? StatusCode::Error : StatusCode::Success;
  }

 private:
  static WhimMemory& memory(PluginContext& c) { return static_cast<WhimMemory&>(*c.memory); }
};
KISIM_POLICY(SchedulerPlugin, "TestWhims", "for tests", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<Whims>(); });

// --- random clusters and workloads

class Dice {
 public:
  Dice(uint64_t seed, uint64_t entity) : stream_(seed, entity, Purpose::Policy) {}

  bool one_in(uint32_t n) { return stream_.below(n) == 0; }
  int64_t between(int64_t low, int64_t high) { return low + stream_.below(static_cast<uint32_t>(high - low + 1)); }
  size_t below(size_t n) { return stream_.below(static_cast<uint32_t>(n)); }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }

 private:
  Stream stream_;
};

// A cluster to be, a pure function of its seed.
class Setting {
 public:
  explicit Setting(uint64_t seed) : dice_(seed, hash_text("setting")) {
    gpus_ = !dice_.one_in(3);
    shares_ = gpus_ && dice_.one_in(2);
    int64_t nodes = dice_.between(5, dice_.between(5, 40));
    if (dice_.one_in(32)) nodes = 130;  // not all of so many are looked at
    for (int64_t n = 0; n < nodes; ++n) objects.nodes.push_back(node(n));
    objects.namespaces.resize(2);
    objects.namespaces[0].meta.name = "default";
    objects.namespaces[1].meta.name = "team";
    objects.namespaces[1].meta.labels = {{"kind", "team"}};
    for (int64_t i = dice_.between(0, 2); i > 0; --i) objects.services.push_back(service());
    configure(seed);
    for (int64_t w = dice_.between(8, 24); w > 0; --w) objects.workloads.push_back(workload());
    for (int64_t i = dice_.between(0, 3); i > 0; --i) objects.budgets.push_back(budget());
  }

  Objects objects;
  SchedulerConfig config = default_config();
  bool careless = false;  // one profile does not ask for room

 private:
  Node node(int64_t n) {
    Node out;
    out.meta.name = fmt::format("n{:03}", n);
    ResourceList& has = out.allocatable;
    has = {{"cpu", dice_.between(2, 8) * 1000},
           {"ephemeral-storage", 1000},
           {"memory", dice_.between(2, 8) * 1024 * kMiB}};
    if (gpus_ && !dice_.one_in(4)) has.push_back({"nvidia.com/gpu", dice_.pick({1, 2, 4, 8})});
    if (gpus_ && dice_.one_in(3)) has.push_back({"nvidia.com/mig-1g.10gb", dice_.between(1, 7)});
    has.push_back({"pods", dice_.between(4, 16)});
    out.capacity = out.allocatable;
    Labels& labels = out.meta.labels;
    if (gpus_ && !dice_.one_in(4)) labels.push_back({"alibabacloud.com/gpu-card-model", dice_.pick({"T4", "G2"})});
    if (dice_.one_in(2)) labels.push_back({"cores", std::to_string(dice_.between(1, 9))});
    if (dice_.one_in(2)) labels.push_back({"disk", dice_.pick({"ssd", "hdd"})});
    labels.push_back({kHostname, out.meta.name});
    if (!dice_.one_in(3)) labels.push_back({"rack", fmt::format("r{}", dice_.below(6))});
    if (!dice_.one_in(8)) labels.push_back({kZone, dice_.pick({"a", "b", "c"})});
    if (dice_.one_in(6)) out.taints.push_back({"dedicated", dice_.pick({"ml", "web"}), effect()});
    if (dice_.one_in(12)) out.taints.push_back({"old", "", effect()});
    out.unschedulable = dice_.one_in(16);
    for (const char* image : {"server:1", "server:2", "tool:1"})
      if (dice_.one_in(3)) out.images.push_back({image, dice_.between(10, 2000) * kMiB});
    return out;
  }

  Service service() {
    Service out;
    out.meta.name = "service";
    out.selector = {{"app", app()}};
    return out;
  }

  PodDisruptionBudget budget() {
    PodDisruptionBudget out;
    out.meta.name = "budget";
    if (!dice_.one_in(8)) out.selector = selector();
    IntOrPercent amount{static_cast<int32_t>(dice_.pick({0, 1, 2, 50})), false};
    amount.percent = amount.value == 50;
    (dice_.one_in(2) ? out.min_available : out.max_unavailable) = amount;
    return out;
  }

  // --- the scheduler

  void configure(uint64_t seed) {
    int minor = dice_.pick({34, 35, 36});
    config = default_config(minor);
    config.seed = seed;
    config.tie_break = dice_.pick({TieBreak::Seeded, TieBreak::Heap, TieBreak::First, TieBreak::Name});
    config.bind_latency = dice_.pick({Duration{}, 300_ms, 2_s});
    config.configuration.profiles = {profile("default-scheduler"), profile("packing"), profile("first-fit")};
    NodeResourcesFitArgs packing;
    packing.strategy = NodeResourcesFitArgs::Strategy::MostAllocated;
    config.configuration.profiles[1].plugin_config["NodeResourcesFit"].args = packing;
    config.configuration.profiles[2].points[static_cast<size_t>(ExtensionPoint::Score)].disabled = {{"*"}};
    if (dice_.one_in(3)) config.configuration.profiles[0].multi_point.enabled.push_back({"TestWhims"});
    careless = dice_.one_in(8);
    if (careless) config.configuration.profiles[2].multi_point.disabled = {{"NodeResourcesFit"}};
  }

  // Whoever may meet pods that share GPUs must look at devices.
  SchedulerProfile profile(const std::string& name) {
    SchedulerProfile out;
    out.scheduler_name = name;
    if (shares_) out.multi_point.enabled = {{"GpuShare"}, {"FGD"}};
    return out;
  }

  // --- pods

  Objects::Workload workload() {
    Objects::Workload out;
    out.namespace_ = dice_.pick({"default", "default", "team", "nowhere"});
    out.pods.labels = {{"app", app()}};
    if (dice_.one_in(2)) out.pods.labels.push_back({"tier", dice_.pick({"front", "back"})});
    if (dice_.one_in(2)) out.owner = LabelSelector{{{"app", SelectorOperator::In, {out.pods.labels[0].second}}}};
    PodSpec& spec = out.pods.spec;
    spec.containers.push_back({"server", dice_.pick({"server:1", "server:2", "own:1"}), requests(), {}, {}});
    if (dice_.one_in(4)) spec.containers.push_back({"tool", "tool:1", {{"memory", 64 * kMiB}}, {}, {}});
    if (dice_.one_in(8))
      spec.init_containers.push_back({"init", "tool:1", {{"cpu", dice_.between(100, 2000)}}, {}, {}});
    if (dice_.one_in(8)) spec.overhead = {{"cpu", 50}};
    if (shares_ && dice_.one_in(2)) share_gpus(out.pods.annotations);
    if (gpus_ && out.pods.annotations.empty() && dice_.one_in(3))
      spec.containers[0].requests.push_back({"nvidia.com/gpu", dice_.pick({1, 1, 2, 4})});
    else if (gpus_ && dice_.one_in(4))
      spec.containers[0].requests.push_back({"nvidia.com/mig-1g.10gb", dice_.between(1, 3)});
    spec.priority = dice_.pick({0, 0, 5, 10, 100});
    if (dice_.one_in(8)) spec.preemption_policy = PreemptionPolicy::Never;
    if (dice_.one_in(8)) spec.scheduling_gates = {"wait"};
    spec.scheduler_name =
        dice_.pick({"default-scheduler", "default-scheduler", "default-scheduler", "packing", "first-fit"});
    if (dice_.one_in(16)) spec.scheduler_name = "somebody-else";
    want_nodes(spec);
    want_company(spec);
    if (dice_.one_in(6)) spec.containers[0].host_ports.push_back(host_port());
    return out;
  }

  ResourceList requests() {
    ResourceList out;
    if (!dice_.one_in(5)) out.push_back({"cpu", dice_.between(1, 30) * 100});
    if (dice_.one_in(8)) out.push_back({"ephemeral-storage", dice_.between(1, 600)});
    if (!dice_.one_in(5)) out.push_back({"memory", dice_.between(1, 30) * 100 * kMiB});
    return out;
  }

  void share_gpus(Labels& annotations) {
    bool several = dice_.one_in(5);
    if (dice_.one_in(3)) annotations.push_back({"alibabacloud.com/gpu-card-model", dice_.pick({"T4", "G2", "T4|G2"})});
    annotations.push_back({"alibabacloud.com/gpu-count", several ? "2" : "1"});
    annotations.push_back(
        {"alibabacloud.com/gpu-milli", several ? "1000" : std::to_string(dice_.between(1, 10) * 100)});
  }

  void want_nodes(PodSpec& spec) {
    if (dice_.one_in(8)) spec.node_selector = {{"disk", dice_.pick({"ssd", "hdd"})}};
    if (dice_.one_in(8)) spec.required_node_affinity = {node_term()};
    if (dice_.one_in(16)) spec.required_node_affinity = {named_nodes()};
    if (dice_.one_in(6)) spec.preferred_node_affinity = {{static_cast<int32_t>(dice_.between(1, 100)), node_term()}};
    if (dice_.one_in(4)) spec.tolerations.push_back({"dedicated", TolerationOperator::Equal, "ml", {}, {}});
    if (dice_.one_in(6))
      spec.tolerations.push_back({"old", TolerationOperator::Exists, "", TaintEffect::NoSchedule, {}});
    if (dice_.one_in(16)) spec.tolerations.push_back({"", TolerationOperator::Exists, "", {}, {}});
  }

  NodeSelectorTerm node_term() {
    switch (dice_.below(4)) {
      case 0:
        return {{{"disk", SelectorOperator::NotIn, {"hdd"}}}, {}};
      case 1:
        return {{{"cores", SelectorOperator::Gt, {"3"}}}, {}};
      case 2:
        return {{{"rack", SelectorOperator::Exists, {}}}, {}};
      default:
        return {{{kZone, SelectorOperator::In, {"a", "b"}}}, {}};
    }
  }
  NodeSelectorTerm named_nodes() {
    std::vector<std::string> names;
    for (int i = 0; i < 3; ++i) names.push_back(objects.nodes[dice_.below(objects.nodes.size())].meta.name);
    return {{}, {{"metadata.name", SelectorOperator::In, names}}};
  }

  void want_company(PodSpec& spec) {
    if (dice_.one_in(8)) spec.pod_affinity.required.push_back(pod_term());
    if (dice_.one_in(6)) spec.pod_anti_affinity.required.push_back(pod_term());
    if (dice_.one_in(6))
      spec.pod_affinity.preferred.push_back({static_cast<int32_t>(dice_.between(1, 100)), pod_term()});
    if (dice_.one_in(6))
      spec.pod_anti_affinity.preferred.push_back({static_cast<int32_t>(dice_.between(1, 100)), pod_term()});
    for (uint32_t odds : {3u, 6u})
      if (dice_.one_in(odds)) spec.topology_spread_constraints.push_back(spread());
  }

  PodAffinityTerm pod_term() {
    PodAffinityTerm out;
    if (!dice_.one_in(16)) out.label_selector = selector();
    out.topology_key = topology_key();
    if (dice_.one_in(4)) out.namespaces = {"team", "nowhere"};
    if (dice_.one_in(4)) out.namespace_selector = LabelSelector{};
    if (dice_.one_in(8)) out.namespace_selector = LabelSelector{{{"kind", SelectorOperator::In, {"team"}}}};
    return out;
  }

  TopologySpreadConstraint spread() {
    using Spread = TopologySpreadConstraint;
    Spread out;
    out.max_skew = static_cast<int32_t>(dice_.between(1, 3));
    out.topology_key = topology_key();
    out.when_unsatisfiable = dice_.pick({Spread::Unsatisfiable::DoNotSchedule, Spread::Unsatisfiable::ScheduleAnyway});
    if (!dice_.one_in(8)) out.label_selector = selector();
    out.min_domains = static_cast<int32_t>(dice_.pick({1, 1, 1, 3}));
    out.node_affinity_policy = dice_.pick({Spread::InclusionPolicy::Honor, Spread::InclusionPolicy::Ignore});
    out.node_taints_policy = dice_.pick({Spread::InclusionPolicy::Honor, Spread::InclusionPolicy::Ignore});
    return out;
  }

  HostPort host_port() {
    HostPort out;
    out.protocol = dice_.pick({HostPort::Protocol::TCP, HostPort::Protocol::TCP, HostPort::Protocol::UDP});
    out.ip = dice_.pick({"0.0.0.0", "10.0.0.1", "10.0.0.2"});
    out.port = static_cast<int32_t>(dice_.between(8000, 8001));
    return out;
  }

  LabelSelector selector() {
    switch (dice_.below(6)) {
      case 0:
        return {{{"tier", SelectorOperator::Exists, {}}}};
      case 1:
        return {};
      default:
        return {{{"app", SelectorOperator::In, {app()}}}};
    }
  }
  std::string topology_key() { return dice_.pick({kHostname, kZone, std::string("rack")}); }
  std::string app() { return dice_.pick({"a", "b", "c", "d"}); }
  TaintEffect effect() {
    return dice_.pick({TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute});
  }

  Dice dice_;
  bool gpus_ = false, shares_ = false;
};

// --- the properties. Each returns what is wrong, or nothing.

using Complaint = std::string;

const PodTemplateModel& template_of(const SchedulerFixture& f, PodId pod) {
  return f.model.templates[f.cluster_state.pods[pod].pod_template];
}

// 1. No node is asked for more than it has, pods included: by bound pods, and unless a profile does not care, with the
// assumed ones.
Complaint no_node_over_allocatable(const SchedulerFixture& f, bool careless) {
  const SchedulerSnapshot& s = f.state.snapshot;
  size_t width = f.model.resource_count();
  for (size_t i = 0; i < s.requested.size(); ++i)
    if ((careless ? f.cluster_state.requested[i] : s.requested[i]) > s.allocatable[i] ||
        s.requested[i] < f.cluster_state.requested[i])
      return fmt::format("node {}: {} {} requested with assumed pods, {} by bound ones, {} allocatable", i / width,
                         f.model.resources[i % width], s.requested[i], f.cluster_state.requested[i], s.allocatable[i]);
  return "";
}

// 1. Every GPU has free what the pods on it leave.
Complaint devices_add_up(const SchedulerFixture& f) {
  const SchedulerSnapshot& s = f.state.snapshot;
  for (size_t n = 0; n < s.pods.size(); ++n) {
    std::vector<int32_t> free;
    for (uint32_t g = 0; g < s.device_free_milli[n].size(); ++g)
      free.push_back(f.model.nodes[NodeId(s.device_version[n])].is_whole(g) ? 1000 : 0);
    for (PodId pod : s.pods[n])
      for (uint16_t device : s.pod_records[pod].devices) {
        int32_t milli = template_of(f, pod).gpu_milli;
        free[device] -= milli > 0 ? milli : 1000;
      }
    for (size_t d = 0; d < free.size(); ++d)
      if (free[d] < 0 || free[d] != s.device_free_milli[n][d])
        return fmt::format("node {}: GPU {} has {} thousandths free, by its pods {}", n, d, s.device_free_milli[n][d],
                           free[d]);
  }
  return "";
}

// 1. No GPU is promised twice, and pods have those that the scheduler counts as theirs.
Complaint gpus_are_those_promised(const SchedulerFixture& f) {
  for (size_t n = 0; n < f.cluster_state.devices.size(); ++n)
    for (const DeviceState& device : f.cluster_state.devices[n])
      if (device.taken < 0 || device.taken > 1000 || (device.owner.valid() && device.taken != 1000))
        return fmt::format("node {}: {} thousandths of a GPU taken, owner {}", n, device.taken, device.owner.value);
  for (size_t p = 0; p < f.cluster_state.pods.size(); ++p) {
    const PodState& pod = f.cluster_state.pods[PodId(p)];
    if (!pod.node.valid() || pod.phase == PodPhase::Gone) continue;
    const std::vector<uint16_t>& counted = f.state.snapshot.pod_records[PodId(p)].devices;
    const PodTemplateModel& t = f.model.templates[pod.pod_template];
    std::vector<uint16_t> whole;  // without instances
    const std::vector<GpuDevice>& devices = f.model.nodes[f.cluster_state.device_version[pod.node.value]].devices;
    for (uint16_t d : pod.devices)
      if (devices[d].resource == "nvidia.com/gpu") whole.push_back(devices[d].gpu);
    bool same = whole == counted;
    if (!same) return fmt::format("pod {} has other GPUs than the scheduler counts as its own", p);
    if (counted.size() != (t.gpu_milli > 0 ? static_cast<uint32_t>(t.gpu_count) : t.gpus))
      return fmt::format("pod {} has {} GPUs", p, counted.size());
  }
  return "";
}

// 2. A pod is in the list of its node, and in no other.
Complaint every_pod_on_one_node(const SchedulerFixture& f) {
  const SchedulerSnapshot& s = f.state.snapshot;
  std::vector<uint32_t> seen(s.pod_records.size(), 0);
  for (size_t n = 0; n < s.pods.size(); ++n)
    for (PodId pod : s.pods[n]) {
      if (s.pod_records[pod].node != NodeId(n)) return fmt::format("pod {} is listed on node {}", pod.value, n);
      ++seen[pod.value];
    }
  for (size_t p = 0; p < seen.size(); ++p) {
    bool placed = s.pod_records[PodId(p)].node.valid();
    if (seen[p] != placed) return fmt::format("pod {} is listed {} times", p, seen[p]);
  }
  return "";
}

// A fresh cache with the same nodes and pods. Pods that share GPUs come first, since whole GPUs are handed out anew.
SchedulerSnapshot recount(const SchedulerFixture& f) {
  const SchedulerSnapshot& s = f.state.snapshot;
  SchedulerSnapshot out;
  SchedulerCache cache(f.model, f.scheduler_model.counters, out);
  cache.start();
  for (size_t n = 0; n < s.version.size(); ++n) {
    cache.add_node(NodeId(n), s.version[n]);
    cache.set_conditions(NodeId(n), s.conditions[n]);
  }
  for (bool whole : {false, true})
    for (size_t n = 0; n < s.pods.size(); ++n)
      for (PodId pod : s.pods[n]) {
        const SnapshotPod& record = s.pod_records[pod];
        if ((template_of(f, pod).gpus > 0) != whole) continue;
        cache.know_pod(pod, record.pod_template, record.entity);
        cache.add_pod(pod, NodeId(n));
        if (record.terminating) cache.set_terminating(pod, record.preempted);
        if (!whole && !record.devices.empty()) cache.hold_devices(pod, record.devices);
      }
  cache.refresh();
  for (std::vector<int32_t>& free : out.device_free_milli) std::sort(free.begin(), free.end());
  return out;
}

struct Field {
  const char* name;
  bool same;
};
Complaint first_difference(std::initializer_list<Field> fields) {
  for (const Field& field : fields)
    if (!field.same) return fmt::format("{} differs", field.name);
  return "";
}

// 2. What is kept up to date as pods come and go is what counting afresh gives. Of too few GPUs for all, who came first
// has more.
Complaint sums_equal_a_recount(SchedulerFixture& f, bool careless) {
  f.cache.refresh();
  const SchedulerSnapshot &a = f.state.snapshot, b = recount(f);
  std::vector<std::vector<int32_t>> free = a.device_free_milli;
  for (std::vector<int32_t>& milli : free) std::sort(milli.begin(), milli.end());
  return first_difference({{"requested", a.requested == b.requested},
                           {"allocatable", a.allocatable == b.allocatable},
                           {"nonzero_cpu", a.nonzero_cpu == b.nonzero_cpu},
                           {"nonzero_memory", a.nonzero_memory == b.nonzero_memory},
                           {"counts", a.counts == b.counts},
                           {"domain_nodes", a.domain_nodes == b.domain_nodes},
                           {"counted_pods", a.counted_pods == b.counted_pods},
                           {"live_domains", a.live_domains == b.live_domains},
                           {"image_nodes", a.image_nodes == b.image_nodes},
                           {"image_bytes", a.image_bytes == b.image_bytes},
                           {"holders", a.holders == b.holders},
                           {"device_free_milli", careless || free == b.device_free_milli},
                           {"order", a.order == b.order}});
}

// 3. The chosen node passes each filter of the profile when asked now and alone. `fresh` has just run for the pod.
Complaint host_passes_every_filter(SchedulingCycle& fresh, NodeId host) {
  for (uint8_t i : fresh.profile().plugins_at(ExtensionPoint::Filter))
    if (fresh.ask_filter(i, host) != StatusCode::Success)
      return fmt::format("{} rejects the chosen node {}", fresh.profile().plugins[i].name, host.value);
  return "";
}

// 3. Every verdict is that of the first filter that rejects, when each is asked anew about each node.
Complaint verdicts_are_the_filters(SchedulingCycle& fresh) {
  for (NodeId node : fresh.visited()) {
    const NodeVerdict& verdict = fresh.verdict(node);
    if (verdict.narrowed || verdict.nominated) continue;
    NodeVerdict asked;
    for (uint8_t i : fresh.profile().plugins_at(ExtensionPoint::Filter)) {
      asked = {fresh.ask_filter(i, node), i};
      if (asked.code != StatusCode::Success) break;
    }
    bool same = asked.code == verdict.code && (asked.code == StatusCode::Success || asked.plugin == verdict.plugin);
    if (!same)
      return fmt::format("node {}: verdict {} of {}, asked anew {} of {}", node.value, static_cast<int>(verdict.code),
                         fresh.profile().plugins[verdict.plugin].name, static_cast<int>(asked.code),
                         fresh.profile().plugins[asked.plugin].name);
  }
  return "";
}

bool same_verdict(const NodeVerdict& a, const NodeVerdict& b) {
  return a.code == b.code && a.plugin == b.plugin && a.narrowed == b.narrowed && a.nominated == b.nominated;
}
template <class T>
bool same(std::span<const T> a, std::span<const T> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

bool repels(const SchedulerFixture& f, const PodAffinityTerm& term, const std::string& owner, PodId other) {
  const PodTemplateModel& t = template_of(f, other);
  if (!term.label_selector || !t.matches(*term.label_selector)) return false;
  if (term.namespaces.empty() && !term.namespace_selector) return t.namespace_ == owner;
  if (std::find(term.namespaces.begin(), term.namespaces.end(), t.namespace_) != term.namespaces.end()) return true;
  if (!term.namespace_selector) return false;
  auto known = f.model.namespaces.find(t.namespace_);
  return term.namespace_selector->requirements.empty() ||
         (known != f.model.namespaces.end() && term.namespace_selector->matches(known->second));
}
bool in_one_domain(const SchedulerFixture& f, const std::string& key, NodeId a, NodeId b) {
  const std::string* x = find_label(f.model.nodes[a].object.meta.labels, key);
  const std::string* y = find_label(f.model.nodes[b].object.meta.labels, key);
  return x && y && *x == *y;
}
bool conflict(const PodTemplateModel& a, const PodTemplateModel& b) {
  return std::any_of(a.host_ports.begin(), a.host_ports.end(), [&](const HostPort& x) {
    return std::any_of(b.host_ports.begin(), b.host_ports.end(), [&](const HostPort& y) { return x.conflicts(y); });
  });
}
// 3. Pod by pod, without any counter: who shares a node wants no port of the other, who shares a domain repels nobody.
// `pods` are on nodes, and the scheduler put them there.
Complaint nobody_where_unwanted(const SchedulerFixture& f, const std::vector<PodId>& pods) {
  for (PodId a : pods) {
    const PodTemplateModel& t = template_of(f, a);
    NodeId node = f.state.snapshot.pod_records[a].node;
    if (t.host_ports.empty() && t.spec.pod_anti_affinity.required.empty()) continue;
    for (PodId b : pods) {
      NodeId other = f.state.snapshot.pod_records[b].node;
      if (a == b) continue;
      if (node == other && conflict(t, template_of(f, b)))
        return fmt::format("pods {} and {} want the same port of node {}", a.value, b.value, node.value);
      for (const PodAffinityTerm& term : t.spec.pod_anti_affinity.required)
        if (in_one_domain(f, term.topology_key, node, other) && repels(f, term, t.namespace_, b))
          return fmt::format("pod {} on node {} repels pod {} on node {}", a.value, node.value, b.value, other.value);
    }
  }
  return "";
}

// 4. Two cycles for one pod come to the same results.
Complaint cycles_agree(const SchedulingCycle& a, const SchedulingCycle& b) {
  bool scores = true;
  for (size_t p = 0; p < a.profile().plugins.size(); ++p) scores = scores && same(a.scores(p), b.scores(p));
  std::span<const NodeVerdict> x = a.verdicts(), y = b.verdicts();
  return first_difference({{"verdicts", std::equal(x.begin(), x.end(), y.begin(), y.end(), same_verdict)},
                           {"feasible", same(a.feasible(), b.feasible())},
                           {"scores", scores},
                           {"totals", same(a.totals(), b.totals())},
                           {"host", a.host() == b.host()},
                           {"visited", same(a.visited(), b.visited())},
                           {"overrun", a.overrun() == b.overrun()},
                           {"next_start", a.next_start() == b.next_start()},
                           {"rejected_by", a.rejected_by() == b.rejected_by()},
                           {"pending_by", a.pending_by() == b.pending_by()},
                           {"pod_reason", a.pod_reason() == b.pod_reason()}});
}

// 5. What a pod is, as an onlooker sees it, and where the scheduler must have it then.
Complaint pod_is_accounted_for(const SchedulerFixture& f, PodId pod) {
  const PodState& object = f.cluster_state.pods[pod];
  const SchedulerState::Pod& record = f.state.pods[pod];
  const SnapshotPod& known = f.state.snapshot.pod_records[pod];
  Place place = f.place_of(pod);
  if (object.phase == PodPhase::Gone || object.node.valid() ||
      f.scheduler_model.profile_of[object.pod_template] == SchedulerModel::kNoProfile) {
    NodeId node = object.phase == PodPhase::Gone ? NodeId() : object.node;
    bool right = place == Place::None && record.stage == Stage::None && known.node == node && !known.nominated.valid();
    return right ? "" : "bound, gone or somebody else's, and still scheduled";
  }
  if (record.stage != Stage::None) {
    bool right = place == Place::InFlight && record.node.valid() && known.node == record.node;
    return right ? "" : "assumed, but not in flight or not on its node";
  }
  if (place == Place::None || place == Place::InFlight) return "neither waits nor is assumed";
  return known.node.valid() ? "waits, but is on a node" : "";
}
Complaint every_pod_accounted_for(const SchedulerFixture& f) {
  for (size_t p = 0; p < f.cluster_state.pods.size(); ++p)
    if (Complaint problem = pod_is_accounted_for(f, PodId(p)); !problem.empty())
      return fmt::format("pod {}: {}", p, problem);
  return "";
}

// 5. Each place of the queue holds the pods that say so.
Complaint queue_is_sound(const SchedulerFixture& f) {
  const SchedulingQueueState& q = f.state.queue;
  std::map<Place, size_t> count;
  for (const QueuedPod& pod : q.pods) ++count[pod.place];
  const std::pair<Place, const std::vector<PodId>*> heaps[] = {
      {Place::Active, &q.active}, {Place::Backoff, &q.backoff}, {Place::ErrorBackoff, &q.error_backoff}};
  for (const auto& [place, heap] : heaps) {
    if (heap->size() != count[place]) return fmt::format("{} pods in a heap, {} say so", heap->size(), count[place]);
    for (size_t i = 0; i < heap->size(); ++i)
      if (q.pods[(*heap)[i]].place != place || q.pods[(*heap)[i]].heap_index != i)
        return fmt::format("pod {} is in the wrong place of a heap", (*heap)[i].value);
  }
  size_t pool = 0;
  for (PodId pod = q.oldest; pod.valid(); pod = q.pods[pod].next) pool += q.pods[pod].place == Place::Unschedulable;
  if (pool != q.unschedulable || pool != count[Place::Unschedulable] || q.gated.size() != count[Place::Gated])
    return fmt::format("{} pods in the pool, {} counted, {} say so", pool, q.unschedulable,
                       count[Place::Unschedulable]);
  if (count[Place::InFlight] == 0 && !q.log.empty()) return "events are logged for nobody";
  return "";
}

// 5. The counts behind the messages belong to one pod each.
Complaint failure_rows_are_owned(const SchedulerFixture& f) {
  size_t rows = f.state.failure_counts.size() / f.scheduler_model.reasons.size();
  std::vector<uint32_t> owners(rows, 0);
  for (uint32_t row : f.state.free_rows) ++owners[row];
  for (const SchedulerState::Pod& pod : f.state.pods)
    if (pod.failure_row != SchedulerState::Pod::kNoRow) ++owners[pod.failure_row];
  for (size_t row = 0; row < rows; ++row)
    if (owners[row] != 1) return fmt::format("row {} belongs to {}", row, owners[row]);
  return "";
}

// 7. Everything that a snapshot holds.
Complaint difference(const SchedulerSnapshot& a, const SchedulerSnapshot& b) {
  auto same_zone = [](const auto& x, const auto& y) { return x.name == y.name && x.nodes == y.nodes; };
  auto same_pod = [](const SnapshotPod& x, const SnapshotPod& y) {
    return x.pod_template == y.pod_template && x.node == y.node && x.entity == y.entity &&
           x.start_time == y.start_time && x.terminating == y.terminating && x.preempted == y.preempted &&
           x.nominated == y.nominated && x.devices == y.devices;
  };
  return first_difference(
      {{"version", a.version == b.version},
       {"present", a.present == b.present},
       {"conditions", a.conditions == b.conditions},
       {"requested", a.requested == b.requested},
       {"allocatable", a.allocatable == b.allocatable},
       {"nonzero_cpu", a.nonzero_cpu == b.nonzero_cpu},
       {"nonzero_memory", a.nonzero_memory == b.nonzero_memory},
       {"pods", a.pods == b.pods},
       {"nominated", a.nominated == b.nominated},
       {"generation", a.generation == b.generation},
       {"image_nodes", a.image_nodes == b.image_nodes},
       {"device_free_milli", a.device_free_milli == b.device_free_milli},
       {"image_bytes", a.image_bytes == b.image_bytes},
       {"order", a.order == b.order && a.order_stale == b.order_stale},
       {"zones", std::equal(a.zones.begin(), a.zones.end(), b.zones.begin(), b.zones.end(), same_zone)},
       {"changes", a.changes == b.changes && a.changed == b.changed},
       {"holders", a.holders == b.holders},
       {"pod_records",
        std::equal(a.pod_records.begin(), a.pod_records.end(), b.pod_records.begin(), b.pod_records.end(), same_pod)},
       {"counts", a.counts == b.counts},
       {"domain_nodes", a.domain_nodes == b.domain_nodes},
       {"counted_pods", a.counted_pods == b.counted_pods},
       {"live_domains", a.live_domains == b.live_domains},
       {"disruptions_allowed", a.disruptions_allowed == b.disruptions_allowed},
       {"disrupted_pods", a.disrupted_pods == b.disrupted_pods}});
}

// --- histories

// How often the interesting things happened.
struct Tally {
  uint64_t steps = 0, bound = 0, refused = 0, preempted = 0, helped = 0, still_waiting = 0;
};

// One cluster and what happens to it. A copy goes on from the same state with the same future.
class History : public CycleObserver {
 public:
  History(uint64_t seed, Tally& tally)
      : seed_(seed),
        setting_(seed),
        f_(setting_.objects, setting_.config),
        events_(seed, hash_text("events")),
        checks_(seed, hash_text("checks")),
        tally_(tally) {
    f_.scheduler.observe(this);
    watched_ = true;
  }
  // Unwatched: it is to do the same without.
  History(const History& other)
      : seed_(other.seed_),
        setting_(other.seed_),
        f_(setting_.objects, setting_.config),
        events_(other.events_),
        checks_(other.checks_),
        alive_(other.alive_),
        leaving_(other.leaving_),
        placed_(other.placed_),
        step_(other.step_),
        tally_(other.tally_) {
    f_.engine = other.f_.engine;
    f_.cluster_state = other.f_.cluster_state;
    f_.state = other.f_.state;
  }

  void live() {
    try {
      for (uint64_t i = 0; i < kStepsPerCluster; ++i) {
        step();
        check();
      }
      live_twice();
      settle();
      verify("no schedulable pod is starved", starved());
    } catch (const InvariantError& error) {
      fail("an invariant is broken", error.what());
    }
  }

 private:
  [[noreturn]] void fail(const char* property, const Complaint& problem) {
    FAIL(fmt::format("seed {}, step {}, {:.3f} s: {}: {}", seed_, step_, f_.engine.now().to_seconds(), property,
                     problem));
    std::abort();
  }
  void verify(const char* property, const Complaint& problem) {
    if (!problem.empty()) fail(property, problem);
  }

  void step() {
    ++step_;
    something_happens();
    if (!events_.one_in(4)) advance(pause());  // else something more happens before the scheduler gets to work
  }
  void check() {
    ++tally_.steps;
    verify("no node over allocatable", no_node_over_allocatable(f_, setting_.careless));
    verify("devices add up", devices_add_up(f_));
    verify("GPUs are those promised", gpus_are_those_promised(f_));
    verify("every pod on one node", every_pod_on_one_node(f_));
    verify("every pod accounted for", every_pod_accounted_for(f_));
    verify("queue is sound", queue_is_sound(f_));
    verify("failure rows are owned", failure_rows_are_owned(f_));
    if (step_ % 8 == 0) probe_a_waiting_pod();
    if (step_ % 16 != 0) return;
    verify("sums equal a recount", sums_equal_a_recount(f_, setting_.careless));
    auto is_scheduled = [&](PodId p) { return f_.state.snapshot.pod_records[p].node.valid() && placed_.count(p) == 0; };
    verify("nobody where unwanted", nobody_where_unwanted(f_, pods(is_scheduled)));
  }
  void live_twice() {
    History copy(*this);
    for (uint64_t i = 0; i < kStepsTogether; ++i) {
      step();
      copy.step();
      check();
      verify("a copy continues identically", difference_to(copy));
    }
  }

  // --- events

  void something_happens() {
    switch (events_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        for (int64_t i = events_.between(1, 3); i > 0; --i) add_pod();
        return;
      case 6:
      case 7:
      case 8:
        return with_any(alive_, [&](PodId pod) { remove(pod); });
      case 9:
        return with_any(alive_, [&](PodId pod) { terminate(pod, false); });
      case 10:
        return change_node();
      case 11:
        return place_pod();
      case 12:
        return with_any(pods([&](PodId p) { return f_.place_of(p) == Place::Gated; }),
                        [&](PodId pod) { f_.scheduler.gates_removed(pod); });
      case 13:
        return with_any(waiting_for_permit(), [&](PodId pod) { answer(pod, events_.one_in(2)); });
      default:
        return with_any(alive_, [&](PodId pod) { become_ready(pod); });
    }
  }
  template <class Action>
  void with_any(const std::vector<PodId>& pods, Action&& action) {
    if (pods.empty()) return;
    PodId chosen = pods[events_.below(pods.size())];  // the action may change the list
    action(chosen);
  }
  template <class Condition>
  std::vector<PodId> pods(Condition&& condition) const {
    std::vector<PodId> out;
    for (PodId pod : alive_)
      if (condition(pod)) out.push_back(pod);
    return out;
  }
  std::vector<PodId> waiting_for_permit() const {
    return pods([&](PodId p) { return f_.state.pods[p].stage == Stage::Waiting; });
  }

  // Few pods wait, so that a step stays cheap: each may be tried whenever one goes.
  void add_pod() {
    if (f_.scheduler.pending() >= 12)
      return with_any(pods([&](PodId p) { return f_.place_of(p) == Place::Unschedulable; }),
                      [&](PodId pod) { remove(pod); });
    alive_.push_back(f_.add(events_.below(f_.model.workloads.size())));
  }
  // A pod with spec.nodeName, where it fits. Nobody chooses GPUs for such a pod to share.
  void place_pod() {
    size_t workload = events_.below(f_.model.workloads.size()), node = events_.below(f_.model.nodes.size());
    const PodTemplateModel& t = f_.model.templates[f_.model.workloads[WorkloadId(workload)].pod_template];
    const SchedulerSnapshot& s = f_.state.snapshot;
    const std::vector<int32_t>& free = s.device_free_milli[node];
    if (t.gpu_milli > 0 || std::count(free.begin(), free.end(), 1000) < t.gpus) return;
    const std::vector<int64_t>& requested = setting_.careless ? f_.cluster_state.requested : s.requested;
    for (size_t r = 0, at = node * f_.model.resource_count(); r < t.request.size(); ++r)
      if (requested[at + r] + (r == kPods.value ? 1 : t.request[r]) > s.allocatable[at + r]) return;
    alive_.push_back(f_.place(workload, node));
    placed_.insert(alive_.back());
  }
  // At most a few nodes are not ready at a time.
  void change_node() {
    size_t node = events_.below(f_.model.nodes.size());
    const std::vector<NodeConditions>& conditions = f_.cluster_state.node_conditions;
    auto down =
        std::find_if(conditions.begin(), conditions.end(), [](NodeConditions c) { return c.any_of(kNodeNotReady); });
    bool recovers = down != conditions.end() && events_.one_in(2);
    f_.set_ready(recovers ? static_cast<size_t>(down - conditions.begin()) : node, recovers);
  }
  void become_ready(PodId pod) {
    PodState& object = f_.cluster_state.pods[pod];
    if (object.node.valid() && object.phase != PodPhase::Terminating) f_.cluster.set_phase(pod, PodPhase::Ready);
  }
  void answer(PodId pod, bool allow) {
    allow ? f_.scheduler.allow(pod) : f_.scheduler.reject(pod);
    take_scheduled();
  }
  // Ready pods take their time to go, the others go at once, as the kubelet has it.
  void terminate(PodId pod, bool preempted) {
    PodState& object = f_.cluster_state.pods[pod];
    if (object.phase == PodPhase::Terminating || object.phase == PodPhase::Gone) return;
    if (object.phase != PodPhase::Ready) return remove(pod);
    f_.cluster.set_phase(pod, PodPhase::Terminating);
    f_.scheduler.pod_terminating(pod, preempted);
    leaving_.emplace_back(f_.engine.now() + Duration{events_.between(1, 30'000) * 1'000'000}, pod);
  }
  void remove(PodId pod) {
    std::erase(alive_, pod);
    std::erase_if(leaving_, [&](const auto& entry) { return entry.second == pod; });
    f_.remove(pod);
  }

  // --- time

  Duration pause() {
    switch (events_.below(16)) {
      case 0:
        return Duration{events_.between(1, 400) * 1'000'000'000};
      case 1:
      case 2:
        return Duration{events_.between(1, 10'000) * 1'000'000};
      case 3:
      case 4:
      case 5:
        return Duration{};
      default:
        return Duration{events_.between(1, 1'000) * 1'000'000};
    }
  }
  void advance(Duration duration) {
    Time until = f_.engine.now() + duration;
    while (!leaving_.empty()) {
      auto first = *std::min_element(leaving_.begin(), leaving_.end());
      if (first.first > until) break;
      handle_events(std::max(first.first, f_.engine.now()));
      if (f_.cluster_state.pods[first.second].phase == PodPhase::Terminating) remove(first.second);
    }
    handle_events(until);
  }
  void handle_events(Time until) {
    for (Event event; f_.engine.pop(until, event);) {
      f_.scheduler.on_event(event);
      take_scheduled();
    }
    f_.engine.advance_to(until);
  }

  // The scheduler's owner: takes what it has bound, and evicts whom it wants gone.
  void take_scheduled() {
    for (PodId pod : std::exchange(f_.state.bound, {})) {
      f_.cluster_state.pods[pod].phase = events_.one_in(4) ? PodPhase::Probing : PodPhase::Ready;
      verify("a bound pod has no message", f_.scheduler.failure_message(pod));
      ++tally_.bound;
    }
    for (const auto& [pod, node] : std::exchange(f_.state.overcommitted, {})) {
      remove(pod);
      ++tally_.refused;
    }
    std::vector<SchedulerState::Preemption> preemptions = std::exchange(f_.state.preemptions, {});
    if (watched_) verify("preemption", preemptions_are_right(preemptions));
    moved_on_.clear();
    waits_since_.clear();
    for (const SchedulerState::Preemption& p : preemptions) {
      terminate(p.victim, true);
      ++tally_.preempted;
    }
  }

  // --- properties of the history

  // 8. Victims have a lower priority than their preemptor, and all are on the node that it is nominated to. A preemptor
  // that is tried again before they go may find room, or that node hopeless; else it waits for them.
  Complaint preemptions_are_right(const std::vector<SchedulerState::Preemption>& preemptions) const {
    const SchedulerSnapshot& s = f_.state.snapshot;
    for (size_t i = 0; i < preemptions.size(); ++i) {
      const auto& [victim, preemptor] = preemptions[i];
      const PodSpec &low = template_of(f_, victim).spec, &high = template_of(f_, preemptor).spec;
      std::string pair = fmt::format("pod {} for pod {}", victim.value, preemptor.value);
      if (low.priority >= high.priority)
        return fmt::format("{}: priority {} for {}", pair, low.priority, high.priority);
      if (high.preemption_policy == PreemptionPolicy::Never) return pair + ": preemptionPolicy Never";
      NodeId node = s.pod_records[victim].node;
      if (!node.valid()) return pair + ": the victim is on no node";
      if (moved_on_.count(preemptor) > 0) continue;
      auto waits = waits_since_.find(preemptor);
      if (waits != waits_since_.end() && i >= waits->second) return pair + ": others are still leaving for it";
      if (s.pod_records[preemptor].nominated != node && !lost_nomination(preemptor, node))
        return pair + ": not on the nominated node";
    }
    return "";
  }
  // On the node that it is nominated to, whether told by now or not.
  bool awaits_victims(PodId pod) const {
    const SchedulerSnapshot& s = f_.state.snapshot;
    NodeId node = s.pod_records[pod].nominated;
    if (!node.valid()) return false;
    auto is_told = [&](PodId other) {
      return s.pod_records[other].preempted &&
             template_of(f_, other).spec.priority < template_of(f_, pod).spec.priority;
    };
    auto is_victim = [&](const SchedulerState::Preemption& p) {
      return p.preemptor == pod && s.pod_records[p.victim].node == node;
    };
    return std::any_of(s.pods[node.value].begin(), s.pods[node.value].end(), is_told) ||
           std::any_of(f_.state.preemptions.begin(), f_.state.preemptions.end(), is_victim);
  }
  // To a pod of higher priority, which was nominated to the same node later.
  bool lost_nomination(PodId pod, NodeId node) const {
    const SchedulerSnapshot& s = f_.state.snapshot;
    return !s.pod_records[pod].nominated.valid() &&
           std::any_of(s.nominated[node.value].begin(), s.nominated[node.value].end(), [&](PodId other) {
             return template_of(f_, other).spec.priority > template_of(f_, pod).spec.priority;
           });
  }

  // 3., 4. and 7., of each attempt at the moment of its decision.
  void cycle_ended(PodId pod, StatusCode code, SchedulingCycle& cycle) override {
    uint32_t start = std::exchange(start_, f_.state.next_start);
    NodeId nominated = f_.state.snapshot.pod_records[pod].nominated;
    bool hopeless = nominated.valid() && cycle.verdict(nominated).code == StatusCode::UnschedulableAndUnresolvable;
    if (code == StatusCode::Success || hopeless)
      moved_on_.insert(pod);
    else if (awaits_victims(pod))
      waits_since_.try_emplace(pod, f_.state.preemptions.size());
    SchedulingCycle fresh = fresh_cycle();
    StatusCode again = fresh.run(pod, start, nominated);
    verify("kept answers are never stale", compare(pod, code, cycle, again, fresh));
    if (checks_.one_in(8)) verify("verdicts are the filters'", verdicts_are_the_filters(fresh));
    if (code == StatusCode::Success)
      verify("no bind of a pod whose filter fails", host_passes_every_filter(fresh, fresh.host()));
    else if (checks_.one_in(4))
      verify("dry runs leave no trace", trace_of_preemption(fresh));
  }
  // 7. `failed` has found no node. Looks at what it would evict, too: with the victims gone, the pod must fit.
  Complaint trace_of_preemption(SchedulingCycle& failed) {
    SchedulerSnapshot before = f_.state.snapshot;
    PostFilterResult result;
    if (failed.post_filter(result) == StatusCode::Success) {
      ++tally_.helped;
      std::unique_ptr<FilterDryRun> trial = failed.dry_run();
      for (PodId victim : result.victims) trial->remove_pod(victim);
      if (trial->filter(*result.nominated).code != StatusCode::Success)
        return fmt::format("without the victims the pod does not fit node {}", result.nominated->value);
    }
    return difference(before, f_.state.snapshot);
  }
  SchedulingCycle fresh_cycle() { return {f_.scheduler_model, f_.model, f_.cache, f_.state.memory}; }
  Complaint compare(PodId pod, StatusCode code, const SchedulingCycle& kept, StatusCode again,
                    const SchedulingCycle& fresh) {
    Complaint problem = code == again ? cycles_agree(kept, fresh) : "code differs";
    return problem.empty() ? "" : fmt::format("pod {}: {}", pod.value, problem);
  }

  // 4. At any time, not only when it is the pod's turn.
  void probe_a_waiting_pod() {
    std::vector<PodId> waiting = pods([&](PodId p) { return f_.place_of(p) == Place::Unschedulable; });
    if (waiting.empty()) return;
    PodId pod = waiting[checks_.below(waiting.size())];
    f_.scheduler.probe(pod, [&](StatusCode code, SchedulingCycle& cycle) {
      SchedulingCycle fresh = fresh_cycle();
      StatusCode again = fresh.run(pod, f_.state.next_start, f_.state.snapshot.pod_records[pod].nominated);
      verify("kept answers are never stale", compare(pod, code, cycle, again, fresh));
    });
    verify("a failure has a message", f_.scheduler.failure_message(pod).empty() ? "none" : "");
  }

  // 9. Pod by pod, and all that the scheduler knows.
  Complaint difference_to(History& copy) {
    f_.cache.refresh();
    copy.f_.cache.refresh();
    copy.f_.state.snapshot.disruptions_allowed = f_.state.snapshot.disruptions_allowed;  // counted before each search
    for (size_t p = 0; p < f_.cluster_state.pods.size(); ++p)
      if (f_.cluster_state.pods[PodId(p)].node != copy.f_.cluster_state.pods[PodId(p)].node)
        return fmt::format("pod {} is elsewhere", p);
    if (f_.engine.signature() != copy.f_.engine.signature()) return "other events";
    if (f_.state.decisions != copy.f_.state.decisions) return "other decisions";
    return difference(f_.state.snapshot, copy.f_.state.snapshot);
  }

  // --- the end of a history

  // Until nothing has come of anything for longer than a pod may wait before it is tried again.
  void settle() {
    calm();
    Duration quiet{0};
    for (int round = 0; quiet <= 360_s; ++round) {
      if (round == 10'000) fail("no schedulable pod is starved", "the scheduler does not come to rest");
      uint64_t before = fingerprint();
      for (PodId pod : waiting_for_permit()) answer(pod, true);
      advance(5_s);
      quiet = fingerprint() == before ? quiet + 5_s : Duration{0};
    }
  }
  void calm() {
    for (size_t p = 0; p < f_.scheduler_model.profiles.size(); ++p)
      for (size_t i = 0; i < f_.scheduler_model.profiles[p].plugins.size(); ++i)
        if (f_.scheduler_model.profiles[p].plugins[i].name == "TestWhims")
          static_cast<WhimMemory&>(*f_.state.memory[p][i]).calm = true;
  }
  uint64_t fingerprint() const {
    uint64_t hash = hash_combine(f_.state.snapshot.changes, f_.state.scheduled);
    for (const std::vector<PodId>& pods : f_.state.snapshot.nominated)
      for (PodId pod : pods) hash = hash_combine(hash, pod.value);
    return hash_combine(hash, alive_.size());
  }
  // 6. Pods that are nominated to a node count as being there, as they do for any cycle.
  Complaint starved() {
    for (PodId pod : alive_) {
      Place place = f_.place_of(pod);
      if (place == Place::None || place == Place::Gated) continue;
      if (place != Place::Unschedulable) return fmt::format("pod {} is still on its way", pod.value);
      ++tally_.still_waiting;
      SchedulingCycle fresh = fresh_cycle();
      if (fresh.run(pod, f_.state.next_start, f_.state.snapshot.pod_records[pod].nominated) == StatusCode::Success)
        return fmt::format("pod {} waits, and fits node {}", pod.value, fresh.host().value);
      PostFilterResult result;
      if (fresh.post_filter(result) == StatusCode::Success)
        return fmt::format("pod {} waits, and may evict others on node {}", pod.value, result.nominated->value);
    }
    return "";
  }

  uint64_t seed_;
  Setting setting_;
  SchedulerFixture f_;
  Dice events_, checks_;
  std::vector<PodId> alive_;
  std::vector<std::pair<Time, PodId>> leaving_;  // pods in their grace period, and when it ends
  // Of this instant: preemptors that found room, or their node hopeless; and since which preemption others wait.
  std::set<PodId> moved_on_;
  std::map<PodId, size_t> waits_since_;
  std::set<PodId> placed_;  // by hand
  uint64_t step_ = 0;
  uint32_t start_ = 0;
  bool watched_ = false;
  Tally& tally_;
};

TEST_CASE("the scheduler's books are right whatever happens", "[property]") {
  uint64_t steps = number_from("KISIM_PROPERTY_STEPS", 20'000), seed = number_from("KISIM_PROPERTY_SEED", 0);
  Tally tally;
  for (; tally.steps < steps; ++seed) History(seed, tally).live();
  if (tally.steps < 20'000) return;
  // A property that nothing puts to the test always holds.
  CHECK(tally.bound > tally.steps / 10);
  CHECK(tally.preempted > tally.steps / 100);
  CHECK(tally.helped > tally.steps / 1000);
  CHECK(tally.refused > 0);
  CHECK(tally.still_waiting > 0);
}

}  // namespace
}  // namespace kisim
