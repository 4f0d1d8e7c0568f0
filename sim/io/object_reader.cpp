#include "io/object_reader.hpp"

#include <algorithm>
#include <charconv>

namespace kisim {

namespace {

bool is_boolean(const Value& value) { return !value.quoted && (value.text == "true" || value.text == "false"); }

bool looks_numeric(const std::string& text) {
  double number = 0;
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+');
  auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  return end == text.data() + text.size() && error != std::errc::invalid_argument;
}

// Whether a field says something: not null, false, zero or empty.
bool says_something(const Value& value) {
  switch (value.kind) {
    case Value::Kind::Null:
      return false;
    case Value::Kind::Scalar:
      return !value.text.empty() && value.text != "false" && value.text != "0";
    case Value::Kind::Sequence:
      return !value.items.empty();
    case Value::Kind::Mapping:
      return !value.members.empty();
  }
  return false;
}

std::string join(std::initializer_list<std::string_view> names) {
  std::string out;
  for (std::string_view name : names) {
    if (!out.empty()) out += ", ";
    out += name;
  }
  return out;
}

// spec.containers[3].image -> spec.containers[].image, so that the same mistake in many items counts as one.
std::string without_indices(const std::string& path) {
  std::string out;
  bool inside = false;
  for (char c : path) {
    if (c == ']') inside = false;
    if (!inside) out += c;
    if (c == '[') inside = true;
  }
  return out;
}

}  // namespace

void ObjectContext::ignore(const SourceMark& mark, const std::string& field, const std::string& what) {
  std::string general = without_indices(field);
  for (Ignored& known : out.ignored)
    if (known.what == what && without_indices(known.field) == general) return void(++known.count);
  out.ignored.push_back({what, field, mark, 1});
}

std::string found_allowed(const Value& value, const std::string& allowed) {
  return "found " + value.describe() + ", allowed: " + allowed;
}

bool is_text(const Value& value) {
  if (value.kind != Value::Kind::Scalar) return false;
  return value.quoted || (!is_boolean(value) && !looks_numeric(value.text));
}

std::optional<Quantity> read_quantity(ObjectContext& context, const Value& value, const std::string& path) {
  if (value.kind != Value::Kind::Scalar) {
    context.error(value.mark(), path, found_allowed(value, "a quantity such as 500m, 2 or 16Gi"));
    return std::nullopt;
  }
  const char* problem = nullptr;
  std::optional<Quantity> quantity = Quantity::parse(value.text, &problem);
  if (!quantity) context.error(value.mark(), path, "found " + value.describe() + ": " + problem);
  return quantity;
}

ObjectReader::ObjectReader(ObjectContext& context, const Value* value, std::string path, SourceMark mark)
    : context_(context), value_(value), path_(std::move(path)), mark_(std::move(mark)) {
  if (!value_ || value_->kind == Value::Kind::Mapping) return;
  if (value_->kind != Value::Kind::Null) context_.error(value_->mark(), path_, found_allowed(*value_, "a mapping"));
  value_ = nullptr;
}

std::string ObjectReader::path(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  return key.empty() ? path_ : path_ + "." + std::string(key);
}

const Value* ObjectReader::find(std::string_view key) {
  known_.emplace_back(key);
  if (!value_) return nullptr;
  for (const Value::Member& member : value_->members)
    if (member.key == key) return member.value.kind == Value::Kind::Null ? nullptr : &member.value;
  return nullptr;
}

SourceMark ObjectReader::mark_of(std::string_view key) const {
  if (value_)
    for (const Value::Member& member : value_->members)
      if (member.key == key) return member.value.mark();
  return mark_;
}

void ObjectReader::error(std::string_view key, const std::string& message) {
  context_.error(mark_of(key), path(key), message);
}

std::string ObjectReader::text(std::string_view key) {
  const Value* value = find(key);
  if (!value) return {};
  if (is_text(*value)) return value->text;
  std::string hint = value->kind == Value::Kind::Scalar ? ", in quotes: \"" + value->text + "\"" : "";
  error(key, found_allowed(*value, "a text" + hint));
  return {};
}

std::optional<int64_t> ObjectReader::integer(std::string_view key, int64_t min, int64_t max) {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  int64_t number = 0;
  const char* end = value->text.data() + value->text.size();
  auto [stop, problem] = std::from_chars(value->text.data(), end, number);
  bool is_integer = value->kind == Value::Kind::Scalar && !value->quoted && problem == std::errc{} && stop == end;
  if (is_integer && number >= min && number <= max) return number;
  std::string allowed = max == INT32_MAX || max == INT64_MAX ? fmt::format("an integer of at least {}", min)
                                                             : fmt::format("an integer from {} to {}", min, max);
  error(key, found_allowed(*value, allowed));
  return std::nullopt;
}

void ObjectReader::integer(std::string_view key, int64_t min, int64_t max, int32_t& out) {
  if (std::optional<int64_t> number = integer(key, min, max)) out = static_cast<int32_t>(*number);
}

bool ObjectReader::flag(std::string_view key) {
  const Value* value = find(key);
  if (!value) return false;
  if (value->kind != Value::Kind::Scalar || !is_boolean(*value)) {
    error(key, found_allowed(*value, "true, false"));
    return false;
  }
  return value->text == "true";
}

void ObjectReader::seconds(std::string_view key, int64_t min, int64_t max, Duration& out) {
  if (std::optional<int64_t> number = integer(key, min, max)) out = {*number * 1'000'000'000};
}

std::optional<Quantity> ObjectReader::quantity(std::string_view key) {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  return read_quantity(context_, *value, path(key));
}

std::vector<std::string> ObjectReader::texts(std::string_view key) {
  std::vector<std::string> out;
  const Value* list = find(key);
  if (!list) return out;
  if (list->kind != Value::Kind::Sequence) {
    error(key, found_allowed(*list, "a list of texts"));
    return out;
  }
  for (size_t i = 0; i < list->items.size(); ++i) {
    const Value& item = list->items[i];
    if (is_text(item))
      out.push_back(item.text);
    else
      context_.error(item.mark(), fmt::format("{}[{}]", path(key), i), found_allowed(item, "a text (quote numbers)"));
  }
  return out;
}

ObjectReader ObjectReader::object(std::string_view key) {
  const Value* value = find(key);
  return ObjectReader(context_, value, path(key), value ? value->mark() : mark_);
}

std::vector<ObjectReader> ObjectReader::objects(std::string_view key) {
  std::vector<ObjectReader> out;
  const Value* list = find(key);
  if (!list) return out;
  if (list->kind != Value::Kind::Sequence) {
    error(key, found_allowed(*list, "a list"));
    return out;
  }
  for (size_t i = 0; i < list->items.size(); ++i)
    out.emplace_back(context_, list->items[i], fmt::format("{}[{}]", path(key), i));
  return out;
}

Labels ObjectReader::texts_by_key(std::string_view key) {
  Labels out;
  const Value* map = find(key);
  if (!map) return out;
  if (map->kind != Value::Kind::Mapping) {
    error(key, found_allowed(*map, "a mapping of texts"));
    return out;
  }
  for (const Value::Member& member : map->members) {
    const Value& value = member.value;
    if (is_text(value) || value.kind == Value::Kind::Null)
      out.emplace_back(member.key, value.text);
    else
      context_.error(value.mark(), path(key) + "." + member.key, found_allowed(value, "a text (quote numbers)"));
  }
  std::sort(out.begin(), out.end());
  return out;
}

int ObjectReader::choose(std::string_view key, std::initializer_list<std::string_view> names, bool optional) {
  const Value* value = find(key);
  if (!value || (value->kind == Value::Kind::Scalar && value->text.empty())) {
    if (!optional) error(key, "missing, allowed: " + join(names));
    return -1;
  }
  auto at = std::find(names.begin(), names.end(), std::string_view(value->text));
  if (value->kind == Value::Kind::Scalar && at != names.end()) return static_cast<int>(at - names.begin());
  error(key, found_allowed(*value, join(names)));
  return -1;
}

void ObjectReader::harmless(std::initializer_list<std::string_view> keys) {
  known_.insert(known_.end(), keys.begin(), keys.end());
}

void ObjectReader::unmodelled(std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) {
    const Value* value = find(key);
    if (value && says_something(*value)) context_.ignore(mark_of(key), path(key), "not modelled, ignored");
  }
}

void ObjectReader::finish() {
  if (!value_) return;
  for (const Value::Member& member : value_->members) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    std::string near = closest(member.key, known_);
    SourceMark at = member.value.mark();
    at.line = member.line, at.column = member.column;
    context_.ignore(at, path(member.key), "unknown field" + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
}

}  // namespace kisim
