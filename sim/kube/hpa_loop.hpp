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
  void sync(AutoscalerId id);

 private:
  const AutoscalerBinding& binding(AutoscalerId id) const { return model_.autoscalers[id]; }
  std::string address_of(AutoscalerId id) const;
  bool has_scale(AutoscalerId id) const;
  void schedule_next(AutoscalerId id);
  void observe_cluster(AutoscalerId id);
  void observe_record(AutoscalerId id);
  void observe_metrics(AutoscalerId id);
  void observe_requests(AutoscalerId id, const MetricSpec& spec, std::vector<int64_t>& out) const;
  ObservedPod observe(PodId pod) const;
  void decide(AutoscalerId id);
  void apply(AutoscalerId id);
  int32_t shielded(AutoscalerId id, int32_t current, int32_t desired);
  void scale(AutoscalerId id, int32_t replicas);
  void name_pods(AutoscalerId id);
  void keep_status(AutoscalerId id, int32_t replicas, int32_t desired);
  void count(AutoscalerId id, int32_t replicas, int32_t desired);
  void tell_failures(AutoscalerId id);
  template <class Message>
  void tell(AutoscalerId id, KubeEvent::Type type, std::string_view reason, Message&& message);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  const MetricsPipeline& metrics_;
  ApiServer& api_;
  Controllers& controllers_;
  Engine& engine_;
  uint16_t sync_;

  // What each policy asks for, looked up once.
  struct Required {
    std::span<const MetricSpec> specs;
    std::vector<MetricsPipeline::Query> queries;
  };
  IdVector<AutoscalerId, Required> required_;

  // Scratch for one observation.
  Observation seen_;
  std::vector<ObservedPod> pods_;
  std::vector<ObservedMetric> observed_;
  std::vector<std::vector<std::optional<MetricSample>>> samples_;
  std::vector<std::vector<int64_t>> requests_;
  std::vector<int64_t> totals_;
};

}  // namespace kisim
