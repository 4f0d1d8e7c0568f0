// PodTopologySpread and InterPodAffinity, filter and score, against cases worked out by hand.

#include "kube/scheduler_fixture.hpp"
#include "policy/scheduler_args.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Names = std::vector<std::string>;
using Scores = std::vector<int64_t>;
using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
using InclusionPolicy = TopologySpreadConstraint::InclusionPolicy;

constexpr const char* kHost = "kubernetes.io/hostname";
constexpr const char* kZone = "topology.kubernetes.io/zone";

Node node_in(const std::string& name, const std::string& zone) {
  Labels labels{{kHost, name}};
  if (!zone.empty()) labels.push_back({kZone, zone});
  return make_node(name, {{"cpu", 64000}, {"memory", 64000 * kMiB}}, labels);
}

LabelSelector app_is(const std::string& app) { return {{{"app", SelectorOperator::In, {app}}}}; }

Objects::Workload app(const std::string& name, PodSpec spec = make_pod({}), const std::string& namespace_ = "default") {
  return {{{{"app", name}}, {}, std::move(spec)}, namespace_, {}};
}

SchedulerConfig with_args(const std::string& plugin, std::any args) {
  SchedulerConfig config = default_config();
  config.configuration.profiles.front().plugin_config[plugin].args = std::move(args);
  return config;
}

std::string reason(const SchedulerFixture& f, CycleProbe& probe, size_t node) {
  return f.scheduler_model.reasons[probe.cycle.reasons_of(NodeId(node)).at(0)];
}

// --- PodTopologySpread

TopologySpreadConstraint spread(const std::string& key, int32_t max_skew, const std::string& of = "web") {
  TopologySpreadConstraint c;
  c.topology_key = key;
  c.max_skew = max_skew;
  c.label_selector = app_is(of);
  return c;
}
TopologySpreadConstraint soft(TopologySpreadConstraint c) {
  c.when_unsatisfiable = Unsatisfiable::ScheduleAnyway;
  return c;
}
PodSpec spreading(std::vector<TopologySpreadConstraint> constraints) {
  PodSpec spec = make_pod({});
  spec.topology_spread_constraints = std::move(constraints);
  return spec;
}

const std::string kUneven = "PodTopologySpread Unschedulable";

TEST_CASE("PodTopologySpread: no domain more than maxSkew above the emptiest") {
  Objects o{{node_in("a", "z1"), node_in("b", "z1"), node_in("c", "z2"), node_in("d", "")},
            {app("web", spreading({spread(kZone, 1)})), app("web"), app("db")}};
  SchedulerFixture f(o);
  f.place(1, 0);
  f.place(2, 2);  // not selected
  PodId pod = f.create(0);
  CycleProbe one(f, pod);
  CHECK(one.feasible() == Names{"c"});  // z1 holds 1, z2 none: 1 + 1 − 0 > 1
  CHECK(one.verdict(1) == kUneven);
  CHECK(reason(f, one, 1) == "node(s) didn't match pod topology spread constraints");
  CHECK(one.verdict(3) == "PodTopologySpread UnschedulableAndUnresolvable");
  CHECK(reason(f, one, 3) == "node(s) didn't match pod topology spread constraints (missing required label)");
  f.place(1, 2);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "c", "b"});
}

TEST_CASE("PodTopologySpread: a pod that its own selector misses does not count itself") {
  SchedulerFixture f(
      Objects{{node_in("a", "z1"), node_in("b", "z2")}, {app("other", spreading({spread(kZone, 1)})), app("web")}});
  f.place(1, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "b"});  // 1 + 0 − 0
  f.place(1, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"b"});
}

TEST_CASE("PodTopologySpread: fewer domains than minDomains count as an empty one more") {
  auto with_min = [](int32_t min) {
    TopologySpreadConstraint c = spread(kZone, 1);
    c.min_domains = min;
    return spreading({c});
  };
  SchedulerFixture f(
      Objects{{node_in("a", "z1"), node_in("b", "z2")}, {app("web", with_min(2)), app("web", with_min(3))}});
  f.place(0, 0);
  f.place(0, 1);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "b"});
  CHECK(CycleProbe(f, f.create(1)).feasible().empty());
}

