// Plugins for pods that share GPUs: the filter, the device taken, and each score against arithmetic done by hand.

#include "core/random.hpp"
#include "gpu_fragmentation.hpp"
#include "kube/scheduler_fixture.hpp"

#include <catch2/catch.hpp>

namespace kisim {
namespace {

using namespace test;
using Scores = std::vector<int64_t>;
using Devices = std::vector<uint16_t>;
using Texts = std::vector<std::string>;

Node gpu_node(const std::string& name, int64_t cpu, int64_t gpus, const std::string& model = "T4") {
  return make_node(name, {{"cpu", cpu}, {"memory", 1000 * kMiB}, {"nvidia.com/gpu", gpus}},
                   {{"alibabacloud.com/gpu-card-model", model}});
}

PodTemplate share(int64_t cpu, int milli, int count = 1, const std::string& models = "") {
  PodTemplate pods;
  pods.spec = make_pod({{"cpu", cpu}});
  if (!models.empty()) pods.annotations.emplace_back("alibabacloud.com/gpu-card-model", models);
  if (milli == 0) return pods;
  pods.annotations.emplace_back("alibabacloud.com/gpu-count", std::to_string(count));
  pods.annotations.emplace_back("alibabacloud.com/gpu-milli", std::to_string(milli));
  return pods;
}

// `policy` scores, or nothing if it is empty.
SchedulerConfig profile_with(const std::string& policy, const FgdArgs& args = {}) {
  SchedulerProfile profile;
  profile.multi_point.disabled = {{"*"}};
  profile.multi_point.enabled = {{"PrioritySort"}, {"GpuShare"}, {"DefaultBinder"}};
  if (!policy.empty()) profile.multi_point.enabled.push_back({policy});
  profile.points[static_cast<size_t>(ExtensionPoint::Filter)].enabled = {{"NodeResourcesFit"}};
  profile.plugin_config["FGD"].args = args;
  SchedulerConfig config = default_config();
  config.tie_break = TieBreak::First;
  config.configuration.profiles = {profile};
  return config;
}

class GpuCluster : public SchedulerFixture {
 public:
  GpuCluster(std::vector<Node> nodes, std::vector<PodTemplate> pods, const SchedulerConfig& config = profile_with(""))
      : SchedulerFixture(objects(std::move(nodes), std::move(pods)), config) {}

  // A pod of the workload that holds these devices.
  void occupy(size_t workload, size_t node, const Devices& devices) {
    PodId pod = create(workload);
    cache.add_pod(pod, NodeId(node));
    cache.hold_devices(pod, devices);
  }
  // Where the scheduler puts a pod of the workload: the node's name and the devices.
  std::pair<std::string, Devices> schedule(size_t workload) {
    PodId pod = add(workload);
    run_to(0);
    return {node_of(pod), state.snapshot.pod_records[pod].devices};
  }

