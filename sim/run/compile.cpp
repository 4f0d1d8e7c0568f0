// Scenario to Model: names become ids, manifests become workloads, specifications become costs.

#include "cluster/node_selector.hpp"
#include "core/hash.hpp"
#include "kube/autoscaler_status.hpp"
#include "policy/registry.hpp"
#include "run/compile_agents.hpp"
#include "run/compile_cluster.hpp"
#include "run/compile_fluid.hpp"
#include "serving/memory_fit.hpp"
#include "serving/operator_tables.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace kisim {

namespace {

template <class Names>
std::string list(const Names& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

bool selects(const Labels& selector, const Labels& labels) {
  return !selector.empty() && std::all_of(selector.begin(), selector.end(), [&](const auto& want) {
    const std::string* have = find_label(labels, want.first);
    return have && *have == want.second;
  });
}

class Compiler {
 public:
  explicit Compiler(const Scenario& scenario) : scenario_(scenario), cluster_(scenario, *model_, diagnostics_) {}

  std::shared_ptr<const Model> compile() {
    model_->name = scenario_.name;
    model_->end = Time{} + scenario_.duration;
    model_->warmup_end = Time{} + scenario_.warmup;
    model_->sample_interval = scenario_.metrics.scrape_interval;
    cluster_.compile();
    services();
    models();
    workloads();
    traffic();
    for (size_t i = 0; i < model_->serving.services.size(); ++i) disaggregation(ServiceId(i));
    compile_flows(scenario_, routers_, *model_, diagnostics_);
    kube();
    prices();
    finish();
    model_->set_seed(scenario_.seed);
    return model_;
  }

 private:
  void error(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics_.push_back({Severity::Error, mark, field, message});
  }
  void warn(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics_.push_back({Severity::Warning, mark, field, message});
  }

  // ---- serving ----

  // The policy of a role by name, with its parameters checked against their declaration.
  template <class Role>
  std::shared_ptr<const Role> make(const PolicyChoice& choice, const std::string& role) {
    const auto* entry = Registry<Role>::instance().find(choice.name);
    if (!entry) {
      std::vector<std::string> names;
      for (const auto& [name, e] : Registry<Role>::instance().entries()) names.push_back(name);
      error(choice.mark, "spec.policies." + role, fmt::format("found '{}', allowed: {}", choice.name, list(names)));
      return nullptr;
    }
    Params params;
    if (auto complaint = fill_params(entry->params, choice.params, params)) {
      error(choice.mark, "spec.policies." + role, fmt::format("policy {}: {}", choice.name, *complaint));
      return nullptr;
    }
    try {
      return std::shared_ptr<const Role>(entry->make(params));
    } catch (const InputError& e) {
      for (const Diagnostic& d : e.diagnostics())
        error(choice.mark, "spec.policies." + role + "." + d.field, d.message);
      return nullptr;
    }
  }

  void add_service(const std::string& namespace_, const std::string& name, const Labels& selector) {
    ServiceModel service;
    service.namespace_ = namespace_;
    service.name = name;
    service.entity = hash_text("Service/" + namespace_ + "/" + name);
    model_->serving.services.push_back(std::move(service));
    selectors_.push_back(selector);
    routers_.push_back({"random", name, scenario_.mark});  // as kube-proxy spreads connections
  }

  void services() {
    model_->serving.warmup_end = model_->warmup_end;
    for (const Service& s : scenario_.manifests.services)
      if (!s.selector.empty()) add_service(s.meta.namespace_, s.meta.name, s.selector);
    for (const auto& [name, choice] : scenario_.routers) {
      ServiceId id = find_service(name);
      if (id.valid()) {
        model_->serving.services[id].router = make<Router>(choice, "router." + name);
        routers_[id.value] = {choice.name, name, choice.mark};
      } else {
        error(choice.mark, "spec.policies.router." + name,
              fmt::format("no Service has this name, allowed: {}", list(service_names())));
      }
    }
    for (const auto& [name, choice] : scenario_.prefill_routers)
      if (ServiceId id = find_service(name); id.valid())
        model_->serving.services[id].prefill_router = make<Router>(choice, "prefillRouter." + name);
    interference();
    for (size_t s = 0; s < routers_.size(); ++s)
      if (ServiceModel& service = model_->serving.services[ServiceId(s)]; !service.router)
        service.router = make<Router>({routers_[s].name, {}, scenario_.mark}, "router");
  }

  // How replicas on one GPU slow each other. Kernels of shares in thousandths run side by side, as under MPS.
  void interference() {
    std::map<std::string, PolicyChoice> chosen{
        {"time-slicing", {"time-slicing", {}, {}}}, {"mps", {"mps", {}, {}}}, {"gpu-milli", {"mps", {}, {}}}};
    for (const auto& [sharing, choice] : scenario_.interference) chosen[sharing] = choice;
    const std::map<std::string, GpuSharing> ways{
        {"time-slicing", GpuSharing::TimeSlicing}, {"mps", GpuSharing::Mps}, {"gpu-milli", GpuSharing::Fraction}};
    for (const auto& [sharing, choice] : chosen)
      if (auto way = ways.find(sharing); way != ways.end())
        model_->serving.interference[static_cast<size_t>(way->second)] =
            make<Interference>(choice, "interference." + sharing);
      else
        error(choice.mark, "spec.policies.interference." + sharing,
              fmt::format("found '{}', allowed: gpu-milli, mps, time-slicing", sharing));
  }

  std::vector<std::string> service_names() const {
    std::vector<std::string> names;
    for (const ServiceModel& s : model_->serving.services) names.push_back(s.name);
    return names;
  }

  // By "name" or "namespace/name".
  ServiceId find_service(const std::string& name) const {
    for (size_t i = 0; i < model_->serving.services.size(); ++i) {
      const ServiceModel& s = model_->serving.services[ServiceId(i)];
      if (s.name == name || s.namespace_ + "/" + s.name == name) return ServiceId(i);
    }
    return {};
  }

  void models() {
    for (const ModelSpec& spec : scenario_.models) {
      const EngineProfile* engine = find(scenario_.engines, spec.engine);
      KISIM_INVARIANT(engine, "engine {} was accepted and is not in the catalogue", spec.engine);
      ServingModelModel m;
      m.name = spec.name;
      m.max_queue_size = spec.max_queue_size;
      m.llm = engine->kind == "llm";
      if (m.llm)
        llm(spec, *engine, m);
      else
        batch(spec, m);
      check_named_gpu(spec, m);
      model_->serving.models.push_back(std::move(m));
    }
  }

  template <class T>
  static const T* find(const std::vector<T>& items, const std::string& name) {
    auto at = std::find_if(items.begin(), items.end(), [&](const T& item) { return item.name == name; });
    return at == items.end() ? nullptr : &*at;
  }

  // ---- batch servers ----

  static std::vector<const BatchModelSpec*> served_by(const ModelSpec& spec) {
    std::vector<const BatchModelSpec*> out;
    for (const BatchModelSpec& s : spec.served) out.push_back(&s);
    if (out.empty()) out.push_back(&spec);
    return out;
  }

  void batch(const ModelSpec& spec, ServingModelModel& m) {
    m.batch.models.clear();
    std::vector<const BatchModelSpec*> served = served_by(spec);
    int32_t instances = 0;
    for (const BatchModelSpec* s : served) {
      m.batch.models.push_back(batch_model(*s, spec, served));
      if (!s->steps.empty()) continue;
      instances += s->instances;
      m.batch_bytes += static_cast<int64_t>(s->weights_bytes + s->instance_bytes * s->instances);
    }
    m.batch.overlap = spec.overlap;
    if (1 + m.batch.overlap * (instances - 1) <= 0)
      error(spec.mark, "spec.models." + spec.name + ".overlap",
            fmt::format("found {} with {} instances, which together would stand still, allowed: more than {}",
                        m.batch.overlap, instances, -1.0 / (instances - 1)));
  }

  BatchModel batch_model(const BatchModelSpec& spec, const ModelSpec& server,
                         const std::vector<const BatchModelSpec*>& served) {
    BatchModel m;
    m.name = spec.name;
    m.max_batch_size = spec.max_batch_size;
    m.instances = spec.instances;
    m.preferred = spec.preferred_batch_sizes;
    std::sort(m.preferred.begin(), m.preferred.end());
    m.max_queue_delay = spec.max_queue_delay;
    m.prefetched = spec.prefetched_batches;
    m.levels.assign(spec.priority_levels, queue_policy(spec.default_queue_policy));
    for (const auto& [level, policy] : spec.priority_queue_policy)
      m.levels[std::stoi(level) - 1] = queue_policy(policy);
    m.default_level = static_cast<uint32_t>(spec.default_priority_level - 1);
    std::string field = "spec.models." + server.name + (&spec == &server ? "" : ".serves." + spec.name);
    for (const std::string& step : spec.steps) {
      auto at = std::find_if(served.begin(), served.end(), [&](const BatchModelSpec* s) { return s->name == step; });
      if (at == served.end() || !(*at)->steps.empty())
        error(spec.mark, field + ".steps",
              fmt::format("found '{}', allowed: a model of the same server that is no ensemble", step));
      else
        m.steps.push_back(static_cast<uint32_t>(at - served.begin()));
    }
    if (spec.latency) m.laws = {law(*spec.latency)};
    m.law_of_gpu.assign(spec.latency_on.empty() ? 0 : model_->cluster.gpu_models.size(), 0);
    for (const auto& [gpu, latency] : spec.latency_on) {
      for (size_t g = 0; g < m.law_of_gpu.size(); ++g)
        if (model_->cluster.gpu_models[GpuModelId(g)].name == gpu)
          m.law_of_gpu[g] = static_cast<uint32_t>(m.laws.size());
      m.laws.push_back(law(latency));
    }
    return m;
  }

  static QueuePolicy queue_policy(const QueuePolicySpec& spec) {
    QueuePolicy policy = spec;
    policy.timeout_delays = spec.timeout_action == "delay";
    return policy;
  }

  static LatencyLaw law(const BatchModelSpec::Latency& spec) {
    LatencyLaw law;
    law.base = spec.base;
    law.per_sample = spec.per_item;
    for (const auto& [samples, seconds] : spec.table) law.table.push_back({std::stod(samples), seconds});
    law.table = isotonic(std::move(law.table));
    if (!law.table.empty()) {
      law.range_min = law.table.front().samples;
      law.range_max = law.table.back().samples;
    }
    law.factor = spec.factor;
    law.host = spec.host;
    law.compute = spec.compute;
    law.bandwidth = spec.bandwidth;
    return law;
  }

  // Read bandwidths and latencies where the scenario does not say: serving.md section 1.1, BLIS' device classes.
  static KvTierModel kv_tier(const ModelSpec::KvTier& spec) {
    struct Usual {
      const char* name;
      double read_mbs;
      Duration latency;
    };
    constexpr Usual kUsual[] = {{"dram", 20000, 1_us},
                                {"nvme4", 7000, 80_us},
                                {"nvme3", 3500, 100_us},
                                {"sata", 550, 150_us},
                                {"s3", 1000, 30_ms}};
    const Usual& usual =
        *std::find_if(std::begin(kUsual), std::end(kUsual), [&](const Usual& u) { return u.name == spec.name; });
    return {spec.name, static_cast<int64_t>(spec.bytes), (spec.read_mbs > 0 ? spec.read_mbs : usual.read_mbs) * 1e6,
            spec.latency.value_or(usual.latency)};
  }

  StepCoefficients measured_on(const ModelSpec& spec, StepCoefficients iterations) {
    if (const GpuModel* gpu = find(scenario_.gpus, iterations.gpu))
      iterations.bandwidth_gbs = gpu->bandwidth_gbs;
    else
      error(spec.mark, "spec.models." + spec.name + ".iterations.gpu",
            fmt::format("found '{}', allowed: a GPU of the catalogue", iterations.gpu));
    return iterations;
  }

  void llm(const ModelSpec& spec, const EngineProfile& engine, ServingModelModel& m) {
    const LlmModel* llm = find(scenario_.llms, spec.model);
    KISIM_INVARIANT(llm, "model {} was accepted and is not in the catalogue", spec.model);
    m.engine.role = spec.role == "prefill"  ? LlmEngineModel::Role::Prefill
                    : spec.role == "decode" ? LlmEngineModel::Role::Decode
                                            : LlmEngineModel::Role::Both;
    m.engine.by_priority = spec.scheduling_policy == "priority";
    m.engine.kv_transfer = spec.kv_transfer;
    m.engine.pipeline_parallel = spec.pipeline_parallel;
    m.engine.expert_parallel = spec.expert_parallel;
    if (spec.expert_parallel && llm->experts.count == 0)
      error(spec.mark, "spec.models." + spec.name + ".expertParallel",
            fmt::format("found with {}, which has no experts", llm->name));
    if (spec.speculative) m.engine.speculation = speculation(*spec.speculative, *llm);
    if (spec.lora) m.engine.lora = *spec.lora;
    m.engine.lora.max_cpu_loras = std::max(m.engine.lora.max_cpu_loras, m.engine.lora.max_loras);
    m.engine.detail = spec.detail == "linear" ? LlmEngineModel::Detail::Linear : LlmEngineModel::Detail::Iteration;
    m.engine.tables = spec.tables;
    m.engine.async_scheduling = spec.async_scheduling.value_or(engine.async_scheduling);
    m.engine.scheduler_reserve_full_isl = spec.scheduler_reserve_full_isl.value_or(engine.scheduler_reserve_full_isl);
    m.engine.max_model_len = spec.max_model_len;
    m.engine.long_prefill_token_threshold = spec.long_prefill_token_threshold;
    auto choose = [](int32_t wanted, int32_t otherwise) { return wanted > 0 ? wanted : otherwise; };
    m.engine.max_num_seqs = choose(spec.max_num_seqs, engine.max_num_seqs);
    m.engine.max_num_batched_tokens = choose(spec.max_num_batched_tokens, engine.max_num_batched_tokens);
    m.engine.block_size = choose(spec.block_size, engine.block_size);
    m.request_overhead = Duration::seconds(engine.request_overhead_ms * 1e-3);
    m.engine.llm = *llm;
    m.engine.profile = engine;
    if (spec.iterations) m.engine.profile.steps = {measured_on(spec, *spec.iterations)};
    m.engine.memory_utilization = spec.kv_memory_utilization;
    m.engine.tensor_parallel = spec.tensor_parallel;
    m.engine.prefix_caching = spec.prefix_caching;
    for (const ModelSpec::KvTier& tier : spec.kv_offload) m.engine.kv_offload.push_back(kv_tier(tier));
    m.engine.data_parallel = spec.data_parallel;
    if (!spec.latency || (spec.detail != "linear" && spec.detail != "fluid")) return;
    if (!spec.latency->base.is_constant() || !spec.latency->per_item.is_constant())
      return error(spec.mark, "spec.models." + spec.name + ".latency",
                   "found a distribution, allowed: constants (of an LLM; batch servers may be random)");
    m.engine.linear = {spec.latency->base.mean(), spec.latency->per_item.mean(), spec.latency->prefill_base,
                       spec.latency->prefill_per_token};
  }

  SpeculationModel speculation(const ModelSpec::Speculative& spec, const LlmModel& target) const {
    SpeculationModel out;
    out.tokens = spec.tokens;
    out.accepted = spec.acceptance;
    if (out.accepted.size() == 1)
      for (int32_t i = 1; i < spec.tokens; ++i) out.accepted.push_back(out.accepted.back() * spec.acceptance.front());
    if (spec.method == "ngram") return out;
    const LlmModel* named = find(scenario_.llms, spec.model);
    out.draft = named ? *named : draft_head(target);
    // A head shares the embeddings and logits of the model.
    out.draft_bytes = named ? named->weight_bytes() : out.draft->layer_parameters() * out.draft->bytes_per_parameter;
    return out;
  }

  // ---- GPU memory ----

  // The GPU that the model names must hold it, whole.
  void check_named_gpu(const ModelSpec& spec, ServingModelModel& m) {
    for (size_t g = 0; g < model_->cluster.gpu_models.size(); ++g)
      if (model_->cluster.gpu_models[GpuModelId(g)].name == spec.gpu) m.gpu = GpuModelId(g);
    if (!m.gpu.valid()) return;
    Accelerator whole;
    whole.gpu_model = m.gpu;
    const int32_t gpus = m.llm ? m.engine.gpus() : spec.tensor_parallel;
    whole.gpus = static_cast<uint32_t>(gpus);
    whole.memory_bytes = model_->cluster.gpu_models[m.gpu].memory_bytes * gpus;
    if (auto why = does_not_fit(m, model_->cluster, whole)) error(spec.mark, "spec.models." + spec.name, *why);
  }

  // Of every kind of device that the pods may be given, whether it holds their model.
  void check_devices(const ModelSpec& spec, const WorkloadModel& workload, const PodTemplateModel& pods) {
    const ServingModelModel& m = model_->serving.models[workload.serving];
    std::set<std::string> told;
    for (const NodeModel& node : model_->cluster.nodes) {
      if (!matches_required(pods.spec, node.object)) continue;
      for (const GpuDevice& device : node.devices) {
        const size_t count = devices_asked(pods, device);
        if (count == 0) continue;
        const Accelerator on =
            accelerator_on(model_->cluster, node, pods, device, count, std::min<size_t>(count, node.gpus), m.gpu);
        auto why = does_not_fit(m, model_->cluster, on);
        if (!why) why = overcommits(m, model_->cluster, on);
        if (!why) why = not_by_tables(m, on);
        if (!why) why = beyond_measured(m, on);
        if (why && told.insert(*why).second)
          warn(spec.mark, "spec.models." + spec.name,
               fmt::format("{} (pods of {} on node {})", *why, workload.full_name(), node.object.meta.name));
      }
    }
  }

  // Whether an operator profile is of another accelerator.
  std::optional<std::string> not_by_tables(const ServingModelModel& m, const Accelerator& on) const {
    if (!m.llm || !m.engine.tables || !on.gpu_model.valid()) return std::nullopt;
    const std::string& gpu = model_->cluster.gpu_models[on.gpu_model].name;
    bool whole = on.compute_share == 1 && on.bandwidth_share == 1;
    if (gpu == m.engine.tables->gpu && whole) return std::nullopt;
    return fmt::format("takes the times of the iteration level on {}{}: its operator profile is of {}",
                       whole ? "" : "a part of ", gpu, m.engine.tables->gpu);
  }

  // Whether it is split over more GPUs than the engine was measured with.
  std::optional<std::string> beyond_measured(const ServingModelModel& m, const Accelerator& on) const {
    if (!m.llm || !on.gpu_model.valid()) return std::nullopt;
    const GpuModel& gpu = model_->cluster.gpu_models[on.gpu_model];
    if (!llm_cost(m.engine, gpu, on).beyond_tensor_parallel) return std::nullopt;
    const StepCoefficients& c = step_coefficients(m.engine.profile, gpu);
    return fmt::format("has tensorParallel {}; {} was measured with at most {} GPUs on {}", m.engine.tensor_parallel,
                       m.engine.profile.name, c.max_tensor_parallel, c.gpu);
  }

  // How many of such devices a pod asks for.
  size_t devices_asked(const PodTemplateModel& pods, const GpuDevice& device) const {
    if (pods.gpu_milli > 0) return !device.instance && device.replicas == 1 ? static_cast<size_t>(pods.gpu_count) : 0;
    for (const PodTemplateModel::DeviceRequest& request : pods.devices)
      if (model_->cluster.resources[request.resource.value] == device.resource)
        return static_cast<size_t>(request.count);
    return 0;
  }

  // Which model the pods of each workload serve, and behind which service.
  void workloads() {
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      WorkloadId id(w);
      WorkloadModel& workload = model_->cluster.workloads[id];
      std::string annotated = cluster_.annotation(id, "kisim.dev/model");
      const PodTemplateModel& pods = model_->cluster.templates[workload.pod_template];
      const ModelSpec* chosen = nullptr;
      for (size_t i = 0; i < scenario_.models.size(); ++i) {
        const ModelSpec& spec = scenario_.models[i];
        if (spec.name != annotated && (!annotated.empty() || !selects(spec.selector, pods.labels))) continue;
        if (chosen)
          error(spec.mark, "spec.models." + spec.name + ".selector",
                fmt::format("selects {} {} which model {} selects too", to_string(workload.kind), workload.full_name(),
                            chosen->name));
        chosen = &spec;
        workload.serving = ServingModelId(i);
      }
      if (!annotated.empty() && !chosen)
        error(cluster_.meta(WorkloadId(w)).mark, "metadata.annotations[kisim.dev/model]",
              fmt::format("found '{}', which is no entry of spec.models", annotated));
      if (chosen) check_gpus(*chosen, workload, pods);
      if (chosen) check_devices(*chosen, workload, pods);
      check_fits(workload, pods, cluster_.meta(id));
      KubeWorkload& k = model_->kube.workloads[id];
      k.service = service_of(workload, pods);
      const PodBehaviourSpec* behaviour = behaviour_of(id, pods);
      if (chosen)
        k.startup = startup(chosen->startup, find(scenario_.engines, chosen->engine));
      else if (behaviour && behaviour->startup)
        k.startup = startup(*behaviour->startup, nullptr);
      // Replicas of one model have the same weights, whatever their workload; other pods those of their own kind.
      auto entry = [](const auto& all, const auto* one) { return static_cast<uint32_t>(one - all.data()); };
      if (chosen)
        k.startup.artefacts = 1 + entry(scenario_.models, chosen);
      else if (behaviour)
        k.startup.artefacts = static_cast<uint32_t>(1 + scenario_.models.size()) + entry(scenario_.pods, behaviour);
      if (behaviour)
        k.behaviour = {behaviour->run,    behaviour->failure,         behaviour->cpu,
                       behaviour->memory, behaviour->cpu_per_request, behaviour->memory_per_request};
    }
    check_behaviours();
    for (size_t i = 0; i < scenario_.models.size(); ++i)
      if (std::none_of(model_->cluster.workloads.begin(), model_->cluster.workloads.end(),
                       [&](const WorkloadModel& w) { return w.serving == ServingModelId(i); }))
        error(scenario_.models[i].mark, "spec.models." + scenario_.models[i].name,
              fmt::format("selects no workload of the manifests, found: {}", list(cluster_.workload_names())));
  }

  // The entry of spec.pods that an annotation names, or whose selector matches the pods.
  const PodBehaviourSpec* behaviour_of(WorkloadId id, const PodTemplateModel& pods) {
    std::string annotated = cluster_.annotation(id, "kisim.dev/pods");
    const PodBehaviourSpec* chosen = nullptr;
    for (const PodBehaviourSpec& spec : scenario_.pods) {
      if (spec.name != annotated && (!annotated.empty() || !selects(spec.selector, pods.labels))) continue;
      if (chosen)
        error(spec.mark, "spec.pods." + spec.name + ".selector",
              fmt::format("selects the pods of {} {} as {} does", to_string(model_->cluster.workloads[id].kind),
                          model_->cluster.workloads[id].full_name(), chosen->name));
      chosen = &spec;
      used_behaviours_.insert(spec.name);
    }
    if (!annotated.empty() && !chosen)
      error(cluster_.meta(id).mark, "metadata.annotations[kisim.dev/pods]",
            fmt::format("found '{}', which is no entry of spec.pods", annotated));
    return chosen;
  }

  void check_behaviours() {
    for (const PodBehaviourSpec& spec : scenario_.pods)
      if (!used_behaviours_.contains(spec.name))
        error(spec.mark, "spec.pods." + spec.name,
              fmt::format("selects no workload of the manifests, found: {}", list(cluster_.workload_names())));
  }

  void check_gpus(const ModelSpec& spec, const WorkloadModel& workload, const PodTemplateModel& pods) {
    const ServingModelModel& m = model_->serving.models[workload.serving];
    int64_t devices = pods.gpu_count;
    for (const PodTemplateModel::DeviceRequest& request : pods.devices) devices += request.count;
    if (m.llm && devices != m.engine.gpus())
      error(spec.mark, "spec.models." + spec.name + ".tensorParallel",
            fmt::format("found {}{}{}, but the pods of {} request {} GPUs or parts of GPUs; the two must be equal",
                        spec.tensor_parallel,
                        spec.pipeline_parallel > 1 ? fmt::format(" x pipelineParallel {}", spec.pipeline_parallel) : "",
                        spec.data_parallel > 1 ? fmt::format(" x dataParallel {}", spec.data_parallel) : "",
                        workload.full_name(), devices));
  }

  // The devices that nodes have instead of one that none has, and that have at least its memory.
  std::string devices_instead(const PodTemplateModel& pods) const {
    std::string out;
    for (const PodTemplateModel::DeviceRequest& request : pods.devices) {
      const std::string& wanted = model_->cluster.resources[request.resource.value];
      int64_t memory = 0;
      bool had = false;
      std::map<std::string, int64_t> had_instead;
      for (const GpuModel& gpu : model_->cluster.gpu_models)
        for (const MigProfile& p : gpu.mig.profiles())
          if (wanted == mig_resource(p.name)) memory = p.memory_bytes;
      for (const NodeModel& node : model_->cluster.nodes)
        for (const GpuDevice& device : node.devices) {
          had |= device.resource == wanted;
          if (!node.gpu_model.valid()) continue;
          const GpuModel& gpu = model_->cluster.gpu_models[node.gpu_model];
          had_instead[device.resource] =
              device.instance ? gpu.mig.profile(*device.instance).memory_bytes : gpu.memory_bytes;
        }
      if (had) continue;
      std::erase_if(had_instead, [&](const auto& entry) { return entry.second < memory; });
      std::vector<std::string> names;
      for (const auto& [name, bytes] : had_instead) names.push_back(name);
      out += fmt::format("; no node has {}, {}", wanted,
                         names.empty() ? "nor anything as large" : "what is as large: " + list(names));
    }
    return out;
  }

  void check_fits(const WorkloadModel& workload, const PodTemplateModel& pods, const ObjectMeta& meta) {
    for (const NodeModel& node : model_->cluster.nodes) {
      bool fits = true;
      for (size_t r = 0; r < pods.request.size(); ++r) fits &= pods.request[r] <= node.allocatable[r];
      if (fits) return;
    }
    if (model_->cluster.nodes.empty()) return;
    std::string request;
    for (size_t r = 0; r < pods.request.size(); ++r)
      if (pods.request[r] > 0)
        request += fmt::format("{}{} {}", request.empty() ? "" : ", ", pods.request[r],
                               r == kCpu.value ? "milli-cpu" : model_->cluster.resources[r]);
    warn(meta.mark, "resources.requests",
         fmt::format("a pod of {} {} ({}) is larger than any node and will stay Pending{}", to_string(workload.kind),
                     workload.full_name(), request, devices_instead(pods)));
  }

  ServiceId service_of(const WorkloadModel& workload, const PodTemplateModel& pods) {
    // A Service that traffic names comes before others that select the same pods.
    ServiceId found;
    for (size_t i = 0; i < model_->serving.services.size(); ++i) {
      const ServiceModel& s = model_->serving.services[ServiceId(i)];
      if (s.namespace_ != workload.namespace_ || !selects(selectors_[i], pods.labels)) continue;
      bool wanted = std::any_of(scenario_.traffic.begin(), scenario_.traffic.end(),
                                [&](const TrafficSpec& t) { return find_service(t.service) == ServiceId(i); });
      if (!found.valid() || wanted) found = ServiceId(i);
    }
    return found;
  }

  // `engine`: nullptr, or whose figures stand for those that are left out.
  static PodStartup startup(const ModelSpec::Startup& spec, const EngineProfile* engine) {
    PodStartup s;
    s.image_bytes = spec.image;
    s.image_bandwidth = spec.image_bandwidth;
    s.weights_bytes = spec.weights;
    s.weights_bandwidth = spec.weights_bandwidth;
    s.container = spec.container;
    s.engine = spec.engine;
    s.weights_from = spec.weights_from == "registry" ? WeightsFrom::Registry
                     : spec.weights_from == "peer"   ? WeightsFrom::Peer
                                                     : WeightsFrom::Disk;
    s.registry_bandwidth = spec.registry_bandwidth;
    s.peer_bandwidth = spec.peer_bandwidth;
    auto phase = [&](const std::optional<Distribution>& given, double EngineProfile::*figure) {
      return given.value_or(Distribution::constant(spec.engine_defaults && engine ? engine->*figure : 0));
    };
    s.compile = phase(spec.compile, &EngineProfile::compile_seconds);
    s.graph_capture = phase(spec.graph_capture, &EngineProfile::graph_capture_seconds);
    s.warmup = phase(spec.warmup, &EngineProfile::warmup_seconds);
    return s;
  }

  // ---- traffic ----

  void traffic() {
    for (const TrafficSpec& t : scenario_.traffic) {
      ClientModel client;
      client.name = t.name;
      client.entity = hash_text("Traffic/" + t.name);
      client.service = find_service(t.service);
      client.timeout = t.timeout;
      client.retries = t.retries;
      client.retry_backoff = t.retry_backoff;
      client.closed_loop = t.pattern == TrafficSpec::Pattern::Users || t.session.on;
      client.process = t.client != "concurrent";
      client.event_loop = t.client == "event-loop";
      client.network_out = t.network_out;
      client.network_back = t.network_back;
      client.connections = t.connections;
      client.hedge_delay = t.hedge_delay;
      client.admission = t.admission;
      if (!t.tasks.empty()) client.tasks.clear();
      for (const TaskSpec& spec : t.tasks) client.tasks.push_back(task(t, spec, client.service));
      for (const SloSpec& slo : scenario_.slo) {
        if (slo.traffic != t.name) continue;
        client.has_slo = true;
        client.slo_target = slo.target;
        client.slo_penalty = slo.penalty;
        client.slo_ttft = slo.ttft;
        client.slo_tpot = slo.tpot;
        client.slo_e2e = slo.e2e;
      }
      if (!client.service.valid())
        error(t.mark, "spec.traffic." + t.name + ".service",
              fmt::format("found '{}', allowed: a Service of the manifests ({})", t.service, list(service_names())));
      else
        check_served(t, client);
      model_->serving.clients.push_back(std::move(client));
      model_->traffic.sources.push_back(source(t));
    }
  }

  TaskModel task(const TrafficSpec& t, const TaskSpec& spec, ServiceId service) {
    TaskModel out;
    out.name = spec.name;
    out.frontend = spec.frontend;
    out.samples = spec.samples;
    out.priority = static_cast<uint32_t>(spec.priority);
    out.queue_timeout = spec.queue_timeout;
    out.untimed = spec.untimed;
    out.send = spec.send;
    out.receive = spec.receive;
    out.send_turns = spec.send_turns;
    out.receive_turns = spec.receive_turns;
    if (spec.model.empty()) return out;
    out.model.assign(scenario_.models.size(), 0);
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      ServingModelId serving = model_->cluster.workloads[WorkloadId(w)].serving;
      if (!serving.valid() || model_->kube.workloads[WorkloadId(w)].service != service) continue;
      std::vector<const BatchModelSpec*> served = served_by(scenario_.models[serving.value]);
      auto at = std::find_if(served.begin(), served.end(), [&](const auto* s) { return s->name == spec.model; });
      std::vector<std::string> names;
      for (const BatchModelSpec* s : served) names.push_back(s->name);
      if (at == served.end())
        error(spec.mark, "spec.traffic." + t.name + ".tasks." + spec.name + ".model",
              fmt::format("found '{}', allowed: {}", spec.model, list(names)));
      else
        out.model[serving.value] = static_cast<uint16_t>(at - served.begin());
    }
    return out;
  }

