#include "cli.hpp"
#include "core/error.hpp"
#include "io/input.hpp"

namespace kisim::app {

int cmd_schema(const Arguments& arguments) {
  Arguments rest;
  CommandLine line({"schema", "Prints the JSON Schema of the Scenario document, for editors and checks.",
                    "  kisim schema > scenario.schema.json\n"});
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError("schema takes no arguments");
  std::string schema = scenario_schema();
  if (schema.empty() || schema.back() != '\n') schema += '\n';
  print(schema);
  return kOk;
}

}  // namespace kisim::app
