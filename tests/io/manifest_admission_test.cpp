// What LimitRanges and ResourceQuotas do to the pods of their namespace.
#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;

namespace {

std::string limits(const std::string& items, const std::string& namespace_ = "default") {
  return "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l, namespace: " + namespace_ + "}\nspec: {limits: [" +
         items + "]}\n---\n";
}
std::string quota(const std::string& hard) {
  return "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: team}\nspec: {hard: {" + hard + "}}\n---\n";
}

// A Deployment with one container.
std::string llama(const std::string& resources) {
  std::string text = deployment("llama");
  return text.insert(text.find("image: i"), "resources: {" + resources + "}, ");
}

const PodTemplate& pods(const Read& read) { return read.objects.deployments.at(0).pod_template; }

// What the pods of a Deployment are refused for, and that the warning says so.
std::string refusal(const std::string& text) {
  Read r = read(text);
  const Refusal& refusal = pods(r).refusal;
  if (refusal.empty()) {
    CHECK(r.warnings().empty());
    return "";
  }
  REQUIRE(r.warnings().size() == 1);
  CHECK(r.warnings()[0].ends_with(": spec.template.spec: " + refusal.message("llama-")));
  return refusal.why;
}

}  // namespace

TEST_CASE("a limit range fills in what containers do not say") {
  const std::string range = limits(
      "{type: Container, default: {cpu: 2, memory: 4Gi}, defaultRequest: {cpu: 500m}, max: {ephemeral-storage: "
      "9Gi}, min: {memory: 1Gi, ephemeral-storage: 1Gi}}");
  Manifests m = good(range + llama("requests: {cpu: 1}"));
  const Container& c = m.deployments[0].pod_template.spec.containers[0];
  CHECK(c.limits == ResourceList{{"cpu", 2000}, {"ephemeral-storage", 9ll << 30}, {"memory", 4ll << 30}});
  CHECK(c.requests == ResourceList{{"cpu", 1000}, {"ephemeral-storage", 9ll << 30}, {"memory", 4ll << 30}});
  // The API server took the limit for the request before the limit range was asked.
  m = good(range + llama("limits: {cpu: 1}"));
  CHECK(amount(m.deployments[0].pod_template.spec.containers[0].requests, "cpu") == 1000);

  m = good(range + pod(kContainers + "initContainers: [{name: fetch, image: i}]"));
  CHECK(amount(m.pods[0].spec.containers[0].requests, "cpu") == 500);
  CHECK(amount(m.pods[0].spec.init_containers[0].limits, "cpu") == 2000);
  // Other namespaces have their own, and a pod that runs was admitted before.
  CHECK(good(limits("{type: Container, default: {cpu: 2}}", "other") + llama("limits: {}"))
            .deployments[0]
            .pod_template.spec.containers[0]
            .limits.empty());
  CHECK(good(range + pod(kContainers) + "status: {startTime: \"2026-01-01T00:00:00Z\"}\n")
            .pods[0]
            .spec.containers[0]
            .requests.empty());
}

TEST_CASE("what breaks a limit range is never created") {
  const std::string container = "{type: Container, ";
  CHECK(refusal(limits(container + "min: {cpu: 100m}}") + llama("requests: {cpu: 50m}")) ==
        "minimum cpu usage per Container is 100m, but request is 50m");
  CHECK(refusal(limits("{type: Pod, min: {cpu: 100m}}") + llama("requests: {memory: 1Gi}")) ==
        "minimum cpu usage per Pod is 100m.  No request is specified");
  CHECK(refusal(limits(container + "min: {memory: 1Gi}, default: {memory: 2Gi}}") +
                llama("requests: {memory: 0}, limits: {memory: 512Mi}")) ==
        "minimum memory usage per Container is 1Gi, but request is 0");
  CHECK(refusal(limits(container + "max: {cpu: 1}}") + llama("requests: {cpu: 1}, limits: {cpu: 2}")) ==
        "maximum cpu usage per Container is 1, but limit is 2");
  CHECK(refusal(limits("{type: Pod, max: {cpu: 1}}") + llama("requests: {cpu: 1}")) ==
        "maximum cpu usage per Pod is 1.  No limit is specified");
  CHECK(refusal(limits(container + "maxLimitRequestRatio: {cpu: 1500m}}") +
                llama("requests: {cpu: 1}, limits: {cpu: 2}")) ==
        "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000");
  CHECK(refusal(limits(container + "maxLimitRequestRatio: {memory: 2}}") + llama("requests: {memory: 0}, limits: "
                                                                                 "{memory: 1}")) ==
        "memory max limit to request ratio per Container is 2, but no request is specified or request is 0");
  CHECK(refusal(limits(container + "maxLimitRequestRatio: {memory: 2}}") + llama("requests: {memory: 1Gi}")) ==
        "memory max limit to request ratio per Container is 2, but no limit is specified or limit is 0");
  // Every complaint once, in Go's brackets.
  CHECK(refusal(limits(container + "min: {cpu: 2}, max: {memory: 1Gi}}") +
                llama("requests: {cpu: 1}, limits: {memory: 2Gi}")) ==
        "[minimum cpu usage per Container is 2, but request is 1, maximum memory usage per Container is 1Gi, but limit "
        "is 2Gi]");
  CHECK(refusal(limits(container + "max: {cpu: 2}, maxLimitRequestRatio: {cpu: 2}}") +
                llama("requests: {cpu: 1}, limits: {cpu: 2}")) == "");
  CHECK(refusal(limits("{type: PersistentVolumeClaim, max: {storage: 1Gi}}") + llama("requests: {cpu: 1}")) == "");
}

