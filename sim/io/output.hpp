#pragma once
// The result of a run as text: JSON, YAML and a table.

#include "io/text_table.hpp"
#include "run/summary.hpp"

#include <string>

namespace kisim {

// The version of kisim, "0.1.0".
std::string version();

// 16 hex digits.
std::string signature_text(uint64_t signature);

// wall_s, events_per_s and peak_rss_bytes differ between equal runs; what must compare byte by byte leaves them out.
enum class Measured : bool { Without, With };

// One JSON object over several lines, fields and order as in run/summary.hpp; empty optionals are null, doubles read
// back as the same value, `interrupted` appears only when true. Ends with a newline.
std::string summary_json(const Summary& summary, Measured measured = Measured::With);

// The same content as YAML.
std::string summary_yaml(const Summary& summary);

// The key finding, then a section each for requests, latency, throughput, replicas, GPUs, pods and the run itself.
// Not wider than 80 columns; `wide`: 160, with more columns and the decisions.
std::string summary_table(const Summary& summary, bool wide, const TextStyle& style);

// The one sentence a reader wants first, without a full stop.
std::string headline(const Summary& summary);

}  // namespace kisim
