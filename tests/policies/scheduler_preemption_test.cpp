// The search for pods to evict, against cases worked out by hand.

#include "kube/scheduler_fixture.hpp"
#include "policy/preemption.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Pods = std::vector<PodId>;

Node plain_node(const std::string& name, int64_t cpu = 4000) {
  return make_node(name, {{"cpu", cpu}, {"memory", 64000 * kMiB}});
}
PodSpec pod_of(int64_t cpu, int32_t priority) { return make_pod({{"cpu", cpu}}, priority); }

// One failed cycle for a pod, and what preemption makes of it.
class Attempt {
 public:
  Attempt(SchedulerFixture& f, PodId pod, const DefaultPreemptionArgs& args = {})
      : fixture_(f), pod_(pod), probe_(f, pod) {
    REQUIRE(probe_.code == StatusCode::Unschedulable);
    PluginContext c = probe_.cycle.context(f.plugin("DefaultPreemption"), pod);
    std::vector<NodeVerdict> verdicts(probe_.cycle.verdicts().begin(), probe_.cycle.verdicts().end());
    std::unique_ptr<FilterDryRun> trial = probe_.cycle.dry_run();
    search = find_preemption(c, args, verdicts, *trial);
  }

  const PreemptionCandidate& best() const {
    REQUIRE(search.best != PreemptionSearch::kNone);
    return search.candidates[search.best];
  }
  PreemptionReason reason() const {
    REQUIRE(search.best == PreemptionSearch::kNone);
    return search.reason;
  }
  // What the plugin tells the framework.
  PostFilterResult result() {
    PostFilterResult out;
    size_t index = fixture_.plugin("DefaultPreemption");
    PluginContext c = probe_.cycle.context(index, pod_);
    std::vector<NodeVerdict> verdicts(probe_.cycle.verdicts().begin(), probe_.cycle.verdicts().end());
    std::unique_ptr<FilterDryRun> trial = probe_.cycle.dry_run();
    const SchedulerPlugin& plugin = *fixture_.scheduler_model.profiles.front().plugins[index].plugin;
    code = plugin.post_filter(c, verdicts, *trial, out);
    return out;
  }

  PreemptionSearch search;
  StatusCode code = StatusCode::Error;

 private:
  SchedulerFixture& fixture_;
  PodId pod_;
  CycleProbe probe_;
};

TEST_CASE("preemption evicts as few and as unimportant pods as it can") {
  SchedulerFixture f({plain_node("a")}, {pod_of(2000, 100), pod_of(1000, 0), pod_of(1000, 10), pod_of(500, 0)});
  PodId keeps = f.place(2, 0), old = f.place(1, 0);
  f.run_to(10);
  PodId young = f.place(1, 0), small = f.place(3, 0);
  Attempt attempt(f, f.create(0));
  // All gone, 4000 are free. The one of priority 10 may stay, then the older one; the younger no longer.
  CHECK(attempt.best().victims == Pods{young, small});
  CHECK(attempt.best().pdb_violations == 0);
  CHECK(f.cache.snapshot().pods[0] == Pods{keeps, old, young, small});  // nothing has changed
  CHECK(f.cache.snapshot().requested[kCpu.value] == 3500);
  PostFilterResult result = attempt.result();
  CHECK(attempt.code == StatusCode::Success);
  CHECK(result.nominated == NodeId(0u));
  CHECK(result.victims == Pods{young, small});
}

TEST_CASE("preemption spares pods of the same priority, and nodes where it would not help") {
  SchedulerFixture f({plain_node("equal"), plain_node("small", 1000), plain_node("full")},
                     {pod_of(2000, 100), pod_of(3000, 100), pod_of(1000, 0), pod_of(3000, 0)});
  f.place(1, 0);
  f.place(2, 0);
  f.place(2, 1);
  f.place(1, 2);
  Attempt attempt(f, f.create(0));
  CHECK(attempt.search.potential_nodes == std::vector<NodeId>{NodeId(0u), NodeId(2u)});  // small is too small anyway
  CHECK(attempt.reason() == PreemptionReason::NotHelpful);
  REQUIRE(attempt.search.failures.size() == 2);
  CHECK_FALSE(attempt.search.failures[0].no_victims);
  CHECK(attempt.search.failures[0].verdict.code == StatusCode::Unschedulable);
  CHECK(attempt.search.failures[1].no_victims);
  PostFilterResult result = attempt.result();
  CHECK(attempt.code == StatusCode::Unschedulable);
  REQUIRE(result.nominated);
  CHECK_FALSE(result.nominated->valid());  // loses an earlier nomination
}

