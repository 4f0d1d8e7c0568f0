#include "io/humanize.hpp"
#include "io/output.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace kisim {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json to_json(const T& value);

template <class T>
Json to_json(const std::optional<T>& value) {
  return value ? to_json(*value) : Json(nullptr);
}

template <class T>
Json to_json(const std::map<std::string, T>& values) {
  Json out = Json::object();
  for (const auto& [key, value] : values) out[key] = to_json(value);
  return out;
}

Json to_json(const std::vector<std::string>& values) { return values.empty() ? Json::array() : Json(values); }

template <class T>
Json to_json(const T& value) {
  if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
    return Json(value);
  } else {
    Json out = Json::object();
    for_each_field(value, [&](const char* name, const auto& field) { out[name] = to_json(field); });
    return out;
  }
}

Json document(const Summary& summary, Measured measured) {
  Json out = to_json(summary);
  out["signature"] = signature_text(summary.signature);
  if (!summary.interrupted) out.erase("interrupted");
  if (measured == Measured::Without) {
    for (const char* field : {"wall_s", "events_per_s", "peak_rss_bytes"}) out.erase(field);
  }
  return out;
}

// Scenario texts may hold anything; bytes that are no UTF-8 are replaced, not refused.
std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// A key that YAML would read as this very text, without quotes.
bool is_plain_key(const std::string& key) {
  static const std::vector<std::string> kWords = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  auto plain = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-' || c == '/' || c == '.'; };
  std::string lower = key;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return !key.empty() && std::isalpha(static_cast<unsigned char>(key[0])) &&
         std::all_of(key.begin(), key.end(), plain) && std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

// Every JSON scalar is a YAML scalar, so only the nesting is written anew.
void write_yaml(const Json& value, size_t depth, std::string& out) {
  const std::string indent(2 * depth, ' ');
  if (value.is_array()) {
    for (const Json& item : value) out += indent + "- " + dump(item, -1) + '\n';
    return;
  }
  for (const auto& [key, member] : value.items()) {
    out += indent + (is_plain_key(key) ? key : dump(Json(key), -1)) + ':';
    if (member.is_structured() && !member.empty()) {
      out += '\n';
      write_yaml(member, depth + 1, out);
    } else {
      out += ' ' + dump(member, -1) + '\n';
    }
  }
}

}  // namespace

std::string version() { return KISIM_VERSION; }

std::string signature_text(uint64_t signature) { return fmt::format("{:016x}", signature); }

std::string summary_json(const Summary& summary, Measured measured) {
  return dump(document(summary, measured), 2) + '\n';
}

std::string summary_yaml(const Summary& summary) {
  std::string out;
  write_yaml(document(summary, Measured::With), 0, out);
  return out;
}

std::string headline(const Summary& summary) {
  std::vector<std::string> parts;
  const Summary::Requests& r = summary.requests;
  if (summary.slo) parts.push_back(human_percent(summary.slo->attainment) + " of requests met the SLO");
  if (summary.latency_s.e2e) parts.push_back("p95 latency " + human_duration(summary.latency_s.e2e->p95));
  const uint64_t lost = r.failed + r.dropped + r.timed_out;
  if (r.arrived == 0)
    parts.push_back("no requests");
  else if (lost == 0 && r.completed == 0)
    parts.push_back(
        fmt::format("0 of {} requests completed, {} in flight", human_count(r.arrived), human_count(r.in_flight)));
  else if (lost == 0)
    parts.push_back(fmt::format("none of {} requests lost", human_count(r.arrived)));
  else
    parts.push_back(fmt::format("{} of {} requests lost", human_count(lost), human_count(r.arrived)));
  if (summary.gpu && summary.gpu->hours_busy > 0)
    parts.push_back("GPUs " + human_percent(summary.gpu->utilization) + " busy");
  std::string out = fmt::format("{}", fmt::join(parts, ", "));
  return summary.interrupted ? "interrupted: " + out : out;
}

// ---- the table

namespace {

constexpr size_t kLabelWidth = 14, kNumberWidth = 9, kWideLabelWidth = 48, kWideNumberWidth = 11, kGap = 2;

std::string shorten(const std::string& text, size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 1) + "…";
}

