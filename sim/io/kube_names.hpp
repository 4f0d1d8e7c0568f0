#pragma once
// Which names Kubernetes accepts, and what it says about the others (apimachinery, util/validation/validation.go).

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// What is wrong with a name, in Kubernetes' words; empty if nothing is.
using NameProblems = std::vector<std::string>;
using NameRule = NameProblems (*)(std::string_view);

NameProblems check_dns1123_label(std::string_view text);      // at most 63 of [a-z0-9-], ends alphanumeric
NameProblems check_dns1123_subdomain(std::string_view text);  // labels joined by dots, at most 253
NameProblems check_dns1035_label(std::string_view text);      // a label that begins with a letter
NameProblems check_qualified_name(std::string_view text);     // [subdomain/]name: keys of labels and taints, resources
NameProblems check_label_value(std::string_view text);        // may be empty
NameProblems check_percent(std::string_view text);            // digits and '%'

}  // namespace kisim
