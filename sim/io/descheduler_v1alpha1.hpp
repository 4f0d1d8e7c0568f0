#pragma once
// The strategies of descheduler/v1alpha1, for descheduler_policy.cpp.

#include "io/descheduler_args.hpp"

#include <string>

namespace kisim {

// The extension points of a registered plugin.
DeschedulerPlugin::Points descheduler_points(const std::string& plugin);

// The policy's fields beside kind and apiVersion.
void read_descheduler_v1alpha1(ObjectReader& root, const PriorityClasses& classes, DeschedulerPolicy& out);

}  // namespace kisim
