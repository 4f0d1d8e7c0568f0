#include "cluster/device_plugin.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace kisim {

namespace {

const std::string kGpu = "nvidia.com/gpu", kMigPrefix = "nvidia.com/mig-", kShared = ".shared";
const std::string kProduct = "nvidia.com/gpu.product", kCount = "nvidia.com/gpu.count";
const std::string kReplicas = ".replicas", kSharingStrategy = "nvidia.com/gpu.sharing-strategy";
const std::string kMigConfig = "nvidia.com/mig.config", kMigStrategy = "nvidia.com/mig.strategy";
const std::string kMigConfigState = "nvidia.com/mig.config.state", kPluginConfig = "nvidia.com/device-plugin.config";
// GPU feature discovery adds these to the product's name.
const std::string kMigSuffix = "-MIG-", kSharedSuffix = "-SHARED";

std::string label(const Node& node, const std::string& key) {
  const std::string* value = find_label(node.meta.labels, key);
  return value ? *value : "";
}

void set_label(Node& node, const std::string& key, const std::string& value) {
  Labels& labels = node.meta.labels;
  auto at = std::lower_bound(labels.begin(), labels.end(), key,
                             [](const auto& entry, const std::string& k) { return entry.first < k; });
  if (at == labels.end() || at->first != key) at = labels.insert(at, {key, ""});
  at->second = value;
}

// 0: no whole number above 0.
int32_t count_of(const std::string& text) {
  int32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::max(value, 0) : 0;
}

std::string without_shared(const std::string& resource) {
  return resource.ends_with(kShared) ? resource.substr(0, resource.size() - kShared.size()) : resource;
}

// How each GPU is cut: nothing where MIG is off.
using Layouts = std::vector<std::optional<MigLayout>>;

class Publisher {
 public:
  Publisher(const Node& node, std::span<const GpuModel> models, const GpuConfigs& configs,
            std::vector<Diagnostic>& complaints)
      : models_(models), configs_(configs), complaints_(complaints) {
    out_.node = node;
  }

  PublishedNode publish() && {
    find_model();
    if (is_published())
      take_as_it_is();
    else
      configure();
    return std::move(out_);
  }

 private:
  void complain(const std::string& field, const std::string& message) {
    complaints_.push_back({Severity::Error, out_.node.meta.mark, field, message});
  }
  void complain_about_label(const std::string& key, const std::string& message) {
    complain("metadata.labels[" + key + "]", message);
  }

  void find_model() {
    product_ = label(out_.node, kProduct);
    shared_product_ = product_.ends_with(kSharedSuffix);
    if (shared_product_) product_.resize(product_.size() - kSharedSuffix.size());
    if (size_t mig = product_.find(kMigSuffix); mig != product_.npos) {
      single_profile_ = product_.substr(mig + kMigSuffix.size());
      product_.resize(mig);
    }
    for (const GpuModel& model : models_)
      if (std::find(model.products.begin(), model.products.end(), product_) != model.products.end())
        out_.model = &model;
  }

  bool is_published() const {
    bool named = std::any_of(out_.node.allocatable.begin(), out_.node.allocatable.end(), [](const auto& entry) {
      return is_gpu_resource(entry.first) && entry.first != kGpu && entry.second > 0;
    });
    return named || shared_product_ || !single_profile_.empty();
  }

  int64_t& amount(const std::string& resource) {
    for (ResourceList* list : {&out_.node.capacity, &out_.node.allocatable}) {
      auto at = std::find_if(list->begin(), list->end(), [&](const auto& entry) { return entry.first == resource; });
      if (at == list->end()) list->emplace_back(resource, 0);
    }
    auto at = std::find_if(out_.node.allocatable.begin(), out_.node.allocatable.end(),
                           [&](const auto& entry) { return entry.first == resource; });
    return at->second;
  }

  // --- as its labels say

