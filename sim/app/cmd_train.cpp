#include "cli.hpp"
#include "core/error.hpp"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace kisim::app {

// Training needs libtorch, which the simulator should not have to load: it is a program of its own.
int cmd_train(const Arguments& arguments) {
  const std::string program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "kisim-train").string();
  if (!std::filesystem::exists(program))
    throw UsageError(
        fmt::format("there is no {}: it is built where CMake finds libtorch (Debian: apt-get install "
                    "libtorch-dev) and KISIM_TORCH is not OFF",
                    program));
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  throw IoError(fmt::format("cannot start {}: {}", program, std::generic_category().message(errno)));
}

}  // namespace kisim::app
