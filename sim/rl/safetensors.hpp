#pragma once
// The container safetensors (huggingface.co/docs/safetensors): the length of a JSON header as 8 bytes, little endian;
// the header, {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {"key": "text"}};
// the numbers row by row, without gaps.

#include <Eigen/Core>
#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

using Json = nlohmann::json;

// Compact; bytes that are no UTF-8 are replaced.
std::string json_text(const Json& json);
// The text of a member; "" if there is none.
std::string text_of(const Json& object, const char* key);

// Tensors lie in the order they are added.
class SafetensorsWriter {
 public:
  void add(const std::string& name, const std::vector<double>& values);
  void add(const std::string& name, const std::vector<float>& values);
  void add(const std::string& name, const std::vector<int32_t>& values);
  void add(const std::string& name, const Eigen::VectorXf& vector);
  void add(const std::string& name, const Eigen::MatrixXf& matrix);
  // `metadata`: an object of texts.
  std::string bytes(const Json& metadata) const;

 private:
  template <class T>
  void append(const std::string& name, const std::vector<size_t>& shape, const T* values, size_t n);

  Json header_ = Json::object();
  std::string data_;
};

// Takes tensors out of a container and refuses what does not belong in it: all throw InputError with `path`, the field
// and what is wrong.
class SafetensorsReader {
 public:
  SafetensorsReader(std::string_view bytes, std::string path);  // keeps a view of `bytes`

  [[noreturn]] void refuse(const std::string& field, const std::string& message) const;

  const std::string& text(const std::string& key) const;
  // JSON of that kind in a text.
  Json json(const std::string& key, Json::value_t kind) const;

  bool has(const std::string& name) const { return header_.contains(name); }
  static constexpr size_t kAny = SIZE_MAX;
  // One dimension of `n` numbers.
  template <class T>
  std::vector<T> take(const std::string& name, size_t n = kAny);
  // Two dimensions.
  Eigen::MatrixXf take_matrix(const std::string& name);
  void check_all_taken() const;

 private:
  Json parse(std::string_view text, const std::string& field) const;
  std::vector<size_t> numbers(const std::string& name, const Json& entry, const char* key) const;
  void check_tensor(const std::string& name, const Json& entry) const;
  void check_cover() const;
  // Forgets the tensor; its shape and its bytes.
  const char* take_bytes(const std::string& name, const char* dtype, std::vector<size_t>& shape);

  std::string path_;
  std::string_view data_;
  Json header_, metadata_;
};

}  // namespace kisim
