#include "io/training_record.hpp"

#include "io/json_file.hpp"

#include <fmt/format.h>

#include <set>

namespace kisim {

std::string TrainingRecord::json() const {
  return Json{{"file", file},   {"environment", environment}, {"algorithm", algorithm},
              {"steps", steps}, {"parameters", parameters},   {"seeds", seeds}}
             .dump(2) +
         '\n';
}

TrainingRecord TrainingRecord::read(const std::string& directory) {
  const std::string path = fmt::format("{}/{}", directory, kFile);
  const Json found = read_json(path);
  auto field = [&](const char* name, Json::value_t type) -> const Json& {
    const Json& value = member(found, name);
    if (value.type() != type)
      refuse(path, fmt::format("{}: found {}, allowed: what kisim train writes there", name, value.dump()));
    return value;
  };
  auto integer = [&](const char* name, const Json& value, uint64_t least) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() < least)
      refuse(path, fmt::format("{}: found {}, allowed: an integer from {} on", name, value.dump(), least));
    return value.get<uint64_t>();
  };
  TrainingRecord out;
  out.file = field("file", Json::value_t::string);
  out.environment = field("environment", Json::value_t::string);
  out.algorithm = field("algorithm", Json::value_t::string);
  out.steps = static_cast<int64_t>(integer("steps", member(found, "steps"), 1));
  for (const auto& [name, value] : field("parameters", Json::value_t::object).items())
    out.parameters[name] = value.is_string() ? value.get<std::string>() : value.dump();
  for (const Json& seed : field("seeds", Json::value_t::array)) out.seeds.push_back(integer("seeds", seed, 0));
  const std::set<uint64_t> different(out.seeds.begin(), out.seeds.end());
  if (different.empty() || different.size() < out.seeds.size())
    refuse(path, fmt::format("seeds: found {}, allowed: some, each once", member(found, "seeds").dump()));
  return out;
}

}  // namespace kisim
