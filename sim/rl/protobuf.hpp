#pragma once
// Protobuf's wire format (protobuf.dev/programming-guides/encoding), as much as is needed to write messages.

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace kisim {

class ProtobufMessage {
 public:
  ProtobufMessage& integer(uint32_t field, int64_t value) {
    varint(field << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  ProtobufMessage& real(uint32_t field, double value) {
    varint(field << 3 | kFixed64);
    return as_in_memory(value);
  }
  ProtobufMessage& real(uint32_t field, float value) {
    varint(field << 3 | kFixed32);
    return as_in_memory(value);
  }
  // Texts, raw data and messages within.
  ProtobufMessage& text(uint32_t field, std::string_view value) {
    varint(field << 3 | kLengthDelimited);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(uint32_t field, const ProtobufMessage& value) { return text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  enum WireType : uint32_t { kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };
  static_assert(std::endian::native == std::endian::little, "numbers lie in a message as in memory");

  template <class T>
  ProtobufMessage& as_in_memory(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  // Seven bits a byte, the lowest first; the eighth bit says that more follow.
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace kisim
