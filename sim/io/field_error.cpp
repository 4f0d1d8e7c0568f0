#include "io/field_error.hpp"

#include <charconv>

namespace kisim {

namespace {

constexpr size_t kShownLength = 200;

std::string with_detail(std::string text, const std::string& detail) {
  return detail.empty() ? text : text + ": " + detail;
}

// A scalar that JSON writes without quotes.
bool is_bare(const Value& value) {
  if (value.quoted) return false;
  if (value.text == "true" || value.text == "false") return true;
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  auto [stop, error] = std::from_chars(value.text.data(), end, number);
  return stop == end && error != std::errc::invalid_argument;
}

void write_json(const Value& value, std::string& out) {
  switch (value.kind) {
    case Value::Kind::Null:
      out += "null";
      return;
    case Value::Kind::Scalar:
      out += is_bare(value) ? value.text : quote(value.text);
      return;
    case Value::Kind::Sequence:
      for (const Value& item : value.items) {
        out += &item == &value.items.front() ? '[' : ',';
        write_json(item, out);
      }
      out += value.items.empty() ? "[]" : "]";
      return;
    case Value::Kind::Mapping:
      for (const Value::Member& member : value.members) {
        out += &member == &value.members.front() ? '{' : ',';
        out += quote(member.key) + ':';
        write_json(member.value, out);
      }
      out += value.members.empty() ? "{}" : "}";
      return;
  }
}

// Not in the middle of a UTF-8 sequence.
void shorten(std::string& text) {
  if (text.size() <= kShownLength) return;
  size_t end = kShownLength;
  while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  text += "…";
}

}  // namespace

std::string shown_value(const Value* value) {
  if (!value) return "\"\"";
  std::string out;
  write_json(*value, out);
  shorten(out);
  return out;
}

std::string invalid_value(const std::string& shown, const std::string& detail) {
  return with_detail("Invalid value: " + shown, detail);
}

std::string duplicate_value(const std::string& shown) { return "Duplicate value: " + shown; }

std::string unsupported_value(const std::string& shown, const std::vector<std::string_view>& supported) {
  std::string list;
  for (std::string_view name : supported) list += (list.empty() ? "" : ", ") + quote(name);
  return with_detail("Unsupported value: " + shown, "supported values: " + list);
}

std::string required_value(const std::string& detail) { return with_detail("Required value", detail); }

std::string forbidden_value(const std::string& detail) { return with_detail("Forbidden", detail); }

}  // namespace kisim
