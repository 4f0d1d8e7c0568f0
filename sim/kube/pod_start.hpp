#pragma once
// The start of a pod's containers, phase by phase: each begins where the one before ends, and may take no time.

#include "cluster/cluster.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace kisim {

enum class StartPhase : uint8_t {
  Bind,          // from the scheduler's choice until the kubelet sees the pod; none for a restart
  Image,         // pulling, waiting its turn included
  Container,     // sandbox, container and CUDA
  Weights,       // to the GPU
  Compile,       // nothing where the node has kept what was compiled
  GraphCapture,  // CUDA graphs
  Warmup,        // profiling, KV cache, first requests
  Engine,        // what the scenario gives as one figure for the three
  Readiness      // until the probes have seen it
};
inline constexpr size_t kStartPhases = 9;
std::string_view to_string(StartPhase phase);  // "graph_capture"

// Where weights come from that the node has not kept.
enum class WeightsFrom : uint8_t { Disk, Registry, Peer };
std::string_view to_string(WeightsFrom from);  // "registry"

struct PodStart {
  PodId pod;
  uint32_t restarts = 0;  // before it
  WeightsFrom weights_from = WeightsFrom::Disk;
  std::array<Time, kStartPhases> began;
  Time ready = Time::max();

  PodStart(PodId id, uint32_t restarts_before) : pod(id), restarts(restarts_before) { began.fill(Time::max()); }

  Time& operator[](StartPhase phase) { return began[static_cast<size_t>(phase)]; }
  // The phase that it is in.
  StartPhase phase_at(Time now) const {
    size_t p = kStartPhases - 1;
    while (p > 0 && began[p] > now) --p;
    return static_cast<StartPhase>(p);
  }
  // Of a start that is over.
  Duration lasted(StartPhase phase) const {
    auto p = static_cast<size_t>(phase);
    return (p + 1 < kStartPhases ? began[p + 1] : ready) - began[p];
  }
};

}  // namespace kisim
