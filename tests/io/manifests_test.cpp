#include "io/manifest_text.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

TEST_CASE("a node as kubectl dumps it") {
  Manifests m = good(R"(
apiVersion: v1
kind: Node
metadata:
  name: gpu-0
  creationTimestamp: "2026-01-01T00:00:00Z"
  resourceVersion: "123"
  uid: 00000000-0000-0000-0000-000000000000
  managedFields: [{manager: kubelet, operation: Update}]
  labels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, kubernetes.io/hostname: gpu-0}
  annotations: {"node.alpha.kubernetes.io/ttl": "0"}
spec:
  podCIDR: 10.0.0.0/24
  providerID: kind://x
  unschedulable: true
  taints:
  - {key: nvidia.com/gpu, value: present, effect: NoSchedule, timeAdded: "2026-01-01T00:00:00Z"}
status:
  capacity: {cpu: "96", memory: 1056744812Ki, pods: "110", nvidia.com/gpu: "8", hugepages-2Mi: "0"}
  allocatable: {cpu: 95500m, memory: 1.5Gi, pods: "110", nvidia.com/gpu: 8}
  conditions: [{type: Ready, status: "True"}]
  nodeInfo: {kubeletVersion: v1.34.0}
  images: [{names: [vllm/vllm-openai@sha256:abc, vllm/vllm-openai:v0.19.0], sizeBytes: 8589934592}]
)");
  REQUIRE(m.nodes.size() == 1);
  const Node& node = m.nodes[0];
  CHECK(node.meta.name == "gpu-0");
  CHECK(node.meta.mark.line == 2);
  CHECK(*find_label(node.meta.labels, "nvidia.com/gpu.product") == "NVIDIA-H100-80GB-HBM3");
  CHECK(amount(node.capacity, "memory") == 1056744812ll * 1024);
  CHECK(amount(node.allocatable, "cpu") == 95500);
  CHECK(amount(node.allocatable, "memory") == 1610612736);
  CHECK(amount(node.allocatable, "nvidia.com/gpu") == 8);
  CHECK(node.unschedulable);
  REQUIRE(node.taints.size() == 1);
  CHECK(node.taints[0].effect == TaintEffect::NoSchedule);
  REQUIRE(node.images.size() == 2);
  CHECK(node.images[1].size_bytes == 8589934592);
}

TEST_CASE("a hand-written node needs its resources only once") {
  Manifests m = good("apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {capacity: {cpu: 4, pods: 110}}\n");
  CHECK(amount(m.nodes[0].allocatable, "cpu") == 4000);
  CHECK(m.nodes[0].allocatable == m.nodes[0].capacity);

  Read none = read("apiVersion: v1\nkind: Node\nmetadata: {name: n}\n");
  REQUIRE(none.errors().size() == 1);
  CHECK_THAT(none.errors()[0], Contains("m.yaml:1:1: status.allocatable: missing: add") && Contains("nvidia.com/gpu"));
  Read no_pods = read("apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {capacity: {cpu: 4}}\n");
  CHECK(no_pods.errors().empty());
  REQUIRE(no_pods.warnings().size() == 1);
  CHECK_THAT(no_pods.warnings()[0], Contains("no pods"));
}

