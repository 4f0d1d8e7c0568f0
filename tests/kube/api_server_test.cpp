#include "kube/api_server.hpp"

#include "kube/disruption.hpp"
#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

PodDisruptionBudget budget_for(const std::string& app) {
  PodDisruptionBudget b;
  b.meta.name = app;
  b.selector = LabelSelector{{{"app", SelectorOperator::In, {app}}}};
  return b;
}

Action drain(double seconds, NodeId node) {
  Action action;
  action.kind = Action::Kind::Drain;
  action.at = at(seconds);
  action.node = node;
  return action;
}

// Three pods on node "a", with room on "b".
struct Drained {
  explicit Drained(PodDisruptionBudget budget) {
    setup.add_node("a", 3000);
    id = setup.add("web", 3, setup.pod());
    setup.kube.workloads[id].startup.container = Distribution::constant(10);
    setup.builder.add_budget(budget);
    setup.kube.actions.push_back(drain(100, NodeId(0u)));
  }
  KubeSetup setup;
  WorkloadId id;
};

TEST_CASE("a drain evicts within the disruption budget and comes again every 5 s", "[eviction]") {
  PodDisruptionBudget budget = budget_for("web");
  budget.max_unavailable = IntOrPercent{1, false};
  Drained d(budget);
  KubeRun run(d.setup);
  run.run_until(at(101));
  CHECK(run.pods_in(PodPhase::Terminating) == 1);
  CHECK(run.decided("EvictionRefused: Cannot evict pod as it would violate the pod's disruption budget.") == 2);
  CHECK(run.decided("Evicted: kubectl drain") == 1);
  run.run_until(at(1000));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 2);  // the third one has no other node
  CHECK(run.decided("Drained") == 0);
}

TEST_CASE("a budget that allows nothing holds a drain up until it gives up", "[eviction]") {
  PodDisruptionBudget budget = budget_for("web");
  budget.min_available = IntOrPercent{3, false};
  Drained d(budget);
  d.setup.kube.actions[0].timeout = 60_s;
  KubeRun run(d.setup);
  run.run_until(at(1000));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 3);
  CHECK(run.statistics().evicted == 0);
  CHECK(run.decided("DrainFailed: global timeout reached") == 1);
}

TEST_CASE("a pod that two budgets cover is never evicted, and the drain fails", "[eviction]") {
  PodDisruptionBudget budget = budget_for("web");
  budget.max_unavailable = IntOrPercent{100, true};
  Drained d(budget);
  d.setup.builder.add_budget(budget);
  KubeRun run(d.setup);
  run.run_until(at(200));
  CHECK(run.statistics().evicted == 0);
  std::string why = to_string(Eviction::TwoBudgets);
  CHECK(run.decided("EvictionRefused: " + why) == 3);  // each is asked for once
  CHECK(run.decided("DrainFailed: " + why) == 1);
  CHECK(run.decided("Drained") == 0);
}

TEST_CASE("what a drain may not delete stops it before it begins", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.local_volumes = {{LocalVolume::Source::EmptyDir, "scratch", true}};
  std::string why;
  SECTION("data in an emptyDir") {
    setup.add("web", 1, spec);
    setup.kube.actions.push_back(drain(100, NodeId(0u)));
    setup.kube.actions[0].delete_empty_dir_data = false;
    why = "cannot delete Pods with local storage";
  }
  SECTION("a pod whose controller has left it") {
    WorkloadId id = setup.add_object("db", StatefulSet{}, setup.pod());
    Action orphan;
    orphan.kind = Action::Kind::DeleteWorkload;
    orphan.at = at(50);
    orphan.workload = id;
    orphan.cascade = Action::Cascade::Orphan;
    setup.kube.actions = {orphan, drain(100, NodeId(0u))};
    why = "cannot delete Pods that declare no controller";
  }
  KubeRun run(setup);
  run.run_until(at(200));
  CHECK(run.statistics().evicted == 0);
  CHECK(run.decided("DrainFailed: " + why) == 1);
}

TEST_CASE("a drain deletes what is in an emptyDir, if it is told to", "[eviction]") {
  KubeSetup setup;
  setup.add_node("a");
  PodSpec spec = setup.pod();
  spec.local_volumes = {{LocalVolume::Source::EmptyDir, "scratch", false}};
  setup.add("web", 1, spec);
  setup.kube.actions.push_back(drain(100, NodeId(0u)));
  KubeRun run(setup);
  run.run_until(at(200));
  CHECK(run.decided("Drained") == 1);
}

