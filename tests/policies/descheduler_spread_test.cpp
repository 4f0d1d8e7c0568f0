// RemovePodsViolatingTopologySpreadConstraint, on domains of the label "zone".

#include "../../policies/descheduler/go_sort.hpp"
#include "descheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
using Policy = TopologySpreadConstraint::InclusionPolicy;

// One node per zone z0, z1, …
DeschedulerFixture zones(size_t count) {
  DeschedulerFixture f;
  for (size_t i = 0; i < count; ++i) f.node("n" + std::to_string(i), {{"zone", "z" + std::to_string(i)}});
  return f;
}

TopologySpreadConstraint by_zone(int32_t max_skew) {
  TopologySpreadConstraint out;
  out.max_skew = max_skew;
  out.topology_key = "zone";
  out.label_selector = LabelSelector{{among("app", {"x"})}};
  return out;
}

// Pods "<zone>-<index>" of the app with the constraint, of priorities 0, 1, 2 …
void add_pods(DeschedulerFixture& f, size_t zone, int count, int32_t max_skew = 1) {
  for (int i = 0; i < count; ++i) {
    PodDraft& pod = f.pod(std::to_string(zone) + "-" + std::to_string(i), NodeId(zone));
    pod.pods.labels = {{"app", "x"}};
    pod.pods.spec.topology_spread_constraints = {by_zone(max_skew)};
    pod.facts.priority = i;
  }
}

std::set<std::string> run(DeschedulerFixture& f, const RemovePodsViolatingTopologySpreadConstraintArgs& args = {},
                          const DefaultEvictorArgs& evictor = {}) {
  Texts evicted = f.run(policy_of("RemovePodsViolatingTopologySpreadConstraint", args, evictor));
  return {evicted.begin(), evicted.end()};
}
using Names = std::set<std::string>;

TEST_CASE("domains within maxSkew are left alone") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3, 2);
  add_pods(f, 1, 1, 2);
  CHECK(run(f).empty());
  CHECK(f.kept("no spread needs it to move") == 4);
}

TEST_CASE("the highest priority goes first, as many as bring the domains within maxSkew") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 5);
  add_pods(f, 1, 1);
  CHECK(run(f) == Names{"0-3", "0-4"});
  CHECK(f.report.evictions.at(0).reason == "5 pods in zone=z0, the mean of its domains is 3.00, maxSkew 1");
}

TEST_CASE("pods of equal priority are where Go's sort leaves them: the first goes first, up to twelve") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  for (PodDraft& pod : f.pods) pod.facts.priority = 7;
  CHECK(run(f) == Names{"0-0"});
  for (PodDraft& pod : f.pods) pod.facts.priority.reset();  // here the comparison is an order
  CHECK(run(f) == Names{"0-2"});
}

// 0 … n-1 as Go's sort.Slice leaves them.
template <class Less>
std::vector<int> sorted(int n, Less less) {
  std::vector<int> out;
  for (int i = 0; i < n; ++i) out.push_back(i);
  go_sort(out, less);
  return out;
}

TEST_CASE("Go's sort with a comparison that is none: worked out by a second implementation") {
  auto always = [](int, int) { return true; };
  CHECK(sorted(1, always) == std::vector<int>{0});
  CHECK(sorted(5, always) == std::vector<int>{4, 3, 2, 1, 0});
  CHECK(sorted(13, always) == std::vector<int>{11, 10, 9, 8, 7, 0, 5, 4, 3, 2, 1, 12, 6});
  CHECK(sorted(24, always) ==
        std::vector<int>{17, 8, 4, 16, 0, 9, 21, 1, 20, 10, 11, 13, 6, 3, 18, 2, 15, 14, 19, 22, 23, 7, 5, 12});
}

TEST_CASE("Go's sort: ranges long enough for its shortcuts") {
  auto key = [](int i) { return i * 7 % 5; };
  std::vector<int> strict = sorted(60, [&](int a, int b) { return key(a) < key(b); });
  CHECK(std::vector<int>(strict.begin(), strict.begin() + 12) ==
        std::vector<int>{40, 25, 55, 30, 20, 5, 0, 10, 15, 45, 35, 50});
  std::vector<int> loose = sorted(60, [&](int a, int b) { return key(a) <= key(b); });
  CHECK(std::vector<int>(loose.begin(), loose.begin() + 12) ==
        std::vector<int>{40, 50, 35, 55, 0, 5, 15, 25, 20, 45, 30, 10});
  auto descending = [](int a, int b) { return a > b; };
  std::vector<int> reversed = sorted(100, descending);
  CHECK(std::is_sorted(reversed.begin(), reversed.end(), descending));
  std::vector<int> almost = sorted(100, [](int a, int b) { return (a == 50 ? 3 : a) < (b == 50 ? 3 : b); });
  CHECK(almost[3] + almost[4] == 53);  // the two that compare equal
  CHECK(almost[99] == 99);
}

