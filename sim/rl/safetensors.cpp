#include "rl/safetensors.hpp"

#include "core/error.hpp"
#include "rl/row_major.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>

namespace kisim {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers lie in the file as in memory");

constexpr size_t kLengthBytes = 8;  // of the header's length
constexpr const char* kMetadata = "__metadata__";

template <class T>
constexpr const char* kDtype = nullptr;
template <>
constexpr const char* kDtype<double> = "F64";
template <>
constexpr const char* kDtype<float> = "F32";
template <>
constexpr const char* kDtype<int32_t> = "I32";

// 0 for a dtype that is not known here.
size_t width_of(const std::string& dtype) {
  if (dtype == kDtype<double>) return sizeof(double);
  return dtype == kDtype<float> || dtype == kDtype<int32_t> ? sizeof(float) : 0;
}

std::string metadata_field(const std::string& key) { return fmt::format("{}.{}", kMetadata, key); }

}  // namespace

std::string json_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string text_of(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

template <class T>
void SafetensorsWriter::append(const std::string& name, const std::vector<size_t>& shape, const T* values, size_t n) {
  const size_t begin = data_.size();
  data_.append(reinterpret_cast<const char*>(values), n * sizeof(T));
  header_[name] = {{"dtype", kDtype<T>}, {"shape", shape}, {"data_offsets", {begin, data_.size()}}};
}

void SafetensorsWriter::add(const std::string& name, const std::vector<double>& values) {
  append(name, {values.size()}, values.data(), values.size());
}

void SafetensorsWriter::add(const std::string& name, const std::vector<float>& values) {
  append(name, {values.size()}, values.data(), values.size());
}

void SafetensorsWriter::add(const std::string& name, const std::vector<int32_t>& values) {
  append(name, {values.size()}, values.data(), values.size());
}

void SafetensorsWriter::add(const std::string& name, const Eigen::VectorXf& vector) {
  const auto n = static_cast<size_t>(vector.size());
  append(name, {n}, vector.data(), n);
}

void SafetensorsWriter::add(const std::string& name, const Eigen::MatrixXf& matrix) {
  const RowMajor rows = matrix;
  append(name, {static_cast<size_t>(rows.rows()), static_cast<size_t>(rows.cols())}, rows.data(),
         static_cast<size_t>(rows.size()));
}

std::string SafetensorsWriter::bytes(const Json& metadata) const {
  Json header = header_;
  header[kMetadata] = metadata;
  std::string text = json_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the numbers are aligned
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), kLengthBytes) + text + data_;
}

SafetensorsReader::SafetensorsReader(std::string_view bytes, std::string path) : path_(std::move(path)) {
  uint64_t length = 0;
  if (bytes.size() < kLengthBytes) refuse("", fmt::format("found {} bytes, which is no safetensors", bytes.size()));
  std::memcpy(&length, bytes.data(), kLengthBytes);
  bytes.remove_prefix(kLengthBytes);
  if (length > bytes.size())
    refuse("", fmt::format("is cut off or no safetensors: a header of {} bytes, found {}", length, bytes.size()));
  data_ = bytes.substr(length);
  header_ = parse(bytes.substr(0, length), "");
  if (!header_.is_object()) refuse("", "the header is no JSON object");
  auto metadata = header_.find(kMetadata);
  if (metadata == header_.end() || !metadata->is_object()) refuse(kMetadata, "is missing");
  metadata_ = std::move(*metadata);
  header_.erase(metadata);
  for (const auto& [key, value] : metadata_.items())
    if (!value.is_string()) refuse(metadata_field(key), "is no text");
  for (const auto& [name, entry] : header_.items()) check_tensor(name, entry);
  check_cover();
}

void SafetensorsReader::refuse(const std::string& field, const std::string& message) const {
  throw InputError(Diagnostic{Severity::Error, {path_}, field, message});
}

Json SafetensorsReader::parse(std::string_view text, const std::string& field) const {
  Json out = Json::parse(text, nullptr, false);
  if (out.is_discarded()) refuse(field, field.empty() ? "the header is no JSON" : "is no JSON");
  return out;
}

const std::string& SafetensorsReader::text(const std::string& key) const {
  auto found = metadata_.find(key);
  if (found == metadata_.end()) refuse(metadata_field(key), "is missing");
  return found->get_ref<const std::string&>();
}

Json SafetensorsReader::json(const std::string& key, Json::value_t kind) const {
  Json out = parse(text(key), metadata_field(key));
  if (out.type() != kind)
    refuse(metadata_field(key), fmt::format("found {}, allowed: {}", out.type_name(), Json(kind).type_name()));
  return out;
}

