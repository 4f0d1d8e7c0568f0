// DefaultEvictor: what it protects, and where the pods it lets go would fit.

#include "descheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Protection = PodProtection;

DeschedulerFixture two_nodes() {
  DeschedulerFixture f;
  f.node("a");
  f.node("b");
  return f;
}

DefaultEvictorArgs without(Protection protection) {
  DefaultEvictorArgs out;
  std::erase(out.protections, protection);
  return out;
}

DefaultEvictorArgs with(Protection protection) {
  DefaultEvictorArgs out;
  out.protections.push_back(protection);
  return out;
}

// One pod, which `change` makes special.
template <class Change>
bool evicts(Change change, const DefaultEvictorArgs& args = {}, const char* reason = nullptr) {
  DeschedulerFixture f = two_nodes();
  change(f.pod("p", NodeId(0)));
  bool evicted = f.run(everything(args)) == Texts{"p"};
  if (reason) CHECK(f.kept(reason) == 1);
  return evicted;
}

TEST_CASE("an ordinary pod may go") {
  CHECK(evicts([](PodDraft&) {}));
}

TEST_CASE("mirror, static and terminating pods stay") {
  CHECK_FALSE(evicts([](PodDraft& p) { p.facts.mirror = true; }, {}, "is a mirror pod"));
  CHECK_FALSE(evicts(
      [](PodDraft& p) {
        p.pods.annotations = {{"kubernetes.io/config.source", "file"}};
      },
      {}, "is a static pod"));
  CHECK(evicts([](PodDraft& p) { p.pods.annotations = {{"kubernetes.io/config.source", "api"}}; }));
  CHECK_FALSE(evicts([](PodDraft& p) { p.status.terminating = true; }, {}, "is terminating"));
}

TEST_CASE("the annotation evict overrules every protection") {
  CHECK(evicts([](PodDraft& p) {
    p.pods.annotations = {{"descheduler.alpha.kubernetes.io/evict", ""}, {"kubernetes.io/config.mirror", "x"}};
    p.status.terminating = true;
    p.facts.owners.clear();
  }));
}

TEST_CASE("prefer-no-eviction binds only where the policy is Mandatory") {
  auto annotated = [](PodDraft& p) { p.facts.prefer_no_eviction = true; };
  DefaultEvictorArgs mandatory;
  mandatory.no_eviction_policy = DefaultEvictorArgs::NoEvictionPolicy::Mandatory;
  CHECK(evicts(annotated));
  CHECK_FALSE(evicts(annotated, mandatory, "annotated as not to be evicted"));
}

