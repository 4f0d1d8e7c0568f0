// What happens to the cluster of a scenario: faults, actions, pods, the cluster autoscaler, the descheduler, latencies.
#include "io/scenario_text.hpp"
#include "policy/descheduler.hpp"

using namespace kisim;
using namespace kisim::test;
using Kind = ActionSpec::Kind;

namespace {

constexpr Duration kMinute{60'000'000'000};

std::string object(const std::string& api_version, const std::string& kind, const std::string& metadata,
                   const std::string& rest) {
  return fmt::format("---\n{{apiVersion: {}, kind: {}, metadata: {{{}}}, {}}}\n", api_version, kind, metadata, rest);
}
std::string workload(const std::string& kind, const std::string& metadata) {
  const bool job = kind == "Job";
  return object(job ? "batch/v1" : "apps/v1", kind, metadata,
                std::string("spec: {") + (job ? "" : "selector: {matchLabels: {app: a}}, ") +
                    "template: {metadata: {labels: {app: a}}, spec: {" + (job ? "restartPolicy: Never, " : "") +
                    "containers: [{name: m, image: i:1}]}}}");
}
std::string node(const std::string& name, const std::string& labels = "", const std::string& gpus = "4") {
  return object("v1", "Node", "name: " + name + ", labels: {" + labels + "}",
                "status: {allocatable: {cpu: 4, pods: 110, nvidia.com/gpu: " + gpus + "}}");
}
const std::string kCluster =
    node("gpu-0", "pool: gpu, topology.kubernetes.io/zone: a") +
    node("gpu-1", "failure-domain.beta.kubernetes.io/zone: b") + workload("Deployment", "name: llama") +
    workload("Deployment", "name: chat, namespace: prod") + workload("StatefulSet", "name: db") +
    workload("StatefulSet", "name: db, namespace: prod") + workload("DaemonSet", "name: exporter") +
    workload("Job", "name: train");

// A scenario with the cluster above, in the file t.yaml of its own folder.
std::string file(const Folder& folder, const std::string& spec) {
  return folder.write("t.yaml", document("  duration: 1h\n" + spec) + kCluster);
}
Scenario whole(const std::string& spec) {
  Folder folder;
  return read_scenario({file(folder, spec)});
}
// What is said of it, without the name of its file.
std::string told(const std::string& spec) {
  Folder folder;
  const std::string path = file(folder, spec);
  std::string text = complaint([&] { read_scenario({path}); });
  for (size_t at; (at = text.find(path)) != text.npos;) text.erase(at, path.size() + 1);
  return text;
}

}  // namespace

TEST_CASE("latencies: none, upstream, or written down") {
  auto latencies = [](const std::string& text) {
    Scenario s = read("  duration: 60\n  kubernetes: {latencies: " + text + "}\n");
    CHECK(s.warnings.empty());
    return s.latencies;
  };
  CHECK(read("  duration: 60\n").latencies.pleg == Duration{});
  CHECK(latencies("none").scheduler.qps == 0);
  Latencies upstream = latencies("upstream");
  CHECK(upstream.pleg == Duration{1'000'000'000});
  CHECK(upstream.controller_manager.qps == 20);
  CHECK(upstream.scheduler.burst == 100);
  CHECK(upstream.descheduler.burst == 10);

  Latencies own = latencies("{watch: 20ms, bind: 5ms, controllerManager: {qps: 2.5, burst: 30}}");
  CHECK(own.watch == Duration{20'000'000});
  CHECK(own.bind == Duration{5'000'000});
  CHECK(own.pleg == Duration{});
  CHECK(own.controller_manager.qps == 2.5);
  CHECK(own.controller_manager.burst == 30);
  CHECK(own.scheduler.qps == 0);
  Scenario set = read("  duration: 60\n", with({{"kubernetes.latencies.pleg", "1s"}}));
  CHECK(set.latencies.pleg == Duration{1'000'000'000});
}

TEST_CASE("what the metrics APIs show, and for how long") {
  Scenario s = read("  duration: 60\n  metrics: {staleness: 2m, resourceResolution: 60s, resourceWindow: 10s}\n");
  CHECK(s.metrics.staleness == kMinute * 2);
  CHECK(s.metrics.resource_resolution == kMinute);
  CHECK(s.metrics.resource_window == Duration{10'000'000'000});
}

TEST_CASE("every kind of fault") {
  using Fault = FaultSpec::Kind;
  Scenario s = read(R"(  duration: 1h
  faults:
  - {kind: node-loss, at: 5m, node: a}
  - {kind: zone-outage, every: {exponential: {mean: 10m}}, for: {uniform: {min: 1m, max: 2m}}, zone: z}
  - {kind: gpu-failure, at: {uniform: {min: 0, max: 60}}, nodeSelector: {pool: gpu}, gpus: 2}
  - {kind: registry-failure, at: 1m, for: 30s}
  - {kind: registry-slow, at: 1m, factor: 8}
  - {kind: crash-loop, at: 1m, for: 10m, workload: llama}
  - {kind: oom-kill, every: 10m, workload: prod/llama}
  - {kind: metrics-outage, at: 1m, every: 5m, for: 1m}
  - {kind: nvlink-failure, at: 1m, for: 1h, node: gpu-0, gpus: 3}
)");
  CHECK(s.warnings.empty());
  REQUIRE(s.faults.size() == 9);
  for (size_t i = 0; i < 9; i++) CHECK(s.faults[i].kind == static_cast<Fault>(i));
  CHECK(s.faults[0].at->mean() == 300);
  CHECK(s.faults[0].for_.mean() == 0);
  CHECK_FALSE(s.faults[0].every);
  CHECK_FALSE(s.faults[1].at);
  CHECK(s.faults[1].every->kind() == Distribution::Kind::Exponential);
  CHECK(s.faults[1].for_.mean() == 90);
  CHECK(s.faults[2].at->kind() == Distribution::Kind::Uniform);
  CHECK(s.faults[2].node_selector == Labels{{"pool", "gpu"}});
  CHECK(s.faults[2].gpus == 2);
  CHECK(s.faults[4].factor == 8);
  CHECK(s.faults[6].workload == "prod/llama");
  CHECK(s.faults[7].every->mean() == 300);
  CHECK(s.faults[7].mark.line == 14);
  CHECK(s.faults[8].gpus == 3);
}

TEST_CASE("faults name nodes, zones and workloads that there are") {
  Scenario s = whole(
      "  faults:\n  - {kind: zone-outage, at: 1m, zone: b}\n  - {kind: crash-loop, at: 1m, workload: llama}\n"
      "  - {kind: oom-kill, at: 1m, workload: chat}\n  - {kind: oom-kill, at: 1m, workload: prod/db}\n"
      "  - {kind: gpu-failure, at: 1m, nodeSelector: {pool: gpu}, gpus: 4}\n");
  CHECK(s.faults[1].workload == "default/llama");
  CHECK(s.faults[2].workload == "prod/chat");
  CHECK(s.faults[3].workload == "prod/db");

  CHECK(
      told("  faults:\n  - {kind: node-loss, at: 1m, node: gpu-9}\n  - {kind: zone-outage, at: 1m, zone: c}\n"
           "  - {kind: node-loss, at: 1m, nodeSelector: {pool: cpu}}\n  - {kind: oom-kill, at: 1m, workload: lama}\n"
           "  - {kind: crash-loop, at: 1m, workload: db}\n  - {kind: gpu-failure, at: 1m, node: gpu-0, gpus: 5}\n") ==
      "7:37: spec.faults[0].node: found 'gpu-9', allowed: gpu-0, gpu-1\n"
      "8:39: spec.faults[1].zone: found 'c', allowed: a, b\n"
      "9:45: spec.faults[2].nodeSelector: found pool: cpu, allowed: labels that a node has\n"
      "10:40: spec.faults[3].workload: found 'lama', allowed: db, exporter, llama, train, prod/chat, prod/db (did you "
      "mean 'llama'?)\n"
      "11:42: spec.faults[4].workload: found 'db' in several namespaces, allowed: default/db, prod/db\n"
      "12:52: spec.faults[5].gpus: found 5, allowed: at most 4, which gpu-0 has");
}

TEST_CASE("what is to happen after the end is told") {
  Scenario s = read(
      "  duration: 1h\n  faults: [{kind: registry-failure, at: 60m}]\n  actions: [{at: 2h, cordon: n}, {at: 59m, "
      "cordon: n}]\n");
  CHECK(warnings_of(s) ==
        std::vector<std::string>{
            "t.yaml:6:41: spec.faults[0].at: found 1h, not before the end of the run: nothing happens",
            "t.yaml:7:18: spec.actions[0].at: found 2h, not before the end of the run: nothing happens"});
}

TEST_CASE("every kind of action, with the kinds of objects as kubectl takes them") {
  Scenario s = whole(R"(  actions:
  - {at: 10m, drain: gpu-1, force: true, ignoreDaemonSets: false, deleteEmptyDirData: false, gracePeriod: 5s, timeout: 2m}
  - {at: 1m, scale: deploy/llama, replicas: 0}
  - {at: 2m, scale: statefulsets.apps/prod/db, replicas: 3}
  - {at: 3m, restart: ds/exporter}
  - {at: 4m, restart: Deployment/prod/chat}
  - {at: 5m, delete: jobs.v1.batch/train, cascade: orphan}
  - {at: 6m, cordon: gpu-0}
  - {at: 7m, uncordon: gpu-0}
  - {at: 8m, delete: no/gpu-1}
  - {at: 9m, delete: ns/prod, cascade: foreground}
  - at: 30s
    apply:
      apiVersion: v1
      kind: Pod
      metadata: {name: probe}
      spec: {containers: [{name: m, image: i:1}]}
  - {at: 40s, delete: po/probe}
)");
  CHECK(s.warnings.empty());
  REQUIRE(s.actions.size() == 12);
  const ActionSpec& drain = s.actions[0];
  CHECK(drain.kind == Kind::Drain);
  CHECK(drain.at == kMinute * 10);
  CHECK(drain.node == "gpu-1");
  CHECK(drain.force);
  CHECK_FALSE(drain.ignore_daemon_sets);
  CHECK_FALSE(drain.delete_empty_dir_data);
  CHECK(drain.grace_period == Duration{5'000'000'000});
  CHECK(drain.timeout == kMinute * 2);
  auto is = [&](size_t i, Kind kind, const std::string& object_kind, const std::string& name) {
    INFO(i);
    CHECK(s.actions[i].kind == kind);
    CHECK(s.actions[i].object_kind == object_kind);
    CHECK(s.actions[i].object_name == name);
  };
  is(1, Kind::Scale, "Deployment", "default/llama");
  CHECK(s.actions[1].replicas == 0);
  is(2, Kind::Scale, "StatefulSet", "prod/db");
  CHECK(s.actions[2].replicas == 3);
  is(3, Kind::Restart, "DaemonSet", "default/exporter");
  is(4, Kind::Restart, "Deployment", "prod/chat");
  is(5, Kind::Delete, "Job", "default/train");
  CHECK(s.actions[5].cascade == ActionSpec::Cascade::Orphan);
  CHECK(s.actions[6].kind == Kind::Cordon);
  CHECK(s.actions[6].node == "gpu-0");
  CHECK(s.actions[7].kind == Kind::Uncordon);
  is(8, Kind::Delete, "Node", "gpu-1");
  is(9, Kind::Delete, "Namespace", "prod");
  CHECK(s.actions[9].cascade == ActionSpec::Cascade::Foreground);
  CHECK(s.actions[10].kind == Kind::Apply);
  CHECK(s.actions[10].apply.pods.size() == 1);
  is(11, Kind::Delete, "Pod", "default/probe");
  CHECK(s.actions[11].cascade == ActionSpec::Cascade::Background);
  CHECK_FALSE(s.actions[1].grace_period);
  CHECK_FALSE(s.actions[1].timeout);
}

TEST_CASE("actions name objects that are there by then") {
  CHECK(told("  actions:\n  - {at: 1m, cordon: gpu-9}\n  - {at: 1m, scale: deploy/lama, replicas: 1}\n"
             "  - {at: 1m, restart: sts/db}\n  - {at: 1m, delete: pod/llama-x}\n"
             "  - {at: 2m, scale: deploy/late, replicas: 1}\n  - {at: 4m, scale: deploy/late, replicas: 2}\n"
             "  - at: 3m\n    apply: " +
             workload("Deployment", "name: late").substr(4)) ==
        "7:22: spec.actions[0].cordon: found 'gpu-9', allowed: gpu-0, gpu-1\n"
        "8:21: spec.actions[1].scale: found 'lama', allowed: llama, prod/chat (did you mean 'llama'?)\n"
        "9:23: spec.actions[2].restart: found 'db' in several namespaces, allowed: default/db, prod/db\n"
        "10:22: spec.actions[3].delete: found 'llama-x', allowed: none\n"
        "11:21: spec.actions[4].scale: found 'late', allowed: llama, prod/chat");
}

TEST_CASE("applied objects are files, directories and inline, and the record holds them whole") {
  Folder folder;
  folder.write("next/a.yaml", workload("Deployment", "name: a"));
  folder.write("b.yaml", workload("Deployment", "name: b") + workload("Deployment", "name: c"));
  const std::string path = file(
      folder, "  actions:\n  - {at: 1m, apply: b.yaml}\n  - at: 2m\n    apply: [next, " +
                  workload("Deployment", "name: d").substr(4, workload("Deployment", "name: d").size() - 5) + "]\n");
  auto names = [](const Scenario& s) {
    std::string out;
    for (const ActionSpec& action : s.actions)
      for (const Deployment& d : action.apply.deployments) out += d.meta.name;
    return out;
  };
  Scenario s = read_scenario({path});
  CHECK(names(s) == "bcad");
  ReadOptions no_files;
  no_files.files = false;
  Scenario again = read_scenario_text(s.text, "again", no_files);
  CHECK(names(again) == "bcad");
  CHECK(again.text == s.text);

  const std::string lost = file(folder, "  actions: [{at: 1m, apply: c.yaml}]\n");
  CHECK(complaint([&] { read_scenario({lost}); }) ==
        fmt::format("{}:6:29: spec.actions[0].apply: found 'c.yaml', which does not exist ({})", lost,
                    folder.path("c.yaml")));
}

TEST_CASE("applied objects are admitted in the order of time") {
  const std::string gold = object("scheduling.k8s.io/v1", "PriorityClass", "name: gold", "value: 7").substr(4);
  const std::string range =
      object("v1", "LimitRange", "name: l", "spec: {limits: [{type: Container, defaultRequest: {cpu: 1}}]}").substr(4);
  const std::string late =
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: late}, spec: {selector: {matchLabels: "
      "{app: a}}, template: {metadata: {labels: {app: a}}, spec: {priorityClassName: gold, "
      "containers: [{name: m, image: i:1}]}}}}\n";
  Scenario s = whole("  actions:\n  - at: 2m\n    apply: " + late + "  - at: 1m\n    apply: " + gold +
                     "  - at: 90s\n    apply: " + range);
  const PodSpec& spec = s.actions[0].apply.deployments.at(0).pod_template.spec;
  CHECK(spec.priority == 7);
  CHECK(spec.containers[0].requests == ResourceList{{"cpu", 1000}});
  CHECK(s.manifests.deployments[0].pod_template.spec.containers[0].requests.empty());
  REQUIRE(s.warnings.size() == 1);
  CHECK(s.warnings[0].field == "spec.actions[2].apply");
  CHECK(
      s.warnings[0].message ==
      "LimitRange l holds for the pods of what this and later actions apply, not for those of workloads that are there "
      "already");
  CHECK(told("  actions:\n  - at: 1m\n    apply: " + late + "  - at: 2m\n    apply: " + gold)
            .find("spec.template.spec.priorityClassName: no PriorityClass with name gold was found") !=
        std::string::npos);
}

TEST_CASE("how pods behave, by name") {
  Scenario s = read(R"(  duration: 1h
  pods:
    batch: {selector: {app: batch}, run: {lognormal: {median: 10m, sigma: 0.5}}, failure: 0.1, startup: {image: 1GiB}}
    web: {cpu: 250m, memory: 512Mi, cpuPerRequest: 0.05, memoryPerRequest: 1MB}
)");
  REQUIRE(s.pods.size() == 2);
  CHECK(s.pods[0].name == "batch");
  CHECK(s.pods[0].selector == Labels{{"app", "batch"}});
  CHECK(s.pods[0].run->kind() == Distribution::Kind::Lognormal);
  CHECK(s.pods[0].failure == 0.1);
  REQUIRE(s.pods[0].startup);
  CHECK(s.pods[0].startup->image.mean() == 1ll << 30);
  CHECK(s.pods[0].startup->container.mean() == 1);
  CHECK_FALSE(s.pods[1].run);
  CHECK_FALSE(s.pods[1].startup);
  CHECK(s.pods[1].cpu.mean() == 0.25);
  CHECK(s.pods[1].memory.mean() == 512.0 * (1 << 20));
  CHECK(s.pods[1].cpu_per_request == 0.05);
  CHECK(s.pods[1].memory_per_request == 1e6);
}

TEST_CASE("the cluster autoscaler and its groups") {
  Folder folder;
  folder.write("h100.yaml", node("template", "pool: big, topology.kubernetes.io/zone: c", "8"));
  const std::string path = file(folder, R"(  clusterAutoscaler:
    expander: [priority, least-waste]
    scanInterval: 20s
    scaleDownEnabled: false
    scaleDownUtilizationThreshold: 0.7
    scaleDownDelayAfterDelete: 1m
    maxNodesTotal: 20
    skipNodesWithSystemPods: false
    nodeGroups:
      big: {node: h100.yaml, min: 1, max: 4, initial: 1, provision: {normal: {mean: 3m, sd: 30s}}, failure: 0.05, price: 30/h, priority: 10}
      small:
        node: {apiVersion: v1, kind: Node, metadata: {labels: {pool: small}}, status: {allocatable: {cpu: 8, pods: 110}}}
        max: 10
  faults: [{kind: zone-outage, at: 1m, zone: c}, {kind: node-loss, at: 1m, nodeSelector: {pool: small}}]
  actions: [{at: 5m, drain: big-0}]
)");
  Scenario s = read_scenario({path});
  CHECK(s.warnings.empty());
  REQUIRE(s.cluster_autoscaler);
  const ClusterAutoscalerSpec& a = *s.cluster_autoscaler;
  CHECK(a.expander == std::vector<std::string>{"priority", "least-waste"});
  CHECK(a.scan_interval == Duration{20'000'000'000});
  CHECK_FALSE(a.scale_down_enabled);
  CHECK(a.scale_down_utilization_threshold == 0.7);
  CHECK(a.scale_down_delay_after_delete == kMinute);
  CHECK(a.scale_down_unneeded_time == kMinute * 10);
  CHECK(a.max_nodes_total == 20);
  CHECK_FALSE(a.skip_nodes_with_system_pods);
  CHECK(a.skip_nodes_with_local_storage);
  REQUIRE(a.node_groups.size() == 2);
  CHECK(a.node_groups[0].name == "big");
  CHECK(a.node_groups[0].node.meta.name == "template");
  CHECK(a.node_groups[0].min == 1);
  CHECK(a.node_groups[0].max == 4);
  CHECK(a.node_groups[0].initial == 1);
  CHECK(a.node_groups[0].provision.mean() == 180);
  CHECK(a.node_groups[0].failure == 0.05);
  CHECK(a.node_groups[0].price == 30);
  CHECK(a.node_groups[0].priority == 10);
  CHECK(a.node_groups[1].node.meta.name == "small");
  CHECK(a.node_groups[1].node.meta.labels == Labels{{"pool", "small"}});

  ReadOptions no_files;
  no_files.files = false;
  Scenario again = read_scenario_text(s.text, "again", no_files);
  CHECK(again.cluster_autoscaler->node_groups.at(0).node.meta.name == "template");
  CHECK(again.text == s.text);

  CHECK(read("  duration: 60\n  clusterAutoscaler: {expander: random, nodeGroups: {a: {max: 1, node: {apiVersion: v1, "
             "kind: Node, status: {allocatable: {pods: 1}}}}}}\n")
            .cluster_autoscaler->expander == std::vector<std::string>{"random"});
  CHECK(
      warnings_of(read("  duration: 60\n  clusterAutoscaler: {nodeGroups: {a: {min: 1, max: 1, node: {apiVersion: v1, "
                       "kind: Node, status: {allocatable: {pods: 1}}}}}}\n")) ==
      std::vector<std::string>{
          "t.yaml:6:39: spec.clusterAutoscaler.nodeGroups.a.initial: found 0, less than min (1): the autoscaler "
          "removes no node below min, and adds none up to it"});
}

TEST_CASE("a file that holds the node of a group holds nothing else") {
  Folder folder;
  folder.write("two.yaml", node("a") + node("b"));
  const std::string path = file(folder, "  clusterAutoscaler: {nodeGroups: {g: {max: 1, node: two.yaml}}}\n");
  CHECK(complaint([&] { read_scenario({path}); }) ==
        fmt::format("{}:6:54: spec.clusterAutoscaler.nodeGroups.g.node: found 2 documents in {}, allowed: one of kind "
                    "Node",
                    path, folder.path("two.yaml")));
}

TEST_CASE("the descheduler's policy is a file or stands in the scenario") {
  const std::string policy = "apiVersion: descheduler/v1alpha2\nkind: DeschedulerPolicy\nprofiles: [{name: p}]\n";
  Folder folder;
  folder.write("policy.yaml", policy);
  auto top = [&](const std::string& text) { return file(folder, "  policies: {descheduler: {" + text + "}}\n"); };
  Scenario s = read_scenario({top("policy: policy.yaml, interval: 5m, at: 1m, dryRun: true")});
  REQUIRE(s.descheduler);
  REQUIRE(s.descheduler->policy);
  REQUIRE(s.descheduler->policy->profiles.size() == 1);
  CHECK(s.descheduler->policy->profiles[0].name == "p");
  CHECK(s.descheduler->interval == kMinute * 5);
  CHECK(s.descheduler->at == kMinute);
  CHECK(s.descheduler->dry_run);
  CHECK_FALSE(whole("  seed: 1\n").descheduler);

  ReadOptions no_files;
  no_files.files = false;
  Scenario again = read_scenario_text(s.text, "again", no_files);
  CHECK(again.text == s.text);
  CHECK(again.descheduler->policy->profiles.at(0).name == "p");

  const std::string path = top("policy: none.yaml");
  CHECK(complaint([&] { read_scenario({path}); }) ==
        fmt::format("{}:6:36: spec.policies.descheduler.policy: found 'none.yaml', which does not exist ({})", path,
                    folder.path("none.yaml")));
}
