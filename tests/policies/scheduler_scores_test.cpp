// The score plugins, each against arithmetic done by hand, and what the cycle makes of the scores.

#include "kube/scheduler_fixture.hpp"
#include "policy/scheduler_args.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Scores = std::vector<int64_t>;

ResourceList amounts(int64_t cpu, int64_t mib, int64_t gpus = 0) {
  ResourceList list{{"cpu", cpu}, {"memory", mib * kMiB}};
  if (gpus > 0) list.push_back({"nvidia.com/gpu", gpus});
  return list;
}

SchedulerConfig with_args(const std::string& plugin, std::any args, int kubernetes_minor = 36) {
  SchedulerConfig config = default_config(kubernetes_minor);
  config.configuration.profiles.front().plugin_config[plugin].args = std::move(args);
  return config;
}

using Strategy = NodeResourcesFitArgs::Strategy;

SchedulerConfig with_fit(Strategy strategy, std::vector<ResourceWeight> resources,
                         std::vector<NodeResourcesFitArgs::UtilizationShapePoint> shape = {}) {
  NodeResourcesFitArgs args;
  args.strategy = strategy;
  args.resources = std::move(resources);
  args.shape = std::move(shape);
  return with_args("NodeResourcesFit", args);
}

TEST_CASE("LeastAllocated: the free share after placing, in whole per cent, averaged") {
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 4000))},
                     {make_pod(amounts(1000, 1000)), make_pod({}), make_pod(amounts(1000, 300))});
  f.place(0, 1);
  // a: (4000 − 1000)·100/4000 = 75 for both. b: (4000 − 2000)·100/4000 = 50.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesFit") == Scores{75, 50});
  // Without requests the pod counts as 100m and 200 MiB. a: 97 (97.5) and 95, mean 96. b: 72 (72.5) and 70, mean 71.
  CHECK(CycleProbe(f, f.create(1)).scores("NodeResourcesFit") == Scores{96, 71});
  // a: 75 and (4000 − 300)·100/4000 = 92 (92.5), mean 83 (83.5). b: 50 and 67 (67.5), mean 58 (58.5).
  CHECK(CycleProbe(f, f.create(2)).scores("NodeResourcesFit") == Scores{83, 58});
}

TEST_CASE("LeastAllocated: pods without requests count on the node, too, but only in the score") {
  SchedulerFixture f({make_node("a", amounts(1000, 1000)), make_node("b", amounts(1000, 1000))},
                     {make_pod({}), make_pod(amounts(900, 100))});
  for (int i = 0; i < 3; ++i) f.place(0, 0);
  CycleProbe probe(f, f.create(1));
  // a holds 300m and 600 MiB non-zero: cpu 1200 > 1000 gives 0, memory (1000 − 700)·100/1000 = 30, mean 15.
  // b: cpu 10, memory 90, mean 50.
  CHECK(probe.scores("NodeResourcesFit") == Scores{15, 50});
}

TEST_CASE("MostAllocated with weights counts an extended resource only for pods that request it") {
  SchedulerFixture f(
      {make_node("a", amounts(4000, 4000, 4)), make_node("b", amounts(4000, 4000, 4))},
      {make_pod(amounts(1000, 1000, 1)), make_pod(amounts(1000, 1000)), make_pod(amounts(1000, 2000, 2))},
      with_fit(Strategy::MostAllocated, {{"cpu", 1}, {"memory", 1}, {"nvidia.com/gpu", 3}}));
  f.place(0, 1);
  // a: 25, 25 and 25. b: 50, 50 and 50.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesFit") == Scores{25, 50});
  CHECK(CycleProbe(f, f.create(1)).scores("NodeResourcesFit") == Scores{25, 50});
  // a: (25 + 50 + 3·50)/5 = 45. b: cpu 50, memory 75, GPUs 75: (50 + 75 + 225)/5 = 70.
  CHECK(CycleProbe(f, f.create(2)).scores("NodeResourcesFit") == Scores{45, 70});
}

TEST_CASE("a resource that the node does not have drops out of the mean with its weight") {
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 4000))},
                     {make_pod(amounts(1000, 3000))},
                     with_fit(Strategy::LeastAllocated, {{"memory", 1}, {"ephemeral-storage", 50}, {"pods", 50}}));
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesFit") == Scores{25, 25});  // nor does the number of pods count
}

TEST_CASE("RequestedToCapacityRatio: a line through points, in whole per cent, rounded over the resources that score") {
  SchedulerFixture f(
      {make_node("a", amounts(4000, 4000)), make_node("b", amounts(10000, 8000))},
      {make_pod(amounts(1000, 3000)), make_pod(amounts(5000, 100))},
      with_fit(Strategy::RequestedToCapacityRatio, {{"cpu", 2}, {"memory", 1}}, {{20, 0}, {50, 10}, {100, 1}}));
  // a: cpu 25 % gives 100·5/30 = 16, memory 75 % gives 100 − 90·25/50 = 55: (32 + 55)/3 = 29.
  // b: cpu 10 % gives 0 and drops out; memory 37 % gives 100·17/30 = 56.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesFit") == Scores{29, 56});
}