TEST_CASE("a pod's spec is read whole") {
  Manifests m = good(pod(R"(
initContainers:
- {name: fetch, image: curl, resources: {requests: {memory: 1Gi}}}
containers:
- name: vllm
  image: vllm/vllm-openai:v0.19.0
  command: [vllm, serve]
  args: ["--port", "8000"]
  env: [{name: HF_HOME, value: /models}]
  ports: [{containerPort: 8000, name: http}]
  volumeMounts: [{name: shm, mountPath: /dev/shm}]
  resources:
    requests: {cpu: 100.5m, memory: 16Gi}
    limits: {cpu: "2", memory: 32Gi, nvidia.com/gpu: 1}
  readinessProbe: {httpGet: {path: /health, port: http}, initialDelaySeconds: 5, periodSeconds: 2, failureThreshold: 9}
- {name: sidecar, image: s, readinessProbe: {exec: {command: [ok]}}}
volumes: [{name: shm, emptyDir: {medium: Memory}}]
overhead: {cpu: 250m}
nodeSelector: {disk: ssd}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
      - matchExpressions: [{key: zone, operator: In, values: [a, b]}, {key: gen, operator: Gt, values: ["3"]}]
        matchFields: [{key: metadata.name, operator: NotIn, values: [gpu-9]}]
    preferredDuringSchedulingIgnoredDuringExecution:
    - {weight: 30, preference: {matchExpressions: [{key: fast, operator: Exists}]}}
tolerations:
- {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
- {operator: Exists, effect: ""}
- {key: team, value: ml}
priorityClassName: system-node-critical
schedulingGates: [{name: example.com/wait}]
terminationGracePeriodSeconds: 60
schedulerName: kai
preemptionPolicy: PreemptLowerPriority
restartPolicy: Always
)"));
  REQUIRE(m.pods.size() == 1);
  const PodSpec& spec = m.pods[0].spec;
  REQUIRE(spec.containers.size() == 2);
  const Container& vllm = spec.containers[0];
  CHECK(amount(vllm.requests, "cpu") == 101);  // milli-CPU, rounded up
  CHECK(amount(vllm.requests, "memory") == 16ll << 30);
  CHECK(amount(vllm.requests, "nvidia.com/gpu") == 1);  // from its limit
  CHECK(amount(vllm.limits, "cpu") == 2000);
  CHECK(std::is_sorted(vllm.requests.begin(), vllm.requests.end()));
  REQUIRE(vllm.readiness_probe);
  CHECK(vllm.readiness_probe->initial_delay == Duration::seconds(5));
  CHECK(vllm.readiness_probe->period == Duration::seconds(2));
  CHECK(vllm.readiness_probe->failure_threshold == 9);
  REQUIRE(spec.containers[1].readiness_probe);
  CHECK(spec.containers[1].readiness_probe->period == Duration::seconds(10));
  CHECK(spec.init_containers.size() == 1);
  CHECK(amount(spec.overhead, "cpu") == 250);
  CHECK(spec.node_selector.size() == 1);
  REQUIRE(spec.required_node_affinity);
  CHECK(spec.required_node_affinity->at(0).match_expressions.at(1).op == SelectorOperator::Gt);
  CHECK(spec.required_node_affinity->at(0).match_fields.at(0).op == SelectorOperator::NotIn);
  REQUIRE(spec.preferred_node_affinity.size() == 1);
  CHECK(spec.preferred_node_affinity[0].weight == 30);
  REQUIRE(spec.tolerations.size() == 4);
  CHECK(spec.tolerations[0].op == TolerationOperator::Exists);
  CHECK(spec.tolerations[1].toleration_seconds == 300);
  CHECK_FALSE(spec.tolerations[2].effect);
  CHECK(spec.tolerations[3].op == TolerationOperator::Equal);
  CHECK(spec.priority == 2000001000);
  CHECK(spec.scheduling_gates == std::vector<std::string>{"example.com/wait"});
  CHECK(spec.termination_grace_period == Duration::seconds(60));
  CHECK(spec.scheduler_name == "kai");
}

TEST_CASE("the API server's defaults are filled in") {
  Manifests m = good(pod(kContainers) + "---\n" + deployment("llama"));
  CHECK(m.pods[0].meta.namespace_ == "default");
  CHECK(m.pods[0].spec.termination_grace_period == Duration::seconds(30));
  CHECK(m.pods[0].spec.scheduler_name == "default-scheduler");
  CHECK_FALSE(m.pods[0].spec.containers[0].readiness_probe);
  CHECK(m.deployments[0].replicas == 1);
  CHECK(m.deployments[0].selector.matches({{"app", "llama"}}));
}

TEST_CASE("an HPA's behaviour is defaulted only where it is present") {
  HorizontalPodAutoscaler plain = good(hpa("maxReplicas: 8")).hpas[0];
  CHECK(plain.min_replicas == 1);
  CHECK(plain.max_replicas == 8);
  CHECK_FALSE(plain.has_behavior());
  REQUIRE(plain.metrics.size() == 1);
  CHECK(plain.metrics[0].name == "cpu");
  CHECK(plain.metrics[0].target.type == MetricTarget::Type::Utilization);
  CHECK(plain.metrics[0].target.utilization == 80);

  HorizontalPodAutoscaler h = good(hpa(R"(minReplicas: 2
maxReplicas: 8
metrics:
- {type: Pods, pods: {metric: {name: "vllm:num_requests_waiting"}, target: {type: AverageValue, averageValue: 1500m}}}
- {type: External, external: {metric: {name: q, selector: {matchLabels: {a: b}}}, target: {type: Value, value: 3}}}
- {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 60}}}
behavior:
  scaleDown: {stabilizationWindowSeconds: 60, tolerance: 0.05, policies: [{type: Pods, value: 1, periodSeconds: 60}]}
)"))
                                  .hpas[0];
  REQUIRE(h.metrics.size() == 3);
  CHECK(h.metrics[0].source == MetricSpec::Source::Pods);
  CHECK(h.metrics[0].target.milli_value == 1500);
  CHECK(h.metrics[1].target.milli_value == 3000);
  CHECK(h.metrics[1].selector.requirements.size() == 1);
  CHECK(h.metrics[2].container == "c");
  REQUIRE(h.scale_up);
  CHECK(h.scale_up->stabilization_window == Duration{0});
  REQUIRE(h.scale_up->policies.size() == 2);
  CHECK(h.scale_up->policies[0].value == 4);
  CHECK(h.scale_up->policies[1].value == 100);
  CHECK(h.scale_up->policies[1].period == Duration::seconds(15));
  CHECK_FALSE(h.scale_up->tolerance_milli);
  REQUIRE(h.scale_down);
  CHECK(h.scale_down->stabilization_window == Duration::seconds(60));
  CHECK(h.scale_down->tolerance_milli == 50);
  REQUIRE(h.scale_down->policies.size() == 1);

  HorizontalPodAutoscaler empty = good(hpa("maxReplicas: 8\nbehavior: {}")).hpas[0];
  REQUIRE(empty.scale_down);
  CHECK_FALSE(empty.scale_down->stabilization_window);
  CHECK(empty.scale_down->policies.at(0).type == ScalingPolicy::Type::Percent);
}

TEST_CASE("autoscaling/v1 targets cpu") {
  Manifests m = good(R"(
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: h}
spec:
  scaleTargetRef: {kind: Deployment, name: d}
  maxReplicas: 4
  targetCPUUtilizationPercentage: 55
status: {currentReplicas: 1, desiredReplicas: 1}
)");
  CHECK(m.hpas[0].metrics.at(0).target.utilization == 55);
}

