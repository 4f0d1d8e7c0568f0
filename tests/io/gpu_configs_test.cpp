// How GPUs are cut and shared: spec.migConfigs, spec.devicePluginConfigs and the action reconfigure.
#include "io/scenario_text.hpp"
#include "run/model.hpp"
#include "run/world.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

const std::string kConfigs = R"(  migConfigs:
    version: v1
    mig-configs:
      three:
        - devices: all
          mig-enabled: true
          mig-devices: {3g.40gb: 2}
      half:
        - {devices: [0], mig-enabled: false}
        - device-filter: ["0x233010DE"]
          devices: [1]
          mig-enabled: true
          mig-devices: {"1g.10gb": 7}
      too-much:
        - devices: all
          mig-enabled: true
          mig-devices: {4g.40gb: 1, 3g.40gb: 1, 1g.10gb: 1}
  devicePluginConfigs:
    mixed: {version: v1, flags: {migStrategy: mixed}}
    sliced:
      version: v1
      flags: {migStrategy: none, failOnInitError: true}
      sharing: {timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, replicas: 4}]}}
    mps: {version: v1, sharing: {mps: {resources: [{name: nvidia.com/gpu, replicas: 2}]}}}
)";

std::string node(const std::string& mig, const std::string& plugin) {
  std::string labels = "nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, nvidia.com/device-plugin.config: " + plugin;
  if (!mig.empty()) labels += ", nvidia.com/mig.config: " + mig;
  return "---\n{apiVersion: v1, kind: Node, metadata: {name: gpu-0, labels: {" + labels +
         "}}, status: {allocatable: {cpu: 96, memory: 1Ti, pods: 110, nvidia.com/gpu: 2}}}\n";
}
std::string pod(const std::string& resource, const std::string& count = "1") {
  return "---\n{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: m, image: i:1, resources: "
         "{limits: {" +
         resource + ": " + count + "}}}]}}\n";
}

Scenario with_node(const std::string& more, const std::string& mig, const std::string& plugin,
                   const std::string& objects = "") {
  return read_scenario_text(document("  duration: 1h\n" + kConfigs + more) + node(mig, plugin) + objects, "t.yaml");
}

int64_t allocatable(const Scenario& scenario, const std::string& resource) {
  std::shared_ptr<const Model> model = compile(scenario);
  const ClusterModel& cluster = model->cluster;
  for (size_t r = 0; r < cluster.resources.size(); ++r)
    if (cluster.resources[r] == resource) return cluster.nodes[NodeId(0u)].allocatable[r];
  return -1;
}

}  // namespace

TEST_CASE("nodes have the devices that their labels name") {
  Scenario mixed = with_node("", "three", "mixed", pod("nvidia.com/mig-3g.40gb"));
  CHECK(mixed.warnings.empty());
  CHECK(allocatable(mixed, "nvidia.com/mig-3g.40gb") == 4);
  CHECK(allocatable(mixed, "nvidia.com/gpu") == 0);
  Scenario half = with_node("", "half", "mixed", pod("nvidia.com/gpu"));
  CHECK(allocatable(half, "nvidia.com/mig-1g.10gb") == 7);
  CHECK(allocatable(half, "nvidia.com/gpu") == 1);
  CHECK(allocatable(with_node("", "", "sliced", pod("nvidia.com/gpu.shared")), "nvidia.com/gpu.shared") == 8);
  CHECK(allocatable(with_node("", "", "mps", pod("nvidia.com/gpu")), "nvidia.com/gpu") == 4);
}

TEST_CASE("an impossible layout is refused with its place and the slices that conflict") {
  Scenario scenario = with_node("", "too-much", "mixed", pod("nvidia.com/gpu"));
  CHECK_THAT(complaint([&] { compile(scenario); }),
             Catch::Matchers::Contains("t.yaml:20:11: spec.migConfigs.too-much.mig-devices: impossible on one GPU: no "
                                       "room for 1g.10gb; at slice 0 it shares memory slice 0 with 4g.40gb at memory "
                                       "slices 0 to 3"));
}

