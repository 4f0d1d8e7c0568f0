// Nodes whose GPUs are cut anew while the cluster runs: by the action reconfigure, and by policies.mig.
#include "io/explain_text.hpp"
#include "io/scenario_text.hpp"
#include "run/explain.hpp"
#include "run/world.hpp"

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

const std::string kConfigs = R"(  duration: 1h
  migConfigs:
    version: v1
    mig-configs:
      thirds: [{devices: all, mig-enabled: true, mig-devices: {3g.40gb: 2}}]
      first-in-sevenths:
        - {devices: [0], mig-enabled: true, mig-devices: {1g.10gb: 7}}
        - {devices: [1], mig-enabled: true, mig-devices: {3g.40gb: 2}}
      too-much: [{devices: all, mig-enabled: true, mig-devices: {4g.40gb: 1, 3g.40gb: 1, 1g.10gb: 1}}]
  devicePluginConfigs: {mixed: {version: v1, flags: {migStrategy: mixed}}}
)";

std::string node(const std::string& name, const std::string& mig = "thirds") {
  return "---\n{apiVersion: v1, kind: Node, metadata: {name: " + name + ", labels: {pool: " + name +
         ", nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, nvidia.com/device-plugin.config: mixed, "
         "nvidia.com/mig.config: " +
         mig + "}}, status: {allocatable: {cpu: 96, memory: 1Ti, pods: 110, nvidia.com/gpu: 2}}}\n";
}

std::string pods(const std::string& kind, const std::string& name, const std::string& resource, int replicas,
                 const std::string& pool = "") {
  std::string selector = pool.empty() ? "" : "nodeSelector: {pool: " + pool + "}, ";
  std::string count = kind == "DaemonSet" ? "" : fmt::format("replicas: {}, ", replicas);
  return fmt::format(
      "---\n{{apiVersion: apps/v1, kind: {0}, metadata: {{name: {1}}}, spec: {{{2}selector: {{matchLabels: {{app: "
      "{1}}}}}, "
      "template: {{metadata: {{labels: {{app: {1}}}}}, spec: {{{4}containers: [{{name: m, image: i:1, resources: "
      "{{limits: {{nvidia.com/mig-{3}: 1}}}}}}]}}}}}}}}\n",
      kind, name, count, resource, selector);
}

struct Cut {
  explicit Cut(const std::string& spec, const std::string& objects)
      : model(compile(read_scenario_text(document(kConfigs + spec) + objects, "t.yaml"))), world(model) {}

  void run_to(double seconds) { world.run_until(Time{} + Duration::seconds(seconds)); }
  std::string label(const std::string& key, size_t node = 0) const {
    const Labels& labels = world.cluster().node(NodeId(node)).object.meta.labels;
    const std::string* value = find_label(labels, "nvidia.com/mig." + key);
    return value ? *value : "";
  }
  int64_t allocatable(const std::string& resource, size_t node = 0) const {
    const std::vector<std::string>& names = model->cluster.resources;
    auto at = std::find(names.begin(), names.end(), "nvidia.com/mig-" + resource);
    return world.cluster().allocatable(NodeId(node))[static_cast<size_t>(at - names.begin())];
  }
  bool cordoned() const { return world.state().cluster.node_conditions[0].any_of(kNodeCordoned); }
  int32_t ready(size_t workload) const {
    return world.state().cluster.counts[model->cluster.workloads[WorkloadId(workload)].pod_template].ready;
  }
  const Reconfiguration& first() const { return world.state().kube.statistics.reconfigurations.at(0); }
  uint64_t decisions(const std::string& reason) const {
    std::map<std::string, uint64_t> all = world.summary().decisions;
    auto at = all.find(reason);
    return at == all.end() ? 0 : at->second;
  }

  std::shared_ptr<const Model> model;
  World world;
};

std::string reconfigure(const std::string& at, const std::string& config, const std::string& more = "") {
  return "    - {at: " + at + ", reconfigure: {node: a, migConfig: " + config + ", takes: 30s" + more + "}}\n";
}

}  // namespace

