#include "io/coding_text.hpp"
#include "io/descheduler_policy.hpp"
#include "io/field_reader.hpp"
#include "io/gpu_configs.hpp"
#include "io/h5.hpp"
#include "io/input.hpp"
#include "io/operator_profile.hpp"
#include "io/scenario_coefficients.hpp"
#include "io/scenario_document.hpp"
#include "io/scenario_fields.hpp"
#include "io/scenario_operations.hpp"
#include "io/scenario_serving.hpp"
#include "io/scheduler_configuration.hpp"
#include "io/spec_places.hpp"
#include "io/tariff_file.hpp"
#include "policy/feature_gates.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace kisim {

namespace {

using Kind = Value::Kind;
using Names = std::vector<std::string>;

template <class Items>
Names names_of(const Items& items) {
  Names names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

template <class Items>
void add_object_names(const Items& items, Names& names) {
  for (const auto& item : items) names.push_back(item.meta.name);
}

uint64_t seed_of(const Value& root) {
  const Value* spec = root.find("spec");
  const Value* seed = spec ? spec->find("seed") : nullptr;
  uint64_t number = 0;
  // A bad seed is complained about where it is read.
  if (seed) std::from_chars(seed->text.data(), seed->text.data() + seed->text.size(), number);
  return number;
}

// Everything after the fields: files that the document names, and what must hold between fields.
void replace_variables(const std::map<std::string, std::string>& variables, std::string& text) {
  for (const auto& [name, value] : variables) {
    const std::string mark = "${" + name + "}";
    for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + value.size()))
      text.replace(at, mark.size(), value);
  }
}

void replace_variables(const std::map<std::string, std::string>& variables, Value& value) {
  const std::string before = value.text;
  replace_variables(variables, value.text);
  if (value.text != before) value.quoted = false;  // in braces it has to be quoted, and may yet be a number
  for (Value& item : value.items) replace_variables(variables, item);
  for (Value::Member& member : value.members) replace_variables(variables, member.value);
}

class ScenarioBuilder {
 public:
  ScenarioBuilder(ScenarioDocument document, std::vector<std::string> manifest_folders, const ReadOptions& options)
      : document_(std::move(document)),
        manifest_folders_(std::move(manifest_folders)),
        options_(options),
        diagnostics_(options.strict),
        places_(document_.root, diagnostics_) {}

  Scenario build() {
    if (options_.files) resolve_coefficients(document_.root, diagnostics_);
    const Value& root = document_.root;
    FieldReader(seed_of(root), diagnostics_).read(root, "", declare(draft_));
    scenario_.mark = root.mark();
    scenario_.gpus = read_gpu_catalogue();
    scenario_.llms = read_llm_catalogue();
    scenario_.engines = read_engine_catalogue();
    check_times();
    check_feature_gates();
    check_latencies(places_, scenario_.latencies);
    for (ModelSpec& model : scenario_.models) {
      check_model(model);
      read_profile(model);
    }
    for (size_t i = 0; i < scenario_.traffic.size(); i++) finish_source(scenario_.traffic[i], draft_.sources[i]);
    for (const SloSpec& slo : scenario_.slo) check_slo(slo);
    for (auto& [gpu, price] : scenario_.prices) {
      check_name({"prices", gpu}, gpu, names_of(scenario_.gpus));
      finish_tariff({"prices", gpu}, price, draft_.price_files[gpu], "price");
    }
    if (scenario_.carbon_intensity)
      finish_tariff({"carbon", "intensity"}, *scenario_.carbon_intensity, draft_.carbon_file, "gPerKwh");
    finish_faults(places_, draft_);
    finish_actions(places_, draft_);
    check_cluster_autoscaler(places_, draft_);
    read_manifest_documents();
    if (options_.files) read_named_files();
    read_applied_objects();
    read_single_documents();
    finish_objects();
    // After another complaint an object may be missing only because its file could not be read.
    if (options_.files && !diagnostics_.has_errors()) check_references();
    diagnostics_.throw_if_errors();
    scenario_.text = to_yaml(whole());
    scenario_.warnings = diagnostics_.all();
    scenario_.strict = options_.strict;
    return std::move(scenario_);
  }

