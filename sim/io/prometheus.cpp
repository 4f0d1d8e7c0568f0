#include "io/prometheus.hpp"

#include "core/error.hpp"
#include "io/csv.hpp"
#include "io/json_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace kisim {

namespace {

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::optional<double> number_of(std::string_view text) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (text == "+Inf" || text == "Inf") return kInf;
  if (text == "-Inf") return -kInf;
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text.starts_with('+')) text.remove_prefix(1);
  double out = 0;
  auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (problem != std::errc() || stop != text.data() + text.size() || !std::isfinite(out)) return std::nullopt;
  return out;
}

// One line: name{label="value",…} value [time] [# exemplar]
class Line {
 public:
  Line(std::string_view text, const std::string& file, int line) : text_(text), file_(file), line_(line) {}

  MetricSample sample(double seconds_of_time) {
    MetricSample out;
    out.name = word("a metric's name", true);
    if (peek() == '{') labels(out);
    blanks(true);
    out.value = number("a number, +Inf, -Inf or NaN");
    if (!blanks(false) || at_ == text_.size() || peek() == '#') return out;
    out.time = number("a time") * seconds_of_time;
    const bool apart = blanks(false);
    if (at_ < text_.size() && !(apart && peek() == '#')) refuse("the end of the line");
    return out;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void labels(MetricSample& out) {
    for (++at_; peek() != '}';) {
      blanks(false);
      std::string name = word("a label's name", false);
      expect('=');
      out.labels.emplace_back(std::move(name), quoted());
      blanks(false);
      if (peek() == ',')
        ++at_;
      else if (peek() != '}')
        refuse("a comma or }");
    }
    ++at_;
  }

  std::string word(const char* allowed, bool colons) {
    const size_t begin = at_;
    while (letter(peek()) || (at_ > begin && digit(peek())) || (colons && peek() == ':')) ++at_;
    if (at_ == begin) refuse(allowed);
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    expect('"');
    std::string out;
    for (; peek() != '"'; ++at_) {
      if (at_ == text_.size()) refuse("a closing quote");
      if (peek() != '\\') {
        out += peek();
        continue;
      }
      ++at_;
      if (peek() != '\\' && peek() != '"' && peek() != 'n') refuse("\\\\, \\\" or \\n");
      out += peek() == 'n' ? '\n' : peek();
    }
    ++at_;
    return out;
  }

  double number(const char* allowed) {
    const size_t end = std::min(text_.find_first_of(" \t", at_), text_.size());
    const std::optional<double> out = number_of(text_.substr(at_, end - at_));
    if (!out) refuse(allowed);
    at_ = end;
    return *out;
  }

  void expect(char c) {
    if (peek() != c) refuse(std::string(1, c).c_str());
    ++at_;
  }

  // Whether there were any.
  bool blanks(bool needed) {
    const size_t begin = at_;
    while (peek() == ' ' || peek() == '\t') ++at_;
    if (needed && at_ == begin) refuse("a blank");
    return at_ > begin;
  }

  [[noreturn]] void refuse(const char* allowed) const {
    const std::string found = at_ < text_.size() ? shown(std::string(text_.substr(at_, 20))) : "the end of the line";
    throw InputError(Diagnostic{Severity::Error,
                                {file_, line_, static_cast<int>(at_) + 1},
                                "",
                                fmt::format("found {}, allowed: {}", found, allowed)});
  }

  std::string_view text_;
  const std::string& file_;
  int line_;
  size_t at_ = 0;
};

std::string_view without_end(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == text.npos ? 0 : last + 1);
}

MetricSample with_value(MetricSample sample, const Json& pair, const std::string& name) {
  const bool complete = pair.is_array() && pair.size() == 2 && pair[0].is_number() && pair[1].is_string();
  const std::optional<double> value = complete ? number_of(pair[1].get<std::string>()) : std::nullopt;
  if (!value) refuse(name, fmt::format("found {}, allowed: [time, \"value\"]", shown(pair.dump())));
  sample.time = pair[0].get<double>();
  sample.value = *value;
  return sample;
}

}  // namespace

const std::string* MetricSample::label(std::string_view label_name) const {
  for (const auto& [key, text] : labels)
    if (key == label_name) return &text;
  return nullptr;
}

std::vector<MetricSample> parse_metrics(std::string_view text, const std::string& name) {
  const bool open_metrics = without_end(text).ends_with("# EOF");
  std::vector<MetricSample> out;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = without_end(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    out.push_back(Line(line, name, number).sample(open_metrics ? 1 : 1e-3));
  }
  return out;
}

std::vector<MetricSample> parse_query_result(std::string_view text, const std::string& name) {
  const Json document = Json::parse(text, nullptr, false);
  const Json& data = member(document, "data");
  const Json &series = member(data, "result"), &status = member(document, "status");
  if (!series.is_array()) refuse(name, "allowed: the JSON answer of a query, with data.result");
  if (status.is_string() && status.get<std::string>() != "success") refuse(name, "the query failed");
  std::vector<MetricSample> out;
  for (const Json& one : series) {
    const Json& labels = member(one, "metric");
    if (!labels.is_object()) refuse(name, "data.result: allowed: objects with metric");
    MetricSample sample;
    for (const auto& [key, value] : labels.items()) {
      if (!value.is_string()) refuse(name, "metric: allowed: texts");
      if (key == "__name__")
        sample.name = value.get<std::string>();
      else
        sample.labels.emplace_back(key, value.get<std::string>());
    }
    if (const Json& values = member(one, "values"); values.is_array())
      for (const Json& pair : values) out.push_back(with_value(sample, pair, name));
    else
      out.push_back(with_value(sample, member(one, "value"), name));
  }
  return out;
}

std::vector<MetricSample> read_metrics(const std::string& path) {
  const std::string text = read_text(path);
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{' ? parse_query_result(text, path) : parse_metrics(text, path);
}

}  // namespace kisim