  void configure() {
    for (const auto& [name, value] : out_.node.allocatable)
      if (name == kGpu) out_.gpus = static_cast<uint32_t>(std::clamp<int64_t>(value, 0, 0xffff));
    if (out_.gpus == 0) return;
    Layouts layouts(out_.gpus);
    std::string mig_config = label(out_.node, kMigConfig);
    if (!mig_config.empty() && !apply(mig_config, layouts)) return;
    DevicePluginConfig plugin;
    if (!choose_plugin(layouts, plugin)) return;
    add_devices(layouts, plugin);
    share(plugin);
    if (!mig_config.empty() || plugin.sharing != GpuSharing::Exclusive) write_amounts(mig_config, layouts, plugin);
  }

  // False after a complaint.
  bool apply(const std::string& name, Layouts& layouts) {
    MigConfig config;
    auto found = configs_.mig.find(name);
    if (found != configs_.mig.end())
      config = found->second;
    else if (!default_config(name, config))
      return false;
    for (const MigConfigSpec& spec : config) {
      if (!filter_matches(spec)) continue;
      std::vector<int32_t> gpus = spec.devices.value_or(std::vector<int32_t>{});
      for (uint32_t g = 0; !spec.devices && g < out_.gpus; ++g) gpus.push_back(static_cast<int32_t>(g));
      for (int32_t g : gpus) {
        if (g < 0 || g >= static_cast<int32_t>(out_.gpus)) {
          complaints_.push_back(
              {Severity::Error, spec.mark, "spec.migConfigs." + name + ".devices",
               fmt::format("found {}, allowed: 0 to {}, the GPUs of node {}", g, out_.gpus - 1, out_.node.meta.name)});
          return false;
        }
        if (spec.mig_enabled && !cut(name, spec, layouts[static_cast<size_t>(g)])) return false;
      }
    }
    return true;
  }

  // What mig-manager knows by itself: all-disabled, and all-PROFILE with as many of it as fit.
  bool default_config(const std::string& name, MigConfig& out) {
    MigConfigSpec spec;
    spec.mark = out_.node.meta.mark;
    std::string profile = name.starts_with("all-") ? name.substr(4) : "";
    std::vector<std::string> allowed{"all-disabled"};
    for (const auto& [key, config] : configs_.mig) allowed.push_back(key);
    for (const MigProfile& p : out_.model ? out_.model->mig.profiles() : std::vector<MigProfile>{}) {
      std::string as_label = p.name;
      std::replace(as_label.begin(), as_label.end(), '+', '.');
      allowed.push_back("all-" + as_label);
      if (as_label != profile) continue;
      spec.mig_enabled = true;
      spec.mig_devices = {{p.name, p.max_instances}};
    }
    out = {spec};
    if (spec.mig_enabled || name == "all-disabled") return true;
    // A node of a live cluster names what only that cluster knows; its GPUs are whole, as its amounts say.
    Severity severity = configs_.mig.empty() ? Severity::Warning : Severity::Error;
    complaints_.push_back({severity, out_.node.meta.mark, "metadata.labels[" + kMigConfig + "]",
                           fmt::format("found '{}', allowed: {}", name, fmt::join(allowed, ", "))});
    return severity == Severity::Warning;
  }

  bool filter_matches(const MigConfigSpec& spec) const {
    if (spec.device_filter.empty()) return true;
    return out_.model && std::any_of(spec.device_filter.begin(), spec.device_filter.end(), [&](const std::string& id) {
             const std::vector<std::string>& ids = out_.model->pci_ids;
             return std::find(ids.begin(), ids.end(), id) != ids.end();
           });
  }

  bool cut(const std::string& name, const MigConfigSpec& spec, std::optional<MigLayout>& layout) {
    auto refuse = [&](const std::string& message) {
      complaints_.push_back({Severity::Error, spec.mark, "spec.migConfigs." + name + ".mig-devices",
                             fmt::format("{} (node {}, {})", message, out_.node.meta.name, product_)});
      return false;
    };
    if (!out_.model || out_.model->mig.empty()) return refuse("found MIG devices, allowed: none on this GPU");
    const MigGeometry& mig = out_.model->mig;
    std::vector<uint8_t> profiles;
    for (const auto& [profile, count] : spec.mig_devices) {
      std::optional<uint8_t> known = mig.find(profile);
      if (!known) return refuse(fmt::format("found '{}', allowed: {}", profile, fmt::join(profile_names(), ", ")));
      profiles.insert(profiles.end(), static_cast<size_t>(count), *known);
    }
    layout = mig.lay_out(profiles);
    return layout || refuse("impossible on one GPU: " + mig.conflict(profiles));
  }