TEST_CASE("PodTopologySpread counts pods of the namespace that are not being deleted") {
  SchedulerFixture f(Objects{{node_in("a", "z1"), node_in("b", "z2")},
                             {app("web", spreading({spread(kZone, 1)})), app("web", make_pod({}), "elsewhere")}});
  f.place(1, 0);
  PodId leaving = f.place(0, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"b"});
  f.cache.set_terminating(leaving, false);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "b"});
}

TEST_CASE("PodTopologySpread: no selector counts nothing, an empty one only the pod itself") {
  TopologySpreadConstraint none = spread(kZone, 1), empty = spread(kZone, 1);
  none.label_selector.reset();
  empty.label_selector = LabelSelector{};
  SchedulerFixture f(Objects{{node_in("a", "z1"), node_in("b", "z2")},
                             {app("web", spreading({none})), app("web", spreading({empty}))}});
  for (int i = 0; i < 3; ++i) f.place(0, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "b"});
  CHECK(CycleProbe(f, f.create(1)).feasible() == Names{"a", "b"});  // 0 + 1 − 0
}

TEST_CASE("PodTopologySpread: only nodes that the pod may use make domains, if the policies say so") {
  Node tainted = node_in("c", "z3");
  tainted.taints = {{"gpu", "", TaintEffect::NoSchedule}};
  std::vector<Node> nodes{node_in("a", "z1"), node_in("b", "z2"), tainted};
  auto feasible = [&](InclusionPolicy affinity, InclusionPolicy taints) {
    TopologySpreadConstraint c = spread(kZone, 1);
    c.node_affinity_policy = affinity;
    c.node_taints_policy = taints;
    PodSpec spec = spreading({c});
    spec.required_node_affinity = {{{{{kHost, SelectorOperator::NotIn, {"b"}}}, {}}}};
    SchedulerFixture f(Objects{nodes, {app("web", spec)}});
    f.place(0, 0);
    return !CycleProbe(f, f.create(0)).feasible().empty();
  };
  // a holds one pod. b is excluded by affinity, c by its taint: whichever counts as a domain is empty.
  CHECK_FALSE(feasible(InclusionPolicy::Honor, InclusionPolicy::Ignore));
  CHECK_FALSE(feasible(InclusionPolicy::Ignore, InclusionPolicy::Honor));
  CHECK(feasible(InclusionPolicy::Honor, InclusionPolicy::Honor));
}

TEST_CASE("PodTopologySpread: a node that is not ready is tainted for nodeTaintsPolicy") {
  TopologySpreadConstraint c = spread(kZone, 1);
  c.node_taints_policy = InclusionPolicy::Honor;
  SchedulerFixture f(Objects{{node_in("a", "z1"), node_in("b", "z2")}, {app("web", spreading({c}))}});
  f.place(0, 0);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"b"});
  f.set_ready(1, false);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a"});
}

TEST_CASE("PodTopologySpread: a node without one of several keys is part of no domain") {
  SchedulerFixture f(Objects{{node_in("a", "z1"), node_in("b", "z2"), make_node("c", {{"cpu", 1000}}, {{kZone, "z3"}})},
                             {app("web", spreading({spread(kZone, 1), spread(kHost, 9)}))}});
  f.place(0, 0);
  f.place(0, 1);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "b"});  // z3 would have been the emptiest
}

TEST_CASE("PodTopologySpread scores counts by ln(domains + 2), fewest first") {
  Objects o{{node_in("a", "z1"), node_in("b", "z1"), node_in("c", "z2"), node_in("d", "z3")},
            {app("web", spreading({soft(spread(kZone, 1)), soft(spread(kHost, 3))})), app("web")}};
  SchedulerFixture f(o);
  for (size_t node : {0, 0, 1, 2}) f.place(1, node);
  // Zones 3, 3, 1, 0 times ln 5 = 1.609; hosts 2, 1, 1, 0 times ln 6 = 1.792, plus 2.
  // a: 4.83 + 3.58 + 2 = 10.41 → 10; b: 4.83 + 1.79 + 2 → 9; c: 1.61 + 1.79 + 2 → 5; d: 2.
  // 100·(10 + 2 − s)/10: a 20, b 30, c 70, d 100; weight 2. Visited a, c, d, b.
  CHECK(CycleProbe(f, f.create(0)).scores("PodTopologySpread") == Scores{40, 140, 200, 60});
}

