#pragma once
// Parameters of a policy, declared once: the scenario reader, `kisim describe`, the JSON Schema and the Python
// signature all come from the declaration.

#include "core/time.hpp"

#include <any>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct ParamSpec {
  enum class Type : uint8_t { Bool, Integer, Number, Duration, Text };
  std::string name;  // lowerCamelCase, as in YAML
  Type type = Type::Number;
  std::string default_text;          // as a user would write it: "5m", "0.1"
  std::string doc;                   // one line
  std::optional<double> min, max;    // inclusive; seconds for durations
  std::vector<std::string> allowed;  // for Text; empty: anything
};

// Values for one policy, checked against its declaration by whoever fills it.
class Params {
 public:
  void set(const std::string& name, double value) { numbers_[name] = value; }  // bool: 0 or 1; duration: seconds
  void set(const std::string& name, std::string value) { texts_[name] = std::move(value); }

  bool flag(const std::string& name) const { return numbers_.at(name) != 0; }
  int64_t integer(const std::string& name) const { return static_cast<int64_t>(numbers_.at(name)); }
  double number(const std::string& name) const { return numbers_.at(name); }
  Duration duration(const std::string& name) const { return Duration::seconds(numbers_.at(name)); }
  const std::string& text(const std::string& name) const { return texts_.at(name); }

  // Arguments with a structure of their own, such as NodeResourcesFitArgs. Without any: their defaults.
  void set_args(std::any args) { args_ = std::move(args); }
  template <class Args>
  Args args() const {
    return args_.has_value() ? std::any_cast<Args>(args_) : Args{};
  }

 private:
  std::map<std::string, double> numbers_;
  std::map<std::string, std::string> texts_;
  std::any args_;
};

// "90s", "1.5h", "250ms", "1m30s" (Go's grammar) or a plain number of seconds; nothing on bad input.
std::optional<double> parse_duration_seconds(const std::string& text);

// Fills in the declared defaults, then `given` over them. Returns the complaint, or nothing.
std::optional<std::string> fill_params(const std::vector<ParamSpec>& specs,
                                       const std::map<std::string, std::string>& given, Params& out);

}  // namespace kisim