TEST_CASE("a pod with preemptionPolicy Never evicts nobody") {
  PodSpec meek = pod_of(4000, 100);
  meek.preemption_policy = PreemptionPolicy::Never;
  SchedulerFixture f({plain_node("a")}, {meek, pod_of(1000, 0)});
  f.place(1, 0);
  Attempt attempt(f, f.create(0));
  CHECK_FALSE(attempt.search.eligible);
  CHECK(attempt.reason() == PreemptionReason::PolicyNever);
  CHECK(preemption_reasons()[static_cast<size_t>(attempt.search.reason)] ==
        "not eligible due to preemptionPolicy=Never.");
}

TEST_CASE("while victims leave the nominated node, nobody else is evicted") {
  SchedulerFixture f({plain_node("a"), plain_node("b")}, {pod_of(4000, 100), pod_of(1000, 0)});
  PodId victim = f.place(1, 0);
  f.place(1, 1);
  PodId pod = f.create(0);
  f.cache.nominate(pod, NodeId(0u));
  CHECK(Attempt(f, pod).search.eligible);
  f.cache.set_terminating(victim, false);  // deleted by somebody else
  CHECK(Attempt(f, pod).search.eligible);
  f.cache.set_terminating(victim, true);
  Attempt attempt(f, pod);
  CHECK(attempt.reason() == PreemptionReason::TerminatingVictim);
  CHECK_FALSE(attempt.result().nominated);  // keeps its nomination
  f.set_ready(0, false);                    // the node has become hopeless
  CHECK(Attempt(f, pod).search.eligible);
}

PodDisruptionBudget budget_for(const std::string& app, int32_t allowed) {
  PodDisruptionBudget out;
  out.selector = LabelSelector{{{"app", SelectorOperator::In, {app}}}};
  out.disruptions_allowed = allowed;
  return out;
}

struct Budgeted : SchedulerFixture {
  explicit Budgeted(int32_t allowed, size_t nodes = 1) : SchedulerFixture(objects(allowed, nodes)) {
    for (int32_t& left : state.snapshot.disruptions_allowed) left = allowed;
  }
  static Objects objects(int32_t allowed, size_t nodes) {
    Objects o;
    for (size_t n = 0; n < nodes; ++n) o.nodes.push_back(plain_node("n" + std::to_string(n)));
    o.workloads = {{{{}, {}, pod_of(2000, 100)}},
                   {{{{"app", "guarded"}}, {}, pod_of(2000, 0)}},
                   {{{{"app", "free"}}, {}, pod_of(2000, 0)}}};
    o.budgets = {budget_for("guarded", allowed)};
    return o;
  }
};

TEST_CASE("preemption spares first whom a PodDisruptionBudget protects") {
  Budgeted f(0);
  PodId loose = f.place(2, 0);
  f.run_to(10);
  f.place(1, 0);  // younger, so less important but for its budget
  Attempt attempt(f, f.create(0));
  CHECK(attempt.best().victims == Pods{loose});
  CHECK(attempt.best().pdb_violations == 0);
}

TEST_CASE("a budget that allows a disruption protects nobody, and one already being disrupted is not counted again") {
  Budgeted f(1);
  f.place(2, 0);
  f.run_to(10);
  PodId guarded = f.place(1, 0);
  CHECK(Attempt(f, f.create(0)).best().victims == Pods{guarded});
  f.state.snapshot.disruptions_allowed[0] = 0;
  f.state.snapshot.disrupted_pods[0] = {guarded};
  CHECK(Attempt(f, f.create(0)).best().victims == Pods{guarded});
}

TEST_CASE("preemption chooses the node where budgets suffer least, even for a worse victim") {
  Budgeted f(0, 2);
  for (int i = 0; i < 2; ++i) f.place(1, 0);
  f.place(1, 1);
  PodId loose = f.place(2, 1);
  Attempt attempt(f, f.create(0));
  REQUIRE(attempt.search.candidates.size() == 2);
  CHECK(attempt.search.candidates[0].pdb_violations == 1);
  CHECK(attempt.best().node == NodeId(1u));
  CHECK(attempt.best().victims == Pods{loose});
}

