#pragma once
// The configuration files of NVIDIA's mig-parted and device plugin (cluster/device_plugin.hpp).

#include "cluster/device_plugin.hpp"
#include "io/value.hpp"

namespace kisim {

// {version: v1, mig-configs: {NAME: […]}}, as mig-parted's api/spec/v1. Any other field is an error, as there.
std::map<std::string, MigConfig> read_mig_configs(const Value& document, Diagnostics& diagnostics);

// {NAME: {version: v1, flags: …, sharing: …}}, as the data of the device plugin's ConfigMap.
std::map<std::string, DevicePluginConfig> read_device_plugin_configs(const Value& document, Diagnostics& diagnostics);

}  // namespace kisim
