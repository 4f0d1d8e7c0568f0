#include "cluster/accelerator.hpp"

#include "core/random.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

Node labelled(Node node, Labels labels) {
  node.meta.labels.insert(node.meta.labels.end(), labels.begin(), labels.end());
  std::sort(node.meta.labels.begin(), node.meta.labels.end());
  return node;
}

MigConfigSpec cut(std::optional<std::vector<int32_t>> devices, std::vector<std::pair<std::string, int32_t>> instances) {
  MigConfigSpec spec;
  spec.devices = std::move(devices);
  spec.mig_enabled = true;
  spec.mig_devices = std::move(instances);
  spec.mark = {"mig.yaml", 7, 3};
  return spec;
}

DevicePluginConfig plugin(MigStrategy strategy, GpuSharing sharing = GpuSharing::Exclusive,
                          std::vector<DevicePluginConfig::Resource> resources = {}) {
  DevicePluginConfig out;
  out.mig_strategy = strategy;
  out.sharing = sharing;
  out.resources = std::move(resources);
  return out;
}

GpuConfigs configs() {
  GpuConfigs out;
  out.mig["balanced"] = {cut({}, {{"1g.10gb", 2}, {"2g.20gb", 1}, {"3g.40gb", 1}})};
  out.mig["half"] = {cut(std::vector{1}, {{"1g.10gb", 7}})};
  out.mig["too-much"] = {cut({}, {{"3g.40gb", 2}, {"1g.10gb", 1}})};
  out.mig["unknown"] = {cut({}, {{"1g.5gb", 1}})};
  out.mig["others"] = {cut({}, {{"1g.10gb", 7}})};
  out.mig["others"][0].device_filter = {"0x20B010DE"};
  out.device_plugin["mixed"] = plugin(MigStrategy::Mixed);
  out.device_plugin["single"] = plugin(MigStrategy::Single);
  out.device_plugin["none"] = plugin(MigStrategy::None);
  out.device_plugin["sliced"] = plugin(MigStrategy::Mixed, GpuSharing::TimeSlicing, {{"nvidia.com/gpu", 4}});
  out.device_plugin["renamed"] = out.device_plugin["sliced"];
  out.device_plugin["renamed"].rename_by_default = true;
  out.device_plugin["mps"] = plugin(MigStrategy::None, GpuSharing::Mps, {{"nvidia.com/gpu", 2}});
  out.device_plugin["mps"].fail_requests_greater_than_one = true;
  return out;
}

struct Published {
  PublishedNode node;
  std::vector<Diagnostic> complaints;

  int64_t amount(const std::string& resource) const {
    for (const auto& [name, value] : node.node.allocatable)
      if (name == resource) return value;
    return -1;
  }
  std::string label(const std::string& key) const {
    const std::string* value = find_label(node.node.meta.labels, key);
    return value ? *value : "";
  }
  std::string complaint() const { return complaints.empty() ? "" : complaints[0].text(); }
};

const std::vector<GpuModel> kModels{h100_with_mig()};

Published publish(const Node& node) {
  Published out;
  out.node = publish_gpus(node, kModels, configs(), out.complaints);
  return out;
}
Published publish(uint32_t gpus, Labels labels) { return publish(labelled(node("a", gpus), std::move(labels))); }

// One node with these labels, and a workload whose pods ask for `resource`.
struct OneNode {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  WorkloadId pods;

  OneNode(uint32_t gpus, Labels labels, const std::string& resource, int64_t count = 1) {
    ClusterBuilder builder({h100_with_mig()}, configs());
    builder.add_node(labelled(node("a", gpus), std::move(labels)));
    PodTemplate t = deployment("llama", 1, 0).pod_template;
    std::erase_if(t.spec.containers[0].requests, [](const auto& r) { return r.first == "nvidia.com/gpu"; });
    t.spec.containers[0].requests.emplace_back(resource, count);
    TemplateId id = builder.add_template("default", t);
    pods = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "llama", id, 1, {}});
    model = std::move(builder).build();
    cluster.start();
  }
  PodId create() { return cluster.create_pod(pods, model.workloads[pods].pod_template, Time{}); }
  PodId bind() {
    PodId pod = create();
    cluster.bind(pod, NodeId(0u), Time{});
    return pod;
  }
  int64_t allocatable(const std::string& resource) const {
    for (size_t r = 0; r < model.resources.size(); ++r)
      if (model.resources[r] == resource) return cluster.allocatable(NodeId(0u))[r];
    return -1;
  }
};

}  // namespace