TEST_CASE("a limit range of pods adds up their containers") {
  const std::string two = R"(
resources: {requests: {cpu: 4}}
containers:
- {name: a, image: i, resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}}
- {name: b, image: i, resources: {requests: {memory: 1Gi}, limits: {memory: 2Gi}}}
)";
  auto warnings = [&](const std::string& items) { return read(limits(items) + pod(two)).warnings(); };
  CHECK(warnings("{type: Pod, max: {memory: 4Gi}, min: {cpu: 4}}").empty());
  CHECK(warnings("{type: Pod, max: {memory: 3Gi}}") ==
        std::vector<std::string>{
            "m.yaml:6:1: spec: pods \"p\" is forbidden: maximum memory usage per Pod is 3Gi, but limit is 4Gi"});
  // What the pod says as a whole stands in place of their sum.
  const std::string whole = "resources: {limits: {memory: 6Gi}}\n" + kContainers;
  CHECK(read(limits("{type: Pod, max: {memory: 5Gi}}") + pod(whole)).warnings() ==
        std::vector<std::string>{
            "m.yaml:6:1: spec: pods \"p\" is forbidden: maximum memory usage per Pod is 5Gi, but limit is 6Gi"});
}

TEST_CASE("a quota below the least that a limit range lets in is told") {
  const std::string range = limits("{type: Container, min: {cpu: 2}}");
  CHECK(read(range + quota("requests.cpu: 1500m, limits.cpu: 8")).warnings() ==
        std::vector<std::string>{"m.yaml:6:1: spec.hard[requests.cpu]: found 1500m, and LimitRange l wants at least 2 "
                                 "cpu of every pod: the quota lets none in"});
  CHECK(read(range + quota("cpu: 2")).warnings().empty());
  CHECK(read(limits("{type: Pod, min: {cpu: 2}}", "other") + quota("cpu: 1")).warnings().empty());
}

TEST_CASE("defaults that do not fit what is written make the pod invalid") {
  const std::string range = limits("{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 250m}}");
  CHECK(refusal(range + llama("requests: {cpu: 1}")) ==
        "spec.containers[0].resources.requests: Invalid value: \"1\": must be less than or equal to cpu limit of 500m");
  CHECK(refusal(limits("{type: Container, defaultRequest: {nvidia.com/gpu: 1}}") + llama("limits: {cpu: 1}")) ==
        "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources");
  CHECK(read(limits("{type: Container, default: {cpu: 2}}") + pod("resources: {requests: {cpu: 1}}\n" + kContainers))
            .warnings() ==
        std::vector<std::string>{"m.yaml:6:1: spec: Pod \"p\" is invalid: spec.resources.requests[cpu]: Invalid value: "
                                 "\"1\": must be greater than or equal to aggregate container requests of 2"});
}

TEST_CASE("with a quota on cpu or memory, containers must say what they ask for") {
  CHECK(refusal(quota("requests.cpu: 8, limits.memory: 1Ti") + llama("requests: {cpu: 1}")) ==
        "failed quota: team: must specify limits.memory for: main");
  CHECK(refusal(quota("requests.cpu: 8") + llama("limits: {cpu: 1}")) == "");
  // A limit range may say it for them.
  CHECK(refusal(quota("requests.cpu: 8") + limits("{type: Container, defaultRequest: {cpu: 1}}") +
                llama("limits: {memory: 1Gi}")) == "");
}

