#include "cli.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace {

// A standard stream that the caller closed would give its number to the next file opened, and results would be
// written into that. Reading only: a write to it fails as it should.
void reserve_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) == -1) open("/dev/null", O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  reserve_standard_streams();
  // A broken pipe or a size limit is an error of the write, told as such, not a sudden death.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  return kisim::app::dispatch({argv + 1, argv + argc});
}
