#pragma once
// From what runs to the metrics APIs: what an autoscaler can know, and how old it is.
//
// Custom and external metrics: all ready replicas of a workload that answer are scraped together every scrape interval,
// at an offset of the workload's own. A scrape is visible `delay` later and is no answer any more once it is older than
// `staleness`. Gauges are those of the latest visible scrape; rates and shares of time are taken between the oldest
// scrape of the window that knows the pod and the latest, and need two. Values are truncated to milli-units, as
// prometheus-adapter does. Only workloads whose autoscaler asks for such a metric are scraped.
//
// Resource metrics (metrics-server, pkg/storage/pod.go): kubelets sample their containers every
// `resource_window`, metrics-server asks all kubelets every `resource_resolution`, both counted from one offset. CPU is
// the rate between the last two samples that it has seen, memory the last one; a pod needs both samples, but for a
// container that is at least 10 s old and younger than the resolution, whose start stands for the first. Between two
// samples a pod is taken to use what it uses at the later one. What does not depend on requests is worked out when
// somebody asks, from what the pod uses then: a pod whose containers do not run at that moment has no metrics.
// A pod's usage is that of its first container; the others use nothing.

#include "core/engine.hpp"
#include "kube/model.hpp"
#include "kube/pod_usage.hpp"
#include "kube/state.hpp"
#include "policy/autoscaler.hpp"
#include "serving/serving.hpp"

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace kisim {

// Who can use a metric: an HPA by pod and as a sum, an HPA as one value of the workload, or only what records.
enum class MetricUse : uint8_t { Resource, Pods, Whole, Recorded };
const char* to_string(MetricUse use);

struct MetricDoc {
  std::string_view name, unit, doc;
  std::string_view source;  // who exports it
  MetricUse use = MetricUse::Pods;
};
// Every metric that kisim publishes, for `kisim list metrics`.
std::vector<MetricDoc> metric_docs();
// What an HPA asks for and cannot get from this pipeline: complaints for its metrics, as warnings. `behaviour` is that
// of the workload's pods.
std::vector<Diagnostic> check_metrics(const HorizontalPodAutoscaler& object, const PodBehaviour& behaviour = {});

// Whether the metric is one of cpu and memory, which come from the resource metrics API.
bool from_resource_api(const MetricSpec& spec);

class MetricsPipeline {
 public:
  // The kinds of event that come back here; target: workload.
  struct Events {
    uint16_t scrape, sample_usage;
  };
  // A metric that an autoscaler asks for, looked up once.
  struct Query {
    enum class Kind : uint8_t { Unknown, Cpu, Memory, Scraped } kind = Kind::Unknown;
    uint8_t index = 0;  // Scraped
    const MetricSpec* spec = nullptr;
  };

  MetricsPipeline(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, Engine& engine,
                  Events events);

  void start();
  void scrape(WorkloadId workload);
  void sample_usage(WorkloadId workload);

  // `spec` must outlive the query. Unknown if the workload's pods do not export such a metric.
  Query query(WorkloadId workload, const MetricSpec& spec) const;
  // Values of the pods, which are all of the workload's in order of their ids; nothing for those that have none.
  ObservedMetric::Answer of_pods(WorkloadId workload, const Query& query, std::span<const PodId> pods,
                                 std::vector<std::optional<MetricSample>>& out) const;
  // Whether nobody answers.
  bool unavailable() const;
  // Whether a scrape of this entity at this time fails, and what the reading of one metric in it is multiplied by:
  // MetricsSettings.
  bool fails(uint64_t entity, Time at) const;
  double noise(uint64_t entity, std::string_view metric, Time at) const;
  // The sum over all pods of the workload.
  ObservedMetric::Answer of_workload(WorkloadId workload, const Query& query, int64_t& out) const;

 private:
  using Sample = std::optional<MetricSample>;
  using Answer = ObservedMetric::Answer;

  // The two samples of the kubelets behind what metrics-server answers now.
  struct UsageWindow {
    Time previous, last;
  };

  bool wants(WorkloadId workload, bool resource) const;
  bool usage_varies(WorkloadId workload) const;
  Time floor_to(Time t, Duration period) const;
  std::optional<UsageWindow> usage_window() const;
  Sample usage_sample(WorkloadId workload, const Query& query, PodId pod, const UsageWindow& window) const;
  std::optional<int64_t> sampled_usage(WorkloadId workload, bool cpu, PodId pod, const UsageWindow& window) const;
  const Scrape* visible(WorkloadId workload, size_t& age) const;
  const Scrape* window_start(WorkloadId workload, PodId pod, size_t latest) const;
  Sample scraped_sample(WorkloadId workload, const Query& query, const Scrape::Target& target, size_t latest) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Serving& serving_;
  Engine& engine_;
  Events events_;
  PodUsage usage_;
  Duration usage_offset_;          // of metrics-server and the kubelets
  std::vector<uint32_t> outages_;  // faults that stop the metrics APIs
};

}  // namespace kisim