TEST_CASE("a wrong configuration is refused where it stands") {
  auto told = [](const std::string& configs) { return complaint_of("  duration: 1h\n" + configs); };
  using Catch::Matchers::Contains;
  CHECK_THAT(told("  migConfigs: {version: v2, mig-configs: {a: [{devices: all, mig-enabled: false}]}}\n"),
             Contains("t.yaml:6:25: spec.migConfigs.version: found 'v2', allowed: v1"));
  CHECK_THAT(told("  migConfigs: {version: v1, mig-configs: {a: [{devices: some, mig-enabled: false}]}}\n"),
             Contains("found 'some', allowed: all, or a list of GPUs"));
  CHECK_THAT(told("  migConfigs: {version: v1, mig-configs: {a: [{devices: all, mig-enabled: true}]}}\n"),
             Contains("mig-devices: missing, needed where mig-enabled is true"));
  CHECK_THAT(told("  migConfigs: {version: v1, mig-configs: {}}\n"), Contains("mig-configs: found none"));
  CHECK_THAT(told("  devicePluginConfigs: {a: {version: v1, sharing: {mps: {resources: [{name: nvidia.com/mig-1g.10gb, "
                  "replicas: 2}]}}}}\n"),
             Contains("found 'nvidia.com/mig-1g.10gb', allowed with MPS: nvidia.com/gpu"));
  CHECK_THAT(told("  devicePluginConfigs: {a: {version: v1, sharing: {timeSlicing: {resources: [{name: "
                  "nvidia.com/gpu, replicas: 0}]}}}}\n"),
             Contains("replicas"));
}

TEST_CASE("a pod that asks for a device that no node has is told what is as large") {
  std::shared_ptr<const Model> model = compile(with_node("", "three", "mixed", pod("nvidia.com/mig-2g.20gb")));
  std::string told;
  for (const std::string& warning : model->warnings) told += warning + "\n";
  CHECK_THAT(told,
             Catch::Matchers::Contains("no node has nvidia.com/mig-2g.20gb, what is as large: nvidia.com/mig-3g.40gb"));
}

TEST_CASE("a node is cut anew: its pods go, it takes its time, and who waited for the new devices gets them") {
  const std::string action = R"(  actions:
    - {at: 5m, reconfigure: {node: gpu-0, migConfig: all-1g.10gb, takes: 30s}}
)";
  auto deployment = [](const std::string& name, const std::string& resource, const std::string& replicas) {
    return "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + "}, spec: {replicas: " + replicas +
           ", selector: {matchLabels: {app: " + name + "}}, template: {metadata: {labels: {app: " + name +
           "}}, spec: {containers: [{name: m, image: i:1, resources: {limits: {" + resource + ": 1}}}]}}}}\n";
  };
  World world(compile(with_node(
      action, "three", "mixed",
      deployment("large", "nvidia.com/mig-3g.40gb", "4") + deployment("small", "nvidia.com/mig-1g.10gb", "14"))));
  const ClusterState& state = world.state().cluster;
  auto ready = [&] { return std::pair(state.counts[TemplateId(0u)].ready, state.counts[TemplateId(1u)].ready); };
  auto label = [&] {
    const NodeModel& node = world.model().cluster.nodes[state.node_version[0]];
    const std::string* value = find_label(node.object.meta.labels, "nvidia.com/mig.config.state");
    return value ? *value : "";
  };
  world.run_until(Time{} + Duration::seconds(299));
  CHECK(ready() == std::pair(4, 0));
  CHECK(label() == "success");
  world.run_until(Time{} + Duration::seconds(359));  // 30 s of their grace periods, and almost 30 s more
  CHECK(ready() == std::pair(0, 0));
  CHECK(label() == "pending");
  CHECK(state.node_conditions[0].any_of(kNodeCordoned));
  world.run_until(Time{} + Duration::seconds(400));
  CHECK(ready() == std::pair(0, 14));
  CHECK(label() == "success");
  CHECK_FALSE(state.node_conditions[0].any_of(kNodeCordoned));
}
