#pragma once
// What LimitRanges do to pods when they are created (plugin/pkg/admission/limitranger), in the API server's words.

#include "cluster/objects.hpp"

#include <string>

namespace kisim {

// Gives every container the default requests and limits for what it does not say.
void set_limit_defaults(const LimitRange& range, PodSpec& pod);

// What the pod breaks of the range: "minimum cpu usage per Container is 100m, but request is 50m", several as
// "[a, b]". Empty if it keeps to all of it.
std::string limit_violations(const LimitRange& range, const PodSpec& pod);

// What defaults have made wrong that was right as written: a request beyond the limit beside it. Empty if nothing.
std::string invalid_resources(const PodSpec& pod);

}  // namespace kisim
