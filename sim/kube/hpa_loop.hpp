#pragma once
// The loop around an autoscaler: every sync period it shows each scaled workload to its policy, through the metrics
// pipeline, and scales it as the policy decides.

#include "core/engine.hpp"
#include "kube/controllers.hpp"
#include "kube/metrics_pipeline.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"

#include <optional>
#include <vector>

namespace kisim {

class HpaLoop {
 public:
  // `sync` is the kind of event that comes back as sync().
  HpaLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const MetricsPipeline& metrics,
          Controllers& controllers, Engine& engine, uint16_t sync);

  // The first sync is one period away, as the controller's queue has it.
  void start();
  void sync(WorkloadId workload);

 private:
  void observe_pods(WorkloadId workload);
  void observe_metrics(WorkloadId workload);
  ObservedPod observe(PodId pod) const;
  void apply(WorkloadId workload, Decision decision);
  void count(const Decision& decision);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  const MetricsPipeline& metrics_;
  Controllers& controllers_;
  Engine& engine_;
  uint16_t sync_;

  // What each workload's policy asks for, resolved once; nothing: the pipeline does not have it.
  struct Required {
    std::span<const MetricSpec> specs;
    std::vector<std::optional<MetricsPipeline::MetricIndex>> indices;
  };
  IdVector<WorkloadId, Required> required_;

  // Scratch for one observation.
  std::vector<ObservedPod> pods_;
  std::vector<ObservedMetric> observed_;
  std::vector<std::vector<std::optional<MetricSample>>> samples_;
  std::vector<int64_t> totals_;
};

}  // namespace kisim
