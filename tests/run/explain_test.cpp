// What `kisim explain` says must be true: the change it names makes the pod fit, and the victims it names are those
// that preemption takes.

#include "run/explain.hpp"
#include "core/random.hpp"
#include "io/explain_text.hpp"
#include "kube/scheduler_fixture.hpp"
#include "policy/scheduler_args.hpp"
#include "run/model.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using test::kGiB;

constexpr const char* kZone = "topology.kubernetes.io/zone";
constexpr const char* kHost = "kubernetes.io/hostname";
const std::vector<std::string> kApps{"web", "cache", "train"}, kDisks{"hdd", "nvme"};

class Random {
 public:
  explicit Random(uint64_t seed) : stream_(7, seed, Purpose::Field) {}
  bool chance(uint32_t per_cent) { return stream_.below(100) < per_cent; }
  int32_t upto(uint32_t n) { return static_cast<int32_t>(stream_.below(n)); }
  const std::string& of(const std::vector<std::string>& values) {
    return values[stream_.below(static_cast<uint32_t>(values.size()))];
  }

 private:
  Stream stream_;
};

LabelSelector app_is(const std::string& app) { return {{{"app", SelectorOperator::In, {app}}}}; }

std::vector<Node> random_nodes(Random& random) {
  std::vector<Node> nodes;
  for (int i = 0, count = 2 + random.upto(6); i < count; ++i) {
    std::string name = "n" + std::to_string(i);
    Node n;
    n.meta.name = name;
    n.meta.labels = {{"disk", random.of(kDisks)}, {kHost, name}};
    if (random.chance(85)) n.meta.labels.emplace_back(kZone, "z" + std::to_string(random.upto(3)));
    n.allocatable = {{"cpu", 1000 * (2 + random.upto(6))},
                     {"memory", (4 + random.upto(12)) * kGiB},
                     {"nvidia.com/gpu", random.upto(5)},
                     {"pods", 5 + random.upto(5)}};
    n.capacity = n.allocatable;
    if (random.chance(30)) n.taints.push_back({"dedicated", "ml", TaintEffect::NoSchedule});
    n.unschedulable = random.chance(10);
    nodes.push_back(std::move(n));
  }
  return nodes;
}

PodTemplate random_pods(Random& random, bool picky) {
  PodTemplate pods{{{"app", random.of(kApps)}}, {}, {}};
  pods.spec =
      test::make_pod({{"cpu", 500 * (1 + random.upto(picky ? 12 : 4))}, {"memory", kGiB * (1 + random.upto(3))}});
  if (random.chance(40))
    pods.spec.containers[0].requests.emplace_back("nvidia.com/gpu", 1 + random.upto(picky ? 6 : 2));
  if (random.chance(picky ? 40 : 20)) pods.spec.node_selector = {{"disk", random.of(kDisks)}};
  if (random.chance(20))
    pods.spec.required_node_affinity = {{{{{"disk", SelectorOperator::NotIn, {random.of(kDisks)}}}, {}}}};
  if (random.chance(40)) pods.spec.tolerations.push_back({"dedicated", TolerationOperator::Exists, "", {}, {}});
  if (random.chance(20)) pods.spec.containers[0].host_ports.push_back({HostPort::Protocol::TCP, "0.0.0.0", 80});
  if (random.chance(picky ? 40 : 15)) {
    TopologySpreadConstraint spread;
    spread.topology_key = random.chance(50) ? kZone : kHost;
    spread.label_selector = app_is(pods.labels[0].second);
    pods.spec.topology_spread_constraints.push_back(spread);
  }
  PodAffinityTerm term;
  term.label_selector = app_is(random.of(kApps));
  term.topology_key = random.chance(50) ? kZone : kHost;
  if (random.chance(picky ? 25 : 10)) pods.spec.pod_affinity.required.push_back(term);
  if (random.chance(picky ? 25 : 10)) pods.spec.pod_anti_affinity.required.push_back(term);
  return pods;
}