TEST_CASE("a node without GPU labels has whole GPUs, and its object stays as it is") {
  Node plain = node("a", 2);
  Published p = publish(plain);
  CHECK(p.complaints.empty());
  CHECK(p.node.gpus == 2);
  REQUIRE(p.node.devices.size() == 2);
  CHECK(p.node.devices[1].gpu == 1);
  CHECK(p.node.devices[1].resource == "nvidia.com/gpu");
  CHECK(p.node.node.allocatable == plain.allocatable);
  CHECK(p.node.node.meta.labels == plain.meta.labels);
}

TEST_CASE("MIG with the strategies mixed, single and none") {
  Published mixed = publish(2, {{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "mixed"}});
  CHECK(mixed.complaint() == "");
  CHECK(mixed.amount("nvidia.com/gpu") == 0);
  CHECK(mixed.amount("nvidia.com/mig-1g.10gb") == 4);
  CHECK(mixed.amount("nvidia.com/mig-2g.20gb") == 2);
  CHECK(mixed.amount("nvidia.com/mig-3g.40gb") == 2);
  CHECK(mixed.node.devices.size() == 8);
  CHECK(mixed.label("nvidia.com/mig.config.state") == "success");
  CHECK(mixed.label("nvidia.com/mig.strategy") == "mixed");

  Published part = publish(2, {{"nvidia.com/mig.config", "half"}, {"nvidia.com/device-plugin.config", "mixed"}});
  CHECK(part.amount("nvidia.com/gpu") == 1);
  CHECK(part.amount("nvidia.com/mig-1g.10gb") == 7);

  // mig-manager makes all-PROFILE by itself; the GPU operator's strategy is single.
  Published single = publish(2, {{"nvidia.com/mig.config", "all-2g.20gb"}});
  CHECK(single.complaint() == "");
  CHECK(single.amount("nvidia.com/gpu") == 6);
  CHECK(single.label("nvidia.com/gpu.product") == "NVIDIA-H100-80GB-HBM3-MIG-2g.20gb");

  Published none = publish(2, {{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "none"}});
  CHECK(none.amount("nvidia.com/gpu") == 2);
  CHECK(publish(2, {{"nvidia.com/mig.config", "others"}}).amount("nvidia.com/gpu") == 2);
}

TEST_CASE("sharing gives every device replicas, under its name or another") {
  Published sliced = publish(2, {{"nvidia.com/device-plugin.config", "sliced"}});
  CHECK(sliced.amount("nvidia.com/gpu") == 8);
  CHECK(sliced.label("nvidia.com/gpu.product") == "NVIDIA-H100-80GB-HBM3-SHARED");
  CHECK(sliced.label("nvidia.com/gpu.replicas") == "4");
  CHECK(sliced.label("nvidia.com/gpu.sharing-strategy") == "time-slicing");
  Published renamed = publish(2, {{"nvidia.com/device-plugin.config", "renamed"}});
  CHECK(renamed.amount("nvidia.com/gpu") == 0);
  CHECK(renamed.amount("nvidia.com/gpu.shared") == 8);
  CHECK(renamed.label("nvidia.com/gpu.product") == "NVIDIA-H100-80GB-HBM3");
  CHECK(publish(2, {{"nvidia.com/device-plugin.config", "mps"}}).amount("nvidia.com/gpu") == 4);
}

TEST_CASE("what is published once is read again as it is") {
  for (Labels labels :
       {Labels{{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "mixed"}},
        Labels{{"nvidia.com/mig.config", "all-2g.20gb"}}, Labels{{"nvidia.com/device-plugin.config", "sliced"}},
        Labels{{"nvidia.com/device-plugin.config", "renamed"}}}) {
    CAPTURE(labels[0].second);
    Published once = publish(3, labels);
    Published again = publish(labelled(once.node.node, {{"nvidia.com/gpu.count", "3"}}));
    CHECK(again.complaint() == "");
    CHECK(again.node.gpus == 3);
    auto sorted = [](std::vector<GpuDevice> devices) {
      std::vector<std::tuple<std::string, int, int, int>> out;
      for (const GpuDevice& d : devices)
        out.emplace_back(d.resource, d.gpu, d.instance ? d.instance->profile : -1, d.replicas);
      std::sort(out.begin(), out.end());
      return out;
    };
    CHECK(sorted(again.node.devices) == sorted(once.node.devices));
  }
}