TEST_CASE("budgets count shares of the replicas that the controller wants", "[eviction]") {
  PodDisruptionBudget budget = budget_for("web");
  auto allowed = [&](KubeRun& run) { return budget_status(run.cluster(), run.cluster().model.budgets[0]).allowed; };
  SECTION("minAvailable 50 % of 3 is 2") {
    budget.min_available = IntOrPercent{50, true};
    Drained d(budget);
    KubeRun run(d.setup);
    run.run_until(at(50));
    CHECK(allowed(run) == 1);
  }
  SECTION("maxUnavailable 50 % of 3 is 2") {
    budget.max_unavailable = IntOrPercent{50, true};
    Drained d(budget);
    KubeRun run(d.setup);
    run.run_until(at(50));
    CHECK(allowed(run) == 2);
  }
}

ResourceQuota quota(ResourceList hard) {
  ResourceQuota q;
  q.meta.name = "team";
  q.hard = std::move(hard);
  return q;
}

TEST_CASE("a quota refuses pods beyond it, and lets them in when others have gone", "[quota]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  WorkloadId id = setup.add("web", 5, setup.pod());
  QuotaModel q;
  q.object = quota({{"pods", 3}});
  q.charges.push_back({1});
  setup.kube.quotas.push_back(q);
  KubeRun run(setup);
  run.run_until(at(10));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 3);
  CHECK(run.decided("FailedCreate") > 1);
  CHECK(run.state().quotas[0].used[0] == 3);
  auto find = [&](std::string_view type) {
    for (const Condition& c : run.state().workloads[id].conditions)
      if (c.type == type) return c.message;
    return std::string();
  };
  // By the name that the pod would have had.
  CHECK(find("ReplicaFailure") ==
        "pods \"" + run.cluster().next_pod_name(id, TemplateId(0u), PodState::kNoIndex) +
            "\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=3, limited: pods=3");
  run.kube().scale(id, 1, "test");
  run.run_until(at(100));
  CHECK(run.state().quotas[0].used[0] == 1);
}

TEST_CASE("creation is tried again after 5 ms, 10 ms, 20 ms …", "[quota]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  setup.add("web", 1, setup.pod());
  QuotaModel q;
  q.object = quota({{"pods", 0}});
  q.charges.push_back({1});
  setup.kube.quotas.push_back(q);
  KubeRun run(setup);
  run.run_until(at(0.004));
  CHECK(run.decided("FailedCreate") == 1);
  run.run_until(at(0.006));
  CHECK(run.decided("FailedCreate") == 2);
  run.run_until(at(0.036));  // 5, 15, 35
  CHECK(run.decided("FailedCreate") == 4);
}

TEST_CASE("a client's limit spreads the creation of pods", "[latencies]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  setup.add("web", 50, setup.pod());
  setup.kube.latencies.controller_manager = {20, 30};
  KubeRun run(setup);
  run.run_until(at(0));
  CHECK(run.cluster().state.pods.size() == 30);
  run.run_until(at(0.51));
  CHECK(run.cluster().state.pods.size() == 40);
  run.run_until(at(1));
  CHECK(run.cluster().state.pods.size() == 50);
}

TEST_CASE("deleting an object takes its pods with it, unless they are orphaned", "[gc]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId id = setup.add("web", 3, setup.pod());
  Action action;
  action.kind = Action::Kind::DeleteWorkload;
  action.at = at(100);
  action.workload = id;
  SECTION("background") {
    setup.kube.actions.push_back(action);
    KubeRun run(setup);
    run.run_until(at(200));
    CHECK(run.pods_in(PodPhase::Gone) == 3);
    CHECK_FALSE(run.state().workloads[id].exists);
  }
  SECTION("foreground: the object goes last") {
    action.cascade = Action::Cascade::Foreground;
    setup.kube.actions.push_back(action);
    KubeRun run(setup);
    run.run_until(at(101));
    CHECK(run.state().workloads[id].exists);
    CHECK(run.pods_in(PodPhase::Terminating) == 3);
    run.run_until(at(200));
    CHECK_FALSE(run.state().workloads[id].exists);
  }
  SECTION("orphan") {
    action.cascade = Action::Cascade::Orphan;
    setup.kube.actions.push_back(action);
    KubeRun run(setup);
    run.run_until(at(200));
    CHECK(run.pods_in(PodPhase::Ready) == 3);
  }
}

// What kube-scheduler says of pods that it cannot place.
struct SchedulerEvents : EventSink {
  void record(KubeEvent event) override {
    if (event.reason == "FailedScheduling") texts.push_back(event.message);
  }
  std::vector<std::string> texts;
};

