#include "kube/dcgm_exporter.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr double kMebibyte = 0x1p20, kMillijoule = 1e9;  // mW × ns

struct DeviceLabels {
  std::string instance, profile, host, uuid, container, device, gpu, model, namespace_, pod;
};

void tell(const MetricCallback& callback, std::string_view name, const DeviceLabels& l, double value) {
  callback(name,
           {{"GPU_I_ID", l.instance},
            {"GPU_I_PROFILE", l.profile},
            {"Hostname", l.host},
            {"UUID", l.uuid},
            {"container", l.container},
            {"device", l.device},
            {"gpu", l.gpu},
            {"modelName", l.model},
            {"namespace", l.namespace_},
            {"pod", l.pod}},
           value);
}

// Made up of the place of the GPU, in the form of NVIDIA's.
std::string uuid_of(const std::string& host, uint32_t gpu) {
  uint64_t high = hash_combine(hash_text("Node/" + host), gpu), low = hash_combine(high, gpu);
  return fmt::format("GPU-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xffff,
                     low >> 48, low & 0xffffffffffff);
}

// The driver numbers the places of all sizes, the largest first; on GPUs of eight memory slices, each size from the
// upper half on (MIG User Guide, listings of -lgi: 3g at 4 is 1, at 0 it is 2; 1g at 4 is 7).
int32_t instance_id(MigInstance instance, const MigGeometry& mig) {
  int32_t slices = mig.memory_slices(), size = mig.profile(instance).memory_slices;
  int32_t start = slices == 8 && size < 8 ? instance.start ^ 4 : instance.start;
  return slices / size - 1 + start / size;
}

const std::string& container_with(const PodSpec& spec, const std::string& resource) {
  auto asks = [&](const Container& c) {
    return std::any_of(c.requests.begin(), c.requests.end(), [&](const auto& r) { return r.first == resource; });
  };
  auto at = std::find_if(spec.containers.begin(), spec.containers.end(), asks);
  return at == spec.containers.end() ? spec.containers.front().name : at->name;
}

DeviceLabels labels_of(const Cluster& cluster, NodeId node, uint32_t gpu) {
  DeviceLabels l;
  l.host = cluster.node(node).object.meta.name;
  l.uuid = uuid_of(l.host, gpu);
  l.gpu = fmt::format("{}", gpu);
  l.device = "nvidia" + l.gpu;
  GpuModelId model = cluster.node(node).gpu_model;
  if (model.valid()) l.model = cluster.model.gpu_models[model].products.front();
  return l;
}

// The labels of a device, once for each pod that holds it, or once.
std::vector<DeviceLabels> labels_of(const Cluster& cluster, NodeId node, size_t d) {
  const GpuDevice& device = cluster.devices(node)[d];
  DeviceLabels l = labels_of(cluster, node, uint32_t{device.gpu});
  if (device.instance) {
    const MigGeometry& mig = cluster.model.gpu_models[cluster.node(node).gpu_model].mig;
    l.profile = mig.profile(*device.instance).name;
    l.instance = fmt::format("{}", instance_id(*device.instance, mig));
  }
  std::vector<DeviceLabels> out;
  for (PodId id : cluster.state.node_pods[node.value]) {
    const PodState& pod = cluster.state.pods[id];
    if (std::find(pod.devices.begin(), pod.devices.end(), d) == pod.devices.end()) continue;
    const PodTemplateModel& t = cluster.model.templates[pod.pod_template];
    l.namespace_ = t.namespace_;
    l.pod = cluster.pod_name(id);
    l.container = container_with(t.spec, device.resource);
    out.push_back(l);
  }
  if (out.empty()) out.push_back(l);
  return out;
}

void tell_power(const Cluster& cluster, GpuId gpu, Time now, const DeviceLabels& l, const MetricCallback& callback) {
  if (!cluster.power_law_of(gpu)) return;
  tell(callback, "DCGM_FI_DEV_POWER_USAGE", l, static_cast<double>(cluster.state.gpus[gpu].power.value()) * 1e-3);
  tell(callback, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", l,
       static_cast<double>(cluster.energy(gpu, now)) / kMillijoule);
}

void tell_device(const DcgmGauges& before, const DcgmGauges& g, Duration window, const DeviceLabels& l,
                 const MetricCallback& callback) {
  if (auto ns = static_cast<double>(window.ns); ns > 0) {
    double active = (g.active - before.active) / ns;
    if (!g.instance) tell(callback, "DCGM_FI_DEV_GPU_UTIL", l, 100 * active);
    tell(callback, "DCGM_FI_PROF_GR_ENGINE_ACTIVE", l, active);
    tell(callback, "DCGM_FI_PROF_DRAM_ACTIVE", l, (g.dram - before.dram) / ns);
    tell(callback, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", l, (g.tensor - before.tensor) / ns);
  }
  if (g.fb_total == 0) return;
  tell(callback, "DCGM_FI_DEV_FB_TOTAL", l, static_cast<double>(g.fb_total) / kMebibyte);
  if (!g.fb_used) return;
  tell(callback, "DCGM_FI_DEV_FB_USED", l, static_cast<double>(*g.fb_used) / kMebibyte);
  tell(callback, "DCGM_FI_DEV_FB_FREE", l, static_cast<double>(g.fb_free()) / kMebibyte);
}

}  // namespace

void DcgmExporter::for_each_metric(const Cluster& cluster, const Serving& serving, Time now,
                                   const MetricCallback& callback) {
  Dcgm dcgm(cluster, serving);
  for (size_t n = 0; n < cluster.state.node_present.size(); ++n) {
    NodeId node(n);
    if (!cluster.state.node_present[n]) continue;
    std::vector<uint8_t> told(cluster.gpus(node), 0);
    for (size_t d = 0; d < cluster.devices(node).size(); ++d) {
      const GpuDevice& device = cluster.devices(node)[d];
      const DcgmGauges gauges = dcgm.of_device(node, d, now);
      const std::optional<MigInstance>& instance = device.instance;
      DcgmGauges& before =
          last_[{cluster.gpu(node, device.gpu), instance ? instance->profile : -1, instance ? instance->start : -1}];
      if (gauges.active < before.active) before = {};  // cut anew meanwhile, in the same way
      for (const DeviceLabels& l : labels_of(cluster, node, d)) {
        tell_device(before, gauges, now - last_at_, l, callback);
        if (device.instance) continue;
        tell_power(cluster, cluster.gpu(node, device.gpu), now, l, callback);
        told[device.gpu] = 1;
      }
      before = gauges;
    }
    for (uint32_t g = 0; g < told.size(); ++g)
      if (!told[g]) tell_power(cluster, cluster.gpu(node, g), now, labels_of(cluster, node, g), callback);
  }
  last_at_ = now;
}

}  // namespace kisim
