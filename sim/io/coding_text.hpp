#pragma once
// How an agent sees and acts, as its policy file keeps it: {"name": "kiscaler", "maxStep": "2"}.

#include "rl/policy_file.hpp"
#include "run/scenario.hpp"

#include <string>

namespace kisim {

std::string coding_text(const PolicyChoice& coding);
// Throws InputError where the file has no coding: it is no autoscaler's.
void read_coding(const PolicyFile& policy, PolicyChoice& out);

}  // namespace kisim