TEST_CASE("PodTopologySpread: nodes without a soft key score nothing, and all others alike if nothing runs") {
  SchedulerFixture f(
      Objects{{node_in("a", "z1"), node_in("b", "z2"), node_in("c", "")},
              {app("web", spreading({soft(spread(kZone, 1))})), app("db", spreading({spread(kZone, 5)}))}});
  CHECK(CycleProbe(f, f.create(0)).scores("PodTopologySpread") == Scores{200, 200, 0});
  CHECK(CycleProbe(f, f.create(1)).scores("PodTopologySpread").empty());  // no soft constraint: skipped
}

TEST_CASE("PodTopologySpread: the system's constraints need a Service or an owner, and no labels of nodes") {
  Objects o{{node_in("a", "z1"), node_in("b", ""), node_in("c", "")}, {app("web"), app("db"), app("own")}};
  o.services.resize(1);
  o.services[0].selector = {{"app", "web"}};
  o.workloads[2].owner = app_is("own");
  SchedulerFixture f(o);
  f.place(0, 1);
  // Hosts with maxSkew 3: 0, 1, 0 times ln 5, plus 2. Zones with maxSkew 5: a has z1, worth 0·ln 4 + 4; the others
  // none. a: 6; b: 3.61 → 4; c: 2. 100·(6 + 2 − s)/6: 33, 66, 100. Visited a, b, c.
  CHECK(CycleProbe(f, f.create(0)).scores("PodTopologySpread") == Scores{66, 132, 200});
  CHECK(CycleProbe(f, f.create(1)).scores("PodTopologySpread").empty());
  CHECK(CycleProbe(f, f.create(2)).scores("PodTopologySpread").size() == 3);
}

TEST_CASE("PodTopologySpread: constraints of the profile stand in for those that the pod does not have") {
  PodTopologySpreadArgs args;
  args.defaulting = PodTopologySpreadArgs::Defaulting::List;
  args.default_constraints = {spread(kZone, 1), soft(spread(kHost, 1))};
  for (TopologySpreadConstraint& c : args.default_constraints) c.label_selector.reset();
  Objects o{{node_in("a", "z1"), node_in("b", "z2"), node_in("c", "z2")},
            {app("web"), app("web", spreading({soft(spread(kHost, 1))}))}};
  o.workloads[0].owner = o.workloads[1].owner = app_is("web");
  SchedulerFixture f(o, with_args("PodTopologySpread", args));
  f.place(0, 0);
  CycleProbe defaulted(f, f.create(0)), own(f, f.create(1));
  CHECK(defaulted.feasible() == Names{"b", "c"});
  CHECK(defaulted.scores("PodTopologySpread") == Scores{200, 200});
  CHECK(own.feasible() == Names{"a", "b", "c"});
  CHECK(own.scores("PodTopologySpread") == Scores{0, 200, 200});
}

TEST_CASE("PodTopologySpread looks at a node as it would be with fewer pods") {
  SchedulerFixture f(Objects{{node_in("a", "z1"), node_in("b", "z2")}, {app("web", spreading({spread(kZone, 1)}))}});
  PodId on_a = f.place(0, 0);
  f.place(0, 0);
  f.place(0, 1);
  CycleProbe probe(f, f.create(0));
  REQUIRE(probe.verdict(0) == kUneven);
  auto trial = probe.cycle.dry_run();
  trial->remove_pod(on_a);
  CHECK(trial->filter(NodeId(0u)).code == StatusCode::Success);
  trial->restore_pod(on_a);
  CHECK(trial->filter(NodeId(0u)).code == StatusCode::Unschedulable);
}

// --- InterPodAffinity

PodAffinityTerm near(const std::string& key, const std::string& of) {
  PodAffinityTerm term;
  term.topology_key = key;
  term.label_selector = app_is(of);
  return term;
}
PodSpec attracted(std::vector<PodAffinityTerm> terms) {
  PodSpec spec = make_pod({});
  spec.pod_affinity.required = std::move(terms);
  return spec;
}
PodSpec repelled(std::vector<PodAffinityTerm> terms) {
  PodSpec spec = make_pod({});
  spec.pod_anti_affinity.required = std::move(terms);
  return spec;
}

