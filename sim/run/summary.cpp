#include "run/summary.hpp"

#include "core/hash.hpp"

#include <fmt/format.h>

#include <string_view>

namespace kisim {
namespace {

bool is_signed(std::string_view field) {
  return field != "signature" && field != "wall_s" && field != "events_per_s" && field != "peak_rss_bytes";
}

// Of what came after the first signatures: they are kept where it is absent.
template <class T>
bool is_absent(const T&) {
  return false;
}
template <class T>
bool is_absent(const std::optional<T>& value) {
  return !value;
}

class CanonicalText {
 public:
  explicit CanonicalText(std::string& out) : out_(out) {}

  // Texts carry their length, so that no two summaries share one canonical text.
  void write(const std::string& value) { fmt::format_to(std::back_inserter(out_), "{}:{}", value.size(), value); }

  // fmt prints the shortest text that reads back as the same double.
  template <class T>
  requires std::is_arithmetic_v<T>
  void write(T value) { fmt::format_to(std::back_inserter(out_), "{}", value); }

  template <class T>
  void write(const std::optional<T>& value) {
    if (!value) {
      out_ += "null";
      return;
    }
    write(*value);
  }

  template <class T>
  void write(const std::map<std::string, T>& values) {
    out_ += '[';
    for (const auto& [key, value] : values) {
      write(key);
      out_ += '=';
      write(value);
      out_ += ' ';
    }
    out_ += ']';
  }

  void write(const std::vector<std::string>& values) {
    out_ += '[';
    for (const std::string& value : values) {
      write(value);
      out_ += ' ';
    }
    out_ += ']';
  }

  template <class T>
  requires std::is_class_v<T>
  void write(const T& part) {
    out_ += '{';
    for_each_field(part, [this](std::string_view name, const auto& value) {
      if (!is_signed(name) || (name == "slo_penalty" && is_absent(value))) return;
      out_ += name;
      out_ += '=';
      write(value);
      out_ += ' ';
    });
    out_ += '}';
  }

 private:
  std::string& out_;
};

}  // namespace

std::string canonical_text(const Summary& summary) {
  std::string out;
  CanonicalText(out).write(summary);
  return out;
}

uint64_t sign(const Summary& summary, uint64_t events) {
  return hash_combine(events, hash_text(canonical_text(summary)));
}

}  // namespace kisim