 private:
  void error(const SpecPath& path, const std::string& message) { places_.error(path, message); }
  void warn(const SpecPath& path, const std::string& message) { places_.warn(path, message); }
  void check_name(const SpecPath& path, const std::string& found, const Names& allowed) {
    places_.check_name(path, found, allowed);
  }
  bool given(const SpecPath& path) const { return places_.given(path); }

  void finish_tariff(const SpecPath& path, TariffSpec& tariff, const Value& file, const char* figure) {
    SpecPath steps = path;
    steps.push_back("steps");
    SpecPath always = path;
    always.push_back(figure);
    const bool alone = places_.at(path).kind == Kind::Scalar || given(always), from_file = file.kind != Kind::Null;
    if (alone + given(steps) + from_file != 1)
      return error(
          path, fmt::format("found {} of {}, steps and file, allowed: one", alone + given(steps) + from_file, figure));
    if (from_file && options_.files) read_tariff_file(path, tariff, file, figure);
    if (!given(steps)) return;
    if (tariff.steps.empty()) return error(steps, "found no step, allowed: at least one, at 0");
    if (tariff.steps.front().at.ns != 0) error(steps, "the first step is not at 0, so nothing is known of the start");
    for (size_t i = 1; i < tariff.steps.size(); ++i)
      if (tariff.steps[i].at <= tariff.steps[i - 1].at)
        error(steps, fmt::format("step {} is not after the one before it", i + 1));
  }

  void read_tariff_file(const SpecPath& path, TariffSpec& tariff, const Value& file, const char* figure) {
    auto found = existing(file, path_text(path) + ".file");
    if (!found) return;
    collect([&] { tariff.steps = read_tariff(*found, figure, file.mark()); });
    Value steps = made_at(file, Kind::Sequence);
    for (const TariffSpec::Step& step : tariff.steps) {
      Value row = made_at(file, Kind::Mapping);
      member(row, "at") = scalar_at(file, fmt::format("{}ns", step.at.ns));
      member(row, figure) = scalar_at(file, fmt::format("{}", step.value));
      steps.items.push_back(std::move(row));
    }
    Value inlined = made_at(file, Kind::Mapping);
    member(inlined, "steps") = std::move(steps);
    single_documents_.emplace_back(path, std::move(inlined));
  }

  // Runs something that reads a named file; what it complains about joins the rest.
  template <class F>
  void collect(F read) {
    try {
      read();
    } catch (const InputError& e) {
      for (const Diagnostic& d : e.diagnostics()) diagnostics_.error(d.mark, d.field, d.message);
    }
  }

  // The path of a named file, or nothing after a complaint.
  std::optional<std::string> existing(const Value& file_name, const std::string& field) {
    std::string path = resolve_path(file_name);
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
    diagnostics_.error(file_name.mark(), field,
                       fmt::format("found {}, which does not exist ({})", file_name.describe(), path));
    return {};
  }

  void check_times() {
    if (scenario_.duration.ns > 0 && scenario_.warmup >= scenario_.duration)
      error({"warmup"}, fmt::format("found '{}', allowed: less than the duration", places_.at({"warmup"}).text));
  }

  int kubernetes_minor() const { return std::stoi(scenario_.kubernetes_version.substr(2)); }

  void check_feature_gates() {
    FeatureGates gates(kubernetes_minor());
    for (const auto& [name, on] : scenario_.feature_gates) {
      auto complaint = gates.set(name, on);
      std::string near = complaint ? closest(name, gates.names()) : "";
      std::string hint = near.empty() || near == name ? "" : fmt::format(" (did you mean '{}'?)", near);
      if (complaint)
        error({"kubernetes", "featureGates", name}, *complaint + hint);
      else if (!gates.modelled(name))
        warn({"kubernetes", "featureGates", name}, fmt::format("'{}' is not modelled, ignored", on));
    }
  }

