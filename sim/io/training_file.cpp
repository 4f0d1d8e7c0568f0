#include "io/training_file.hpp"

#include "io/coding_text.hpp"
#include "io/field_reader.hpp"
#include "io/scenario_document.hpp"
#include "io/seeds.hpp"

#include <filesystem>
#include <functional>

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
  f.add("manifests", &overlay.manifests, "files of objects beside those of the scenarios");
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

void check_range(Diagnostics& diagnostics, const Value& root, const std::string& name,
                 const VariationRange::Range& range) {
  if (range.low > range.high)
    diagnostics.error(root.mark(), "spec.variation." + name,
                      fmt::format("found min {} above max {}", range.low, range.high));
}

void check(Diagnostics& diagnostics, const Value& root, const Draft& draft) {
  const VariationRange& v = draft.variation;
  check_range(diagnostics, root, "load", v.load);
  check_range(diagnostics, root, "service", v.service);
  check_range(diagnostics, root, "startup", v.startup);
  check_range(diagnostics, root, "metricsDelay", v.metrics_delay);
  check_range(diagnostics, root, "metricsNoise", v.metrics_noise);
  check_range(diagnostics, root, "metricsDropout", v.metrics_dropout);
}

std::vector<uint64_t> seeds_of(Diagnostics& diagnostics, const Value& root, const std::string& text) {
  try {
    return parse_seeds(text);
  } catch (const UsageError& e) {
    diagnostics.error(root.mark(), "spec.seeds", e.what());
    return {};
  }
}

Scenario read_family(const std::string& path, const std::vector<const ScenarioOverlay*>& overlays,
                     std::optional<uint64_t> seed) {
  std::vector<std::string> files{path};
  ReadOptions options;
  options.seed = seed;
  for (const ScenarioOverlay* overlay : overlays) {
    files.insert(files.end(), overlay->files.begin(), overlay->files.end());
    options.overrides.insert(options.overrides.end(), overlay->set.begin(), overlay->set.end());
  }
  return read_scenario(files, options);
}

}  // namespace

TrainingFile read_training(const std::string& path) {
  const std::vector<Value> documents = read_yaml(path);
  const Value& root = document_of(documents, path);
  TrainingFile out;
  Draft draft;
  Diagnostics diagnostics;
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
  check(diagnostics, root, draft);
  out.seeds = seeds_of(diagnostics, root, draft.seeds);
  diagnostics.throw_if_errors();

  out.name = draft.name;
  out.steps = static_cast<int64_t>(draft.steps);
  out.environment.name = draft.name;
  out.environment.agent = draft.agent;
  out.environment.variation = draft.variation;
  const ScenarioOverlay overlay = overlay_of(draft.overlay);
  for (const Value& file : draft.scenarios) {
    auto scenario = std::make_shared<Scenario>(read_family(resolve_path(file), {&overlay}, std::nullopt));
    scenario->trains_agents = true;
    for (const AgentSpec& agent : scenario->agents)
      if (draft.agent.empty() || agent.name == draft.agent) out.coding = coding_text(agent.coding);
    out.environment.scenarios.push_back(std::move(scenario));
  }
  out.text = to_yaml(root);
  return out;
}

EvaluationFile read_evaluation(const std::string& path) {
  const std::vector<Value> documents = read_yaml(path);
  const Value& root = document_of(documents, path);
  EvaluationFile out;
  Draft draft;
  Diagnostics diagnostics;
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
                                     f.add("baseline", &out.baseline,
                                           "that the others are compared with; left out, the first");
                                   }));
  check(diagnostics, root, draft);
  out.seeds = seeds_of(diagnostics, root, draft.seeds);
  std::string names;
  bool known = out.baseline.empty();
  for (const ContestantDraft& c : draft.contestants) {
    names += (names.empty() ? "" : ", ") + c.name;
    known |= c.name == out.baseline;
    out.contestants.push_back({c.name, overlay_of(c.overlay)});
  }
  if (!known)
    diagnostics.error(root.mark(), "spec.baseline", fmt::format("found '{}', allowed: {}", out.baseline, names));
  diagnostics.throw_if_errors();
  out.name = draft.name;
  for (const Value& file : draft.scenarios) out.families.push_back(resolve_path(file));
  out.overlay = overlay_of(draft.overlay);
  if (out.baseline.empty()) out.baseline = out.contestants.front().name;
  out.variation = draft.variation;
  return out;
}

EvaluationFile::Contestant policy_contestant(const EvaluationFile& evaluation, const std::string& name,
                                             const std::string& file) {
  if (evaluation.workloads.empty())
    throw UsageError(
        fmt::format("policy {}: the evaluation {} has no agent, needed: spec.agent", name, evaluation.name));
  const std::string path = "policies.agents." + evaluation.agent;
  return {name,
          {{},
           {{path + ".policy", std::filesystem::absolute(file).string()},
            {path + ".workloads", fmt::format("[{}]", fmt::join(evaluation.workloads, ", "))}}}};
}

Scenario scenario_of(const EvaluationFile& evaluation, const EvaluationFile::Contestant& contestant,
                     const std::string& family, uint64_t seed) {
  return read_family(family, {&evaluation.overlay, &contestant.overlay}, seed);
}

}  // namespace kisim
