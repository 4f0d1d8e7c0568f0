#include "progress.hpp"

#include "io/humanize.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace kisim::app {

Progress::Progress(std::string name, bool quiet) : name_(std::move(name)), shown_(!quiet && isatty(STDERR_FILENO)) {}

void Progress::update(Time now, Time end) {
  if (!shown_ || end.ns <= 0) return;
  const Clock::time_point wall = Clock::now();
  if (wall < next_) return;
  next_ = wall + std::chrono::milliseconds(100);
  drawn_ = true;

  constexpr int kCells = 24;
  const double share = static_cast<double>(now.ns) / static_cast<double>(end.ns);
  const int full = static_cast<int>(share * kCells);
  const double elapsed = std::chrono::duration<double>(wall - begin_).count();
  std::string left = share > 0.02 ? ", " + human_duration(elapsed / share - elapsed) + " left" : "";
  std::string line = fmt::format("\r\x1b[K{} [{}{}] {:3.0f} % of {}{}", name_, std::string(full, '='),
                                 std::string(kCells - full, ' '), 100 * share, human_duration(end.to_seconds()), left);
  std::fputs(line.c_str(), stderr);
}

void Progress::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", stderr);
}

}  // namespace kisim::app
