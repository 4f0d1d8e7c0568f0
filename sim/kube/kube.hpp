#pragma once
// The control plane: API server, scheduler, controllers, kubelets, metrics pipeline, autoscalers, descheduler, what
// breaks and what operators do, behind one face. Copying KubeState copies all of it.

#include "core/engine.hpp"
#include "kube/actions.hpp"
#include "kube/agent_loop.hpp"
#include "kube/api_server.hpp"
#include "kube/cluster_autoscaler.hpp"
#include "kube/controllers.hpp"
#include "kube/descheduler_loop.hpp"
#include "kube/faults.hpp"
#include "kube/hpa_loop.hpp"
#include "kube/kubelet.hpp"
#include "kube/metrics_pipeline.hpp"
#include "kube/mig_loop.hpp"
#include "kube/mig_manager.hpp"
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
    Changed,         // target: pod; payload: Change::Kind
    WorkloadSync,    // target: workload
    KubeletStep,     // target: pod; payload: the kubelet's own
    ReplicaDrained,  // target: pod
    ImagePulled,     // target: node
    PressureLook,    // target: node
    NodeNotice,      // target: node
    ZoneTurn,        // target: zone
    TaintEviction,   // target: pod
    FaultBegin,      // target: fault
    FaultEnd,        // target: fault
    Act,             // target: action
    Drain,           // target: action
    Scrape,          // target: workload
    UsageSample,     // target: workload
    HpaSync,         // target: autoscaler
    AutoscalerScan,
    NodeJoined,    // target: node
    NodeDeletion,  // target: node
    Descheduling,
    DeschedulerCollect,
    Deschedule,  // target: pod; payload: the descheduler's own
    MigStep,     // target: entry of KubeModel::mig_nodes
    MigLook,
    AgentScrape,   // target: agent
    AgentDecision  // target: agent
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
  const ApiServer& api() const { return api_; }
  // Who hears of the API's events from now on; nullptr: nobody.
  void set_event_sink(EventSink* sink) {
    api_.sink = sink;
    scheduler_.tell_preemptions(sink != nullptr);
  }
  // Changes spec.replicas as a user would.
  void scale(WorkloadId workload, int32_t replicas, std::string reason);
  // The action of an agent that waits for it: [action size].
  void act(AgentId agent, std::span<const float> action);
  // Shows an agent what there is to see now, without a decision.
  void look(AgentId agent) { agents_.look(agent); }

  const KubeModel& model;
  KubeState& state;

 private:
  void dispatch(const Event& event);
  void settle();
  void take_scheduled();
  void deliver(Change change);
  void assign(PodId pod, const std::string& node);
  void refuse(PodId pod, const std::string& reason, const std::string& message);

  Cluster& cluster_;
  Engine& engine_;
  Scheduler scheduler_;
  ApiServer api_;
  Kubelet kubelet_;
  Controllers controllers_;
  NodeLifecycle nodes_;
  Faults faults_;
  MigManager mig_;
  Actions actions_;
  MetricsPipeline metrics_;
  HpaLoop hpa_;
  AgentLoop agents_;
  ClusterAutoscaler cluster_autoscaler_;
  DeschedulerLoop descheduler_;
  MigLoop mig_loop_;
};

}  // namespace kisim
