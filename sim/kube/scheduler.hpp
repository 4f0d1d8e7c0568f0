#pragma once
// kube-scheduler: takes pods from the scheduling queue, runs the scheduling cycle and binds. It owns the event codes
// 0x40 – 0x4f of Room::Kube. Its owner reports pods and nodes that come, go and change, hands it its events and drains
// SchedulerState::bound after each of them.

#include "cluster/cluster.hpp"
#include "core/engine.hpp"
#include "kube/client_limiter.hpp"
#include "kube/scheduler_cache.hpp"
#include "kube/scheduler_model.hpp"
#include "kube/scheduling_cycle.hpp"
#include "kube/scheduling_queue.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace kisim {

struct SchedulerState {
  struct Pod {
    enum class Stage : uint8_t { None, Waiting, Binding } stage = Stage::None;  // None: not assumed
    bool gates_removed = false;
    bool of_every_node = false;                       // pod_reason came from PreFilter, so it stands for every node
    uint8_t waits_for = 0;                            // Waiting: the plugin whose Permit said so
    NodeId node;                                      // assumed, not yet bound
    EventHandle timer;                                // end of Waiting or Binding
    uint32_t pod_reason = SchedulingCycle::kPerNode;  // last failure, if it was the pod's as a whole
    uint32_t failure_row = kNoRow;                    // last failure: counts by reason
    static constexpr uint32_t kNoRow = 0xffffffffu;
  };

  struct Preemption {
    PodId victim, preemptor;
  };

  SchedulingQueueState queue;
  SchedulerSnapshot snapshot;
  IdVector<PodId, Pod> pods;
  std::vector<PodId> bound;                             // since the owner last drained it, in order
  std::vector<Preemption> preemptions;                  // likewise: pods to evict
  std::vector<std::pair<PodId, std::string>> failed;    // likewise: attempts that failed, and why nobody was evicted
  std::vector<std::pair<PodId, NodeId>> overcommitted;  // likewise: bound where no room is, for kubelets to refuse
  uint32_t next_start = 0;                              // of the node order
  EventHandle cycle, flush;
  Time flush_at;  // when `flush` is due
  PluginMemories memory;
  std::vector<uint32_t> failure_counts;  // rows by pod that failed, columns by reason: nodes
  std::vector<uint32_t> free_rows;
  uint64_t scheduled = 0, attempts = 0, unschedulable = 0, errors = 0;
  ClientLimiter client;             // of its binding calls
  std::vector<uint64_t> decisions;  // by reason: attempts that failed for it, among others
};

// Somebody who looks on. The results of the cycle may be read, nothing may be changed.
class CycleObserver {
 public:
  virtual ~CycleObserver() = default;
  virtual void cycle_ended(PodId pod, StatusCode code, SchedulingCycle& cycle) = 0;
};

class Scheduler {
 public:
  Scheduler(const SchedulerModel& model, SchedulerState& state, Cluster& cluster, Engine& engine);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void start();
  static bool owns(uint8_t code) { return code >= 0x40 && code <= 0x4f; }
  void on_event(const Event& event);

  // A pod to schedule. Precondition: it is not bound.
  void pod_added(PodId pod);
  // Binds a pod where somebody else has put it. Precondition: it fits, and was never added.
  void assign(PodId pod, NodeId node);
  // Somebody emptied the pod's scheduling gates.
  void gates_removed(PodId pod);
  // A pod was deleted, bound or not; its node's resources are free by now (those of an assumed pod are freed here).
  void pod_removed(PodId pod);
  // A bound pod is being deleted; `preempted` if the scheduler asked for it.
  void pod_terminating(PodId pod, bool preempted);
  void node_added(NodeId node);
  // Precondition: no pod is bound to it.
  void node_removed(NodeId node);
  // Its conditions changed.
  void node_changed(NodeId node);
  // Its object is another: labels, taints, images.
  void node_updated(NodeId node);
  // A device failed or came back.
  void device_changed(NodeId node, uint16_t device, bool healthy);
  // Anything else that may help a waiting pod.
  void cluster_event(const ClusterEvent& event);
  // Ends the wait that a Permit plugin asked for. Nothing happens to pods that do not wait.
  void allow(PodId pod);
  void reject(PodId pod);

  // The message of the event FailedScheduling, as kubectl shows it: of the pod's last failure; empty if it never failed
  // or is bound.
  std::string failure_message(PodId pod) const;
  const std::vector<std::string>& reasons() const { return model_.reasons; }
  // Runs a cycle for a pod that waits and shows its results; nothing comes of it but what plugins remember and what a
  // cycle reads of the cluster before it starts.
  template <class Callback>
  void probe(PodId pod, Callback&& callback) {
    count_disruptions();
    StatusCode code = cycle_.run(pod, state_.next_start, state_.snapshot.pod_records[pod].nominated);
    callback(code, cycle_);
  }
  // Told of every cycle when it has ended and before anything comes of it.
  void observe(CycleObserver* observer) { observer_ = observer; }
  // Whether SchedulerState::failed says why nobody was evicted, " preemption: 0/3 nodes are available: …". Costs time.
  void tell_preemptions(bool told) { preemptions_told_ = told; }
  // Pods known and not bound, those in flight left out.
  size_t pending() const { return queue_.pending(); }

 private:
  enum Code : uint8_t { kCycle = 0x40, kBound = 0x41, kPermitTimeout = 0x42, kFlush = 0x43 };
  using Stage = SchedulerState::Pod::Stage;

  void arm();
  bool passes_gates(PodId pod);
  void schedule_one(PodId pod);
  // Returns why nobody is evicted, if it is told and nobody is.
  std::string post_filter(PodId pod);
  void nominate(PodId pod, NodeId node);
  void count_disruptions();
  void assigned_pod_gone(PodId pod);
  const SchedulerView& view() const { return cycle_.view(); }
  void give_up(PodId pod, StatusCode code, uint64_t rejected_by, uint64_t pending_by, std::string preemption = {});
  void assume(PodId pod, NodeId node);
  // False: the pod was sent back.
  bool reserve(PodId pod);
  // False: the pod waits or was sent back.
  bool permit(PodId pod);
  void bind(PodId pod);
  void finish_binding(PodId pod);
  void bind_now(PodId pod, NodeId node);
  void unreserve(PodId pod);
  // Frees what was assumed.
  void forget(PodId pod);
  void send_back(PodId pod, size_t plugin, ExtensionPoint point, StatusCode code);
  const SchedulerModel::Profile& profile(PodId pod) const;
  void note_pod_failure(PodId pod, uint32_t reason, bool of_every_node = false);
  void note_node_failures(PodId pod);
  std::span<uint32_t> failure_row(PodId pod);
  void clear_failure(PodId pod);
  EventHandle schedule(Time at, Code code, PodId pod = {});

  const SchedulerModel& model_;
  SchedulerState& state_;
  Cluster& cluster_;
  Engine& engine_;
  SchedulerCache cache_;
  SchedulingCycle cycle_;  // scratch, not state
  ProfileQueueing queueing_;
  SchedulingQueue queue_;
  PermitOutcome permit_;  // scratch
  CycleObserver* observer_ = nullptr;
  bool preemptions_told_ = false;
};

}  // namespace kisim