TEST_CASE("the score of NodeResourcesFit reads the containers, whatever the pod as a whole requests") {
  PodSpec spec = make_pod(amounts(1000, 1000));
  spec.pod_requests = amounts(2000, 2000);
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 4000))}, {spec});
  f.place(0, 1);
  // a: 75. b already holds the whole pod: (4000 − 2000 − 1000)·100/4000 = 25.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesFit") == Scores{75, 25});
}

TEST_CASE("BalancedAllocation until 1.35: evenness of the shares with the pod") {
  SchedulerConfig config = default_config(35);
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 8000))},
                     {make_pod(amounts(1000, 2000)), make_pod({})}, config);
  // a: shares 0.25 and 0.5, deviation 0.125, 87 (87.5). b: 0.25 and 0.25, 100.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesBalancedAllocation") == Scores{87, 100});
  CHECK(CycleProbe(f, f.create(1)).scores("NodeResourcesBalancedAllocation").empty());  // skipped: nothing requested
}

TEST_CASE("BalancedAllocation since 1.36: how the pod changes the evenness") {
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 4000))},
                     {make_pod(amounts(1000, 2000)), make_pod(amounts(1000, 0))});
  f.place(1, 1);
  // a: 87 with, 100 without: 50 + (50 + 87 − 100)/2 = 68.
  // b: shares 0.5 and 0.5 with: 100; 0.25 and 0 without: 87. 50 + (50 + 100 − 87)/2 = 81.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesBalancedAllocation") == Scores{68, 81});
}

TEST_CASE("BalancedAllocation over three resources uses the population deviation") {
  NodeResourcesBalancedAllocationArgs args;
  args.resources = {{"cpu"}, {"memory"}, {"nvidia.com/gpu"}};
  SchedulerConfig config = with_args("NodeResourcesBalancedAllocation", args, 34);
  SchedulerFixture f({make_node("a", amounts(4000, 4000, 4)), make_node("b", amounts(4000, 4000, 4))},
                     {make_pod(amounts(1000, 2000, 3)), make_pod(amounts(1000, 2000))}, config);
  // Shares 0.25, 0.5 and 0.75: mean 0.5, deviation sqrt(0.125/3) = 0.2041, 79.
  CHECK(CycleProbe(f, f.create(0)).scores("NodeResourcesBalancedAllocation") == Scores{79, 79});
  CHECK(CycleProbe(f, f.create(1)).scores("NodeResourcesBalancedAllocation") == Scores{87, 87});  // no GPU asked for
}

TEST_CASE("TaintToleration scores by untolerated PreferNoSchedule taints, weight 3") {
  auto node = [](const std::string& name, int soft) {
    Node n = make_node(name, amounts(4000, 4000));
    for (int i = 0; i < soft; ++i) n.taints.push_back({"k" + std::to_string(i), "", TaintEffect::PreferNoSchedule});
    return n;
  };
  PodSpec tolerant = make_pod({});
  tolerant.tolerations = {{"k0", TolerationOperator::Exists, "", {}, {}},
                          {"k1", TolerationOperator::Exists, "", TaintEffect::NoSchedule, {}}};
  SchedulerFixture f({node("a", 0), node("b", 1), node("c", 3)}, {make_pod({}), tolerant});
  // Counts 0, 1, 3 become 100, 100 − 33 and 0.
  CHECK(CycleProbe(f, f.create(0)).scores("TaintToleration") == Scores{300, 201, 0});
  // k0 is tolerated, k1 only for another effect: counts 0, 0, 2.
  CHECK(CycleProbe(f, f.create(1)).scores("TaintToleration") == Scores{300, 300, 0});

  SchedulerFixture plain({node("a", 0), node("b", 0)}, {make_pod({})});
  CHECK(CycleProbe(plain, plain.create(0)).scores("TaintToleration") == Scores{300, 300});  // nobody has one: all 100
}

TEST_CASE("NodeAffinity scores by the weights of the preferred terms that match, weight 2") {
  PodSpec picky = make_pod({});
  picky.preferred_node_affinity = {{30, {{{"disk", SelectorOperator::In, {"ssd"}}}, {}}},
                                   {20, {{{"gen", SelectorOperator::Exists, {}}}, {}}},
                                   {90, {}}};  // asks for nothing, matches nothing
  SchedulerFixture f(
      {make_node("a", amounts(4000, 4000), {{"disk", "ssd"}}),
       make_node("b", amounts(4000, 4000), {{"disk", "ssd"}, {"gen", "2"}}), make_node("c", amounts(4000, 4000))},
      {picky, make_pod({})});
  CHECK(CycleProbe(f, f.create(0)).scores("NodeAffinity") == Scores{120, 200, 0});  // 30, 50, 0 → 60, 100, 0
  CHECK(CycleProbe(f, f.create(1)).scores("NodeAffinity").empty());
}