TEST_CASE("FailedScheduling says why nobody is evicted, and nothing where somebody is", "[preemption]") {
  KubeSetup setup;
  setup.add_node("a", 2000);
  setup.add_node("b", 2000);
  SchedulerEvents events;
  SECTION("pods as important fill the nodes") {
    setup.add("web", 5, setup.pod());
    KubeRun run(setup);
    run.kube().set_event_sink(&events);
    run.run_until(at(1));
    CHECK(events.texts == std::vector<std::string>{"0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes "
                                                   "are available: 2 No preemption victims found for incoming pod."});
  }
  SECTION("no node is large enough") {
    setup.add("web", 1, setup.pod(4000));
    KubeRun run(setup);
    run.kube().set_event_sink(&events);
    run.run_until(at(1));
    CHECK(events.texts == std::vector<std::string>{"0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes "
                                                   "are available: 2 Preemption is not helpful for scheduling."});
  }
  SECTION("it never evicts") {
    PodSpec pod = setup.pod(4000);
    pod.preemption_policy = PreemptionPolicy::Never;
    setup.add("web", 1, pod);
    KubeRun run(setup);
    run.kube().set_event_sink(&events);
    run.run_until(at(1));
    CHECK(events.texts == std::vector<std::string>{"0/2 nodes are available: 2 Insufficient cpu. preemption: not "
                                                   "eligible due to preemptionPolicy=Never."});
  }
  SECTION("less important pods go") {
    setup.add("web", 4, setup.pod());
    PodSpec urgent = setup.pod();
    urgent.priority = 10;
    setup.apply(5, setup.add("urgent", 1, urgent), SpecId(1u));
    setup.kube.workloads[WorkloadId(1u)].spec = {};
    KubeRun run(setup);
    run.kube().set_event_sink(&events);
    run.run_until(at(5));
    CHECK(events.texts.front() == "0/2 nodes are available: 2 Insufficient cpu.");
    CHECK(run.statistics().preempted == 1);
  }
}

TEST_CASE("the ReplicaSets of an orphaned Deployment live on, until another Deployment adopts them", "[gc]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  setup.add_node("b", 64000);
  WorkloadId id = setup.add("web", 3, setup.pod());
  PodDisruptionBudget budget;
  budget.selector = LabelSelector{};
  budget.max_unavailable = IntOrPercent{1, false};
  setup.builder.add_budget(budget);
  Action action;
  action.kind = Action::Kind::DeleteWorkload;
  action.at = at(100);
  action.workload = id;
  action.cascade = Action::Cascade::Orphan;
  setup.kube.actions.push_back(action);
  action.kind = Action::Kind::Drain;
  action.at = at(200);
  action.node = NodeId(0u);
  setup.kube.actions.push_back(action);
  Deployment more;
  more.replicas = 5;
  setup.apply(500, id, setup.add_spec(more, TemplateId(0u)));
  KubeRun run(setup);
  run.run_until(at(150));
  CHECK_FALSE(run.state().workloads[id].exists);
  BudgetStatus status = budget_status(run.cluster(), run.cluster().model.budgets[0]);
  CHECK(status.expected == 3);
  CHECK(status.allowed == 1);
  run.run_until(at(400));
  CHECK(run.statistics().evicted > 0);
  CHECK(run.cluster().state.node_pods[1].size() == 3);
  size_t made = run.cluster().state.pods.size();
  run.run_until(at(600));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 5);
  CHECK(run.cluster().state.pods.size() == made + 2);
}

TEST_CASE("an object does not own the pods of an earlier one of its name", "[gc]") {
  KubeSetup setup;
  setup.add_node("a", 64000);
  PodSpec spec = setup.pod();
  WorkloadId web = setup.add("web", 2, spec), db = setup.add_object("db", StatefulSet{}, spec);
  for (WorkloadId id : {web, db}) {
    Action action;
    action.kind = Action::Kind::DeleteWorkload;
    action.at = at(100);
    action.workload = id;
    setup.kube.actions.push_back(action);
    setup.apply(100, id, setup.kube.workloads[id].spec);
  }
  KubeRun run(setup);
  run.run_until(at(101));
  CHECK(run.cluster().state.counts[TemplateId(0u)].ready == 2);
  CHECK(run.cluster().state.counts[TemplateId(0u)].abandoned == 2);
  CHECK(run.cluster().state.counts[TemplateId(1u)].active == 0);  // the name is taken
  run.run_until(at(150));
  CHECK(run.cluster().state.counts[TemplateId(0u)].all() == 2);
  CHECK(run.cluster().state.counts[TemplateId(1u)].ready == 1);
  // Tried again after 5 ms, 10 ms … since nobody told that the name was free at 130 s.
  CHECK(run.pod(5).created == at(140.955));
}

}  // namespace
}  // namespace kisim::test
