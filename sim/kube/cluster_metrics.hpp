#pragma once
// What kube-state-metrics, cAdvisor, kube-scheduler and the HPA controller export of the cluster, under their
// names and labels, read from the state at one instant. For those who record; an HPA sees metrics through
// MetricsPipeline only.

#include "kube/metrics_pipeline.hpp"
#include "kube/model.hpp"
#include "kube/pod_usage.hpp"
#include "kube/state.hpp"

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

// The documentation of all of them, and of what DcgmExporter alone has.
std::vector<MetricDoc> cluster_metric_docs();

using MetricLabel = std::pair<std::string_view, std::string_view>;
using MetricLabels = std::initializer_list<MetricLabel>;
// The views live as long as the call.
using MetricCallback = std::function<void(std::string_view name, MetricLabels labels, double value)>;

class ClusterMetrics {
 public:
  ClusterMetrics(const KubeModel& model, const KubeState& state, const Cluster& cluster, const Serving& serving)
      : model_(model), state_(state), cluster_(cluster), usage_(model, state, cluster, serving) {}

  // Calls back with every metric as it is at `now`: workloads, autoscalers, nodes, scheduler and HPA controller.
  void for_each_cluster_metric(Time now, const MetricCallback& callback) const;
  // The same of every pod that has not gone: a series or more for each of them.
  void for_each_pod_metric(Time now, const MetricCallback& callback) const;

 private:
  void deployment(WorkloadId id, Time now, const MetricCallback& callback) const;
  void replica_set(WorkloadId id, Time now, const MetricCallback& callback) const;
  void stateful_set(WorkloadId id, Time now, const MetricCallback& callback) const;
  void daemon_set(WorkloadId id, Time now, const MetricCallback& callback) const;
  void job(WorkloadId id, const MetricCallback& callback) const;
  void autoscaler(AutoscalerId id, const MetricCallback& callback) const;
  void nodes(const MetricCallback& callback) const;
  void scheduler(const MetricCallback& callback) const;
  void autoscaler_controller(const MetricCallback& callback) const;

  struct Counts {
    int32_t replicas = 0, ready = 0, available = 0, updated = 0;
  };
  Counts count(WorkloadId id, Duration min_ready, Time now) const;

  const KubeModel& model_;
  const KubeState& state_;
  const Cluster& cluster_;
  PodUsage usage_;
};

}  // namespace kisim