TEST_CASE("pods on GPUs that are cut as before stay, and hold what they held") {
  Cut c("  actions:\n" + reconfigure("5m", "first-in-sevenths"), node("a") + pods("Deployment", "large", "3g.40gb", 4));
  c.run_to(299);
  std::vector<PodId> before = c.world.state().cluster.node_pods[0];
  REQUIRE(before.size() == 4);
  c.run_to(600);
  CHECK(c.label("config") == "first-in-sevenths");
  CHECK(c.label("config.state") == "success");
  CHECK(c.allocatable("1g.10gb") == 7);
  CHECK(c.allocatable("3g.40gb") == 2);
  CHECK(c.ready(0) == 2);
  CHECK(c.world.summary().pods.evicted == 2);
  for (PodId pod : c.world.state().cluster.node_pods[0]) {
    CHECK(std::find(before.begin(), before.end(), pod) != before.end());
    CHECK(c.world.cluster().accelerator(pod).instance->name == "3g.40gb");
    CHECK(c.world.state().cluster.pods[pod].gpus == std::vector{GpuId(1u)});
  }
}

TEST_CASE("where a disruption budget holds the pods for too long, the GPUs stay as they are") {
  const std::string budget =
      "---\n{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: b}, spec: {minAvailable: 4, selector: "
      "{matchLabels: {app: large}}}}\n";
  Cut c("  actions:\n" + reconfigure("5m", "all-1g.10gb", ", timeout: 60s"),
        node("a") + pods("Deployment", "large", "3g.40gb", 4) + budget);
  c.run_to(330);
  CHECK(c.label("config.state") == "pending");
  CHECK(c.cordoned());
  c.run_to(400);
  CHECK(c.label("config") == "all-1g.10gb");
  CHECK(c.label("config.state") == "failed");
  CHECK(c.allocatable("3g.40gb") == 4);
  CHECK(c.ready(0) == 4);
  CHECK_FALSE(c.cordoned());
  CHECK(c.first().why == "its pods could not be evicted in time");
  CHECK(c.decisions("MIGConfigFailed") == 1);
}

TEST_CASE("a pod of a DaemonSet that holds a GPU is in the way") {
  Cut c("  actions:\n" + reconfigure("5m", "all-1g.10gb"), node("a") + pods("DaemonSet", "agent", "3g.40gb", 1));
  c.run_to(400);
  CHECK(c.label("config.state") == "failed");
  CHECK(c.first().why.starts_with("a GPU is in use by pod default/agent-"));
  CHECK(c.ready(0) == 1);
}

TEST_CASE("a GPU that has failed is not cut, and other ones are") {
  const std::string fault = "  faults: [{kind: gpu-failure, at: 1m, node: a}]\n";
  Cut broken(fault + "  actions:\n" + reconfigure("5m", "all-1g.10gb"), node("a"));
  broken.run_to(400);
  CHECK(broken.label("config.state") == "failed");
  CHECK(broken.first().why == "GPU 1 is unhealthy");
  Cut other(fault + "  actions:\n" + reconfigure("5m", "first-in-sevenths"), node("a"));
  other.run_to(400);
  CHECK(other.label("config.state") == "success");
  CHECK(other.allocatable("1g.10gb") == 7);
}

TEST_CASE("a label that changes while GPUs are cut is acted on afterwards, and the last one counts") {
  Cut c("  actions:\n" + reconfigure("300s", "all-1g.10gb") + reconfigure("310s", "all-7g.80gb") +
            reconfigure("320s", "all-2g.20gb"),
        node("a") + pods("Deployment", "small", "1g.10gb", 14));
  c.run_to(331);
  CHECK(c.label("config") == "all-2g.20gb");
  CHECK(c.label("config.state") == "pending");
  CHECK(c.allocatable("1g.10gb") == 14);
  c.run_to(400);
  CHECK(c.label("config.state") == "success");
  CHECK(c.allocatable("2g.20gb") == 6);
  CHECK(c.world.state().kube.statistics.reconfigurations.size() == 2);
}

