#include "kube/scheduler_configuration.hpp"

#include "policy/registry.hpp"

#include <algorithm>
#include <optional>

namespace kisim {

namespace {

using Point = ExtensionPoint;

constexpr int kNever = 1000;  // a minor version that will not come

// A plugin of kube-scheduler's own, in the order of the default profile (pkg/scheduler/apis/config/v1,
// default_plugins.go). kisim's part of it may extend fewer points than Kubernetes' does.
struct InTree {
  std::string_view name;
  ExtensionPoints points;
  int32_t weight = 0;            // of the default profile; 0: none
  int first = 0, last = kNever;  // the minor versions that have it so
  int default_since = 0;         // the minor version whose default profile has it first
};

constexpr ExtensionPoints kFilters = {Point::PreFilter, Point::Filter};
constexpr ExtensionPoints kFiltersAndScores = {Point::PreFilter, Point::Filter, Point::PreScore, Point::Score};

constexpr ExtensionPoints kClaims = {Point::PreEnqueue, Point::PreFilter, Point::Filter,
                                     Point::PostFilter, Point::Reserve,   Point::PreBind};
constexpr ExtensionPoints kScoredClaims = {Point::PreEnqueue, Point::PreFilter, Point::Filter, Point::PostFilter,
                                           Point::Score,      Point::Reserve,   Point::PreBind};

constexpr InTree kInTree[] = {
    {"SchedulingGates", {Point::PreEnqueue}},
    {"PrioritySort", {Point::QueueSort}},
    {"NodeUnschedulable", {Point::Filter}},
    {"NodeName", {Point::Filter}},
    {"TaintToleration", {Point::Filter, Point::PreScore, Point::Score}, 3},
    {"NodeAffinity", kFiltersAndScores, 2},
    {"NodePorts", kFilters},
    {"NodeResourcesFit", kFiltersAndScores, 1},
    {"VolumeRestrictions", kFilters},
    {"NodeVolumeLimits", kFilters},
    {"VolumeBinding", {Point::PreFilter, Point::Filter, Point::Reserve, Point::PreBind, Point::PreScore, Point::Score}},
    {"VolumeZone", kFilters},
    {"PodTopologySpread", kFiltersAndScores, 2},
    {"InterPodAffinity", kFiltersAndScores, 2},
    {"DynamicResources", kClaims, 0, 0, 34},
    {"DynamicResources", kScoredClaims, 2, 35},
    {"DefaultPreemption", {Point::PostFilter, Point::PreEnqueue}},
    {"NodeResourcesBalancedAllocation", {Point::PreScore, Point::Score}, 1},
    {"ImageLocality", {Point::Score}, 1},
    {"DefaultBinder", {Point::Bind}},
    {"NodeDeclaredFeatures", kFilters, 0, 35, kNever, 36},
    {"GangScheduling", {Point::PreEnqueue, Point::Permit}, 0, 35, kNever, kNever},
    {"TopologyPlacementGenerator", {}, 0, 36, kNever, kNever},
    {"PodGroupPodsCount", {}, 0, 36, kNever, kNever},
};

// In the order in which kube-scheduler looks at them, which decides what it complains about first.
struct PointName {
  Point point;
  const char *field, *type;
};
constexpr PointName kPoints[] = {
    {Point::PreFilter, "preFilter", "PreFilterPlugin"},
    {Point::Filter, "filter", "FilterPlugin"},
    {Point::PostFilter, "postFilter", "PostFilterPlugin"},
    {Point::Reserve, "reserve", "ReservePlugin"},
    {Point::PreScore, "preScore", "PreScorePlugin"},
    {Point::Score, "score", "ScorePlugin"},
    {Point::PreBind, "preBind", "PreBindPlugin"},
    {Point::Bind, "bind", "BindPlugin"},
    {Point::Permit, "permit", "PermitPlugin"},
    {Point::PreEnqueue, "preEnqueue", "PreEnqueuePlugin"},
    {Point::QueueSort, "queueSort", "QueueSortPlugin"},
};

[[noreturn]] void refuse(const SourceMark& mark, const std::string& field, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, mark, field, message});
}