TEST_CASE("a pod that no quota would ever let in is told, and left to the run") {
  Read r = read(quota("requests.nvidia.com/gpu: 4, pods: 9") + llama("limits: {nvidia.com/gpu: 8}"));
  CHECK(pods(r).refusal.empty());
  CHECK(r.warnings() ==
        std::vector<std::string>{"m.yaml:6:1: spec.template.spec: pods \"llama-\" is forbidden: exceeded quota: team, "
                                 "requested: requests.nvidia.com/gpu=8, used: requests.nvidia.com/gpu=0, limited: "
                                 "requests.nvidia.com/gpu=4"});
  CHECK(read(quota("requests.nvidia.com/gpu: 4") + llama("limits: {nvidia.com/gpu: 4}")).warnings().empty());
}

TEST_CASE("a pod by itself that is forbidden is not there") {
  const std::string range = limits("{type: Container, min: {cpu: 1}}");
  Read r = read(range + pod("containers: [{name: m, image: i, resources: {requests: {cpu: 500m}}}]"));
  CHECK(r.objects.pods.empty());
  CHECK(r.warnings() == std::vector<std::string>{"m.yaml:6:1: spec: pods \"p\" is forbidden: minimum cpu usage per "
                                                 "Container is 1, but request is 500m"});
  Read running = read(range + pod("containers: [{name: m, image: i, resources: {requests: {cpu: 500m}}}]") +
                      "status: {startTime: \"2026-01-01T00:00:00Z\"}\n");
  CHECK(running.objects.pods.size() == 1);
  CHECK(running.warnings().empty());
}

TEST_CASE("the pods of every kind of workload are admitted") {
  const std::string rest =
      "metadata: {name: llama, namespace: team}\nspec:\n  selector: {matchLabels: {app: a}}\n  template: {metadata: "
      "{labels: {app: a}}, spec: {priorityClassName: gold, ";
  const std::string containers = "containers: [{name: m, image: i}]}}\n---\n";
  Read r = read(limits("{type: Pod, min: {cpu: 1}}", "team") +
                "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: gold}\nvalue: 7\n---\n"
                "apiVersion: apps/v1\nkind: ReplicaSet\n" +
                rest + containers + "apiVersion: apps/v1\nkind: StatefulSet\n" + rest + containers +
                "apiVersion: apps/v1\nkind: DaemonSet\n" + rest + containers + "apiVersion: batch/v1\nkind: Job\n" +
                rest + "restartPolicy: Never, " + containers);
  const std::string why = "minimum cpu usage per Pod is 1.  No request is specified";
  for (const PodTemplate* t : {&r.objects.replica_sets.at(0).pod_template, &r.objects.stateful_sets.at(0).pod_template,
                               &r.objects.daemon_sets.at(0).pod_template, &r.objects.jobs.at(0).pod_template}) {
    CHECK(t->refusal == Refusal{why});
    CHECK(t->spec.priority == 7);
  }
  REQUIRE(r.warnings().size() == 4);
  CHECK(r.warnings()[1].ends_with("pods \"llama-0\" is forbidden: " + why));
  REQUIRE(r.objects.namespaces.size() == 1);
  CHECK(r.objects.namespaces[0].meta.name == "team");
}

TEST_CASE("what is applied later meets what the cluster has") {
  auto parse = [](const std::string& text, Manifests& out, Diagnostics& diagnostics) {
    for (const Value& document : parse_yaml(text, "m.yaml")) read_manifest(document, diagnostics, out);
  };
  Diagnostics diagnostics;
  Manifests cluster, applied;
  parse(limits("{type: Container, defaultRequest: {cpu: 1}}") + quota("requests.cpu: 8") +
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: gold}\nvalue: 7\n---\n" +
            deployment("llama", "  replicas: 1\n"),
        cluster, diagnostics);
  finish_manifests(diagnostics, cluster);
  std::string next = deployment("llama", "  replicas: 5\n");
  parse(next.insert(next.find("containers"), "priorityClassName: gold, ") + "---\n" + deployment("other"), applied,
        diagnostics);
  finish_applied_manifests(diagnostics, cluster, applied);
  CHECK(diagnostics.all().empty());
  CHECK_FALSE(applied.deployments[1].has_replicas);
  const PodTemplate& t = applied.deployments[0].pod_template;
  CHECK(t.spec.priority == 7);
  CHECK(amount(t.spec.containers[0].requests, "cpu") == 1000);
  CHECK(applied.namespaces.empty());  // the cluster has it

  merge_manifests(cluster, applied);
  REQUIRE(cluster.deployments.size() == 2);
  CHECK(cluster.deployments[0].replicas == 5);
  CHECK(cluster.deployments[1].meta.name == "other");
  CHECK(cluster.limit_ranges.size() == 1);

  Manifests again;
  parse(deployment("llama"), again, diagnostics);
  finish_applied_manifests(diagnostics, cluster, again);
  CHECK(again.deployments[0].replicas == 5);
  CHECK_FALSE(again.deployments[0].has_replicas);
}