  // Calls f(its spec, its engine) for the language models behind a Service.
  template <class F>
  void for_engines(ServiceId service, F f) const {
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      const ServingModelId serving = model_->cluster.workloads[WorkloadId(w)].serving;
      if (model_->kube.workloads[WorkloadId(w)].service != service || !serving.valid()) continue;
      const ServingModelModel& m = model_->serving.models[serving];
      if (m.llm) f(scenario_.models[serving.value], m.engine);
    }
  }

  void check_adapters(const TrafficSpec& t, ServiceId service) {
    if (t.adapters.count == 0) return;
    for_engines(service, [&](const ModelSpec& spec, const LlmEngineModel& engine) {
      if (engine.lora.max_loras > 0) return;
      warn(t.mark, "spec.traffic." + t.name + ".request.adapters",
           fmt::format("model {} serves no LoRA adapters: its answers are those of the model alone", spec.name));
    });
  }

  // Behind a Service with prefill replicas there must be others, and they must understand each other's KV.
  void disaggregation(ServiceId id) {
    ServiceModel& service = model_->serving.services[id];
    const ModelSpec *prefill = nullptr, *answers = nullptr;
    const LlmEngineModel* first = nullptr;
    for_engines(id, [&](const ModelSpec& spec, const LlmEngineModel& engine) {
      (engine.role == LlmEngineModel::Role::Prefill ? prefill : answers) = &spec;
      service.max_local_prefill_length =
          std::max<int64_t>(service.max_local_prefill_length, spec.max_local_prefill_length);
    });
    if (!prefill && answers && answers->role == "decode")
      error(answers->mark, "spec.models." + answers->name + ".role",
            fmt::format("found decode behind service {}, which has no replicas with the role prefill", service.name));
    if (!prefill && service.max_local_prefill_length > 0)
      warn(answers->mark, "spec.models." + answers->name + ".maxLocalPrefillLength",
           fmt::format("has no effect behind service {}, which has no replicas with the role prefill", service.name));
    if (!prefill && service.prefill_router)
      error(scenario_.mark, "spec.policies.prefillRouter." + service.name,
            "found, but no replicas have the role prefill");
    if (!prefill) return;
    if (!service.prefill_router) service.prefill_router = make<Router>({"random", {}, scenario_.mark}, "prefillRouter");
    if (!answers)
      return error(prefill->mark, "spec.models." + prefill->name + ".role",
                   fmt::format("found prefill behind service {}, where nobody answers", service.name));
    for_engines(id, [&](const ModelSpec& spec, const LlmEngineModel& engine) {
      if (!first) first = &engine;
      auto differ = [&](const char* field, const auto& here, const auto& there) {
        if (here != there)
          error(
              spec.mark, fmt::format("spec.models.{}.{}", spec.name, field),
              fmt::format("found {} behind service {}, where replicas send KV to others with {}; the two must be equal",
                          here, service.name, there));
      };
      differ("model", engine.llm.name, first->llm.name);
      differ("blockSize", engine.block_size, first->block_size);
      if (engine.detail == LlmEngineModel::Detail::Linear)
        error(spec.mark, "spec.models." + spec.name + ".detail",
              fmt::format("found {} behind service {}, which has prefill replicas, allowed: iteration, tables",
                          spec.detail, service.name));
    });
    for (const TrafficSpec& t : scenario_.traffic)
      if (find_service(t.service) == id && t.hedge_delay.ns > 0)
        error(t.mark, "spec.traffic." + t.name + ".hedge", "found with prefill replicas, allowed: 0");
  }

  void check_served(const TrafficSpec& t, const ClientModel& client) {
    bool served = false, llm = true;
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      ServingModelId serving = model_->cluster.workloads[WorkloadId(w)].serving;
      if (model_->kube.workloads[WorkloadId(w)].service != client.service || !serving.valid()) continue;
      served = true;
      llm &= model_->serving.models[serving].llm;
    }
    check_adapters(t, client.service);
    if (!served)
      error(t.mark, "spec.traffic." + t.name + ".service",
            fmt::format("no workload behind service {} serves a model; add one to spec.models", t.service));
    if (!llm && (client.admission.ttft.ns > 0 || client.admission.shed_queue_depth > 0))
      error(t.mark, "spec.traffic." + t.name + ".admission",
            fmt::format("found ttft or shed, but service {} is a batch server", t.service));
    if (!llm && (client.slo_ttft || client.slo_tpot))
      error(t.mark, "spec.slo." + t.name,
            fmt::format("found ttft or tpot, but service {} is a batch server, allowed: e2e", t.service));
  }

  SourceModel source(const TrafficSpec& t) const {
    SourceModel s;
    s.pattern = t.pattern;
    s.arrivals = t.arrivals;
    s.name = t.name;
    s.entity = hash_text("Traffic/" + t.name);
    bool diurnal = t.pattern == TrafficSpec::Pattern::Diurnal;
    s.rate = diurnal ? t.diurnal_mean : t.rate;
    s.peak = t.diurnal_peak;
    s.period = t.diurnal_period;
    s.phase = t.diurnal_phase;
    s.trace = t.trace;
    s.time_scale = t.time_scale;
    s.rate_scale = t.rate_scale;
    s.users = t.users;
    s.steps = t.user_steps;
    s.rates = t.rate_steps;
    s.drawn = t.drawn;
    double weights = 0;
    for (const TaskSpec& spec : t.tasks) s.task_weights.push_back(weights += spec.weight);
    if (t.tasks.size() < 2) s.task_weights.clear();
    s.think = t.think;
    s.prompt = t.prompt;
    s.output = t.output;
    if (t.prefix.tokens > 0) {
      s.prefix = {std::vector<uint32_t>(static_cast<size_t>(t.prefix.groups)), t.prefix.tokens, t.prefix.zipf};
      std::iota(s.prefix.groups.begin(), s.prefix.groups.end(), 0u);
    }
    s.adapters = t.adapters;
    s.session = {t.session.on, t.session.turns, t.session.think, t.session.max_tokens};
    return s;
  }

  // ---- control plane ----

  void kube() {
    KubeModel& k = model_->kube;
    k.minor = std::stoi(scenario_.kubernetes_version.substr(2));  // "1.36", checked by the reader
    k.metrics = {scenario_.metrics.scrape_interval, scenario_.metrics.offset,    scenario_.metrics.delay,
                 scenario_.metrics.window,          scenario_.metrics.staleness, scenario_.metrics.resource_resolution,
                 scenario_.metrics.resource_window, scenario_.metrics.dropout,   scenario_.metrics.noise};
    k.latencies = scenario_.latencies;
    if (scenario_.descheduler)
      k.descheduler = {scenario_.descheduler->policy, scenario_.descheduler->interval,
                       Time{} + scenario_.descheduler->at, scenario_.descheduler->dry_run};
    if (scenario_.mig_policy) k.mig_policy->policy = make<MigPolicy>(scenario_.mig_policy->policy, "mig");
    scheduler();
    for (const HorizontalPodAutoscaler& hpa : scenario_.manifests.hpas) add_autoscaler(hpa);
    for (const auto& [name, choice] : scenario_.autoscalers) {
      WorkloadId id = cluster_.find_workload(name);
      if (!id.valid()) {
        error(choice.mark, "spec.policies.autoscaler." + name,
              fmt::format("no workload has this name, allowed: {}", list(cluster_.workload_names())));
        continue;
      }
      set_autoscaler(id, make<Autoscaler>(with_gates(choice), "autoscaler." + name));
    }
    for (AutoscalerBinding& a : k.autoscalers) check(a);
    compile_agents(scenario_, cluster_, *model_, diagnostics_);
  }

  void check(AutoscalerBinding& a) {
    if (!a.policy && a.object) a.policy = make<Autoscaler>(with_gates({"hpa", {}, a.object->meta.mark}), "autoscaler");
    if (!a.policy) return;
    if (a.object && a.workload.valid())
      for (const Diagnostic& d : check_metrics(*a.object, model_->kube.workloads[a.workload].behaviour))
        diagnostics_.push_back(d);
    if (auto complaint = a.policy->complaint(a.object ? &*a.object : nullptr))
      error(a.object ? a.object->meta.mark : scenario_.mark,
            "spec.policies.autoscaler." +
                (a.workload.valid() ? model_->cluster.workloads[a.workload].name : a.object->target_name),
            *complaint);
  }

  void scheduler() {
    const PolicyChoice& choice = scenario_.scheduler;
    if (choice.name != "kube")
      return error(choice.mark, "spec.policies.scheduler.name", fmt::format("found '{}', allowed: kube", choice.name));
    Params params;
    if (auto complaint = fill_params(scheduler_params(), choice.params, params))
      return error(choice.mark, "spec.policies.scheduler", *complaint);
    SchedulerConfig config;
    config.kubernetes_minor = model_->kube.minor;
    config.gates = FeatureGates(config.kubernetes_minor);
    for (const auto& [gate, on] : scenario_.feature_gates) config.gates.set(gate, on);  // checked by the reader
    config.configuration = scenario_.scheduler_configuration;
    config.client_limit = scenario_.latencies.scheduler;
    set_scheduler_params(params, config);
    if (config.bind_latency.ns == 0) config.bind_latency = scenario_.latencies.bind;
    try {
      model_->kube.scheduler = compile_scheduler(model_->cluster, config);
    } catch (const InputError& e) {
      diagnostics_.insert(diagnostics_.end(), e.diagnostics().begin(), e.diagnostics().end());
      return;
    }
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      const WorkloadModel& workload = model_->cluster.workloads[WorkloadId(w)];
      const PodSpec& spec = model_->cluster.templates[workload.pod_template].spec;
      if (model_->kube.scheduler.profile_of[workload.pod_template] == SchedulerModel::kNoProfile &&
          spec.node_name.empty())
        warn(cluster_.meta(WorkloadId(w)).mark, "schedulerName",
             fmt::format("no profile is named '{}': the pods of {} {} will stay Pending", spec.scheduler_name,
                         to_string(workload.kind), workload.full_name()));
    }
  }

  // The HPA's gates are those of the cluster, unless its own parameter says otherwise.
  PolicyChoice with_gates(PolicyChoice choice) const {
    if (choice.name != "hpa" || choice.params.contains("featureGates")) return choice;
    std::string text;
    for (const char* gate : {"HPAConfigurableTolerance", "HPAScaleToZero"})
      if (auto set = scenario_.feature_gates.find(gate); set != scenario_.feature_gates.end())
        text += fmt::format("{}{}={}", text.empty() ? "" : ",", gate, set->second);
    if (!text.empty()) choice.params["featureGates"] = text;
    return choice;
  }

  void add_autoscaler(const HorizontalPodAutoscaler& hpa) {
    AutoscalerBinding a;
    a.workload = target_of(hpa);
    a.object = hpa;
    a.min_replicas = hpa.min_replicas;
    a.max_replicas = hpa.max_replicas;
    auto& known = model_->kube.autoscalers;
    auto rival = std::find_if(known.begin(), known.end(), [&](const AutoscalerBinding& other) {
      return a.workload.valid() && other.workload == a.workload;
    });
    if (!a.workload.valid())
      warn(hpa.meta.mark, "spec.scaleTargetRef",
           fmt::format("the HPA controller was unable to get the target's current scale: {}",
                       scale_error(a, model_->cluster)));
    else if (rival != known.end())
      warn(hpa.meta.mark, "spec.scaleTargetRef",
           fmt::format("pods of {} are selected by several HPAs, {} among them: none of them will scale it "
                       "(AmbiguousSelector)",
                       model_->cluster.workloads[a.workload].full_name(), rival->object->meta.name));
    known.push_back(std::move(a));
  }

  // Invalid if it does not exist.
  WorkloadId target_of(const HorizontalPodAutoscaler& hpa) const {
    for (size_t w = 0; w < model_->cluster.workloads.size(); ++w) {
      const WorkloadModel& workload = model_->cluster.workloads[WorkloadId(w)];
      if (workload.namespace_ == hpa.meta.namespace_ && workload.name == hpa.target_name &&
          to_string(workload.kind) == hpa.target_kind)
        return WorkloadId(w);
    }
    return {};
  }

  // The policy of all objects that scale the workload, or without any object.
  void set_autoscaler(WorkloadId workload, const std::shared_ptr<const Autoscaler>& policy) {
    if (!policy) return;  // there was a complaint
    bool any = false;
    for (AutoscalerBinding& a : model_->kube.autoscalers) {
      if (a.workload != workload) continue;
      a.policy = policy;
      any = true;
    }
    if (any) return;
    AutoscalerBinding& a = model_->kube.autoscalers[model_->kube.autoscalers.push_back({})];
    a.workload = workload;
    a.policy = policy;
  }

  static Tariff tariff(const TariffSpec& spec) {
    if (spec.steps.empty()) return {{{Time{}, spec.value}}};
    Tariff out;
    for (const TariffSpec::Step& step : spec.steps) out.steps.push_back({Time{} + step.at, step.value});
    return out;
  }

  void prices() {
    AccountsModel& accounts = model_->accounts;
    accounts.priced = !scenario_.prices.empty();
    std::vector<std::string> names;
    std::set<GpuModelId> used;
    for (const NodeModel& node : model_->cluster.nodes)
      if (node.gpu_model.valid()) used.insert(node.gpu_model);
    for (size_t g = 0; g < model_->cluster.gpu_models.size(); ++g) {
      const GpuModel& gpu = model_->cluster.gpu_models[GpuModelId(g)];
      names.push_back(gpu.name);
      auto price = scenario_.prices.find(gpu.name);
      accounts.price.push_back(price == scenario_.prices.end() ? Tariff{} : tariff(price->second));
      if (accounts.priced && price == scenario_.prices.end() && used.contains(GpuModelId(g)))
        error(scenario_.mark, "spec.prices", fmt::format("no price for {}, which nodes have", gpu.name));
    }
    for (const auto& [name, price] : scenario_.prices)
      if (std::find(names.begin(), names.end(), name) == names.end())
        error(scenario_.mark, "spec.prices." + name, fmt::format("found '{}', allowed: {}", name, list(names)));
    if (scenario_.carbon_intensity) accounts.carbon_intensity = tariff(*scenario_.carbon_intensity);
    accounts.pue = scenario_.pue;
    auto milliwatts = [](double watts) { return static_cast<int64_t>(std::nearbyint(watts * 1000)); };
    model_->cluster.node_power = {milliwatts(scenario_.node_idle_watts), milliwatts(scenario_.node_core_watts)};
  }

  void finish() {
    std::vector<Diagnostic> errors;
    for (const Diagnostic& d : diagnostics_)
      if (d.severity == Severity::Error || (d.severity == Severity::Warning && scenario_.strict))
        errors.push_back({Severity::Error, d.mark, d.field, d.message});
    if (!errors.empty()) throw InputError(std::move(errors));
    for (const Diagnostic& d : scenario_.warnings) keep(d);
    for (const Diagnostic& d : diagnostics_) keep(d);
  }

  // Without folders: a run signs its warnings, and equal runs are equal from wherever they are started.
  void keep(Diagnostic d) {
    d.mark.file = d.mark.file.substr(d.mark.file.find_last_of('/') + 1);
    model_->warnings.push_back(d.text());
  }

  const Scenario& scenario_;
  std::shared_ptr<Model> model_ = std::make_shared<Model>();
  std::vector<Diagnostic> diagnostics_;
  ClusterCompiler cluster_;
  std::set<std::string> used_behaviours_;
  std::vector<Labels> selectors_;      // by service
  std::vector<ChosenRouter> routers_;  // by service
};

}  // namespace

std::shared_ptr<const Model> compile(const Scenario& scenario) { return Compiler(scenario).compile(); }

void Model::set_seed(uint64_t to) {
  seed = traffic.seed = serving.seed = kube.seed = kube.scheduler.seed = to;
  for (ServingModelModel& m : serving.models) m.batch.seed = m.engine.speculation.seed = to;
  for (SourceModel& source : traffic.sources) draw_steps(source, to);
  for (ServiceModel& service : serving.services)
    for (FluidServiceModel::Source& source : service.fluid.sources)
      source.rate = ArrivalRate(traffic.sources[source.client]);
}

}  // namespace kisim
