#pragma once
// Language models as data sets name them.

#include <string>

namespace kisim {

// The name that the catalogue has, or would have, of a model on a hub: without the organisation, in lower case, and
// without what leaves the architecture as it is (Instruct, FP8, dates, versions):
// "meta-llama/Llama-3.1-405B-Instruct-FP8" → "llama-3.1-405b".
std::string catalogue_name(const std::string& repository);

}  // namespace kisim
