#pragma once
// The part of HDF5 that kisim writes, over its C API: groups, attributes, texts and columns that grow. Equal calls give
// equal bytes. Everything throws IoError with the path and the system's reason.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace kisim::h5 {

// Elements per chunk of a column that grows: half a MiB of doubles, HDF5's default chunk cache holds one.
inline constexpr size_t kChunk = 65536;

// A file open for writing. Paths inside it are absolute; parent groups are made as needed.
class File {
 public:
  // Creates or truncates `path`. Messages name `shown` instead, the name the user knows.
  File(const std::string& path, std::string shown);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Writes everything out. Nothing may be called afterwards.
  void close();

  void group(const std::string& path);
  // Of an existing group or data set.
  void attribute(const std::string& object, const std::string& name, const std::string& text);
  void attribute(const std::string& object, const std::string& name, uint64_t number);
  void attribute(const std::string& object, const std::string& name, const std::vector<std::string>& texts);

  // A scalar data set of UTF-8 text.
  void text(const std::string& path, const std::string& text);
  // One-dimensional, of UTF-8 texts padded with zeros to the longest.
  void texts(const std::string& path, const std::vector<std::string>& texts);
  // One-dimensional, unlimited, empty; chunked, shuffled and gzipped.
  template <class T>
  void create_column(const std::string& path, size_t chunk);
  template <class T>
  void append(const std::string& path, const std::vector<T>& values);

 private:
  int64_t check(int64_t result) const;

  std::string shown_;
  int64_t id_ = -1;
};

// A scalar text of an existing file. Throws IoError, also where the file is no HDF5 or has no such text.
std::string read_text(const std::string& file, const std::string& path);

// A data set of numbers that grows; writes whole chunks. Call flush() once at the end.
template <class T>
class Column {
 public:
  Column(File& file, std::string path, size_t chunk = kChunk) : file_(&file), path_(std::move(path)), chunk_(chunk) {
    file_->create_column<T>(path_, chunk_);
  }
  const std::string& path() const { return path_; }
  void append(T value) {
    buffer_.push_back(value);
    if (buffer_.size() >= chunk_) flush();
  }
  void flush() {
    if (buffer_.empty()) return;
    file_->append(path_, buffer_);
    buffer_.clear();
  }

 private:
  File* file_;
  std::string path_;
  size_t chunk_;
  std::vector<T> buffer_;
};

}  // namespace kisim::h5
