#include "cluster/topology.hpp"

#include "cluster/cluster.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>

using namespace kisim;
using namespace kisim::test;

namespace {

GpuModel gpu_model(const std::string& product, NvlinkFabric fabric, int32_t nvlinks, double nvlink_gbs, int32_t gen) {
  GpuModel gpu = h100();
  gpu.name = product;
  gpu.products = {product};
  gpu.nvlink_fabric = fabric;
  gpu.nvlinks = nvlinks;
  gpu.nvlink_gbs = nvlink_gbs;
  gpu.pcie_gen = gen;
  return gpu;
}

const GpuModel kV100 = gpu_model("Tesla-V100-SXM2-32GB", NvlinkFabric::CubeMesh, 6, 300, 3);
const GpuModel kA100 = gpu_model("NVIDIA-A100-SXM4-80GB", NvlinkFabric::NvSwitch, 12, 600, 4);
const GpuModel kL40s = gpu_model("NVIDIA-L40S", NvlinkFabric::None, 0, 0, 4);
const GpuModel kA30 = gpu_model("NVIDIA-A30", NvlinkFabric::Bridge, 4, 200, 4);

GpuTopology of(const GpuModel& gpu, uint32_t gpus, PcieLayout pcie = {}) {
  return GpuTopology(gpu, gpus, gpu.nvlink_fabric, pcie);
}

std::string row(const GpuTopology& t, uint32_t a, GpuSet down = 0) {
  std::string out;
  for (uint32_t b = 0; b < t.gpus(); ++b) out += (b == 0 ? "" : " ") + t.connection(a, b, down);
  return out;
}

std::vector<uint32_t> members(GpuSet set) {
  std::vector<uint32_t> out;
  for (; set != 0; set &= set - 1) out.push_back(static_cast<uint32_t>(std::countr_zero(set)));
  return out;
}

}  // namespace

TEST_CASE("a hybrid cube mesh has six links at each GPU, and the rest goes over PCIe", "[topology]") {
  GpuTopology t = of(kV100, 8);
  CHECK(row(t, 0) == "X NV1 NV1 NV2 NV2 SYS SYS SYS");
  CHECK(row(t, 5) == "SYS NV2 SYS SYS NV1 X NV2 NV1");
  CHECK(t.bandwidth(0, 3) == 50);
  CHECK(t.bandwidth(0, 1) == 25);
  CHECK(t.bandwidth(0, 5) == 10);  // the link between the sockets; no GPU forwards
  for (uint32_t a = 0; a < 8; ++a) {
    int links = 0;
    for (uint32_t b = 0; b < 8; ++b) {
      CHECK(t.connection(a, b) == t.connection(b, a));
      CHECK((a == b || t.bandwidth(a, b) == t.bandwidth(b, a)));
      if (std::string c = t.connection(a, b); c.starts_with("NV")) links += std::stoi(c.substr(2));
    }
    CHECK(links == 6);
  }
  CHECK(row(of(kV100, 4), 0) == "X NV1 NV1 NV2");
}

TEST_CASE("an NVSwitch links all alike", "[topology]") {
  GpuTopology t = of(kA100, 8);
  CHECK(row(t, 2) == "NV12 NV12 X NV12 NV12 NV12 NV12 NV12");
  CHECK(t.bandwidth(0, 7) == 300);
  CHECK(t.all_reduce_bandwidth(0xff) == 300);
  CHECK(t.numa_node(3) == 0);
  CHECK(t.numa_node(4) == 1);
}

TEST_CASE("the place in the PCIe tree has the names of nvidia-smi topo -m", "[topology]") {
  CHECK(row(of(kL40s, 8), 0) == "X PIX NODE NODE SYS SYS SYS SYS");
  CHECK(row(of(kL40s, 8, {2, 2, 1}), 0) == "X PIX PXB PXB SYS SYS SYS SYS");
  CHECK(row(of(kL40s, 4, {1, 4, 1}), 0) == "X PHB PHB PHB");
  GpuTopology t = of(kL40s, 8);
  CHECK(t.bandwidth(0, 2) == Approx(31.508).epsilon(1e-4));
  CHECK(t.bandwidth(0, 4) == 16);
  CHECK(t.all_reduce_bandwidth(0b1111) == Approx(31.508).epsilon(1e-4));
  CHECK(t.all_reduce_bandwidth(0b10001) == 16);
}

