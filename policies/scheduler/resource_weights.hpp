#pragma once
// The `resources` argument of the plugins that score by resources: "cpu:1,memory:1".

#include "cluster/cluster.hpp"
#include "core/error.hpp"

#include <charconv>
#include <string>
#include <vector>

namespace kisim {

struct ResourceWeight {
  std::string name;
  int64_t weight = 1;  // 1 … 100
};

// A weight may be left out. Throws InputError on bad input, with `plugin` in the field path.
inline std::vector<ResourceWeight> parse_resource_weights(const std::string& plugin, const std::string& text) {
  std::vector<ResourceWeight> out;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    std::string item = text.substr(begin, end - begin);
    size_t colon = item.find(':');
    ResourceWeight entry{item.substr(0, colon), 1};
    bool good = !entry.name.empty();
    if (colon != std::string::npos) {
      const char *first = item.data() + colon + 1, *last = item.data() + item.size();
      auto [stop, error] = std::from_chars(first, last, entry.weight);
      good = good && error == std::errc{} && stop == last && entry.weight >= 1 && entry.weight <= 100;
    }
    if (!good)
      throw InputError(Diagnostic{Severity::Error,
                                  {},
                                  plugin + ".resources",
                                  fmt::format("found '{}', allowed: name or name:weight with a weight of 1 to 100, "
                                              "separated by commas",
                                              item)});
    out.push_back(std::move(entry));
    begin = end + 1;
  }
  return out;
}

// One listed resource that some node or pod of the cluster knows. The others never count.
struct WeighedResource {
  ResourceId id;
  int64_t weight = 1;
  bool scalar = false;  // extended: does not count for a pod that does not request it
};

inline std::vector<WeighedResource> resolve(const std::vector<ResourceWeight>& listed, const ClusterModel& model) {
  std::vector<WeighedResource> out;
  for (const ResourceWeight& entry : listed)
    for (size_t r = 0; r < model.resources.size(); ++r)
      if (model.resources[r] == entry.name) out.push_back({ResourceId(r), entry.weight, r > kPods.value});
  return out;
}

}  // namespace kisim