TEST_CASE("a dumped node with instances of unequal GPUs, and one with impossible ones") {
  Node dumped = node("a", 0);
  auto with = [&](ResourceList more, const char* gpus) {
    Node out = labelled(dumped, {{"nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"}, {"nvidia.com/gpu.count", gpus}});
    out.allocatable.insert(out.allocatable.end(), more.begin(), more.end());
    out.meta.mark = {"nodes.yaml", 12, 3};
    return publish(out);
  };
  std::erase_if(dumped.meta.labels, [](const auto& l) { return l.first == "nvidia.com/gpu.product"; });
  Published p = with({{"nvidia.com/gpu", 1}, {"nvidia.com/mig-1g.10gb", 3}, {"nvidia.com/mig-3g.40gb", 2}}, "3");
  CHECK(p.complaint() == "");
  CHECK(p.node.gpus == 3);
  CHECK(p.node.devices.size() == 6);
  Published bad = with({{"nvidia.com/mig-1g.10gb", 1}, {"nvidia.com/mig-3g.40gb", 2}}, "1");
  CHECK_THAT(bad.complaint(),
             Contains("nodes.yaml:12:3: status.allocatable[nvidia.com/mig-1g.10gb]: found more than 1 of "
                      "NVIDIA-H100-80GB-HBM3 hold; on the last one there is no room for 1g.10gb; at "
                      "slice 0 it shares memory slice 0 with 3g.40gb at memory slices 0 to 3"));
  CHECK_THAT(with({{"nvidia.com/mig-1g.5gb", 1}}, "1").complaint(), Contains("allowed: 1g.10gb, 2g.20gb, 3g.40gb"));
}

TEST_CASE("a wrong configuration is refused where it stands") {
  auto complaint = [](const char* mig, const char* device_plugin) {
    return publish(2, {{"nvidia.com/mig.config", mig}, {"nvidia.com/device-plugin.config", device_plugin}}).complaint();
  };
  CHECK_THAT(complaint("too-much", "mixed"),
             Contains("mig.yaml:7:3: spec.migConfigs.too-much.mig-devices: impossible on one "
                      "GPU: no room for 1g.10gb; at slice 0 it shares memory slice 0 "
                      "with 3g.40gb"));
  CHECK_THAT(complaint("unknown", "mixed"), Contains("found '1g.5gb', allowed: 1g.10gb"));
  CHECK_THAT(complaint("nowhere", "mixed"), Contains("found 'nowhere', allowed: all-disabled, balanced"));
  CHECK_THAT(complaint("balanced", "nothing"), Contains("found 'nothing', allowed: mixed"));
  CHECK_THAT(complaint("balanced", "single"), Contains("found 1g.10gb, 2g.20gb, 3g.40gb with the MIG strategy single"));
  CHECK_THAT(complaint("half", "single"), Contains("found 1g.10gb, a GPU without MIG"));
  CHECK_THAT(complaint("balanced", "mps"), Contains("MPS"));
}

TEST_CASE("instances have one owner, and the GPU counts what they are of it") {
  OneNode c(1, {{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "mixed"}},
            "nvidia.com/mig-1g.10gb");
  PodId first = c.bind(), second = c.bind(), third = c.create();
  CHECK(c.state.pods[first].devices != c.state.pods[second].devices);
  CHECK(c.state.devices[0][c.state.pods[first].devices[0]].owner == first);
  CHECK(c.state.gpus[GpuId(0u)].allocated.value() == kWholeGpu * 2 / 7);
  CHECK(c.cluster.missing_devices(third, NodeId(0u)));
  CHECK(c.cluster.shortage(third, NodeId(0u)).valid());
  c.cluster.set_busy(first, true, Time{});
  CHECK(c.state.gpus[GpuId(0u)].busy.value() == kWholeGpu / 7);
  c.cluster.set_busy(first, false, Time{});
  Accelerator a = c.cluster.accelerator(first);
  REQUIRE(a.instance);
  CHECK(a.instance->name == "1g.10gb");
  CHECK(a.gpus == 1);
  CHECK(a.compute_share == Approx(16.0 / 132));
  CHECK(a.bandwidth_share == 0.125);
  CHECK(a.memory_bytes == 9 * kGiB);
  CHECK_FALSE(a.sm_unknown);
  c.cluster.remove(first, Time{});
  CHECK(c.cluster.accelerator(first).gpus == 0);
  CHECK_FALSE(c.cluster.missing_devices(third, NodeId(0u)));
  CHECK(c.state.gpus[GpuId(0u)].allocated.value() == kWholeGpu / 7);
}

TEST_CASE("where nobody publishes the SMs of an instance, its compute slices stand for them") {
  OneNode c(1, {{"nvidia.com/mig.config", "all-2g.20gb"}}, "nvidia.com/gpu");
  Accelerator a = c.cluster.accelerator(c.bind());
  CHECK(a.sm_unknown);
  CHECK(a.compute_share == Approx(2.0 / 7));
}