class SummaryTable {
 public:
  SummaryTable(const Summary& summary, bool wide, const TextStyle& style) : s_(summary), wide_(wide), style_(style) {
    if (!wide_) return;
    for (const auto& [workload, _] : s_.replicas) label_width_ = std::max(label_width_, workload.size());
    for (const auto& [reason, _] : s_.decisions) label_width_ = std::max(label_width_, reason.size());
    label_width_ = std::min(label_width_, kWideLabelWidth);
  }

  std::string text() {
    std::string first = s_.scenario + ": " + headline(s_);
    for (const std::string& line : wrap_text(first, wide_ ? 160 : 80)) out_ += bold(line, style_) + '\n';
    requests();
    latency();
    throughput();
    replicas();
    gpu();
    costs();
    pods();
    nodes();
    if (wide_) decisions();
    run();
    return out_;
  }

 private:
  // A label and numbers; all sections stand on one grid. `spanned` number columns are given to the label.
  TextTable section(const char* title, std::vector<std::string> headers, std::vector<std::string> wide_headers = {},
                    size_t spanned = 0) const {
    if (wide_) headers.insert(headers.end(), wide_headers.begin(), wide_headers.end());
    const size_t width = wide_ ? kWideNumberWidth : kNumberWidth;
    std::vector<TextColumn> columns = {{title, false, label_width_ + spanned * (width + kGap)}};
    for (std::string& header : headers) columns.push_back({std::move(header), true, width});
    return TextTable(std::move(columns));
  }
  // Cells of the default table, then those that only the wide one has.
  void add(TextTable& section, std::vector<std::string> cells, std::vector<std::string> wide_cells = {}) const {
    if (wide_) cells.insert(cells.end(), wide_cells.begin(), wide_cells.end());
    section.row(std::move(cells));
  }
  void finish(const TextTable& section) { out_ += '\n' + section.text(style_); }

  void requests() {
    const Summary::Requests& r = s_.requests;
    TextTable part = section("REQUESTS", {"ARRIVED", "COMPLETED", "FAILED", "DROPPED", "TIMED-OUT", "IN-FLIGHT"},
                             {"ADMITTED", "RETRIED"});
    add(part,
        {"whole run", short_count(r.arrived), short_count(r.completed), short_count(r.failed), short_count(r.dropped),
         short_count(r.timed_out), short_count(r.in_flight)},
        {short_count(r.admitted), short_count(r.retried)});
    finish(part);
  }

  void latency() {
    TextTable part = section("LATENCY", {"MEAN", "P50", "P90", "P95", "P99", "MAX"});
    auto row = [&](const char* name, const std::optional<LatencySummary>& l) {
      if (!l) return;
      add(part, {name, human_duration(l->mean), human_duration(l->p50), human_duration(l->p90), human_duration(l->p95),
                 human_duration(l->p99), human_duration(l->max)});
    };
    row("end to end", s_.latency_s.e2e);
    row("queue", s_.latency_s.queue);
    row("TTFT", s_.latency_s.ttft);
    row("TPOT", s_.latency_s.tpot);
    if (!part.empty()) finish(part);
  }

  void throughput() {
    if (!s_.tokens && !s_.slo) return;
    std::vector<std::string> headers, cells = {"after warm-up"};
    if (s_.slo) {
      headers = {"SLO MET", "GOODPUT"};
      cells.push_back(human_percent(s_.slo->attainment));
      cells.push_back(human_number(s_.slo->goodput_per_s) + "/s");
    }
    if (s_.tokens) {
      headers.insert(headers.end(), {"TOK/S", "PROMPT", "CACHED", "GENERATED"});
      cells.push_back(human_number(s_.tokens->per_s));
      cells.push_back(human_number(static_cast<double>(s_.tokens->prompt)));
      cells.push_back(s_.tokens->prompt == 0 ? "-"
                                             : human_percent(static_cast<double>(s_.tokens->cached) /
                                                             static_cast<double>(s_.tokens->prompt)));
      cells.push_back(human_number(static_cast<double>(s_.tokens->generated)));
    }
    TextTable part = section("THROUGHPUT", headers);
    add(part, cells);
    finish(part);
  }

