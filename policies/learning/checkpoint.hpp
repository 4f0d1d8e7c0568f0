#pragma once
// What training needs to go on to the bit, as one file of named arrays. A part of the trainer tells what it keeps in
// one function, archive(), which serves saving and loading alike.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace kisim::learning {

class Checkpoint {
 public:
  // To be filled, then written.
  Checkpoint() = default;
  // Throws IoError, or InputError where the file is damaged or none of ours.
  static Checkpoint read(const std::string& path);
  // Whole or not at all. Throws IoError.
  void write(const std::string& path) const;

  bool loading() const { return loading_; }

  // Saves the values or loads them. Loading throws InputError if the item is absent or of another size.
  template <class T>
  void item(const std::string& name, std::span<T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes(name, std::as_writable_bytes(values));
  }
  template <class T>
  requires std::is_arithmetic_v<T>
  void item(const std::string& name, T& value) { item(name, std::span(&value, 1)); }
  // With its length.
  template <class T>
  void item(const std::string& name, std::vector<T>& values) {
    if (loading_) values.resize(stored(name).size() / sizeof(T));
    item(name, std::span(values));
  }
  void item(const std::string& name, std::string& text);

 private:
  void bytes(const std::string& name, std::span<std::byte> values);
  const std::vector<std::byte>& stored(const std::string& name) const;

  bool loading_ = false;
  std::string path_;
  std::map<std::string, std::vector<std::byte>> items_;
};

}  // namespace kisim::learning
