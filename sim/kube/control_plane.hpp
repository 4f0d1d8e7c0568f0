#pragma once
// What every controller works on.

#include "core/engine.hpp"
#include "kube/api_server.hpp"

#include <string>

namespace kisim {

struct ControlPlane {
  const KubeModel& model;
  KubeState& state;
  Cluster& cluster;
  ApiServer& api;
  Engine& engine;

  Time now() const { return engine.now(); }
  const WorkloadModel& workload(WorkloadId id) const { return cluster.model.workloads[id]; }
  WorkloadControl& control(WorkloadId id) const { return state.workloads[id]; }
  int32_t& replicas(WorkloadId id) const { return cluster.state.replicas[id.value]; }
  bool owns(PodId id) const { return cluster.state.pods[id].owner == PodOwner::Present; }
  // Of the pods that the object owns.
  PodCounts counts(TemplateId id) const;
  template <class Object>
  const Object& object(WorkloadId id) const {
    return std::get<Object>(model.specs[control(id).spec].object);
  }
  std::string replica_set_name(TemplateId pod_template) const { return cluster.model.owner_name(pod_template); }

  // --- what controllers do with pods, within the limit of their client

  // The API client of the workload's controller.
  ClientLimiter& client(WorkloadId id) const { return state.controllers[static_cast<size_t>(workload(id).kind)]; }
  std::string done(const char* verb, const char* past, WorkloadId id, PodId pod) const;
  // False: the client must wait; the workload's next turn is when it may go on.
  bool may_call(WorkloadId workload) const;
  // False after a refusal, which is told as FailedCreate: the controller then asks for a turn after a growing delay.
  // went_well() ends that delay.
  bool create_pod(const ApiServer::NewPod& pod, std::string_view component) const;
  void delete_pod(PodId pod, std::string_view component) const;
  void went_well(WorkloadControl& control, Backoff& backoff) const;
  // Of the object that owns the pods: the Deployment's ReplicaSet, or the workload itself.
  template <class Message>
  void owner_event(WorkloadId id, TemplateId pod_template, KubeEvent::Type type, std::string_view reason,
                   std::string_view component, Message&& message) const {
    if (workload(id).kind != WorkloadModel::Kind::Deployment)
      return api.workload_event(id, type, reason, component, message);
    ObjectMeta meta;
    if (api.sink) {
      meta.namespace_ = workload(id).namespace_;
      meta.name = replica_set_name(pod_template);
    }
    api.event(type, reason, "ReplicaSet", meta, component, message);
  }

  // `message` is formed only when status or reason are new.
  template <class Message>
  void set_condition(WorkloadControl& control, std::string_view type, bool status, std::string_view reason,
                     Message&& message) const {
    for (Condition& c : control.conditions) {
      if (c.type != type) continue;
      if (c.status == status && c.reason == reason) return;
      if (c.status != status) c.since = now();
      c.status = status;
      c.reason = reason;
      c.message = message();
      return;
    }
    control.conditions.push_back({type, status, reason, message(), now()});
  }
};

}  // namespace kisim