  std::vector<std::string> profile_names() const {
    std::vector<std::string> names;
    for (const MigProfile& p : out_.model->mig.profiles()) names.push_back(p.name);
    return names;
  }

  bool choose_plugin(const Layouts& layouts, DevicePluginConfig& plugin) {
    std::string name = label(out_.node, kPluginConfig);
    bool cuts = std::any_of(layouts.begin(), layouts.end(), [](const auto& layout) { return layout.has_value(); });
    auto found = configs_.device_plugin.find(name);
    if (found != configs_.device_plugin.end()) {
      plugin = found->second;
    } else if (!name.empty() && !configs_.device_plugin.empty()) {
      std::vector<std::string> allowed;
      for (const auto& [key, config] : configs_.device_plugin) allowed.push_back(key);
      complain_about_label(kPluginConfig, fmt::format("found '{}', allowed: {}", name, fmt::join(allowed, ", ")));
      return false;
    } else {
      // The GPU operator's default (mig.strategy: single), where its mig-manager is at work.
      std::string strategy = label(out_.node, kMigStrategy);
      plugin.mig_strategy = strategy == "mixed" ? MigStrategy::Mixed : cuts ? MigStrategy::Single : MigStrategy::None;
    }
    if (plugin.sharing == GpuSharing::Mps && cuts) {
      complain_about_label(kPluginConfig, "found sharing with MPS on GPUs with MIG, which the device plugin refuses");
      return false;
    }
    return plugin.mig_strategy != MigStrategy::Single || !cuts || is_uniform(layouts);
  }

