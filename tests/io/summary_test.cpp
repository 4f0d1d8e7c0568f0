#include "io/humanize.hpp"
#include "io/output.hpp"
#include "sample_run.hpp"

#include <yaml-cpp/yaml.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <set>
#include <sstream>

using namespace kisim;

namespace {

using Json = nlohmann::ordered_json;

// Changes the n-th plain field below a part of the summary; counts down in `n` and stops below zero.
class FieldChange {
 public:
  explicit FieldChange(int n) : n_(n) {}
  bool done() const { return n_ < 0; }
  const std::string& changed() const { return changed_; }

  template <class T>
  void operator()(const char* name, T& field) {
    path_.push_back(name);
    apply(field);
    path_.pop_back();
  }

 private:
  template <class T>
  void apply(T& field) {
    if constexpr (std::is_same_v<T, bool>) {
      if (hit()) field = !field;
    } else if constexpr (std::is_arithmetic_v<T>) {
      if (hit()) field += 1;
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (hit()) field += "x";
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      if (hit()) field.push_back("one more");
    } else {
      for_each_field(field, *this);
    }
  }
  template <class T>
  void apply(std::optional<T>& field) {
    if (hit()) {
      field.reset();
      return;
    }
    if (field) apply(*field);
  }
  template <class T>
  void apply(std::map<std::string, T>& field) {
    if (hit()) {
      field["one more"];
      return;
    }
    for (auto& [key, value] : field) apply(value);
  }
  bool hit() {
    if (n_-- != 0) return false;
    for (const std::string& part : path_) changed_ += (changed_.empty() ? "" : ".") + part;
    return true;
  }

  int n_;
  std::vector<std::string> path_;
  std::string changed_;
};

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> out;
  for (const auto& [key, _] : object.items()) out.push_back(key);
  return out;
}

size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, display_width(line));
  return widest;
}

// The same tree, scalars as text.
void check_equal(const Json& json, const YAML::Node& yaml) {
  if (json.is_object()) {
    REQUIRE(yaml.size() == json.size());
    for (const auto& [key, value] : json.items()) check_equal(value, yaml[key]);
  } else if (json.is_array()) {
    REQUIRE(yaml.size() == json.size());
    for (size_t i = 0; i < json.size(); ++i) check_equal(json[i], yaml[i]);
  } else if (json.is_null()) {
    CHECK(yaml.IsNull());
  } else if (json.is_string()) {
    CHECK(yaml.as<std::string>() == json.get<std::string>());
  } else {
    CHECK(yaml.as<double>() == json.get<double>());
  }
}

}  // namespace

TEST_CASE("summary: the signature covers every field but the four of the contract") {
  const Summary base = sample_summary();
  const std::set<std::string> unsigned_fields = {"signature", "wall_s", "events_per_s", "peak_rss_bytes"};
  std::set<std::string> seen_unsigned;
  int fields = 0;
  for (;; ++fields) {
    Summary other = base;
    FieldChange change(fields);
    for_each_field(other, change);
    if (!change.done()) break;
    INFO(change.changed());
    CHECK(summary_json(other) != summary_json(base));
    const bool is_unsigned = unsigned_fields.count(change.changed()) > 0;
    if (is_unsigned) seen_unsigned.insert(change.changed());
    CHECK((sign(other, 7) == sign(base, 7)) == is_unsigned);
  }
  CHECK(fields > 70);
  CHECK(seen_unsigned == unsigned_fields);
  CHECK(sign(base, 7) != sign(base, 8));
}

TEST_CASE("summary: texts in the signature cannot run into each other") {
  Summary one = sample_summary(), two = sample_summary();
  one.warnings = {"ab", "c"};
  two.warnings = {"a", "bc"};
  CHECK(sign(one, 1) != sign(two, 1));
  one.warnings = {"a 1:b"};
  two.warnings = {"a", "b"};
  CHECK(sign(one, 1) != sign(two, 1));
}

TEST_CASE("summary: JSON has the contract's fields in its order") {
  const Json json = Json::parse(summary_json(sample_summary()));
  CHECK(keys(json) == std::vector<std::string>{
                          "signature",    "scenario",       "seed",      "simulated_s", "events",      "wall_s",
                          "events_per_s", "peak_rss_bytes", "requests",  "latency_s",   "tokens",      "slo",
                          "gpu",          "energy_kwh",     "cost",      "carbon_kg",   "slo_penalty", "replicas",
                          "pods",         "nodes",          "decisions", "warnings"});
  CHECK(json["signature"] == "0123456789abcdef");
  CHECK(keys(json["requests"]) == std::vector<std::string>{"arrived", "admitted", "completed", "failed", "dropped",
                                                           "timed_out", "in_flight", "retried"});
  CHECK(keys(json["latency_s"]) == std::vector<std::string>{"e2e", "queue", "ttft", "tpot"});
  CHECK(keys(json["latency_s"]["e2e"]) == std::vector<std::string>{"mean", "p50", "p90", "p95", "p99", "max"});
  CHECK(keys(json["tokens"]) == std::vector<std::string>{"prompt", "cached", "generated", "per_s"});
  CHECK(keys(json["slo"]) == std::vector<std::string>{"attainment", "goodput_per_s"});
  CHECK(keys(json["gpu"]) == std::vector<std::string>{"hours_allocated", "hours_busy", "utilization"});
  CHECK(keys(json["replicas"]["default/llama"]) == std::vector<std::string>{"mean", "max", "scale_ups", "scale_downs"});
  CHECK(keys(json["pods"]) == std::vector<std::string>{"scheduled", "pending_max", "preempted", "evicted"});
  CHECK(keys(json["nodes"]) == std::vector<std::string>{"mean", "max", "hours"});
  CHECK(json["events_per_s"].get<double>() == 2991438.5);
}

