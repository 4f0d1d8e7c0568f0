#pragma once
// Which names Kubernetes accepts (RFC 1123, RFC 1035, qualified names), and what to say about the others.

#include <string_view>

namespace kisim {

bool is_dns1123_label(std::string_view text);      // at most 63 of [a-z0-9-], ends alphanumeric
bool is_dns1123_subdomain(std::string_view text);  // labels joined by dots, at most 253
bool is_dns1035_label(std::string_view text);      // a label that begins with a letter
bool is_qualified_name(std::string_view text);     // [subdomain/]name: keys of labels and taints, resource names
bool is_label_value(std::string_view text);        // may be empty

}  // namespace kisim
