// The plugins that ask whether a pod may be where it is, or as it is.

#include "descheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Phase = DeschedulerPod::Phase;

// Nodes a, b, c … whose label "name" is their name.
DeschedulerFixture nodes(size_t count) {
  DeschedulerFixture f;
  for (size_t i = 0; i < count; ++i) {
    std::string name(1, static_cast<char>('a' + i));
    f.node(name, {{"name", name}});
  }
  return f;
}

// ------------------------------------------------------------------------------------------------- RemoveDuplicates

Texts run_duplicates(DeschedulerFixture& f, const RemoveDuplicatesArgs& args = {}, const DefaultEvictorArgs& e = {}) {
  return f.run(policy_of("RemoveDuplicates", args, e));
}

// Pods "p0" … of one owner on node a.
DeschedulerFixture duplicates(size_t pods, size_t node_count) {
  DeschedulerFixture f = nodes(node_count);
  for (size_t i = 0; i < pods; ++i) f.pod("p" + std::to_string(i), NodeId(0));
  return f;
}

TEST_CASE("RemoveDuplicates keeps one pod per node, as far as an even spread goes") {
  DeschedulerFixture f = duplicates(3, 3);
  CHECK(run_duplicates(f) == Texts{"p1", "p2"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "rs has 3 pods on the node, an even spread over 3 nodes at most 1");
  DeschedulerFixture more = duplicates(5, 2);  // 3 per node
  CHECK(run_duplicates(more) == Texts{"p3", "p4"});
  CHECK(more.kept("is the first of its owner on the node") == 1);
  CHECK(more.kept("owner has no more pods on the node than an even spread has") == 2);
}

TEST_CASE("RemoveDuplicates: other images, namespaces or owners are no duplicates") {
  DeschedulerFixture f = duplicates(4, 4);
  f.pods[1].pods.spec.containers[0].image = "other:1";
  f.pods[2].namespace_ = "other";
  f.pods[3].facts.owners[0].name = "rs2";
  CHECK(run_duplicates(f).empty());
}

TEST_CASE("RemoveDuplicates: the order of images does not matter") {
  DeschedulerFixture f = duplicates(2, 2);
  f.pods[0].pods.spec.containers.push_back({"side", "another:1"});
  f.pods[1].pods.spec.containers.insert(f.pods[1].pods.spec.containers.begin(), {"side", "another:1"});
  CHECK(run_duplicates(f) == Texts{"p1"});
}

TEST_CASE("RemoveDuplicates sees only pods that may go") {
  DeschedulerFixture f = duplicates(3, 3);
  f.pods[0].facts.local_storage = true;
  CHECK(run_duplicates(f) == Texts{"p2"});  // of two pods, for three nodes
  f.pods[1].status.phase = Phase::Succeeded;
  CHECK(run_duplicates(f).empty());
}

TEST_CASE("RemoveDuplicates asks for two nodes that the pods can go to, cordoned ones among them") {
  DeschedulerFixture f = duplicates(2, 2);
  f.nodes[1].unschedulable = true;
  CHECK(run_duplicates(f) == Texts{"p1"});
  f.nodes[1].taints = {{"k", "v", TaintEffect::NoSchedule}};
  CHECK(run_duplicates(f).empty());
  CHECK(f.kept("owner's pods have fewer than two feasible nodes") == 1);
}

TEST_CASE("RemoveDuplicates: pods that can go to one node only do not make it a target") {
  DeschedulerFixture f = duplicates(3, 3);
  f.pods[1].pods.spec.node_selector = {{"name", "c"}};
  f.pods[2].pods.spec.required_node_affinity = {NodeSelectorTerm{{among("name", {"a", "b"})}, {}}};
  CHECK(run_duplicates(f) == Texts{"p2"});  // three pods over a and b: two each
}

TEST_CASE("RemoveDuplicates: excluded owner kinds and namespaces") {
  DeschedulerFixture f = duplicates(2, 2);
  RemoveDuplicatesArgs kinds, exclude, include;
  kinds.exclude_owner_kinds = {"ReplicaSet"};
  exclude.namespaces.exclude = {"default"};
  include.namespaces.include = {"other"};
  CHECK(run_duplicates(f, kinds).empty());
  CHECK(run_duplicates(f, exclude).empty());
  CHECK(run_duplicates(f, include).empty());
}

TEST_CASE("RemoveDuplicates: a pod of two owners counts for both and is asked for twice") {
  DeschedulerFixture f = duplicates(2, 2);
  for (PodDraft& pod : f.pods) pod.facts.owners.push_back({"Other", "o", "u"});
  CHECK(run_duplicates(f) == Texts{"p1", "p1"});
}

// -------------------------------------------------------------------------------------------------- node affinity

NodeSelectorTerm named(const std::string& name) { return {{among("name", {name})}, {}}; }

Texts run_affinity(DeschedulerFixture& f, std::vector<NodeAffinityType> types, const DefaultEvictorArgs& e = {}) {
  return f.run(
      policy_of("RemovePodsViolatingNodeAffinity", RemovePodsViolatingNodeAffinityArgs{{}, std::move(types)}, e));
}
constexpr NodeAffinityType kRequired = NodeAffinityType::RequiredDuringSchedulingIgnoredDuringExecution;
constexpr NodeAffinityType kPreferred = NodeAffinityType::PreferredDuringSchedulingIgnoredDuringExecution;

TEST_CASE("required node affinity: pods whose node no longer matches, if any node does") {
  DeschedulerFixture f = nodes(2);
  f.pod("wrong", NodeId(0)).pods.spec.required_node_affinity = {named("b")};
  f.pod("right", NodeId(0)).pods.spec.required_node_affinity = {named("a")};
  f.pod("nowhere", NodeId(0)).pods.spec.required_node_affinity = {named("z")};
  f.pod("selector", NodeId(0)).pods.spec.node_selector = {{"name", "b"}};  // no affinity
  CHECK(run_affinity(f, {kRequired}) == Texts{"wrong"});
  CHECK(f.kept("required node affinity matches the node") == 1);
  CHECK(f.kept("fits no node") == 1);
  CHECK(run_affinity(f, {kPreferred}).empty());
}

TEST_CASE("required node affinity: the nodeSelector counts where there is affinity") {
  DeschedulerFixture f = nodes(2);
  PodSpec& spec = f.pod("p", NodeId(0)).pods.spec;
  spec.required_node_affinity = {NodeSelectorTerm{{{"name", SelectorOperator::Exists, {}}}, {}}};
  spec.node_selector = {{"name", "b"}};
  CHECK(run_affinity(f, {kRequired}) == Texts{"p"});
}

TEST_CASE("preferred node affinity: pods that like another node better") {
  DeschedulerFixture f = nodes(3);
  f.pod("better", NodeId(0)).pods.spec.preferred_node_affinity = {{10, named("b")}, {5, named("a")}};
  f.pod("as-good", NodeId(0)).pods.spec.preferred_node_affinity = {{10, named("b")}, {10, named("a")}};
  CHECK(run_affinity(f, {kPreferred}) == Texts{"better"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "prefers another node: weight 10, here 5");
  CHECK(f.kept("no node is preferred to its own") == 1);
}

TEST_CASE("preferred node affinity: the best node need not have room, any node will do, the pod's own among them") {
  DeschedulerFixture f = nodes(2);
  f.pod("p", NodeId(0), {{"cpu", 1000}}).pods.spec.preferred_node_affinity = {{10, named("b")}};
  f.pod("full", NodeId(1), {{"cpu", 10'000}});
  CHECK(run_affinity(f, {kPreferred}) == Texts{"p"});
  f.nodes[0].unschedulable = true;
  CHECK(run_affinity(f, {kPreferred}).empty());
}

TEST_CASE("on its own node a pod needs no room") {
  DeschedulerFixture f = nodes(2);
  f.pod("p", NodeId(0), {{"cpu", 6000}}).pods.spec.preferred_node_affinity = {{10, named("b")}};
  f.pod("other", NodeId(0), {{"cpu", 6000}});
  f.nodes[1].unschedulable = true;
  CHECK(run_affinity(f, {kPreferred}) == Texts{"p"});
}

TEST_CASE("both types are looked at one after the other") {
  DeschedulerFixture f = nodes(2);
  PodSpec& spec = f.pod("p", NodeId(0)).pods.spec;
  spec.required_node_affinity = {named("b")};
  spec.preferred_node_affinity = {{1, named("b")}};
  CHECK(run_affinity(f, {kRequired, kPreferred}) == Texts{"p", "p"});
}

// ----------------------------------------------------------------------------------------------------------- taints

Texts run_taints(DeschedulerFixture& f, const RemovePodsViolatingNodeTaintsArgs& args = {}) {
  return f.run(policy_of("RemovePodsViolatingNodeTaints", args));
}

DeschedulerFixture tainted(std::vector<Taint> taints) {
  DeschedulerFixture f = nodes(2);
  f.nodes[0].taints = std::move(taints);
  f.pod("p", NodeId(0));
  return f;
}

TEST_CASE("NoSchedule taints count, PreferNoSchedule if asked for, NoExecute never") {
  RemovePodsViolatingNodeTaintsArgs soft;
  soft.include_prefer_no_schedule = true;
  DeschedulerFixture f = tainted({{"k", "v", TaintEffect::NoSchedule}});
  CHECK(run_taints(f) == Texts{"p"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "does not tolerate the taint k=v:NoSchedule");
  DeschedulerFixture g = tainted({{"k", "v", TaintEffect::PreferNoSchedule}});
  CHECK(run_taints(g).empty());
  CHECK(run_taints(g, soft) == Texts{"p"});
  DeschedulerFixture h = tainted({{"k", "v", TaintEffect::NoExecute}});
  CHECK(run_taints(h, soft).empty());
}

TEST_CASE("tolerated taints keep nobody away") {
  DeschedulerFixture f = tainted({{"k", "v", TaintEffect::NoSchedule}});
  f.pods[0].pods.spec.tolerations = {{"k", TolerationOperator::Equal, "v", {}, {}}};
  CHECK(run_taints(f).empty());
  CHECK(f.kept("tolerates the node's taints") == 1);
}

TEST_CASE("taints are left out, or picked, by key or by key and value") {
  auto with = [](const char* excluded, const char* included) {
    RemovePodsViolatingNodeTaintsArgs args;
    if (excluded) args.excluded_taints = {excluded};
    if (included) args.included_taints = std::vector<std::string>{included};
    DeschedulerFixture f = tainted({{"k", "v", TaintEffect::NoSchedule}});
    return run_taints(f, args).size();
  };
  CHECK(with("k", nullptr) == 0);
  CHECK(with("k=v", nullptr) == 0);
  CHECK(with("k=w", nullptr) == 1);
  CHECK(with(nullptr, "k") == 1);
  CHECK(with(nullptr, "k=v") == 1);
  CHECK(with(nullptr, "k=w") == 0);
  RemovePodsViolatingNodeTaintsArgs none;
  none.included_taints.emplace();
  DeschedulerFixture f = tainted({{"k", "v", TaintEffect::NoSchedule}});
  CHECK(run_taints(f, none).empty());
}

// ---------------------------------------------------------------------------------------------------- anti-affinity

Texts run_anti_affinity(DeschedulerFixture& f, const RemovePodsViolatingInterPodAntiAffinityArgs& args = {}) {
  return f.run(policy_of("RemovePodsViolatingInterPodAntiAffinity", args));
}

PodAffinityTerm apart_from(const std::string& app, const std::string& key) {
  PodAffinityTerm out;
  out.label_selector = LabelSelector{{among("app", {app})}};
  out.topology_key = key;
  return out;
}

PodDraft& app_pod(DeschedulerFixture& f, const std::string& name, NodeId node, const std::string& app) {
  PodDraft& out = f.pod(name, node);
  out.pods.labels = {{"app", app}};
  return out;
}

TEST_CASE("anti-affinity: the pod of lowest priority goes, and then the others are in no conflict") {
  DeschedulerFixture f = nodes(2);
  for (int i = 0; i < 3; ++i) {
    PodDraft& pod = app_pod(f, "p" + std::to_string(i), NodeId(0), "x");
    pod.pods.spec.pod_anti_affinity.required = {apart_from("x", "name")};
    pod.facts.priority = 3 - i;
  }
  CHECK(run_anti_affinity(f) == Texts{"p2", "p1"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "required anti-affinity: another such pod runs in the same name");
  CHECK(f.kept("no pod breaks its anti-affinity") == 1);
}

TEST_CASE("anti-affinity: domains are those of the key; without it, the node") {
  DeschedulerFixture f = nodes(3);
  f.nodes[0].meta.labels = f.nodes[1].meta.labels = {{"zone", "z"}};
  auto zoned = [](const char* key) {
    return [key](DeschedulerFixture& g) {
      app_pod(g, "p", NodeId(0), "p").pods.spec.pod_anti_affinity.required = {apart_from("x", key)};
      app_pod(g, "x", NodeId(1), "x");
    };
  };
  DeschedulerFixture g = f, h = f;
  zoned("zone")(g);
  CHECK(run_anti_affinity(g) == Texts{"p"});
  zoned("rack")(h);
  CHECK(run_anti_affinity(h).empty());
  h.pods[1].status.node = NodeId(0);
  CHECK(run_anti_affinity(h) == Texts{"p"});
}

TEST_CASE("anti-affinity: namespaces of the term, or the pod's own; a pod is in no conflict with itself") {
  DeschedulerFixture f = nodes(2);
  PodDraft& pod = app_pod(f, "p", NodeId(0), "x");
  pod.pods.spec.pod_anti_affinity.required = {apart_from("x", "name")};
  CHECK(run_anti_affinity(f).empty());
  app_pod(f, "other", NodeId(0), "x").namespace_ = "other";
  CHECK(run_anti_affinity(f).empty());
  f.pods[0].pods.spec.pod_anti_affinity.required[0].namespaces = {"other"};
  CHECK(run_anti_affinity(f) == Texts{"p"});
}

TEST_CASE("anti-affinity: protected pods count for others; those that the plugin does not select do not") {
  DeschedulerFixture f = nodes(2);
  app_pod(f, "p", NodeId(0), "p").pods.spec.pod_anti_affinity.required = {apart_from("x", "name")};
  app_pod(f, "x", NodeId(0), "x").facts.local_storage = true;
  CHECK(run_anti_affinity(f) == Texts{"p"});
  RemovePodsViolatingInterPodAntiAffinityArgs args;
  args.pods.label_selector.requirements = {among("app", {"p"})};
  CHECK(run_anti_affinity(f, args).empty());
}

TEST_CASE("anti-affinity: who cannot be evicted leaves the conflict to others") {
  DeschedulerFixture f = nodes(2);
  for (const char* name : {"p0", "p1"})
    app_pod(f, name, NodeId(0), "x").pods.spec.pod_anti_affinity.required = {apart_from("x", "name")};
  DeschedulerPolicy policy =
      policy_of("RemovePodsViolatingInterPodAntiAffinity", RemovePodsViolatingInterPodAntiAffinityArgs{});
  EvictPod refuse_first = [](const DeschedulerEviction& e) {
    return e.pod == PodId(0u) ? std::optional<std::string>("no") : std::nullopt;
  };
  CHECK(f.run(policy, refuse_first) == Texts{"p1"});
  CHECK(f.report.evictions[0].refusal == "no");
}

// -------------------------------------------------------------------------------------------- restarts, age, failure

TEST_CASE("too many restarts: at least the threshold, most first, whatever the phase") {
  DeschedulerFixture f = nodes(2);
  f.pod("few", NodeId(0)).status.restarts = 4;
  f.pod("some", NodeId(0)).status.restarts = 5;
  PodDraft& many = f.pod("many", NodeId(0));
  many.status.restarts = 3;
  many.status.init_restarts = 9;
  f.pod("done", NodeId(1)).status.restarts = 6;
  f.pods.back().status.phase = Phase::Succeeded;
  RemovePodsHavingTooManyRestartsArgs args;
  args.pod_restart_threshold = 5;
  CHECK(f.run(policy_of("RemovePodsHavingTooManyRestarts", args)) == Texts{"some", "done"});
  CHECK(f.kept("has fewer restarts than the threshold") == 2);
  args.including_init_containers = true;
  CHECK(f.run(policy_of("RemovePodsHavingTooManyRestarts", args)) == Texts{"many", "some", "done"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "12 restarts, the threshold is 5");
}

DeschedulerContainer waiting(const std::string& reason, DeschedulerContainer::Kind kind = {}) {
  return {kind, reason, std::nullopt};
}
DeschedulerContainer terminated(const std::string& reason, int32_t code, DeschedulerContainer::Kind kind = {}) {
  return {kind, "", DeschedulerContainer::Terminated{reason, code}};
}

TEST_CASE("too many restarts: states are the phase or what a container waits for") {
  using Kind = DeschedulerContainer::Kind;
  auto evicted = [](const char* state, Phase phase, DeschedulerContainer container, bool init) {
    DeschedulerFixture f = nodes(2);
    PodDraft& pod = f.pod("p", NodeId(0));
    pod.status.restarts = 1;
    pod.status.phase = phase;
    pod.status.containers = {std::move(container)};
    RemovePodsHavingTooManyRestartsArgs args;
    args.pod_restart_threshold = 1;
    args.states = {state};
    args.including_init_containers = init;
    return !f.run(policy_of("RemovePodsHavingTooManyRestarts", args)).empty();
  };
  CHECK(evicted("Running", Phase::Running, waiting(""), false));
  CHECK_FALSE(evicted("Running", Phase::Pending, waiting(""), false));
  CHECK(evicted("CrashLoopBackOff", Phase::Pending, waiting("CrashLoopBackOff"), false));
  CHECK_FALSE(evicted("CrashLoopBackOff", Phase::Pending, waiting("CrashLoopBackOff", Kind::Init), false));
  CHECK(evicted("CrashLoopBackOff", Phase::Pending, waiting("CrashLoopBackOff", Kind::Init), true));
}

Texts run_life_time(DeschedulerFixture& f, const PodLifeTimeArgs& args) {
  return f.run(policy_of("PodLifeTime", args));
}

PodLifeTimeArgs older_than(uint64_t seconds) {
  PodLifeTimeArgs out;
  out.max_pod_life_time_seconds = seconds;
  return out;
}

TEST_CASE("PodLifeTime: older than the limit in whole seconds, the oldest first over all nodes") {
  DeschedulerFixture f = nodes(2);
  auto aged = [&](const char* name, size_t node, double seconds) {
    f.pod(name, NodeId(node)).status.created = kNow - Duration::seconds(seconds);
  };
  aged("at", 0, 60.9);
  aged("older", 0, 61);
  aged("oldest", 1, 100);
  aged("future", 1, -5);
  CHECK(run_life_time(f, older_than(60)) == Texts{"oldest", "older"});
  REQUIRE_FALSE(f.report.evictions.empty());
  CHECK(f.report.evictions[0].reason == "is 100 s old, at most 60 s are allowed");
  CHECK(f.kept("is not older than maxPodLifeTimeSeconds") == 2);
}

TEST_CASE("PodLifeTime: states are the phase, the pod's reason and those of containers") {
  using Kind = DeschedulerContainer::Kind;
  auto matches = [](const char* state, auto change, bool init = false, bool ephemeral = false) {
    DeschedulerFixture f = nodes(2);
    change(f.pod("p", NodeId(0)).status);
    PodLifeTimeArgs args;
    args.states = {state};
    args.including_init_containers = init;
    args.including_ephemeral_containers = ephemeral;
    return !run_life_time(f, args).empty();
  };
  auto has = [](DeschedulerContainer container) {
    return [container](DeschedulerPod& pod) { pod.containers = {container}; };
  };
  CHECK(matches("Running", [](DeschedulerPod&) {}));
  CHECK(matches("Failed", [](DeschedulerPod& p) { p.phase = Phase::Failed; }));
  CHECK(matches("NodeLost", [](DeschedulerPod& p) { p.reason = "NodeLost"; }));
  CHECK(matches("ImagePullBackOff", has(waiting("ImagePullBackOff"))));
  CHECK(matches("OOMKilled", has(terminated("OOMKilled", 137))));
  CHECK_FALSE(matches("OOMKilled", has(terminated("OOMKilled", 137, Kind::Init))));
  CHECK(matches("OOMKilled", has(terminated("OOMKilled", 137, Kind::Init)), true));
  CHECK_FALSE(matches("Error", has(terminated("Error", 1, Kind::Ephemeral)), true));
  CHECK(matches("Error", has(terminated("Error", 1, Kind::Ephemeral)), false, true));
}

TEST_CASE("PodLifeTime: owner kinds, of any owner") {
  DeschedulerFixture f = nodes(2);
  f.pod("p", NodeId(0)).facts.owners.push_back({"Job", "j", "u"});
  f.pod("q", NodeId(0));
  PodLifeTimeArgs include = older_than(0), exclude = older_than(0);
  include.owner_kinds.include = {"Job"};
  exclude.owner_kinds.exclude = {"Job"};
  CHECK(run_life_time(f, include) == Texts{"p"});
  CHECK(run_life_time(f, exclude) == Texts{"q"});
}

TEST_CASE("PodLifeTime: any of the conditions, with all that it asks, for long enough") {
  auto matches = [](PodLifeTimeArgs::Condition wanted, double seconds_ago = 60) {
    DeschedulerFixture f = nodes(2);
    f.pod("p", NodeId(0)).status.conditions = {{"Ready", "False", "Crash", kNow - Duration::seconds(seconds_ago)}};
    PodLifeTimeArgs args;
    args.conditions = {{"Other", "", "", {}}, std::move(wanted)};
    return !run_life_time(f, args).empty();
  };
  CHECK(matches({"Ready", "False", "Crash", {}}));
  CHECK(matches({"", "", "Crash", {}}));
  CHECK_FALSE(matches({"Ready", "True", "", {}}));
  CHECK(matches({"Ready", "", "", 60}));
  CHECK_FALSE(matches({"Ready", "", "", 61}));
  CHECK_FALSE(matches({"Ready", "", "", 0}, -1));
}

TEST_CASE("PodLifeTime: exit codes") {
  DeschedulerFixture f = nodes(2);
  f.pod("p", NodeId(0)).status.containers = {terminated("", 137)};
  f.pod("init", NodeId(0)).status.containers = {terminated("", 137, DeschedulerContainer::Kind::Init)};
  PodLifeTimeArgs args;
  args.exit_codes = {1, 137};
  CHECK(run_life_time(f, args) == Texts{"p"});
  args.including_init_containers = true;
  CHECK(run_life_time(f, args) == Texts{"p", "init"});
}

TEST_CASE("RemoveFailedPods: failed, old enough, for one of the reasons and exit codes") {
  auto evicted = [](RemoveFailedPodsArgs args, auto change) {
    DeschedulerFixture f = nodes(2);
    PodDraft& pod = f.pod("p", NodeId(0));
    pod.status.phase = Phase::Failed;
    pod.status.reason = "OutOfcpu";
    pod.status.containers = {terminated("Error", 3)};
    change(pod);
    return !f.run(policy_of("RemoveFailedPods", args)).empty();
  };
  auto nothing = [](PodDraft&) {};
  RemoveFailedPodsArgs plain, by_pod, by_container, by_code, other;
  by_pod.reasons = {"OutOfcpu"};
  by_container.reasons = {"Error"};
  by_code.exit_codes = {3};
  other.reasons = {"Other"};
  CHECK(evicted(plain, nothing));
  CHECK_FALSE(evicted(plain, [](PodDraft& p) { p.status.phase = Phase::Running; }));
  CHECK_FALSE(evicted(plain, [](PodDraft& p) { p.status.created = kNow - Duration::seconds(3599); }));
  CHECK(evicted(by_pod, nothing));
  CHECK(evicted(by_container, nothing));
  CHECK(evicted(by_code, nothing));
  CHECK_FALSE(evicted(other, nothing));
  RemoveFailedPodsArgs kinds;
  kinds.exclude_owner_kinds = {"ReplicaSet"};
  CHECK_FALSE(evicted(kinds, nothing));
}

}  // namespace
}  // namespace kisim