TEST_CASE("mistakes are told with line, column, field and what is allowed") {
  struct Row {
    std::string text, message;
  };
  auto container = [](const std::string& fields) {
    return pod("containers:\n- {name: main, image: i, " + fields + "}\n");
  };
  const Row rows[] = {
      {"kind: Pod\nmetadata: {name: p}\n", "m.yaml:1:1: apiVersion: Required value"},
      {"apiVersion: v1\n", "kind: Required value"},
      {"- 1\n", "allowed: a Kubernetes object"},
      {"apiVersion: apps/v1beta1\nkind: Deployment\n", "apiVersion: found 'apps/v1beta1', allowed: apps/v1"},
      {"apiVersion: kisim.dev/v1\nkind: Scenario\n", "kind: found a Scenario"},
      {"apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a}]}\n",
       "m.yaml:1:1: metadata.name: Required value: name or generateName is required"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: Big_Name}\nspec: {containers: [{name: a}]}\n",
       "m.yaml:3:18: metadata.name: Invalid value: \"Big_Name\": a lowercase RFC 1123 subdomain must consist of lower "
       "case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
       "'example.com', regex used for validation is "
       "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: 1st}\n",
       "metadata.name: Invalid value: \"1st\": a DNS-1035 label must consist of lower case alphanumeric characters"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: 1}}\nspec: {containers: [{name: a}]}\n",
       "metadata.labels.app: found '1', allowed: a text (quote numbers)"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: 3\n", "m.yaml:4:7: spec: found '3', allowed: a mapping"},
      {pod("containers: []"), "m.yaml:5:15: spec.containers: Required value"},
      {pod("containers: [{name: a}, {name: a}]"), "m.yaml:5:34: spec.containers[1].name: Duplicate value: \"a\""},
      {pod("containers: [{name: a}]\ninitContainers: [{name: a}]"),
       "m.yaml:6:27: spec.initContainers[0].name: Duplicate value: \"a\""},
      {pod("containers: [{}]"), "m.yaml:5:16: spec.containers[0].name: Required value"},
      {pod("containers: [{name: a.b}]"), "spec.containers[0].name: Invalid value: \"a.b\": must not contain dots"},
      {container("readinessProbe: {periodSeconds: soon}"),
       "m.yaml:6:60: spec.containers[0].readinessProbe.periodSeconds: found 'soon', allowed: an integer"},
      {pod(kContainers + "terminationGracePeriodSeconds: -1"),
       "m.yaml:6:34: spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"},
      {pod(kContainers + "terminationGracePeriodSeconds: 2147483648"),
       "Invalid value: 2147483648: must be less than or equal to 2147483647"},
      {deployment("d", "  replicas: -1\n"),
       "m.yaml:6:13: spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
      {deployment("d", "  replicas: 1000001\n"),
       "spec.replicas: Invalid value: 1000001: must be less than or equal to 1000000"},
      {"apiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {allocatable: {nvidia.com/gpu: 1025, pods: 110}}\n",
       "m.yaml:4:23: status.allocatable: found 1025 of nvidia.com/gpu, allowed: at most 1024"},
      {deployment("d", "  replicas: \"2\"\n"), "spec.replicas: found"},
      {deployment("d") + "---\n" + deployment("d"),
       "m.yaml:10:1: metadata.name: found Deployment 'd' twice, first at m.yaml:1:1"},
      {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {app: a}}, "
       "template: "
       "{metadata: {labels: {app: b}}, spec: {containers: [{name: m}]}}}\n",
       "m.yaml:4:73: spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: `selector` does not match template "
       "`labels`"},
      {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {}, template: {spec: {containers: "
       "[{name: m}]}}}\n",
       "m.yaml:4:18: spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
      {"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r}\nspec: {template: {spec: {containers: [{name: "
       "m}]}}}\n",
       "m.yaml:4:7: spec.selector: Required value"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK_THAT(errors_of(row.text), Contains(row.message));
  }
}

TEST_CASE("what is not acted on is told once, with its count") {
  std::vector<std::string> fields = read(pod(R"(
containers:
- {name: a, image: i, lifecycle: {preStop: {tcpSocket: {port: 80}}}, imagePullPolcy: Always}
- {name: b, image: i, lifecycle: {preStop: {tcpSocket: {port: 80}}}, restartPolicy: Never}
resourceClaims: []
hostNetwork: false
volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]
tolerations: [{key: a, operator: Exists, efect: NoSchedule}]
)"))
                                        .warnings();
  auto told = [&](const std::string& part) {
    return std::count_if(fields.begin(), fields.end(),
                         [&](const std::string& text) { return text.find(part) != text.npos; });
  };
  CAPTURE(fields);
  CHECK(told("spec.containers[0].lifecycle.preStop.tcpSocket: not modelled, ignored (2 times)") == 1);
  CHECK(told("spec.containers[0].imagePullPolcy: unknown field; did you mean imagePullPolicy?") == 1);
  CHECK(told("spec.containers[1].restartPolicy: not modelled, ignored") == 1);
  CHECK(told("spec.volumes[0].persistentVolumeClaim: not modelled") == 1);
  CHECK(told("spec.tolerations[0].efect: unknown field; did you mean effect?") == 1);
  CHECK(fields.size() == 5);
}

TEST_CASE("kinds of a dump that are not modelled are noted, slips warned of") {
  std::string text;
  for (int i = 0; i < 3; ++i)
    text += "apiVersion: v1\nkind: Secret\nmetadata: {name: s" + std::to_string(i) + "}\n---\n";
  text += "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: n}\n---\n";
  Read dump = read(text);
  CHECK(dump.warnings().empty());
  REQUIRE(dump.notes().size() == 2);
  CHECK(dump.notes()[0] == "m.yaml:1:1: kind Secret is not modelled: 3 objects ignored");
  CHECK_THAT(dump.notes()[1], Contains("kind Service of serving.knative.dev/v1 is not modelled: 1 object ignored"));
  CHECK(read(text, true).errors().empty());

  text += "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: n}\n";
  Read slip = read(text);
  REQUIRE(slip.warnings().size() == 1);
  CHECK_THAT(slip.warnings()[0], Contains("unknown kind Deploymnet of apiVersion apps/v1; did you mean Deployment?"));
  CHECK(read(text, true).errors().size() == 1);
}

TEST_CASE("a kubectl dump: workloads make their own replicas again") {
  auto owned = [](const std::string& kind, const std::string& name, const std::string& owner_kind,
                  const std::string& owner, const std::string& rest) {
    return "- apiVersion: " + std::string(kind == "Pod" ? "v1" : "apps/v1") + "\n  kind: " + kind +
           "\n  metadata:\n    name: " + name +
           "\n    labels: {app: llama, pod-template-hash: 7d9f}\n    ownerReferences: [{apiVersion: apps/v1, kind: " +
           owner_kind + ", name: " + owner + ", uid: u, controller: true, blockOwnerDeletion: true}]\n" + rest;
  };
  const std::string pod_rest =
      "  spec: {nodeName: gpu-0, priority: 0, containers: [{name: m, image: i}]}\n  status: {phase: Running}\n";
  const std::string set_rest =
      "  spec: {replicas: 2, selector: {matchLabels: {app: llama}}, template: {metadata: {labels: {app: llama}}, spec: "
      "{containers: [{name: m, image: i}]}}}\n  status: {replicas: 2}\n";
  std::string deployment_item = "-" + indented(deployment("llama"), 2).substr(1);
  std::string text = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n" + deployment_item +
                     owned("ReplicaSet", "llama-7d9f", "Deployment", "llama", set_rest) +
                     owned("Pod", "llama-7d9f-a", "ReplicaSet", "llama-7d9f", pod_rest) +
                     owned("Pod", "llama-7d9f-b", "ReplicaSet", "llama-7d9f", pod_rest) +
                     owned("Pod", "exporter-x", "DaemonSet", "exporter", pod_rest) +
                     owned("Pod", "llama-0", "StatefulSet", "llama", pod_rest);
  Read whole = read(text);
  CHECK(whole.errors().empty());
  CHECK(whole.objects.deployments.size() == 1);
  CHECK(whole.objects.replica_sets.empty());
  REQUIRE(whole.objects.pods.size() == 2);  // whose owners are not in the input
  CHECK(whole.objects.pods[0].meta.name == "exporter-x");
  CHECK(whole.objects.pods[0].spec.node_name == "gpu-0");
  CHECK(whole.warnings().empty());
  REQUIRE(whole.notes().size() == 2);
  CHECK_THAT(whole.notes()[0], Contains("Pods that a workload of this input creates itself: 2 objects ignored"));
  CHECK(read(text, true).errors().empty());

  // Without the ReplicaSet the Deployment is told by the name and the template's hash.
  Read without_set = read("apiVersion: v1\nkind: List\nitems:\n" + deployment_item +
                          owned("Pod", "llama-7d9f-a", "ReplicaSet", "llama-7d9f", pod_rest));
  CHECK(without_set.objects.pods.empty());
  // Without either the pod stands for itself.
  Read alone =
      read("apiVersion: v1\nkind: List\nitems:\n" + owned("Pod", "llama-7d9f-a", "ReplicaSet", "llama-7d9f", pod_rest));
  CHECK(alone.objects.pods.size() == 1);
}

TEST_CASE("typed lists, JSON, null documents and ended pods") {
  Manifests m = good(R"({"apiVersion": "v1", "kind": "NodeList", "items": [
    {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "8", "pods": "110"}}},
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}, "status": {"capacity": {"cpu": 8, "pods": 110}}}]})");
  CHECK(m.nodes.size() == 2);
  CHECK(good("---\n---\n" + pod(kContainers)).pods.size() == 1);
  Read ended = read(pod(kContainers) + "status: {phase: Succeeded}\n");
  CHECK(ended.objects.pods.empty());
  REQUIRE(ended.notes().size() == 1);
  CHECK_THAT(ended.notes()[0], Contains("pods that have ended: 1 object ignored"));
}

TEST_CASE("a directory is read in alphabetical order") {
  namespace fs = std::filesystem;
  fs::path directory = fs::temp_directory_path() / "kisim-manifests-test";
  fs::create_directory(directory);
  auto write = [&](const char* name, const std::string& text) { std::ofstream(directory / name) << text; };
  write("b.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {selector: {app: llama}, ports: [{port: 80}]}\n");
  write("a.json", R"({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}})");
  write("c.yml", "apiVersion: v1\nkind: Service\nmetadata: {name: c}\n");
  write("notes.txt", "not: [yaml");
  Diagnostics diagnostics;
  Manifests out;
  for (const Value& document : read_manifest_files(directory.string())) read_manifest(document, diagnostics, out);
  fs::remove_all(directory);
  REQUIRE(out.services.size() == 3);
  CHECK(out.services[0].meta.name == "a");
  CHECK(out.services[1].selector == Labels{{"app", "llama"}});
  CHECK(out.services[2].meta.name == "c");
  CHECK_THROWS_AS(read_manifest_files("/nonexistent"), IoError);
}
