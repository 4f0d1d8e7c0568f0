// Replicas on parts of GPUs: what an LLM engine gets of a MIG instance, who feels whom, and what does not fit.

#include "run/world.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

// One H100 that is cut into these instances, where there are any; `replicas` of each device or instance take turns.
void share(Scenario& s, const std::string& instance, int32_t instances, int32_t replicas) {
  const std::string resource = instance.empty() ? "nvidia.com/gpu" : "nvidia.com/mig-" + instance;
  s.gpus = {h100_with_mig()};
  Node n = node("gpu-0", 1);
  n.meta.labels.emplace_back("nvidia.com/device-plugin.config", "config");
  DevicePluginConfig& plugin = s.gpu_configs.device_plugin["config"];
  if (replicas > 1) {
    plugin.sharing = GpuSharing::TimeSlicing;
    plugin.resources = {{resource, replicas}};
  }
  if (!instance.empty()) {
    plugin.mig_strategy = MigStrategy::Mixed;
    MigConfigSpec cut;
    cut.mig_enabled = true;
    cut.mig_devices = {{instance, instances}};
    s.gpu_configs.mig["cut"] = {cut};
    n.meta.labels.emplace_back("nvidia.com/mig.config", "cut");
  }
  std::sort(n.meta.labels.begin(), n.meta.labels.end());
  s.manifests.nodes = {n};
  for (auto& [name, amount] : s.manifests.deployments[0].pod_template.spec.containers[0].requests)
    if (name == "nvidia.com/gpu") name = resource;
}

// Users who ask an LLM again the moment they have their answer: 1000 tokens in, 201 out.
Scenario users_of_llama(int32_t replicas, int32_t users) {
  Scenario s = llama(replicas, 1, Duration::seconds(120), 3);
  s.gpus = {h100_with_mig()};
  s.traffic[0].pattern = TrafficSpec::Pattern::Users;
  s.traffic[0].users = users;
  s.traffic[0].prompt = Distribution::constant(1000);
  s.traffic[0].output = Distribution::constant(201);
  s.warmup = Duration::seconds(20);
  return s;
}

bool has(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& t) { return t.find(part) != t.npos; });
}

}  // namespace

TEST_CASE("an LLM on a MIG instance computes with its SMs and reads with its memory slices", "[gpu]") {
  Scenario s = users_of_llama(1, 1);
  Summary whole = run(compile(s));
  share(s, "3g.40gb", 1, 1);
  Summary part = run(compile(s));
  // Seconds, one pass at the peak; the embedding of the prompt is not read.
  const double embedding = 128256.0 * 4096, layers = 8.03e9 - 2 * embedding;
  const double weights = 1.11 * 2 * (layers + embedding) / 3350e9, kv = 1.02 * 1100.5 * 131072 / 3350e9;
  const double host = 1.72e-3 + 32 * 10.9e-6 + 0.26e-6 * 128.256, token = 1.11 * 2 * layers / 989e12;
  CHECK(whole.latency_s.tpot->mean == Approx(host + weights + kv + token).epsilon(1e-3));
  CHECK(part.latency_s.tpot->mean == Approx(host + 2 * (weights + kv) + token * 132 / 60).epsilon(1e-3));
  // Prefill: reading the weights beside what the SMs do, of which there are 60 of 132.
  const double flops = 989e12 * 0.6, attention = 4.0 * 32 * 32 * 128 * 500'000;
  const double prefill = (2 * layers * 1000 + attention) / flops;
  const double overhead = 0.015563;
  CHECK(whole.latency_s.ttft->mean == Approx(overhead + host + weights + prefill).epsilon(5e-3));
  CHECK(part.latency_s.ttft->mean == Approx(overhead + host + 2 * weights + prefill * 132 / 60).epsilon(5e-3));
}

