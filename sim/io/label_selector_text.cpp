#include "io/label_selector_text.hpp"

#include "io/kube_names.hpp"

#include <fmt/format.h>

namespace kisim {

namespace {

constexpr std::string_view kSpaces = " \t\r\n", kSymbols = "=!(),<>";

// Takes the text apart: symbols (one or two characters) and words between them.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : rest_(text) {}

  std::string_view peek() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpaces), rest_.size()));
    if (rest_.empty()) return {};
    if (kSymbols.find(rest_[0]) == kSymbols.npos)
      return rest_.substr(0, std::min(rest_.find_first_of(std::string(kSpaces) + std::string(kSymbols)), rest_.size()));
    bool two = rest_.size() > 1 && rest_[1] == '=' && (rest_[0] == '=' || rest_[0] == '!');
    return rest_.substr(0, two ? 2 : 1);
  }
  std::string_view next() {
    std::string_view token = peek();
    rest_.remove_prefix(token.size());
    return token;
  }
  bool take(std::string_view wanted) {
    bool found = peek() == wanted;
    if (found) next();
    return found;
  }

 private:
  std::string_view rest_;
};

bool is_word(std::string_view token) { return !token.empty() && kSymbols.find(token[0]) == kSymbols.npos; }

// An absent value is an empty one: "key=".
std::string read_value(Tokens& tokens) { return is_word(tokens.peek()) ? std::string(tokens.next()) : std::string(); }

bool read_values(Tokens& tokens, std::vector<std::string>& out, std::string& problem) {
  if (!tokens.take("(")) return problem = "values in parentheses are missing", false;
  if (tokens.take(")")) return problem = "there are no values", false;
  do out.push_back(read_value(tokens));
  while (tokens.take(","));
  if (!tokens.take(")")) return problem = "a closing parenthesis is missing", false;
  return true;
}

bool read_operation(Tokens& tokens, SelectorRequirement& out, std::string& problem) {
  if (tokens.peek().empty() || tokens.peek() == ",") return out.op = SelectorOperator::Exists, true;
  const std::string operation(tokens.next());
  bool among = operation == "in" || operation == "notin";
  if (operation == "=" || operation == "==" || operation == "in")
    out.op = SelectorOperator::In;
  else if (operation == "!=" || operation == "notin")
    out.op = SelectorOperator::NotIn;
  else if (operation == ">" || operation == "<")
    out.op = operation == ">" ? SelectorOperator::Gt : SelectorOperator::Lt;
  else
    return problem = fmt::format("'{}' is no operator", operation), false;
  if (among) return read_values(tokens, out.values, problem);
  out.values.push_back(read_value(tokens));
  return true;
}

bool check(const SelectorRequirement& r, std::string& problem) {
  NameProblems problems = check_qualified_name(r.key);
  bool compares = r.op == SelectorOperator::Gt || r.op == SelectorOperator::Lt;
  for (const std::string& value : r.values) {
    if (compares && !parse_int64(value)) problems.push_back(fmt::format("'{}' is no integer", value));
    for (std::string& more : check_label_value(value)) problems.push_back(std::move(more));
  }
  if (!problems.empty()) problem = problems[0];
  return problems.empty();
}

}  // namespace

std::optional<LabelSelector> parse_label_selector(std::string_view text, std::string& problem) {
  LabelSelector out;
  Tokens tokens(text);
  if (tokens.peek().empty()) return out;
  do {
    SelectorRequirement& r = out.requirements.emplace_back();
    bool absent = tokens.take("!");
    if (!is_word(tokens.peek())) return problem = "a key is missing", std::nullopt;
    r.key = tokens.next();
    r.op = SelectorOperator::DoesNotExist;
    if ((!absent && !read_operation(tokens, r, problem)) || !check(r, problem)) return std::nullopt;
  } while (tokens.take(","));
  if (!tokens.peek().empty()) return problem = fmt::format("'{}' is one too many", tokens.peek()), std::nullopt;
  return out;
}

}  // namespace kisim
