#pragma once
// NVIDIA's dcgm-exporter: a series for each GPU, or MIG instance where a GPU is cut, and for each pod that holds it
// where several do (--kubernetes-virtual-gpus). Labels without a value are empty, which to Prometheus is as if they
// were absent. Averages are over the time since it was last asked. For those who record; an HPA sees MetricsPipeline.

#include "kube/cluster_metrics.hpp"
#include "kube/dcgm.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

class DcgmExporter {
 public:
  // Calls back with every metric. `last` is what this exporter has seen before.
  void for_each_metric(const Cluster& cluster, const Serving& serving, Time now, const MetricCallback& callback);

 private:
  std::map<std::pair<NodeId, size_t>, DcgmGauges> last_;  // by device
  Time last_at_;
};

}  // namespace kisim
