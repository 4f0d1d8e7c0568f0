#pragma once
// What the metrics pipeline has scraped.

#include "kube/dcgm.hpp"
#include "serving/serving.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace kisim {

// The latest of a series of records, oldest overwritten.
template <class T>
struct History {
  std::vector<T> ring;
  size_t next = 0, size = 0;

  // i = 0 is the latest. Precondition: i < size.
  const T& back(size_t i) const { return ring[(next + ring.size() - 1 - i) % ring.size()]; }
  // The place of a new latest, with what it held before. Precondition: the ring is not empty.
  T& push() {
    T& place = ring[next];
    next = (next + 1) % ring.size();
    size = std::min(size + 1, ring.size());
    return place;
  }
};

// The gauges of all ready replicas of one workload at one instant.
struct Scrape {
  struct Target {
    PodId pod;
    ReplicaGauges gauges;
    std::optional<DcgmGauges> gpu;  // of its devices; none: it has none
  };
  Time at;
  std::vector<Target> targets;  // by pod
  uint32_t held = 0;            // requests that wait at the service for the first endpoint
};

// What the kubelets tell of the running pods of one workload at one instant.
struct UsageScrape {
  struct Target {
    PodId pod;
    int64_t cpu_milli = 0, memory_bytes = 0;
  };
  Time at;
  std::vector<Target> targets;  // by pod
};

// As many scrapes as rates over a window and a delay need.
struct ScrapeHistory : History<Scrape> {
  History<UsageScrape> usage;  // where usage varies; what is constant needs no memory
};

}  // namespace kisim
