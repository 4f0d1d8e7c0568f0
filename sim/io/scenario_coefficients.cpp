#include "io/scenario_coefficients.hpp"

#include "io/coefficients.hpp"
#include "io/scenario_document.hpp"
#include "io/scenario_fields.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace kisim {

namespace {

using Kind = Value::Kind;

class Resolver {
 public:
  explicit Resolver(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void model(Value& model, const std::string& path) {
    latency(model.find("latency"), path + ".latency");
    each(model.find("latencyOn"), path + ".latencyOn", [&](Value& v, const std::string& p) { latency(&v, p); });
    each(model.find("serves"), path + ".serves", [&](Value& v, const std::string& p) { this->model(v, p); });
    iterations(model.find("iterations"), path + ".iterations");
    startup(model, path);
  }

  void startup(Value& holder, const std::string& path) {
    ModelSpec::Startup any;
    Value* phases = holder.find("startup");
    if (!phases) return;
    for (const Field& field : declare_startup(any).open("", SourceMark()).list)
      if (Value* phase = field.fitted ? phases->find(field.name) : nullptr)
        start(*phase, path + ".startup." + field.name);
  }

  // Only a job beside itself: replicas of one model share a GPU.
  void interference(Value& policy, const std::string& path) {
    const auto taken = take(policy, path, "speeds");
    if (!taken) return;
    std::vector<InterferenceCoefficients> pairs = taken->file->interference;
    std::erase_if(pairs, [](const InterferenceCoefficients& pair) { return pair.job != pair.neighbour; });
    auto name = [](const InterferenceCoefficients& pair) { return pair.job; };
    if (const InterferenceCoefficients* pair = choose(pairs, name, *taken, "interference of a job beside itself"))
      policy.members.push_back(made("speeds", scalar(taken->reference, pair->speed)));
  }

  template <class F>
  void each(Value* entries, const std::string& path, F visit) {
    if (!entries) return;
    for (Value::Member& member : entries->members) visit(member.value, path + "." + member.key);
  }

 private:
  struct Reference {
    Value reference, key;  // as written; the key is Null where it is left out
    std::string path;
    const Coefficients* file = nullptr;
  };

  void latency(Value* law, const std::string& path) {
    const auto taken = law ? take(*law, path, "table") : std::nullopt;
    if (!taken) return;
    if (taken->file->latency.empty() && !taken->file->linear.empty()) return line(*law, *taken);
    auto name = [](const LatencyCoefficients& l) { return l.name; };
    const LatencyCoefficients* found = choose(taken->file->latency, name, *taken, "latency");
    if (!found) return;
    if (found->server)
      diagnostics_.warn(taken->reference.mark(), path + ".coefficients",
                        "has overlap, hostCost and prefetched, too, which are not taken from there: write them here");
    Value table = scalar(taken->reference, 0);
    table.kind = Kind::Mapping;
    for (const LatencyPoint& point : found->fit.table)
      table.members.push_back(made(fmt::format("{}", point.samples), scalar(taken->reference, point.seconds)));
    law->members.push_back(made("table", std::move(table)));
  }

  void line(Value& law, const Reference& taken) {
    auto name = [](const LinearCoefficients& l) { return l.name; };
    const LinearCoefficients* found = choose(taken.file->linear, name, taken, "lines");
    if (!found) return;
    const LinearLaw& l = found->law;
    const std::pair<const char*, double> fields[] = {{"base", l.base},
                                                     {"perItem", l.per_sequence},
                                                     {"prefillBase", l.prefill_base},
                                                     {"prefillPerToken", l.prefill_per_token}};
    for (const auto& [field, seconds] : fields) law.members.push_back(made(field, scalar(taken.reference, seconds)));
  }

  void iterations(Value* fields, const std::string& path) {
    const auto taken = fields ? take(*fields, path, "stepMs") : std::nullopt;
    if (!taken) return;
    auto name = [](const IterationCoefficients& i) { return i.name; };
    const IterationCoefficients* found = choose(taken->file->iterations, name, *taken, "iterations");
    if (!found) return;
    Value gpu = scalar(taken->reference, 0);
    gpu.text = found->fit.gpu;
    fields->members.push_back(made("gpu", std::move(gpu)));
    for (const IterationFigure& figure : kIterationFigures)
      fields->members.push_back(made(figure.name, scalar(taken->reference, found->fit.*figure.value)));
    fields->members.push_back(made("maxSequences", scalar(taken->reference, found->fit.max_sequences)));
    fields->members.push_back(made("maxContext", scalar(taken->reference, found->fit.max_context)));
  }

  void start(Value& phase, const std::string& path) {
    if (!phase.find("coefficients")) return;
    const auto taken = take(phase, path, "lognormal");
    auto name = [](const StartupCoefficients& s) { return s.name; };
    const StartupCoefficients* found = taken ? choose(taken->file->startup, name, *taken, "startup") : nullptr;
    if (!found) {
      phase = Value();  // as left out: its complaint is made
      return;
    }
    Value lognormal = scalar(taken->reference, 0);
    lognormal.kind = Kind::Mapping;
    lognormal.members = {made("median", scalar(taken->reference, found->fit.median)),
                         made("sigma", scalar(taken->reference, found->fit.sigma))};
    phase.members.push_back(made("lognormal", std::move(lognormal)));
  }

  // The reference of a mapping that has one, out of it; `instead` is what it stands for. None: there is none, or none
  // that can be read.
  std::optional<Reference> take(Value& holder, const std::string& path, const std::string& instead) {
    const Value* written = holder.find("coefficients");
    if (!written) {
      if (const Value* key = holder.find("key"))
        diagnostics_.error(key->mark(), path + ".key", "found without coefficients, which it is a key of");
      return std::nullopt;
    }
    Reference out{*written, Value(), path};
    if (const Value* key = holder.find("key")) out.key = *key;
    std::erase_if(holder.members, [](const auto& m) { return m.key == "coefficients" || m.key == "key"; });
    if (const Value* both = holder.find(instead)) {
      diagnostics_.error(both->mark(), path + "." + instead, "found beside coefficients, allowed: one or the other");
      return std::nullopt;
    }
    out.file = read(out.reference, path + ".coefficients");
    return out.file ? std::optional(out) : std::nullopt;
  }

  const Coefficients* read(const Value& name, const std::string& field) {
    if (name.kind != Kind::Scalar || name.text.empty()) {
      diagnostics_.error(name.mark(), field, fmt::format("found {}, allowed: a file name", name.describe()));
      return nullptr;
    }
    const std::string path = resolve_path(name);
    auto known = files_.find(path);
    if (known != files_.end()) return &known->second;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      diagnostics_.error(name.mark(), field, fmt::format("found {}, which does not exist ({})", name.describe(), path));
      return nullptr;
    }
    try {
      return &files_.emplace(path, read_coefficients(path)).first->second;
    } catch (const InputError& e) {
      for (const Diagnostic& d : e.diagnostics()) diagnostics_.error(d.mark, d.field, d.message);
      return nullptr;
    }
  }

