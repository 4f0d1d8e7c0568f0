#pragma once
// What NVIDIA's mig-manager and device plugin make of the GPUs of a node: which devices pods can ask for, and under
// which resources. The formats are those of NVIDIA/mig-parted (api/spec/v1) and NVIDIA/k8s-device-plugin
// (api/config/v1).

#include "cluster/accelerator.hpp"
#include "cluster/gpu.hpp"
#include "cluster/objects.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

// One entry of a mig-config: how some GPUs of a node are cut.
struct MigConfigSpec {
  std::optional<std::vector<int32_t>> devices;  // indices of GPUs; none: all
  std::vector<std::string> device_filter;       // PCI ids such as 0x233010DE; empty: any GPU
  bool mig_enabled = false;
  std::vector<std::pair<std::string, int32_t>> mig_devices;  // profile and how many of it, on each GPU
  SourceMark mark;
};
using MigConfig = std::vector<MigConfigSpec>;

enum class MigStrategy : uint8_t { None, Single, Mixed };
const char* to_string(GpuSharing sharing);

struct DevicePluginConfig {
  MigStrategy mig_strategy = MigStrategy::None;
  GpuSharing sharing = GpuSharing::Exclusive;
  bool rename_by_default = false;               // <resource>.shared
  bool fail_requests_greater_than_one = false;  // MPS: true unless it says otherwise
  struct Resource {
    std::string name;
    int32_t replicas = 1;
  };
  std::vector<Resource> resources;  // that are shared
  SourceMark mark;
};

// By the values of the node labels nvidia.com/mig.config and nvidia.com/device-plugin.config.
struct GpuConfigs {
  std::map<std::string, MigConfig> mig;
  std::map<std::string, DevicePluginConfig> device_plugin;
};

// A GPU or an instance of one, as the device plugin hands it out.
struct GpuDevice {
  std::string resource;  // "nvidia.com/gpu", "nvidia.com/mig-1g.10gb.shared"
  uint16_t gpu = 0;      // of the node
  std::optional<MigInstance> instance;
  int32_t replicas = 1;
  GpuSharing sharing = GpuSharing::Exclusive;
  bool one_per_request = false;  // more than one replica is refused

  bool operator==(const GpuDevice&) const = default;
};

// A node as the cluster sees it when all that has run: its labels and amounts say which devices it has.
struct PublishedNode {
  Node node;
  uint32_t gpus = 0;  // physical ones
  const GpuModel* model = nullptr;
  std::vector<GpuDevice> devices;
};

// A node whose allocatable has MIG instances or shared GPUs already, as one of a live cluster, is taken as it is, and
// the layout of its GPUs is one that has these instances. What is wrong is added to `complaints`.
PublishedNode publish_gpus(const Node& node, std::span<const GpuModel> models, const GpuConfigs& configs,
                           std::vector<Diagnostic>& complaints);

// Under which the instances of a profile are published with the MIG strategy mixed: nvidia.com/mig-1g.10gb.me.
std::string mig_resource(const std::string& profile);
// nvidia.com/gpu, nvidia.com/mig-*, and these with .shared.
bool is_gpu_resource(std::string_view name);

}  // namespace kisim
