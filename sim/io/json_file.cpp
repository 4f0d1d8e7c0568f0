#include "io/json_file.hpp"

#include "core/error.hpp"
#include "io/csv.hpp"

#include <cmath>

namespace kisim {

Json read_json(const std::string& path, Json::value_t kind) {
  const std::string text = read_text(path);
  try {
    Json out = Json::parse(text);
    if (out.type() == kind) return out;
  } catch (const Json::parse_error& e) {
    throw InputError(Diagnostic{
        Severity::Error, {path, line_after(std::string_view(text).substr(0, e.byte)), 1}, "", "not valid JSON"});
  }
  refuse(path, fmt::format("allowed: a JSON {}", Json(kind).type_name()));
}

const Json& member(const Json& object, const std::string& key) {
  static const Json none;
  if (!object.is_object()) return none;
  auto found = object.find(key);
  return found == object.end() ? none : *found;
}

double number(const Json& object, const std::string& key, const std::string& path) {
  const Json& value = member(object, key);
  if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  throw InputError(
      Diagnostic{Severity::Error, {path, 0, 0}, key, fmt::format("found {}, allowed: a number", value.dump())});
}

double positive(const Json& object, const std::string& key, const std::string& path) {
  const double value = number(object, key, path);
  if (value > 0) return value;
  throw InputError(
      Diagnostic{Severity::Error, {path, 0, 0}, key, fmt::format("found {}, allowed: a number above 0", value)});
}

void refuse(const std::string& path, const std::string& message) {
  throw InputError(Diagnostic{Severity::Error, {path, 0, 0}, "", message});
}

}  // namespace kisim
