#include "kube/metrics_pipeline.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

enum class Exporter : uint8_t { Llm, Batch, Any, Service };
// Gauges are read as they are; rates are differences per second, shares differences of nanoseconds per nanosecond.
enum class Reading : uint8_t { Gauge, Rate, Share };

struct Metric {
  MetricDoc doc;
  Exporter exporter;
  Reading reading;
  double (*value)(const ReplicaGauges&);
  double scale;
};

constexpr Metric kMetrics[] = {
    {{"vllm:num_requests_running", "1", "requests in the running batch"},
     Exporter::Llm,
     Reading::Gauge,
     [](const ReplicaGauges& g) { return double(g.running); },
     1},
    {{"vllm:num_requests_waiting", "1", "requests waiting at the engine"},
     Exporter::Llm,
     Reading::Gauge,
     [](const ReplicaGauges& g) { return double(g.waiting); },
     1},
    {{"vllm:kv_cache_usage_perc", "1", "share of KV cache blocks in use; 1 = all"},
     Exporter::Llm,
     Reading::Gauge,
     [](const ReplicaGauges& g) { return g.kv_usage; },
     1},
    {{"vllm:generation_tokens_total", "1/s", "rate of generated tokens over the window"},
     Exporter::Llm,
     Reading::Rate,
     [](const ReplicaGauges& g) { return double(g.generated_tokens); },
     1},
    {{"vllm:prompt_tokens_total", "1/s", "rate of prompt tokens over the window"},
     Exporter::Llm,
     Reading::Rate,
     [](const ReplicaGauges& g) { return double(g.prompt_tokens); },
     1},
    {{"nv_inference_pending_request_count", "1", "requests waiting at the batch server"},
     Exporter::Batch,
     Reading::Gauge,
     [](const ReplicaGauges& g) { return double(g.waiting); },
     1},
    {{"nv_gpu_utilization", "1", "share of the window in which a kernel ran, 0 to 1"},
     Exporter::Batch,
     Reading::Share,
     [](const ReplicaGauges& g) { return double(g.busy_ns); },
     1},
    {{"DCGM_FI_DEV_GPU_UTIL", "%", "share of the window in which a kernel ran, 0 to 100"},
     Exporter::Any,
     Reading::Share,
     [](const ReplicaGauges& g) { return double(g.busy_ns); },
     100},
    {{"kisim:requests_per_second", "1/s", "rate of completed requests over the window"},
     Exporter::Any,
     Reading::Rate,
     [](const ReplicaGauges& g) { return double(g.completed); },
     1},
    {{"kisim:held_requests", "1", "requests waiting at the Service for its first endpoint; Object and External only"},
     Exporter::Service,
     Reading::Gauge,
     nullptr,
     1},
};

const Metric* find_metric(std::string_view name) {
  auto at =
      std::find_if(std::begin(kMetrics), std::end(kMetrics), [name](const Metric& m) { return m.doc.name == name; });
  return at == std::end(kMetrics) ? nullptr : at;
}

bool exports(Exporter exporter, bool llm) {
  if (exporter == Exporter::Llm) return llm;
  if (exporter == Exporter::Batch) return !llm;
  return true;
}

// Pods are scraped in the order of their ids.
const ReplicaGauges* find_target(const Scrape& scrape, PodId pod) {
  auto at = std::lower_bound(scrape.targets.begin(), scrape.targets.end(), pod,
                             [](const Scrape::Target& t, PodId id) { return t.pod < id; });
  return at != scrape.targets.end() && at->pod == pod ? &at->gauges : nullptr;
}

std::string exported_names() {
  std::string names;
  for (const Metric& m : kMetrics) names += (names.empty() ? "" : ", ") + std::string(m.doc.name);
  return names;
}

}  // namespace

bool from_resource_api(const MetricSpec& spec) {
  return spec.source == MetricSpec::Source::Resource || spec.source == MetricSpec::Source::ContainerResource;
}

std::vector<MetricDoc> metric_docs() {
  std::vector<MetricDoc> docs;
  for (const Metric& m : kMetrics) docs.push_back(m.doc);
  return docs;
}

std::vector<Diagnostic> check_metrics(const HorizontalPodAutoscaler& object) {
  std::vector<Diagnostic> complaints;
  auto complain = [&](const MetricSpec& spec, std::string message) {
    complaints.push_back({Severity::Warning, spec.mark, "spec.metrics", std::move(message)});
  };
  for (const MetricSpec& spec : object.metrics) {
    if (from_resource_api(spec))
      complain(spec, fmt::format("found resource metric '{}': pods have no model of it, so the HPA will not get it",
                                 spec.name));
    else if (!find_metric(spec.name))
      complain(spec, fmt::format("found '{}', which nobody exports; exported: {}", spec.name, exported_names()));
    else if (!spec.selector.requirements.empty())
      complain(spec,
               fmt::format("the selector of metric '{}' is not modelled: all pods of the workload count", spec.name));
  }
  return complaints;
}

