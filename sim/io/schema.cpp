// What can be told about the Scenario document from its declaration alone: the JSON Schema and the list of fields.

#include "io/families.hpp"
#include "io/input.hpp"
#include "io/scenario_fields.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

Json object_schema(const Fields& fields);

// 1, not 1.0, where it is whole.
Json number_json(double x) {
  return x == std::floor(x) && std::fabs(x) < 0x1p53 ? Json(static_cast<int64_t>(x)) : Json(x);
}

// The least and greatest value, for a plain number.
void add_bounds(Json& schema, const Field& field) {
  if (std::isfinite(field.least)) schema[field.exclusive ? "exclusiveMinimum" : "minimum"] = number_json(field.least);
  if (std::isfinite(field.most)) schema["maximum"] = number_json(field.most);
}

Json number_schema(const Field& field) {
  Json forms = Json::array();
  forms.push_back({{"type", field.whole ? "integer" : "number"}});
  add_bounds(forms.back(), field);
  if (const char* pattern = unit_text(field.base).pattern) forms.push_back({{"type", "string"}, {"pattern", pattern}});
  if (!field.choices.empty()) forms.push_back({{"enum", field.choices}});
  if (!field.fixed) forms.push_back({{"$ref", "#/definitions/distribution"}});
  if (field.fitted) forms.push_back({{"$ref", "#/definitions/fitted"}});
  return forms.size() == 1 ? forms[0] : Json{{"anyOf", forms}};
}

Json text_schema(const Field& field) {
  Json schema = {{"type", "string"}};
  if (!field.choices.empty()) schema["enum"] = field.choices;
  return schema;
}

Json target_schema(const Field& field);

Json nested_schema(const Nested& nested) {
  Fields fields = nested.open("", SourceMark());
  Json schema = object_schema(fields);
  if (nested.shape == Nested::Shape::OneOf) schema["minProperties"] = schema["maxProperties"] = 1;
  if (const Field* shorthand = fields.find(nested.shorthand)) schema = {{"anyOf", {target_schema(*shorthand), schema}}};
  if (!nested.words.empty()) schema = {{"anyOf", {{{"enum", nested.words}}, schema}}};
  if (nested.shape == Nested::Shape::ByName) return {{"type", "object"}, {"additionalProperties", schema}};
  if (nested.shape == Nested::Shape::List) return {{"type", "array"}, {"items", schema}};
  return schema;
}

Json list_schema(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }

struct TargetSchema {
  const Field& field;

  Json operator()(std::string*) const { return text_schema(field); }
  Json operator()(bool*) const { return {{"type", "boolean"}}; }
  Json operator()(std::optional<bool>*) const { return {{"type", "boolean"}}; }
  Json operator()(std::vector<std::string>*) const {
    return {{"anyOf", {text_schema(field), list_schema(text_schema(field))}}};
  }
  Json operator()(Value*) const { return field.mapping ? Json{{"type", {"string", "object"}}} : text_schema(field); }
  Json operator()(Labels*) const { return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}}; }
  Json operator()(std::map<std::string, double>*) const {
    return {{"type", "object"}, {"additionalProperties", number_schema(field)}};
  }
  Json operator()(std::map<std::string, bool>*) const {
    return {{"type", "object"}, {"additionalProperties", {{"type", "boolean"}}}};
  }
  Json operator()(std::vector<int32_t>*) const {
    Json item = {{"type", "integer"}};
    add_bounds(item, field);
    return list_schema(item);
  }
  Json operator()(std::vector<double>*) const {
    return {{"anyOf", {number_schema(field), list_schema(number_schema(field))}}};
  }
  Json operator()(std::vector<Value>*) const {
    Json types = {"string", "array"};
    if (field.mapping) types.push_back("object");
    return {{"type", types}, {"items", {{"type", {"string", "object"}}}}};
  }
  Json operator()(const Nested& nested) const { return nested_schema(nested); }
  template <class Number>
  Json operator()(Number*) const {
    return number_schema(field);
  }
};

Json target_schema(const Field& field) { return std::visit(TargetSchema{field}, field.target); }

// The default as a user would write it; empty: none.
struct DefaultText {
  const Field& field;

  std::string operator()(int32_t* x) const { return std::to_string(*x); }
  std::string operator()(uint64_t* x) const { return std::to_string(*x); }
  std::string operator()(double* x) const { return number(*x); }
  std::string operator()(bool* x) const { return *x ? "true" : "false"; }
  std::string operator()(Duration* x) const { return seconds(*x); }
  std::string operator()(std::optional<Duration>* x) const {
    if (*x) return seconds(**x);
    return field.choices.empty() ? "" : field.choices[0];
  }
  std::string operator()(Distribution* x) const { return number(x->mean()); }
  std::string operator()(std::string* x) const { return *x; }
  std::string operator()(std::vector<std::string>* x) const { return fmt::format("{}", fmt::join(*x, ", ")); }
  template <class Other>
  std::string operator()(const Other&) const {
    return {};
  }

 private:
  std::string number(double x) const { return format_amount(field.base, x); }
  // Divided, because 15e9 · 1e-9 is not 15.
  std::string seconds(Duration x) const { return number(static_cast<double>(x.ns) / 1e9); }
};

std::string default_text(const Field& field) {
  return field.needed ? std::string() : std::visit(DefaultText{field}, field.target);
}

