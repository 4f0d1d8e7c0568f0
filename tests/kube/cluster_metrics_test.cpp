#include "kube/cluster_metrics.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>

namespace kisim::test {
namespace {

// name{label="value",…} -> value
using Values = std::map<std::string, double>;

Values collect(KubeRun& run, const KubeModel& model) {
  Values out;
  auto keep = [&](std::string_view name, MetricLabels labels, double value) {
    std::string key(name);
    std::string_view last;
    for (const auto& [label, text] : labels) {
      CHECK(last < label);  // the recorder's series have their labels sorted
      last = label;
      key += fmt::format("{}{}={}", key.size() == name.size() ? "{" : ",", label, text);
    }
    CHECK(out.emplace(key + "}", value).second);
  };
  ClusterMetrics metrics(model, run.state(), run.cluster(), run.serving());
  metrics.for_each_cluster_metric(run.engine().now(), keep);
  metrics.for_each_pod_metric(run.engine().now(), keep);
  return out;
}

TEST_CASE("what kube-state-metrics and the control plane export", "[metrics]") {
  KubeSetup setup;
  setup.add_node("a", 2000);
  WorkloadId w = setup.add_server("web", 3, setup.pod());
  setup.kube.workloads[w].behaviour.cpu = Distribution::constant(0.5);
  setup.kube.workloads[w].behaviour.memory = Distribution::constant(1e9);
  KubeRun run(std::move(setup));
  run.run_until(at(10));
  Values v = collect(run, run.kube().model);
  CHECK(v.at("kube_deployment_spec_replicas{deployment=web,namespace=default}") == 3);
  CHECK(v.at("kube_deployment_status_replicas{deployment=web,namespace=default}") == 3);
  CHECK(v.at("kube_deployment_status_replicas_ready{deployment=web,namespace=default}") == 2);
  CHECK(v.at("kube_deployment_status_replicas_available{deployment=web,namespace=default}") == 2);
  CHECK(v.at("kube_deployment_status_replicas_unavailable{deployment=web,namespace=default}") == 1);
  CHECK(v.at("kube_deployment_status_replicas_updated{deployment=web,namespace=default}") == 3);
  CHECK(v.at("kube_node_status_condition{condition=Ready,node=a,status=true}") == 1);
  CHECK(v.at("kube_node_status_condition{condition=Ready,node=a,status=unknown}") == 0);
  CHECK(v.at("kube_node_spec_unschedulable{node=a}") == 0);
  CHECK(v.at("scheduler_pending_pods{queue=unschedulable}") == 1);
  CHECK(v.at("scheduler_schedule_attempts_total{result=scheduled}") == 2);
  std::string pod = run.cluster().pod_name(PodId(0u));
  CHECK(v.at("kube_pod_status_phase{namespace=default,phase=Running,pod=" + pod + "}") == 1);
  CHECK(v.at("kube_pod_status_phase{namespace=default,phase=Pending,pod=" + pod + "}") == 0);
  CHECK(v.at("kube_pod_status_ready{condition=true,namespace=default,pod=" + pod + "}") == 1);
  CHECK(v.at("kube_pod_container_status_restarts_total{container=server,namespace=default,pod=" + pod + "}") == 0);
  CHECK(v.at("container_cpu_usage_seconds_total{container=server,namespace=default,pod=" + pod + "}") == 0.5 * 10);
  CHECK(v.at("container_memory_working_set_bytes{container=server,namespace=default,pod=" + pod + "}") == 1e9);
}

TEST_CASE("every metric that is yielded is documented, and the other way round where it is there", "[metrics]") {
  std::set<std::string_view> documented;
  for (const MetricDoc& doc : metric_docs()) documented.insert(doc.name);
  KubeSetup setup;
  setup.add_node("a");
  setup.add_server("web", 1, setup.pod());
  KubeRun run(setup);
  run.run_until(at(10));
  for (const auto& [key, value] : collect(run, run.kube().model))
    CHECK(documented.contains(std::string_view(key).substr(0, key.find('{'))));
}

}  // namespace
}  // namespace kisim::test