void MetricsPipeline::start() {
  const MetricsSettings& settings = model_.metrics;
  int64_t span = settings.window.ns + settings.delay.ns;
  auto kept = static_cast<size_t>(span / settings.scrape_interval.ns + 3);
  state_.scrapes.resize(model_.workloads.size());
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    const WorkloadModel& workload = cluster_.model.workloads[WorkloadId(w)];
    if (!workload.serving.valid()) continue;
    state_.scrapes[WorkloadId(w)].ring.resize(kept);
    Stream stream(model_.seed, hash_text("Workload/" + workload.full_name()), Purpose::ScrapeOffset);
    Duration random = Duration::seconds(stream.uniform() * settings.scrape_interval.to_seconds());
    engine_.schedule(engine_.now() + settings.offset.value_or(random), Priority::Scrape, scrape_,
                     static_cast<uint32_t>(w));
  }
}

void MetricsPipeline::scrape(WorkloadId workload) {
  engine_.schedule(engine_.now() + model_.metrics.scrape_interval, Priority::Scrape, scrape_, workload.value);
  ScrapeHistory& history = state_.scrapes[workload];
  Scrape& scrape = history.ring[history.next];
  history.next = (history.next + 1) % history.ring.size();
  history.size = std::min(history.size + 1, history.ring.size());
  scrape.at = engine_.now();
  scrape.targets.clear();
  for (PodId id : cluster_.state.workload_pods[workload.value]) {
    const PodState& pod = cluster_.state.pods[id];
    if (pod.phase == PodPhase::Ready && pod.replica.valid())
      scrape.targets.push_back({id, serving_.gauges(pod.replica)});
  }
  ServiceId service = model_.workloads[workload].service;
  scrape.held = service.valid() ? serving_.held(service) : 0;
}

std::optional<MetricsPipeline::MetricIndex> MetricsPipeline::find(WorkloadId workload, std::string_view name) const {
  const Metric* metric = find_metric(name);
  ServingModelId serving = cluster_.model.workloads[workload].serving;
  if (!metric || !serving.valid() || !exports(metric->exporter, serving_.model.models[serving].llm))
    return std::nullopt;
  return static_cast<MetricIndex>(metric - kMetrics);
}

// The latest scrape that has been published, and how many scrapes ago it was.
const Scrape* MetricsPipeline::visible(WorkloadId workload, size_t& age) const {
  const ScrapeHistory& history = state_.scrapes[workload];
  for (age = 0; age < history.size; ++age)
    if (history.back(age).at + model_.metrics.delay <= engine_.now()) return &history.back(age);
  return nullptr;
}

// The oldest scrape of the window that knows the pod.
const Scrape* MetricsPipeline::window_start(WorkloadId workload, PodId pod, size_t latest) const {
  const ScrapeHistory& history = state_.scrapes[workload];
  const Scrape* oldest = nullptr;
  for (size_t i = latest + 1; i < history.size; ++i) {
    const Scrape& scrape = history.back(i);
    if (scrape.at < history.back(latest).at - model_.metrics.window || !find_target(scrape, pod)) break;
    oldest = &scrape;
  }
  return oldest;
}

std::optional<MetricSample> MetricsPipeline::pod_sample(WorkloadId workload, MetricIndex index, PodId pod) const {
  const Metric& metric = kMetrics[index];
  size_t age = 0;
  const Scrape* latest = visible(workload, age);
  const ReplicaGauges* now = latest ? find_target(*latest, pod) : nullptr;
  if (!now || !metric.value) return std::nullopt;
  if (metric.reading == Reading::Gauge)
    return MetricSample{static_cast<int64_t>(metric.value(*now) * metric.scale * 1000), latest->at, {}};

  const Scrape* first = window_start(workload, pod, age);
  if (!first) return std::nullopt;
  Duration window = latest->at - first->at;
  double change = metric.value(*now) - metric.value(*find_target(*first, pod));
  double unit = metric.reading == Reading::Rate ? 1e9 : 1;
  auto milli = static_cast<int64_t>(change * unit / static_cast<double>(window.ns) * metric.scale * 1000);
  return MetricSample{milli, latest->at, window};
}

std::optional<int64_t> MetricsPipeline::total_milli(WorkloadId workload, MetricIndex index) const {
  size_t age = 0;
  const Scrape* latest = visible(workload, age);
  if (!latest) return std::nullopt;
  if (kMetrics[index].exporter == Exporter::Service) return static_cast<int64_t>(latest->held) * 1000;
  std::optional<int64_t> total;
  for (const Scrape::Target& target : latest->targets)
    if (std::optional<MetricSample> sample = pod_sample(workload, index, target.pod))
      total = total.value_or(0) + sample->milli;
  return total;
}

}  // namespace kisim