  void check_model(const ModelSpec& model) {
    auto below = [&](const char* field) { return SpecPath{"models", model.name, field}; };
    if (!model.gpu.empty()) check_name(below("gpu"), model.gpu, names_of(scenario_.gpus));
    auto engine = std::find_if(scenario_.engines.begin(), scenario_.engines.end(),
                               [&](const EngineProfile& e) { return e.name == model.engine; });
    if (engine == scenario_.engines.end())
      return check_name(below("engine"), model.engine, names_of(scenario_.engines));
    if (engine->kind == "batch") return check_batch_model(model);
    if (model.model.empty())
      error(below("model"), "missing, needed: a language model, see `kisim list models`");
    else
      check_name(below("model"), model.model, names_of(scenario_.llms));
    if (model.latency && model.detail != "linear" && model.detail != "fluid")
      warn(below("latency"), fmt::format("has no effect at detail {}, which computes its own times", model.detail));
    if (!model.kv_offload.empty() && !model.prefix_caching)
      error(below("kvOffload"), "found beside prefixCaching: false, allowed: with prefix caching only");
    const bool iterations = model.detail == "iteration" || model.detail == "tables";
    for (const auto& [field, set] : {std::pair("kvOffload", !model.kv_offload.empty()),
                                     {"role", model.role != "both"},
                                     {"speculative", model.speculative.has_value()},
                                     {"lora", model.lora.has_value()}})
      if (!iterations && set)
        error(below(field), fmt::format("found at detail {}, allowed: at detail iteration or tables", model.detail));
    if (model.detail == "tables")
      for (const auto& [field, set] : {std::pair("pipelineParallel", model.pipeline_parallel > 1),
                                       {"speculative", model.speculative.has_value()},
                                       {"lora", model.lora.has_value()}})
        if (set) error(below(field), "found at detail tables, allowed: at detail iteration: no profile has its times");
    if (model.max_local_prefill_length > 0 && model.role == "prefill")
      error(below("maxLocalPrefillLength"), "found beside role prefill, allowed: of those that decode");
    if (model.speculative) check_speculative(model);
    check_tokens(model, *engine);
  }

  void check_speculative(const ModelSpec& model) {
    const ModelSpec::Speculative& speculative = *model.speculative;
    const SpecPath path{"models", model.name, "speculative"};
    auto below = [&](const char* field) { return SpecPath{"models", model.name, "speculative", field}; };
    if (speculative.method == "draft_model" && speculative.model.empty())
      error(path, "model missing, needed: the language model that drafts");
    else if (speculative.method != "draft_model" && !speculative.model.empty())
      error(below("model"), fmt::format("found beside method {}, allowed: with draft_model", speculative.method));
    else if (!speculative.model.empty())
      check_name(below("model"), speculative.model, names_of(scenario_.llms));
    const std::vector<double>& accepted = speculative.acceptance;
    if (accepted.size() > 1 && accepted.size() != static_cast<size_t>(speculative.tokens))
      error(below("acceptance"), fmt::format("found {} numbers, allowed: one, or one for each of the {} tokens",
                                             accepted.size(), speculative.tokens));
    if (!std::is_sorted(accepted.rbegin(), accepted.rend()))
      error(below("acceptance"),
            "found a number above the one before it, allowed: a draft is accepted with all before it");
  }

  void check_tokens(const ModelSpec& model, const EngineProfile& engine) {
    int32_t budget = model.max_num_batched_tokens > 0 ? model.max_num_batched_tokens : engine.max_num_batched_tokens;
    int32_t sequences = model.max_num_seqs > 0 ? model.max_num_seqs : engine.max_num_seqs;
    if (model.long_prefill_token_threshold > budget)
      error({"models", model.name, "longPrefillTokenThreshold"},
            fmt::format("found {}, allowed: at most maxNumBatchedTokens ({})", model.long_prefill_token_threshold,
                        budget));
    // vLLM refuses to start so: each sequence that decodes takes a token of every iteration.
    if (sequences > budget)
      error({"models", model.name, model.max_num_batched_tokens > 0 ? "maxNumBatchedTokens" : "maxNumSeqs"},
            fmt::format("found {} tokens for {} sequences, allowed: maxNumBatchedTokens at least maxNumSeqs", budget,
                        sequences));
  }