TEST_CASE("bridges and direct links", "[topology]") {
  CHECK(row(of(kA30, 4), 1) == "NV4 X NODE NODE");
  GpuTopology direct(kA100, 4, NvlinkFabric::Direct);
  CHECK(row(direct, 0) == "X NV4 NV4 NV4");
  CHECK(direct.bandwidth(0, 3) == 100);
}

TEST_CASE("GPUs whose NVLinks are down fall back to PCIe", "[topology]") {
  GpuTopology t = of(kA100, 4);
  CHECK(row(t, 0, 0b1000) == "X NV12 NV12 NODE");
  CHECK(row(t, 3, 0b1000) == "NODE NODE PIX X");
  CHECK(t.bandwidth(0, 3, 0b1000) < 32);
  CHECK(t.all_reduce_bandwidth(0b1111, 0b1000) < 32);
  CHECK(t.all_reduce_bandwidth(0b0111, 0b1000) == 300);
}

// By trying all orders.
TEST_CASE("the best ring is the best of all rings", "[topology]") {
  for (const GpuModel& gpu : {kV100, kA30}) {
    GpuTopology t = of(gpu, 8);
    for (GpuSet set = 0; set < 256; ++set) {
      std::vector<uint32_t> ring = members(set);
      if (ring.size() < 2 || ring.size() > 6) continue;
      double best = 0;
      do {
        double slowest = t.bandwidth(ring.back(), ring.front());
        for (size_t i = 1; i < ring.size(); ++i) slowest = std::min(slowest, t.bandwidth(ring[i - 1], ring[i]));
        best = std::max(best, slowest);
      } while (std::next_permutation(ring.begin() + 1, ring.end()));
      CHECK(t.all_reduce_bandwidth(set) == best);
    }
  }
}

namespace {

// The policy's score of each pair, from what is printed of it.
struct Scores {
  int pairs[8][8] = {};

  Scores(const GpuTopology& t, bool switched) {
    const std::vector<std::string> levels{"SYS", "NODE", "PHB", "PXB", "PIX"};
    for (uint32_t a = 0; a < 8; ++a)
      for (uint32_t b = 0; b < 8; ++b) {
        if (a == b) continue;
        auto level = std::find(levels.begin(), levels.end(), t.connection(a, b, 0xff));
        pairs[a][b] = 10 * static_cast<int>(level - levels.begin() + 1);
        std::string link = t.connection(a, b);
        if (!switched && link.starts_with("NV")) pairs[a][b] += 100 * std::stoi(link.substr(2));
      }
  }
  int of(GpuSet set) const {
    int sum = 0;
    for (uint32_t a : members(set))
      for (uint32_t b : members(set))
        if (a < b) sum += pairs[a][b];
    return sum;
  }
  // The most that sets of `count` GPUs and one short set, where the number is no multiple, come to.
  int best_total(GpuSet left, uint32_t count) const {
    if (left == 0) return 0;
    int best = -1;
    uint32_t rest = static_cast<uint32_t>(std::popcount(left)) % count;
    for (GpuSet set = left; set != 0; set = (set - 1) & left) {
      auto size = static_cast<uint32_t>(std::popcount(set));
      if ((set & left & -left) == 0 || (size != count && (rest == 0 || size != rest))) continue;
      best = std::max(best, of(set) + best_total(left & ~set, count));
    }
    return best;
  }
};

}  // namespace

TEST_CASE("the preferred GPUs are a set of a best partition", "[topology]") {
  for (const GpuModel& gpu : {kV100, kA100, kA30}) {
    GpuTopology t = of(gpu, 8);
    Scores scores(t, gpu.nvlink_fabric == NvlinkFabric::NvSwitch);
    for (GpuSet free = 1; free < 256; free += 2)
      for (uint32_t count = 2; count <= static_cast<uint32_t>(std::popcount(free)); ++count) {
        GpuSet chosen = t.preferred(free, count);
        CHECK(std::popcount(chosen) == static_cast<int>(count));
        CHECK((chosen & ~free) == 0);
        int total = scores.of(chosen) + scores.best_total(free & ~chosen, count);
        CHECK(total == scores.best_total(free, count));
      }
  }
}

