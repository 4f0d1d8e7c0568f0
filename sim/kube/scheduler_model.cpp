#include "kube/scheduler_model.hpp"

#include "kube/scheduler_cache.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <map>

namespace kisim {

namespace {

// Plugins are named by the bits of a 64-bit word, and kept filters by 7 bits of a verdict.
constexpr size_t kMaxPlugins = 64;

[[noreturn]] void refuse(const SourceMark& mark, const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, mark, field, message});
}

std::shared_ptr<const SchedulerPlugin> make_plugin(const std::string& name, const SchedulerProfile& profile) {
  const auto* entry = Registry<SchedulerPlugin>::instance().find(name);
  if (!entry) return nullptr;
  Params params;
  auto config = profile.plugin_config.find(name);
  bool given = config != profile.plugin_config.end();
  SourceMark mark = given ? config->second.mark : profile.mark;
  if (auto complaint =
          fill_params(entry->params, given ? config->second.params : std::map<std::string, std::string>{}, params))
    refuse(mark, "pluginConfig." + name, *complaint);
  if (given) params.set_args(config->second.args);
  return entry->make(params);
}

class Compiler {
 public:
  Compiler(const ClusterModel& cluster, const SchedulerConfig& config) : cluster_(cluster), config_(config) {
    model_.counters = DomainCounters(cluster);
    model_.reasons = {"no nodes available to schedule pods"};
  }

  SchedulerModel compile() {
    const KubeSchedulerConfiguration& c = config_.configuration;
    if (c.profiles.size() >= SchedulerModel::kNoProfile)
      refuse(c.profiles.back().mark, "profiles",
             fmt::format("found {}, allowed: up to {}", c.profiles.size(), SchedulerModel::kNoProfile - 1));
    model_.configuration = c;
    model_.queue.initial_backoff = c.pod_initial_backoff;
    model_.queue.max_backoff = c.pod_max_backoff;
    model_.kubernetes_minor = config_.kubernetes_minor;
    model_.gates = config_.gates;
    model_.seed = config_.seed;
    model_.tie_break = config_.tie_break;
    model_.bind_latency = config_.bind_latency;
    model_.client_limit = config_.client_limit;
    for (const SchedulerProfile& profile : c.profiles) {
      model_.profiles.push_back(this->profile(profile));
      model_.profiles.back().percentage_of_nodes_to_score =
          profile.percentage_of_nodes_to_score.value_or(c.percentage_of_nodes_to_score);
    }
    model_.counters.finish();
    choose_profiles();
    fill_static_verdicts();
    return std::move(model_);
  }

 private:
  SchedulerModel::Profile profile(const SchedulerProfile& wanted) {
    SchedulerModel::Profile out;
    out.scheduler_name = wanted.scheduler_name;
    auto points = expand_profile(wanted, config_.kubernetes_minor);
    std::map<std::string, uint8_t> places;
    for (size_t point = 0; point < kExtensionPoints; ++point)
      for (const WeightedPlugin& p : points[point]) {
        auto [place, is_new] = places.try_emplace(p.name, static_cast<uint8_t>(out.plugins.size()));
        if (is_new) {
          std::shared_ptr<const SchedulerPlugin> plugin = make_plugin(p.name, wanted);
          // A plugin of Kubernetes without a part here: of volumes, claims and declared features.
          if (!plugin) {
            places.erase(place);
            continue;
          }
          out.plugins.push_back(compile_plugin(p.name, std::move(plugin)));
        }
        if (static_cast<ExtensionPoint>(point) == ExtensionPoint::Score)
          out.plugins[place->second].weight = p.weight == 0 ? 1 : p.weight;
        out.at[point].push_back(place->second);
      }
    check(wanted, out);
    keep(out);
    return out;
  }

  SchedulerModel::Plugin compile_plugin(const std::string& name, std::shared_ptr<const SchedulerPlugin> plugin) {
    SchedulerModel::Plugin out;
    out.name = name;
    out.plugin = std::move(plugin);
    out.points = out.plugin->points();
    out.events = out.plugin->events();
    Preparation preparation{cluster_, config_.kubernetes_minor, config_.gates, model_.counters};
    out.data = out.plugin->prepare(preparation);
    out.filter_reads = out.plugin->filter_reads();
    out.score_reads = out.plugin->score_reads();
    out.first_reason = static_cast<uint32_t>(model_.reasons.size());
    for (std::string& text : out.plugin->reasons(cluster_, config_.kubernetes_minor))
      model_.reasons.push_back(std::move(text));
    if (out.first_reason == model_.reasons.size()) model_.reasons.push_back("rejected by plugin " + name);
    out.narrowed_reason = static_cast<uint32_t>(model_.reasons.size());
    if (out.points.has(ExtensionPoint::PreFilter))
      model_.reasons.push_back("node(s) didn't satisfy plugin(s) [" + name + "]");
    return out;
  }

  static void check(const SchedulerProfile& wanted, const SchedulerModel::Profile& profile) {
    if (profile.plugins.size() > kMaxPlugins)
      refuse(wanted.mark, "plugins", fmt::format("found {}, allowed: up to {}", profile.plugins.size(), kMaxPlugins));
    if (size_t sorts = profile.plugins_at(ExtensionPoint::QueueSort).size(); sorts != 1)
      refuse(wanted.mark, "plugins.queueSort",
             fmt::format("one queue sort plugin required for profile with scheduler name \"{}\", found {}",
                         wanted.scheduler_name, sorts));
    if (profile.plugins_at(ExtensionPoint::Bind).empty())
      refuse(wanted.mark, "plugins.bind",
             fmt::format("at least one bind plugin is needed for profile with scheduler name \"{}\"",
                         wanted.scheduler_name));
  }

