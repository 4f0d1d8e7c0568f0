#include "checkpoint.hpp"

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"

#include <cstring>

namespace kisim::learning {
namespace {

// The file: kMagic, the number of items, each as length of name, name, length, bytes; the hash of all before.
constexpr std::string_view kMagic = "kisim checkpoint 1\n";

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw InputError({Severity::Error, {path, 0, 0}, "", message});
}

void append(std::string& out, uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }

class Reader {
 public:
  Reader(const std::string& path, std::string_view rest) : path_(path), rest_(rest) {}

  std::string_view take(size_t size) {
    if (size > rest_.size()) refuse(path_, "is no whole checkpoint: an item reaches beyond its end");
    std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  uint64_t number() {
    uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

 private:
  const std::string& path_;
  std::string_view rest_;
};

}  // namespace

Checkpoint Checkpoint::read(const std::string& path) {
  const std::string text = read_file(path);
  if (!text.starts_with(kMagic)) refuse(path, "is no checkpoint of this kisim");
  if (text.size() < kMagic.size() + sizeof(uint64_t)) refuse(path, "is damaged: it ends too early");
  const std::string_view body(text.data(), text.size() - sizeof(uint64_t));
  uint64_t hash = 0;
  std::memcpy(&hash, text.data() + body.size(), sizeof hash);
  if (hash != hash_text(body)) refuse(path, "is damaged: its content does not have the hash it was written with");

  Checkpoint out;
  out.loading_ = true;
  out.path_ = path;
  Reader reader(path, body.substr(kMagic.size()));
  for (uint64_t left = reader.number(); left > 0; --left) {
    const std::string name(reader.take(reader.number()));
    const std::string_view content = reader.take(reader.number());
    const auto* begin = reinterpret_cast<const std::byte*>(content.data());
    out.items_.emplace(name, std::vector<std::byte>(begin, begin + content.size()));
  }
  return out;
}

void Checkpoint::write(const std::string& path) const {
  std::string out(kMagic);
  append(out, items_.size());
  for (const auto& [name, values] : items_) {
    append(out, name.size());
    out += name;
    append(out, values.size());
    out.append(reinterpret_cast<const char*>(values.data()), values.size());
  }
  append(out, hash_text(out));
  write_file(path, out);
}

void Checkpoint::item(const std::string& name, std::string& text) {
  if (loading_) text.resize(stored(name).size());
  item(name, std::span(text.data(), text.size()));
}

void Checkpoint::bytes(const std::string& name, std::span<std::byte> values) {
  if (!loading_) {
    const bool added = items_.emplace(name, std::vector<std::byte>(values.begin(), values.end())).second;
    KISIM_INVARIANT(added, "item '{}' saved twice", name);
    return;
  }
  const std::vector<std::byte>& found = stored(name);
  if (found.size() != values.size())
    refuse(path_, fmt::format("item '{}': found {} bytes, allowed: {}; it belongs to another network or environment",
                              name, found.size(), values.size()));
  if (!found.empty()) std::memcpy(values.data(), found.data(), found.size());
}

const std::vector<std::byte>& Checkpoint::stored(const std::string& name) const {
  auto it = items_.find(name);
  if (it == items_.end()) refuse(path_, fmt::format("has no item '{}'", name));
  return it->second;
}

}  // namespace kisim::learning