  // A policy says itself how it sees and acts.
  void read_agent(AgentSpec& agent) {
    const SpecPath path{"policies", "agents", agent.name};
    if (!given(below(path, "policy"))) {
      if (!given(below(path, "coding"))) error(below(path, "coding"), "missing, needed without a policy");
      return;
    }
    if (given(below(path, "coding")))
      return error(below(path, "coding"), "found beside policy, allowed: one of them: a policy has its own");
    if (!options_.files) return;
    auto file = existing(places_.at(below(path, "policy")), path_text(below(path, "policy")));
    if (file)
      collect([&] {
        agent.file = std::make_shared<const PolicyFile>(read_policy_file(*file));
        read_coding(*agent.file, agent.coding);
      });
  }

  void read_profile(ModelSpec& model) {
    const SpecPath path{"models", model.name, "operatorProfile"};
    const std::string field = fmt::format("spec.models.{}.operatorProfile", model.name);
    if (model.detail != "tables") {
      if (given(path)) warn(path, fmt::format("has no effect at detail {}", model.detail));
      return;
    }
    if (!given(path)) return error(path, "missing, needed: the directory of a profile with detail tables");
    if (model.data_parallel > 1)
      error({"models", model.name, "dataParallel"},
            fmt::format("found {} with detail tables, allowed: 1: a profile is of one rank", model.data_parallel));
    auto llm = std::find_if(scenario_.llms.begin(), scenario_.llms.end(),
                            [&](const LlmModel& m) { return m.name == model.model; });
    if (!options_.files || llm == scenario_.llms.end()) return;
    auto directory = existing(places_.at(path), field);
    if (directory)
      collect([&] { model.tables = read_operator_profile(*directory, model.tensor_parallel, *llm, scenario_.gpus); });
  }

  void check_batch_model(const ModelSpec& model) {
    auto below = [&](const char* field) { return SpecPath{"models", model.name, field}; };
    if (!model.model.empty())
      error(below("model"), fmt::format("found '{}', allowed: none with the engine '{}'", model.model, model.engine));
    check_batch_models(places_, model, names_of(scenario_.gpus));
  }

  void finish_source(TrafficSpec& source, const SourceDraft& draft) {
    auto below = [&](const char* field) { return SpecPath{"traffic", source.name, field}; };
    source.arrivals = draft.arrivals == "constant" ? TrafficSpec::Arrivals::Constant : TrafficSpec::Arrivals::Poisson;
    if (!given(below("pattern")) && !given(below("trace")))
      return error(below("pattern"), "missing, needed: one of constant, diurnal, over, trace, users");
    if (source.pattern == TrafficSpec::Pattern::Diurnal && source.diurnal_peak > 0 &&
        source.diurnal_peak < source.diurnal_mean)
      error({"traffic", source.name, "pattern", "diurnal", "peak"},
            "found less than the mean, allowed: at least the mean");
    const bool trace = source.pattern == TrafficSpec::Pattern::Trace;
    if (trace && source.session.on)
      error(below("session"), "found beside a trace, allowed: with arrivals or users: a trace has its own requests");
    finish_users(places_, source, draft.users, scenario_.duration);
    finish_rates(places_, source, draft.rates, scenario_.duration);
    if (trace) return finish_trace(source, draft);
    for (const char* field : {"timeScale", "rateScale"})
      if (given(below(field))) warn(below(field), "has no effect without a trace");
    if (source.pattern == TrafficSpec::Pattern::Users && given(below("arrivals")))
      warn(below("arrivals"), "has no effect on users, who wait for their answers");
  }

