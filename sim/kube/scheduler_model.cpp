#include "kube/scheduler_model.hpp"

#include "core/hash.hpp"
#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {

namespace {

// Plugins are named by the bits of a 64-bit word, and by 7 bits of a static verdict.
constexpr size_t kMaxPlugins = 64;

[[noreturn]] void refuse(const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, {}, field, message});
}

std::string registered_names() {
  std::string names;
  for (const auto& [name, entry] : Registry<SchedulerPlugin>::instance().entries())
    names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::shared_ptr<const SchedulerPlugin> make_plugin(const ProfilePlugin& wanted) {
  const auto* entry = Registry<SchedulerPlugin>::instance().find(wanted.name);
  if (!entry) refuse("scheduler.plugins", fmt::format("found '{}', allowed: {}", wanted.name, registered_names()));
  Params params;
  if (auto complaint = fill_params(entry->params, wanted.params, params))
    refuse("scheduler.plugins." + wanted.name, *complaint);
  return entry->make(params);
}

bool can_reject(ExtensionPoints points) {
  return points.has(ExtensionPoint::PreFilter) || points.has(ExtensionPoint::Filter) ||
         points.has(ExtensionPoint::Reserve) || points.has(ExtensionPoint::Permit) ||
         points.has(ExtensionPoint::PreBind);
}

SchedulerModel::Plugin compile_plugin(const ProfilePlugin& wanted, const ClusterModel& cluster, int minor,
                                      std::vector<std::string>& reasons) {
  if (wanted.weight < 0 || wanted.weight > 100)
    refuse("scheduler.plugins." + wanted.name + ".weight", fmt::format("found {}, allowed: 0 to 100", wanted.weight));
  SchedulerModel::Plugin out;
  out.name = wanted.name;
  out.weight = wanted.weight == 0 ? 1 : wanted.weight;
  out.plugin = make_plugin(wanted);
  out.points = out.plugin->points();
  if (can_reject(out.points)) out.events = out.plugin->events();
  out.data = out.plugin->prepare(cluster, minor);
  out.first_reason = static_cast<uint32_t>(reasons.size());
  for (std::string& text : out.plugin->reasons(cluster, minor)) reasons.push_back(std::move(text));
  if (out.first_reason == reasons.size()) reasons.push_back("rejected by plugin " + wanted.name);
  out.narrowed_reason = static_cast<uint32_t>(reasons.size());
  if (out.points.has(ExtensionPoint::PreFilter))
    reasons.push_back("node(s) didn't satisfy plugin(s) [" + wanted.name + "]");
  return out;
}

void check_profile(const SchedulerModel& model) {
  if (model.plugins.size() > kMaxPlugins)
    refuse("scheduler.plugins", fmt::format("found {} plugins, allowed: up to {}", model.plugins.size(), kMaxPlugins));
  for (size_t i = 0; i < model.plugins.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (model.plugins[i].name == model.plugins[j].name)
        refuse("scheduler.plugins", fmt::format("found {} twice, allowed: once", model.plugins[i].name));
  if (size_t sorts = model.plugins_at(ExtensionPoint::QueueSort).size(); sorts != 1)
    refuse("scheduler.plugins", fmt::format("found {} plugins that sort the queue, allowed: exactly one", sorts));
  if (model.plugins_at(ExtensionPoint::Bind).empty())
    refuse("scheduler.plugins", "found no plugin that binds, allowed: at least one, such as DefaultBinder");
}

// One node of each zone in turn, zones in order of first appearance (backend/cache/node_tree.go).
std::vector<NodeId> snapshot_order(const ClusterModel& cluster) {
  std::vector<std::string> names;
  std::vector<std::vector<NodeId>> zones;
  for (size_t n = 0; n < cluster.nodes.size(); ++n) {
    const std::string& zone = cluster.nodes[NodeId(n)].zone;
    size_t z = static_cast<size_t>(std::find(names.begin(), names.end(), zone) - names.begin());
    if (z == names.size()) {
      names.push_back(zone);
      zones.emplace_back();
    }
    zones[z].push_back(NodeId(n));
  }
  std::vector<NodeId> order;
  for (size_t round = 0; order.size() < cluster.nodes.size(); ++round)
    for (const std::vector<NodeId>& zone : zones)
      if (round < zone.size()) order.push_back(zone[round]);
  return order;
}

ClusterState empty_state(const ClusterModel& cluster, bool ready) {
  ClusterState state;
  size_t nodes = cluster.nodes.size();
  state.requested.assign(nodes * cluster.resource_count(), 0);
  state.nonzero_cpu.assign(nodes, 0);
  state.nonzero_memory.assign(nodes, 0);
  state.node_ready.assign(nodes, ready ? 1 : 0);
  state.node_pods.resize(nodes);
  return state;
}

void fill_static_verdicts(SchedulerModel& model, const ClusterModel& cluster) {
  const std::vector<uint8_t>& filters = model.plugins_at(ExtensionPoint::Filter);
  while (model.static_filters < filters.size() &&
         model.plugins[filters[model.static_filters]].plugin->filter_is_static())
    ++model.static_filters;

  size_t nodes = cluster.nodes.size();
  model.static_verdicts.assign(cluster.templates.size() * 2 * nodes, 0);
  std::vector<NodeId> column(nodes);
  for (size_t n = 0; n < nodes; ++n) column[n] = NodeId(n);
  std::vector<StatusCode> codes(nodes);
  std::vector<int64_t> scratch;
  for (bool ready : {false, true}) {
    ClusterState state = empty_state(cluster, ready);
    SchedulerView view(cluster, state, model.allocatable);
    for (size_t t = 0; t < cluster.templates.size(); ++t) {
      uint8_t* row = model.static_verdicts.data() + (t * 2 + (ready ? 1 : 0)) * nodes;
      for (size_t f = 0; f < model.static_filters; ++f) {
        const SchedulerModel::Plugin& p = model.plugins[filters[f]];
        PluginContext context{view,  {},           TemplateId(t), cluster.templates[TemplateId(t)],
                              false, p.data.get(), nullptr,       scratch};
        std::fill(codes.begin(), codes.end(), StatusCode::Success);
        p.plugin->filter(context, column, codes);
        for (size_t n = 0; n < nodes; ++n)
          if (row[n] == 0 && codes[n] != StatusCode::Success)
            row[n] = static_cast<uint8_t>(1 + 2 * f + (codes[n] == StatusCode::UnschedulableAndUnresolvable));
      }
    }
  }
}

}  // namespace

std::vector<ProfilePlugin> default_profile() {
  return {{"SchedulingGates", 1, {}},   {"PrioritySort", 1, {}},
          {"NodeUnschedulable", 1, {}}, {"NodeName", 1, {}},
          {"TaintToleration", 3, {}},   {"NodeAffinity", 2, {}},
          {"NodeResourcesFit", 1, {}},  {"NodeResourcesBalancedAllocation", 1, {}},
          {"DefaultBinder", 1, {}}};
}

const std::vector<ParamSpec>& scheduler_params() {
  using Type = ParamSpec::Type;
  static const std::vector<ParamSpec> specs{
      {"tieBreak",
       Type::Text,
       "seeded",
       "choice among nodes of equal score",
       {},
       {},
       {"seeded", "heap", "first", "name"}},
      {"scoringStrategy",
       Type::Text,
       "LeastAllocated",
       "of NodeResourcesFit: prefer empty or full nodes",
       {},
       {},
       {"LeastAllocated", "MostAllocated"}},
      {"resources", Type::Text, "cpu:1,memory:1", "of NodeResourcesFit: resources scored, name:weight", {}, {}, {}},
      {"percentageOfNodesToScore",
       Type::Integer,
       "0",
       "share of the nodes to find feasible; 0 adapts to their number",
       0,
       100,
       {}},
      {"bindLatency", Type::Duration, "0s", "from the decision to the bound pod", 0, {}, {}},
      {"podInitialBackoff", Type::Duration, "1s", "first backoff of a pod that failed", 0, {}, {}},
      {"podMaxBackoff", Type::Duration, "10s", "longest backoff", 0, {}, {}},
  };
  return specs;
}

SchedulerConfig scheduler_config(const Params& params) {
  SchedulerConfig config;
  const std::string& tie = params.text("tieBreak");
  config.tie_break = tie == "heap"    ? TieBreak::Heap
                     : tie == "first" ? TieBreak::First
                     : tie == "name"  ? TieBreak::Name
                                      : TieBreak::Seeded;
  config.percentage_of_nodes_to_score = static_cast<int32_t>(params.integer("percentageOfNodesToScore"));
  config.bind_latency = params.duration("bindLatency");
  config.queue.initial_backoff = params.duration("podInitialBackoff");
  config.queue.max_backoff = params.duration("podMaxBackoff");
  config.profile = default_profile();
  for (ProfilePlugin& plugin : config.profile)
    if (plugin.name == "NodeResourcesFit")
      plugin.params = {{"scoringStrategy", params.text("scoringStrategy")}, {"resources", params.text("resources")}};
  return config;
}

SchedulerModel compile_scheduler(const ClusterModel& cluster, const SchedulerConfig& config) {
  SchedulerModel model;
  model.queue = config.queue;
  model.seed = config.seed;
  model.tie_break = config.tie_break;
  model.percentage_of_nodes_to_score = config.percentage_of_nodes_to_score;
  model.bind_latency = config.bind_latency;
  model.reasons = {"no nodes available to schedule pods"};
  for (const ProfilePlugin& wanted : config.profile)
    model.plugins.push_back(compile_plugin(wanted, cluster, config.kubernetes_minor, model.reasons));
  for (size_t point = 0; point < kExtensionPoints; ++point)
    for (size_t p = 0; p < model.plugins.size(); ++p)
      if (model.plugins[p].points.has(static_cast<ExtensionPoint>(point)))
        model.at[point].push_back(static_cast<uint8_t>(p));
  check_profile(model);

  model.node_order = snapshot_order(cluster);
  for (const NodeModel& node : cluster.nodes)
    model.allocatable.insert(model.allocatable.end(), node.allocatable.begin(), node.allocatable.end());
  for (const WorkloadModel& workload : cluster.workloads)
    model.workload_entity.push_back(hash_text("Pod/" + workload.full_name()));
  fill_static_verdicts(model, cluster);
  return model;
}

}  // namespace kisim
