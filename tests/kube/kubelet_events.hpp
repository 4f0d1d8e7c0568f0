#pragma once
// What tests of the kubelet share: events as it records them, and a scaling that takes effect at once.

#include "kube_world.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace kisim::test {

inline void scale(KubeRun& run, WorkloadId workload, int32_t replicas) {
  run.kube().scale(workload, replicas, "test");
  run.run_until(run.engine().now());
}

// "12.5 BackOff Back-off restarting …"
struct KubeletEvents : EventSink {
  std::vector<std::string> lines;
  void record(KubeEvent event) override {
    if (event.component == "kubelet")
      lines.push_back(fmt::format("{:g} {} {}", event.at.to_seconds(), event.reason, event.message));
  }
  bool has(const std::string& line) const { return std::find(lines.begin(), lines.end(), line) != lines.end(); }
};

}  // namespace kisim::test
