#pragma once
// The loop around an autoscaler (pkg/controller/podautoscaler, horizontal.go): every sync period it shows each scaled
// workload to its policy, through the metrics pipeline, scales it as the policy decides and keeps the status of its
// HorizontalPodAutoscaler.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/controllers.hpp"
#include "kube/metrics_pipeline.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"
#include "policy/recorded_target.hpp"

#include <optional>
#include <vector>

namespace kisim {

class HpaLoop {
 public:
  // `sync` is the kind of event that comes back as sync().
  HpaLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const MetricsPipeline& metrics, ApiServer& api,
          Controllers& controllers, Engine& engine, uint16_t sync);

  // The first sync is one period away, as the controller's queue has it.
  void start();
  void sync(WorkloadId workload);

 private:
  const AutoscalerBinding& binding(WorkloadId workload) const { return model_.workloads[workload].autoscaler; }
  bool has_scale(WorkloadId workload) const;
  void schedule_next(WorkloadId workload);
  void observe_cluster(WorkloadId workload);
  void observe_record(WorkloadId workload);
  void observe_metrics(WorkloadId workload);
  void observe_requests(WorkloadId workload, const MetricSpec& spec, std::vector<int64_t>& out) const;
  ObservedPod observe(PodId pod) const;
  void decide(WorkloadId workload);
  void apply(WorkloadId workload);
  void scale(WorkloadId workload, int32_t replicas);
  void name_pods(WorkloadId workload);
  void keep_status(WorkloadId workload, int32_t replicas, int32_t desired);
  void count(WorkloadId workload, int32_t replicas, int32_t desired);
  void tell_failures(WorkloadId workload);
  template <class Message>
  void tell(WorkloadId workload, KubeEvent::Type type, std::string_view reason, Message&& message);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  const MetricsPipeline& metrics_;
  ApiServer& api_;
  Controllers& controllers_;
  Engine& engine_;
  uint16_t sync_;

  // What each workload's policy asks for, looked up once.
  struct Required {
    std::span<const MetricSpec> specs;
    std::vector<MetricsPipeline::Query> queries;
  };
  IdVector<WorkloadId, Required> required_;

  // Scratch for one observation.
  Observation seen_;
  std::vector<ObservedPod> pods_;
  std::vector<ObservedMetric> observed_;
  std::vector<std::vector<std::optional<MetricSample>>> samples_;
  std::vector<std::vector<int64_t>> requests_;
  std::vector<int64_t> totals_;
};

}  // namespace kisim
