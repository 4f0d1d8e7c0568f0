#pragma once
// Scenarios as text and as files, and what reading them says.

#include "folder.hpp"
#include "io/input.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

namespace kisim::test {

inline std::string document(const std::string& spec) {
  return "apiVersion: kisim.dev/v1\nkind: Scenario\nmetadata: {name: t}\nspec:\n" + spec;
}

// Without the files that it names.
inline Scenario read(const std::string& spec, ReadOptions options = {}) {
  options.files = false;
  return read_scenario_text(document(spec), "t.yaml", options);
}

template <class F>
std::string complaint(F f) {
  try {
    f();
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

inline std::string complaint_of(const std::string& spec, const ReadOptions& options = {}) {
  return complaint([&] { read(spec, options); });
}

inline ReadOptions with(std::vector<std::pair<std::string, std::string>> overrides) {
  ReadOptions options;
  options.overrides = std::move(overrides);
  return options;
}

inline std::vector<std::string> warnings_of(const Scenario& scenario) {
  std::vector<std::string> out;
  for (const Diagnostic& d : scenario.warnings) out.push_back(d.text());
  return out;
}

inline const std::string kNode =
    "---\n{apiVersion: v1, kind: Node, metadata: {name: n}, status: {allocatable: {cpu: '4', pods: '110'}}}\n";

}  // namespace kisim::test
