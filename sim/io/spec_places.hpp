#pragma once
// Complaints about places of the Scenario document.

#include "io/value.hpp"

#include <string>
#include <vector>

namespace kisim {

// Below spec: {"faults", "[0]", "node"} is spec.faults[0].node.
using SpecPath = std::vector<std::string>;

class SpecPlaces {
 public:
  SpecPlaces(const Value& root, Diagnostics& diagnostics) : root_(root), diagnostics_(diagnostics) {}

  // The value at a path, or the last one on the way to it.
  const Value& at(const SpecPath& path) const;
  bool given(const SpecPath& path) const;

  void error(const SpecPath& path, const std::string& message);
  void warn(const SpecPath& path, const std::string& message);
  void check_name(const SpecPath& path, const std::string& found, const std::vector<std::string>& allowed);

 private:
  const Value& root_;
  Diagnostics& diagnostics_;
};

// "spec.faults[0].node"
std::string path_text(const SpecPath& path);

// "[3]"
std::string index_text(size_t index);

// The same place with one more step.
SpecPath below(SpecPath path, std::string name);

}  // namespace kisim
