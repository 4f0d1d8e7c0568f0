#include "io/gpu_configs.hpp"

#include "io/object_reader.hpp"

#include <charconv>

namespace kisim {

namespace {

void check_version(ObjectReader& root) {
  const std::string version = root.text("version");
  if (version != "v1") root.error("version", fmt::format("found '{}', allowed: v1", version));
}

// `all`, or a list of indices of GPUs.
std::optional<std::vector<int32_t>> read_devices(ObjectReader& reader) {
  const Value* devices = reader.find("devices");
  if (!devices) {
    reader.error("devices", "missing, needed: all, or a list of GPUs such as [0, 1]");
    return std::nullopt;
  }
  if (devices->kind == Value::Kind::Scalar && devices->text == "all") return std::nullopt;
  std::vector<int32_t> out;
  for (const Value& item : devices->items) {
    int32_t index = -1;
    std::from_chars(item.text.data(), item.text.data() + item.text.size(), index);
    if (index < 0) reader.error("devices", found_allowed(item, "whole numbers from 0 on"));
    out.push_back(index);
  }
  if (devices->kind != Value::Kind::Sequence)
    reader.error("devices", found_allowed(*devices, "all, or a list of GPUs such as [0, 1]"));
  return out;
}

MigConfigSpec read_mig_config(ObjectReader& reader) {
  MigConfigSpec spec;
  spec.mark = reader.mark();
  spec.devices = read_devices(reader);
  if (const Value* filter = reader.find("device-filter"); filter && filter->kind == Value::Kind::Scalar)
    spec.device_filter = {filter->text};
  else
    spec.device_filter = reader.texts("device-filter");
  if (!reader.find("mig-enabled")) reader.error("mig-enabled", "missing, needed: true or false");
  spec.mig_enabled = reader.flag("mig-enabled");
  ObjectReader instances = reader.object("mig-devices");
  if (const Value* counts = reader.find("mig-devices"))
    for (const Value::Member& member : counts->members)
      if (auto count = instances.integer(member.key, 0, 16))
        spec.mig_devices.emplace_back(member.key, static_cast<int32_t>(*count));
  if (spec.mig_enabled && !instances.exists()) reader.error("mig-devices", "missing, needed where mig-enabled is true");
  if (!spec.mig_enabled && !spec.mig_devices.empty())
    reader.error("mig-devices", "found beside mig-enabled: false, allowed: none");
  instances.finish();
  reader.finish();
  return spec;
}

void read_sharing(ObjectReader sharing, GpuSharing kind, DevicePluginConfig& out) {
  if (!sharing.exists()) return;
  out.sharing = kind;
  // With MPS the device plugin gives one at a time unless it is told otherwise.
  out.fail_requests_greater_than_one = kind == GpuSharing::Mps && !sharing.find("failRequestsGreaterThanOne");
  out.rename_by_default = sharing.flag("renameByDefault");
  if (sharing.flag("failRequestsGreaterThanOne")) out.fail_requests_greater_than_one = true;
  for (ObjectReader& resource : sharing.objects("resources")) {
    DevicePluginConfig::Resource& r = out.resources.emplace_back();
    r.name = resource.text("name");
    resource.integer("replicas", 1, 1'000'000, r.replicas);
    if (!is_gpu_resource(r.name))
      resource.error("name", fmt::format("found '{}', allowed: nvidia.com/gpu, nvidia.com/mig-PROFILE", r.name));
    if (kind == GpuSharing::Mps && r.name != "nvidia.com/gpu")
      resource.error("name", fmt::format("found '{}', allowed with MPS: nvidia.com/gpu", r.name));
    resource.unmodelled({"rename", "devices", "memoryGB"});
    resource.finish();
  }
  if (out.resources.empty()) sharing.error("resources", "found none, allowed: at least one");
  sharing.finish();
}

DevicePluginConfig read_device_plugin_config(ObjectReader root) {
  DevicePluginConfig out;
  out.mark = root.mark();
  check_version(root);
  ObjectReader flags = root.object("flags");
  flags.choice("migStrategy", {"none", "single", "mixed"}, out.mig_strategy, kOptional);
  flags.harmless({"failOnInitError", "nvidiaDriverRoot", "nvidiaDevRoot", "gdsEnabled", "mofedEnabled",
                  "useNodeFeatureAPI", "deviceDiscoveryStrategy", "mpsRoot", "plugin", "gfd"});
  flags.finish();
  ObjectReader sharing = root.object("sharing");
  read_sharing(sharing.object("timeSlicing"), GpuSharing::TimeSlicing, out);
  if (sharing.find("timeSlicing") && sharing.find("mps"))
    sharing.error("mps", "found beside timeSlicing, allowed: one of them");
  read_sharing(sharing.object("mps"), GpuSharing::Mps, out);
  sharing.finish();
  root.unmodelled("resources");
  root.harmless({"imex"});
  root.finish();
  return out;
}

}  // namespace

std::map<std::string, MigConfig> read_mig_configs(const Value& document, Diagnostics& diagnostics) {
  std::map<std::string, MigConfig> out;
  std::vector<Ignored> ignored;
  ObjectContext context{diagnostics, ignored, true};
  ObjectReader root(context, document, "spec.migConfigs");
  check_version(root);
  ObjectReader configs = root.object("mig-configs");
  if (const Value* named = root.find("mig-configs"))
    for (const Value::Member& member : named->members) {
      MigConfig& config = out[member.key];
      for (ObjectReader& spec : configs.objects(member.key)) config.push_back(read_mig_config(spec));
      if (config.empty()) configs.error(member.key, "found no entry, allowed: at least one");
    }
  if (out.empty()) root.error("mig-configs", "found none, allowed: at least one");
  configs.finish();
  root.finish();
  return out;
}

std::map<std::string, DevicePluginConfig> read_device_plugin_configs(const Value& document, Diagnostics& diagnostics) {
  std::map<std::string, DevicePluginConfig> out;
  std::vector<Ignored> ignored;
  ObjectContext context{diagnostics, ignored};
  for (const Value::Member& member : document.members)
    out[member.key] =
        read_device_plugin_config(ObjectReader(context, member.value, "spec.devicePluginConfigs." + member.key));
  tell_ignored(diagnostics, ignored);
  return out;
}

}  // namespace kisim