  template <class Entry, class Name>
  const Entry* choose(const std::vector<Entry>& entries, Name name, const Reference& reference, const char* kind) {
    const Value& key = reference.key;
    if (entries.empty()) {
      diagnostics_.error(reference.reference.mark(), reference.path + ".coefficients",
                         fmt::format("found {}, which has no {}", reference.reference.describe(), kind));
      return nullptr;
    }
    if (key.kind == Kind::Null && entries.size() == 1) return &entries[0];
    std::vector<std::string> names;
    for (const Entry& entry : entries) {
      if (name(entry) == key.text) return &entry;
      names.push_back(name(entry));
    }
    if (key.kind == Kind::Null)
      diagnostics_.error(reference.reference.mark(), reference.path + ".key",
                         fmt::format("missing, needed: one of {}", fmt::join(names, ", ")));
    else
      diagnostics_.error(key.mark(), reference.path + ".key", not_allowed(key.text, names));
    return nullptr;
  }

  // Stands where `place` does.
  static Value scalar(const Value& place, double number) {
    Value out;
    out.kind = Kind::Scalar;
    out.text = fmt::format("{}", number);
    out.file = place.file;
    out.line = place.line;
    out.column = place.column;
    return out;
  }
  static Value::Member made(std::string key, Value value) {
    return {std::move(key), value.line, value.column, std::move(value)};
  }

  Diagnostics& diagnostics_;
  std::map<std::string, Coefficients> files_;  // by path
};

}  // namespace

void resolve_coefficients(Value& scenario, Diagnostics& diagnostics) {
  Value* spec = scenario.find("spec");
  if (!spec) return;
  Resolver resolver(diagnostics);
  resolver.each(spec->find("models"), "spec.models",
                [&](Value& model, const std::string& path) { resolver.model(model, path); });
  resolver.each(spec->find("pods"), "spec.pods",
                [&](Value& pods, const std::string& path) { resolver.startup(pods, path); });
  if (Value* policies = spec->find("policies"))
    resolver.each(policies->find("interference"), "spec.policies.interference",
                  [&](Value& policy, const std::string& path) { resolver.interference(policy, path); });
}

}  // namespace kisim
