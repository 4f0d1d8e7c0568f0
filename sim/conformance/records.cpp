#include "conformance/records.hpp"

#include "core/error.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kisim {

bool ConformanceReport::agreed() const {
  return !sets.empty() && std::all_of(sets.begin(), sets.end(), [](const auto& set) {
    return set.second.supported && set.second.agreed == set.second.records;
  });
}

namespace conformance {

namespace {

// Lines of a file that may be gzip; zlib reads plain files as they are.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (!file_) throw IoError(fmt::format("cannot read '{}': {}", path, std::strerror(errno)));
    gzbuffer(file_, 1 << 18);
  }
  ~Lines() { gzclose(file_); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  bool next(std::string& line) {
    line.clear();
    char chunk[1 << 16];
    while (gzgets(file_, chunk, sizeof chunk)) {
      line += chunk;
      if (line.back() == '\n') {
        line.pop_back();
        return true;
      }
    }
    int code = Z_OK;
    const char* problem = gzerror(file_, &code);
    if (code != Z_OK && code != Z_STREAM_END) throw IoError(fmt::format("cannot read '{}': {}", path_, problem));
    return !line.empty();
  }

 private:
  std::string path_;
  gzFile file_;
};

Value scalar(std::string text, bool quoted) {
  Value out;
  out.kind = Value::Kind::Scalar;
  out.text = std::move(text);
  out.quoted = quoted;
  return out;
}

Value convert(const Json& json, const std::shared_ptr<const std::string>& source) {
  Value out;
  if (json.is_string()) {
    out = scalar(json.get<std::string>(), true);
  } else if (json.is_array()) {
    out.kind = Value::Kind::Sequence;
    for (const Json& item : json) out.items.push_back(convert(item, source));
  } else if (json.is_object()) {
    out.kind = Value::Kind::Mapping;
    for (const auto& [key, value] : json.items()) out.members.push_back({key, 0, 0, convert(value, source)});
  } else if (!json.is_null()) {
    out = scalar(json.dump(), false);
  }
  out.file = source;
  return out;
}

}  // namespace

void for_each_record(const std::string& path, const std::function<void(const Json&)>& callback) {
  Lines lines(path);
  bool empty = true;
  std::string line;
  for (int number = 1; lines.next(line); ++number) {
    if (line.empty()) continue;
    Json record = Json::parse(line, nullptr, false);
    if (!record.is_object())
      throw InputError(Diagnostic{
          Severity::Error, {path, number, 1}, "", "found a line that is no JSON object, allowed: one record a line"});
    callback(record);
    empty = false;
  }
  if (empty)
    throw InputError(
        Diagnostic{Severity::Error, {path, 0, 0}, "", "found no record, allowed: JSON Lines, plain or gzip"});
}

Value to_value(const Json& json, const std::string& source) {
  return convert(json, std::make_shared<const std::string>(source));
}

const Json& at(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  auto found = object.find(key);
  return found == object.end() ? none : *found;
}

std::string text(const Json& object, const char* key) {
  const Json& value = at(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list) out.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return out;
}

std::string Differences::show(const std::vector<std::string>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}

}  // namespace conformance
}  // namespace kisim
