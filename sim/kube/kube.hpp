#pragma once
// The control plane: scheduler, controllers, kubelets, node lifecycle, metrics pipeline and autoscalers behind one
// face. Copying KubeState copies all of it.

#include "core/engine.hpp"
#include "kube/controllers.hpp"
#include "kube/hpa_loop.hpp"
#include "kube/kubelet.hpp"
#include "kube/metrics_pipeline.hpp"
#include "kube/model.hpp"
#include "kube/node_lifecycle.hpp"
#include "kube/scheduler.hpp"
#include "kube/state.hpp"
#include "serving/serving.hpp"

#include <map>
#include <string>

namespace kisim {

class Kube {
 public:
  // Codes from kSchedulerCodes on are the scheduler's own.
  enum class Code : uint8_t {
    KubeletStep,     // target: pod
    ReplicaDrained,  // target: pod
    NodeStop,        // target: fault
    NodeStart,       // target: fault
    NodeNotReady,    // target: node
    Evict,           // target: pod
    Scrape,          // target: workload
    HpaSync,         // target: workload
  };
  static constexpr uint8_t kSchedulerCodes = 0x40;

  Kube(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Engine& engine);
  Kube(const Kube&) = delete;
  Kube& operator=(const Kube&) = delete;

  // Precondition: cluster and serving have started.
  void start();
  void on_event(const Event& event);
  // End of warm-up: gauges and scale counts start again; decisions and the list of scalings go on.
  void reset_statistics();

  const KubeStatistics& statistics() const { return state.statistics; }
  // All decisions of the run by reason. "FailedScheduling: R" counts the attempts that failed for R, among others.
  std::map<std::string, uint64_t> decisions() const;
  // Why the pod is not bound, in kube-scheduler's words; empty if it has not been tried.
  std::string failure_message(PodId pod) const { return scheduler_.failure_message(pod); }
  Scheduler& scheduler() { return scheduler_; }
  // Changes spec.replicas as a user would.
  void scale(WorkloadId workload, int32_t replicas, std::string reason);

  const KubeModel& model;
  KubeState& state;

 private:
  void dispatch(const Event& event);
  void take_scheduled();
  void preempt(PodId victim);

  Cluster& cluster_;
  Engine& engine_;
  Scheduler scheduler_;
  Kubelet kubelet_;
  Controllers controllers_;
  NodeLifecycle nodes_;
  MetricsPipeline metrics_;
  HpaLoop hpa_;
};

}  // namespace kisim
