#pragma once
// Files as a whole. Results appear under their final name only when all of them is there.

#include <string>

namespace kisim {

// Creates a directory and those above it. Throws IoError with the path and the system's reason.
void make_directories(const std::string& path);

// The bytes of a file. Throws IoError with the path and the system's reason.
std::string read_file(const std::string& path);

// A file that is written as `<path>.part`: renamed by commit(), removed if that never comes.
class PartFile {
 public:
  // Follows symbolic links. Throws IoError if something other than a file is there: renaming would replace a device.
  explicit PartFile(const std::string& path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::string& final_path() const { return path_; }
  std::string part_path() const { return path_ + ".part"; }
  // Throws IoError.
  void commit();

 private:
  std::string path_;
  bool committed_ = false;
};

// A whole file at once. Throws IoError with the path and the system's reason; nothing is left behind then.
void write_file(const std::string& path, const std::string& bytes);

}  // namespace kisim