TEST_CASE("a node that goes while its GPUs are cut comes back as a machine of its manifest") {
  Cut c("  actions:\n" + reconfigure("5m", "all-1g.10gb") + "    - {at: 310s, delete: node/a}\n", node("a"));
  c.run_to(400);
  CHECK(c.world.state().kube.mig_nodes[0].step == MigState::Step::Idle);
  CHECK(c.first().why == "the node is gone");
}

namespace {

std::string policy(const std::string& configs, const std::string& more = "") {
  return "  policies: {mig: {name: repartition, configs: " + configs + ", interval: 10s, takes: 20s, delay: 60s" +
         more + "}}\n";
}

}  // namespace

TEST_CASE("the policy repartition cuts a node whose GPUs nobody uses for pods that wait") {
  const std::string objects = node("a") + node("b") + pods("Deployment", "large", "3g.40gb", 4, "a") +
                              pods("Deployment", "small", "1g.10gb", 4);
  Cut c(policy("[all-1g.10gb, all-7g.80gb]"), objects);
  c.run_to(59);
  CHECK(c.ready(0) == 4);
  CHECK(c.ready(1) == 0);
  c.run_to(200);
  CHECK(c.ready(0) == 4);
  CHECK(c.ready(1) == 4);
  CHECK(c.label("config", 0) == "thirds");
  CHECK(c.label("config", 1) == "all-1g.10gb");
  CHECK(c.world.summary().pods.evicted == 0);
}

TEST_CASE("the policy evicts no more pods than it may, tells its reason, and lets a node rest") {
  const std::string objects =
      node("a") + pods("Deployment", "large", "3g.40gb", 1) + pods("Deployment", "small", "1g.10gb", 10);
  Cut none(policy("[all-1g.10gb]"), objects);
  none.run_to(1000);
  CHECK(none.ready(1) == 0);
  CHECK(none.world.state().kube.statistics.reconfigurations.empty());

  Cut one(policy("[all-1g.10gb, thirds]", ", maxEvictions: 1, coolDown: 10m"), objects);
  one.run_to(600);
  CHECK(one.ready(1) == 10);
  const std::vector<Reconfiguration>& told = one.world.state().kube.statistics.reconfigurations;
  REQUIRE(told.size() == 1);
  CHECK(told[0].at == Time{} + Duration::seconds(60));
  CHECK(told[0].reason == "room for waiting pods: 10 of small");
  CHECK(one.decisions("MIGConfigChanged") == 1);

  std::string pod = one.world.pod_name(one.world.state().cluster.node_pods[0][0]);
  std::string text =
      explanation_text(explain_pod(one.model, pod, Time{} + Duration::seconds(600)), false, {false, 400});
  CHECK_THAT(text, Contains("a was to be cut as all-1g.10gb (room for waiting pods: 10 of small)"));
}

TEST_CASE("a policy is refused what an action would be refused") {
  auto told = [](const std::string& spec, const std::string& objects = node("a")) {
    return complaint([&] { compile(read_scenario_text(document(kConfigs + spec) + objects, "t.yaml")); });
  };
  CHECK_THAT(told(policy("[too-much]")), Contains("migConfigs.too-much.mig-devices: impossible on one GPU: no room"));
  CHECK_THAT(told("  actions:\n" + reconfigure("5m", "too-much")),
             Contains("it shares memory slice 0 with 4g.40gb at memory slices 0 to 3"));
  CHECK_THAT(told(policy("[all-9g]")), Contains("found 'all-9g', allowed: all-disabled"));
  CHECK_THAT(told(policy("[thirds]", ", nodeSelector: {pool: none}")), Contains("found no node whose GPUs can be cut"));
  CHECK_THAT(told("  actions:\n" + reconfigure("5m", "all-1g.10gb") + policy("[thirds]")),
             Contains("selects node a, which actions change, too"));
}
