#include "io/object_reader.hpp"

#include "io/field_error.hpp"

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

void ObjectContext::ignore(const SourceMark& mark, const std::string& field, const std::string& what,
                           Severity severity) {
  std::string general = without_indices(field);
  for (Ignored& known : ignored)
    if (known.what == what && without_indices(known.field) == general) return void(++known.count);
  ignored.push_back({what, field, mark, 1, severity});
}

void tell_ignored(Diagnostics& diagnostics, const std::vector<Ignored>& ignored) {
  for (const Ignored& i : ignored) {
    std::string message = i.what;
    if (i.field.empty())
      message += fmt::format(": {} {} ignored", i.count, i.count == 1 ? "object" : "objects");
    else if (i.count > 1)
      message += fmt::format(" ({} times)", i.count);
    if (i.severity == Severity::Note)
      diagnostics.note(i.mark, i.field, message);
    else
      diagnostics.warn(i.mark, i.field, message);
  }
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
  if (!quantity) context.error(value.mark(), path, invalid_value(quote(value.text), problem));
  return quantity;
}

ObjectReader::ObjectReader(ObjectContext& context, const Value* value, std::string path, SourceMark mark)
    : context_(context), value_(value), path_(std::move(path)), mark_(std::move(mark)) {
  if (!value_ || value_->kind == Value::Kind::Mapping) return;
  if (value_->kind != Value::Kind::Null) context_.error(value_->mark(), path_, found_allowed(*value_, "a mapping"));
  value_ = nullptr;
}

std::string ObjectReader::shown() const { return shown_value(value_); }

std::string ObjectReader::path(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  return key.empty() ? path_ : path_ + "." + std::string(key);
}

std::string ObjectReader::path(std::string_view key, size_t index) const {
  return fmt::format("{}[{}]", path(key), index);
}

const Value* ObjectReader::find(std::string_view key) {
  known_.emplace_back(key);
  const Value* value = look(key);
  return value && value->kind != Value::Kind::Null ? value : nullptr;
}

const Value* ObjectReader::look(std::string_view key) const {
  if (!value_ || key.empty()) return value_;
  for (const Value::Member& member : value_->members)
    if (member.key == key) return &member.value;
  return nullptr;
}

const Value* ObjectReader::look(std::string_view key, size_t index) const {
  const Value* list = look(key);
  return list && index < list->items.size() ? &list->items[index] : list;
}

SourceMark ObjectReader::mark_of(std::string_view key) const {
  const Value* value = key.empty() ? nullptr : look(key);
  return value ? value->mark() : mark_;
}

void ObjectReader::error(std::string_view key, const std::string& message) {
  context_.error(mark_of(key), path(key), message);
}

void ObjectReader::required(std::string_view key, const std::string& detail) { error(key, required_value(detail)); }

void ObjectReader::invalid(std::string_view key, const std::string& detail) {
  error(key, invalid_value(shown_value(look(key)), detail));
}

void ObjectReader::forbidden(std::string_view key, const std::string& detail) { error(key, forbidden_value(detail)); }

void ObjectReader::duplicate(std::string_view key, const std::string& shown) { error(key, duplicate_value(shown)); }

void ObjectReader::invalid_item(std::string_view key, size_t index, const std::string& detail) {
  const Value* item = look(key, index);
  context_.error(item ? item->mark() : mark_, path(key, index), invalid_value(shown_value(item), detail));
}

void ObjectReader::check_name(std::string_view key, const std::string& name, NameRule rule) {
  for (const std::string& problem : rule(name)) error(key, invalid_value(quote(name), problem));
}

void ObjectReader::check_names(std::string_view key, const std::vector<std::string>& names, NameRule rule) {
  for (size_t i = 0; i < names.size(); ++i)
    for (const std::string& problem : rule(names[i])) invalid_item(key, i, problem);
}

