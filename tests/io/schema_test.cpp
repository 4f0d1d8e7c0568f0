#include "io/amount.hpp"
#include "io/input.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace kisim;
using Json = nlohmann::ordered_json;

namespace {

// The schema of the value at a path of the document; `name` steps into an entry of a mapping by name.
const Json* schema_at(const Json& schema, const std::vector<std::string>& path, size_t depth = 0) {
  if (depth == path.size()) return &schema;
  if (schema.contains("anyOf")) {
    for (const Json& form : schema["anyOf"])
      if (const Json* found = schema_at(form, path, depth)) return found;
    return nullptr;
  }
  const std::string& name = path[depth];
  if (schema.contains("properties") && schema["properties"].contains(name))
    return schema_at(schema["properties"][name], path, depth + 1);
  if (schema.contains("additionalProperties") && schema["additionalProperties"].is_object())
    return schema_at(schema["additionalProperties"], path, depth + 1);
  return nullptr;
}

std::vector<std::string> split(const std::string& path) {
  std::vector<std::string> parts{""};
  for (char c : path) {
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

bool is_number(const Json& schema) {
  if (!schema.contains("anyOf")) return false;
  const Json& forms = schema["anyOf"];
  return std::any_of(forms.begin(), forms.end(), [](const Json& form) { return form.contains("$ref"); });
}

// Every path of a document is declared; distributions have a definition of their own.
void check_declared(const Value& value, const Json& schema, std::vector<std::string>& path) {
  for (const Value::Member& member : value.members) {
    path.push_back(member.key);
    INFO(fmt::format("{}", fmt::join(path, ".")));
    const Json* found = schema_at(schema, path);
    CHECK(found != nullptr);
    if (found && !is_number(*found)) check_declared(member.value, schema, path);
    path.pop_back();
  }
}

}  // namespace

TEST_CASE("the schema is JSON Schema draft 7 of the Scenario document") {
  Json schema = Json::parse(scenario_schema());
  CHECK(schema["$schema"] == "http://json-schema.org/draft-07/schema#");
  CHECK(schema["required"] == Json({"apiVersion", "kind", "metadata", "spec"}));
  CHECK(schema["properties"]["kind"]["enum"] == Json::array({"Scenario"}));
  const Json& model = *schema_at(schema, {"spec", "models", "x"});
  CHECK(model["properties"]["tensorParallel"]["default"] == 1);
  CHECK(model["properties"]["detail"]["default"] == "iteration");
  CHECK(model["properties"]["startup"]["properties"]["weightsBandwidth"]["default"] == "2GB/s");
  CHECK(model["additionalProperties"] == false);
  const Json& pattern = *schema_at(schema, {"spec", "traffic", "x", "pattern"});
  CHECK(pattern["maxProperties"] == 1);
  CHECK(pattern["properties"].size() == 5);
  CHECK(schema["definitions"]["distribution"]["anyOf"].size() == 12);
  const Json& kubernetes = *schema_at(schema, {"spec", "kubernetes"});
  CHECK(kubernetes["properties"]["schedulerConfiguration"]["type"] == Json({"string", "object"}));
  CHECK(kubernetes["properties"]["featureGates"]["additionalProperties"]["type"] == "boolean");
  CHECK(kubernetes["properties"]["latencies"]["anyOf"][0]["enum"] == Json({"none", "upstream"}));
  CHECK(kubernetes["properties"]["latencies"]["anyOf"][1]["properties"]["bind"]["default"] == "0s");
  const Json& autoscaler = schema["properties"]["spec"]["properties"]["clusterAutoscaler"]["properties"];
  CHECK(autoscaler["scaleDownEnabled"]["type"] == "boolean");
  CHECK(autoscaler["scaleDownEnabled"]["default"] == true);
  CHECK(autoscaler["expander"]["anyOf"][1]["items"]["enum"][0] == "random");
  CHECK(autoscaler["expander"]["default"] == "least-waste");
  const Json& action = schema["properties"]["spec"]["properties"]["actions"]["items"];
  CHECK(action["required"] == Json::array({"at"}));
  CHECK(action["properties"]["apply"]["type"] == Json({"string", "array", "object"}));
  CHECK(action["properties"]["cascade"]["default"] == "background");
  const Json& fault = schema["properties"]["spec"]["properties"]["faults"]["items"]["properties"];
  CHECK(fault["kind"]["enum"].size() == 9);
  CHECK(fault["every"]["anyOf"].back()["$ref"] == "#/definitions/distribution");
}

TEST_CASE("the quickstart uses only what the schema declares") {
  Json schema = Json::parse(scenario_schema());
  std::vector<Value> documents = read_yaml(std::string(KISIM_ROOT) + "/scenarios/quickstart.yaml");
  REQUIRE(documents.size() == 1);
  std::vector<std::string> path;
  check_declared(documents[0], schema, path);
}

TEST_CASE("every field is listed, documented and in the schema") {
  Json schema = Json::parse(scenario_schema());
  std::vector<FieldDoc> fields = scenario_fields();
  CHECK(fields.size() > 150);
  for (const FieldDoc& field : fields) {
    INFO(field.path);
    CHECK_FALSE(field.type.empty());
    CHECK_FALSE(field.allowed.empty());
    CHECK_FALSE(field.doc.empty());
    if (field.path.find("[]") == std::string::npos) CHECK(schema_at(schema, split(field.path)) != nullptr);
  }
}

TEST_CASE("listed defaults are those of the structs") {
  std::vector<FieldDoc> fields = scenario_fields();
  auto text = [&](const std::string& path) {
    auto it = std::find_if(fields.begin(), fields.end(), [&](const FieldDoc& f) { return f.path == path; });
    REQUIRE(it != fields.end());
    return it->default_text;
  };
  Scenario scenario;
  ModelSpec model;
  TrafficSpec source;
  CHECK(text("spec.models.<name>.engine") == model.engine);
  CHECK(text("spec.models.<name>.detail") == model.detail);
  CHECK(text("spec.models.<name>.maxBatchSize") == std::to_string(model.max_batch_size));
  CHECK(text("spec.models.<name>.kvMemoryUtilization") == "0.9");
  CHECK(text("spec.models.<name>.startup.imageBandwidth") == "500MB/s");
  CHECK(text("spec.models.<name>.startup.container") == "1s");
  CHECK(text("spec.traffic.<name>.pattern.diurnal.period") == "24h");
  CHECK(text("spec.traffic.<name>.request.output") == "1");
  CHECK(text("spec.traffic.<name>.arrivals") == "poisson");
  CHECK(text("spec.traffic.<name>.timeout") == "0s");
  CHECK(text("spec.slo.<name>.target") == "0.99");
  CHECK(text("spec.slo.<name>.ttft").empty());
  CHECK(text("spec.metrics.scrapeInterval") == "15s");
  CHECK(text("spec.metrics.offset") == "random");
  CHECK(text("spec.metrics.window") == "30s");
  CHECK(text("spec.metrics.staleness") == "5m");
  CHECK(text("spec.metrics.resourceResolution") == "15s");
  CHECK(text("spec.kubernetes.latencies") == "none");
  CHECK(text("spec.kubernetes.latencies.scheduler.qps") == "0");
  CHECK(text("spec.clusterAutoscaler.scaleDownUnneededTime") == "10m");
  CHECK(text("spec.clusterAutoscaler.scaleDownDelayAfterDelete").empty());
  CHECK(text("spec.clusterAutoscaler.skipNodesWithSystemPods") == "true");
  CHECK(text("spec.clusterAutoscaler.nodeGroups.<name>.provision") == "0s");
  CHECK(text("spec.pods.<name>.cpu") == "0");
  CHECK(text("spec.pods.<name>.run").empty());
  CHECK(text("spec.faults[].for") == "0s");
  CHECK(text("spec.actions[].ignoreDaemonSets") == "true");
  CHECK(text("spec.actions[].timeout").empty());
  CHECK(text("spec.policies.descheduler.dryRun") == "false");
  CHECK(text("spec.kubernetes.version") == scenario.kubernetes_version);
  CHECK(text("spec.duration").empty());
}

TEST_CASE("amounts are written as they are read") {
  for (auto [unit, text] : {std::pair{Unit::Seconds, "1500ms"},
                            {Unit::Seconds, "90m"},
                            {Unit::Seconds, "24h"},
                            {Unit::Seconds, "0s"},
                            {Unit::Bytes, "8GiB"},
                            {Unit::Bytes, "500MB"},
                            {Unit::BytesPerSecond, "2GB/s"},
                            {Unit::BytesPerSecond, "7B/s"},
                            {Unit::PerSecond, "20/s"},
                            {Unit::PerHour, "2.5/h"},
                            {Unit::Cores, "250m"},
                            {Unit::Cores, "1.5005"},
                            {Unit::Cores, "2"},
                            {Unit::None, "0.1"}}) {
    auto value = parse_amount(unit, text);
    REQUIRE(value);
    CHECK(format_amount(unit, *value) == text);
  }
}

TEST_CASE("what is no amount") {
  for (const char* text : {"", " ", "x", "1x", "nan", "inf", "1e999", "0x10", "1 ", "--1", "+1", "1e", "1,5"})
    for (Unit unit : {Unit::None, Unit::PerSecond, Unit::PerHour, Unit::Bytes, Unit::BytesPerSecond}) {
      INFO(text);
      CHECK_FALSE(parse_amount(unit, text));
    }
  CHECK_FALSE(parse_amount(Unit::PerSecond, "20/m"));
  CHECK_FALSE(parse_amount(Unit::PerSecond, "20s"));
  CHECK_FALSE(parse_amount(Unit::Bytes, "8GB/s"));
  CHECK_FALSE(parse_amount(Unit::Bytes, "8Gbit"));
  CHECK_FALSE(parse_amount(Unit::BytesPerSecond, "8GB"));
  CHECK_FALSE(parse_amount(Unit::BytesPerSecond, "/s"));
  CHECK_FALSE(parse_amount(Unit::Seconds, "1e400"));
  CHECK_FALSE(parse_amount(Unit::Cores, "2k"));
}
