#include "cli.hpp"
#include "core/error.hpp"
#include "io/output.hpp"

namespace kisim::app {

int cmd_version(const Arguments& arguments) {
  Arguments rest;
  CommandLine line({"version", "Prints the version.", ""});
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError("version takes no arguments");
  print("kisim " + version() + '\n');
  return kOk;
}

}  // namespace kisim::app
