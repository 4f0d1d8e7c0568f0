#include "logger.hpp"

#include "core/error.hpp"
#include "rl/protobuf.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <system_error>

namespace kisim::learning {
namespace {

[[noreturn]] void cannot_write(const std::string& path, int error) {
  throw IoError(fmt::format("cannot write {}: {}", path, std::generic_category().message(error)));
}

void put(std::FILE* file, const std::string& path, std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() || std::fflush(file) != 0)
    cannot_write(path, errno);
}

File open(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) cannot_write(path, errno);
  return file;
}

ProtobufMessage event(double wall_time) { return ProtobufMessage().real(1, wall_time); }

std::string host() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

CurvesFile::CurvesFile(const std::string& path, uint64_t bytes) : path_(path) {
  if (bytes == 0) {
    file_ = open(path, "wb");
    return;
  }
  // What came after the checkpoint comes again.
  std::error_code error;
  if (std::filesystem::file_size(path, error) < bytes && !error)
    throw IoError(fmt::format("{} is shorter than its checkpoint says: {} bytes, needed: {}", path,
                              std::filesystem::file_size(path), bytes));
  std::filesystem::resize_file(path, bytes, error);
  if (error) cannot_write(path, error.value());
  file_ = open(path, "ab");
  bytes_ = bytes;
}

void CurvesFile::add(int64_t step, const Metrics& metrics) {
  std::string line;
  if (bytes_ == 0) {
    line = "global_step";
    for (const auto& [tag, value] : metrics) line += ',' + tag;
    line += '\n';
  }
  line += fmt::format("{}", step);
  for (const auto& [tag, value] : metrics) line += std::isnan(value) ? "," : fmt::format(",{}", value);
  write(line + '\n');
}

void CurvesFile::write(const std::string& line) {
  put(file_.get(), path_, line);
  bytes_ += line.size();
}

EventFile::EventFile(const std::string& directory) {
  const double begin = wall_time();
  // Trainings resumed within one second have files of their own.
  int64_t second = static_cast<int64_t>(begin);
  do {
    path_ = fmt::format("{}/events.out.tfevents.{}.{}", directory, second++, host());
  } while (std::filesystem::exists(path_));
  file_ = open(path_, "wb");
  write(event(begin).text(3, "brain.Event:2").bytes());
}

void EventFile::add(double wall_time, int64_t step, const Metrics& metrics) {
  ProtobufMessage summary;
  for (const auto& [tag, value] : metrics) {
    if (!std::isnan(value)) summary.message(1, ProtobufMessage().text(1, tag).real(2, static_cast<float>(value)));
  }
  write(event(wall_time).integer(2, step).message(5, summary).bytes());
}

void EventFile::write(const std::string& payload) {
  const uint64_t length = payload.size();
  std::string record(reinterpret_cast<const char*>(&length), sizeof length);
  auto put_crc = [&](std::string_view bytes) {
    const uint32_t crc = masked_crc32c(bytes);
    record.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  };
  put_crc(record);
  record += payload;
  put_crc(payload);
  put(file_.get(), path_, record);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < 256; ++i) {
      out[i] = i;
      for (int bit = 0; bit < 8; ++bit) out[i] = out[i] >> 1 ^ (out[i] & 1 ? 0x82f63b78u : 0);
    }
    return out;
  }();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ crc >> 8;
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace kisim::learning
