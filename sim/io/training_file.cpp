#include "io/training_file.hpp"

#include "io/coding_text.hpp"
#include "io/field_reader.hpp"
#include "io/scenario_document.hpp"
#include "io/seeds.hpp"
#include "io/spec_places.hpp"
#include "rl/policy_file.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <list>

namespace kisim {

namespace {

struct OverlayDraft {
  std::vector<Value> manifests;
  std::map<std::string, std::string> set;
};

struct ContestantDraft {
  std::string name;
  OverlayDraft overlay;
  SourceMark mark;
};

struct Draft {
  std::string api_version, kind, name, seeds = "0", agent;
  std::vector<Value> scenarios;
  OverlayDraft overlay;
  std::vector<ContestantDraft> contestants;
  double steps = 0;
  VariationRange variation;
};

Nested one(std::function<Fields()> declare) {
  return {Nested::Shape::One, [declare](const std::string&, const SourceMark&) { return declare(); }, ""};
}

Nested declare_set(std::map<std::string, std::string>& set) {
  return one([&set] {
    Fields f;
    f.others = &set;
    return f;
  });
}

void declare_overlay(Fields& f, OverlayDraft& overlay) {
  f.add("manifests", &overlay.manifests, "files of objects, laid over those of the scenarios as kubectl apply would");
  f.add("set", declare_set(overlay.set), "values of the scenarios' spec, by path, as --set");
}

Nested declare_range(VariationRange::Range& range, Unit unit, double least, double most) {
  return one([&range, unit, least, most] {
    Fields f;
    f.add("min", &range.low, "the least").in(unit).min(least).max(most).no_distribution().required();
    f.add("max", &range.high, "the most").in(unit).min(least).max(most).no_distribution().required();
    return f;
  });
}

Nested declare_variation(VariationRange& v) {
  return one([&v] {
    Fields f;
    f.add("load", declare_range(v.load, Unit::None, 1e-3, 1e3), "factor on the arrivals");
    f.add("service", declare_range(v.service, Unit::None, 1e-2, 1e2),
          "factor on what accelerators take for the same work");
    f.add("startup", declare_range(v.startup, Unit::None, 1e-2, 1e2), "factor on the time until a pod is ready");
    f.add("failures", declare_range(v.failures, Unit::None, 1e-3, 1e3),
          "factor on how often the scenario's recurring faults come");
    f.add("metricsDelay", declare_range(v.metrics_delay, Unit::Seconds, 0, 3600), "beside that of the scenario");
    f.add("metricsNoise", declare_range(v.metrics_noise, Unit::None, 0, 1), "relative standard deviation of readings");
    f.add("metricsDropout", declare_range(v.metrics_dropout, Unit::None, 0, 1), "probability that a scrape fails");
    return f;
  });
}

Nested declare_reward(AutoscalingReward& reward) {
  return one([&reward] {
    Fields f;
    f.add("cost", &reward.cost, "weight of the cost, as a share of the most that it can be").min(0).max(1e6);
    f.add("penalty", &reward.penalty, "weight of what missed SLOs cost, as a share of the most that GPUs can cost")
        .min(0)
        .max(1e6);
    f.add("slo", &reward.slo, "weight of the share of requests that miss their SLO").min(0).max(1e6);
    f.add("churn", &reward.churn, "weight of changed replicas, as a share of all that there can be").min(0).max(1e6);
    f.add("replicaPrices", &reward.replica_prices, "of a replica and hour beside its GPUs, by workload of the agent");
    f.add("kiscaler", &reward.kiscaler_pattern, "KIScaler's published reward for this pattern instead")
        .one_of({"periodic", "ramp", "random", "spike"});
    return f;
  });
}

Fields declare_document(Draft& draft, const std::string& kind, std::function<void(Fields&)> more) {
  Fields f;
  f.add("apiVersion", &draft.api_version, "of this form of document").one_of({"kisim.dev/v1"}).required();
  f.add("kind", &draft.kind, "of this document").one_of({kind}).required();
  f.add("metadata", one([&draft] {
          Fields metadata;
          metadata.add("name", &draft.name, "of the document").required();
          return metadata;
        }),
        "about this document")
      .required();
  f.add("spec", one([&draft, more] {
          Fields spec;
          spec.add("scenarios", &draft.scenarios, "files; each run is one of them").required();
          declare_overlay(spec, draft.overlay);
          spec.add("seeds", &draft.seeds, "one, or the first and the last: 0..4");
          spec.add("variation", declare_variation(draft.variation),
                   "what each run draws evenly; factors in their logarithm");
          more(spec);
          return spec;
        }),
        "what it says")
      .required();
  return f;
}

const Value& document_of(const std::vector<Value>& documents, const std::string& path) {
  if (documents.size() == 1) return documents.front();
  throw InputError(
      {Severity::Error, {path, 1, 1}, "", fmt::format("found {} documents, allowed: one", documents.size())});
}

ScenarioOverlay overlay_of(const OverlayDraft& draft) {
  ScenarioOverlay out;
  for (const Value& file : draft.manifests) out.files.push_back(resolve_path(file));
  for (const auto& [path, value] : draft.set) out.set.emplace_back(path, value);
  return out;
}

void check_range(SpecPlaces& places, const std::string& name, const VariationRange::Range& range) {
  if (range.low > range.high)
    places.error({"variation", name}, fmt::format("found min {} above max {}", range.low, range.high));
}

void check_variation(SpecPlaces& places, const VariationRange& v) {
  check_range(places, "load", v.load);
  check_range(places, "service", v.service);
  check_range(places, "startup", v.startup);
  check_range(places, "failures", v.failures);
  check_range(places, "metricsDelay", v.metrics_delay);
  check_range(places, "metricsNoise", v.metrics_noise);
  check_range(places, "metricsDropout", v.metrics_dropout);
}

// Where it is missing, that has been told.
void check_some(SpecPlaces& places, const std::string& field, size_t found) {
  if (found == 0 && places.given({field})) places.error({field}, "found none, allowed: at least one");
}

std::vector<uint64_t> seeds_of(SpecPlaces& places, const std::string& text) {
  try {
    return parse_seeds(text);
  } catch (const UsageError& e) {
    places.error({"seeds"}, e.what());
    return {};
  }
}

Scenario read_family(const std::string& path, const std::vector<const ScenarioOverlay*>& overlays,
                     std::optional<uint64_t> seed, bool strict, const Settings& settings = {}) {
  ReadOptions options;
  options.variables = settings;
  options.seed = seed;
  options.strict = strict;
  for (const ScenarioOverlay* overlay : overlays) {
    options.applied.insert(options.applied.end(), overlay->files.begin(), overlay->files.end());
    options.overrides.insert(options.overrides.end(), overlay->set.begin(), overlay->set.end());
  }
  return read_scenario({path}, options);
}

std::vector<std::string> texts_of(const Diagnostics& diagnostics) {
  std::vector<std::string> out;
  for (const Diagnostic& d : diagnostics.all()) out.push_back(d.text());
  return out;
}

void add_new(const std::vector<std::string>& texts, std::vector<std::string>& to) {
  for (const std::string& text : texts)
    if (std::find(to.begin(), to.end(), text) == to.end()) to.push_back(text);
}

std::string list_text(const std::vector<std::string>& names) { return fmt::format("[{}]", fmt::join(names, ", ")); }

// Of a policy file: what it came from, in one text.
std::string training_of(const std::string& file) {
  const PolicyFile policy = read_policy_file(file);
  auto found = policy.provenance.find("training");
  return found == policy.provenance.end() ? "" : found->second;
}

void add_family(const EvaluationFile::Family& family, const std::string& name, std::vector<std::string>& families) {
  if (std::find(families.begin(), families.end(), name) != families.end())
    throw InputError({Severity::Error, family.mark, fmt::format("spec.scenarios[{}]", families.size()),
                      fmt::format("found a second scenario that is named '{}', allowed: one of each name", name)});
  families.push_back(name);
}

}  // namespace

TrainingFile read_training(const std::string& path, bool strict) {
  const std::vector<Value> documents = read_yaml(path);
  const Value& root = document_of(documents, path);
  TrainingFile out;
  Draft draft;
  Diagnostics diagnostics(strict);
  FieldReader(0, diagnostics).read(root, "", declare_document(draft, "Training", [&](Fields& f) {
                                     f.add("agent", &draft.agent,
                                           "of the scenarios, that is trained; left out, their only one");
                                     f.add("algorithm", &out.algorithm, "see `kisim train --help`");
                                     f.add("preset", &out.preset, "values of its parameters, by name");
                                     f.add("parameters", declare_set(out.parameters), "of the algorithm");
                                     f.add("steps", &draft.steps,
                                           "decisions to learn from, of all environments together")
                                         .min(1)
                                         .max(1e12)
                                         .integer()
                                         .no_distribution()
                                         .required();
                                     f.add("reward", declare_reward(out.environment.reward), "of a decision");
                                   }));
  SpecPlaces places(root, diagnostics);
  check_variation(places, draft.variation);
  check_some(places, "scenarios", draft.scenarios.size());
  out.seeds = seeds_of(places, draft.seeds);
  diagnostics.throw_if_errors();

  out.warnings = texts_of(diagnostics);
  out.name = draft.name;
  out.steps = static_cast<int64_t>(draft.steps);
  for (const char* field : {"algorithm", "preset"}) out.marks[field] = places.at({field}).mark();
  for (const auto& [name, value] : out.parameters)
    out.marks["parameters." + name] = places.at({"parameters", name}).mark();
  out.environment.name = draft.name;
  out.environment.agent = draft.agent;
  out.environment.variation = draft.variation;
  const ScenarioOverlay overlay = overlay_of(draft.overlay);
  for (const Value& file : draft.scenarios) {
    auto scenario = std::make_shared<Scenario>(read_family(resolve_path(file), {&overlay}, std::nullopt, strict));
    scenario->trains_agents = true;
    add_new(compile(*scenario)->warnings, out.warnings);
    for (const AgentSpec& agent : scenario->agents)
      if (draft.agent.empty() || agent.name == draft.agent) {
        out.coding = coding_text(agent.coding);
        out.interval = agent.interval;
      }
    out.environment.scenarios.push_back(std::move(scenario));
  }
  out.text = to_yaml(root);
  return out;
}

EvaluationFile read_evaluation(const std::string& path, bool strict) {
  const std::vector<Value> documents = read_yaml(path);
  const Value& root = document_of(documents, path);
  EvaluationFile out;
  Draft draft;
  Diagnostics diagnostics(strict);
  FieldReader(0, diagnostics).read(root, "", declare_document(draft, "Evaluation", [&](Fields& f) {
                                     f.add("policies",
                                           Nested{Nested::Shape::ByName,
                                                  [&draft](const std::string& name, const SourceMark& mark) {
                                                    ContestantDraft& c = draft.contestants.emplace_back();
                                                    c.name = name;
                                                    c.mark = mark;
                                                    Fields policy;
                                                    declare_overlay(policy, c.overlay);
                                                    return policy;
                                                  },
                                                  ""},
                                           "what is compared")
                                         .required();
                                     f.add("agent", one([&out] {
                                             Fields agent;
                                             agent.add("name", &out.agent, "of the agent");
                                             agent.add("workloads", &out.workloads, "that it scales").required();
                                             return agent;
                                           }),
                                           "whose policies are compared, too, where files of them are given");
                                     f.add("clairvoyant", &out.clairvoyant,
                                           "beside them the bound of who knows the load to come; of fluid models");
                                     f.add("baseline", &out.baseline,
                                           "that the others are compared with; left out, the first");
                                   }));
  SpecPlaces places(root, diagnostics);
  check_variation(places, draft.variation);
  out.seeds = seeds_of(places, draft.seeds);
  std::vector<std::string> names;
  for (const ContestantDraft& c : draft.contestants) {
    names.push_back(c.name);
    out.contestants.push_back({c.name, {overlay_of(c.overlay)}, {}});
  }
  if (out.baseline.empty() && !names.empty()) out.baseline = names.front();
  check_some(places, "policies", names.size());
  check_some(places, "scenarios", draft.scenarios.size());
  if (out.clairvoyant && out.workloads.empty())
    places.error({"clairvoyant"}, "needed: agent, the workloads that are scaled");
  if (!names.empty()) places.check_name({"baseline"}, out.baseline, names);
  diagnostics.throw_if_errors();

  out.path = path;
  out.name = draft.name;
  out.strict = strict;
  for (const Value& file : draft.scenarios) out.families.push_back({resolve_path(file), file.mark()});
  out.overlay = overlay_of(draft.overlay);
  out.variation = draft.variation;
  out.warnings = texts_of(diagnostics);
  return out;
}

void add_policy(EvaluationFile& evaluation, const std::string& name, const std::string& file) {
  if (evaluation.workloads.empty())
    throw UsageError(fmt::format("policy {}: {} has no agent, needed: spec.agent", name, evaluation.path));
  auto contestant = std::find_if(evaluation.contestants.begin(), evaluation.contestants.end(),
                                 [&](const EvaluationFile::Contestant& c) { return c.name == name; });
  if (contestant == evaluation.contestants.end()) {
    evaluation.contestants.push_back({name, {}, {}});
    contestant = std::prev(evaluation.contestants.end());
  } else if (contestant->policies.empty()) {
    throw UsageError(fmt::format("policy {}: {} has one of this name, allowed: another", name, evaluation.path));
  }
  // Two checkpoints of one training are no two trainings.
  const std::string path = std::filesystem::weakly_canonical(file).string();
  const std::string training = training_of(path);
  for (const std::string& other : contestant->policies)
    if (other == path || (!training.empty() && training_of(other) == training))
      throw UsageError(fmt::format("policy {}: found {} beside {}, allowed: one of each training", name, path, other));
  const std::string agent = "policies.agents." + evaluation.agent;
  contestant->policies.push_back(path);
  contestant->trainings.push_back(
      {{}, {{agent + ".policy", path}, {agent + ".workloads", list_text(evaluation.workloads)}}});
}

CompiledEvaluation compile_evaluation(const EvaluationFile& evaluation) {
  CompiledEvaluation out;
  out.warnings = evaluation.warnings;
  for (const EvaluationFile::Contestant& contestant : evaluation.contestants) {
    if (contestant.name == evaluation.baseline) out.baseline = out.contestants.size();
    kisim::Contestant& compiled = out.contestants.emplace_back();
    compiled.name = contestant.name;
    for (const ScenarioOverlay& training : contestant.trainings) {
      compiled.trainings.emplace_back();
      for (const EvaluationFile::Family& family : evaluation.families) {
        const Scenario scenario =
            read_family(family.file, {&evaluation.overlay, &training}, evaluation.seeds.front(), evaluation.strict);
        compiled.trainings.back().push_back(compile(scenario));
        add_new(compiled.trainings.back().back()->warnings, out.warnings);
        if (out.families.size() < evaluation.families.size()) add_family(family, scenario.name, out.families);
      }
    }
  }
  if (!evaluation.clairvoyant) return out;
  kisim::Contestant& bound = out.contestants.emplace_back();
  bound.name = "clairvoyant bound";
  const std::string agent = "policies.agents." + evaluation.agent;
  const ScenarioOverlay scaled{
      {}, {{agent + ".coding", "kiscaler"}, {agent + ".workloads", list_text(evaluation.workloads)}}};
  for (const EvaluationFile::Family& family : evaluation.families) {
    bound.bounds.push_back(
        read_family(family.file, {&evaluation.overlay, &scaled}, evaluation.seeds.front(), evaluation.strict));
    bound.bounds.back().trains_agents = true;
  }
  return out;
}

SearchFile read_search(const std::string& path) {
  const std::vector<Value> documents = read_yaml(path);
  const Value& root = document_of(documents, path);
  SearchFile out;
  Draft draft;
  Duration budget;
  std::list<SearchParameter> parameters;  // entries stay where they are
  Diagnostics diagnostics;
  FieldReader(0, diagnostics)
      .read(root, "", declare_document(draft, "Search", [&](Fields& f) {
              f.add("parameters",
                    Nested{Nested::Shape::ByName,
                           [&parameters](const std::string& name, const SourceMark&) {
                             SearchParameter& p = parameters.emplace_back();
                             p.name = name;
                             Fields parameter;
                             parameter.add("min", &p.low, "the least").no_distribution();
                             parameter.add("max", &p.high, "the most").no_distribution();
                             parameter.add("integer", &p.integer, "whole numbers alone");
                             parameter.add("values", &p.values, "in place of a range: each equally likely");
                             return parameter;
                           },
                           ""},
                    "that are searched for; ${name} stands for one in set and manifests")
                  .required();
              f.add("budget", &budget, "simulated time of all runs together").above(0).required();
            }));
  SpecPlaces places(root, diagnostics);
  check_variation(places, draft.variation);
  check_some(places, "scenarios", draft.scenarios.size());
  check_some(places, "parameters", parameters.size());
  const std::vector<uint64_t> seeds = seeds_of(places, draft.seeds);
  if (seeds.size() > 1) places.error({"seeds"}, "found several, allowed: the first; each run has the next one");
  for (const SearchParameter& p : parameters) {
    const bool low = places.given({"parameters", p.name, "min"}), high = places.given({"parameters", p.name, "max"});
    const bool range = low && high;
    if (p.values.empty() ? !range : low || high)
      places.error({"parameters", p.name}, "needed: min and max, or values");
    else if (p.integer && (p.low != std::round(p.low) || p.high != std::round(p.high) || p.high - p.low > 1e9))
      places.error({"parameters", p.name},
                   fmt::format("found {} to {}, allowed: whole numbers, at most 1e9 of them", p.low, p.high));
    else if (range && !(p.low <= p.high))
      places.error({"parameters", p.name}, fmt::format("found min {} above max {}", p.low, p.high));
  }
  diagnostics.throw_if_errors();

  out.path = path;
  out.overlay = overlay_of(draft.overlay);
  out.warnings = texts_of(diagnostics);
  out.spec.parameters.assign(parameters.begin(), parameters.end());
  out.spec.seed = seeds.front();
  out.spec.variation = draft.variation;
  const Settings any = candidates_of(out.spec, 1).front();
  Duration each;
  for (const Value& file : draft.scenarios) {
    out.families.push_back(resolve_path(file));
    each = each + read_family(out.families.back(), {&out.overlay}, std::nullopt, false, any).duration;
  }
  const auto families = static_cast<int64_t>(out.families.size());
  out.spec.budget = static_cast<size_t>(budget.ns / (each.ns / families));
  if (out.spec.budget < out.families.size())
    throw InputError({Severity::Error, places.at({"budget"}).mark(), "spec.budget",
                      fmt::format("found {:.6g}s, allowed: at least one run of each scenario ({:.6g}s)",
                                  budget.to_seconds(), each.to_seconds())});
  return out;
}

std::vector<std::shared_ptr<const Model>> compile_candidate(const SearchFile& file, const Settings& settings) {
  std::vector<std::shared_ptr<const Model>> out;
  for (const std::string& family : file.families)
    out.push_back(compile(read_family(family, {&file.overlay}, std::nullopt, false, settings)));
  return out;
}

}  // namespace kisim