// The node that a pod of priority 1000 with 4000m would take. Each node runs pods of (cpu, priority, start in seconds).
struct Running {
  int64_t cpu;
  int32_t priority;
  int64_t start;
};
std::string chosen_of(const std::vector<std::vector<Running>>& nodes) {
  Objects o;
  o.workloads = {{{{}, {}, pod_of(4000, 1000)}}};
  for (size_t n = 0; n < nodes.size(); ++n) {
    o.nodes.push_back(plain_node(std::string(1, static_cast<char>('a' + n))));
    for (const Running& r : nodes[n]) o.workloads.push_back({{{}, {}, pod_of(r.cpu, r.priority)}});
  }
  SchedulerFixture f(o);
  size_t workload = 1;
  for (size_t n = 0; n < nodes.size(); ++n)
    for (const Running& r : nodes[n])
      f.cache.set_start_time(f.place(workload++, n), Time{} + Duration{r.start * 1000000000});
  return f.model.nodes[Attempt(f, f.create(0)).best().node].object.meta.name;
}

TEST_CASE("preemption's choice: priorities, their sum, the number, the start, the order of nodes") {
  CHECK(chosen_of({{{1000, 5, 0}}, {{1000, 4, 0}, {1000, 4, 0}, {1000, 4, 0}}}) == "b");  // lower highest priority
  CHECK(chosen_of({{{1000, 5, 0}, {1000, 5, 0}}, {{1000, 5, 0}, {1000, 4, 0}}}) == "b");  // smaller sum
  CHECK(chosen_of({{{1000, 5, 0}, {1000, -9, 0}}, {{1000, 5, 0}}}) == "b");               // negative ones still count
  CHECK(chosen_of({{{1000, 5, 3}}, {{1000, 5, 7}}, {{1000, 5, 5}}}) == "b");              // the youngest victim
  CHECK(chosen_of({{{1000, 5, 9}, {1000, 5, 2}}, {{1000, 5, 3}, {1000, 5, 4}}}) == "b");  // by its oldest
  CHECK(chosen_of({{{1000, 5, 1}}, {{1000, 5, 1}}}) == "a");
}

TEST_CASE("preemption tries a share of many nodes, from a random one on, until one breaks no budget") {
  Budgeted f(0, 40);
  for (size_t n = 0; n < 40; ++n) {
    f.place(2, n);
    f.place(n < 39 ? 1 : 2, n);
  }
  Attempt few(f, f.create(0), {10, 2}), all(f, f.create(0), {0, 40});
  CHECK(few.search.potential_nodes.size() == 40);
  CHECK(few.search.candidates.size() == 4);  // 10 % of 40; none breaks a budget
  CHECK(all.search.candidates.size() == 40);
  CHECK(std::is_sorted(all.search.candidates.begin(), all.search.candidates.end(),
                       [](const auto& a, const auto& b) { return a.node < b.node; }));
}

TEST_CASE("preemption goes on while every candidate so far breaks a budget") {
  Budgeted f(0, 10);
  for (size_t n = 0; n < 10; ++n)
    for (int i = 0; i < 2; ++i) f.place(n == 7 ? 2 : 1, n);
  Attempt attempt(f, f.create(0), {0, 1});
  CHECK(attempt.best().node == NodeId(7u));
  CHECK(attempt.search.candidates.size() <= 2);  // at most one of each sort is kept
}

TEST_CASE("failures are told while the pods are away") {
  SchedulerFixture f({plain_node("a")}, {make_pod({{"cpu", 4000}}, 100), pod_of(1000, 100), pod_of(1000, 0)});
  f.place(1, 0);
  f.place(2, 0);
  PodId pod = f.create(0);
  CycleProbe probe(f, pod);
  PluginContext c = probe.cycle.context(f.plugin("DefaultPreemption"), pod);
  std::vector<NodeVerdict> verdicts(probe.cycle.verdicts().begin(), probe.cycle.verdicts().end());
  std::unique_ptr<FilterDryRun> trial = probe.cycle.dry_run();
  std::vector<int64_t> requested;
  find_preemption(c, {}, verdicts, *trial, [&](const PreemptionFailure&) {
    requested.push_back(probe.cycle.view().requested(NodeId(0u))[kCpu.value]);
  });
  CHECK(requested == std::vector<int64_t>{1000});
}

}  // namespace
}  // namespace kisim
