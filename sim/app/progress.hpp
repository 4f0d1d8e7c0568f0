#pragma once
// A progress bar on standard error, if that is a terminal.

#include "core/time.hpp"

#include <chrono>
#include <string>

namespace kisim::app {

class Progress {
 public:
  Progress(std::string name, bool quiet);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws at most ten times a second.
  void update(Time now, Time end);
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string name_;
  bool shown_;
  bool drawn_ = false;
  Clock::time_point begin_ = Clock::now(), next_ = begin_;
};

}  // namespace kisim::app
