#include "kube/metrics_pipeline.hpp"

#include "core/hash.hpp"
#include "kube/cluster_metrics.hpp"

#include <algorithm>

namespace kisim {

namespace {

enum class Exporter : uint8_t { Llm, Batch, Any, Service };
// Gauges are read as they are; rates are differences per second, shares differences of nanoseconds per nanosecond.
enum class Reading : uint8_t { Gauge, Rate, Share };

using Target = Scrape::Target;
using Value = std::optional<double>;

struct Metric {
  MetricDoc doc;
  Exporter exporter;
  Reading reading;
  Value (*value)(const Target&);  // none: nobody exports it of such a pod
  double scale = 1;
};

constexpr double kMebibyte = 0x1p20;

Value running(const Target& t) { return t.gauges.running; }
Value waiting(const Target& t) { return t.gauges.waiting; }
Value kv_usage(const Target& t) { return t.gauges.kv_usage; }
Value completed(const Target& t) { return static_cast<double>(t.gauges.completed); }
Value preemptions(const Target& t) { return static_cast<double>(t.gauges.preemptions); }
Value prompt_tokens(const Target& t) { return static_cast<double>(t.gauges.prompt_tokens); }
Value generated_tokens(const Target& t) { return static_cast<double>(t.gauges.generated_tokens); }
Value prefix_queries(const Target& t) { return static_cast<double>(t.gauges.prefix_queries); }
Value prefix_hits(const Target& t) { return static_cast<double>(t.gauges.prefix_hits); }
Value tier_queries(const Target& t) { return static_cast<double>(t.gauges.tier_queries); }
Value tier_hits(const Target& t) { return static_cast<double>(t.gauges.tier_hits); }
Value drafts(const Target& t) { return static_cast<double>(t.gauges.drafts); }
Value draft_tokens(const Target& t) { return static_cast<double>(t.gauges.draft_tokens); }
Value accepted_tokens(const Target& t) { return static_cast<double>(t.gauges.accepted_tokens); }
Value busy_ns(const Target& t) { return static_cast<double>(t.gauges.busy_ns); }

// Of the pod's devices.
Value gpu_active(const Target& t) { return t.gpu ? Value(t.gpu->active) : std::nullopt; }
Value gpu_active_without_mig(const Target& t) { return t.gpu && !t.gpu->instance ? gpu_active(t) : std::nullopt; }
Value gpu_dram(const Target& t) { return t.gpu ? Value(t.gpu->dram) : std::nullopt; }
Value gpu_tensor(const Target& t) { return t.gpu ? Value(t.gpu->tensor) : std::nullopt; }
bool knows_memory(const Target& t) { return t.gpu && t.gpu->fb_used && t.gpu->fb_total > 0; }
Value gpu_memory_used(const Target& t) {
  return knows_memory(t) ? Value(static_cast<double>(*t.gpu->fb_used)) : std::nullopt;
}
Value gpu_memory_free(const Target& t) {
  return knows_memory(t) ? Value(static_cast<double>(t.gpu->fb_free())) : std::nullopt;
}

constexpr std::string_view kVllm = "vLLM", kTriton = "Triton", kDcgm = "dcgm-exporter", kOwn = "kisim";

constexpr Metric kMetrics[] = {
    {{"vllm:num_requests_running", "1", "requests in the running batch", kVllm},
     Exporter::Llm,
     Reading::Gauge,
     running},
    {{"vllm:num_requests_waiting", "1", "requests waiting at the engine", kVllm},
     Exporter::Llm,
     Reading::Gauge,
     waiting},
    {{"vllm:kv_cache_usage_perc", "1", "share of KV cache blocks in use; 1 = all", kVllm},
     Exporter::Llm,
     Reading::Gauge,
     kv_usage},
    {{"vllm:generation_tokens_total", "1/s", "rate of generated tokens over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     generated_tokens},
    {{"vllm:prompt_tokens_total", "1/s", "rate of prompt tokens over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     prompt_tokens},
    {{"vllm:request_success_total", "1/s", "rate of completed requests over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     completed},
    {{"vllm:num_preemptions_total", "1/s", "rate of preempted requests over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     preemptions},
    {{"vllm:prefix_cache_queries_total", "1/s", "rate of tokens looked up in the prefix cache over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     prefix_queries},
    {{"vllm:prefix_cache_hits_total", "1/s", "rate of tokens found in the prefix cache over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     prefix_hits},
    {{"vllm:external_prefix_cache_queries_total", "1/s",
      "rate of tokens that the prefix cache did not have, looked up behind it (kvOffload) over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     tier_queries},
    {{"vllm:external_prefix_cache_hits_total", "1/s",
      "rate of tokens found behind the prefix cache (kvOffload) over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     tier_hits},
    {{"vllm:spec_decode_num_drafts_total", "1/s",
      "speculative decoding: rate at which tokens are drafted for a sequence, over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     drafts},
    {{"vllm:spec_decode_num_draft_tokens_total", "1/s", "rate of drafted tokens over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     draft_tokens},
    {{"vllm:spec_decode_num_accepted_tokens_total", "1/s", "rate of accepted drafts over the window", kVllm},
     Exporter::Llm,
     Reading::Rate,
     accepted_tokens},
    {{"nv_inference_pending_request_count", "1", "requests waiting at the batch server", kTriton},
     Exporter::Batch,
     Reading::Gauge,
     waiting},
    {{"nv_inference_request_success", "1/s", "rate of completed requests over the window", kTriton},
     Exporter::Batch,
     Reading::Rate,
     completed},
    {{"nv_gpu_utilization", "1", "share of the window in which a kernel ran, 0 to 1", kTriton},
     Exporter::Batch,
     Reading::Share,
     busy_ns},
    {{"DCGM_FI_DEV_GPU_UTIL", "%",
      "share of the window in which a kernel of anyone ran on the GPU, 0 to 100; absent of MIG instances; under "
      "time-slicing and MPS that of the whole GPU. However little of the GPU a kernel uses, it counts in full",
      kDcgm},
     Exporter::Any,
     Reading::Share,
     gpu_active_without_mig,
     100},
    {{"DCGM_FI_PROF_GR_ENGINE_ACTIVE", "1",
      "share of the window in which the compute engine of the GPU or MIG instance was active, 0 to 1; under "
      "time-slicing and MPS that of the whole GPU",
      kDcgm},
     Exporter::Any,
     Reading::Share,
     gpu_active},
    {{"DCGM_FI_PROF_DRAM_ACTIVE", "1",
      "mean share of the peak memory bandwidth of the GPU or MIG instance, 0 to 1; under time-slicing and MPS of all "
      "who share it. Of batch models by the demand `bandwidth` of their latency",
      kDcgm},
     Exporter::Any,
     Reading::Share,
     gpu_dram},
    {{"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "1",
      "mean share of the peak FP16 rate of the tensor cores of the GPU or MIG instance, 0 to 1; under time-slicing and "
      "MPS of all who share it. Of batch models by the demand `compute` of their latency, which is an upper bound",
      kDcgm},
     Exporter::Any,
     Reading::Share,
     gpu_tensor},
    {{"DCGM_FI_DEV_FB_USED", "MiB",
      "memory in use on the GPU or MIG instance by all who share it, from the end of loading: what an LLM engine "
      "reserves (kvMemoryUtilization), of batch models weights and instances; absent where that is not known",
      kDcgm},
     Exporter::Any,
     Reading::Gauge,
     gpu_memory_used,
     1 / kMebibyte},
    {{"DCGM_FI_DEV_FB_FREE", "MiB", "what DCGM_FI_DEV_FB_USED leaves of the memory", kDcgm},
     Exporter::Any,
     Reading::Gauge,
     gpu_memory_free,
     1 / kMebibyte},
    {{"kisim:requests_per_second", "1/s", "rate of completed requests over the window", kOwn},
     Exporter::Any,
     Reading::Rate,
     completed},
    {{"kisim:held_requests", "1", "requests waiting at the Service for its first endpoint", kOwn, MetricUse::Whole},
     Exporter::Service,
     Reading::Gauge,
     nullptr},
};

constexpr MetricDoc kResourceMetrics[] = {
    {"cpu", "cores", "CPU time per time between two samples of the kubelet", "metrics-server", MetricUse::Resource},
    {"memory", "bytes", "working set at the last sample of the kubelet", "metrics-server", MetricUse::Resource},
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
template <class OfPod>
const OfPod* find_target(const std::vector<OfPod>& targets, PodId pod) {
  auto at = std::lower_bound(targets.begin(), targets.end(), pod, [](const OfPod& t, PodId id) { return t.pod < id; });
  return at != targets.end() && at->pod == pod ? &*at : nullptr;
}

std::string exported_names() {
  std::string names;
  for (const Metric& m : kMetrics) names += (names.empty() ? "" : ", ") + std::string(m.doc.name);
  return names;
}

bool is_nothing(const Distribution& d) { return d.is_constant() && d.mean() == 0; }

// Whether anything is known of what the pods use.
bool has_usage(const PodBehaviour& b) {
  return !is_nothing(b.cpu) || !is_nothing(b.memory) || b.cpu_per_request != 0 || b.memory_per_request != 0;
}

int64_t to_milli(double value) { return static_cast<int64_t>(value * 1000); }

// The shortest life of a container whose start stands for its first sample (freshContainerMinMetricsResolution).
constexpr Duration kFreshContainer{10'000'000'000};

}  // namespace

const char* to_string(MetricUse use) {
  switch (use) {
    case MetricUse::Resource:
      return "Resource, ContainerResource";
    case MetricUse::Pods:
      return "Pods, Object, External";
    case MetricUse::Whole:
      return "Object, External";
    case MetricUse::Recorded:
      return "recorded only";
  }
  return "?";
}

bool from_resource_api(const MetricSpec& spec) {
  return spec.source == MetricSpec::Source::Resource || spec.source == MetricSpec::Source::ContainerResource;
}

std::vector<MetricDoc> metric_docs() {
  std::vector<MetricDoc> docs(std::begin(kResourceMetrics), std::end(kResourceMetrics));
  for (const Metric& m : kMetrics) docs.push_back(m.doc);
  for (const MetricDoc& doc : cluster_metric_docs()) docs.push_back(doc);
  return docs;
}

std::vector<Diagnostic> check_metrics(const HorizontalPodAutoscaler& object, const PodBehaviour& behaviour) {
  std::vector<Diagnostic> complaints;
  auto complain = [&](const MetricSpec& spec, std::string message) {
    complaints.push_back({Severity::Warning, spec.mark, "spec.metrics", std::move(message)});
  };
  for (const MetricSpec& spec : object.metrics) {
    if (from_resource_api(spec)) {
      if (spec.name != "cpu" && spec.name != "memory")
        complain(spec,
                 fmt::format("found resource '{}', allowed: cpu, memory (metrics-server has no other)", spec.name));
      else if (!has_usage(behaviour))
        complain(spec,
                 fmt::format("found resource metric '{}', but nothing is known of what the pods use, so the HPA will "
                             "not get it, allowed: an entry of spec.pods that says so",
                             spec.name));
    } else if (const Metric* metric = find_metric(spec.name); !metric) {
      complain(spec, fmt::format("found '{}', which nobody exports; exported: {}", spec.name, exported_names()));
    } else if (spec.source == MetricSpec::Source::Pods && metric->doc.use == MetricUse::Whole) {
      complain(spec, fmt::format("found '{}' as a Pods metric, allowed: {} (it is no pod's)", spec.name,
                                 to_string(metric->doc.use)));
    } else if (!spec.selector.requirements.empty()) {
      complain(spec,
               fmt::format("the selector of metric '{}' is not modelled: all pods of the workload count", spec.name));
    }
  }
  return complaints;
}

MetricsPipeline::MetricsPipeline(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving,
                                 Engine& engine, Events events)
    : model_(model),
      state_(state),
      cluster_(cluster),
      serving_(serving),
      engine_(engine),
      events_(events),
      usage_(model, state, cluster, serving) {
  Stream stream(model_.seed, hash_text("MetricsServer"), Purpose::ScrapeOffset);
  const MetricsSettings& settings = model_.metrics;
  usage_offset_ =
      settings.offset.value_or(Duration::seconds(stream.uniform() * settings.resource_resolution.to_seconds()));
  for (size_t f = 0; f < model_.faults.size(); ++f)
    if (model_.faults[f].kind == Fault::Kind::MetricsOutage) outages_.push_back(static_cast<uint32_t>(f));
}

void MetricsPipeline::start() {
  const MetricsSettings& settings = model_.metrics;
  auto kept = [&](Duration span, Duration period) { return static_cast<size_t>(span.ns / period.ns + 3); };
  state_.scrapes.resize(model_.workloads.size());
  for (size_t w = 0; w < model_.workloads.size(); ++w) {
    const WorkloadModel& workload = cluster_.model.workloads[WorkloadId(w)];
    ScrapeHistory& history = state_.scrapes[WorkloadId(w)];
    if (workload.serving.valid() && wants(WorkloadId(w), false)) {
      history.ring.resize(kept(settings.window + settings.delay, settings.scrape_interval));
      Stream stream(model_.seed, hash_text("Workload/" + workload.full_name()), Purpose::ScrapeOffset);
      Duration random = Duration::seconds(stream.uniform() * settings.scrape_interval.to_seconds());
      engine_.schedule(engine_.now() + settings.offset.value_or(random), Priority::Scrape, events_.scrape,
                       static_cast<uint32_t>(w));
    }
    if (usage_varies(WorkloadId(w)) && wants(WorkloadId(w), true)) {
      Duration longest = settings.resource_resolution + settings.resource_window;
      history.usage.ring.resize(kept(longest + longest + settings.delay, settings.resource_window));
      engine_.schedule(engine_.now() + usage_offset_, Priority::Scrape, events_.sample_usage, static_cast<uint32_t>(w));
    }
  }
}

// Whether an autoscaler of the workload looks at metrics of that API.
bool MetricsPipeline::wants(WorkloadId workload, bool resource) const {
  auto looks = [&](const AutoscalerBinding& binding) {
    if (binding.workload != workload || binding.recorded) return false;
    std::span<const MetricSpec> specs = binding.policy->required_metrics(binding.object ? &*binding.object : nullptr);
    return std::any_of(specs.begin(), specs.end(),
                       [&](const MetricSpec& spec) { return from_resource_api(spec) == resource; });
  };
  auto shown = [&](const AgentModel& agent) {
    return std::any_of(agent.targets.begin(), agent.targets.end(), [&](const AgentModel::Target& target) {
      const bool any = resource ? !target.cpu.name.empty() : !target.waiting.name.empty();
      return target.workload == workload && any;
    });
  };
  return std::any_of(model_.autoscalers.begin(), model_.autoscalers.end(), looks) ||
         std::any_of(model_.agents.begin(), model_.agents.end(), shown);
}

bool MetricsPipeline::usage_varies(WorkloadId workload) const {
  const PodBehaviour& b = model_.workloads[workload].behaviour;
  return cluster_.model.workloads[workload].serving.valid() && (b.cpu_per_request != 0 || b.memory_per_request != 0);
}

bool MetricsPipeline::fails(uint64_t entity, Time at) const {
  if (model_.metrics.dropout == 0) return false;
  Stream stream(model_.seed, hash_combine(entity, static_cast<uint64_t>(at.ns)), Purpose::MetricDropout);
  return stream.uniform() < model_.metrics.dropout;
}

double MetricsPipeline::noise(uint64_t entity, std::string_view metric, Time at) const {
  if (model_.metrics.noise == 0) return 1;
  const uint64_t series = hash_combine(entity, hash_text(metric));
  Stream stream(model_.seed, hash_combine(series, static_cast<uint64_t>(at.ns)), Purpose::MetricNoise);
  return std::max(0.0, 1 + model_.metrics.noise * normal_quantile(stream.uniform_open()));
}

bool MetricsPipeline::unavailable() const {
  return std::any_of(outages_.begin(), outages_.end(), [this](uint32_t f) { return state_.faults[f].active; });
}

void MetricsPipeline::scrape(WorkloadId workload) {
  engine_.schedule(engine_.now() + model_.metrics.scrape_interval, Priority::Scrape, events_.scrape, workload.value);
  if (model_.metrics.dropout > 0) {
    const uint64_t entity = hash_text("Workload/" + cluster_.model.workloads[workload].full_name());
    if (fails(entity, engine_.now())) return;
  }
  Scrape& scrape = state_.scrapes[workload].push();
  scrape.at = engine_.now();
  scrape.targets.clear();
  Dcgm dcgm(cluster_, serving_);
  for (PodId id : cluster_.state.workload_pods[workload.value]) {
    const PodState& pod = cluster_.state.pods[id];
    if (pod.phase == PodPhase::Ready && pod.replica.valid() && usage_.is_running(id))
      scrape.targets.push_back({id, serving_.gauges(pod.replica), dcgm.of_pod(id, scrape.at)});
  }
  ServiceId service = model_.workloads[workload].service;
  scrape.held = service.valid() ? serving_.held(service) : 0;
}

void MetricsPipeline::sample_usage(WorkloadId workload) {
  engine_.schedule(engine_.now() + model_.metrics.resource_window, Priority::Scrape, events_.sample_usage,
                   workload.value);
  UsageScrape& scrape = state_.scrapes[workload].usage.push();
  scrape.at = engine_.now();
  scrape.targets.clear();
  for (PodId id : cluster_.state.workload_pods[workload.value])
    if (usage_.is_running(id)) scrape.targets.push_back({id, usage_.cpu_milli(id), usage_.memory_bytes(id)});
}

MetricsPipeline::Query MetricsPipeline::query(WorkloadId workload, const MetricSpec& spec) const {
  Query query{.spec = &spec};
  if (from_resource_api(spec)) {
    if (!usage_.has_usage(workload)) return query;
    if (spec.name == "cpu") query.kind = Query::Kind::Cpu;
    if (spec.name == "memory") query.kind = Query::Kind::Memory;
    return query;
  }
  const Metric* metric = find_metric(spec.name);
  ServingModelId serving = cluster_.model.workloads[workload].serving;
  if (!metric || !serving.valid() || !exports(metric->exporter, serving_.model.models[serving].llm)) return query;
  if (spec.source == MetricSpec::Source::Pods && !metric->value) return query;
  query.kind = Query::Kind::Scraped;
  query.index = static_cast<uint8_t>(metric - kMetrics);
  return query;
}

ObservedMetric::Answer MetricsPipeline::of_pods(WorkloadId workload, const Query& query, std::span<const PodId> pods,
                                                std::vector<Sample>& out) const {
  out.assign(pods.size(), std::nullopt);
  if (unavailable()) return Answer::Unavailable;
  bool any = false;
  if (query.kind == Query::Kind::Scraped) {
    size_t age = 0;
    const Scrape* latest = visible(workload, age);
    if (!latest) return Answer::None;
    // Both lists are in the order of the pods' ids.
    size_t i = 0;
    for (const Scrape::Target& target : latest->targets) {
      while (i < pods.size() && pods[i] < target.pod) ++i;
      if (i == pods.size()) break;
      if (pods[i] != target.pod) continue;
      out[i] = scraped_sample(workload, query, target, age);
      any |= out[i].has_value();
    }
  } else if (query.kind != Query::Kind::Unknown) {
    std::optional<UsageWindow> window = usage_window();
    for (size_t i = 0; window && i < pods.size(); ++i) {
      out[i] = usage_sample(workload, query, pods[i], *window);
      any |= out[i].has_value();
    }
  }
  return any ? Answer::Values : Answer::None;
}

ObservedMetric::Answer MetricsPipeline::of_workload(WorkloadId workload, const Query& query, int64_t& out) const {
  if (unavailable()) return Answer::Unavailable;
  if (query.kind != Query::Kind::Scraped) return Answer::None;
  size_t age = 0;
  const Scrape* latest = visible(workload, age);
  if (!latest) return Answer::None;
  out = 0;
  if (kMetrics[query.index].exporter == Exporter::Service) {
    out = static_cast<int64_t>(latest->held) * 1000;
    return Answer::Values;
  }
  bool any = false;
  for (const Scrape::Target& target : latest->targets) {
    Sample sample = scraped_sample(workload, query, target, age);
    if (sample) out += sample->milli;
    any |= sample.has_value();
  }
  return any ? Answer::Values : Answer::None;
}

// The latest scrape that has been published and is not stale, and how many scrapes ago it was.
const Scrape* MetricsPipeline::visible(WorkloadId workload, size_t& age) const {
  const ScrapeHistory& history = state_.scrapes[workload];
  for (age = 0; age < history.size; ++age) {
    const Scrape& scrape = history.back(age);
    if (scrape.at + model_.metrics.delay > engine_.now()) continue;
    return engine_.now() - scrape.at <= model_.metrics.staleness ? &scrape : nullptr;
  }
  return nullptr;
}

// The oldest scrape of the window that knows the pod.
const Scrape* MetricsPipeline::window_start(WorkloadId workload, PodId pod, size_t latest) const {
  const ScrapeHistory& history = state_.scrapes[workload];
  const Scrape* oldest = nullptr;
  for (size_t i = latest + 1; i < history.size; ++i) {
    const Scrape& scrape = history.back(i);
    if (scrape.at < history.back(latest).at - model_.metrics.window || !find_target(scrape.targets, pod)) break;
    oldest = &scrape;
  }
  return oldest;
}

MetricsPipeline::Sample MetricsPipeline::scraped_sample(WorkloadId workload, const Query& query,
                                                        const Scrape::Target& target, size_t latest) const {
  const Metric& metric = kMetrics[query.index];
  Time at = state_.scrapes[workload].back(latest).at;
  Value value = metric.value(target);
  if (!value) return std::nullopt;
  double scale = metric.scale;
  if (model_.metrics.noise > 0) scale *= noise(cluster_.pod_entity(target.pod), metric.doc.name, at);
  if (metric.reading == Reading::Gauge) return MetricSample{to_milli(*value * scale), at, {}};

  const Scrape* first = window_start(workload, target.pod, latest);
  Value before = first ? metric.value(*find_target(first->targets, target.pod)) : std::nullopt;
  if (!before) return std::nullopt;
  Duration window = at - first->at;
  double unit = metric.reading == Reading::Rate ? 1e9 : 1;
  double mean = (*value - *before) * unit / static_cast<double>(window.ns);
  return MetricSample{to_milli(mean * scale), at, window};
}

// The latest instant of a period counted from the offset; before the offset, one of its earlier multiples.
Time MetricsPipeline::floor_to(Time t, Duration period) const {
  int64_t since = (t - (Time{} + usage_offset_)).ns;
  int64_t past = since % period.ns;
  return t - Duration{past < 0 ? past + period.ns : past};
}

std::optional<MetricsPipeline::UsageWindow> MetricsPipeline::usage_window() const {
  const MetricsSettings& settings = model_.metrics;
  // At one instant, scrapes come after those who look at them.
  Time published = engine_.now() - std::max(settings.delay, 1_ns);
  Time asked = floor_to(published, settings.resource_resolution);
  Time last = floor_to(asked, settings.resource_window);
  if (last < Time{} + usage_offset_) return std::nullopt;
  // metrics-server first saw that sample at the earliest of its scrapes since, and what it had seen before that is the
  // other one.
  Time first_seen = floor_to(last + settings.resource_resolution - 1_ns, settings.resource_resolution);
  return UsageWindow{floor_to(first_seen - settings.resource_resolution, settings.resource_window), last};
}

MetricsPipeline::Sample MetricsPipeline::usage_sample(WorkloadId workload, const Query& query, PodId pod,
                                                      const UsageWindow& window) const {
  if (!usage_.is_running(pod)) return std::nullopt;
  UsageWindow seen = window;
  Time started = usage_.containers_started(pod);
  if (started >= seen.last) return std::nullopt;
  Duration age = seen.last - started;
  if (age >= kFreshContainer && age < model_.metrics.resource_resolution)
    seen.previous = started;
  else if (started >= seen.previous)
    return std::nullopt;

  bool cpu = query.kind == Query::Kind::Cpu;
  MetricSample sample{0, seen.last, seen.last - seen.previous};
  if (query.spec->source == MetricSpec::Source::ContainerResource) {
    const PodTemplateModel& pods = cluster_.model.templates[cluster_.state.pods[pod].pod_template];
    const std::vector<Container>& all = pods.spec.containers;
    auto named =
        std::find_if(all.begin(), all.end(), [&](const Container& c) { return c.name == query.spec->container; });
    if (named == all.end()) return std::nullopt;
    if (named != all.begin()) return sample;
  }
  if (usage_varies(workload)) {
    std::optional<int64_t> sampled = sampled_usage(workload, cpu, pod, seen);
    if (!sampled) return std::nullopt;
    sample.milli = *sampled;
  } else {
    sample.milli = cpu ? usage_.cpu_milli(pod) : usage_.memory_bytes(pod) * 1000;
  }
  if (model_.metrics.noise > 0) {
    const double factor = noise(cluster_.pod_entity(pod), cpu ? "cpu" : "memory", seen.last);
    sample.milli = static_cast<int64_t>(static_cast<double>(sample.milli) * factor);
  }
  return sample;
}

// In milli-units; nothing if the kubelets did not see the pod at their last sample.
std::optional<int64_t> MetricsPipeline::sampled_usage(WorkloadId workload, bool cpu, PodId pod,
                                                      const UsageWindow& window) const {
  const History<UsageScrape>& history = state_.scrapes[workload].usage;
  int64_t sum = 0, samples = 0;
  for (size_t i = 0; i < history.size; ++i) {
    const UsageScrape& scrape = history.back(i);
    if (scrape.at > window.last) continue;
    if (scrape.at <= window.previous) break;
    const UsageScrape::Target* target = find_target(scrape.targets, pod);
    if (scrape.at == window.last && !target) return std::nullopt;
    if (!cpu) return target ? std::optional(target->memory_bytes * 1000) : std::nullopt;
    sum += target ? target->cpu_milli : 0;
    ++samples;
  }
  // An API quantity in milli-units is rounded up.
  return samples == 0 ? std::nullopt : std::optional((sum + samples - 1) / samples);
}

}  // namespace kisim