TEST_CASE("preferences of the profile add to those of the pod") {
  NodeAffinityArgs added;
  added.preferred = {{40, {{{"disk", SelectorOperator::In, {"ssd"}}}, {}}}};
  PodSpec picky = make_pod({});
  picky.preferred_node_affinity = {{60, {{{"gen", SelectorOperator::Exists, {}}}, {}}}};
  SchedulerFixture f({make_node("a", amounts(4000, 4000), {{"disk", "ssd"}}),
                      make_node("b", amounts(4000, 4000), {{"disk", "ssd"}, {"gen", "2"}})},
                     {picky, make_pod({})}, with_args("NodeAffinity", added));
  CHECK(CycleProbe(f, f.create(0)).scores("NodeAffinity") == Scores{80, 200});
  CHECK(CycleProbe(f, f.create(1)).scores("NodeAffinity") == Scores{200, 200});
}

TEST_CASE("a preferred term that cannot be read fails the cycle, unless it does not count") {
  auto asks = [](int32_t weight, SelectorOperator op, std::vector<std::string> values) {
    PodSpec spec = make_pod({});
    spec.preferred_node_affinity = {{weight, {{{"gen", op, std::move(values)}}, {}}}};
    return spec;
  };
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(4000, 4000))},
                     {asks(1, SelectorOperator::Gt, {"-1"}), asks(1, SelectorOperator::Lt, {"many"}),
                      asks(1, SelectorOperator::In, {"no value!"}), asks(0, SelectorOperator::Gt, {"-1"}),
                      asks(1, SelectorOperator::Gt, {"1"})});
  for (size_t workload : {0, 1, 2}) CHECK(CycleProbe(f, f.create(workload)).code == StatusCode::Error);
  for (size_t workload : {3, 4}) CHECK(CycleProbe(f, f.create(workload)).code == StatusCode::Success);
}

TEST_CASE("ImageLocality: the bytes on the node, scaled by how many nodes hold them, between two bounds") {
  auto with_images = [](const std::string& name, std::vector<ContainerImage> images) {
    Node n = make_node(name, amounts(4000, 4000));
    n.images = std::move(images);
    return n;
  };
  PodSpec two = make_pod({});
  two.containers[0].image = "server";  // the latest
  two.init_containers = {{"fetch", "fetch:1"}};
  SchedulerFixture f({with_images("a", {{"server:latest", 1000 * kMiB}, {"fetch:1", 300 * kMiB}}),
                      with_images("b", {{"server:latest", 1000 * kMiB}}), with_images("c", {{"other:1", 5000 * kMiB}}),
                      with_images("d", {{"fetch:1", 40 * kMiB}})},
                     {two, make_pod({})});
  // Of 2000 − 23 MiB. a: 1000/2 + 300/2 = 650 (fetch:1 is 300 MiB, as its first holder says), 100·627/1977 = 31.
  // b: 500, 24. d: 150, 6.
  CHECK(CycleProbe(f, f.create(0)).scores("ImageLocality") == Scores{31, 24, 0, 6});
  CHECK(CycleProbe(f, f.create(1)).scores("ImageLocality") == Scores{0, 0, 0, 0});
}

TEST_CASE("the total is the weighted sum, and the best node wins") {
  SchedulerFixture f({make_node("a", amounts(4000, 4000)), make_node("b", amounts(8000, 8000))},
                     {make_pod(amounts(1000, 1000))});
  CycleProbe probe(f, f.create(0));
  // Fit 75 and 87, balance 75 and 75 (no change), taints 300 and 300.
  CHECK(probe.totals() == Scores{450, 462});
  CHECK(probe.cycle.host() == NodeId(1u));
}

TEST_CASE("a single feasible node is taken without scoring") {
  SchedulerFixture f({make_node("a", amounts(500, 4000)), make_node("b", amounts(8000, 8000))},
                     {make_pod(amounts(1000, 1000))});
  CycleProbe probe(f, f.create(0));
  CHECK(probe.totals().empty());
  CHECK(probe.cycle.host() == NodeId(1u));
}

TEST_CASE("default_normalize") {
  Scores raw{5, 0, 10}, reversed{5, 0, 10}, zero{0, 0}, zero_reversed{0, 0}, third{1, 3};
  default_normalize(raw, false);
  default_normalize(reversed, true);
  default_normalize(zero, false);
  default_normalize(zero_reversed, true);
  default_normalize(third, true);
  CHECK(raw == Scores{50, 0, 100});
  CHECK(reversed == Scores{50, 100, 0});
  CHECK(zero == Scores{0, 0});
  CHECK(zero_reversed == Scores{100, 100});
  CHECK(third == Scores{67, 0});  // 100 − 33
}

}  // namespace
}  // namespace kisim
