#pragma once
// The API server as far as it shapes outcomes: objects come, change and go here and nowhere else. It admits pods
// (quotas, limit ranges), evicts them within their disruption budgets, keeps the counts of the run, records events and
// fills the work queues of the controllers.
//
// Who watches is told by way of KubeState::changes, which Kube hands on at once or after the watch latency; the
// scheduler's cache hears of deletions and nodes without delay, so that it never counts what is not there.

#include "core/engine.hpp"
#include "kube/events.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace kisim {

// What the Eviction subresource answers.
enum class Eviction : uint8_t {
  Evicted,
  TooManyRequests,  // 429: the budget allows no disruption now
  TwoBudgets,       // 500: more than one budget covers the pod
  Gone              // 404: it is being deleted or has ended
};
const char* to_string(Eviction result);

class ApiServer {
 public:
  // The kinds of event that come back: `changed` as deliver() of a delayed change, `sync` as the turn of a workload in
  // its controller's queue.
  struct Events {
    uint16_t changed, sync;
  };

  ApiServer(const KubeModel& model, KubeState& state, Cluster& cluster, Scheduler& scheduler, Engine& engine,
            Events events)
      : model_(model), state_(state), cluster_(cluster), scheduler_(scheduler), engine_(engine), events_(events) {}

  void start();

  // --- pods
  struct NewPod {
    WorkloadId workload;
    TemplateId pod_template;
    uint32_t index = PodState::kNoIndex;
    NodeId pinned;
  };
  // Nothing if admission refuses; `refusal` then has the API's message ("pods … is forbidden: exceeded quota: …").
  std::optional<PodId> create_pod(const NewPod& pod, std::string& refusal);
  // Sets the deletionTimestamp. A pod that no kubelet has is gone at once; else its kubelet ends it within `grace`, or
  // the template's own grace period. Nothing happens to a pod that is being deleted already.
  void delete_pod(PodId pod, std::optional<Duration> grace = {});
  // The same on behalf of `by` ("kubectl drain"), if the disruption budgets allow it.
  Eviction evict(PodId pod, std::string_view by, std::optional<Duration> grace = {});
  // The same for the scheduler, which asks nobody.
  void preempt(PodId pod, PodId preemptor);
  // The grace period that the deletion asked for. Precondition: the pod is Terminating.
  Duration grace_period(PodId pod) const;

  // It is on a node: the scheduler has put it there, or its own spec.nodeName.
  void bound(PodId pod, bool by_scheduler);

  // --- what kubelets report
  // Pending … CrashLoop: the pod's own life. Ready sets PodState::ready and counts the pod; Loading sets
  // PodState::started when the containers start for the first time.
  void set_phase(PodId pod, PodPhase phase);
  // The containers have ended for good: the node's resources are free, the object stays for its owner. `reason` is
  // status.reason ("Evicted", "OutOfcpu"), empty for a run that ended by itself.
  void finish(PodId pod, bool succeeded, std::string reason = {});
  // A container started again.
  void restarted(PodId pod);
  // The object goes, finalizers and all.
  void remove_pod(PodId pod);

  // --- nodes
  void set_condition(NodeId node, uint16_t condition, bool on);
  bool has_condition(NodeId node, uint16_t condition) const {
    return cluster_.state.node_conditions[node.value].any_of(condition);
  }
  // spec.unschedulable
  void cordon(NodeId node, bool on);
  void add_node(NodeId node);
  // Its object is now that entry of ClusterModel::nodes.
  void update_node(NodeId node, NodeId version);
  // Its machine stops; its pods go, ended ones too: at once, where the pod garbage collector waits 40 s to 60 s.
  void remove_node(NodeId node);
  // The second half of it. Precondition: its kubelet has stopped.
  void forget_node(NodeId node);

  // --- the work queues of the controllers: one turn per workload, however often it was asked for
  void enqueue(WorkloadId workload);
  void enqueue_after(WorkloadId workload, Duration delay);
  // After an error: 5 ms · 2^errors, at most 1000 s (workqueue.DefaultTypedControllerRateLimiter); of a Job 1 s ·
  // 2^errors, at most 60 s. A Deployment's ReplicaSets have a queue of their own: `backoff` says whose errors these
  // are.
  void enqueue_rate_limited(WorkloadId workload, Backoff& backoff);

  // --- what is told of it
  // Counted among the decisions; with a sink, recorded as an Event of the API.
  template <class Message>
  void pod_event(PodId pod, KubeEvent::Type type, std::string_view reason, std::string_view component,
                 Message&& message) {
    state_.statistics.decisions.add(reason);
    note(pod, type, reason, component, message);
  }
  template <class Message>
  void workload_event(WorkloadId workload, KubeEvent::Type type, std::string_view reason, std::string_view component,
                      Message&& message) {
    state_.statistics.decisions.add(reason);
    if (!sink) return;
    const WorkloadModel& w = cluster_.model.workloads[workload];
    auto created = static_cast<uint64_t>(state_.workloads[workload].created.ns);
    record({type, engine_.now(), std::string(reason), to_string(w.kind), w.namespace_, w.name, message(), component,
            created});
  }
  template <class Message>
  void node_event(NodeId node, KubeEvent::Type type, std::string_view reason, std::string_view component,
                  Message&& message) {
    state_.statistics.decisions.add(reason);
    if (sink)
      record({type, engine_.now(), std::string(reason), "Node", "default", node_name(node), message(), component});
  }
  // The same, not counted: what happens to every pod.
  template <class Message>
  void note(PodId pod, KubeEvent::Type type, std::string_view reason, std::string_view component, Message&& message) {
    if (sink)
      record({type, engine_.now(), std::string(reason), "Pod", namespace_of(pod), cluster_.pod_name(pod), message(),
              component, pod.value});
  }
  // Of any other object.
  template <class Message>
  void event(KubeEvent::Type type, std::string_view reason, std::string_view kind, const ObjectMeta& object,
             std::string_view component, Message&& message) {
    state_.statistics.decisions.add(reason);
    if (sink)
      record({type, engine_.now(), std::string(reason), kind, object.namespace_, object.name, message(), component});
  }
  // No part of the state: a run with and without it is the same.
  EventSink* sink = nullptr;

  std::string node_name(NodeId node) const { return cluster_.node(node).object.meta.name; }
  const PodTemplateModel& template_of(PodId pod) const {
    return cluster_.model.templates[cluster_.state.pods[pod].pod_template];
  }
  const std::string& namespace_of(PodId pod) const { return template_of(pod).namespace_; }

 private:
  void record(KubeEvent event) { sink->record(std::move(event)); }
  void tell(Change change);
  std::string over_quota(TemplateId pod_template) const;
  void keep_for_job(PodId pod);
  void charge(TemplateId pod_template, int64_t sign);
  void leave_phase(PodId pod);
  void schedule_sync(WorkloadId workload, Time at);
  void node_changed();

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Scheduler& scheduler_;
  Engine& engine_;
  Events events_;
};

}  // namespace kisim
