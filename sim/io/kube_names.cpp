#include "io/kube_names.hpp"

#include <algorithm>

namespace kisim {

namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }

// The name part of a qualified name, and a label's value that is not empty.
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alphanumeric(text.front()) || !is_alphanumeric(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_label_text(std::string_view text) {
  if (text.empty() || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
}

}  // namespace

bool is_dns1123_label(std::string_view text) { return text.size() <= 63 && is_label_text(text); }

bool is_dns1123_subdomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (size_t dot; (dot = text.find('.')) != text.npos; text.remove_prefix(dot + 1))
    if (!is_label_text(text.substr(0, dot))) return false;
  return is_label_text(text);
}

bool is_dns1035_label(std::string_view text) { return is_dns1123_label(text) && is_lower(text.front()); }

bool is_qualified_name(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == text.npos) return is_name(text);
  return is_dns1123_subdomain(text.substr(0, slash)) && is_name(text.substr(slash + 1));
}

bool is_label_value(std::string_view text) { return text.empty() || is_name(text); }

}  // namespace kisim