Json default_json(const Field& field, const std::string& text) {
  if (const auto* flag = std::get_if<bool*>(&field.target)) return **flag;
  auto number = field.is_number() ? parse_amount(Unit::None, text) : std::nullopt;
  return number ? number_json(*number) : Json(text);
}

Json field_schema(const Field& field) {
  Json schema = target_schema(field);
  if (!field.doc.empty()) schema["description"] = field.doc;
  std::string text = default_text(field);
  if (!text.empty()) schema["default"] = default_json(field, text);
  return schema;
}

Json object_schema(const Fields& fields) {
  Json schema = {{"type", "object"}};
  schema["properties"] = Json::object();
  Json required = Json::array();
  for (const Field& field : fields.list) {
    schema["properties"][field.name] = field_schema(field);
    if (field.needed) required.push_back(field.name);
  }
  if (!required.empty()) schema["required"] = required;
  schema["additionalProperties"] = fields.others ? Json{{"type", {"string", "number", "boolean"}}} : Json(false);
  return schema;
}

// Parameters may carry any unit.
Json amount_schema() { return {{"type", {"number", "string"}}}; }

Json family_schema(const Family& family) {
  std::array<double, 2> values{};
  Json schema = object_schema(declare(family, Field(), values));
  for (const Family::Parameter& parameter : family.parameters)
    if (parameter.in_unit) schema["properties"][parameter.name] = amount_schema();
  for (auto& [name, property] : schema["properties"].items()) property.erase("default");
  return schema;
}

Json only(const std::string& name, const Json& schema) {
  return {{"type", "object"},
          {"properties", {{name, schema}}},
          {"required", Json::array({name})},
          {"additionalProperties", false}};
}

Json distribution_schema() {
  Json numbers = list_schema(amount_schema());
  numbers["minItems"] = 1;
  Json values = only("values", numbers);
  Json weighted = values;
  weighted["properties"]["weights"] = list_schema({{"type", "number"}, {"minimum", 0}});
  weighted["required"].push_back("weights");

  Json forms = Json::array();
  forms.push_back(only("constant", amount_schema()));
  for (const Family& family : families()) forms.push_back(only(family.name, family_schema(family)));
  forms.push_back(only("discrete", weighted));
  forms.push_back(only("empirical", {{"anyOf", {numbers, values}}}));
  return {{"description", "a random number"}, {"anyOf", forms}};
}

Json fitted_schema() {
  Json schema = only("coefficients", {{"type", "string"}});
  schema["description"] = "an entry of a file that `kisim calibrate` has written";
  schema["properties"]["key"] = {{"type", "string"}};
  return schema;
}

std::string type_name(const Field& field) {
  if (field.whole) return "integer";
  if (std::holds_alternative<Distribution*>(field.target) ||
      std::holds_alternative<std::optional<Distribution>*>(field.target))
    return std::string("random ") + unit_text(field.base).name;
  if (field.is_number() || std::holds_alternative<std::map<std::string, double>*>(field.target))
    return unit_text(field.base).name;
  if (std::holds_alternative<std::vector<int32_t>*>(field.target)) return "integers";
  if (std::holds_alternative<std::vector<double>*>(field.target)) return "numbers";
  if (std::holds_alternative<std::map<std::string, bool>*>(field.target)) return "boolean";
  if (std::holds_alternative<bool*>(field.target) || std::holds_alternative<std::optional<bool>*>(field.target))
    return "boolean";
  if (std::holds_alternative<std::vector<std::string>*>(field.target)) return "texts";
  if (std::holds_alternative<Labels*>(field.target)) return "labels";
  if (std::holds_alternative<Value*>(field.target)) return "file name";
  if (std::holds_alternative<std::vector<Value>*>(field.target)) return "file names";
  return "text";
}

bool is_map(const Field& field) {
  return std::holds_alternative<std::map<std::string, double>*>(field.target) ||
         std::holds_alternative<std::map<std::string, bool>*>(field.target);
}

void list_fields(const Fields& fields, const std::string& path, std::vector<FieldDoc>& out) {
  for (const Field& field : fields.list) {
    std::string name = path.empty() ? field.name : path + "." + field.name;
    const Nested* nested = std::get_if<Nested>(&field.target);
    if (!nested) {
      if (is_map(field)) name += ".<name>";
      out.push_back({name, type_name(field), default_text(field), field.allowed_text(), field.doc});
      continue;
    }
    if (!nested->words.empty())
      out.push_back(
          {name, "text", nested->words[0], fmt::format("{} or a mapping", fmt::join(nested->words, ", ")), field.doc});
    if (nested->shape == Nested::Shape::ByName) name += ".<name>";
    if (nested->shape == Nested::Shape::List) name += "[]";
    list_fields(nested->open("", SourceMark()), name, out);
  }
}

}  // namespace

std::string scenario_schema() {
  ScenarioDraft draft;
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "kisim Scenario"}};
  schema.update(object_schema(declare(draft)));
  schema["definitions"] = {{"distribution", distribution_schema()}, {"fitted", fitted_schema()}};
  return schema.dump(2) + "\n";
}

std::vector<FieldDoc> scenario_fields() {
  ScenarioDraft draft;
  std::vector<FieldDoc> fields;
  list_fields(declare(draft), "", fields);
  return fields;
}

}  // namespace kisim