const std::vector<Node> kTwoZones{node_in("a", "z1"), node_in("b", "z1"), node_in("c", "z2"), node_in("d", "")};

TEST_CASE("InterPodAffinity: one pod must match all terms, in the node's domain of every key") {
  PodAffinityTerm db_tier = near(kHost, "db");
  db_tier.label_selector->requirements.push_back({"tier", SelectorOperator::Exists, {}});
  Objects o{kTwoZones,
            {app("web", attracted({near(kZone, "db")})), app("web", attracted({near(kZone, "db"), db_tier})), app("db"),
             app("db")}};
  o.workloads[3].pods.labels.push_back({"tier", "1"});
  SchedulerFixture f(o);
  f.place(2, 0);
  CycleProbe one(f, f.create(0));
  CHECK(one.feasible() == Names{"a", "b"});
  CHECK(one.verdict(2) == "InterPodAffinity UnschedulableAndUnresolvable");
  CHECK(reason(f, one, 2) == "node(s) didn't match pod affinity rules");
  CHECK(CycleProbe(f, f.create(1)).feasible().empty());  // that pod lacks the tier
  f.place(3, 1);
  CHECK(CycleProbe(f, f.create(1)).feasible() == Names{"b"});
}

TEST_CASE("InterPodAffinity: the first pod of a kind that wants its own kind may go where the keys are") {
  SchedulerFixture f(
      Objects{kTwoZones, {app("web", attracted({near(kZone, "web")})), app("web", attracted({near(kZone, "db")}))}});
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"a", "c", "b"});
  CHECK(CycleProbe(f, f.create(1)).feasible().empty());
  f.place(0, 2);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"c"});
}

TEST_CASE("InterPodAffinity: anti-affinity keeps away from pods, and they from those that match theirs") {
  SchedulerFixture f(Objects{kTwoZones, {app("web", repelled({near(kZone, "db")})), app("db")}});
  f.place(1, 0);
  CycleProbe own(f, f.create(0));
  CHECK(own.feasible() == Names{"c", "d"});  // without the label there is nobody near
  CHECK(own.verdict(1) == "InterPodAffinity Unschedulable");
  CHECK(reason(f, own, 1) == "node(s) didn't match pod anti-affinity rules");
  f.place(0, 2);
  CycleProbe others(f, f.create(1));
  CHECK(others.feasible() == Names{"a", "d", "b"});
  CHECK(others.verdict(2) == "InterPodAffinity Unschedulable");
  CHECK(reason(f, others, 2) == "node(s) didn't satisfy existing pods anti-affinity rules");
}

TEST_CASE("InterPodAffinity: terms over one key count together, those without selector match nobody") {
  PodAffinityTerm nobody = near(kHost, "db");
  nobody.label_selector.reset();
  SchedulerFixture f(Objects{kTwoZones,
                             {app("web", repelled({near(kHost, "db"), near(kHost, "cache")})),
                              app("web", repelled({nobody})), app("db"), app("cache")}});
  f.place(2, 0);
  f.place(3, 2);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"d", "b"});
  CHECK(CycleProbe(f, f.create(1)).feasible().size() == 4);
}

TEST_CASE("InterPodAffinity: namespaces of a term by name, by label, or the pod's own") {
  auto in = [](std::vector<std::string> names, std::optional<LabelSelector> selector) {
    PodAffinityTerm term = near(kHost, "db");
    term.namespaces = std::move(names);
    term.namespace_selector = std::move(selector);
    return attracted({term});
  };
  Objects o{
      {node_in("a", "z1"), node_in("b", "z1")},
      {app("web", in({}, {})), app("web", in({"ml"}, {})),
       app("web", in({}, LabelSelector{{{"team", SelectorOperator::In, {"x"}}}})), app("web", in({}, LabelSelector{})),
       app("web", in({}, LabelSelector{{{"team", SelectorOperator::In, {"y"}}}})), app("db", make_pod({}), "ml")}};
  o.namespaces.resize(1);
  o.namespaces[0].meta.name = "ml";
  o.namespaces[0].meta.labels = {{"team", "x"}};
  SchedulerFixture f(o);
  f.place(5, 1);
  auto feasible = [&](size_t workload) { return CycleProbe(f, f.create(workload)).feasible(); };
  CHECK(feasible(0).empty());
  CHECK(feasible(1) == Names{"b"});
  CHECK(feasible(2) == Names{"b"});
  CHECK(feasible(3) == Names{"b"});
  CHECK(feasible(4).empty());
}