  static void keep(SchedulerModel::Profile& profile) {
    const std::vector<uint8_t>& filters = profile.plugins_at(ExtensionPoint::Filter);
    while (profile.kept_filters < filters.size() &&
           profile.plugins[filters[profile.kept_filters]].filter_reads != Reads::Cluster)
      ++profile.kept_filters;
    for (uint8_t p : profile.plugins_at(ExtensionPoint::Score))
      if (profile.plugins[p].score_reads != Reads::Cluster) profile.kept_scores.push_back(p);
  }

  void choose_profiles() {
    for (const PodTemplateModel& t : cluster_.templates) {
      size_t p = 0;
      while (p < model_.profiles.size() && model_.profiles[p].scheduler_name != t.spec.scheduler_name) ++p;
      model_.profile_of.push_back(p < model_.profiles.size() ? static_cast<uint8_t>(p) : SchedulerModel::kNoProfile);
    }
  }

  // Templates that say the same to every filter that reads the node alone share a row.
  static std::string static_identity(const PodTemplateModel& t, uint8_t profile) {
    std::string out = fmt::format("{}|{}", profile, t.spec.node_name);
    for (const auto& [key, value] : t.spec.node_selector) out += fmt::format("|{}={}", key, value);
    auto add_terms = [&](const NodeSelectorTerm& term) {
      for (const auto* list : {&term.match_expressions, &term.match_fields}) {
        out += "|;";
        for (const SelectorRequirement& r : *list)
          out += fmt::format("|{} {} {}", r.key, static_cast<int>(r.op), fmt::join(r.values, ","));
      }
    };
    if (t.spec.required_node_affinity) {
      out += "|required";
      for (const NodeSelectorTerm& term : *t.spec.required_node_affinity) add_terms(term);
    }
    for (const Toleration& toleration : t.spec.tolerations)
      out += fmt::format("|{} {} {} {}", toleration.key, static_cast<int>(toleration.op), toleration.value,
                         toleration.effect ? static_cast<int>(*toleration.effect) : -1);
    return out;
  }

  void fill_static_verdicts() {
    model_.node_entries = cluster_.nodes.size();
    std::map<std::string, uint32_t> classes;
    for (size_t t = 0; t < cluster_.templates.size(); ++t) {
      TemplateId id(t);
      uint8_t profile = model_.profile_of[id];
      auto [known, is_new] =
          classes.try_emplace(static_identity(cluster_.templates[id], profile), static_cast<uint32_t>(classes.size()));
      model_.static_class.push_back(known->second);
      if (is_new) add_static_rows(id);
    }
  }

  void add_static_rows(TemplateId id) {
    size_t nodes = model_.node_entries;
    model_.static_verdicts.resize(model_.static_verdicts.size() + nodes, 0);
    if (model_.profile_of[id] == SchedulerModel::kNoProfile) return;
    const SchedulerModel::Profile& profile = model_.profile(id);
    {
      // Every entry stands for a node of its own: filters of this kind see no others.
      SchedulerSnapshot snapshot;
      for (size_t n = 0; n < nodes; ++n) snapshot.version.push_back(static_cast<uint32_t>(n));
      snapshot.conditions.resize(nodes);
      SchedulerView view(cluster_, model_.counters, snapshot);
      std::vector<NodeId> column(nodes);
      for (size_t n = 0; n < nodes; ++n) column[n] = NodeId(n);
      uint8_t* row = model_.static_verdicts.data() + model_.static_verdicts.size() - nodes;
      for (size_t f = 0; f < profile.kept_filters; ++f) {
        const SchedulerModel::Plugin& p = profile.plugins[profile.plugins_at(ExtensionPoint::Filter)[f]];
        if (p.filter_reads != Reads::Node) continue;
        std::vector<StatusCode> codes(nodes, StatusCode::Success);
        std::vector<int64_t> scratch;
        PluginContext context{view,         {},      id,     cluster_.templates[id], model_.seed, 0, false,
                              p.data.get(), nullptr, scratch};
        p.plugin->filter(context, column, codes);
        for (size_t n = 0; n < nodes; ++n)
          if (row[n] == 0 && codes[n] != StatusCode::Success) row[n] = SchedulerModel::code_of(f, codes[n]);
      }
    }
  }

  const ClusterModel& cluster_;
  const SchedulerConfig& config_;
  SchedulerModel model_;
};

}  // namespace

const std::vector<ParamSpec>& scheduler_params() {
  using Type = ParamSpec::Type;
  static const std::vector<ParamSpec> specs{
      {"tieBreak",
       Type::Text,
       "kubernetes",
       "choice among nodes of equal score; kubernetes: seeded up to 1.34, heap from 1.35 on",
       {},
       {},
       {"kubernetes", "seeded", "heap", "first", "name"}},
      {"bindLatency", Type::Duration, "0s", "from the decision to the bound pod", 0, {}, {}},
  };
  return specs;
}

void set_scheduler_params(const Params& params, SchedulerConfig& config) {
  const std::string& tie = params.text("tieBreak");
  bool by_version = tie == "kubernetes";
  config.tie_break = tie == "first"                                                   ? TieBreak::First
                     : tie == "name"                                                  ? TieBreak::Name
                     : tie == "heap" || (by_version && config.kubernetes_minor >= 35) ? TieBreak::Heap
                                                                                      : TieBreak::Seeded;
  config.bind_latency = params.duration("bindLatency");
}

SchedulerModel compile_scheduler(const ClusterModel& cluster, const SchedulerConfig& config) {
  return Compiler(cluster, config).compile();
}

}  // namespace kisim
