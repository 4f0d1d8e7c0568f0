// One cycle of the descheduler on one core: utilization, duplicates, topology spread and node affinity over a cluster
// of 1000 workloads, with nodeFit. What the informers hold is there already; the sums over it are part of the cycle.
// `evictions` and `kept` must not change unless behaviour does.

#include "interleaved.hpp"
#include "kube/descheduler_cycle.hpp"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

namespace kisim {
namespace {

constexpr int64_t kGiB = 1ll << 30;
constexpr size_t kWorkloads = 1000;

Node make_node(size_t index) {
  Node out;
  out.meta.name = fmt::format("node-{:05}", index);
  out.meta.labels = {{"kubernetes.io/hostname", out.meta.name},
                     {"pool", index % 10 == 0 ? "gpu" : "general"},
                     {"topology.kubernetes.io/zone", fmt::format("zone-{}", index % 3)}};
  if (index % 20 == 0) out.taints = {{"dedicated", "ml", TaintEffect::NoSchedule}};
  out.capacity = out.allocatable = {{"cpu", 16'000}, {"memory", 64 * kGiB}, {"pods", 110}};
  return out;
}

TopologySpreadConstraint spread_over(const std::string& key, const std::string& app) {
  TopologySpreadConstraint out;
  out.topology_key = key;
  out.max_skew = 5;
  out.label_selector = LabelSelector{{{"app", SelectorOperator::In, {app}}}};
  return out;
}

// Every fifth workload wants a pool of nodes, every seventh prefers one.
PodTemplate make_pods(size_t index) {
  PodTemplate out;
  const std::string app = fmt::format("app-{}", index);
  out.labels = {{"app", app}};
  out.spec.containers.push_back({"server", app + ":1", {{"cpu", 1000}, {"memory", 2 * kGiB}}});
  const NodeSelectorTerm gpu{{{"pool", SelectorOperator::In, {"gpu"}}}, {}};
  if (index % 5 == 0) out.spec.required_node_affinity = {gpu};
  if (index % 7 == 0) out.spec.preferred_node_affinity = {{10, gpu}};
  out.spec.topology_spread_constraints = {spread_over("topology.kubernetes.io/zone", app),
                                          spread_over("kubernetes.io/hostname", app)};
  out.spec.priority = static_cast<int32_t>(index % 10);
  return out;
}

ClusterModel make_model(size_t nodes) {
  ClusterBuilder builder({});
  for (size_t n = 0; n < nodes; ++n) builder.add_node(make_node(n));
  for (size_t w = 0; w < kWorkloads; ++w) builder.add_template(fmt::format("team-{}", w % 20), make_pods(w));
  return std::move(builder).build();
}

// Two thirds of the nodes hold all the pods, the first ones most of them.
DeschedulerSnapshot make_snapshot(const ClusterModel& model, size_t pods) {
  DeschedulerSnapshot out;
  out.now = {1'000'000'000'000'000};
  for (size_t t = 0; t < kWorkloads; ++t) {
    out.templates.push_back(descheduler_template(model.templates[TemplateId(t)]));
    out.templates[TemplateId(t)].owners = {{"ReplicaSet", fmt::format("rs-{}", t), fmt::format("uid-{}", t)}};
  }
  const size_t nodes = model.nodes.size();
  for (size_t n = 0; n < nodes; ++n) out.nodes.push_back(descheduler_node(model, NodeId(n)));
  for (size_t p = 0; p < pods; ++p) {
    DeschedulerPod pod;
    pod.pod = PodId(p);
    pod.pod_template = TemplateId(p % kWorkloads);
    size_t spot = p * 7919 % pods;
    pod.node = NodeId(spot % 4 == 0 ? spot % (nodes * 2 / 3) : spot % (nodes / 2));
    pod.start_time = pod.created;
    out.pods.push_back(std::move(pod));
  }
  return out;
}

template <class Args>
void enable(DeschedulerProfile& profile, std::vector<std::string>& point, const std::string& name, Args args) {
  profile.plugin_config[name].args = std::move(args);
  point.push_back(name);
}

DeschedulerPolicy make_policy() {
  DeschedulerPolicy out;
  DeschedulerProfile& profile = out.profiles.emplace_back();
  DefaultEvictorArgs evictor;
  evictor.node_fit = true;
  profile.plugin_config["DefaultEvictor"].args = evictor;
  profile.filter = profile.pre_eviction_filter = {"DefaultEvictor"};
  RemovePodsViolatingNodeAffinityArgs affinity;
  affinity.node_affinity_type = {NodeAffinityType::RequiredDuringSchedulingIgnoredDuringExecution,
                                 NodeAffinityType::PreferredDuringSchedulingIgnoredDuringExecution};
  LowNodeUtilizationArgs utilization;
  utilization.thresholds = {{"cpu", 30}};
  utilization.target_thresholds = {{"cpu", 70}};
  enable(profile, profile.deschedule, "RemovePodsViolatingNodeAffinity", affinity);
  enable(profile, profile.balance, "RemoveDuplicates", RemoveDuplicatesArgs());
  enable(profile, profile.balance, "RemovePodsViolatingTopologySpreadConstraint",
         RemovePodsViolatingTopologySpreadConstraintArgs());
  enable(profile, profile.balance, "LowNodeUtilization", utilization);
  return out;
}

void cycle(benchmark::State& state) {
  const ClusterModel model = make_model(static_cast<size_t>(state.range(0)));
  const DeschedulerSnapshot snapshot = make_snapshot(model, static_cast<size_t>(state.range(0)) * 10);
  const Descheduler descheduler(make_policy());
  DeschedulerReport report;
  for (auto _ : state)
    state.SetIterationTime(time_of([&] { report = descheduler.run(DeschedulerView(model, snapshot), {}); }));
  int64_t kept = 0;
  for (const DeschedulerStrategy& strategy : report.strategies)
    for (const auto& [reason, count] : strategy.kept) kept += count;
  state.counters["evictions"] = static_cast<double>(report.evicted);
  state.counters["kept"] = static_cast<double>(kept);
}

BENCHMARK(cycle)
    ->Name("descheduler/cycle")
    ->Arg(500)
    ->Arg(5000)
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kisim