std::string ObjectReader::text(std::string_view key) {
  const Value* value = find(key);
  if (!value) return {};
  if (is_text(*value)) return value->text;
  std::string hint = value->kind == Value::Kind::Scalar ? ", in quotes: \"" + value->text + "\"" : "";
  error(key, found_allowed(*value, "a text" + hint));
  return {};
}

std::optional<int64_t> ObjectReader::integer(std::string_view key, int64_t min, int64_t max, const char* reason) {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  int64_t number = 0;
  const char* end = value->text.data() + value->text.size();
  auto [stop, problem] = std::from_chars(value->text.data(), end, number);
  bool is_integer = value->kind == Value::Kind::Scalar && !value->quoted && problem == std::errc{} && stop == end;
  if (!is_integer) {
    error(key, found_allowed(*value, "an integer"));
    return std::nullopt;
  }
  if (number >= min && number <= max) return number;
  // What does not fit the field's type has broken no rule of the field.
  bool fits_type = number < min || max < INT32_MAX;
  std::string range = number < min ? fmt::format("must be greater than or equal to {}", min)
                                   : fmt::format("must be less than or equal to {}", max);
  invalid(key, reason && fits_type ? reason : range);
  return std::nullopt;
}

void ObjectReader::integer(std::string_view key, int64_t min, int64_t max, int32_t& out, const char* reason) {
  if (std::optional<int64_t> number = integer(key, min, max, reason)) out = static_cast<int32_t>(*number);
}

void ObjectReader::integer(std::string_view key, int64_t min, int64_t max, std::optional<int32_t>& out) {
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

void ObjectReader::seconds(std::string_view key, int64_t min, int64_t max, Duration& out, const char* reason) {
  if (std::optional<int64_t> number = integer(key, min, max, reason)) out = {*number * 1'000'000'000};
}

void ObjectReader::seconds(std::string_view key, int64_t min, int64_t max, std::optional<Duration>& out) {
  if (std::optional<int64_t> number = integer(key, min, max)) out = Duration{*number * 1'000'000'000};
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
      context_.error(item.mark(), path(key, i), found_allowed(item, "a text (quote numbers)"));
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
  for (size_t i = 0; i < list->items.size(); ++i) out.emplace_back(context_, list->items[i], path(key, i));
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

Labels ObjectReader::labels(std::string_view key) {
  Labels out = texts_by_key(key);
  for (const auto& [name, text] : out) {
    const SourceMark mark = look(key)->find(name)->mark();
    for (const std::string& problem : check_qualified_name(name))
      context_.error(mark, path(key), invalid_value(quote(name), problem));
    for (const std::string& problem : check_label_value(text))
      context_.error(mark, path(key), invalid_value(quote(text), problem));
  }
  return out;
}

int ObjectReader::choose(std::string_view key, std::initializer_list<std::string_view> names, ChoiceRule rule) {
  const Value* value = find(key);
  bool is_empty = !value || (value->kind == Value::Kind::Scalar && value->text.empty());
  if (is_empty && rule.absent == Absent::Required) required(key);
  if (is_empty && rule.absent != Absent::Unsupported) return -1;
  auto at = is_empty ? names.end() : std::find(names.begin(), names.end(), std::string_view(value->text));
  if (at != names.end() && value->kind == Value::Kind::Scalar) return static_cast<int>(at - names.begin());
  std::vector<std::string_view> supported(names);
  if (rule.sorted) std::sort(supported.begin(), supported.end());
  error(key, unsupported_value(shown_value(value), supported));
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
    std::string hint = near.empty() ? "" : "; did you mean " + near + "?";
    SourceMark at = member.value.mark();
    at.line = member.line, at.column = member.column;
    if (context_.strict_decoding)
      context_.error(at, "", "strict decoding error: unknown field " + quote(path(member.key)) + hint);
    else
      context_.ignore(at, path(member.key), "unknown field" + hint);
  }
}

}  // namespace kisim