// Ten pods and a picky one that comes last, because nobody is less important.
Scenario random_scenario(uint64_t seed) {
  Random random(seed);
  Scenario s;
  s.name = "explain";
  s.duration = 60_s;
  s.seed = seed;
  s.manifests.nodes = random_nodes(random);
  for (int i = 0; i <= 10; ++i) {
    PodTemplate pods = random_pods(random, i == 10);
    Pod pod;
    pod.meta.name = i == 10 ? "last" : "p" + std::to_string(i);
    pod.meta.labels = pods.labels;
    pod.spec = pods.spec;
    pod.spec.priority = i == 10 ? -1 : 0;
    s.manifests.pods.push_back(std::move(pod));
  }
  return s;
}

TEST_CASE("the change that explain names makes the pod fit") {
  size_t waiting = 0, tried = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    INFO("seed " << seed);
    Scenario scenario = random_scenario(seed);
    PodExplanation before = explain_pod(compile(scenario), "last", Time{} + 30_s);
    if (!before.node.empty()) continue;
    REQUIRE(before.cycle);
    ++waiting;
    for (const FitExplanation& fit : before.cycle->fits) {
      Scenario changed = scenario;
      Pod& last = changed.manifests.pods.back();
      PodTemplate pods{last.meta.labels, last.meta.annotations, last.spec};
      for (const auto& apply : fit.apply) apply(pods);
      last.spec = pods.spec;
      PodExplanation after = explain_pod(compile(changed), "last", Time{} + 30_s);
      INFO(fit.node << ": " << fmt::format("{}", fmt::join(fit.changes, "; ")));
      REQUIRE_FALSE(after.node.empty());
      REQUIRE(after.cycle);
      bool fits = std::any_of(after.cycle->nodes.begin(), after.cycle->nodes.end(),
                              [&](const NodeExplanation& n) { return n.node == fit.node && n.plugin.empty(); });
      CHECK(fits);
      ++tried;
    }
  }
  CHECK(waiting > 50);
  CHECK(tried > 200);
}

TEST_CASE("the victims that explain names are those that preemption takes") {
  size_t preemptions = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    test::Objects objects;
    objects.nodes = random_nodes(random);
    for (int i = 0; i <= 10; ++i) {
      objects.workloads.push_back({random_pods(random, false), "default", {}});
      objects.workloads.back().pods.spec.priority = i == 10 ? 100 : random.upto(3);
    }
    test::SchedulerFixture f(objects);
    for (size_t i = 0; i < 10; ++i) f.add(i);
    f.run_to(1);
    PodId pod = f.add(10);
    PostFilterResult told;
    f.scheduler.probe(pod, [&](StatusCode code, SchedulingCycle& cycle) {
      if (code == StatusCode::Unschedulable) cycle.post_filter(told);
    });
    f.state.preemptions.clear();
    f.run_to(1);
    std::vector<PodId> taken;
    for (const SchedulerState::Preemption& p : f.state.preemptions)
      if (p.preemptor == pod) taken.push_back(p.victim);
    REQUIRE(taken == told.victims);
    preemptions += !taken.empty();
  }
  CHECK(preemptions > 20);
}

TEST_CASE("a pod that runs is explained by the cycle that placed it") {
  Scenario scenario = random_scenario(1);
  scenario.manifests.pods.resize(1);
  scenario.manifests.pods[0].spec = test::make_pod({{"cpu", 100}});
  scenario.manifests.pods[0].spec.tolerations.push_back({"", TolerationOperator::Exists, "", {}, {}});
  PodExplanation e = explain_pod(compile(scenario), "default/p0", Time{} + 30_s);
  REQUIRE(e.cycle);
  CHECK(e.cycle->scheduled);
  CHECK(e.cycle->node == e.node);
  CHECK(e.attempts == 1);
  for (const NodeExplanation& n : e.cycle->nodes) {
    int64_t sum = 0;
    for (const ScoreExplanation& s : n.scores) {
      CHECK(s.weighted == s.normalized * s.weight);
      sum += s.weighted;
    }
    CHECK(sum == n.total);
  }
  CHECK_THAT(explanation_text(e, false, {}), Catch::Contains("Pod default/p0 at 0:00:30: Ready on " + e.node));
  CHECK_THAT(explanation_json(e), Catch::Contains("\"scheduled\": true"));
}

TEST_CASE("an unknown pod is refused with those that exist") {
  CHECK_THROWS_WITH(explain_pod(compile(random_scenario(1)), "p9x", Time{} + 1_s),
                    Catch::Contains("no pod is named 'p9x'") && Catch::Contains("default/p0"));
}

}  // namespace
}  // namespace kisim
