#pragma once
// Where the shared reference data lies; tests that need it skip with a message where it is absent.

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace kisim {

// Empty, with a warning, if the file is not there.
inline std::string shared_file(const std::string& path) {
  const char* root = std::getenv("KISIM_SHARED");
  std::string file = (root ? std::string(root) : std::string(KISIM_ROOT "/../shared")) + "/" + path;
  if (std::filesystem::exists(file)) return file;
  WARN("skipped: " << file << " is absent");
  return {};
}

}  // namespace kisim