  // What the strategy single asks for: MIG on all GPUs, and all instances alike.
  bool is_uniform(const Layouts& layouts) {
    std::vector<std::string> found;
    for (const auto& layout : layouts) {
      if (!layout) found.push_back("a GPU without MIG");
      for (MigInstance i : layout.value_or(MigLayout{})) found.push_back(out_.model->mig.profile(i).name);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    if (found.size() <= 1) return true;
    complain_about_label(kMigConfig,
                         fmt::format("found {} with the MIG strategy single, allowed: one profile on all GPUs, or the "
                                     "strategy mixed",
                                     fmt::join(found, ", ")));
    return false;
  }

  void add_devices(const Layouts& layouts, const DevicePluginConfig& plugin) {
    for (uint16_t g = 0; g < layouts.size(); ++g) {
      GpuDevice device;
      device.resource = kGpu;
      device.gpu = g;
      if (!layouts[g] || plugin.mig_strategy == MigStrategy::None) {
        out_.devices.push_back(device);
        continue;
      }
      for (MigInstance instance : *layouts[g]) {
        device.instance = instance;
        if (plugin.mig_strategy == MigStrategy::Mixed)
          device.resource = mig_resource(out_.model->mig.profile(instance).name);
        out_.devices.push_back(device);
      }
    }
  }

  void share(const DevicePluginConfig& plugin) {
    for (const DevicePluginConfig::Resource& resource : plugin.resources)
      for (GpuDevice& device : out_.devices) {
        if (device.resource != resource.name || device.sharing != GpuSharing::Exclusive) continue;
        device.sharing = plugin.sharing;
        device.replicas = resource.replicas;
        device.one_per_request = plugin.fail_requests_greater_than_one;
      }
    for (GpuDevice& device : out_.devices)
      if (device.sharing != GpuSharing::Exclusive && plugin.rename_by_default) device.resource += kShared;
  }

  void write_amounts(const std::string& mig_config, const Layouts& layouts, const DevicePluginConfig& plugin) {
    Node& node = out_.node;
    amount(kGpu) = 0;
    for (const GpuDevice& device : out_.devices) amount(device.resource) += device.replicas;
    for (auto& [name, value] : node.capacity)
      if (is_gpu_resource(name)) value = amount(name);
    if (!mig_config.empty()) set_label(node, kMigConfigState, "success");
    bool cuts = std::any_of(layouts.begin(), layouts.end(), [](const auto& layout) { return layout.has_value(); });
    bool single = cuts && plugin.mig_strategy == MigStrategy::Single && !out_.devices.empty();
    if (cuts) set_label(node, kMigStrategy, single ? "single" : "mixed");
    std::string product = product_;
    if (single) product += kMigSuffix + out_.model->mig.profile(*out_.devices[0].instance).name;
    if (plugin.sharing != GpuSharing::Exclusive) {
      set_label(node, kSharingStrategy, to_string(plugin.sharing));
      if (!plugin.rename_by_default) product += kSharedSuffix;
      for (const DevicePluginConfig::Resource& resource : plugin.resources)
        set_label(node, resource.name + kReplicas, std::to_string(resource.replicas));
    }
    if (!product_.empty()) set_label(node, kProduct, product);
  }

  // --- as it is

  // Devices of one resource that are to be found on GPUs.
  struct Found {
    GpuDevice device;
    std::optional<uint8_t> profile;
    int64_t count = 0;
  };

  void take_as_it_is() {
    std::vector<Found> whole, instances;
    for (const auto& [name, value] : out_.node.allocatable) {
      if (!is_gpu_resource(name) || value <= 0) continue;
      Found found;
      if (!read(name, value, found)) return;
      (found.profile ? instances : whole).push_back(found);
    }
    for (const Found& found : whole)
      for (int64_t k = 0; k < found.count; ++k) {
        GpuDevice device = found.device;
        device.gpu = static_cast<uint16_t>(out_.gpus++);
        out_.devices.push_back(device);
      }
    if (!instances.empty()) infer_layouts(instances);
  }

  // False after a complaint.
  bool read(const std::string& name, int64_t value, Found& found) {
    std::string plain = without_shared(name);
    found.device.resource = name;
    std::string profile = plain == kGpu ? single_profile_ : plain.substr(kMigPrefix.size());
    // Instances of a GPU that the catalogue does not know count as GPUs of their own.
    if (!profile.empty() && out_.model) {
      for (uint8_t p = 0; p < out_.model->mig.profiles().size(); ++p)
        if (mig_resource(out_.model->mig.profiles()[p].name) == mig_resource(profile)) found.profile = p;
      if (!found.profile) {
        std::string names = fmt::format("{}", fmt::join(profile_names(), ", "));
        complain("status.allocatable[" + name + "]",
                 fmt::format("found MIG instances of {}, allowed: {}", product_, names.empty() ? "none" : names));
        return false;
      }
    }
    bool shared = name != plain || (shared_product_ && plain == kGpu);
    if (shared) {
      std::string key = plain + kReplicas;
      found.device.replicas = count_of(label(out_.node, key));
      found.device.sharing = label(out_.node, kSharingStrategy) == "mps" ? GpuSharing::Mps : GpuSharing::TimeSlicing;
      if (found.device.replicas == 0 || value % found.device.replicas != 0) {
        complain_about_label(key, fmt::format("found '{}', allowed: a divisor of the {} {} that the node has",
                                              label(out_.node, key), value, name));
        return false;
      }
    }
    found.count = value / found.device.replicas;
    return true;
  }

  // Alike on as many GPUs as the node says it has, where that goes; else one by one, the largest first.
  void infer_layouts(const std::vector<Found>& found) {
    const MigGeometry& mig = out_.model->mig;
    auto told = static_cast<size_t>(count_of(label(out_.node, kCount)));
    size_t gpus = told > out_.gpus ? told - out_.gpus : 0;
    std::vector<MigLayout> layouts;
    std::vector<uint8_t> all, part;
    bool divides = gpus > 0;
    for (const Found& f : found) {
      all.insert(all.end(), static_cast<size_t>(f.count), *f.profile);
      divides = divides && f.count % static_cast<int64_t>(gpus) == 0;
      if (divides) part.insert(part.end(), static_cast<size_t>(f.count) / gpus, *f.profile);
    }
    std::optional<MigLayout> alike = divides ? mig.lay_out(part) : std::nullopt;
    if (alike)
      layouts.assign(gpus, *alike);
    else if (!pack(all, gpus, layouts))
      return;
    for (const MigLayout& layout : layouts) {
      for (MigInstance instance : layout)
        for (const Found& f : found) {
          if (*f.profile != instance.profile) continue;
          GpuDevice device = f.device;
          device.gpu = static_cast<uint16_t>(out_.gpus);
          device.instance = instance;
          out_.devices.push_back(device);
        }
      ++out_.gpus;
    }
  }

  // As few GPUs as hold them when each is put where it fits best; at most `limit`, 0: any number.
  bool pack(std::vector<uint8_t> profiles, size_t limit, std::vector<MigLayout>& layouts) {
    const MigGeometry& mig = out_.model->mig;
    std::sort(profiles.begin(), profiles.end(), [&](uint8_t a, uint8_t b) {
      const MigProfile &x = mig.profiles()[a], &y = mig.profiles()[b];
      return std::pair(x.memory_slices, x.compute_slices) > std::pair(y.memory_slices, y.compute_slices);
    });
    for (uint8_t profile : profiles) {
      std::vector<MigGeometry::Slices> taken;
      for (const MigLayout& layout : layouts) taken.push_back(mig.slices(layout));
      size_t gpu = mig.best_fit(profile, taken);
      if (gpu < layouts.size()) {
        layouts[gpu].push_back({profile, mig.start(profile, taken[gpu])});
      } else if (limit == 0 || layouts.size() < limit) {
        layouts.push_back({{profile, mig.start(profile, 0)}});
      } else if (!make_room(profile, layouts)) {
        std::vector<uint8_t> last = profiles_of(layouts.back());
        last.push_back(profile);
        complain("status.allocatable[" + mig_resource(mig.profiles()[profile].name) + "]",
                 fmt::format("found more than {} of {} hold; on the last one there is {}", limit, product_,
                             mig.conflict(last)));
        return false;
      }
    }
    for (MigLayout& layout : layouts)
      std::sort(layout.begin(), layout.end(), [](MigInstance a, MigInstance b) { return a.start < b.start; });
    return true;
  }

  // On a GPU whose instances stand otherwise.
  bool make_room(uint8_t profile, std::vector<MigLayout>& layouts) const {
    for (MigLayout& layout : layouts) {
      std::vector<uint8_t> profiles = profiles_of(layout);
      profiles.push_back(profile);
      std::optional<MigLayout> other = out_.model->mig.lay_out(profiles);
      if (!other) continue;
      layout = *other;
      return true;
    }
    return false;
  }

  static std::vector<uint8_t> profiles_of(const MigLayout& layout) {
    std::vector<uint8_t> out;
    for (MigInstance instance : layout) out.push_back(instance.profile);
    return out;
  }

  std::span<const GpuModel> models_;
  const GpuConfigs& configs_;
  std::vector<Diagnostic>& complaints_;
  PublishedNode out_;
  std::string product_, single_profile_;
  bool shared_product_ = false;
};

}  // namespace

const char* to_string(GpuSharing sharing) {
  switch (sharing) {
    case GpuSharing::Exclusive:
      return "none";
    case GpuSharing::TimeSlicing:
      return "time-slicing";
    case GpuSharing::Mps:
      return "mps";
    case GpuSharing::Fraction:
      return "fraction";
  }
  return "?";
}

// A + may not stand in the name of a resource (k8s-device-plugin, AddMIGResource).
std::string mig_resource(const std::string& profile) {
  std::string name = kMigPrefix + profile;
  std::replace(name.begin(), name.end(), '+', '.');
  return name;
}

bool is_gpu_resource(std::string_view name) {
  return name == kGpu || name == kGpu + kShared || name.starts_with(kMigPrefix);
}

PublishedNode publish_gpus(const Node& node, std::span<const GpuModel> models, const GpuConfigs& configs,
                           std::vector<Diagnostic>& complaints) {
  return Publisher(node, models, configs, complaints).publish();
}

}  // namespace kisim
