#pragma once
// NVIDIA's dcgm-exporter: a series for each GPU, or MIG instance where a GPU is cut, and for each pod that holds it
// where several do (--kubernetes-virtual-gpus). Labels without a value are empty, which to Prometheus is as if they
// were absent. Averages are over the time since it was last asked. For those who record; an HPA sees MetricsPipeline.

#include "kube/cluster_metrics.hpp"
#include "kube/dcgm.hpp"

#include <map>
#include <tuple>

namespace kisim {

class DcgmExporter {
 public:
  // Calls back with every metric.
  void for_each_metric(const Cluster& cluster, const Serving& serving, Time now, const MetricCallback& callback);

 private:
  // By GPU and instance, its profile and start; of a whole GPU both -1.
  std::map<std::tuple<GpuId, int, int>, DcgmGauges> last_;
  Time last_at_;
};

}  // namespace kisim
