#pragma once
// How Kubernetes words what is wrong with a field (apimachinery, util/validation/field/errors.go).

#include "io/value.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// What was found, as JSON on one line; "" stands for a field that is absent.
std::string shown_value(const Value* value);

// `shown` is a shown_value(), a quote() text or a plain number. `detail` may be empty.
std::string invalid_value(const std::string& shown, const std::string& detail);
std::string duplicate_value(const std::string& shown);
std::string unsupported_value(const std::string& shown, const std::vector<std::string_view>& supported);
std::string required_value(const std::string& detail = {});
std::string forbidden_value(const std::string& detail);

}  // namespace kisim
