#include "io/declare.hpp"

namespace kisim {

namespace {

constexpr double kMaxInt = std::numeric_limits<int32_t>::max();

std::string kind_text(const Field& field) {
  if (field.whole) return "an integer";
  if (std::holds_alternative<std::vector<int32_t>*>(field.target)) return "a list of integers";
  if (std::holds_alternative<std::vector<double>*>(field.target)) return "a number or a list of numbers";
  if (field.is_number() || std::holds_alternative<std::map<std::string, double>*>(field.target))
    return unit_text(field.base).example;
  if (std::holds_alternative<Value*>(field.target)) return field.mapping ? "a file name or a mapping" : "a file name";
  if (std::holds_alternative<std::map<std::string, bool>*>(field.target)) return "true, false";
  if (std::holds_alternative<bool*>(field.target) || std::holds_alternative<std::optional<bool>*>(field.target))
    return "true, false";
  if (std::holds_alternative<std::vector<Value>*>(field.target))
    return field.mapping ? "file names or objects" : "a list of file names";
  if (std::holds_alternative<Labels*>(field.target)) return "a mapping of labels";
  if (std::holds_alternative<std::string*>(field.target)) return "text";
  if (std::holds_alternative<std::vector<std::string>*>(field.target)) return "a text or a list of texts";
  return "a mapping";
}

}  // namespace

Field& Field::in(Unit unit) {
  base = unit;
  least = 0;
  if (unit == Unit::Seconds) most = kLongest;
  return *this;
}

Field& Field::min(double value) { return least = value, *this; }
Field& Field::above(double value) { return least = value, exclusive = true, *this; }
Field& Field::max(double value) { return most = value, *this; }
Field& Field::one_of(std::vector<std::string> values) { return choices = std::move(values), *this; }
Field& Field::required() { return needed = true, *this; }
Field& Field::no_distribution() { return fixed = true, *this; }

Field& Field::integer() { return whole = true, *this; }
Field& Field::or_fitted() { return fitted = true, *this; }
Field& Field::or_mapping() { return mapping = true, *this; }

bool Field::is_number() const {
  return std::holds_alternative<int32_t*>(target) || std::holds_alternative<double*>(target) ||
         std::holds_alternative<std::optional<double>*>(target) || std::holds_alternative<Duration*>(target) ||
         std::holds_alternative<std::optional<Duration>*>(target) || std::holds_alternative<Distribution*>(target) ||
         std::holds_alternative<std::optional<Distribution>*>(target);
}

bool Field::allows(double value) const { return value <= most && (exclusive ? value > least : value >= least); }

std::string Field::allowed_text() const {
  std::string text;
  for (const std::string& choice : choices) text += (text.empty() ? "" : ", ") + choice;
  bool is_text =
      std::holds_alternative<std::string*>(target) || std::holds_alternative<std::vector<std::string>*>(target);
  if (is_text && !text.empty()) return text;
  if (!text.empty()) text += " or ";
  text += kind_text(*this);
  bool low = least > -std::numeric_limits<double>::infinity();
  // The end of the clock and of int32 go without saying.
  bool high = most < std::numeric_limits<double>::infinity() && most != kLongest && most != kMaxInt;
  if (low && high && !exclusive)
    return text + fmt::format(", from {} to {}", format_amount(base, least), format_amount(base, most));
  if (low) text += fmt::format(", {} {}", exclusive ? "more than" : "at least", format_amount(base, least));
  if (high) text += fmt::format(", at most {}", format_amount(base, most));
  return text;
}

Field& Fields::add(std::string name, Target target, std::string doc) {
  Field field{std::move(name), std::move(target), std::move(doc)};
  if (std::holds_alternative<int32_t*>(field.target)) field.integer().min(0).max(kMaxInt);
  if (std::holds_alternative<std::vector<int32_t>*>(field.target)) field.min(0).max(kMaxInt);
  if (std::holds_alternative<uint64_t*>(field.target)) field.integer().min(0);
  if (std::holds_alternative<Duration*>(field.target) || std::holds_alternative<std::optional<Duration>*>(field.target))
    field.in(Unit::Seconds);
  list.push_back(std::move(field));
  return list.back();
}

const Field* Fields::find(const std::string& name) const {
  for (const Field& field : list)
    if (field.name == name) return &field;
  return nullptr;
}

std::vector<std::string> Fields::names() const {
  std::vector<std::string> names;
  for (const Field& field : list) names.push_back(field.name);
  return names;
}

}  // namespace kisim
