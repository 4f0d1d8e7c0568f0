#pragma once
// A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) as read, and the plugins that a profile of it runs.

#include "policy/param.hpp"
#include "policy/scheduler.hpp"

#include <any>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct PluginRef {
  std::string name;
  int32_t weight = 0;  // 0 means 1
  SourceMark mark;
};

// What one extension point enables beside, and disables of, the defaults. "*" disables all of them.
struct PluginSet {
  std::vector<PluginRef> enabled, disabled;
};

// Arguments of a plugin: one of the structs of policy/scheduler_args.hpp, or scalars for a plugin that declares them.
struct PluginConfig {
  std::any args;
  std::map<std::string, std::string> params;
  SourceMark mark;
};

struct SchedulerProfile {
  std::string scheduler_name = "default-scheduler";
  std::optional<int32_t> percentage_of_nodes_to_score;
  PluginSet multi_point;
  std::array<PluginSet, kExtensionPoints> points;  // by ExtensionPoint
  std::map<std::string, PluginConfig> plugin_config;
  SourceMark mark;
};

struct KubeSchedulerConfiguration {
  int32_t parallelism = 16;                  // accepted, without effect: the outcome is that of one worker
  int32_t percentage_of_nodes_to_score = 0;  // 0: adaptive
  Duration pod_initial_backoff{1'000'000'000}, pod_max_backoff{10'000'000'000};
  std::vector<SchedulerProfile> profiles{SchedulerProfile{}};
};

struct WeightedPlugin {
  std::string name;
  int32_t weight = 1;
};

// The plugins of a profile by extension point, in order of execution: the defaults of Kubernetes 1.`minor`, changed as
// the profile says (pkg/scheduler/framework/runtime, expandMultiPointPlugins). Plugins of Kubernetes that kisim does
// not have, such as those of volumes, keep their places here; whoever compiles the profile leaves them out.
// Throws InputError with Kubernetes' messages on an unknown plugin, one enabled twice or one at a point it lacks.
std::array<std::vector<WeightedPlugin>, kExtensionPoints> expand_profile(const SchedulerProfile& profile, int minor);

}  // namespace kisim
