#pragma once
// Protobuf's wire format (protobuf.dev/programming-guides/encoding), as much as is needed to write messages.

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
  // Texts, raw data and messages within.
  ProtobufMessage& text(uint32_t field, std::string_view value) {
    constexpr uint32_t kLengthDelimited = 2;
    varint(field << 3 | kLengthDelimited);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(uint32_t field, const ProtobufMessage& value) { return text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  // Seven bits a byte, the lowest first; the eighth bit says that more follow.
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace kisim
