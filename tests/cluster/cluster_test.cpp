#include "cluster/cluster.hpp"

#include "core/error.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using namespace kisim::test;

namespace {

struct TwoNodes {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  WorkloadId pods;

  TwoNodes() {
    ClusterBuilder builder({h100()});
    builder.add_node(node("a", 2));
    builder.add_node(node("b", 1));
    Deployment d = deployment("llama", 3, 1);
    TemplateId t = builder.add_template("default", d.pod_template);
    pods = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "llama", t, 3, {}});
    model = std::move(builder).build();
    cluster.start();
  }
};

}  // namespace

TEST_CASE("binding charges the node and hands out devices; removing gives all back") {
  TwoNodes c;
  NodeId a{0u};
  PodId first = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{}),
        second = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{});
  c.cluster.bind(first, a, Time{1});
  c.cluster.bind(second, a, Time{2});
  CHECK(c.state.requested[kCpu.value] == 2000);
  CHECK(c.state.requested[kPods.value] == 2);
  CHECK(c.state.pods[first].gpus == std::vector{GpuId(0u)});
  CHECK(c.state.pods[second].gpus == std::vector{GpuId(1u)});
  CHECK(c.state.devices[a.value][0].owner == first);

  c.cluster.remove(first, Time{5});
  CHECK(c.state.requested[kCpu.value] == 1000);
  CHECK_FALSE(c.state.devices[a.value][0].owner.valid());
  CHECK(c.state.gpus[GpuId(0u)].allocated.integral(Time{9}) == 4 * kWholeGpu);
  PodId third = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{6});
  c.cluster.bind(third, a, Time{6});
  CHECK(c.state.pods[third].gpus == std::vector{GpuId(0u)});
}

TEST_CASE("shares of a GPU count in thousandths, and as busy for whom kernels run") {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  ClusterBuilder builder({h100()});
  builder.add_node(node("a", 1));
  PodTemplate pods = deployment("llama", 2, 0).pod_template;
  pods.annotations = {{"alibabacloud.com/gpu-milli", "250"}};
  TemplateId t = builder.add_template("default", pods);
  WorkloadId w = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "llama", t, 2, {}});
  model = std::move(builder).build();
  cluster.start();
  const uint16_t device = 0;
  PodId first = cluster.create_pod(w, t, Time{}), second = cluster.create_pod(w, t, Time{});
  cluster.bind(first, NodeId(0u), Time{0}, {&device, 1});
  cluster.bind(second, NodeId(0u), Time{10}, {&device, 1});
  cluster.set_busy(first, true, Time{10});
  cluster.set_busy(second, true, Time{20});
  cluster.set_busy(first, false, Time{30});
  cluster.remove(first, Time{40});
  const GpuState& gpu = state.gpus[GpuId(0u)];
  CHECK(gpu.allocated.integral(Time{50}) == kWholeGpu / 1000 * (250 * 10 + 500 * 30 + 250 * 10));
  CHECK(gpu.busy.integral(Time{50}) == kWholeGpu / 1000 * (250 * 10 + 500 * 10 + 250 * 20));
  CHECK(state.devices[0][0].taken == 250);
}

TEST_CASE("a node is never over its allocatable and no pod on two nodes") {
  TwoNodes c;
  NodeId b{1u};
  PodId first = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{}),
        second = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{});
  c.cluster.bind(first, b, Time{});
  CHECK_THROWS_AS(c.cluster.bind(second, b, Time{}), InvariantError);
  CHECK_THROWS_AS(c.cluster.bind(first, NodeId{0u}, Time{}), InvariantError);
}

TEST_CASE("requests: the largest of the containers' sum and each init container, plus overhead") {
  Deployment d = deployment("llama", 1, 1);
  PodSpec& spec = d.pod_template.spec;
  spec.containers.push_back({"sidecar", "sidecar:1", {{"cpu", 500}}, {}, {}});
  spec.init_containers.push_back({"init", "init:1", {{"cpu", 2500}}, {}, {}});
  spec.overhead = {{"cpu", 100}};
  ClusterBuilder builder({});
  builder.add_template("default", d.pod_template);
  ClusterModel model = std::move(builder).build();
  const PodTemplateModel& t = model.templates[TemplateId(0u)];
  CHECK(t.request[kCpu.value] == 2600);
  CHECK(t.request[kMemory.value] == kGiB);
  CHECK(t.gpus == 1);
  CHECK(t.nonzero_memory == kGiB + (200ll << 20));  // the sidecar names no memory
}

TEST_CASE("NVLink domains: a node, or the nodes of one clique") {
  GpuModel linked = h100(), plain = h100();
  linked.nvlink_gbs = 900;
  plain.name = "l4";
  plain.products = {"NVIDIA-L4"};
  ClusterBuilder builder({linked, plain});
  Node rack1 = node("r1", 4), rack2 = node("r2", 4);
  for (Node* n : {&rack1, &rack2}) n->meta.labels.insert(n->meta.labels.begin(), {"nvidia.com/gpu.clique", "rack.0"});
  for (const Node& n : {node("a", 8), node("b", 8), node("c", 4, "NVIDIA-L4"), rack1, rack2}) builder.add_node(n);
  ClusterModel model = std::move(builder).build();
  auto domain = [&](unsigned i) { return model.nodes[NodeId(i)].nvlink_domain; };
  CHECK(domain(0) != domain(1));
  CHECK(domain(2) == NodeModel::kNoNvlink);
  CHECK(domain(3) == domain(4));
  CHECK(domain(3) != domain(0));
}

TEST_CASE("pod names are unique and their random streams too") {
  TwoNodes c;
  std::vector<std::string> names;
  std::vector<uint64_t> entities;
  for (int i = 0; i < 2000; ++i) {
    PodId id = c.cluster.create_pod(c.pods, c.model.workloads[c.pods].pod_template, Time{});
    names.push_back(c.cluster.pod_name(id));
    entities.push_back(c.cluster.pod_entity(id));
  }
  std::sort(names.begin(), names.end());
  std::sort(entities.begin(), entities.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  CHECK(std::adjacent_find(entities.begin(), entities.end()) == entities.end());
  CHECK(names[0].starts_with("llama-"));
}
