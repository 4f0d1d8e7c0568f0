#pragma once
// The declaration of the Scenario document: every field that a user may write, once.

#include "io/declare.hpp"
#include "io/input.hpp"

#include <string>
#include <vector>

namespace kisim {

// What a traffic source says that its TrafficSpec does not hold as written.
struct SourceDraft {
  Value trace_file;  // Null where it is left out
  TraceFormat trace_format;
  std::string arrivals = "poisson";
};

// The document as read, before the files that it names.
struct ScenarioDraft {
  Scenario scenario;
  std::string api_version, kind;
  Value scheduler_configuration;          // a file name or a mapping; Null where it is left out
  std::vector<Value> include, manifests;  // file names; manifests also inline
  std::vector<SourceDraft> sources;       // beside scenario.traffic
};

// Fields of the whole document. They point into `draft` and what they fill may move: read each entry as it is opened.
Fields declare(ScenarioDraft& draft);

}  // namespace kisim
