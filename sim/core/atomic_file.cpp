#include "core/atomic_file.hpp"

#include "core/error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>

namespace kisim {
namespace {

[[noreturn]] void cannot(const char* what, const std::string& path, int error) {
  throw IoError(fmt::format("cannot {} {}: {}", what, path, std::generic_category().message(error)));
}

// Where a result named `path` goes: to the file itself, not over the link to it.
std::string regular_target(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw IoError(fmt::format("cannot write {}: found {}, allowed: a file", path,
                              fs::is_directory(status) ? "a directory" : "a device or a pipe"));
  constexpr int kMostLinks = 40;  // as in Linux
  fs::path target = path;
  for (int i = 0; i < kMostLinks && fs::is_symlink(fs::symlink_status(target, error)); ++i)
    target = target.parent_path() / fs::read_symlink(target, error);
  return target.string();
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) cannot("create directory", path, error.value());
}

std::string read_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw IoError(path + ": is a directory, allowed: a file");
  auto cannot_read = [&] {
    return IoError(fmt::format("{}: cannot be read: {}", path, std::generic_category().message(errno)));
  };
  std::ifstream in(path, std::ios::binary);
  if (!in) throw cannot_read();
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) throw cannot_read();
  return bytes;
}

PartFile::PartFile(const std::string& path) : path_(regular_target(path)) {}

PartFile::~PartFile() {
  if (!committed_) std::remove(part_path().c_str());
}

void PartFile::commit() {
  // On the disk before it has the name: otherwise a crash of the machine could leave an empty file under it.
  const int file = ::open(part_path().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) cannot("write", path_, errno);
  const int failed = ::fsync(file) == 0 ? 0 : errno;
  ::close(file);
  if (failed) cannot("write", path_, failed);
  if (std::rename(part_path().c_str(), path_.c_str()) != 0) cannot("write", path_, errno);
  committed_ = true;
}

void write_file(const std::string& path, const std::string& bytes) {
  PartFile part(path);
  std::unique_ptr<std::FILE, CloseFile> file(std::fopen(part.part_path().c_str(), "wb"));
  if (!file) cannot("write", path, errno);
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) cannot("write", path, errno);
  if (std::fclose(file.release()) != 0) cannot("write", path, errno);
  part.commit();
}

}  // namespace kisim
