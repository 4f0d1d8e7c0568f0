#include "io/field_reader.hpp"

#include "core/hash.hpp"
#include "io/families.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim {

namespace {

using Kind = Value::Kind;

std::string join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

std::string item_path(const std::string& path, size_t index) { return fmt::format("{}[{}]", path, index); }

bool is_distribution(const Value& value) { return value.members.size() == 1 && is_family(value.members[0].key); }

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

void FieldReader::complain(const Value& value, const std::string& path, const std::string& allowed) {
  diagnostics_.error(value.mark(), path, fmt::format("found {}, allowed: {}", value.describe(), allowed));
}

void FieldReader::read(const Value& mapping, const std::string& path, const Fields& fields) {
  if (mapping.kind != Kind::Mapping)
    return complain(mapping, path, "a mapping of " + fmt::format("{}", fmt::join(fields.names(), ", ")));
  // In the order of the declaration, so that the document's order never matters.
  for (const Field& field : fields.list) {
    const Value* value = mapping.find(field.name);
    if (value && value->kind != Kind::Null)
      read_field(*value, join(path, field.name), field);
    else if (field.needed && value)
      complain(*value, join(path, field.name), field.allowed_text());
    else if (field.needed)
      diagnostics_.error(mapping.mark(), join(path, field.name), "missing, needed: " + field.allowed_text());
  }
  for (const Value::Member& member : mapping.members) {
    if (fields.find(member.key)) continue;
    if (fields.others)
      read_other(member, join(path, member.key), *fields.others);
    else
      warn_unknown(member, join(path, member.key), fields);
  }
}

void FieldReader::warn_unknown(const Value::Member& member, const std::string& path, const Fields& fields) {
  SourceMark mark = member.value.mark();
  mark.line = member.line;
  mark.column = member.column;
  std::string hint = closest(member.key, fields.names());
  diagnostics_.warn(mark, path,
                    hint.empty() ? fmt::format("unknown field, allowed: {}", fmt::join(fields.names(), ", "))
                                 : fmt::format("unknown field (did you mean '{}'?)", hint));
}

void FieldReader::read_field(const Value& value, const std::string& path, const Field& field) {
  std::visit([&](const auto& target) { fill(target, value, path, field); }, field.target);
}

void FieldReader::read_other(const Value::Member& member, const std::string& path,
                             std::map<std::string, std::string>& others) {
  if (member.value.kind != Kind::Scalar) return complain(member.value, path, "a number or text");
  others[member.key] = member.value.text;
}

void FieldReader::fill(int32_t* target, const Value& value, const std::string& path, const Field& field) {
  if (auto x = number(value, path, field)) *target = static_cast<int32_t>(*x);
}

void FieldReader::fill(uint64_t* target, const Value& value, const std::string& path, const Field& field) {
  uint64_t parsed = 0;
  const char* end = value.text.data() + value.text.size();
  auto result = std::from_chars(value.text.data(), end, parsed);
  bool ok = value.kind == Kind::Scalar && !value.quoted && result.ec == std::errc() && result.ptr == end;
  if (!ok) return complain(value, path, field.allowed_text() + " and below 2^64");
  *target = parsed;
}

void FieldReader::fill(double* target, const Value& value, const std::string& path, const Field& field) {
  if (auto x = number(value, path, field)) *target = *x;
}

void FieldReader::fill(std::optional<double>* target, const Value& value, const std::string& path, const Field& field) {
  if (auto x = number(value, path, field)) *target = x;
}

void FieldReader::fill(bool* target, const Value& value, const std::string& path, const Field& field) {
  if (auto x = boolean(value, path, field)) *target = *x;
}

void FieldReader::fill(std::optional<bool>* target, const Value& value, const std::string& path, const Field& field) {
  if (auto flag = boolean(value, path, field)) *target = flag;
}

void FieldReader::fill(Duration* target, const Value& value, const std::string& path, const Field& field) {
  if (auto x = number(value, path, field)) *target = Duration::seconds(*x);
}

void FieldReader::fill(std::optional<Duration>* target, const Value& value, const std::string& path,
                       const Field& field) {
  if (value.kind == Kind::Scalar && contains(field.choices, value.text)) return target->reset();
  if (auto x = number(value, path, field)) *target = Duration::seconds(*x);
}

void FieldReader::fill(Distribution* target, const Value& value, const std::string& path, const Field& field) {
  if (auto d = amount_or_distribution(value, path, field)) *target = std::move(*d);
}

void FieldReader::fill(std::optional<Distribution>* target, const Value& value, const std::string& path,
                       const Field& field) {
  if (auto d = amount_or_distribution(value, path, field)) *target = std::move(*d);
}

void FieldReader::fill(std::string* target, const Value& value, const std::string& path, const Field& field) {
  if (value.kind != Kind::Scalar) return complain(value, path, field.allowed_text());
  if (!field.choices.empty() && !contains(field.choices, value.text))
    return diagnostics_.error(value.mark(), path, not_allowed(value.text, field.choices));
  *target = value.text;
}

void FieldReader::fill(std::vector<std::string>* target, const Value& value, const std::string& path,
                       const Field& field) {
  if (value.kind == Kind::Mapping) return complain(value, path, field.allowed_text());
  target->clear();
  const bool is_list = value.kind == Kind::Sequence;
  for (size_t i = 0; i < (is_list ? value.items.size() : 1); i++) {
    std::string text;
    fill(&text, is_list ? value.items[i] : value, is_list ? item_path(path, i) : path, field);
    target->push_back(std::move(text));
  }
}

void FieldReader::fill(Value* target, const Value& value, const std::string& path, const Field& field) {
  bool file_name = value.kind == Kind::Scalar && !value.text.empty();
  if (!file_name && !(field.mapping && value.kind == Kind::Mapping)) return complain(value, path, field.allowed_text());
  *target = value;
}

void FieldReader::fill(Labels* target, const Value& value, const std::string& path, const Field& field) {
  if (value.kind != Kind::Mapping) return complain(value, path, field.allowed_text());
  for (const Value::Member& member : value.members) {
    if (member.value.kind != Kind::Scalar) return complain(member.value, join(path, member.key), "text");
    target->emplace_back(member.key, member.value.text);
  }
  std::sort(target->begin(), target->end());
}

void FieldReader::fill(std::map<std::string, double>* target, const Value& value, const std::string& path,
                       const Field& field) {
  if (value.kind != Kind::Mapping) return complain(value, path, "a mapping of names to " + field.allowed_text());
  for (const Value::Member& member : value.members)
    if (auto x = number(member.value, join(path, member.key), field)) (*target)[member.key] = *x;
}

void FieldReader::fill(std::map<std::string, bool>* target, const Value& value, const std::string& path,
                       const Field& field) {
  if (value.kind != Kind::Mapping) return complain(value, path, "a mapping of names to " + field.allowed_text());
  for (const Value::Member& member : value.members)
    if (auto x = boolean(member.value, join(path, member.key), field)) (*target)[member.key] = *x;
}

void FieldReader::fill(std::vector<int32_t>* target, const Value& value, const std::string& path, const Field& field) {
  if (value.kind != Kind::Sequence) return complain(value, path, field.allowed_text());
  Field item{field.name, target, field.doc};
  item.min(field.least).max(field.most).integer();
  for (size_t i = 0; i < value.items.size(); i++)
    if (auto x = number(value.items[i], item_path(path, i), item)) target->push_back(static_cast<int32_t>(*x));
}

void FieldReader::fill(std::vector<double>* target, const Value& value, const std::string& path, const Field& field) {
  auto add = [&](const Value& item, const std::string& at) {
    if (auto x = number(item, at, field)) target->push_back(*x);
  };
  if (value.kind != Kind::Sequence) return add(value, path);
  for (size_t i = 0; i < value.items.size(); i++) add(value.items[i], item_path(path, i));
}

void FieldReader::fill(std::vector<Value>* target, const Value& value, const std::string& path, const Field& field) {
  if (value.kind == Kind::Mapping && !field.mapping) return complain(value, path, field.allowed_text());
  if (value.kind != Kind::Sequence) return target->push_back(value);
  for (size_t i = 0; i < value.items.size(); i++) {
    const Value& item = value.items[i];
    if (item.kind == Kind::Scalar || item.kind == Kind::Mapping)
      target->push_back(item);
    else
      complain(item, item_path(path, i), "a file name or a mapping");
  }
}

void FieldReader::fill(const Nested& nested, const Value& value, const std::string& path, const Field&) {
  switch (nested.shape) {
    case Nested::Shape::One:
      return read_entry(nested, "", value, path);
    case Nested::Shape::OneOf:
      return read_one_of(nested.open("", value.mark()), value, path);
    case Nested::Shape::ByName:
      if (value.kind != Kind::Mapping) return complain(value, path, "a mapping of names");
      for (const Value::Member& member : value.members) {
        if (member.key.empty())
          complain(value, path, "names that are not empty");
        else
          read_entry(nested, member.key, member.value, join(path, member.key));
      }
      return;
    case Nested::Shape::List:
      if (value.kind != Kind::Sequence) return complain(value, path, "a list of mappings");
      for (size_t i = 0; i < value.items.size(); i++) read_entry(nested, "", value.items[i], item_path(path, i));
      return;
  }
}

void FieldReader::read_word(const Nested& nested, const Value& value, const std::string& path) {
  std::vector<std::string> allowed = nested.words;
  allowed.push_back("a mapping");
  if (contains(nested.words, value.text))
    nested.open(value.text, value.mark());
  else
    diagnostics_.error(value.mark(), path, not_allowed(value.text, allowed));
}

void FieldReader::read_entry(const Nested& nested, const std::string& name, const Value& value,
                             const std::string& path) {
  if (!nested.words.empty() && value.kind == Kind::Scalar) return read_word(nested, value, path);
  Fields fields = nested.open(name, value.mark());
  const Field* shorthand = nested.shorthand.empty() ? nullptr : fields.find(nested.shorthand);
  bool whole = value.kind == Kind::Mapping && !(shorthand && shorthand->is_number() && is_distribution(value));
  if (!shorthand || whole) return read(value, path, fields);
  read_field(value, path, *shorthand);
}

void FieldReader::read_one_of(const Fields& fields, const Value& value, const std::string& path) {
  std::string names = fmt::format("{}", fmt::join(fields.names(), ", "));
  if (value.kind != Kind::Mapping) return complain(value, path, "a mapping with one of " + names);
  if (value.members.size() != 1)
    return diagnostics_.error(value.mark(), path,
                              fmt::format("found {} fields, allowed: exactly one of {}", value.members.size(), names));
  const Value::Member& member = value.members[0];
  const Field* field = fields.find(member.key);
  if (!field) return diagnostics_.error(member.value.mark(), path, not_allowed(member.key, fields.names()));
  read_field(member.value, join(path, member.key), *field);
}

std::optional<double> FieldReader::number(const Value& value, const std::string& path, const Field& field) {
  if (value.kind != Kind::Mapping || field.fixed) return amount(value, path, field);
  auto drawn_from = distribution(value, path, field);
  if (!drawn_from) return {};
  Stream stream(seed_, hash_text("Field/" + path), Purpose::Field);
  double x = drawn_from->clamped(field.least, field.most).draw(stream);
  if (field.whole) x = std::nearbyint(x);
  if (field.allows(x)) return x;
  diagnostics_.error(value.mark(), path,
                     fmt::format("drew {} from {}, allowed: {}", x, drawn_from->text(), field.allowed_text()));
  return {};
}

std::optional<double> FieldReader::amount(const Value& value, const std::string& path, const Field& field) {
  auto x = value.kind == Kind::Scalar ? parse_amount(field.base, value.text) : std::nullopt;
  bool bare = x && value.quoted && parse_amount(Unit::None, value.text);
  bool ok = x && !bare && field.allows(*x) && (!field.whole || *x == std::floor(*x));
  if (ok) return x;
  std::string allowed = field.allowed_text();
  if (x && *x > field.most) allowed = "at most " + format_amount(field.base, field.most);
  diagnostics_.error(value.mark(), path,
                     fmt::format("found {}{}, allowed: {}", value.describe(), bare ? " in quotes" : "", allowed));
  return {};
}

std::optional<bool> FieldReader::boolean(const Value& value, const std::string& path, const Field& field) {
  const bool is_boolean = value.kind == Kind::Scalar && (value.text == "true" || value.text == "false");
  if (is_boolean && !value.quoted) return value.text == "true";
  complain(value, path, field.allowed_text() + (is_boolean ? ", without quotes" : ""));
  return {};
}

std::optional<Distribution> FieldReader::amount_or_distribution(const Value& value, const std::string& path,
                                                                const Field& field) {
  if (value.kind == Kind::Mapping) {
    auto drawn_from = distribution(value, path, field);
    return drawn_from ? std::optional(drawn_from->clamped(field.least, field.most)) : std::nullopt;
  }
  auto x = amount(value, path, field);
  return x ? std::optional(Distribution::constant(*x)) : std::nullopt;
}

std::optional<Distribution> FieldReader::distribution(const Value& value, const std::string& path, const Field& field) {
  if (!is_distribution(value)) {
    std::string names = fmt::format("{}", fmt::join(family_names(), ", "));
    bool one = value.members.size() == 1;
    if (one) diagnostics_.error(value.mark(), path, not_allowed(value.members[0].key, family_names()));
    if (!one) complain(value, path, field.allowed_text() + ", or a mapping with one of " + names);
    return {};
  }
  const Value::Member& family = value.members[0];
  std::string inner = join(path, family.key);
  if (family.key == "discrete" || family.key == "empirical") return by_values(family, inner, field);
  if (family.key != "constant") return by_parameters(family, inner, field);
  auto x = amount(family.value, inner, field);
  return x ? std::optional(Distribution::constant(*x)) : std::nullopt;
}

std::optional<Distribution> FieldReader::by_parameters(const Value::Member& member, const std::string& path,
                                                       const Field& field) {
  // Of the ways to write it, the one whose parameters are there.
  const Family* chosen = nullptr;
  for (const Family& family : families()) {
    if (family.name != member.key) continue;
    bool matches = std::all_of(family.parameters.begin(), family.parameters.end(),
                               [&](const Family::Parameter& p) { return member.value.find(p.name); });
    if (!chosen || matches) chosen = &family;
  }
  std::array<double, 2> parameters{};
  Diagnostics complaints(true);
  FieldReader(seed_, complaints).read(member.value, path, declare(*chosen, field, parameters));
  for (const Diagnostic& d : complaints.all()) diagnostics_.error(d.mark, d.field, d.message);
  if (complaints.has_errors()) return {};
  if (chosen->limits && parameters[0] > parameters[1]) {
    diagnostics_.error(member.value.mark(), path, "found min above max, allowed: min at most max");
    return {};
  }
  return chosen->make(parameters);
}

std::optional<Distribution> FieldReader::by_values(const Value::Member& family, const std::string& path,
                                                   const Field& field) {
  bool discrete = family.key == "discrete";
  const Value& holder = family.value;
  const Value* list = holder.kind == Kind::Sequence && !discrete ? &holder : holder.find("values");
  auto values = amounts(list, holder, list == &holder ? path : join(path, "values"), field);
  if (!values) return {};
  if (!discrete) return Distribution::empirical(std::move(*values));

  Field weight{"weights", field.target, ""};
  weight.min(0).max(1e15);
  auto weights = amounts(holder.find("weights"), holder, join(path, "weights"), weight);
  if (!weights) return {};
  double sum = 0;
  for (double w : *weights) sum += w;
  if (weights->size() == values->size() && sum > 0)
    return Distribution::discrete(std::move(*values), std::move(*weights));
  diagnostics_.error(holder.mark(), join(path, "weights"),
                     fmt::format("found {} weights with the sum {}, allowed: one per value ({}), with a sum above 0",
                                 weights->size(), sum, values->size()));
  return {};
}

std::optional<std::vector<double>> FieldReader::amounts(const Value* list, const Value& holder, const std::string& path,
                                                        const Field& field) {
  if (!list || list->kind != Kind::Sequence || list->items.empty()) {
    complain(list ? *list : holder, path, "a list of at least one number");
    return {};
  }
  std::vector<double> numbers;
  for (size_t i = 0; i < list->items.size(); i++)
    if (auto x = amount(list->items[i], item_path(path, i), field)) numbers.push_back(*x);
  return numbers.size() == list->items.size() ? std::optional(std::move(numbers)) : std::nullopt;
}

}  // namespace kisim