  // Names of workloads are long, and this section has numbers to spare.
  void replicas() {
    constexpr size_t kSpanned = 2;
    if (s_.replicas.empty()) return;
    TextTable part = section("REPLICAS", {"MEAN", "MAX", "SCALE-UPS", "DOWNS"}, {}, wide_ ? 0 : kSpanned);
    const size_t room = label_width_ + kSpanned * (kNumberWidth + kGap);
    for (const auto& [workload, r] : s_.replicas) {
      add(part, {shorten(workload, wide_ ? kWideLabelWidth : room), fmt::format("{:.2f}", r.mean),
                 fmt::format("{}", r.max), short_count(r.scale_ups), short_count(r.scale_downs)});
    }
    finish(part);
  }

  void gpu() {
    if (!s_.gpu) return;
    // What pods compute is known of serving models only.
    const bool known = s_.gpu->hours_busy > 0;
    std::vector<std::string> headers = {"ALLOCATED", "BUSY", "UTILIZED"};
    std::vector<std::string> cells = {"after warm-up", human_number(s_.gpu->hours_allocated) + " h",
                                      known ? human_number(s_.gpu->hours_busy) + " h" : "-",
                                      known ? human_percent(s_.gpu->utilization) : "-"};
    if (s_.energy_kwh) {
      headers.push_back("ENERGY");
      cells.push_back(human_number(*s_.energy_kwh) + " kWh");
    }
    if (s_.cost) {
      headers.push_back("COST");
      cells.push_back(fmt::format("{:.2f}", *s_.cost));
    }
    if (s_.carbon_kg) {
      headers.push_back("CO2E");
      cells.push_back(human_number(*s_.carbon_kg) + " kg");
    }
    TextTable part = section("GPU", headers);
    add(part, cells);
    finish(part);
  }

  // Where missed SLOs cost, too.
  void costs() {
    if (!s_.cost || !s_.slo_penalty) return;
    TextTable part = section("COST", {"GPUS", "MISSED-SLO", "TOTAL"});
    add(part, {"after warm-up", fmt::format("{:.2f}", *s_.cost), fmt::format("{:.2f}", *s_.slo_penalty),
               fmt::format("{:.2f}", *s_.cost + *s_.slo_penalty)});
    finish(part);
  }

  void pods() {
    const Summary::Pods& p = s_.pods;
    TextTable part = section("PODS", {"SCHEDULED", "PREEMPTED", "EVICTED", "PENDING-MAX"});
    add(part, {"whole run", short_count(p.scheduled), short_count(p.preempted), short_count(p.evicted),
               fmt::format("{}", p.pending_max)});
    finish(part);
  }

  // Of a cluster whose nodes come or go.
  void nodes() {
    const Summary::Nodes& n = s_.nodes;
    if (n.mean == static_cast<double>(n.max)) return;
    TextTable part = section("NODES", {"MEAN", "MAX", "NODE-HOURS"});
    add(part, {"after warm-up", fmt::format("{:.2f}", n.mean), fmt::format("{}", n.max), human_number(n.hours)});
    finish(part);
  }

  void decisions() {
    if (s_.decisions.empty()) return;
    TextTable part = section("DECISIONS", {"COUNT"});
    for (const auto& [reason, count] : s_.decisions) add(part, {shorten(reason, label_width_), human_count(count)});
    finish(part);
  }

  void run() {
    TextTable part = section("RUN", {"SIMULATED", "EVENTS", "WALL", "SIGNATURE"}, {"EVENTS/S", "PEAK-RSS"});
    add(part,
        {fmt::format("seed {}", s_.seed), human_duration(s_.simulated_s), human_number(static_cast<double>(s_.events)),
         human_duration(s_.wall_s), signature_text(s_.signature)},
        {human_number(s_.events_per_s), human_bytes(static_cast<double>(s_.peak_rss_bytes))});
    finish(part);
  }

  const Summary& s_;
  const bool wide_;
  const TextStyle& style_;
  size_t label_width_ = kLabelWidth;
  std::string out_;
};

}  // namespace

std::string summary_table(const Summary& summary, bool wide, const TextStyle& style) {
  return SummaryTable(summary, wide, style).text();
}

}  // namespace kisim