  void finish_trace(TrafficSpec& source, const SourceDraft& draft) {
    for (const char* field : {"arrivals", "request"})
      if (given({"traffic", source.name, field}))
        warn({"traffic", source.name, field}, "has no effect: the trace has its own");
    const std::string field = fmt::format("spec.traffic.{}.trace", source.name);
    if (draft.trace_file.kind == Kind::Null)
      return diagnostics_.error(
          places_.at({"traffic", source.name, "pattern", "trace"}).mark(), field,
          fmt::format("missing, needed: a trace file; give it here or with --set traffic.{}trace=FILE",
                      scenario_.traffic.size() > 1 ? source.name + "." : ""));
    if (!options_.files) return;
    auto path = existing(draft.trace_file, field);
    if (path) collect([&] { source.trace = read_trace(*path, draft.trace_format, draft.trace_file.mark()); });
  }

  void check_slo(const SloSpec& slo) {
    check_name({"slo", slo.traffic}, slo.traffic, names_of(scenario_.traffic));
    if (!slo.ttft && !slo.tpot && !slo.e2e)
      error({"slo", slo.traffic}, "missing, needed: at least one of ttft, tpot, e2e");
  }

  // What the actions apply meets what is there by then.
  void finish_objects() {
    finish_manifests(diagnostics_, scenario_.manifests);
    for (const std::string& path : options_.applied) apply(path);
    if (scenario_.actions.empty()) return;
    Manifests cluster = scenario_.manifests;
    for (size_t i : in_order_of_time(scenario_.actions)) {
      finish_applied_manifests(diagnostics_, cluster, scenario_.actions[i].apply);
      merge_manifests(cluster, scenario_.actions[i].apply);
    }
  }

  void apply(const std::string& path) {
    Manifests applied;
    for (Value& document : read_manifest_files(path)) {
      if (!options_.variables.empty()) replace_variables(options_.variables, document);
      read_manifest(document, diagnostics_, applied);
    }
    finish_applied_manifests(diagnostics_, scenario_.manifests, applied);
    merge_manifests(scenario_.manifests, applied);
  }

  // The document with everything inline that it names, but for traces.
  Value whole() const {
    Value out = document_.root;
    Value& spec = member(out, "spec");
    member(spec, "manifests") = sequence(manifest_documents_);
    if (!options_.files) return out;
    for (size_t i = 0; i < applied_documents_.size(); i++)
      if (!applied_documents_[i].empty())
        member(member(spec, "actions").items[i], "apply") = sequence(applied_documents_[i]);
    for (const auto& [path, document] : single_documents_) {
      Value* place = &spec;
      for (const std::string& name : path) place = &member(*place, name);
      *place = document;
    }
    return out;
  }

  static Value& member(Value& parent, const std::string& key) {
    for (Value::Member& m : parent.members)
      if (m.key == key) return m.value;
    parent.members.push_back({key, 0, 0, {}});
    return parent.members.back().value;
  }

  // Stands where `place` does.
  static Value made_at(const Value& place, Kind kind) {
    Value out;
    out.kind = kind;
    out.file = place.file;
    out.line = place.line;
    out.column = place.column;
    return out;
  }

  static Value scalar_at(const Value& place, std::string text) {
    Value out = made_at(place, Kind::Scalar);
    out.text = std::move(text);
    return out;
  }

  static Value sequence(const std::vector<Value>& items) {
    Value out;
    out.kind = Kind::Sequence;
    out.items = items;
    return out;
  }

  void read_manifest_document(const Value& document) {
    manifest_documents_.push_back(document);
    collect([&] { read_manifest(document, diagnostics_, scenario_.manifests); });
  }
  void read_manifest_path(const std::string& path) {
    collect([&] {
      for (const Value& document : read_manifest_files(path)) read_manifest_document(document);
    });
  }

  // Those in the same files, and those written inline.
  void read_manifest_documents() {
    for (const Value& document : document_.manifests) read_manifest_document(document);
    for (const Value& manifest : draft_.manifests)
      if (manifest.kind == Kind::Mapping) read_manifest_document(manifest);
  }

  void read_named_files() {
    for (const std::string& folder : manifest_folders_) read_manifest_path(folder);
    for (const Value& manifest : draft_.manifests) {
      if (manifest.kind != Kind::Scalar) continue;
      if (auto path = existing(manifest, "spec.manifests")) read_manifest_path(*path);
    }
  }

