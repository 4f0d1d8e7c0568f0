#include "io/coding_text.hpp"

#include <nlohmann/json.hpp>

namespace kisim {

using Json = nlohmann::json;

std::string coding_text(const PolicyChoice& coding) {
  Json out = coding.params;
  out["name"] = coding.name;
  return out.dump();
}

void read_coding(const PolicyFile& policy, PolicyChoice& out) {
  const Json json = Json::parse(policy.coding, nullptr, false);
  if (!json.is_object() || !json.contains("name"))
    throw InputError(
        {Severity::Error, out.mark, "coding",
         fmt::format("the policy {} is not that of an agent: it does not say how it sees and acts", policy.name)});
  out.params.clear();
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) continue;
    if (key == "name")
      out.name = value.get<std::string>();
    else
      out.params[key] = value.get<std::string>();
  }
}

}  // namespace kisim
