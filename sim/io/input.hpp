#pragma once
// Everything that comes in: scenario documents, manifests, catalogues, traces.

#include "io/value.hpp"
#include "run/scenario.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

struct ReadOptions {
  std::vector<std::pair<std::string, std::string>> overrides;  // --set path=value, relative to spec
  std::optional<uint64_t> seed;                                // --seed
  std::vector<std::string> applied;  // files of objects, laid over those of the scenario as kubectl apply would
  std::map<std::string, std::string> variables;  // what stands for ${name} in `applied` and in `overrides`
  bool strict = false;
  bool files = true;  // false: nothing that the document names is opened (includes, manifests, traces)
};

// Reads one or several files (or "-", or the run.h5 of a run, which holds the scenario whole) and folders of manifests
// that together hold exactly one Scenario, with its manifests, traces and the built-in catalogues. Relative paths are
// relative to the file that names them. Throws InputError, IoError.
Scenario read_scenario(const std::vector<std::string>& paths, const ReadOptions& options = {});
// The same from text that stands for the file `name`.
Scenario read_scenario_text(const std::string& text, const std::string& name, const ReadOptions& options = {});

// Adds the objects of one document (or of a List) to `out`. Complaints that count (unknown or unmodelled kinds and
// fields) are collected in out.ignored; finish_manifests tells them.
void read_manifest(const Value& document, Diagnostics& diagnostics, Manifests& out);
// The documents of a file, or of every *.yaml, *.yml and *.json of a directory in alphabetical order.
std::vector<Value> read_manifest_files(const std::string& path);
// Once, after the last document: refuses duplicates, drops pods and ReplicaSets that a workload of the same input makes
// itself, admits the rest as the API server does (priorities by class, limit ranges, quotas; pods by themselves that
// are forbidden go, with a warning), adds the namespaces that nobody wrote down, tells what was ignored.
void finish_manifests(Diagnostics& diagnostics, Manifests& manifests);
// The same for objects that are applied to a cluster which has others already.
void finish_applied_manifests(Diagnostics& diagnostics, const Manifests& cluster, Manifests& applied);
// Adds the objects of `applied` to those of `cluster`; objects of the same name are replaced.
void merge_manifests(Manifests& cluster, const Manifests& applied);

// How the columns of a trace are named.
struct TraceFormat {
  std::string name = "auto";                                        // auto, azure, csv, jsonl
  std::string time = "time", prompt = "prompt", output = "output";  // column names
  std::string time_unit = "s";                                      // s, ms, us, ns, or "datetime"
  std::string ids;                                                  // JSON Lines: lists of block ids; empty: none
  int32_t id_tokens = 512;                                          // of a block
};
// Plain or gzip. Throws InputError with file:line:column on a bad row, IoError if it cannot be read. Rows are sorted by
// time (stably) and the first row is time 0.
std::shared_ptr<const TraceColumns> read_trace(const std::string& path, const TraceFormat& format,
                                               const SourceMark& mark);
// The same from a text; `name` stands for the file in messages and, under "auto", tells JSON Lines by its extension.
std::shared_ptr<const TraceColumns> parse_trace(std::string_view text, const std::string& name,
                                                const TraceFormat& format, const SourceMark& mark);

// The catalogues that are built into the program (sim/cluster/catalog, sim/serving/catalog).
std::vector<GpuModel> read_gpu_catalogue();
std::vector<LlmModel> read_llm_catalogue();
std::vector<EngineProfile> read_engine_catalogue();

// JSON Schema (draft 7) of the Scenario document, from the same declarations that read it.
std::string scenario_schema();

// Every numeric or text parameter of the Scenario, for `kisim describe parameters`.
struct FieldDoc {
  std::string path, type, default_text, allowed, doc;
};
std::vector<FieldDoc> scenario_fields();

}  // namespace kisim
