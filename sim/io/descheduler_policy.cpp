#include "io/descheduler_policy.hpp"

#include "io/descheduler_args.hpp"
#include "io/descheduler_v1alpha1.hpp"
#include "io/field_error.hpp"
#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {

namespace {

using Points = DeschedulerPlugin::Points;

constexpr const char* kDefaultEvictor = "DefaultEvictor";

std::vector<std::string> plugin_names(bool Points::*point) {
  std::vector<std::string> out;
  for (const auto& [name, entry] : Registry<DeschedulerPlugin>::instance().entries())
    if (descheduler_points(name).*point) out.push_back(name);
  return out;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Upstream reads these and never looks at them again.
void tell_without_effect(ObjectReader& object, std::string_view key) {
  const Value* value = object.find(key);
  if (value && value->kind == Value::Kind::Sequence && !value->items.empty())
    object.context().ignore(value->mark(), object.path(key), "has no effect, as in the descheduler");
}

// The plugins enabled at a point. Each must extend it and have its arguments in the profile.
std::vector<std::string> read_plugin_set(ObjectReader& plugins, const char* key, bool Points::*point,
                                         const DeschedulerProfile& profile) {
  ObjectReader set = plugins.object(key);
  std::vector<std::string> out = set.texts("enabled"), allowed = plugin_names(point);
  for (size_t i = 0; i < out.size(); ++i) {
    const Value* list = set.find("enabled");
    SourceMark mark = i < list->items.size() ? list->items[i].mark() : list->mark();
    if (!contains(allowed, out[i]))
      set.context().error(mark, set.path("enabled", i), not_allowed(out[i], allowed));
    else if (!profile.plugin_config.contains(out[i]) && out[i] != kDefaultEvictor)
      set.context().error(
          mark, set.path("enabled", i),
          fmt::format("found {} without an entry in pluginConfig, allowed: one with its args, which may "
                      "be empty",
                      out[i]));
  }
  tell_without_effect(set, "disabled");
  set.finish();
  return out;
}

// DefaultEvictor is always on, ahead of others.
void add_default_evictor(std::vector<std::string>& names) {
  if (!contains(names, kDefaultEvictor)) names.insert(names.begin(), kDefaultEvictor);
}

void read_plugins(ObjectReader plugins, DeschedulerProfile& out) {
  out.deschedule = read_plugin_set(plugins, "deschedule", &Points::deschedule, out);
  out.balance = read_plugin_set(plugins, "balance", &Points::balance, out);
  out.filter = read_plugin_set(plugins, "filter", &Points::evictor, out);
  out.pre_eviction_filter = read_plugin_set(plugins, "preevictionfilter", &Points::evictor, out);
  for (const char* key : {"presort", "sort"}) {
    ObjectReader set = plugins.object(key);
    tell_without_effect(set, "enabled");
    tell_without_effect(set, "disabled");
    set.finish();
  }
  plugins.finish();
  add_default_evictor(out.filter);
  add_default_evictor(out.pre_eviction_filter);
}

void read_plugin_config(ObjectReader& entry, ObjectContext& strict, const PriorityClasses& classes,
                        DeschedulerProfile& out) {
  std::string name = entry.text("name");
  const Value* value = entry.find("args");
  entry.finish();
  const auto& registered = Registry<DeschedulerPlugin>::instance().entries();
  if (!registered.contains(name)) {
    std::vector<std::string> names;
    for (const auto& [known, plugin] : registered) names.push_back(known);
    return entry.error("name", not_allowed(name, names));
  }
  DeschedulerPluginConfig config;
  ObjectReader args(strict, value, entry.path("args"), value ? value->mark() : entry.mark());
  read_descheduler_args(args, name, classes, config);
  if (!out.plugin_config.emplace(name, std::move(config)).second)
    entry.context().ignore(entry.mark(), entry.path("name"),
                           fmt::format("found {} again; the descheduler takes the first, so does kisim", name));
}

DeschedulerProfile read_profile(ObjectReader& object, ObjectContext& strict, const PriorityClasses& classes) {
  DeschedulerProfile out;
  out.name = object.text("name");
  for (ObjectReader& entry : object.objects("pluginConfig")) read_plugin_config(entry, strict, classes, out);
  read_plugins(object.object("plugins"), out);
  out.plugin_config.try_emplace(kDefaultEvictor, DeschedulerPluginConfig{DefaultEvictorArgs(), {}});
  object.finish();
  return out;
}

void read_prometheus(ObjectReader& provider) {
  ObjectReader prometheus = provider.object("prometheus");
  if (!prometheus.exists()) return provider.required("prometheus");
  if (prometheus.text("url").empty()) prometheus.required("url");
  ObjectReader token = prometheus.object("authToken"), secret = token.object("secretReference");
  if (token.exists() && !secret.exists()) token.required("secretReference");
  for (const char* key : {"namespace", "name"})
    if (secret.text(key).empty() && secret.exists()) secret.required(key);
  secret.finish();
  token.finish();
  prometheus.finish();
}

// Where metrics come from. kisim asks its own metrics, whatever the address.
void read_metrics(ObjectReader& root, DeschedulerPolicy& out) {
  ObjectReader collector = root.object("metricsCollector");
  bool collects = collector.flag("enabled");
  collector.finish();
  for (ObjectReader& provider : root.objects("metricsProviders")) {
    enum class Source : uint8_t { KubernetesMetrics, Prometheus } source{};
    if (!provider.choice("source", {"KubernetesMetrics", "Prometheus"}, source)) continue;
    bool& known = source == Source::Prometheus ? out.prometheus : out.kubernetes_metrics;
    if (known) provider.duplicate("source", provider.shown());
    known = true;
    if (source == Source::Prometheus) read_prometheus(provider);
    provider.harmless({"prometheus"});  // of another source: nobody looks at it
    provider.finish();
  }
  if (out.kubernetes_metrics && collects)
    root.error("metricsCollector", "found KubernetesMetrics among metricsProviders as well, allowed: one of the two");
  out.kubernetes_metrics |= collects;
}

void read_v1alpha2(ObjectReader& root, const PriorityClasses& classes, DeschedulerPolicy& out) {
  ObjectContext strict{root.context().diagnostics, root.context().ignored, true};
  for (ObjectReader& profile : root.objects("profiles")) out.profiles.push_back(read_profile(profile, strict, classes));
  out.node_selector = read_selector_text(root, "nodeSelector");
  out.max_pods_per_node = read_count(root, "maxNoOfPodsToEvictPerNode");
  out.max_pods_per_namespace = read_count(root, "maxNoOfPodsToEvictPerNamespace");
  out.max_pods_total = read_count(root, "maxNoOfPodsToEvictTotal");
  out.grace_period_seconds = root.integer("gracePeriodSeconds", 0, INT64_MAX);
  read_metrics(root, out);
  root.harmless({"evictionFailureEventNotification"});
}

}  // namespace

DeschedulerPolicy read_descheduler_policy(const Value& document, const std::vector<PriorityClass>& classes,
                                          Diagnostics& diagnostics) {
  std::vector<Ignored> ignored;
  ObjectContext context{diagnostics, ignored};
  DeschedulerPolicy out;
  ObjectReader root(context, document, "");
  const std::string kind = root.text("kind"), version = root.text("apiVersion");
  if (kind != "DeschedulerPolicy") {
    root.error("kind", fmt::format("found '{}', allowed: DeschedulerPolicy", kind));
    return out;
  }
  if (version == "descheduler/v1alpha2")
    read_v1alpha2(root, classes, out);
  else if (version == "descheduler/v1alpha1")
    read_descheduler_v1alpha1(root, classes, out);
  else {
    root.error("apiVersion", fmt::format("found '{}', allowed: descheduler/v1alpha2, descheduler/v1alpha1", version));
    return out;
  }
  root.finish();
  tell_ignored(diagnostics, ignored);
  return out;
}

}  // namespace kisim
