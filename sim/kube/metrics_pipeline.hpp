#pragma once
// From a replica's /metrics to the metrics API: what an autoscaler can know, and how old it is.
//
// All ready replicas of a workload are scraped together every scrape interval, at an offset of the workload's own. A
// scrape is visible `delay` later. Gauges are those of the latest visible scrape; rates and shares of time are taken
// between the oldest scrape of the window that knows the pod and the latest, and need two. Values are truncated to
// milli-units, as prometheus-adapter does.

#include "core/engine.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"
#include "serving/serving.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace kisim {

struct MetricDoc {
  std::string_view name, unit, doc;
};
// Every metric that the pipeline can publish, for `kisim list metrics`.
std::vector<MetricDoc> metric_docs();
// What an HPA asks for and cannot get from this pipeline: complaints for its metrics, as warnings.
std::vector<Diagnostic> check_metrics(const HorizontalPodAutoscaler& object);

// Whether the metric is one of cpu and memory, which come from the resource metrics API and not from this pipeline.
bool from_resource_api(const MetricSpec& spec);

class MetricsPipeline {
 public:
  using MetricIndex = uint8_t;

  // `scrape` is the kind of event that comes back as scrape().
  MetricsPipeline(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Engine& engine,
                  uint16_t scrape)
      : model_(model), state_(state), cluster_(cluster), serving_(serving), engine_(engine), scrape_(scrape) {}

  void start();
  void scrape(WorkloadId workload);

  // Nothing if the workload's servers do not export a metric of that name.
  std::optional<MetricIndex> find(WorkloadId workload, std::string_view name) const;
  // The pod's value; nothing if it was not ready at the latest visible scrape or has too few scrapes for a rate.
  std::optional<MetricSample> pod_sample(WorkloadId workload, MetricIndex metric, PodId pod) const;
  // The sum over all pods; nothing if there is no pod to ask.
  std::optional<int64_t> total_milli(WorkloadId workload, MetricIndex metric) const;

 private:
  const Scrape* visible(WorkloadId workload, size_t& age) const;
  const Scrape* window_start(WorkloadId workload, PodId pod, size_t latest) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Serving& serving_;
  Engine& engine_;
  uint16_t scrape_;
};

}  // namespace kisim
