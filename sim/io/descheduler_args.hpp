#pragma once
// The arguments of the descheduler's plugins. v1alpha1 knows them by other names, but they mean the same and are
// checked alike (pkg/framework/plugins/*/validation.go).

#include "io/object_reader.hpp"
#include "policy/descheduler.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

using PriorityClasses = std::vector<PriorityClass>;

// Reads args of one entry of pluginConfig (v1alpha2) into the plugin's own struct, or into `params` where the plugin
// declares scalars. Precondition: the plugin is registered.
void read_descheduler_args(ObjectReader& args, const std::string& plugin, const PriorityClasses& classes,
                           DeschedulerPluginConfig& out);

// Parts of it.
std::optional<uint64_t> read_count(ObjectReader& parent, std::string_view key);
SelectorArgument read_selector(ObjectReader& parent, std::string_view key);
// A selector in one line of text, as nodeSelector is.
SelectorArgument read_selector_text(ObjectReader& parent, std::string_view key);
NamespacesArgument read_namespaces(ObjectReader& parent, std::string_view key);
// Of the utilization plugins, which allow no `include`; returns `exclude`.
std::vector<std::string> read_excluded_namespaces(ObjectReader& parent, std::string_view key);
PodSelection read_pod_selection(ObjectReader& parent);  // namespaces, labelSelector
ResourceThresholds read_thresholds(ObjectReader& parent, std::string_view key);
void check_thresholds(ObjectReader& parent, const ResourceThresholds& low, const ResourceThresholds& high,
                      bool deviation);
std::vector<NodeAffinityType> read_node_affinity_types(ObjectReader& parent);
// One of the allowed texts each.
std::vector<std::string> read_choices(ObjectReader& parent, std::string_view key,
                                      const std::vector<std::string>& allowed);
int32_t read_restart_threshold(ObjectReader& parent, std::string_view key);
void check_taints(ObjectReader& parent, const RemovePodsViolatingNodeTaintsArgs& args);
// The value, or that of the class; at most that of system-critical pods.
int32_t read_priority_threshold(ObjectReader& parent, std::string_view value_key, std::string_view name_key,
                                const PriorityClasses& classes);
const std::vector<std::string>& pod_life_time_states();

}  // namespace kisim
