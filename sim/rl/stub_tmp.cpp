#include "rl/policy_file.hpp"
#include "core/error.hpp"
namespace kisim {
PolicyFile read_policy_file(const std::string&) { throw IoError("stub"); }
}
