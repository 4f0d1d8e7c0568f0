// Containers: their ports, their resources, sidecars.
#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

PodSpec spec_of(const std::string& spec) { return good(pod(spec)).pods.at(0).spec; }

ResourceList pod_requests(const std::string& spec) {
  PodSpec read = spec_of(spec);
  REQUIRE(read.pod_requests);
  return *read.pod_requests;
}

}  // namespace

TEST_CASE("volumes that stay on the node are kept") {
  using Source = LocalVolume::Source;
  PodSpec spec = spec_of(R"(
containers: [{name: main}]
volumes:
- {name: shm, emptyDir: {medium: Memory}}
- {name: scratch, emptyDir: {sizeLimit: 1Gi}}
- {name: models, hostPath: {path: /models}}
- {name: settings, configMap: {name: settings}}
)");
  CHECK(spec.local_volumes == std::vector<LocalVolume>{{Source::EmptyDir, "shm", true},
                                                       {Source::EmptyDir, "scratch", false},
                                                       {Source::HostPath, "models", false}});
}

TEST_CASE("host ports are TCP on every address unless they say otherwise") {
  PodSpec spec = spec_of(R"(
containers:
- name: main
  ports:
  - {containerPort: 8000}
  - {containerPort: 8000, hostPort: 80}
  - {containerPort: 53, hostPort: 53, protocol: UDP, hostIP: 10.0.0.1}
)");
  const std::vector<HostPort> expected{{HostPort::Protocol::TCP, "0.0.0.0", 80},
                                       {HostPort::Protocol::UDP, "10.0.0.1", 53}};
  CHECK(spec.containers[0].host_ports == expected);
}

TEST_CASE("on the host's network every port is the host's") {
  PodSpec spec = spec_of("hostNetwork: true\ncontainers: [{name: main, ports: [{containerPort: 8000}]}]");
  CHECK(spec.containers[0].host_ports == std::vector<HostPort>{{HostPort::Protocol::TCP, "0.0.0.0", 8000}});
}

TEST_CASE("an init container that restarts always is a sidecar") {
  PodSpec spec = spec_of(R"(
containers: [{name: main, ports: [{containerPort: 80, hostPort: 80}]}]
initContainers:
- {name: fetch, ports: [{containerPort: 80, hostPort: 80}]}
- {name: proxy, restartPolicy: Always, readinessProbe: {exec: {command: [ok]}, periodSeconds: 3}, ports: [{containerPort: 81, hostPort: 81}]}
)");
  REQUIRE(spec.init_containers.size() == 2);
  CHECK_FALSE(spec.init_containers[0].sidecar);
  CHECK(spec.init_containers[0].host_ports.size() == 1);
  CHECK(spec.init_containers[1].sidecar);
  REQUIRE(spec.init_containers[1].readiness_probe);
  CHECK(spec.init_containers[1].readiness_probe->period == Duration::seconds(3));
  CHECK_FALSE(spec.containers[0].sidecar);
}

TEST_CASE("an image without a tag is the latest, and asked for at every start") {
  auto policy = [](const std::string& image, const std::string& rest = "") {
    return spec_of("containers: [{name: main, image: \"" + image + "\"" + rest + "}]\n")
        .containers[0]
        .image_pull_policy;
  };
  for (const char* image : {"vllm", "vllm:latest", "registry:5000/team/vllm", "vllm:latest@sha256:1"}) {
    INFO(image);
    CHECK(policy(image) == ImagePullPolicy::Always);
  }
  for (const char* image : {"vllm:v1", "registry:5000/vllm:v1", "vllm@sha256:1", "vllm:v1@sha256:1", ""}) {
    INFO(image);
    CHECK(policy(image) == ImagePullPolicy::IfNotPresent);
  }
  CHECK(policy("vllm", ", imagePullPolicy: Never") == ImagePullPolicy::Never);
  CHECK(policy("vllm:v1", ", imagePullPolicy: Always") == ImagePullPolicy::Always);
  CHECK(policy("vllm", ", imagePullPolicy: \"\"") == ImagePullPolicy::Always);
}

TEST_CASE("probes, and what a container does before it ends") {
  Container c = spec_of(R"(
terminationGracePeriodSeconds: 20
containers:
- name: main
  image: i
  livenessProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 2}
  startupProbe: {tcpSocket: {port: 80}, initialDelaySeconds: 3, timeoutSeconds: 4, successThreshold: 0}
  lifecycle: {preStop: {sleep: {seconds: 20}}}
)")
                    .containers[0];
  CHECK_FALSE(c.readiness_probe);
  REQUIRE(c.liveness_probe);
  CHECK(c.liveness_probe->period == Duration::seconds(5));
  CHECK(c.liveness_probe->failure_threshold == 2);
  REQUIRE(c.startup_probe);
  CHECK(c.startup_probe->initial_delay == Duration::seconds(3));
  CHECK(c.startup_probe->timeout == Duration::seconds(4));
  CHECK(c.startup_probe->success_threshold == 1);
  CHECK(c.pre_stop == Duration::seconds(20));
  CHECK(spec_of(kContainers).containers[0].pre_stop == Duration{});
}