TEST_CASE("what an LLM takes of a GPU is of the whole GPU, from an instance too", "[gpu]") {
  auto power = [](bool part) {
    Scenario s = users_of_llama(1, 1);
    if (part)
      share(s, "3g.40gb", 1, 1);
    else
      s.manifests.nodes = {node("gpu-0", 1)};
    World world(compile(s));
    world.run_until(Time{} + Duration::seconds(60));
    return world.cluster().state.gpus[GpuId(0u)];
  };
  const GpuState whole = power(false), part = power(true);
  CHECK(whole.load.awake == 1'000'000);
  CHECK(part.load.awake == 454'545);
  CHECK(part.load.bandwidth < 500'000);
  CHECK(part.load.bandwidth > 300'000);
  CHECK(whole.load.bandwidth > 600'000);
  CHECK(part.power.value() < whole.power.value());
}

TEST_CASE("LLM engines that take turns each make half the steps", "[gpu]") {
  Scenario s = users_of_llama(1, 1);
  s.models[0].kv_memory_utilization = 0.45;
  for (const char* detail : {"iteration", "linear"}) {
    s.models[0].detail = detail;
    s.manifests.deployments[0].replicas = 1;
    s.traffic[0].users = 1;
    share(s, "", 0, 2);
    Summary alone = run(compile(s));
    // Another replica that nobody asks costs nothing.
    s.manifests.deployments[0].replicas = 2;
    CHECK(run(compile(s)).latency_s.tpot->mean == Approx(alone.latency_s.tpot->mean).epsilon(1e-6));
    s.traffic[0].users = 2;
    Summary both = run(compile(s));
    // Between its requests each is idle for the 15.6 ms of the front end: 1 % of the time.
    CHECK(both.latency_s.tpot->mean == Approx(alone.latency_s.tpot->mean / 0.49).epsilon(0.02));
    CHECK(both.latency_s.tpot->mean <= alone.latency_s.tpot->mean / 0.49 * (1 + 1e-6));
    CHECK(both.requests.completed < 1.1 * alone.requests.completed);
    CHECK(both.warnings.empty());
  }
  // Two that want 0.9 of the memory each.
  s.models[0].kv_memory_utilization = 0.9;
  CHECK(has(compile(s)->warnings,
            "takes 72.00 GiB of GPU memory (kvMemoryUtilization 0.9), 2 replicas of "
            "h100-80gb together 64.00 GiB more than it has"));
}

TEST_CASE("replicas of one MIG instance take turns, those of another do not count", "[gpu]") {
  // Four replicas whose batches take a second, always busy: two instances of two replicas each serve 2 x 0.98 a second.
  Scenario s = queue(Distribution::constant(1), 1, 1, Duration::seconds(200), 1);
  s.manifests.deployments = {deployment("server", 4, 1)};
  share(s, "3g.40gb", 2, 2);
  s.traffic[0].pattern = TrafficSpec::Pattern::Users;
  s.traffic[0].users = 8;
  s.routers = {{"server", {"least-requests", {}, {}}}};
  s.models[0].latency->compute = s.models[0].latency->bandwidth = 0.4;
  CHECK(run(compile(s)).requests.completed == Approx(2 * 0.98 * 200).epsilon(0.02));
  // Alone on the instance each has all of it.
  s.manifests.deployments[0].replicas = 2;
  s.gpu_configs.device_plugin["config"].resources.clear();
  s.gpu_configs.device_plugin["config"].sharing = GpuSharing::Exclusive;
  CHECK(run(compile(s)).requests.completed == Approx(2 * 200).epsilon(0.02));
}

TEST_CASE("a model that does not fit its slice says by how much and what would hold it", "[gpu]") {
  Scenario s = users_of_llama(1, 1);
  share(s, "1g.10gb", 7, 1);
  auto model = compile(s);
  // Weights of 16.06 GB, 5.65 GiB and 0.46 GB of activations beside them and a block of 2 MiB, of 0.9 x 9 GiB.
  // 22,591,291,546 bytes of 8,697,308,774.
  const std::string text =
      "needs 21.04 GiB for weights, activations and a KV block, 12.94 GiB more than 1g.10gb of h100-80gb has for it "
      "(kvMemoryUtilization 0.9); what fits: 3g.40gb of h100-80gb";
  INFO(model->warnings[0]);
  CHECK(has(model->warnings, "spec.models.llama: " + text + " (pods of default/llama on node gpu-0)"));
  Summary r = run(model);
  CHECK(r.requests.completed == 0);
  CHECK(r.decisions.at("BackOff: model llama " + text) > 1);  // once per start of the container
  s.strict = true;
  CHECK_THROWS_WITH(compile(s), Contains(text));

  // Pods that may not go there are not spoken of.
  s.strict = false;
  s.manifests.nodes.push_back(node("gpu-1", 1));
  s.manifests.deployments[0].pod_template.spec.node_selector = {{"kubernetes.io/hostname", "gpu-1"}};
  CHECK_FALSE(has(compile(s)->warnings, "GiB"));
}

TEST_CASE("models of one batch server add up", "[gpu]") {
  Scenario s = queue(Distribution::constant(1), 1, 1, Duration::seconds(10), 1);
  s.manifests.deployments = {deployment("server", 1, 1)};
  share(s, "1g.10gb", 7, 1);
  BatchModelSpec first = s.models[0], second = s.models[0];
  first.name = "first", second.name = "second";
  first.weights_bytes = second.weights_bytes = 4.0 * kGiB;
  first.instances = 2;
  first.instance_bytes = second.instance_bytes = 0.25 * kGiB;
  s.models[0].served = {first, second};
  CHECK_FALSE(has(compile(s)->warnings, "GiB"));
  s.models[0].served[0].instance_bytes = 0.5 * kGiB;
  CHECK(has(compile(s)->warnings,
            "needs 9.25 GiB for weights and instances, 0.25 GiB more than 1g.10gb of h100-80gb has; "
            "what fits: 2g.20gb of h100-80gb"));
  CHECK(run(compile(s)).pods.scheduled == 1);
  CHECK(run(compile(s)).requests.completed == 0);
}

TEST_CASE("an LLM that no GPU holds alone is told how many would", "[gpu]") {
  Scenario s = users_of_llama(1, 1);
  s.gpus = {h100()};
  s.llms[0].parameters = 70e9;
  auto complaint = [&] {
    try {
      compile(s);
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(complaint(), Contains("what fits: 2 x h100-80gb (tensorParallel 2)"));
  GpuModel larger = h100();
  larger.name = "b200-180gb";
  larger.products = {"NVIDIA-B200"};
  larger.memory_bytes = 180 * kGiB;
  s.gpus.push_back(larger);
  CHECK_THAT(complaint(), Contains("(tensorParallel 2), b200-180gb"));
  s.llms[0].parameters = 2000e9;
  CHECK_THAT(complaint(), Contains("what fits: none"));
}
