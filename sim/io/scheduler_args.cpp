#include "io/scheduler_args.hpp"

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler_args.hpp"

#include <algorithm>
#include <charconv>

namespace kisim {

namespace {

using Strategy = NodeResourcesFitArgs::Strategy;

NameProblems check_resource_group(std::string_view text) {
  NameProblems out = check_qualified_name(text);
  if (text.find('/') != text.npos) out.insert(out.begin(), "resource group name can't contain '/'");
  return out;
}

// A weight of 0 stands for 1, as everywhere in the scheduler's configuration.
ResourceWeight read_resource_weight(ObjectReader& object) {
  ResourceWeight out;
  out.name = object.text("name");
  if (out.name.empty()) object.required("name");
  if (std::optional<int64_t> weight = object.integer("weight", INT64_MIN, INT64_MAX); weight && *weight != 0)
    out.weight = *weight;
  object.finish();
  return out;
}

// ------------------------------------------------------------------------------------------------ NodeResourcesFit

void check_shape(std::vector<ObjectReader>& points,
                 const std::vector<NodeResourcesFitArgs::UtilizationShapePoint>& shape) {
  for (size_t i = 1; i < shape.size(); ++i) {
    if (shape[i - 1].utilization < shape[i].utilization) continue;
    points[i].invalid("utilization", "values must be sorted in increasing order");
    return;
  }
}

void read_shape(ObjectReader ratio, NodeResourcesFitArgs& out) {
  std::vector<ObjectReader> points = ratio.objects("shape");
  if (points.empty()) ratio.required("shape", "at least one point must be specified");
  for (ObjectReader& point : points) {
    NodeResourcesFitArgs::UtilizationShapePoint& read = out.shape.emplace_back();
    point.integer("utilization", 0, 100, read.utilization, "not in valid range [0, 100]");
    point.integer("score", 0, 10, read.score, "not in valid range [0, 10]");
    point.finish();
  }
  check_shape(points, out.shape);
  ratio.finish();
}

void read_strategy(ObjectReader strategy, NodeResourcesFitArgs& out) {
  if (!strategy.exists()) return;
  strategy.choice("type", {"LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"}, out.strategy,
                  {Absent::Unsupported});
  std::vector<ObjectReader> resources = strategy.objects("resources");
  if (!resources.empty()) out.resources.clear();
  for (ObjectReader& resource : resources) {
    out.resources.push_back(read_resource_weight(resource));
    if (int64_t weight = out.resources.back().weight; weight <= 0 || weight > 100)
      resource.invalid("weight",
                       fmt::format("resource weight of {} not in valid range (0, 100]", out.resources.back().name));
  }
  ObjectReader ratio = strategy.object("requestedToCapacityRatio");
  if (out.strategy == Strategy::RequestedToCapacityRatio && !ratio.exists())
    strategy.required("requestedToCapacityRatio", "must be specified when type is RequestedToCapacityRatio");
  else if (out.strategy == Strategy::RequestedToCapacityRatio)
    read_shape(ratio, out);
  else if (ratio.exists())
    strategy.forbidden("requestedToCapacityRatio", "must be nil when type is not RequestedToCapacityRatio");
  strategy.finish();
}

NodeResourcesFitArgs read_fit_args(ObjectReader& args) {
  NodeResourcesFitArgs out;
  out.ignored_resources = args.texts("ignoredResources");
  args.check_names("ignoredResources", out.ignored_resources, check_qualified_name);
  out.ignored_resource_groups = args.texts("ignoredResourceGroups");
  args.check_names("ignoredResourceGroups", out.ignored_resource_groups, check_resource_group);
  read_strategy(args.object("scoringStrategy"), out);
  return out;
}

// -------------------------------------------------------------------------------------------- the other own plugins

NodeResourcesBalancedAllocationArgs read_balanced_args(ObjectReader& args) {
  NodeResourcesBalancedAllocationArgs out;
  std::vector<ObjectReader> resources = args.objects("resources");
  if (!resources.empty()) out.resources.clear();
  for (ObjectReader& resource : resources) {
    ResourceWeight read = read_resource_weight(resource);
    bool repeats = std::any_of(out.resources.begin(), out.resources.end(),
                               [&](const ResourceWeight& other) { return other.name == read.name; });
    if (repeats) resource.duplicate("name", quote(read.name));
    if (read.weight != 1) resource.invalid("weight", "must be 1");
    out.resources.push_back(std::move(read));
  }
  return out;
}

NodeAffinityArgs read_node_affinity_args(ObjectReader& args) {
  NodeAffinityArgs out;
  read_node_affinity(args.object("addedAffinity"), Holder::Profile, out.required, out.preferred);
  return out;
}

PodTopologySpreadArgs read_spread_args(ObjectReader& args) {
  PodTopologySpreadArgs out;
  args.choice("defaultingType", {"System", "List"}, out.defaulting, kOptional);
  std::vector<std::string> kinds;
  for (ObjectReader& object : args.objects("defaultConstraints")) {
    TopologySpreadConstraint constraint = read_topology_spread_constraint(object, Holder::Profile);
    if (object.find("labelSelector"))
      object.forbidden("labelSelector", "constraint must not define a selector, as they deduced for each pod");
    object.harmless({"matchLabelKeys"});  // without a selector there is nothing to add them to
    object.finish();
    std::string kind = spread_kind(constraint);
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) object.duplicate("", quote(kind));
    kinds.push_back(std::move(kind));
    out.default_constraints.push_back(std::move(constraint));
  }
  if (out.defaulting == PodTopologySpreadArgs::Defaulting::System && !out.default_constraints.empty())
    args.error("defaultingType", invalid_value(quote("System"), "when .defaultConstraints are not empty"));
  return out;
}

InterPodAffinityArgs read_inter_pod_affinity_args(ObjectReader& args) {
  InterPodAffinityArgs out;
  args.integer("hardPodAffinityWeight", 0, 100, out.hard_pod_affinity_weight, "not in valid range [0, 100]");
  out.ignore_preferred_terms_of_existing_pods = args.flag("ignorePreferredTermsOfExistingPods");
  return out;
}

DefaultPreemptionArgs read_preemption_args(ObjectReader& args) {
  DefaultPreemptionArgs out;
  const char *percentage = "minCandidateNodesPercentage", *absolute = "minCandidateNodesAbsolute";
  args.integer(percentage, 0, 100, out.min_candidate_nodes_percentage, "not in valid range [0, 100]");
  args.integer(absolute, 0, INT32_MAX, out.min_candidate_nodes_absolute, "not in valid range [0, inf)");
  if (out.min_candidate_nodes_percentage == 0 && out.min_candidate_nodes_absolute == 0) {
    args.invalid(percentage, fmt::format("cannot be zero at the same time as {}", absolute));
    args.invalid(absolute, fmt::format("cannot be zero at the same time as {}", percentage));
  }
  return out;
}

// Checked, and without effect: there are no volumes.
void read_volume_binding_args(ObjectReader& args) {
  args.integer("bindTimeoutSeconds", 0, INT64_MAX, "invalid BindTimeoutSeconds, should not be a negative value");
  if (args.find("shape"))
    args.invalid("shape", "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring");
}

// -------------------------------------------------------------------------------------------------------------- FGD

double read_share(ObjectReader& object) {
  const Value* value = object.find("share");
  if (!value) return object.required("share"), 0.0;
  double share = 0;
  const char* end = value->text.data() + value->text.size();
  auto [stop, error] = std::from_chars(value->text.data(), end, share);
  bool ok = value->kind == Value::Kind::Scalar && !value->quoted && error == std::errc{} && stop == end && share > 0;
  if (ok && share <= 1e15) return share;
  object.error("share", found_allowed(*value, "a number above 0"));
  return 0;
}

FgdArgs::TypicalPod read_typical_pod(ObjectReader& object) {
  FgdArgs::TypicalPod out;
  if (std::optional<Quantity> cpu = object.quantity("cpu")) out.milli_cpu = cpu->milli_value();
  if (out.milli_cpu < 0) object.invalid("cpu", "must be greater than or equal to 0");
  object.integer("gpuMilli", 0, 1000, out.gpu_milli);
  object.integer("gpuCount", 0, 1024, out.gpu_count);
  // Either says that there are GPUs; several are whole ones.
  if (out.gpu_milli > 0 && !object.find("gpuCount")) out.gpu_count = 1;
  if (out.gpu_count > 0 && !object.find("gpuMilli")) out.gpu_milli = 1000;
  if (out.gpu_count > 1 && out.gpu_milli != 1000) object.invalid("gpuMilli", "must be 1000 with several GPUs");
  if ((out.gpu_count == 0) != (out.gpu_milli == 0)) object.invalid("gpuCount", "must be 0 if and only if gpuMilli is");
  out.gpu_products = object.texts("gpuModels");
  out.share = read_share(object);
  object.finish();
  return out;
}

FgdArgs read_fgd_args(ObjectReader& args) {
  FgdArgs out;
  for (ObjectReader& pod : args.objects("typicalPods")) out.typical_pods.push_back(read_typical_pod(pod));
  return out;
}

// --------------------------------------------------------------------------------------------------------- dispatch

bool read_own_args(ObjectReader& args, const std::string& plugin, std::any& out) {
  if (plugin == "NodeResourcesFit")
    out = read_fit_args(args);
  else if (plugin == "NodeResourcesBalancedAllocation")
    out = read_balanced_args(args);
  else if (plugin == "NodeAffinity")
    out = read_node_affinity_args(args);
  else if (plugin == "PodTopologySpread")
    out = read_spread_args(args);
  else if (plugin == "InterPodAffinity")
    out = read_inter_pod_affinity_args(args);
  else if (plugin == "DefaultPreemption")
    out = read_preemption_args(args);
  else if (plugin == "FGD")
    out = read_fgd_args(args);
  else if (plugin == "VolumeBinding")
    read_volume_binding_args(args);
  else if (plugin == "DynamicResources")
    args.harmless({"filterTimeout", "bindingTimeout"});
  else
    return false;
  return true;
}

void check_type(ObjectReader& args, const std::string& plugin) {
  std::string kind = args.text("kind"), version = args.text("apiVersion");
  if (!kind.empty() && kind != plugin + "Args")
    args.error("kind", fmt::format("args for plugin {0} were not of type {0}Args.{1}, got {2}.{1}", plugin,
                                   kSchedulerGroup, kind));
  if (!version.empty() && version != kSchedulerVersion)
    args.error("apiVersion", fmt::format("found '{}', allowed: {}", version, kSchedulerVersion));
}

// Scalars, for a plugin that declares them.
void read_params(ObjectReader& entry, const std::vector<ParamSpec>& specs, std::map<std::string, std::string>& out) {
  const Value* args = entry.find("args");
  if (!args) return;
  for (const Value::Member& member : args->members) {
    if (member.key == "kind" || member.key == "apiVersion") continue;
    if (member.value.kind == Value::Kind::Scalar)
      out[member.key] = member.value.text;
    else
      entry.context().error(member.value.mark(), entry.path("args") + "." + member.key,
                            found_allowed(member.value, "a number or text"));
  }
  Params checked;
  if (auto complaint = fill_params(specs, out, checked)) entry.error("args", *complaint);
}

}  // namespace

void read_plugin_args(ObjectReader& entry, const std::string& plugin, PluginConfig& out) {
  ObjectReader args = entry.object("args");
  if (read_own_args(args, plugin, out.args)) {
    check_type(args, plugin);
    return args.finish();
  }
  if (const auto* registered = Registry<SchedulerPlugin>::instance().find(plugin))
    return read_params(entry, registered->params, out.params);
  entry.context().ignore(entry.mark(), entry.path("args"),
                         fmt::format("no plugin {} takes arguments, ignored", plugin));
}

}  // namespace kisim
