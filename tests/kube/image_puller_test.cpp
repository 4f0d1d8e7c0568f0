#include "kube/image_puller.hpp"

#include "kubelet_events.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

// 2 s of image, 1 s of container.
PodStartup cold_start() {
  PodStartup s;
  s.image_bytes = Distribution::constant(2e9);
  s.image_bandwidth = Distribution::constant(1e9);
  s.container = Distribution::constant(1);
  return s;
}

WorkloadId add(KubeSetup& setup, const std::string& name, int32_t replicas, const std::string& image,
               ImagePullPolicy policy = ImagePullPolicy::IfNotPresent) {
  PodSpec spec = setup.pod(100);
  spec.containers[0].image = image;
  spec.containers[0].image_pull_policy = policy;
  WorkloadId w = setup.add(name, replicas, spec);
  setup.kube.workloads[w].startup = cold_start();
  return w;
}

Fault registry(Fault::Kind kind, double at_s, double for_s, double factor = 1) {
  Fault f;
  f.kind = kind;
  f.at = Distribution::constant(at_s);
  f.for_ = Distribution::constant(for_s);
  f.factor = factor;
  return f;
}

TEST_CASE("a node pulls one image at a time, and each image once", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId first = add(setup, "first", 2, "server");
  add(setup, "second", 1, "other");
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.pod(0).started == at(2 + 1));
  CHECK(run.pod(1).started == at(2 + 1));      // waits for the same pull
  CHECK(run.pod(2).started == at(2 + 2 + 1));  // its own comes after
  scale(run, first, 3);
  run.run_until(at(40));
  CHECK(run.pod(3).started == at(20 + 1));  // cached
}

TEST_CASE("an image in node.status.images needs no pull, with or without its tag", "[images]") {
  KubeSetup setup;
  setup.add_node("a", 8000, {{"server", 2 * kGigabyte}});
  add(setup, "web", 1, "server:latest");
  KubeRun run(setup);
  run.run_until(at(20));
  CHECK(run.pod(0).started == at(1));
}

TEST_CASE("a name stands for the same image as its full one", "[images]") {
  auto cached = [](const std::string& on_node, const std::string& wanted) {
    KubeSetup setup;
    setup.add_node("a", 8000, {{on_node, 2 * kGigabyte}});
    add(setup, "web", 1, wanted);
    KubeRun run(setup);
    run.run_until(at(20));
    return run.pod(0).started == at(1);
  };
  CHECK(cached("docker.io/library/nginx:latest", "nginx"));
  CHECK(cached("docker.io/vllm/vllm-openai:v1", "vllm/vllm-openai:v1"));
  CHECK(cached("index.docker.io/library/nginx:1", "docker.io/nginx:1"));
  CHECK(cached("nginx@sha256:1", "nginx:1@sha256:1"));
  CHECK(cached("localhost/nginx", "localhost/nginx:latest"));
  CHECK_FALSE(cached("docker.io/library/nginx:latest", "quay.io/library/nginx:latest"));
  CHECK_FALSE(cached("docker.io/library/nginx:1", "nginx"));
  CHECK_FALSE(cached("registry:5000/library/nginx", "nginx"));
}

TEST_CASE("the size of an image is told where somebody knows it", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "web", 1, "sized");
  setup.kube.workloads[add(setup, "other", 1, "unsized")].startup = {};
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(50));
  CHECK(
      told.has("2 Pulled Successfully pulled image \"sized\" in 2s (2s including waiting). Image size: 2000000000 "
               "bytes."));
  CHECK(told.has("2 Pulled Successfully pulled image \"unsized\" in 0s (2s including waiting)."));
}

TEST_CASE("all containers' images are pulled, as large as a node of the cluster knows them", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add_node("small", 10, {{"proxy:1", 3 * kGigabyte}, {"init:1", kGigabyte}});
  PodSpec spec = setup.pod(100);
  spec.containers.push_back(container(0));
  spec.containers[1].image = "proxy:1";
  spec.init_containers.push_back(container(0));
  spec.init_containers[0].image = "init:1";
  WorkloadId sized = setup.add("sized", 1, spec);
  setup.kube.workloads[sized].startup = cold_start();
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(1 + 2 + 3 + 1));  // at 1e9 bytes/s
}

TEST_CASE("a pod's next image waits behind pulls that take no time", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add_node("small", 10, {{"proxy:1", 3 * kGigabyte}});
  PodSpec spec = setup.pod(100);
  spec.containers.push_back(container(0));
  spec.containers[1].image = "proxy:1";
  WorkloadId w = setup.add("web", 2, spec);
  setup.kube.workloads[w].startup = cold_start();
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(2 + 3 + 1));
  CHECK(run.pod(1).started == at(2 + 3 + 1));
}