  // ---- what actions apply

  void read_applied_objects() {
    applied_documents_.resize(draft_.actions.size());
    for (size_t i = 0; i < draft_.actions.size(); i++)
      for (const Value& written : draft_.actions[i].apply) {
        if (written.kind == Kind::Mapping) read_applied(written, i);
        if (written.kind == Kind::Scalar && options_.files) read_applied_file(written, i);
      }
  }
  void read_applied_file(const Value& file_name, size_t action) {
    auto path = existing(file_name, path_text({"actions", index_text(action), "apply"}));
    if (!path) return;
    collect([&] {
      for (const Value& document : read_manifest_files(*path)) read_applied(document, action);
    });
  }
  void read_applied(const Value& document, size_t action) {
    applied_documents_[action].push_back(document);
    collect([&] { read_manifest(document, diagnostics_, scenario_.actions[action].apply); });
  }

  // ---- fields that hold one document, or name the file that does

  void read_single_documents() {
    read_single({"kubernetes", "schedulerConfiguration"}, draft_.scheduler_configuration, "KubeSchedulerConfiguration",
                [&](const Value& document) { read_scheduler(document); });
    if (scenario_.descheduler)
      read_single({"policies", "descheduler", "policy"}, draft_.descheduler_policy, "DeschedulerPolicy",
                  [&](const Value& document) {
                    scenario_.descheduler->policy = std::make_shared<const DeschedulerPolicy>(
                        read_descheduler_policy(document, scenario_.manifests.priority_classes, diagnostics_));
                  });
    read_single({"migConfigs"}, draft_.mig_configs, "mig-parted configuration",
                [&](const Value& document) { scenario_.gpu_configs.mig = read_mig_configs(document, diagnostics_); });
    read_single({"devicePluginConfigs"}, draft_.device_plugin_configs, "device plugin configuration",
                [&](const Value& document) {
                  scenario_.gpu_configs.device_plugin = read_device_plugin_configs(document, diagnostics_);
                });
    for (AgentSpec& agent : scenario_.agents) read_agent(agent);
    if (!scenario_.cluster_autoscaler) return;
    for (size_t i = 0; i < draft_.group_nodes.size(); i++) {
      NodeGroupSpec& group = scenario_.cluster_autoscaler->node_groups[i];
      read_single({"clusterAutoscaler", "nodeGroups", group.name, "node"}, draft_.group_nodes[i], "Node",
                  [&](const Value& document) { read_group_node(document, group); });
    }
  }

  template <class F>
  void read_single(const SpecPath& path, const Value& written, const char* kind, F read) {
    if (written.kind == Kind::Mapping) keep_single(path, written, read);
    if (written.kind != Kind::Scalar || !options_.files) return;
    auto file = existing(written, path_text(path));
    if (!file) return;
    collect([&] {
      std::vector<Value> documents = read_yaml(*file);
      if (documents.size() == 1) return keep_single(path, documents[0], read);
      diagnostics_.error(
          written.mark(), path_text(path),
          fmt::format("found {} documents in {}, allowed: one of kind {}", documents.size(), *file, kind));
    });
  }
  template <class F>
  void keep_single(const SpecPath& path, const Value& document, F read) {
    single_documents_.emplace_back(path, document);
    collect([&] { read(document); });
  }

  // Named after the group where it has no name: that of a new node is made anyway.
  void read_group_node(Value document, NodeGroupSpec& group) {
    if (document.kind == Kind::Mapping) {
      Value& metadata = member(document, "metadata");
      if (metadata.kind == Kind::Null) metadata = made_at(document, Kind::Mapping);
      if (metadata.kind == Kind::Mapping && !metadata.find("name")) {
        member(metadata, "name") = scalar_at(document, group.name);
      }
    }
    Manifests read;
    read_manifest(document, diagnostics_, read);
    finish_manifests(diagnostics_, read);
    const Value* kind = document.find("kind");
    if (read.nodes.size() == 1)
      group.node = std::move(read.nodes[0]);
    else if (kind && kind->text != "Node")
      diagnostics_.error(kind->mark(), "kind", fmt::format("found '{}', allowed: Node", kind->text));
  }