TEST_CASE("only sleeping is modelled of a container's hooks") {
  auto warnings = [](const std::string& lifecycle) {
    return read(pod("containers: [{name: main, image: i, lifecycle: " + lifecycle + "}]")).warnings();
  };
  CHECK(warnings("{preStop: {exec: {command: [bye]}}}") ==
        std::vector<std::string>{"m.yaml:5:67: spec.containers[0].lifecycle.preStop.exec: not modelled, ignored"});
  CHECK(warnings("{postStart: {sleep: {seconds: 1}}}") ==
        std::vector<std::string>{"m.yaml:5:62: spec.containers[0].lifecycle.postStart: not modelled, ignored"});
  CHECK(warnings("{preStop: {sleep: {seconds: 1}}}").empty());
  CHECK(read(pod("containers: [{name: m, image: i, livenessProbe: {exec: {command: [ok]}, "
                 "terminationGracePeriodSeconds: 5}}]"))
            .warnings() ==
        std::vector<std::string>{"m.yaml:5:106: spec.containers[0].livenessProbe.terminationGracePeriodSeconds: not "
                                 "modelled, ignored"});
}

TEST_CASE("when pods restart and end") {
  PodSpec spec = spec_of(kContainers + "restartPolicy: OnFailure\nactiveDeadlineSeconds: 90");
  CHECK(spec.restart_policy == RestartPolicy::OnFailure);
  CHECK(spec.active_deadline == Duration::seconds(90));
  CHECK(spec_of(kContainers + "restartPolicy: Never").restart_policy == RestartPolicy::Never);
  CHECK(spec_of(kContainers).restart_policy == RestartPolicy::Always);
  CHECK_FALSE(spec_of(kContainers).active_deadline);
}

TEST_CASE("resources of the pod: what is written, then its containers, then its limits") {
  CHECK_FALSE(spec_of(kContainers).pod_requests);
  CHECK(pod_requests("resources: {requests: {cpu: 1500m, memory: 2Gi}}\n" + kContainers) ==
        ResourceList{{"cpu", 1500}, {"memory", 2ll << 30}});
  CHECK(pod_requests("resources: {limits: {cpu: 4, memory: 8Gi}, requests: {memory: 1Gi}}\n" + kContainers) ==
        ResourceList{{"cpu", 4000}, {"memory", 1ll << 30}});

  const std::string containers = R"(
containers:
- {name: a, resources: {requests: {cpu: 500m}}}
- {name: b, resources: {requests: {cpu: 1}, limits: {nvidia.com/gpu: 1}}}
initContainers:
- {name: proxy, restartPolicy: Always, resources: {requests: {cpu: 250m}}}
- {name: fetch, resources: {requests: {cpu: 1}}}
)";
  CHECK(pod_requests("resources: {limits: {cpu: 4, memory: 8Gi}}" + containers) ==
        ResourceList{{"cpu", 1750}, {"memory", 8ll << 30}});
  // Without a limit of the pod the containers speak for themselves.
  CHECK(pod_requests("resources: {requests: {memory: 8Gi}}" + containers) == ResourceList{{"memory", 8ll << 30}});
}

TEST_CASE("the peak of the init containers counts where it is the highest") {
  CHECK(pod_requests(R"(
resources: {limits: {cpu: 8}}
containers: [{name: a, resources: {requests: {cpu: 1}}}]
initContainers:
- {name: proxy, restartPolicy: Always, resources: {requests: {cpu: 1}}}
- {name: fetch, resources: {requests: {cpu: 3}}}
)") == ResourceList{{"cpu", 4000}});
}

TEST_CASE("a pod's start time is a point of the calendar") {
  const std::string head = pod(kContainers) + "status: {startTime: ";
  CHECK(good(head + "\"1970-01-01T00:01:00Z\"}\n").pods[0].start_time == Time{60'000'000'000});
  CHECK(good(head + "1970-01-02T01:00:00.5+01:00}\n").pods[0].start_time == Time{86'400'500'000'000});
  CHECK_FALSE(good(pod(kContainers)).pods[0].start_time);
  CHECK(errors_of(head + "yesterday}\n") ==
        "m.yaml:6:21: status.startTime: found 'yesterday', allowed: a time such as 2026-01-31T12:00:00Z\n");
}

TEST_CASE("every name of an image on a node is an image") {
  Manifests m = good(
      "apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {allocatable: {pods: 1}, images: "
      "[{names: [a@sha256:1, a:1], sizeBytes: 5}, {names: [b:2], sizeBytes: 7}]}\n");
  REQUIRE(m.nodes[0].images.size() == 3);
  CHECK(m.nodes[0].images[1].name == "a:1");
  CHECK(m.nodes[0].images[1].size_bytes == 5);
  CHECK(m.nodes[0].images[2].size_bytes == 7);
}
