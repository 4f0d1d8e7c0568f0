#pragma once
// The most memory that this process held.

#include <fstream>
#include <string>

namespace kisim {

// False where the kernel does not let the mark be reset.
inline bool reset_peak_rss() { return static_cast<bool>(std::ofstream("/proc/self/clear_refs") << "5" << std::flush); }

// Since the last reset, in bytes; 0 where the kernel does not tell.
inline double peak_rss() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  return 0;
}

}  // namespace kisim