TEST_CASE("a pod without startup pulls what a node knows at the default bandwidth", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  setup.add_node("small", 10, {{"server", kGigabyte}});
  setup.add("web", 1, setup.pod(100));
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(2));  // 1e9 bytes at 500e6 bytes/s
}

TEST_CASE("a pull goes on when its pod is deleted", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  WorkloadId w = add(setup, "web", 1, "server");
  KubeRun run(setup);
  run.run_until(at(1));
  scale(run, w, 0);
  CHECK(run.pod(0).phase == PodPhase::Gone);
  run.run_until(at(2));
  scale(run, w, 1);
  run.run_until(at(10));
  CHECK(run.pod(1).started == at(2 + 1));
}

TEST_CASE("pulls fail while the registry is down, and are tried again after a growing back-off", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "web", 1, "server");
  setup.kube.faults.push_back(registry(Fault::Kind::RegistryFailure, 0, 25));
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(60));
  // 0 to 1, then 10 s; 11 to 12, then 20 s; 32 to 34.
  CHECK(run.pod(0).started == at(35));
  CHECK(run.decided("BackOff") == 2);
  REQUIRE(told.lines.size() >= 5);
  CHECK(told.lines[1] ==
        "1 Failed Failed to pull image \"server\": failed to pull and unpack image \"server\": "
        "connection refused");
  CHECK(told.lines[2] == "1 Failed Error: ErrImagePull");
  CHECK(told.lines[3] == "1 BackOff Back-off pulling image \"server\"");
  CHECK(told.lines[4] == "1 Failed Error: ImagePullBackOff");
}

TEST_CASE("the back-off of an image ends at 300 s", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "web", 1, "server");
  setup.kube.faults.push_back(registry(Fault::Kind::RegistryFailure, 0, 0));
  KubeRun run(setup);
  double failure = 1;
  uint64_t failures = 0;
  for (double wait : {10, 20, 40, 80, 160, 300, 300, 300}) {
    run.run_until(at(failure) - 1_ns);
    CHECK(run.decided("Failed") == failures);
    run.run_until(at(failure));
    CHECK(run.decided("Failed") == ++failures);
    failure += wait + 1;
  }
  CHECK(run.pod(0).phase == PodPhase::Pulling);
}

TEST_CASE("a fault touches pulls that begin, not the one under way", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "first", 1, "server");
  add(setup, "second", 1, "other");
  setup.kube.faults.push_back(registry(Fault::Kind::RegistryFailure, 1, 4));
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(2 + 1));
  CHECK(run.pod(1).started == at(2 + 1 + 10 + 2 + 1));  // fails at 3
}

TEST_CASE("a slow registry takes its factor longer", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "web", 1, "server");
  setup.kube.faults.push_back(registry(Fault::Kind::RegistrySlow, 0, 100, 3));
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(6 + 1));
}

TEST_CASE("imagePullPolicy Always asks the registry for what is cached", "[images]") {
  KubeSetup setup;
  setup.add_node("a", 8000, {{"server", kGigabyte}});
  WorkloadId w = add(setup, "web", 1, "server", ImagePullPolicy::Always);
  setup.kube.faults.push_back(registry(Fault::Kind::RegistryFailure, 100, 5));
  KubeRun run(setup);
  run.run_until(at(50));
  CHECK(run.pod(0).started == at(1));
  run.run_until(at(101));
  scale(run, w, 2);
  run.run_until(at(150));
  CHECK(run.pod(1).started == at(101 + 1 + 10 + 1));
}

TEST_CASE("imagePullPolicy Never waits until somebody else has pulled", "[images]") {
  KubeSetup setup;
  setup.add_node("a");
  add(setup, "never", 1, "server", ImagePullPolicy::Never);
  WorkloadId other = add(setup, "other", 0, "server");
  KubeRun run(setup);
  KubeletEvents told;
  run.kube().set_event_sink(&told);
  run.run_until(at(50));
  CHECK(run.pod(0).phase == PodPhase::Pulling);
  CHECK(run.decided("ErrImageNeverPull") == 1);
  REQUIRE_FALSE(told.lines.empty());
  CHECK(told.lines[0] == "0 ErrImageNeverPull Container image \"server\" is not present with pull policy of Never");
  scale(run, other, 1);
  run.run_until(at(60));
  CHECK(run.pod(0).started == at(50 + 2 + 1));
}

TEST_CASE("a node that stops loses what it pulls, not what it has", "[images]") {
  KubeSetup setup;
  NodeId node = setup.add_node("a");
  add(setup, "first", 1, "server");
  add(setup, "second", 1, "other");
  setup.lose(node, 3.5, 10_s);
  KubeRun run(setup);
  run.run_until(at(60));
  CHECK(run.pod(0).restarts == 1);
  CHECK(run.pod(0).ready == at(13.5 + 1));
  CHECK(run.pod(1).started == at(13.5 + 2 + 1));  // half of it had come
}

}  // namespace
}  // namespace kisim::test
