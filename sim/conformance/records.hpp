#pragma once
// JSON Lines in, comparisons out: what the suites share.

#include "conformance/conformance.hpp"
#include "io/value.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

namespace kisim::conformance {

using Json = nlohmann::json;

// Calls back with every line of a plain or gzip file. Throws InputError on a line that is no JSON object.
void for_each_record(const std::string& path, const std::function<void(const Json&)>& callback);

// The tree that the readers of manifests take. Its marks name `source`.
Value to_value(const Json& json, const std::string& source);

// A field of an object; null if it is no object or has no such field.
const Json& at(const Json& object, const char* key);
std::string text(const Json& object, const char* key);
std::vector<std::string> texts(const Json& list);

// What one record found different from what it expects.
class Differences {
 public:
  // Where the next comparisons happen, for the message.
  void at(std::string where) { where_ = std::move(where); }
  void add(const std::string& what, const std::string& expected, const std::string& found) {
    if (texts_.size() < kMost) texts_.push_back(where_ + ": " + what + ": expected " + expected + ", found " + found);
    ++count_;
  }
  template <class T>
  void compare(const std::string& what, const T& expected, const T& found) {
    if (!(expected == found)) add(what, show(expected), show(found));
  }

  bool none() const { return count_ == 0; }
  const std::vector<std::string>& texts() const { return texts_; }

  static std::string show(const std::string& value) { return "'" + value + "'"; }
  static std::string show(const std::vector<std::string>& values);
  static std::string show(int64_t value) { return std::to_string(value); }

 private:
  static constexpr size_t kMost = 5;  // of one record: later ones mostly follow from the first
  std::string where_;
  std::vector<std::string> texts_;
  size_t count_ = 0;
};

}  // namespace kisim::conformance
