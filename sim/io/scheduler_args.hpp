#pragma once
// The arguments of scheduler plugins, as pluginConfig of a profile holds them.

#include "io/object_reader.hpp"
#include "kube/scheduler_configuration.hpp"

#include <string>

namespace kisim {

inline constexpr const char* kSchedulerGroup = "kubescheduler.config.k8s.io";
inline constexpr const char* kSchedulerVersion = "kubescheduler.config.k8s.io/v1";

// Reads `args` of one entry of pluginConfig into the plugin's own struct, or into `params` where the plugin declares
// scalars.
void read_plugin_args(ObjectReader& entry, const std::string& plugin, PluginConfig& out);

}  // namespace kisim