TEST_CASE("the default protections and their absence") {
  auto local = [](PodDraft& p) { p.facts.local_storage = true; };
  auto daemon = [](PodDraft& p) { p.facts.owners = {{"Other", "o", "u"}, {"DaemonSet", "d", "v"}}; };
  auto critical = [](PodDraft& p) { p.facts.priority = 2'000'000'000; };
  CHECK_FALSE(evicts(local, {}, "has local storage"));
  CHECK(evicts(local, without(Protection::PodsWithLocalStorage)));
  CHECK_FALSE(evicts(daemon, {}, "belongs to a DaemonSet"));
  CHECK(evicts(daemon, without(Protection::DaemonSetPods)));
  CHECK_FALSE(evicts(critical, {}, "has system-critical priority"));
  CHECK(evicts(critical, without(Protection::SystemCriticalPods)));
}

TEST_CASE("a bare pod goes only if it has failed and failed ones may") {
  auto bare = [](PodDraft& p) { p.facts.owners.clear(); };
  auto failed = [&](PodDraft& p) { bare(p), p.status.phase = DeschedulerPod::Phase::Failed; };
  CHECK_FALSE(evicts(failed, {}, "has no owner"));
  CHECK_FALSE(evicts(bare, without(Protection::FailedBarePods), "has no owner and has not failed"));
  CHECK(evicts(failed, without(Protection::FailedBarePods)));
}

TEST_CASE("the extra protections") {
  auto volume = [](PodDraft& p) { p.facts.persistent_volumes = true; };
  auto claims = [](PodDraft& p) { p.facts.resource_claims = true; };
  CHECK(evicts(volume));
  CHECK_FALSE(evicts(volume, with(Protection::PodsWithPVC), "has a persistent volume"));
  CHECK(evicts(claims));
  CHECK_FALSE(evicts(claims, with(Protection::PodsWithResourceClaims), "has resource claims"));
}

TEST_CASE("of persistent volumes, only those of named storage classes, and those of unknown class") {
  DefaultEvictorArgs args = with(Protection::PodsWithPVC);
  args.protected_storage_classes = {"fast"};
  auto of_class = [](std::optional<std::vector<std::string>> classes) {
    return [classes](PodDraft& p) { p.facts.persistent_volumes = true, p.facts.storage_classes = classes; };
  };
  CHECK_FALSE(evicts(of_class(std::vector<std::string>{"slow", "fast"}), args));
  CHECK(evicts(of_class(std::vector<std::string>{"slow"}), args));
  CHECK_FALSE(evicts(of_class(std::nullopt), args));
}

TEST_CASE("PodsWithoutPDB keeps what no budget covers") {
  DeschedulerFixture f = two_nodes();
  f.pod("covered", NodeId(0)).pods.labels = {{"app", "a"}};
  f.pod("elsewhere", NodeId(0)).namespace_ = "other";
  f.pods.back().pods.labels = {{"app", "a"}};
  f.pod("uncovered", NodeId(0));
  PodDisruptionBudget budget;
  budget.selector = LabelSelector{{among("app", {"a"})}};
  f.budgets = {budget};
  CHECK(f.run(everything(with(Protection::PodsWithoutPDB))) == Texts{"covered"});
  CHECK(f.kept("has no PodDisruptionBudget") == 2);
}

TEST_CASE("priority: none is below any threshold, the threshold itself is not") {
  DefaultEvictorArgs args;
  args.priority_threshold = 100;
  CHECK(evicts([](PodDraft& p) { p.facts.priority = 99; }, args));
  CHECK_FALSE(evicts([](PodDraft& p) { p.facts.priority = 100; }, args, "priority is not below the threshold"));
  CHECK(evicts([](PodDraft& p) { p.facts.priority.reset(); }, args));
  // The threshold goes with the protection of system-critical pods.
  std::erase(args.protections, Protection::SystemCriticalPods);
  CHECK(evicts([](PodDraft& p) { p.facts.priority = 100; }, args));
}

TEST_CASE("label selector of pods and of namespaces") {
  DefaultEvictorArgs args;
  args.label_selector.requirements = {among("app", {"a"})};
  CHECK(evicts([](PodDraft& p) { p.pods.labels = {{"app", "a"}}; }, args));
  CHECK_FALSE(evicts([](PodDraft& p) { p.pods.labels = {{"app", "b"}}; }, args, "labels are not selected"));

  DeschedulerFixture f = two_nodes();
  f.namespaces = {{"blue", {{"team", "blue"}}}, {"red", {{"team", "red"}}}};
  for (const char* name : {"blue", "red", "nowhere"}) f.pod(name, NodeId(0)).namespace_ = name;
  DefaultEvictorArgs by_team;
  by_team.namespace_label_selector.requirements = {{"team", SelectorOperator::NotIn, {"red"}}};
  CHECK(f.run(everything(by_team)) == Texts{"blue"});
}

TEST_CASE("minReplicas counts the owner's pods wherever they are, and asks no pod of two owners") {
  DeschedulerFixture f = two_nodes();
  f.pod("p", NodeId(0));
  f.pod("done", NodeId(1)).status.phase = DeschedulerPod::Phase::Succeeded;
  f.pod("unbound", NodeId());
  f.pod("two", NodeId(0)).facts.owners = {{"ReplicaSet", "x", "u1"}, {"ReplicaSet", "y", "u2"}};
  DefaultEvictorArgs args;
  args.min_replicas = 3;
  CHECK(f.run(everything(args)) == Texts{"p", "two", "done"});
  args.min_replicas = 4;
  CHECK(f.run(everything(args)) == Texts{"two"});
  CHECK(f.kept("owner has fewer pods than minReplicas") == 2);
}

TEST_CASE("minPodAge is of the start, and a pod that has not started is too young") {
  DefaultEvictorArgs args;
  args.min_pod_age = Duration::seconds(600);
  auto started = [](double ago) { return [ago](PodDraft& p) { p.status.start_time = kNow - Duration::seconds(ago); }; };
  CHECK(evicts(started(600), args));
  CHECK_FALSE(evicts(started(599), args, "is younger than minPodAge"));
  CHECK_FALSE(evicts([](PodDraft& p) { p.status.start_time.reset(); }, args));
}

// ----------------------------------------------------------------------------------------------------------- nodeFit

DefaultEvictorArgs node_fit() {
  DefaultEvictorArgs out;
  out.node_fit = true;
  return out;
}

// Whether a pod on node a, which wants 2 CPUs, may go when `change` makes node b special.
template <class Change>
bool fits_other(Change change) {
  DeschedulerFixture f = two_nodes();
  PodDraft& pod = f.pod("p", NodeId(0), {{"cpu", 2000}});
  change(f, pod);
  Texts evicted = f.run(everything(node_fit()));
  return std::find(evicted.begin(), evicted.end(), "p") != evicted.end();
}

TEST_CASE("nodeFit asks for another node that the pod fits") {
  CHECK(fits_other([](DeschedulerFixture&, PodDraft&) {}));
  CHECK_FALSE(fits_other([](DeschedulerFixture& f, PodDraft&) { f.nodes[1].unschedulable = true; }));
  CHECK_FALSE(fits_other([](DeschedulerFixture& f, PodDraft&) { f.conditions = {{}, {kNodeCordoned}}; }));
  CHECK_FALSE(fits_other([](DeschedulerFixture&, PodDraft& p) { p.pods.spec.node_selector = {{"gpu", "a100"}}; }));
}

TEST_CASE("nodeFit and taints") {
  auto taint = [](TaintEffect effect) {
    return [effect](DeschedulerFixture& f, PodDraft&) { f.nodes[1].taints = {{"k", "v", effect}}; };
  };
  CHECK_FALSE(fits_other(taint(TaintEffect::NoSchedule)));
  CHECK_FALSE(fits_other(taint(TaintEffect::NoExecute)));
  CHECK(fits_other(taint(TaintEffect::PreferNoSchedule)));
}

TEST_CASE("nodeFit and room: requests of pods that have not ended, and a place for a pod") {
  auto beside = [](int64_t cpu, DeschedulerPod::Phase phase) {
    return [=](DeschedulerFixture& f, PodDraft&) { f.pod("o", NodeId(1), {{"cpu", cpu}}).status.phase = phase; };
  };
  CHECK(fits_other(beside(8000, DeschedulerPod::Phase::Running)));
  CHECK_FALSE(fits_other(beside(8001, DeschedulerPod::Phase::Running)));
  CHECK(fits_other(beside(8001, DeschedulerPod::Phase::Succeeded)));
  CHECK_FALSE(fits_other([](DeschedulerFixture& f, PodDraft&) {
    f.nodes[1].allocatable = {{"cpu", 9000}, {"pods", 0}};
  }));
  // What the node does not have at all.
  CHECK_FALSE(fits_other([](DeschedulerFixture&, PodDraft& p) {
    p.pods.spec.containers[0].requests = {{"nvidia.com/gpu", 1}};
  }));
}

TEST_CASE("a request of nothing still needs a node that is not overcommitted") {
  auto overcommitted = [](DeschedulerFixture& f, PodDraft& p) {
    f.pod("o", NodeId(1), {{"cpu", 11'000}});
    p.pods.spec.containers[0].requests = {{"cpu", 0}};
  };
  auto without_request = [&](DeschedulerFixture& f, PodDraft& p) {
    overcommitted(f, p);
    p.pods.spec.containers[0].requests = {};
  };
  CHECK_FALSE(fits_other(overcommitted));
  CHECK(fits_other(without_request));
}

TEST_CASE("nodeFit and anti-affinity: on the same node, if it has the topology key") {
  auto repelled = [](const char* key) {
    return [key](DeschedulerFixture& f, PodDraft& p) {
      f.nodes[1].meta.labels = {{"zone", "z"}};
      PodAffinityTerm term;
      term.label_selector = LabelSelector{{among("app", {"a"})}};
      term.topology_key = key;
      p.pods.spec.pod_anti_affinity.required = {term};
      f.pod("o", NodeId(1)).pods.labels = {{"app", "a"}};
    };
  };
  CHECK_FALSE(fits_other(repelled("zone")));
  CHECK(fits_other(repelled("rack")));
}

TEST_CASE("nodeFit looks at ready nodes that its own selector admits, not the policy's") {
  DeschedulerFixture f;
  for (const char* name : {"a", "b", "c"}) f.node(name, {{"name", name}});
  f.pod("p", NodeId(0));
  DeschedulerPolicy policy = everything(node_fit());
  policy.node_selector.requirements = {among("name", {"a", "b"})};
  CHECK(f.run(policy) == Texts{"p"});
  f.conditions = {{}, {}, {kNodeNotReady}};
  auto evictor = node_fit();
  evictor.node_selector.requirements = {among("name", {"c"})};
  DeschedulerPolicy unready = everything(evictor);
  CHECK(f.run(unready).empty());
  CHECK(f.kept("fits no other node") == 1);
}

TEST_CASE("pods of one template each look past their own node") {
  DeschedulerFixture f = two_nodes();
  f.node("full", {}, {{"cpu", 100}, {"pods", 110}});
  for (size_t i = 0; i < 2; ++i) f.pod("p" + std::to_string(i), NodeId(i), {{"cpu", 2000}});
  f.same_template = {1};
  CHECK(f.run(everything(node_fit())) == Texts{"p0", "p1"});
  f.nodes[1].unschedulable = true;
  CHECK(f.run(everything(node_fit())) == Texts{"p1"});
}

}  // namespace
}  // namespace kisim