TEST_CASE("InterPodAffinity counts pods that are being deleted") {
  SchedulerFixture f(Objects{kTwoZones, {app("web", repelled({near(kZone, "db")})), app("db")}});
  PodId leaving = f.place(1, 0);
  f.cache.set_terminating(leaving, false);
  CHECK(CycleProbe(f, f.create(0)).feasible() == Names{"c", "d"});
}

TEST_CASE("InterPodAffinity scores by the weights of terms, its own and those of others") {
  PodSpec picky = make_pod({}), loyal = attracted({near(kZone, "web")}), fond = make_pod({});
  picky.pod_affinity.preferred = {{10, near(kZone, "db")}};
  picky.pod_anti_affinity.preferred = {{4, near(kHost, "cache")}};
  fond.pod_affinity.preferred = {{6, near(kHost, "web")}};
  Objects o{kTwoZones,
            {app("web", picky), app("db"), app("cache"), app("loyal", loyal), app("fond", fond), app("web")}};
  SchedulerFixture f(o);
  f.place(1, 0);  // db: +10 in z1
  f.place(2, 0);  // cache: −4 on a
  f.place(4, 2);  // fond of web: +6 on c
  // a: 6, b: 10, c: 6, d: 0. Weight 2; visited a, c, d, b.
  CHECK(CycleProbe(f, f.create(0)).scores("InterPodAffinity") == Scores{120, 120, 0, 200});
  // A pod without preferences of its own still pleases others: c 6, the rest 0.
  CHECK(CycleProbe(f, f.create(5)).scores("InterPodAffinity") == Scores{0, 200, 0, 0});
  f.place(5, 1);
  f.place(3, 1);  // requires web in z1: +1
  // a: 7, b: 11, c: 6, d: 0.
  CHECK(CycleProbe(f, f.create(0)).scores("InterPodAffinity") == Scores{126, 108, 0, 200});
}

TEST_CASE("InterPodAffinity is skipped where no pod counts, but not where weights cancel out") {
  PodSpec torn = make_pod({});
  torn.pod_affinity.preferred = {{5, near(kZone, "db")}};
  torn.pod_anti_affinity.preferred = {{5, near(kZone, "db")}};
  SchedulerFixture f(Objects{kTwoZones, {app("web", torn), app("db")}});
  CHECK(CycleProbe(f, f.create(0)).scores("InterPodAffinity").empty());
  f.place(1, 0);
  CHECK(CycleProbe(f, f.create(0)).scores("InterPodAffinity") == Scores{0, 0, 0, 0});
  CHECK(CycleProbe(f, f.create(1)).scores("InterPodAffinity").empty());
}

TEST_CASE("InterPodAffinity: hardPodAffinityWeight and ignorePreferredTermsOfExistingPods") {
  PodSpec fond = make_pod({});
  fond.pod_affinity.preferred = {{6, near(kHost, "web")}};
  Objects o{kTwoZones, {app("web"), app("loyal", attracted({near(kZone, "web")})), app("fond", fond)}};
  auto scores = [&](size_t running, InterPodAffinityArgs args) {
    SchedulerFixture f(o, with_args("InterPodAffinity", args));
    f.place(running, 2);
    return CycleProbe(f, f.create(0)).scores("InterPodAffinity");
  };
  CHECK(scores(1, {1, false}) == Scores{0, 200, 0, 0});
  CHECK(scores(1, {0, false}).empty());
  CHECK(scores(2, {0, false}) == Scores{0, 200, 0, 0});
  CHECK(scores(2, {1, true}).empty());
}

}  // namespace
}  // namespace kisim