 private:
  static Objects objects(std::vector<Node> nodes, std::vector<PodTemplate> pods) {
    Objects out;
    out.nodes = std::move(nodes);
    for (PodTemplate& p : pods) out.workloads.push_back({std::move(p), "default", {}});
    return out;
  }
};

TEST_CASE("GpuShare wants enough devices with enough free, of a model that the pod accepts") {
  PodTemplate whole;
  whole.spec = make_pod({{"nvidia.com/gpu", 2}});
  GpuCluster f({gpu_node("a", 64000, 2, "T4"), gpu_node("b", 64000, 4, "G2")},
               {share(1000, 600), share(1000, 500), share(1000, 1000, 2), share(1000, 300, 1, "P100|T4"),
                share(1000, 1000, 3), share(1000, 0), whole});
  f.occupy(0, 0, {0});
  f.occupy(0, 0, {1});
  auto verdicts = [&](size_t workload) {
    CycleProbe probe(f, f.create(workload));
    return Texts{probe.verdict(0), probe.verdict(1)};
  };
  const std::string later = "GpuShare Unschedulable", never = "GpuShare UnschedulableAndUnresolvable";
  CHECK(verdicts(1) == Texts{later, ""});  // 400 left on either device of a
  CHECK(verdicts(2) == Texts{later, ""});
  CHECK(verdicts(3) == Texts{"", never});
  CHECK(verdicts(4) == Texts{never, ""});
  CHECK(verdicts(5) == Texts{"", ""});
  CHECK(verdicts(6) == Texts{later, ""});  // whole GPUs, none of which may be shared
}

TEST_CASE("GpuShare tells what a node lacks and what the pod would have to change") {
  GpuCluster f({gpu_node("a", 64000, 2, "T4")}, {share(0, 700), share(0, 500, 1, "G2"), share(0, 1000, 2)});
  f.occupy(0, 0, {0});
  auto ask = [&](size_t workload, PodTemplate& pods) {
    PodId pod = f.create(workload);
    CycleProbe probe(f, pod);
    PluginContext c = probe.cycle.context(f.plugin("GpuShare"), pod);
    std::vector<Remedy> remedies;
    f.scheduler_model.profiles[0].plugins[f.plugin("GpuShare")].plugin->remedies(c, NodeId(0), remedies);
    Texts out;
    for (uint32_t reason : probe.cycle.reasons_of(NodeId(0))) out.push_back(f.scheduler_model.reasons[reason]);
    for (const Remedy& remedy : remedies) {
      out.push_back(remedy.text);
      remedy.apply(pods);
    }
    return out;
  };
  PodTemplate picky = share(0, 500, 1, "G2"), pair = share(0, 1000, 2);
  CHECK(ask(1, picky) == Texts{"node(s) didn't match Pod's GPU model", "accept the GPU model T4"});
  CHECK(*find_label(picky.annotations, "alibabacloud.com/gpu-card-model") == "G2|T4");
  CHECK(ask(2, pair) ==
        Texts{"node(s) didn't have enough free GPU", "ask for at most 1 alibabacloud.com/gpu-count instead of 2"});
  CHECK(*find_label(pair.annotations, "alibabacloud.com/gpu-count") == "1");

  f.occupy(0, 0, {1});
  PodTemplate large = share(0, 700);
  CHECK(ask(0, large) ==
        Texts{"node(s) didn't have enough free GPU", "ask for at most 300 alibabacloud.com/gpu-milli instead of 700"});
  CHECK(*find_label(large.annotations, "alibabacloud.com/gpu-milli") == "300");
}

TEST_CASE("GpuShare is worth another attempt when GPU comes back or a node comes that would hold the pod") {
  GpuCluster f({gpu_node("a", 64000, 2, "T4"), gpu_node("b", 64000, 1, "G2")},
               {share(0, 1000, 2), share(0, 100), share(1000, 0)});
  PodId pod = f.create(0);
  CycleProbe probe(f, pod);
  PluginContext c = probe.cycle.context(f.plugin("GpuShare"), pod);
  auto hint = [&](const ClusterEvent& event) {
    return f.scheduler_model.profiles[0].plugins[f.plugin("GpuShare")].plugin->queueing_hint(c, event);
  };
  auto gone = [](size_t workload) {
    ClusterEvent event;
    event.kind = ClusterEvent::Kind::AssignedPodDelete;
    event.pod_template = TemplateId(workload);
    return event;
  };
  auto come = [](uint32_t node) {
    ClusterEvent event;
    event.kind = ClusterEvent::Kind::NodeAdd;
    event.node = NodeId(node);
    event.after = node;
    return event;
  };
  CHECK(hint(gone(1)));
  CHECK_FALSE(hint(gone(2)));
  CHECK(hint(come(0)));
  CHECK_FALSE(hint(come(1)));
}

TEST_CASE("GpuShare takes the device with the least room, the first of equals; whole devices in order") {
  GpuCluster f({gpu_node("a", 64000, 4)}, {share(0, 300), share(0, 500), share(0, 200), share(0, 1000, 2)});
  f.occupy(0, 0, {0});                                                   // 700 1000 1000 1000
  f.occupy(1, 0, {2});                                                   // 700 1000 500 1000
  CHECK(f.schedule(1) == std::pair<std::string, Devices>{"a", {2}});     // 700 1000 0 1000
  CHECK(f.schedule(2) == std::pair<std::string, Devices>{"a", {0}});     // 500 1000 0 1000
  CHECK(f.schedule(3) == std::pair<std::string, Devices>{"a", {1, 3}});  // 500 0 0 0
  CHECK(f.schedule(3) == std::pair<std::string, Devices>{"", {}});
}

TEST_CASE("GpuRandom: every node and device that fits, equally often, and the same for the same pod") {
  GpuCluster f({gpu_node("a", 64000, 2), gpu_node("b", 64000, 1)}, {share(0, 600), share(0, 0)},
               profile_with("GpuRandom"));
  std::vector<int> nodes(2), devices(2);
  for (int i = 0; i < 2000; ++i) {
    PodId pod = f.create(0);
    CycleProbe probe(f, pod);
    REQUIRE(CycleProbe(f, pod).cycle.host() == probe.cycle.host());
    PluginContext c = probe.cycle.context(f.plugin("GpuRandom"), pod);
    Devices chosen;
    f.scheduler_model.profiles[0].plugins[f.plugin("GpuRandom")].plugin->reserve(c, NodeId(0), chosen);
    REQUIRE(chosen.size() == 1);
    ++nodes[probe.cycle.host().value];
    ++devices[chosen[0]];
  }
  CHECK(std::abs(nodes[0] - 1000) < 100);  // 4.5 standard deviations
  CHECK(std::abs(devices[0] - 1000) < 100);
  f.occupy(0, 0, {0});
  f.occupy(0, 1, {0});
  CHECK(f.schedule(0) == std::pair<std::string, Devices>{"a", {1}});  // all that is left
}

TEST_CASE("GpuDotProd: free and requested amounts in units of 128 cores and 8 GPUs") {
  GpuCluster f({gpu_node("a", 64000, 2), gpu_node("b", 128000, 8)}, {share(32000, 500), share(32000, 0)},
               profile_with("GpuDotProd"));
  // a: 0.5·0.25 + 0.25·0.0625 = 0.140625, 92.97. b: 0.25 + 0.0625 = 0.3125, 84.4.
  CHECK(CycleProbe(f, f.create(0)).scores("GpuDotProd") == Scores{92, 84});
  // Without GPUs 0.125 and 0.25: 93.75 and 87.5.
  CHECK(CycleProbe(f, f.create(1)).scores("GpuDotProd") == Scores{93, 87});
}

TEST_CASE("GpuBestFit: what is left in units of 128 cores and 8 GPUs, spread over 0 to 100") {
  GpuCluster f({gpu_node("a", 64000, 2), gpu_node("b", 128000, 8), gpu_node("c", 96000, 4)}, {share(32000, 500)},
               profile_with("GpuBestFit"));
  // Left a: 0.25 + 0.1875, 78.1. b: 0.75 + 0.9375, 15.6. c: 0.5 + 0.4375, 53.1. (53 − 15)·100/63 = 60.3.
  CHECK(CycleProbe(f, f.create(0)).scores("GpuBestFit") == Scores{100, 0, 60});
}

TEST_CASE("GpuPacking: shared devices, then free ones of nodes in use, then free nodes") {
  GpuCluster f({gpu_node("used", 64000, 4), gpu_node("large", 64000, 8), gpu_node("small", 64000, 2)},
               {share(0, 400), share(0, 700), share(0, 1000, 2), share(1000, 0)}, profile_with("GpuPacking"));
  f.occupy(0, 0, {0});
  CHECK(CycleProbe(f, f.create(0)).scores("GpuPacking") == Scores{94, 25, 31});  // 600 left: 100 − 6
  CHECK(CycleProbe(f, f.create(1)).scores("GpuPacking") == Scores{49, 25, 31});  // a free device: 50 − 1
  CHECK(CycleProbe(f, f.create(2)).scores("GpuPacking") == Scores{48, 25, 31});
  CHECK(CycleProbe(f, f.create(3)).scores("GpuPacking") == Scores{0, 0, 0});
}

TEST_CASE("GpuClustering: beside pods of the same kind only, among others, on nodes without, beside others only") {
  GpuCluster f(
      {gpu_node("own", 64000, 8), gpu_node("mixed", 64000, 8), gpu_node("free", 64000, 8), gpu_node("other", 64000, 8)},
      {share(0, 400), share(0, 1000), share(1000, 0)}, profile_with("GpuClustering"));
  f.occupy(0, 0, {0});
  f.occupy(0, 1, {0});
  f.occupy(1, 1, {1});
  f.occupy(1, 3, {0});
  // 25·0.4/8 = 1.25, 25·1.4/8 = 4.4, 0 and 25/8 = 3.1 for what is used.
  CHECK(CycleProbe(f, f.create(0)).scores("GpuClustering") == Scores{75 + 1, 50 + 4, 25, 0 + 3});
  CHECK(CycleProbe(f, f.create(1)).scores("GpuClustering") == Scores{0 + 1, 50 + 4, 25, 75 + 3});
  CHECK(CycleProbe(f, f.create(2)).scores("GpuClustering") == Scores{0, 0, 0, 0});
}

// Half of the pods take half a GPU, half a whole one; all 1 core.
FgdArgs half_and_whole() { return {{{1000, 500, 1, {}, 0.5}, {1000, 1000, 1, {}, 0.5}}}; }

TEST_CASE("FGD: the change of fragmentation in GPUs under the sigmoid") {
  GpuCluster f({gpu_node("free", 64000, 2), gpu_node("half", 64000, 2), gpu_node("core", 1500, 2)},
               {share(1000, 500), share(1000, 0), share(1000, 1000)}, profile_with("FGD", half_and_whole()));
  f.occupy(0, 1, {0});
  // free: half a GPU becomes useless for half of the pods: −0.25, 43.8. half: the one that is is used up: +0.25, 56.2.
  // core: no core is left for anybody, so 1.5 GPUs become useless: 18.2.
  CHECK(CycleProbe(f, f.create(0)).scores("FGD") == Scores{43, 56, 18});
  // A pod without GPUs makes useless what its cores were needed for: nothing, nothing, 2 GPUs: 11.9.
  CHECK(CycleProbe(f, f.create(1)).scores("FGD") == Scores{50, 50, 11});
  // A whole GPU was of use to all. On the second node the half beside it is useless to half of the pods before as
  // after. The last core makes one more GPU useless: 26.9.
  CHECK(CycleProbe(f, f.create(2)).scores("FGD") == Scores{50, 50, 26});
}

TEST_CASE("FGD uses the device that it had in mind, its own CPU not counted twice") {
  GpuCluster f({gpu_node("a", 3500, 3)}, {share(1000, 200), share(1000, 500)}, profile_with("FGD", half_and_whole()));
  f.occupy(0, 0, {1});  // 1000 800 1000
  // Device 0: 0.5 more is useless to half of the pods: −0.25, 43.8. Device 1: before 0.8 was useless to half of them,
  // now 0.3 is to all: +0.1, 52.5. If the pod's core counted twice, none would be left and both devices were equal.
  CHECK(f.schedule(1) == std::pair<std::string, Devices>{"a", {1}});

  GpuCluster g({gpu_node("a", 64000, 3)}, {share(0, 300), share(0, 400)},
               profile_with("FGD", {{{0, 400, 1, {}, 0.5}, {0, 300, 1, {}, 0.5}}}));
  g.occupy(0, 0, {0});  // 700 1000 1000
  // Device 0 keeps 300, of use to 300s only: −0.15, 46.3. Device 1 keeps 600, of use to all: 50.
  CHECK(g.schedule(1) == std::pair<std::string, Devices>{"a", {1}});
}

TEST_CASE("GpuFragmentation derives the typical pods from the most frequent 95 % of the replicas") {
  auto fragmentation = [](std::vector<int32_t> replicas) {
    ClusterBuilder builder({});
    builder.add_node(gpu_node("a", 64000, 1));
    // The first two differ in memory only: one kind.
    std::vector<PodTemplate> pods{share(1000, 500), share(1000, 500), share(2000, 500), share(1000, 800)};
    pods[1].spec.containers[0].requests.push_back({"memory", kMiB});
    for (size_t i = 0; i < pods.size(); ++i) {
      WorkloadModel workload;
      workload.name = "w" + std::to_string(i);
      workload.pod_template = builder.add_template("default", pods[i]);
      workload.replicas = replicas[i];
      builder.add_workload(std::move(workload));
    }
    return GpuFragmentation(std::move(builder).build(), {});
  };
  CHECK(fragmentation({40, 50, 5, 5}).typical_pods() == 2);  // 95 % with the second kind
  CHECK(fragmentation({40, 49, 6, 5}).typical_pods() == 2);
  CHECK(fragmentation({40, 48, 6, 6}).typical_pods() == 3);
  CHECK(fragmentation({40, 50, 5, 5}).weight() == 95);
}

// F by the definition, in thousandths of a GPU times the weights' sum.
int64_t defined_amount(const FgdArgs& args, const std::string& product, int64_t cpu, const std::vector<int32_t>& free) {
  int64_t sum = 0;
  for (const FgdArgs::TypicalPod& m : args.typical_pods) {
    bool model = m.gpu_products.empty() ||
                 std::find(m.gpu_products.begin(), m.gpu_products.end(), product) != m.gpu_products.end();
    auto enough = std::count_if(free.begin(), free.end(), [&](int32_t f) { return f >= m.gpu_milli; });
    bool fits = m.gpu_milli > 0 && model && m.milli_cpu <= cpu && enough >= m.gpu_count;
    int64_t unusable = 0;
    for (int32_t f : free)
      if (!fits || f < m.gpu_milli) unusable += f;
    sum += static_cast<int64_t>(m.share * 1e9) * unusable;
  }
  return sum;
}

TEST_CASE("GpuFragmentation is what the definition says, and so are its changes") {
  FgdArgs args{{{1000, 0, 0, {}, 0.125},
                {500, 300, 1, {}, 0.25},
                {4000, 300, 1, {"T4"}, 0.125},
                {2000, 700, 1, {"G2", "T4"}, 0.25},
                {1000, 1000, 1, {}, 0.125},
                {1000, 1000, 2, {"G2"}, 0.125}}};
  ClusterBuilder builder({});
  builder.add_node(gpu_node("a", 8000, 4, "T4"));
  builder.add_node(gpu_node("b", 8000, 4, "G2"));
  GpuFragmentation fragmentation(std::move(builder).build(), args);
  REQUIRE(fragmentation.weight() == 1'000'000'000);

  Stream stream(1, 2, Purpose::Policy);
  std::vector<int64_t> scratch;
  for (int i = 0; i < 2000; ++i) {
    uint32_t version = stream.below(2);
    const std::string product = version == 0 ? "T4" : "G2";
    int64_t cpu = stream.below(6000), taken_cpu = stream.below(static_cast<uint32_t>(cpu) + 1);
    std::vector<int32_t> free;
    for (int d = 0; d < 4; ++d) free.push_back(stream.below(3) == 0 ? 1000 : static_cast<int32_t>(stream.below(1001)));
    int64_t before = defined_amount(args, product, cpu, free);
    REQUIRE(fragmentation.amount(version, cpu, free) == before);

    GpuFragmentation::Choice choice(fragmentation, version, cpu, taken_cpu, free, scratch);
    size_t device = stream.below(4);
    auto milli = static_cast<int32_t>(stream.below(static_cast<uint32_t>(free[device]) + 1));
    std::vector<int32_t> after = free;
    after[device] -= milli;
    REQUIRE(choice.decrease(milli, 1, free[device]) == before - defined_amount(args, product, cpu - taken_cpu, after));

    after = free;
    auto whole = static_cast<int32_t>(std::count(free.begin(), free.end(), 1000));
    std::replace(after.begin(), after.end(), 1000, 0);
    REQUIRE(choice.decrease(1000, whole, 1000) == before - defined_amount(args, product, cpu - taken_cpu, after));
  }
}

}  // namespace
}  // namespace kisim
