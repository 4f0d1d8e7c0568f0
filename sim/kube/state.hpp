#pragma once
// The part of the control plane that changes. Copying it copies the future.

#include "core/random.hpp"
#include "kube/scheduler.hpp"
#include "kube/statistics.hpp"
#include "policy/memory.hpp"
#include "serving/serving.hpp"

#include <vector>

namespace kisim {

struct WorkloadControl {
  int32_t replicas = 0;  // spec.replicas
  PolicyMemoryBox memory;
  Stream stream;  // of the autoscaler
};

struct KubeletState {
  int32_t losses = 0;           // faults that hold the node down now
  bool monitored_ready = true;  // what the node lifecycle controller has made of it
  EventHandle monitor;          // when missing heartbeats are noticed
  Time pull_free;               // when the image puller has worked off its queue
  std::vector<Time> image_at;   // per image of the cluster: on disk since; max() = not here

  bool alive() const { return losses == 0; }
};

// The gauges of all ready replicas of one workload at one instant.
struct Scrape {
  struct Target {
    PodId pod;
    ReplicaGauges gauges;
  };
  Time at;
  std::vector<Target> targets;
  uint32_t held = 0;  // requests that wait at the service for the first endpoint
};

// The latest scrapes, oldest overwritten: as many as rates over a window and a delay need.
struct ScrapeHistory {
  std::vector<Scrape> ring;
  size_t next = 0, size = 0;

  // i = 0 is the latest. Precondition: i < size.
  const Scrape& back(size_t i) const { return ring[(next + ring.size() - 1 - i) % ring.size()]; }
};

struct KubeState {
  SchedulerState scheduler;
  IdVector<WorkloadId, WorkloadControl> workloads;
  IdVector<NodeId, KubeletState> nodes;
  IdVector<WorkloadId, ScrapeHistory> scrapes;
  KubeStatistics statistics;
};

}  // namespace kisim