TEST_CASE("replicas are spread over the GPUs, the least taken first") {
  OneNode c(2, {{"nvidia.com/device-plugin.config", "sliced"}}, "nvidia.com/gpu");
  std::vector<uint32_t> gpus;
  for (int i = 0; i < 8; ++i) gpus.push_back(c.state.pods[c.bind()].gpus[0].value);
  CHECK(gpus == std::vector<uint32_t>{0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(c.cluster.missing_devices(c.create(), NodeId(0u)));
  CHECK(c.state.gpus[GpuId(0u)].allocated.value() == kWholeGpu);
  Accelerator a = c.cluster.accelerator(PodId(0u));
  CHECK(a.sharing == GpuSharing::TimeSlicing);
  CHECK(a.replicas == 4);
  CHECK(a.memory_bytes == h100().memory_bytes);
}

TEST_CASE("MPS: a part of the memory each, and one replica per request") {
  OneNode c(1, {{"nvidia.com/device-plugin.config", "mps"}}, "nvidia.com/gpu");
  CHECK(c.cluster.accelerator(c.bind()).memory_bytes == h100().memory_bytes / 2);
  OneNode two(1, {{"nvidia.com/device-plugin.config", "mps"}}, "nvidia.com/gpu", 2);
  auto large = two.cluster.too_large_request(two.create(), NodeId(0u));
  REQUIRE(large);
  CHECK(large->count == 2);
}

TEST_CASE("a GPU that fails takes its devices with it") {
  OneNode c(2, {{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "mixed"}},
            "nvidia.com/mig-1g.10gb");
  c.cluster.set_gpu_healthy(GpuId(0u), false);
  CHECK(c.allocatable("nvidia.com/mig-1g.10gb") == 2);
  CHECK(c.allocatable("nvidia.com/mig-3g.40gb") == 1);
  CHECK(c.state.pods[c.bind()].gpus[0] == GpuId(1u));
  c.cluster.set_gpu_healthy(GpuId(0u), true);
  CHECK(c.allocatable("nvidia.com/mig-1g.10gb") == 4);
}

TEST_CASE("devices change when no pod holds one that would be another") {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  ClusterBuilder builder({h100_with_mig()}, configs());
  NodeId a = builder.add_node(node("a", 1));
  NodeId cut = builder.add_node(labelled(node("a", 1), {{"nvidia.com/mig.config", "all-1g.10gb"}}), true);
  Deployment d = deployment("llama", 1, 1);
  TemplateId t = builder.add_template("default", d.pod_template);
  WorkloadId w = builder.add_workload({WorkloadModel::Kind::Deployment, "default", "llama", t, 1, {}});
  model = std::move(builder).build();
  cluster.start();
  PodId pod = cluster.create_pod(w, t, Time{});
  cluster.bind(pod, a, Time{});
  cluster.set_node_version(a, cut);
  CHECK(cluster.devices(a).size() == 1);
  cluster.remove(pod, Time{});
  cluster.set_node_version(a, cut);
  CHECK(cluster.devices(a).size() == 7);
}

namespace {

// Nodes that publish their GPUs in every way, and pods that ask for everything that these have.
struct Mixture {
  ClusterModel model;
  ClusterState state;
  Cluster cluster{model, state};
  std::vector<WorkloadId> workloads;

  Mixture() {
    ClusterBuilder builder({h100_with_mig()}, configs());
    const Labels each[] = {{},
                           {{"nvidia.com/mig.config", "balanced"}, {"nvidia.com/device-plugin.config", "mixed"}},
                           {{"nvidia.com/mig.config", "half"}, {"nvidia.com/device-plugin.config", "mixed"}},
                           {{"nvidia.com/mig.config", "all-2g.20gb"}},
                           {{"nvidia.com/device-plugin.config", "renamed"}},
                           {{"nvidia.com/device-plugin.config", "mps"}}};
    for (size_t n = 0; n < std::size(each); ++n) builder.add_node(labelled(node(fmt::format("n{}", n), 2), each[n]));
    for (const char* resource : {"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb",
                                 "nvidia.com/mig-3g.40gb", "alibabacloud.com/gpu-milli"})
      for (int64_t count : {1, 2}) add(builder, resource, count);
    model = std::move(builder).build();
    cluster.start();
  }

  void add(ClusterBuilder& builder, const std::string& resource, int64_t count) {
    PodTemplate pods = deployment("p", 1, 0).pod_template;
    if (resource.starts_with("alibaba"))
      pods.annotations = {{resource, std::to_string(count * 300)}};
    else
      pods.spec.containers[0].requests.emplace_back(resource, count);
    TemplateId id = builder.add_template("default", pods);
    std::string name = fmt::format("p{}", workloads.size());
    workloads.push_back(builder.add_workload({WorkloadModel::Kind::Deployment, "default", name, id, 1, {}}));
  }

  // The first GPU that could give a share, as a plugin would choose it; none where no share is asked for.
  std::vector<uint16_t> chosen(const PodTemplateModel& t, NodeId on) const {
    for (uint16_t d = 0; t.gpu_milli > 0 && d < cluster.devices(on).size(); ++d) {
      uint16_t gpu = cluster.devices(on)[d].gpu;
      bool room = state.devices[on.value][d].taken + t.gpu_milli <= 1000 && !state.devices[on.value][d].owner.valid();
      if (model.nodes[on].is_whole(gpu) && state.gpus[cluster.gpu(on, gpu)].healthy && room) return {gpu};
    }
    return {};
  }

  // What is wrong with the books; empty: nothing.
  std::string complaint() const {
    for (size_t n = 0; n < state.devices.size(); ++n) {
      NodeId on(n);
      std::vector<int64_t> taken(state.devices[n].size(), 0), allocated(cluster.gpus(on), 0),
          memory(cluster.gpus(on), 0);
      for (PodId pod : state.node_pods[n]) {
        const PodTemplateModel& t = model.templates[state.pods[pod].pod_template];
        Accelerator a = cluster.accelerator(pod);
        for (uint16_t d : state.pods[pod].devices) {
          const GpuDevice& device = cluster.devices(on)[d];
          int64_t part = t.gpu_milli > 0 ? t.gpu_milli : device.replicas > 1 ? 1 : 1000;
          taken[d] += part;
          int64_t of = device.instance ? kWholeGpu / 7 * a.instance->compute_slices : kWholeGpu;
          allocated[device.gpu] += of * part / (device.replicas > 1 ? device.replicas : 1000);
          if (a.sharing != GpuSharing::TimeSlicing)
            memory[device.gpu] += a.memory_bytes / static_cast<int64_t>(state.pods[pod].devices.size());
        }
      }
      for (size_t d = 0; d < taken.size(); ++d) {
        int64_t capacity = cluster.devices(on)[d].replicas > 1 ? cluster.devices(on)[d].replicas : 1000;
        if (taken[d] != state.devices[n][d].taken || taken[d] > capacity)
          return fmt::format("node {}: device {} has {} taken", n, d, state.devices[n][d].taken);
      }
      for (uint32_t g = 0; g < allocated.size(); ++g) {
        if (allocated[g] != state.gpus[cluster.gpu(on, g)].allocated.value() || allocated[g] > kWholeGpu)
          return fmt::format("node {}: GPU {} is allocated {}", n, g, allocated[g]);
        if (memory[g] > h100().memory_bytes) return fmt::format("node {}: GPU {} has {} bytes held", n, g, memory[g]);
      }
    }
    return "";
  }
};

}  // namespace

TEST_CASE("whatever comes, goes and fails, no device is given twice and no GPU's memory is over its capacity") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Mixture m;
    Stream stream(seed, 0, Purpose::Field);
    std::vector<PodId> bound;
    for (int step = 0; step < 400; ++step) {
      uint32_t what = stream.below(10);
      if (what < 6) {
        WorkloadId w = m.workloads[stream.below(static_cast<uint32_t>(m.workloads.size()))];
        NodeId on(static_cast<size_t>(stream.below(static_cast<uint32_t>(m.model.nodes.size()))));
        const PodTemplateModel& t = m.model.templates[m.model.workloads[w].pod_template];
        PodId pod = m.cluster.create_pod(w, m.model.workloads[w].pod_template, Time{step});
        bool fits = !m.cluster.missing_devices(pod, on) && !m.cluster.shortage(pod, on).valid();
        if (fits) m.cluster.bind(pod, on, Time{step}, m.chosen(t, on));
        if (fits) bound.push_back(pod);
      } else if (what < 9 && !bound.empty()) {
        size_t i = stream.below(static_cast<uint32_t>(bound.size()));
        m.cluster.remove(bound[i], Time{step});
        bound.erase(bound.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        GpuId gpu(static_cast<size_t>(stream.below(static_cast<uint32_t>(m.state.gpus.size()))));
        m.cluster.set_gpu_healthy(gpu, !m.state.gpus[gpu].healthy);
      }
      REQUIRE(m.complaint() == "");
    }
  }
}
