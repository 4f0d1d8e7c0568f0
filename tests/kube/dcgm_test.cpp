#include "kube/dcgm_exporter.hpp"

#include "kube_world.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

#include <map>

namespace kisim::test {
namespace {

GpuConfigs configs() {
  GpuConfigs out;
  MigConfigSpec all;
  all.mig_enabled = true;
  all.mig_devices = {{"1g.10gb", 7}};
  out.mig["all-1g.10gb"] = {all};
  out.device_plugin["mixed"].mig_strategy = MigStrategy::Mixed;
  out.device_plugin["sliced"].sharing = GpuSharing::TimeSlicing;
  out.device_plugin["sliced"].resources = {{"nvidia.com/gpu", 4}};
  return out;
}

// One node "a" with these labels, and servers of it, one request of a second each.
struct GpuSetup : KubeSetup {
  explicit GpuSetup(Labels labels = {}, int64_t gpus = 1) {
    builder = ClusterBuilder({h100_with_mig()}, configs());
    labels.emplace_back("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3");
    std::sort(labels.begin(), labels.end());
    add_gpu_node("a", gpus, labels);
  }
};

using Values = std::map<std::string, std::map<std::string, double>>;  // by metric, then pod/profile/instance/gpu

Values collect(KubeRun& run, DcgmExporter& exporter) {
  Values out;
  exporter.for_each_metric(
      run.cluster(), run.serving(), run.engine().now(), [&](std::string_view name, MetricLabels labels, double value) {
        std::map<std::string_view, std::string_view> by_name(labels.begin(), labels.end());
        CHECK(by_name.size() == 10);
        CHECK(by_name["Hostname"] == "a");
        CHECK(by_name["UUID"].starts_with("GPU-"));
        CHECK(by_name["device"] == "nvidia" + std::string(by_name["gpu"]));
        CHECK(by_name["modelName"] == "NVIDIA-H100-80GB-HBM3");
        CHECK(by_name["pod"].empty() == by_name["container"].empty());
        CHECK(by_name["pod"].empty() == by_name["namespace"].empty());
        std::string key =
            fmt::format("{}/{}/{}/{}", by_name["pod"], by_name["GPU_I_PROFILE"], by_name["GPU_I_ID"], by_name["gpu"]);
        CHECK(out[std::string(name)].emplace(key, value).second);
      });
  return out;
}

}  // namespace

TEST_CASE("a whole GPU: shares of the time since the last look, and its memory", "[dcgm]") {
  GpuSetup setup(Labels{}, 2);
  WorkloadId w = setup.add_server("web", 1, setup.gpu_pod());
  ServingModelModel& model = setup.serving.models[ServingModelId(0u)];
  model.batch.models[0].laws[0].bandwidth = 0.5;
  model.batch.models[0].laws[0].compute = 0.25;
  model.batch_bytes = 3 * kGiB;
  (void)w;
  KubeRun run(std::move(setup));
  DcgmExporter exporter;
  run.run_until(at(10));
  collect(run, exporter);
  run.submit();
  run.submit();
  run.run_until(at(20));
  Values v = collect(run, exporter);
  std::string held = run.cluster().pod_name(PodId(0u)) + "///0", free = "///1";
  CHECK(v["DCGM_FI_DEV_GPU_UTIL"].at(held) == Approx(20));
  CHECK(v["DCGM_FI_PROF_GR_ENGINE_ACTIVE"].at(held) == Approx(0.2));
  CHECK(v["DCGM_FI_PROF_DRAM_ACTIVE"].at(held) == Approx(0.1));
  CHECK(v["DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"].at(held) == Approx(0.05));
  CHECK(v["DCGM_FI_DEV_FB_TOTAL"].at(held) == 81920);
  CHECK(v["DCGM_FI_DEV_FB_USED"].at(held) == 3072);
  CHECK(v["DCGM_FI_DEV_FB_FREE"].at(held) == 81920 - 3072);
  CHECK(v["DCGM_FI_DEV_GPU_UTIL"].at(free) == 0);
  CHECK(v["DCGM_FI_DEV_FB_USED"].at(free) == 0);
  CHECK(v["DCGM_FI_DEV_POWER_USAGE"].size() == 2);
  run.run_until(at(30));
  CHECK(collect(run, exporter)["DCGM_FI_DEV_GPU_UTIL"].at(held) == 0);
}

TEST_CASE("MIG: by instance, of what the instance has, and without GPU_UTIL", "[dcgm]") {
  GpuSetup setup(Labels{{"nvidia.com/device-plugin.config", "mixed"}, {"nvidia.com/mig.config", "all-1g.10gb"}});
  setup.add_server("web", 1, setup.gpu_pod("nvidia.com/mig-1g.10gb"));
  setup.serving.models[ServingModelId(0u)].batch_bytes = 9 * kGiB / 2;
  KubeRun run(std::move(setup));
  DcgmExporter exporter;
  run.run_until(at(10));
  collect(run, exporter);
  run.submit();
  run.run_until(at(20));
  Values v = collect(run, exporter);
  CHECK_FALSE(v.contains("DCGM_FI_DEV_GPU_UTIL"));
  CHECK(v["DCGM_FI_PROF_GR_ENGINE_ACTIVE"].size() == 7);
  // 1g at 0 … 6, as the driver numbers them.
  std::string held;
  for (const char* id : {"7", "8", "9", "11", "12", "13", "14"}) {
    std::string key = "/1g.10gb/" + std::string(id) + "/0", by_pod = run.cluster().pod_name(PodId(0u)) + key;
    const auto& active = v["DCGM_FI_PROF_GR_ENGINE_ACTIVE"];
    CHECK(active.contains(key) != active.contains(by_pod));
    if (active.contains(by_pod)) held = by_pod;
  }
  REQUIRE_FALSE(held.empty());
  // The model fills what it may have of the GPU.
  double busy = v["DCGM_FI_PROF_GR_ENGINE_ACTIVE"].at(held);
  CHECK(busy > 0.1);
  CHECK(v["DCGM_FI_PROF_DRAM_ACTIVE"].at(held) == Approx(busy).epsilon(1e-4));
  CHECK(v["DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"].at(held) == Approx(busy).epsilon(1e-4));
  CHECK(v["DCGM_FI_DEV_FB_TOTAL"].at(held) == 9 * 1024);
  CHECK(v["DCGM_FI_DEV_FB_USED"].at(held) == 4.5 * 1024);
  CHECK(v["DCGM_FI_DEV_POWER_USAGE"].size() == 1);
}

TEST_CASE("time-slicing: everyone on the GPU is told of all of it", "[dcgm]") {
  GpuSetup setup(Labels{{"nvidia.com/device-plugin.config", "sliced"}});
  setup.add_server("web", 2, setup.gpu_pod());
  KubeRun run(std::move(setup));
  DcgmExporter exporter;
  run.run_until(at(10));
  collect(run, exporter);
  run.submit();  // to the first of them
  run.run_until(at(20));
  Values v = collect(run, exporter);
  CHECK(v["DCGM_FI_DEV_GPU_UTIL"].size() == 2);
  for (uint32_t pod : {0u, 1u})
    CHECK(v["DCGM_FI_DEV_GPU_UTIL"].at(run.cluster().pod_name(PodId(pod)) + "///0") == Approx(10));
  // Nobody knows what they take of the memory.
  CHECK_FALSE(v.contains("DCGM_FI_DEV_FB_USED"));
  CHECK(v["DCGM_FI_DEV_FB_TOTAL"].size() == 2);
}

}  // namespace kisim::test