TEST_CASE("summary: what does not apply is null, what is empty is empty") {
  const Json json = Json::parse(summary_json(Summary{}));
  for (const char* field : {"tokens", "slo", "gpu", "energy_kwh", "cost"}) CHECK(json[field].is_null());
  CHECK(json["latency_s"]["ttft"].is_null());
  CHECK(json["replicas"] == Json::object());
  CHECK(json["decisions"] == Json::object());
  CHECK(json["warnings"] == Json::array());
  CHECK(json["requests"]["arrived"] == 0);
}

TEST_CASE("summary: only an interrupted run says so") {
  Summary s = sample_summary();
  CHECK(summary_json(s).find("interrupted") == std::string::npos);
  s.interrupted = true;
  CHECK(Json::parse(summary_json(s))["interrupted"] == true);
  CHECK(headline(s).rfind("interrupted: ", 0) == 0);
}

TEST_CASE("summary: the headline tells requests that never ended") {
  Summary s;
  CHECK(headline(s) == "no requests");
  s.requests.arrived = s.requests.in_flight = 1200;
  CHECK(headline(s) == "0 of 1,200 requests completed, 1,200 in flight");
  s.requests.completed = 1, s.requests.in_flight = 1199;
  CHECK(headline(s) == "none of 1,200 requests lost");
}

TEST_CASE("summary: doubles read back as the same value") {
  Summary s;
  s.simulated_s = 0.1 + 0.2;
  s.cost = 1.0 / 3;
  const Json json = Json::parse(summary_json(s));
  CHECK(json["simulated_s"].get<double>() == 0.1 + 0.2);
  CHECK(json["cost"].get<double>() == 1.0 / 3);
}

TEST_CASE("summary: YAML holds what JSON holds") {
  Summary s = sample_summary();
  s.decisions["yes"] = 1;
  s.decisions["a: b # c"] = 2;
  s.warnings.push_back("- \"quoted\"\nand broken");
  s.energy_kwh.reset();
  check_equal(Json::parse(summary_json(s)), YAML::Load(summary_yaml(s)));
  s = Summary{};
  check_equal(Json::parse(summary_json(s)), YAML::Load(summary_yaml(s)));
}

TEST_CASE("summary: the table starts with the finding and keeps to its width") {
  Summary s = sample_summary();
  const std::string table = summary_table(s, false, {});
  CHECK(table.rfind("quickstart: 98.7 % of requests met the SLO", 0) == 0);
  CHECK(widest_line(table) <= 80);
  CHECK(widest_line(summary_table(s, true, {})) <= 160);
  CHECK(table.find("72,012") != std::string::npos);
  CHECK(table.find("MISSED-SLO") != std::string::npos);
  CHECK(table.find("0123456789abcdef") != std::string::npos);
  CHECK(table.find("RETRIED") == std::string::npos);
  CHECK(summary_table(s, true, {}).find("RETRIED") != std::string::npos);
  CHECK(table.find('\x1b') == std::string::npos);
  CHECK(summary_table(s, false, {true, 80}).find('\x1b') != std::string::npos);

  s.seed = UINT64_MAX;
  s.scenario = std::string(70, 'n');
  s.replicas[std::string(90, 'w')] = {1e5, 100000, 100000, 100000};
  s.decisions[std::string(90, 'd')] = 1;
  s.requests = {99999999, 99999999, 99999999, 99999999, 99999999, 99999999, 99999999, 99999999};
  s.events = 123456789012;
  CHECK(widest_line(summary_table(s, false, {})) <= 80);
  CHECK(widest_line(summary_table(s, true, {})) <= 160);
}

TEST_CASE("summary: a run without requests has a table too") {
  CHECK(summary_table(Summary{}, false, {}).find("no requests") != std::string::npos);
}

TEST_CASE("humanize: durations") {
  CHECK(human_duration(0) == "0 s");
  CHECK(human_duration(84e-5) == "840 µs");
  CHECK(human_duration(0.0123) == "12.3 ms");
  CHECK(human_duration(0.9996) == "1.00 s");
  CHECK(human_duration(3.1234) == "3.12 s");
  CHECK(human_duration(59.96) == "1m");
  CHECK(human_duration(125) == "2m 05s");
  CHECK(human_duration(3600) == "1h");
  CHECK(human_duration(5400) == "1h 30m");
  CHECK(human_duration(86400 + 7200) == "1d 02h");
  CHECK(human_clock(93784) == "1d 2:03:04");
}

TEST_CASE("humanize: shares do not round up to all or down to none") {
  CHECK(human_percent(1) == "100.0 %");
  CHECK(human_percent(0.99999) == "99.9 %");
  CHECK(human_percent(0.6081) == "60.8 %");
  CHECK(human_percent(0.00001) == "<0.1 %");
  CHECK(human_percent(0) == "0.0 %");
}

TEST_CASE("humanize: numbers and sizes") {
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_count(999) == "999");
  CHECK(human_number(999.7) == "1.00k");
  CHECK(human_number(7) == "7");
  CHECK(human_number(1234567) == "1.23M");
  CHECK(human_bytes(16e9) == "14.9 GiB");
  CHECK(human_bytes(512) == "512 B");
}
