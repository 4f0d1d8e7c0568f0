#include "io/spec_places.hpp"

#include <algorithm>

namespace kisim {

namespace {

const Value* step(const Value& value, const std::string& name) {
  if (value.kind != Value::Kind::Sequence) return value.find(name);
  for (size_t i = 0; i < value.items.size(); i++)
    if (name == index_text(i)) return &value.items[i];
  return nullptr;
}

}  // namespace

const Value& SpecPlaces::at(const SpecPath& path) const {
  const Value* value = root_.find("spec");
  if (!value) return root_;
  for (const std::string& name : path) {
    const Value* next = step(*value, name);
    if (!next) break;
    value = next;
  }
  return *value;
}

bool SpecPlaces::given(const SpecPath& path) const {
  const Value* value = root_.find("spec");
  for (size_t i = 0; value && i < path.size(); i++) value = step(*value, path[i]);
  return value && value->kind != Value::Kind::Null;
}

void SpecPlaces::error(const SpecPath& path, const std::string& message) {
  diagnostics_.error(at(path).mark(), path_text(path), message);
}

void SpecPlaces::warn(const SpecPath& path, const std::string& message) {
  diagnostics_.warn(at(path).mark(), path_text(path), message);
}

void SpecPlaces::check_name(const SpecPath& path, const std::string& found, const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), found) == allowed.end()) error(path, not_allowed(found, allowed));
}

std::string path_text(const SpecPath& path) {
  std::string out = "spec";
  for (const std::string& name : path) out += (name.starts_with('[') ? "" : ".") + name;
  return out;
}

std::string index_text(size_t index) { return fmt::format("[{}]", index); }

SpecPath below(SpecPath path, std::string name) {
  path.push_back(std::move(name));
  return path;
}

}  // namespace kisim