// A list of whole numbers that are not negative.
std::vector<size_t> SafetensorsReader::numbers(const std::string& name, const Json& entry, const char* key) const {
  auto list = entry.find(key);
  if (list == entry.end() || !list->is_array()) refuse(name, fmt::format("has no {}", key));
  std::vector<size_t> out;
  for (const Json& number : *list) {
    if (!number.is_number_unsigned()) refuse(name, fmt::format("the {} are not all whole numbers from 0 on", key));
    out.push_back(number.get<size_t>());
  }
  return out;
}

// Its bytes are in the file and as many as its shape takes.
void SafetensorsReader::check_tensor(const std::string& name, const Json& entry) const {
  if (!entry.is_object()) refuse(name, "is no tensor");
  const std::string dtype = text_of(entry, "dtype");
  const size_t width = width_of(dtype);
  if (width == 0) refuse(name, fmt::format("found the dtype '{}', allowed: F64, F32, I32", dtype));
  const std::vector<size_t> offsets = numbers(name, entry, "data_offsets"), shape = numbers(name, entry, "shape");
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_.size())
    refuse(name, fmt::format("lies at [{}], outside of {} bytes", fmt::join(offsets, ", "), data_.size()));
  size_t bytes = width;
  for (size_t n : shape) {
    if (n > data_.size() || (n != 0 && bytes > data_.size() / n))
      refuse(name, fmt::format("the shape [{}] is larger than the file", fmt::join(shape, ", ")));
    bytes *= n;
  }
  if (bytes != offsets[1] - offsets[0])
    refuse(name, fmt::format("found {} bytes for [{}] of {}, allowed: {}", offsets[1] - offsets[0],
                             fmt::join(shape, ", "), dtype, bytes));
}

// Together the tensors cover the data once.
void SafetensorsReader::check_cover() const {
  struct Place {
    size_t begin, end;
    std::string name;
  };
  std::vector<Place> places;
  for (const auto& [name, entry] : header_.items())
    places.push_back({entry["data_offsets"][0].get<size_t>(), entry["data_offsets"][1].get<size_t>(), name});
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  size_t end = 0;
  for (const Place& place : places) {
    if (place.begin < end) refuse(place.name, "overlaps another tensor");
    if (place.begin > end) refuse(place.name, fmt::format("leaves {} bytes before it unused", place.begin - end));
    end = place.end;
  }
  if (end != data_.size()) refuse("", fmt::format("{} bytes after the last tensor", data_.size() - end));
}

const char* SafetensorsReader::take_bytes(const std::string& name, const char* dtype, std::vector<size_t>& shape) {
  auto found = header_.find(name);
  if (found == header_.end()) refuse(name, "is missing");
  if (text_of(*found, "dtype") != dtype)
    refuse(name, fmt::format("found the dtype {}, allowed: {}", text_of(*found, "dtype"), dtype));
  shape = numbers(name, *found, "shape");
  const auto begin = (*found)["data_offsets"][0].get<size_t>();
  header_.erase(found);
  return data_.data() + begin;
}

template <class T>
std::vector<T> SafetensorsReader::take(const std::string& name, size_t n) {
  std::vector<size_t> shape;
  const char* bytes = take_bytes(name, kDtype<T>, shape);
  if (shape.size() != 1 || (n != kAny && shape[0] != n))
    refuse(name, fmt::format("found the shape [{}], allowed: [{}]", fmt::join(shape, ", "),
                             n == kAny ? "n" : std::to_string(n)));
  std::vector<T> out(shape[0]);
  std::copy_n(bytes, out.size() * sizeof(T), reinterpret_cast<char*>(out.data()));
  return out;
}

template std::vector<double> SafetensorsReader::take(const std::string&, size_t);
template std::vector<float> SafetensorsReader::take(const std::string&, size_t);
template std::vector<int32_t> SafetensorsReader::take(const std::string&, size_t);

Eigen::MatrixXf SafetensorsReader::take_matrix(const std::string& name) {
  std::vector<size_t> shape;
  const char* bytes = take_bytes(name, kDtype<float>, shape);
  if (shape.size() != 2) refuse(name, fmt::format("found the shape [{}], allowed: [n, m]", fmt::join(shape, ", ")));
  RowMajor rows(static_cast<Eigen::Index>(shape[0]), static_cast<Eigen::Index>(shape[1]));
  std::copy_n(bytes, static_cast<size_t>(rows.size()) * sizeof(float), reinterpret_cast<char*>(rows.data()));
  return rows;
}

void SafetensorsReader::check_all_taken() const {
  if (!header_.empty()) refuse(header_.begin().key(), "is unknown");
}

}  // namespace kisim