  void read_scheduler(const Value& document) {
    size_t complaints = diagnostics_.all().size();
    scenario_.scheduler_configuration = read_scheduler_configuration(document, diagnostics_);
    if (diagnostics_.all().size() > complaints) return;
    // Whether its plugins exist. compile() asks again, but cannot tell it together with the rest.
    for (const SchedulerProfile& profile : scenario_.scheduler_configuration.profiles)
      collect([&] { expand_profile(profile, kubernetes_minor()); });
  }

  // Names of objects; only known once every manifest is read.
  void check_references() {
    if (scenario_.manifests.nodes.empty() && !scenario_.cluster_autoscaler)
      return error({"manifests"}, "found no Node, allowed: at least one (kubectl get nodes -o yaml)");
    Names services, workloads;
    add_object_names(scenario_.manifests.services, services);
    add_object_names(scenario_.manifests.deployments, workloads);
    add_object_names(scenario_.manifests.replica_sets, workloads);
    add_object_names(scenario_.manifests.stateful_sets, workloads);
    for (const TrafficSpec& source : scenario_.traffic)
      if (!source.service.empty()) check_object({"traffic", source.name, "service"}, source.service, services);
    for (const auto& [service, policy] : scenario_.routers)
      check_object({"policies", "router", service}, service, services);
    for (const auto& [service, policy] : scenario_.prefill_routers)
      check_object({"policies", "prefillRouter", service}, service, services);
    for (const auto& [workload, policy] : scenario_.autoscalers)
      check_object({"policies", "autoscaler", workload}, workload, workloads);
    check_operations();
  }

  void check_operations() {
    ObjectNames names;
    names.add(scenario_.manifests);
    if (scenario_.cluster_autoscaler) names.add(*scenario_.cluster_autoscaler);
    resolve_actions(places_, names, scenario_);
    // What an action brings may break later.
    for (const ActionSpec& action : scenario_.actions) names.add(action.apply);
    resolve_faults(places_, names, scenario_);
  }

  // With or without the namespace: "chat" or "prod/chat".
  void check_object(const SpecPath& path, const std::string& found, const Names& names) {
    check_name(path, found.substr(found.find('/') + 1), names);
  }

  ScenarioDocument document_;
  std::vector<std::string> manifest_folders_;
  std::vector<Value> manifest_documents_;                     // all of them, in the order read
  std::vector<std::vector<Value>> applied_documents_;         // by action
  std::vector<std::pair<SpecPath, Value>> single_documents_;  // where they stand, or are named
  const ReadOptions& options_;
  Diagnostics diagnostics_;
  SpecPlaces places_;
  ScenarioDraft draft_;
  Scenario& scenario_ = draft_.scenario;
};

}  // namespace

Scenario read_scenario(const std::vector<std::string>& paths, const ReadOptions& given) {
  if (paths.empty()) throw UsageError("a scenario file is needed");
  ReadOptions options = given;
  for (auto& [path, text] : options.overrides) replace_variables(options.variables, text);
  std::vector<Value> documents;
  std::vector<std::string> folders;
  std::error_code ignored;
  for (const std::string& path : paths) {
    if (std::filesystem::is_directory(path, ignored)) {
      folders.push_back(path);
      continue;
    }
    std::vector<Value> more =
        path.ends_with(".h5") ? parse_yaml(h5::read_text(path, "/scenario"), path) : read_yaml(path);
    documents.insert(documents.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return ScenarioBuilder(assemble_scenario(std::move(documents), paths[0], options), std::move(folders), options)
      .build();
}

Scenario read_scenario_text(const std::string& text, const std::string& name, const ReadOptions& options) {
  return ScenarioBuilder(assemble_scenario(parse_yaml(text, name), name, options), {}, options).build();
}

}  // namespace kisim