TEST_CASE("an empty domain counts if a node makes it, and pods with node selectors stay before others") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.pods[2].pods.spec.preferred_node_affinity = {{1, {{among("zone", {"z0"})}, {}}}};
  CHECK(run(f) == Names{"0-1"});
}

TEST_CASE("pods that fit no node of a smaller domain stay behind those that do") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.pods[2].pods.spec.containers[0].requests = {{"cpu", 20'000}};
  CHECK(run(f) == Names{"0-1"});
  // Without any that fits, the chosen one counts as moved, but is not evicted.
  for (PodDraft& pod : f.pods) pod.pods.spec.containers[0].requests = {{"cpu", 20'000}};
  CHECK(run(f).empty());
  CHECK(f.kept("fits no node of a domain below the mean") == 1);
  RemovePodsViolatingTopologySpreadConstraintArgs args;
  args.topology_balance_node_fit = false;
  CHECK(run(f, args) == Names{"0-2"});
}

TEST_CASE("several domains are evened out from the largest to the smallest") {
  DeschedulerFixture f = zones(3);
  add_pods(f, 0, 6);
  add_pods(f, 1, 4);
  CHECK(run(f) == Names{"0-3", "0-4", "0-5"});
}

TEST_CASE("only pods that may be evicted are counted") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.pods[0].facts.local_storage = true;
  f.pods[1].facts.local_storage = true;
  CHECK(run(f).empty());
  RemovePodsViolatingTopologySpreadConstraintArgs other;
  other.pods.namespaces.include = {"other"};
  DeschedulerFixture g = zones(2);
  add_pods(g, 0, 3);
  CHECK(run(g, other).empty());
}

TEST_CASE("terminating pods and those of other namespaces are not counted") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.pods[0].facts.evict = true;  // passes the evictor although it is terminating
  f.pods[0].status.terminating = true;
  f.pods[1].namespace_ = "other";
  CHECK(run(f).empty());
}

TEST_CASE("soft constraints count if asked for") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  for (PodDraft& pod : f.pods)
    pod.pods.spec.topology_spread_constraints[0].when_unsatisfiable = Unsatisfiable::ScheduleAnyway;
  CHECK(run(f).empty());
  RemovePodsViolatingTopologySpreadConstraintArgs args;
  args.constraints = {Unsatisfiable::DoNotSchedule, Unsatisfiable::ScheduleAnyway};
  CHECK(run(f, args) == Names{"0-2"});
}

TEST_CASE("a selector that is absent counts nothing, an empty one everything") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  for (PodDraft& pod : f.pods) pod.pods.spec.topology_spread_constraints[0].label_selector.reset();
  CHECK(run(f).empty());
  for (PodDraft& pod : f.pods) pod.pods.spec.topology_spread_constraints[0].label_selector = LabelSelector();
  CHECK(run(f) == Names{"0-2"});
}

TEST_CASE("which nodes make domains: affinity is honoured, taints if the policy says so") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.nodes[1].taints = {{"k", "v", TaintEffect::NoSchedule}};
  RemovePodsViolatingTopologySpreadConstraintArgs args;
  args.topology_balance_node_fit = false;
  CHECK(run(f, args) == Names{"0-2"});
  for (PodDraft& pod : f.pods) pod.pods.spec.topology_spread_constraints[0].node_taints_policy = Policy::Honor;
  CHECK(run(f, args).empty());

  DeschedulerFixture g = zones(2);
  add_pods(g, 0, 3);
  for (PodDraft& pod : g.pods) pod.pods.spec.node_selector = {{"zone", "z0"}};
  CHECK(run(g, args).empty());
  for (PodDraft& pod : g.pods) pod.pods.spec.topology_spread_constraints[0].node_affinity_policy = Policy::Ignore;
  CHECK(run(g, args) == Names{"0-2"});
}

TEST_CASE("what the evictor refuses last is not evicted, though it was counted") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  f.namespaces = {{"default", {{"team", "red"}}}};
  DefaultEvictorArgs evictor;
  evictor.namespace_label_selector.requirements = {among("team", {"blue"})};
  CHECK(run(f, {}, evictor).empty());
  CHECK(f.kept("namespace is not selected") == 1);
}

TEST_CASE("a pod in the way of two constraints is asked for once") {
  DeschedulerFixture f = zones(2);
  add_pods(f, 0, 3);
  for (Node& node : f.nodes) node.meta.labels.insert(node.meta.labels.begin(), {"rack", node.meta.name});
  for (PodDraft& pod : f.pods) {
    pod.pods.spec.topology_spread_constraints.push_back(by_zone(1));
    pod.pods.spec.topology_spread_constraints[1].topology_key = "rack";
  }
  CHECK(run(f) == Names{"0-2"});
  CHECK(f.report.evicted == 1);
}

}  // namespace
}  // namespace kisim
