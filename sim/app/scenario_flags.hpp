#pragma once
// The flags of every verb that reads a scenario.

#include "cli.hpp"
#include "io/input.hpp"

#include <string>
#include <vector>

namespace kisim::app {

class ScenarioFlags {
 public:
  void add_to(CommandLine& line);
  // Throws UsageError on a malformed --set or --seed.
  ReadOptions options() const;

 private:
  std::vector<std::string> overrides_;
  std::string seed_;
  bool strict_ = false;
};

}  // namespace kisim::app
