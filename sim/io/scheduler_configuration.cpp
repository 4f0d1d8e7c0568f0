#include "io/scheduler_configuration.hpp"

#include "io/field_error.hpp"
#include "io/scheduler_args.hpp"

#include <algorithm>
#include <set>

namespace kisim {

namespace {

constexpr Duration kSecond{1'000'000'000};

constexpr const char* kPointFields[kExtensionPoints] = {"preEnqueue", "queueSort", "preFilter", "filter",
                                                        "postFilter", "preScore",  "score",     "reserve",
                                                        "permit",     "preBind",   "bind"};

// Plugins that Kubernetes had and has no more.
constexpr std::string_view kRemovedPlugins[] = {"AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"};

bool is_removed(const std::string& name) {
  return std::find(std::begin(kRemovedPlugins), std::end(kRemovedPlugins), name) != std::end(kRemovedPlugins);
}

std::string removed_problem() {
  return fmt::format("was invalid in version \"v1\" (KubeSchedulerConfiguration is version \"{}\")", kSchedulerVersion);
}

bool check_version(ObjectReader& root) {
  const std::string kind = root.text("kind"), version = root.text("apiVersion");
  if (kind == "KubeSchedulerConfiguration" && version == kSchedulerVersion) return true;
  if (kind != "KubeSchedulerConfiguration")
    root.error("kind", fmt::format("found '{}', allowed: KubeSchedulerConfiguration", kind));
  else
    root.error("apiVersion", fmt::format("found '{}', allowed: {}", version, kSchedulerVersion));
  return false;
}

std::vector<PluginRef> read_plugin_refs(ObjectReader& set, std::string_view key) {
  std::vector<PluginRef> out;
  for (ObjectReader& object : set.objects(key)) {
    PluginRef& ref = out.emplace_back();
    ref.name = object.text("name");
    object.integer("weight", INT32_MIN, INT32_MAX, ref.weight);
    ref.mark = object.mark();
    object.finish();
  }
  return out;
}

PluginSet read_plugin_set(ObjectReader set) {
  PluginSet out{read_plugin_refs(set, "enabled"), read_plugin_refs(set, "disabled")};
  set.finish();
  return out;
}

void check_removed(ObjectReader& plugins, const char* field, const PluginSet& set) {
  for (size_t i = 0; i < set.enabled.size(); ++i)
    if (is_removed(set.enabled[i].name))
      plugins.context().error(set.enabled[i].mark, plugins.path(field) + fmt::format(".enabled[{}]", i),
                              invalid_value(quote(set.enabled[i].name), removed_problem()));
}

// No plugin here does anything once a pod is bound.
void read_post_bind(ObjectReader& plugins) {
  PluginSet set = read_plugin_set(plugins.object("postBind"));
  for (const PluginRef& ref : set.enabled)
    plugins.context().error(ref.mark, plugins.path("postBind.enabled"),
                            fmt::format("plugin {} does not extend PostBindPlugin plugin", quote(ref.name)));
}

void read_plugins(ObjectReader plugins, SchedulerProfile& out) {
  for (size_t point = 0; point < kExtensionPoints; ++point) {
    out.points[point] = read_plugin_set(plugins.object(kPointFields[point]));
    check_removed(plugins, kPointFields[point], out.points[point]);
  }
  out.multi_point = read_plugin_set(plugins.object("multiPoint"));
  read_post_bind(plugins);
  plugins.unmodelled({"placementGenerate", "placementScore"});
  plugins.finish();
}

void read_plugin_config(ObjectReader& entry, std::map<std::string, PluginConfig>& out) {
  std::string name = entry.text("name");
  if (is_removed(name)) entry.error("", invalid_value(quote(name), removed_problem()));
  PluginConfig config;
  config.mark = entry.mark();
  read_plugin_args(entry, name, config);
  entry.finish();
  if (!out.emplace(name, std::move(config)).second) entry.duplicate("", quote(name));
}

SchedulerProfile read_profile(ObjectReader& object, bool is_only) {
  SchedulerProfile out;
  out.mark = object.mark();
  // Only a single profile may go without a name.
  if (!is_only || object.find("schedulerName")) {
    out.scheduler_name = object.text("schedulerName");
    if (out.scheduler_name.empty()) object.required("schedulerName");
  }
  if (std::optional<int64_t> percentage =
          object.integer("percentageOfNodesToScore", 0, 100, "not in valid range [0-100]"))
    out.percentage_of_nodes_to_score = static_cast<int32_t>(*percentage);
  read_plugins(object.object("plugins"), out);
  for (ObjectReader& entry : object.objects("pluginConfig")) read_plugin_config(entry, out.plugin_config);
  object.finish();
  return out;
}

bool same(const std::vector<PluginRef>& a, const std::vector<PluginRef>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const PluginRef& x, const PluginRef& y) { return x.name == y.name && x.weight == y.weight; });
}

// All profiles share one queue.
void check_queue_sort(std::vector<ObjectReader>& objects, const std::vector<SchedulerProfile>& profiles) {
  constexpr size_t kQueueSort = static_cast<size_t>(ExtensionPoint::QueueSort);
  const PluginSet& first = profiles[0].points[kQueueSort];
  if (first.enabled.size() > 1)
    objects[0]
        .object("plugins")
        .object("queueSort")
        .error("enabled",
               invalid_value(std::to_string(first.enabled.size()), "only one queue sort plugin can be enabled"));
  for (size_t i = 1; i < profiles.size(); ++i) {
    const PluginSet& set = profiles[i].points[kQueueSort];
    if (!same(set.enabled, first.enabled) || !same(set.disabled, first.disabled))
      objects[i].object("plugins").invalid("queueSort", "must be the same for all profiles");
  }
}

void read_profiles(ObjectReader& root, std::vector<SchedulerProfile>& out) {
  std::vector<ObjectReader> objects = root.objects("profiles");
  if (objects.empty()) return;  // one default profile
  out.clear();
  std::set<std::string> names;
  for (ObjectReader& object : objects) {
    out.push_back(read_profile(object, objects.size() == 1));
    const std::string& name = out.back().scheduler_name;
    if (!name.empty() && !names.insert(name).second) object.duplicate("schedulerName", quote(name));
  }
  check_queue_sort(objects, out);
}

void read_backoff(ObjectReader& root, KubeSchedulerConfiguration& out) {
  root.seconds("podInitialBackoffSeconds", 1, INT32_MAX, out.pod_initial_backoff, "must be greater than 0");
  root.seconds("podMaxBackoffSeconds", INT32_MIN, INT32_MAX, out.pod_max_backoff);
  if (out.pod_max_backoff < out.pod_initial_backoff)
    root.error("podMaxBackoffSeconds", invalid_value(std::to_string(out.pod_max_backoff.ns / kSecond.ns),
                                                     "must be greater than or equal to PodInitialBackoffSeconds"));
}

// Of the scheduler as a process.
void read_process(ObjectReader& root) {
  ObjectReader election = root.object("leaderElection");
  election.harmless({"leaderElect", "leaseDuration", "renewDeadline", "retryPeriod", "resourceLock", "resourceName",
                     "resourceNamespace"});
  election.finish();
  ObjectReader connection = root.object("clientConnection");
  connection.harmless({"kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"});
  connection.finish();
  root.harmless({"enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"});
}

}  // namespace

KubeSchedulerConfiguration read_scheduler_configuration(const Value& document, Diagnostics& diagnostics) {
  std::vector<Ignored> ignored;
  ObjectContext context{diagnostics, ignored, true};
  KubeSchedulerConfiguration out;
  ObjectReader root(context, document, "");
  if (!root.exists() || !check_version(root)) return out;

  root.integer("parallelism", 1, INT32_MAX, out.parallelism, "should be an integer value greater than zero");
  root.integer("percentageOfNodesToScore", 0, 100, out.percentage_of_nodes_to_score, "not in valid range [0-100]");
  read_backoff(root, out);
  read_profiles(root, out.profiles);
  if (size_t count = root.objects("extenders").size(); count > 0)
    root.error("extenders", fmt::format("found {}, allowed: none (extenders are not supported)", count));
  read_process(root);
  root.finish();
  tell_ignored(diagnostics, ignored);
  return out;
}

}  // namespace kisim
