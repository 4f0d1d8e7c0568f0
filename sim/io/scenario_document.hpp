#pragma once
// One Scenario document out of the files, includes and --set overrides that make it up.

#include "io/input.hpp"
#include "io/value.hpp"

#include <string>
#include <vector>

namespace kisim {

struct ScenarioDocument {
  Value root;                    // merged; every value still knows its own file
  std::vector<Value> manifests;  // the other documents beside it and beside its includes
};

// Finds the one Scenario among `documents`, merges its includes beneath it (unless options.files is false) and the
// overrides over it. Throws InputError.
ScenarioDocument assemble_scenario(std::vector<Value> documents, const std::string& name, const ReadOptions& options);

// A file name in a document: relative to the document's folder, or to the current one on the command line.
std::string resolve_path(const Value& file_name);

}  // namespace kisim
