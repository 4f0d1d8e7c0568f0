#include "kube/pod_start.hpp"

namespace kisim {

std::string_view to_string(StartPhase phase) {
  constexpr std::string_view kNames[kStartPhases] = {"bind",          "image",  "container", "weights",  "compile",
                                                     "graph_capture", "warmup", "engine",    "readiness"};
  return kNames[static_cast<size_t>(phase)];
}

std::string_view to_string(WeightsFrom from) {
  constexpr std::string_view kNames[] = {"disk", "registry", "peer"};
  return kNames[static_cast<size_t>(from)];
}

}  // namespace kisim