const PluginRef* find(const std::vector<PluginRef>& list, const std::string& name) {
  auto at = std::find_if(list.begin(), list.end(), [&](const PluginRef& ref) { return ref.name == name; });
  return at == list.end() ? nullptr : &*at;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool has(const InTree& plugin, int minor) { return minor >= plugin.first && minor <= plugin.last; }

std::vector<PluginRef> default_plugins(int minor) {
  std::vector<PluginRef> out;
  for (const InTree& plugin : kInTree)
    if (has(plugin, minor) && minor >= plugin.default_since)
      out.push_back({std::string(plugin.name), plugin.weight, {}});
  return out;
}

// The points that a plugin extends; nothing if there is no such plugin.
std::optional<ExtensionPoints> points_of(const std::string& name, int minor) {
  for (const InTree& plugin : kInTree)
    if (plugin.name == name && has(plugin, minor)) return plugin.points;
  const auto* entry = Registry<SchedulerPlugin>::instance().find(name);
  if (!entry) return std::nullopt;
  Params params;
  fill_params(entry->params, {}, params);
  return entry->make(params)->points();
}

// What the profile says laid over the defaults: a default plugin that it names again keeps its place, others follow
// (mergePluginSet).
std::vector<PluginRef> merge(const std::vector<PluginRef>& defaults, const PluginSet& set) {
  std::vector<PluginRef> out;
  std::vector<const PluginRef*> placed;
  for (const PluginRef& plugin : defaults) {
    if (find(set.disabled, "*") || find(set.disabled, plugin.name)) continue;
    auto again = std::find_if(set.enabled.rbegin(), set.enabled.rend(),
                              [&](const PluginRef& ref) { return ref.name == plugin.name; });
    bool replaced = again != set.enabled.rend();
    out.push_back(replaced ? *again : plugin);
    if (replaced) placed.push_back(&*again);
  }
  for (const PluginRef& ref : set.enabled)
    if (std::find(placed.begin(), placed.end(), &ref) == placed.end()) out.push_back(ref);
  return out;
}

class Expander {
 public:
  Expander(const SchedulerProfile& profile, int minor)
      : profile_(profile), minor_(minor), multi_point_(merge(default_plugins(minor), profile.multi_point)) {}

  std::array<std::vector<WeightedPlugin>, kExtensionPoints> expand() const {
    for (const PointName& point : kPoints) check_listed(point);
    std::array<std::vector<WeightedPlugin>, kExtensionPoints> out;
    for (const PointName& point : kPoints)
      for (std::string& name : plugins_at(point)) {
        int32_t weight = point.point == Point::Score ? weight_of(name) : 1;
        out[static_cast<size_t>(point.point)].push_back({std::move(name), weight});
      }
    check_counts(out);
    return out;
  }

 private:
  const PluginSet& set_at(Point point) const { return profile_.points[static_cast<size_t>(point)]; }

  bool extends(const PluginRef& ref, const PointName& point, const char* set) const {
    std::optional<ExtensionPoints> points = points_of(ref.name, minor_);
    if (!points)
      refuse(ref.mark, fmt::format("plugins.{}", set), fmt::format("{} \"{}\" does not exist", point.type, ref.name));
    return points->has(point.point);
  }

  [[noreturn]] static void refuse_twice(const PluginRef& ref, const PointName& point, const char* set) {
    refuse(ref.mark, fmt::format("plugins.{}", set),
           fmt::format("plugin \"{}\" already registered as \"{}\"", ref.name, point.type));
  }

  // What the profile lists at a point itself (updatePluginList).
  void check_listed(const PointName& point) const {
    std::vector<std::string> seen;
    for (const PluginRef& ref : set_at(point.point).enabled) {
      if (!extends(ref, point, point.field))
        refuse(ref.mark, fmt::format("plugins.{}", point.field),
               fmt::format("plugin \"{}\" does not extend {} plugin", ref.name, point.type));
      if (contains(seen, ref.name)) refuse_twice(ref, point, point.field);
      seen.push_back(ref.name);
    }
  }

  // Those listed at the point that multiPoint has too, the rest of multiPoint, the others listed
  // (expandMultiPointPlugins).
  std::vector<std::string> plugins_at(const PointName& point) const {
    const PluginSet& set = set_at(point.point);
    std::vector<std::string> overriding, from_multi_point, others;
    if (!find(set.disabled, "*"))
      for (const PluginRef& ref : multi_point_) {
        if (!extends(ref, point, "multiPoint") || find(set.disabled, ref.name)) continue;
        if (find(set.enabled, ref.name)) {
          overriding.push_back(ref.name);
        } else {
          if (contains(from_multi_point, ref.name)) refuse_twice(ref, point, "multiPoint");
          from_multi_point.push_back(ref.name);
        }
      }
    std::vector<std::string> out;
    for (const PluginRef& ref : set.enabled) (contains(overriding, ref.name) ? out : others).push_back(ref.name);
    out.insert(out.end(), from_multi_point.begin(), from_multi_point.end());
    out.insert(out.end(), others.begin(), others.end());
    return out;
  }

  // A weight left out is 1, also where the default profile has another.
  int32_t weight_of(const std::string& name) const {
    const PluginRef* ref = find(set_at(Point::Score).enabled, name);
    if (!ref) ref = find(multi_point_, name);
    return ref->weight == 0 ? 1 : ref->weight;
  }

  void check_counts(const std::array<std::vector<WeightedPlugin>, kExtensionPoints>& points) const {
    size_t sorts = points[static_cast<size_t>(Point::QueueSort)].size();
    if (sorts != 1)
      refuse(profile_.mark, "plugins.queueSort",
             fmt::format("only one queue sort plugin required for profile with scheduler name \"{}\", but got {}",
                         profile_.scheduler_name, sorts));
    if (points[static_cast<size_t>(Point::Bind)].empty())
      refuse(profile_.mark, "plugins.bind",
             fmt::format("at least one bind plugin is needed for profile with scheduler name \"{}\"",
                         profile_.scheduler_name));
  }

  const SchedulerProfile& profile_;
  int minor_;
  std::vector<PluginRef> multi_point_;
};

}  // namespace

std::array<std::vector<WeightedPlugin>, kExtensionPoints> expand_profile(const SchedulerProfile& profile, int minor) {
  return Expander(profile, minor).expand();
}

}  // namespace kisim
