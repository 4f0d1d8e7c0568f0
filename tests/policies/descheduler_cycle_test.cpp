// The cycle: order of plugins, limits, refusals, dry run, what is told of it.

#include "descheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;

// Pods p0 … on node a of two, the older the lower the number.
DeschedulerFixture pods(size_t count) {
  DeschedulerFixture f;
  f.node("a");
  f.node("b");
  for (size_t i = 0; i < count; ++i)
    f.pod("p" + std::to_string(i), NodeId(0)).status.created =
        kNow - Duration::seconds(1000.0 - static_cast<double>(i));
  return f;
}

std::vector<std::string_view> results(const DeschedulerFixture& f) {
  std::vector<std::string_view> out;
  for (const DeschedulerEviction& e : f.report.evictions) out.push_back(to_string(e.result));
  return out;
}

const std::string_view kPerNode = "maximum number of evicted pods per node reached",
                       kPerNamespace = "maximum number of evicted pods per namespace reached",
                       kTotal = "maximum number of evicted pods per a descheduling cycle reached";

TEST_CASE("fewer than two nodes that are ready and selected: nothing happens") {
  DeschedulerFixture f = pods(1);
  DeschedulerPolicy policy = everything();
  f.conditions = {{}, {kNodeUnreachable}};
  CHECK(f.run(policy).empty());
  CHECK(f.report.skipped);
  CHECK(f.report.strategies.empty());
  f.conditions = {};
  CHECK(f.run(policy) == Texts{"p0"});
  CHECK_FALSE(f.report.skipped);
  policy.node_selector.requirements = {among("name", {"a"})};
  CHECK(f.run(policy).empty());
  CHECK(f.report.skipped);
}

TEST_CASE("the limit of a cycle ends a plugin, that of a node only what is on it") {
  DeschedulerFixture f = pods(3);
  f.pod("q", NodeId(1));
  DeschedulerPolicy policy = everything();
  policy.max_pods_per_node = 1;
  CHECK(f.run(policy) == Texts{"q", "p0"});
  CHECK(results(f) == std::vector<std::string_view>{"success", "success", kPerNode, kPerNode});
  policy.max_pods_total = 1;
  CHECK(f.run(policy) == Texts{"q"});
  CHECK(results(f) == std::vector<std::string_view>{"success", kTotal});
}

TEST_CASE("the limit of a namespace stops nobody else; a limit of nothing stops all") {
  DeschedulerFixture f = pods(3);
  f.pods[1].namespace_ = "other";
  DeschedulerPolicy policy = everything();
  policy.max_pods_per_namespace = 1;
  CHECK(f.run(policy) == Texts{"p0", "p1"});
  CHECK(results(f) == std::vector<std::string_view>{"success", "success", kPerNamespace});
  policy.max_pods_per_namespace = 0;
  CHECK(f.run(policy).empty());
}

TEST_CASE("what the API refuses counts against no limit") {
  DeschedulerFixture f = pods(3);
  DeschedulerPolicy policy = everything();
  policy.max_pods_total = 1;
  EvictPod evict = [](const DeschedulerEviction& e) {
    return e.pod == PodId(0u) ? std::optional<std::string>("budget") : std::nullopt;
  };
  CHECK(f.run(policy, evict) == Texts{"p1"});
  CHECK(results(f) == std::vector<std::string_view>{"error", "success", kTotal});
  CHECK(f.report.evictions[0].refusal == "budget");
  CHECK(f.report.evicted == 1);
}

TEST_CASE("all Deschedule plugins come before all Balance plugins, and limits are shared") {
  DeschedulerFixture f = pods(2);
  DeschedulerPolicy policy = policy_of("RemoveDuplicates", RemoveDuplicatesArgs{});
  policy.profiles.push_back(everything().profiles[0]);
  policy.profiles[1].name = "q";
  policy.max_pods_total = 3;
  CHECK(f.run(policy) == Texts{"p0", "p1", "p1"});  // the cluster stays as it was
  REQUIRE(f.report.strategies.size() == 2);
  CHECK(f.report.strategies[0].strategy == "PodLifeTime");
  CHECK(f.report.strategies[0].profile == "q");
  CHECK(f.report.strategies[0].evicted == 2);
  CHECK(f.report.strategies[1].strategy == "RemoveDuplicates");
  CHECK(f.report.evicted == 3);
}

TEST_CASE("each profile asks its own evictor") {
  DeschedulerFixture f = pods(1);
  f.pods[0].facts.local_storage = true;
  DefaultEvictorArgs lenient;
  lenient.protections.clear();
  DeschedulerPolicy policy = everything();
  policy.profiles.push_back(everything(lenient).profiles[0]);
  policy.profiles[1].name = "lenient";
  CHECK(f.run(policy) == Texts{"p0"});
  CHECK(f.report.evictions[0].profile == "lenient");
  CHECK(f.kept("has local storage") == 1);
  CHECK(f.report.strategies[1].kept.empty());
}

TEST_CASE("a request that a limit stops is no pod left alone") {
  DeschedulerFixture f = pods(2);
  DeschedulerPolicy policy = everything();
  policy.max_pods_per_node = 0;
  CHECK(f.run(policy).empty());
  CHECK(f.report.evictions.size() == 2);
  CHECK(f.report.strategies[0].kept.empty());
}

TEST_CASE("nodes that are gone and pods that are not bound are not looked at") {
  DeschedulerFixture f = pods(1);
  f.pod("unbound", NodeId());
  CHECK(f.run(everything()) == Texts{"p0"});
  DeschedulerSnapshot snapshot = f.snapshot;
  snapshot.nodes[NodeId(1)] = {};
  DeschedulerReport report = Descheduler(everything()).run(DeschedulerView(f.model, snapshot), {});
  CHECK(report.skipped);
}

}  // namespace
}  // namespace kisim
