#pragma once
// JSON documents of measurements.

#include <nlohmann/json.hpp>

#include <string>

namespace kisim {

using Json = nlohmann::json;

// Throws InputError with file:line on bad syntax and where the document is no `kind`, IoError.
Json read_json(const std::string& path, Json::value_t kind = Json::value_t::object);
// Null if it is absent or `object` is no object.
const Json& member(const Json& object, const std::string& key);
// A finite number that must be there.
double number(const Json& object, const std::string& key, const std::string& path);
// The same above 0.
double positive(const Json& object, const std::string& key, const std::string& path);
[[noreturn]] void refuse(const std::string& path, const std::string& message);

}  // namespace kisim
