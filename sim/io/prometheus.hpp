#pragma once
// Samples of metrics as Prometheus has them: what an exporter answers to a scrape (the text format 0.0.4 and
// OpenMetrics 1.0), and what Prometheus answers to a query of its HTTP API.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

struct MetricSample {
  std::string name;                                         // "vllm:time_to_first_token_seconds_bucket"
  std::vector<std::pair<std::string, std::string>> labels;  // as they stand there
  double value = 0;
  std::optional<double> time;  // Unix seconds; none: of the scrape, which nobody wrote down

  const std::string* label(std::string_view label_name) const;  // null: it has none of that name
};

// A text that ends with "# EOF" is OpenMetrics, whose times are seconds; else they are milliseconds. Throws InputError
// with file:line:column.
std::vector<MetricSample> parse_metrics(std::string_view text, const std::string& name);
// The answer to a query or a range query: {"status": "success", "data": {"resultType": "vector" or "matrix", …}}.
// Throws InputError.
std::vector<MetricSample> parse_query_result(std::string_view text, const std::string& name);
// One or the other, plain or gzip; JSON begins with a brace. Throws InputError, IoError.
std::vector<MetricSample> read_metrics(const std::string& path);

}  // namespace kisim
