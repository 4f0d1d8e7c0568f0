#include "io/kube_names.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace kisim {

namespace {

constexpr size_t kLabelLength = 63, kSubdomainLength = 253;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }

// [A-Za-z0-9] at both ends, '-', '_' and '.' between, any length but 0.
bool is_name(std::string_view text) {
  if (text.empty() || !is_alphanumeric(text.front()) || !is_alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

// The same of [a-z0-9] and '-'.
bool is_label(std::string_view text) {
  if (text.empty() || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

bool is_subdomain(std::string_view text) {
  for (size_t dot; (dot = text.find('.')) != text.npos; text.remove_prefix(dot + 1))
    if (!is_label(text.substr(0, dot))) return false;
  return is_label(text);
}

std::string too_long(size_t most) { return fmt::format("must be no more than {} characters", most); }

NameProblems check_length(std::string_view text, size_t most) {
  return text.size() > most ? NameProblems{too_long(most)} : NameProblems{};
}

constexpr const char* kNameProblem =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

}  // namespace

NameProblems check_dns1123_label(std::string_view text) {
  NameProblems out = check_length(text, kLabelLength);
  if (is_label(text)) return out;
  out.push_back(is_subdomain(text)
                    ? "must not contain dots"
                    : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
                      "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
                      "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
  return out;
}

NameProblems check_dns1123_subdomain(std::string_view text) {
  NameProblems out = check_length(text, kSubdomainLength);
  if (!is_subdomain(text))
    out.push_back(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
  return out;
}

NameProblems check_dns1035_label(std::string_view text) {
  NameProblems out = check_length(text, kLabelLength);
  if (!is_label(text) || !is_lower(text.front()))
    out.push_back(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        "is '[a-z]([-a-z0-9]*[a-z0-9])?')");
  return out;
}

NameProblems check_qualified_name(std::string_view text) {
  NameProblems out;
  size_t slash = text.find('/');
  if (slash != text.npos && text.find('/', slash + 1) != text.npos)
    return {fmt::format("a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                        kNameProblem)};
  std::string_view name = slash == text.npos ? text : text.substr(slash + 1);
  if (slash == 0) out.push_back("prefix part must be non-empty");
  if (slash != text.npos && slash > 0)
    for (const std::string& problem : check_dns1123_subdomain(text.substr(0, slash)))
      out.push_back("prefix part " + problem);
  if (name.empty())
    out.push_back("name part must be non-empty");
  else if (name.size() > kLabelLength)
    out.push_back("name part " + too_long(kLabelLength));
  if (!is_name(name)) out.push_back(fmt::format("name part {}", kNameProblem));
  return out;
}

NameProblems check_label_value(std::string_view text) {
  NameProblems out = check_length(text, kLabelLength);
  if (!text.empty() && !is_name(text))
    out.push_back(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
        "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
  return out;
}

NameProblems check_percent(std::string_view text) {
  bool digits = text.size() > 1 && text.back() == '%' && std::all_of(text.begin(), text.end() - 1, is_digit);
  if (digits) return {};
  return {
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
      "validation is '[0-9]+%')"};
}

}  // namespace kisim
