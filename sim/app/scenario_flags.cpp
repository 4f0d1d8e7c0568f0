#include "scenario_flags.hpp"

#include "core/error.hpp"

namespace kisim::app {

namespace po = boost::program_options;

void ScenarioFlags::add_to(CommandLine& line) {
  line.flags().add_options()("set", po::value(&overrides_)->composing()->value_name("path=value"),
                             "replace a value of the scenario; the path is relative to spec. May be repeated")(
      "seed", po::value(&seed_)->value_name("N"), "replace the seed of the scenario")(
      "strict", po::bool_switch(&strict_), "unknown fields and other warnings are errors");
}

ReadOptions ScenarioFlags::options() const {
  ReadOptions options;
  options.strict = strict_;
  if (!seed_.empty()) options.seed = seed_flag(seed_);
  for (const std::string& text : overrides_) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--set: found '{}', expected path=value", text));
    options.overrides.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return options;
}

}  // namespace kisim::app