TEST_CASE("what the policy prefers on boards that people know", "[topology]") {
  GpuTopology dgx1 = of(kV100, 8);
  CHECK(dgx1.preferred(0xff, 2) == 0b1100);              // two links and one PCIe switch, as 6-7 have
  CHECK(dgx1.preferred(0xff, 4) == 0b1111);              // a quad
  CHECK(dgx1.preferred(0b0110'0110, 2) == 0b0000'0110);  // 1-2 and 5-6 have two links each
  CHECK(dgx1.preferred(0b0110'0110, 2, 0b10) == 0b0110'0000);
  CHECK(of(kA100, 8).preferred(0b1110, 2) == 0b1100);  // behind one PCIe switch
  CHECK(of(kA30, 4).preferred(0b1110, 2) == 0b1100);   // over the bridge
}

TEST_CASE("fabrics and layouts are read from text", "[topology]") {
  CHECK(nvlink_fabric("cube-mesh") == NvlinkFabric::CubeMesh);
  CHECK_FALSE(nvlink_fabric("mesh"));
  CHECK(pcie_layout("4/2/1") == PcieLayout{4, 2, 1});
  for (const char* bad : {"", "4", "4/2", "4/2/1/1", "0/1/1", "4/2/x", "4/2/1 ", "-1/1/1"})
    CHECK_FALSE(pcie_layout(bad));
}

TEST_CASE("nodes have the topology of their GPUs and of their annotations", "[topology]") {
  ClusterBuilder builder({kV100, kA100});
  Node direct = node("c", 4, "NVIDIA-A100-SXM4-80GB"), wrong = node("d", 4, "NVIDIA-A100-SXM4-80GB");
  direct.meta.annotations = {{"kisim.dev/gpu-nvlink", "direct"}, {"kisim.dev/gpu-pcie", "1/4/1"}};
  wrong.meta.annotations = {{"kisim.dev/gpu-nvlink", "ring"}};
  for (const Node& n : {node("a", 4, "Tesla-V100-SXM2-32GB"), node("b", 4, "Tesla-V100-SXM2-32GB"), direct, wrong})
    builder.add_node(n);
  REQUIRE(builder.warnings().size() == 1);
  CHECK(builder.warnings()[0].message == "found 'ring', allowed: none, bridge, cube-mesh, direct, nvswitch");
  ClusterModel model = std::move(builder).build();
  auto topology = [&](unsigned i) { return model.topologies[model.nodes[NodeId(i)].topology]; };
  CHECK(model.topologies.size() == 3);
  CHECK(row(topology(1), 0) == "X NV1 NV1 NV2");
  CHECK(row(topology(2), 0) == "X NV4 NV4 NV4");
  CHECK(row(topology(2), 0, 0b1111) == "X PHB PHB PHB");
  CHECK(row(topology(3), 0) == "X NV12 NV12 NV12");
}

TEST_CASE("the device plugin hands out GPUs that are linked best, and no down links if it can", "[topology]") {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  ClusterBuilder builder({kV100});
  builder.add_node(node("a", 8, "Tesla-V100-SXM2-32GB"));
  TemplateId one = builder.add_template("default", deployment("one", 1, 1).pod_template);
  TemplateId two = builder.add_template("default", deployment("two", 1, 2).pod_template);
  WorkloadId ones = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "one", one, 1, {}});
  WorkloadId twos = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "two", two, 1, {}});
  model = std::move(builder).build();
  cluster.start();
  auto bind = [&](WorkloadId w, TemplateId t) {
    PodId pod = cluster.create_pod(w, t, Time{});
    cluster.bind(pod, NodeId(0u), Time{});
    std::vector<uint32_t> out;
    for (GpuId g : state.pods[pod].gpus) out.push_back(g.value);
    return out;
  };
  cluster.set_nvlink_up(GpuId(3u), false);
  CHECK(bind(ones, one) == std::vector<uint32_t>{0});
  CHECK(bind(twos, two) == std::vector<uint32_t>{1, 2});
  CHECK(bind(twos, two) == std::vector<uint32_t>{4, 7});
  cluster.set_gpu_healthy(GpuId(5u), false);
  CHECK(bind(twos, two) == std::vector<uint32_t>{3, 6});  // nothing else is left
}
