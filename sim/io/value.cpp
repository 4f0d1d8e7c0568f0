#include "io/value.hpp"

#include "core/atomic_file.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>

namespace kisim {

namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxAliasNodes = 1'000'000;

using FileName = std::shared_ptr<const std::string>;

size_t count_nodes(const Value& value) {
  size_t count = 1;
  for (const Value& item : value.items) count += count_nodes(item);
  for (const Value::Member& member : value.members) count += count_nodes(member.value);
  return count;
}

size_t height(const Value& value) {
  size_t below = 0;
  for (const Value& item : value.items) below = std::max(below, height(item));
  for (const Value::Member& member : value.members) below = std::max(below, height(member.value));
  return below + 1;
}

// Receives the parser's events and builds the trees.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(FileName file) : file_(std::move(file)) {}

  std::vector<Value> documents;

  void OnDocumentStart(const YAML::Mark& mark) override {
    // On some stray tokens the parser stands still and hands out empty documents without end.
    if (mark.pos <= last_start_) fail(mark, "not valid YAML: text that belongs to no document");
    last_start_ = mark.pos;
    anchored_.clear();
    open_.clear();
  }
  void OnDocumentEnd() override {
    if (root_.kind != Value::Kind::Null) documents.push_back(std::move(root_));
    root_ = {};
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(node(Value::Kind::Null, mark, "?"), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    Value scalar = node(Value::Kind::Scalar, mark, tag);
    scalar.text = text;
    scalar.quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    add(std::move(scalar), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(node(Value::Kind::Sequence, mark, tag), anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(node(Value::Kind::Mapping, mark, tag), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override {
    merge(open_.back());
    close();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto it = anchored_.find(anchor);
    if (it == anchored_.end()) fail(mark, "found an alias inside the value that it stands for");
    alias_nodes_ += count_nodes(it->second);
    if (alias_nodes_ > kMaxAliasNodes) fail(mark, "aliases expand to more than 1000000 values");
    if (open_.size() + height(it->second) > kMaxDepth) fail_depth(mark);
    add(it->second, 0);
  }

 private:
  // A collection whose end has not come yet.
  struct Open {
    Value value;
    YAML::anchor_t anchor = 0;
    std::optional<Value> key;  // of the member whose value comes next
    std::set<std::string> keys;
    std::optional<Value> merged;  // what `<<` names
  };

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& message) const {
    throw InputError({Severity::Error, {*file_, mark.line + 1, mark.column + 1}, "", message});
  }
  [[noreturn]] void fail(const Value& value, const std::string& message) const {
    throw InputError({Severity::Error, value.mark(), "", message});
  }
  [[noreturn]] void fail_depth(const YAML::Mark& mark) const {
    fail(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
  }

  Value node(Value::Kind kind, const YAML::Mark& mark, const std::string& tag) const {
    bool known = tag.empty() || tag == "?" || tag == "!" || tag.rfind("tag:yaml.org,2002:", 0) == 0;
    if (!known) fail(mark, fmt::format("found the tag '{}', allowed: only YAML's own tags", shown(tag)));
    Value value;
    value.kind = kind;
    value.file = file_;
    value.line = mark.line + 1;
    value.column = mark.column + 1;
    return value;
  }

  void open(Value value, YAML::anchor_t anchor) {
    if (!open_.empty() && expects_key(open_.back()))
      fail(value, fmt::format("found {} as a key, allowed: text", value.describe()));
    open_.push_back({std::move(value), anchor, {}, {}, {}});
    if (open_.size() > kMaxDepth) fail(open_.back().value, fmt::format("nested deeper than {} levels", kMaxDepth));
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.value), done.anchor);
  }

  static bool expects_key(const Open& parent) { return parent.value.kind == Value::Kind::Mapping && !parent.key; }

  void add(Value value, YAML::anchor_t anchor) {
    if (anchor != 0) anchored_[anchor] = value;
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.value.kind == Value::Kind::Sequence) {
      parent.value.items.push_back(std::move(value));
    } else if (!parent.key) {
      add_key(parent, std::move(value));
    } else {
      add_member(parent, std::move(value));
    }
  }

  void add_key(Open& parent, Value key) {
    if (key.kind != Value::Kind::Scalar) fail(key, fmt::format("found {} as a key, allowed: text", key.describe()));
    if (!parent.keys.insert(key.text).second) fail(key, fmt::format("the key '{}' is given twice", shown(key.text)));
    parent.key = std::move(key);
  }

  void add_member(Open& parent, Value value) {
    Value key = std::move(*parent.key);
    parent.key.reset();
    // The parser finds an empty value where the next token stands.
    if (value.kind == Value::Kind::Null) value.line = key.line, value.column = key.column;
    if (key.text == "<<" && !key.quoted) {
      parent.merged = std::move(value);
    } else {
      parent.value.members.push_back({std::move(key.text), key.line, key.column, std::move(value)});
    }
  }

  // `<<: *defaults` and `<<: [*a, *b]`: their members where the mapping has none of its own, earlier ones first.
  void merge(Open& mapping) const {
    if (!mapping.merged) return;
    Value& merged = *mapping.merged;
    if (merged.kind == Value::Kind::Mapping) return merge_from(mapping, merged);
    if (merged.kind != Value::Kind::Sequence) fail(merged, not_a_mapping(merged));
    for (Value& item : merged.items) merge_from(mapping, item);
  }

  void merge_from(Open& mapping, Value& from) const {
    if (from.kind != Value::Kind::Mapping) fail(from, not_a_mapping(from));
    for (Value::Member& member : from.members)
      if (mapping.keys.insert(member.key).second) mapping.value.members.push_back(std::move(member));
  }

  static std::string not_a_mapping(const Value& value) {
    return fmt::format("found {} under '<<', allowed: a mapping or a list of mappings", value.describe());
  }

  FileName file_;
  Value root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Value> anchored_;  // complete ones of this document
  size_t alias_nodes_ = 0;
  int last_start_ = -1;  // of a document, in bytes
};

// Length of the UTF-8 sequence at `at`, or 0 if there is none: RFC 3629, table 3-7 of the Unicode standard.
size_t utf8_length(const std::string& text, size_t at) {
  auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  unsigned first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4 || !follows(1)) return 0;
  if (first < 0xe0) return 2;
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || !follows(2)) return 0;
  if (first < 0xf0) return 3;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f) || !follows(3)) return 0;
  return 4;
}

// The parser takes some control bytes for the end of input and other encodings for text, so they never reach it.
void check_characters(const std::string& text, const std::string& file) {
  int line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < text.size();) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
    size_t length = control ? 0 : utf8_length(text, i);
    if (length == 0) {
      SourceMark mark{file, line, static_cast<int>(i - line_start) + 1};
      throw InputError({Severity::Error, mark, "", fmt::format("found the byte 0x{:02x}, allowed: text in UTF-8", c)});
    }
    i += length;
    if (c == '\n') line++, line_start = i;
  }
}

// JSON may be indented with tabs, YAML may not: a space in place of each tab outside strings keeps every column.
std::string without_json_tabs(const std::string& text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || (text[first] != '{' && text[first] != '[')) return text;
  std::string out = text;
  bool in_string = false;
  for (size_t i = 0; i < out.size(); i++) {
    if (out[i] == '"')
      in_string = !in_string;
    else if (out[i] == '\\' && in_string)
      i++;
    else if (out[i] == '\t' && !in_string)
      out[i] = ' ';
  }
  return out;
}

// Text that YAML reads back as the same plain scalar wherever it stands.
bool is_plain(const std::string& text) {
  auto word = [](unsigned char c) { return std::isalnum(c) || (c != 0 && std::strchr("_./+-", c)); };
  if (!std::all_of(text.begin(), text.end(), word)) return false;
  if (text == "null" || text == "Null" || text == "NULL") return false;
  return text.find_first_not_of(".+-") != std::string::npos;
}

std::string scalar_yaml(const Value& value) {
  if (value.kind == Value::Kind::Null) return "null";
  return value.quoted || !is_plain(value.text) ? quote(value.text) : value.text;
}

bool is_block(const Value& value) { return !value.items.empty() || !value.members.empty(); }

// An empty collection or a scalar, on the line where it stands.
std::string inline_yaml(const Value& value) {
  if (value.kind == Value::Kind::Sequence) return "[]";
  if (value.kind == Value::Kind::Mapping) return "{}";
  return scalar_yaml(value);
}

void write_yaml(const Value& value, size_t indent, std::string& out) {
  std::string margin(indent, ' ');
  for (const Value& item : value.items) {
    out += margin + '-';
    if (!is_block(item)) {
      out += ' ' + inline_yaml(item) + '\n';
      continue;
    }
    out += '\n';
    write_yaml(item, indent + 2, out);
  }
  for (const Value::Member& member : value.members) {
    out += margin + (is_plain(member.key) ? member.key : quote(member.key)) + ':';
    if (!is_block(member.value)) {
      out += ' ' + inline_yaml(member.value) + '\n';
      continue;
    }
    out += '\n';
    write_yaml(member.value, indent + 2, out);
  }
}

}  // namespace

const Value* Value::find(const std::string& key) const {
  for (const Member& member : members)
    if (member.key == key) return &member.value;
  return nullptr;
}

Value* Value::find(const std::string& key) { return const_cast<Value*>(std::as_const(*this).find(key)); }

SourceMark Value::mark() const { return {file ? *file : std::string(), line, column}; }

std::string Value::describe() const {
  switch (kind) {
    case Kind::Null:
      return "nothing";
    case Kind::Scalar:
      return "'" + shown(text) + "'";
    case Kind::Sequence:
      return "a list";
    case Kind::Mapping:
      return "a mapping";
  }
  return {};
}

std::vector<Value> parse_yaml(const std::string& text, const std::string& file) {
  check_characters(text, file);
  std::istringstream stream(without_json_tabs(text));
  TreeBuilder builder(std::make_shared<const std::string>(file));
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    throw InputError({Severity::Error, {file, e.mark.line + 1, e.mark.column + 1}, "", "not valid YAML: " + e.msg});
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& e) {
    throw InputError({Severity::Error, {file, 0, 0}, "", std::string("not valid YAML: ") + e.what()});
  }
  return std::move(builder.documents);
}

std::vector<Value> read_yaml(const std::string& path) {
  if (path == "-") {
    std::string text(std::istreambuf_iterator<char>(std::cin), {});
    return parse_yaml(text, "-");
  }
  return parse_yaml(read_file(path), path);
}

std::string to_yaml(const Value& value) {
  if (!is_block(value)) return inline_yaml(value) + '\n';
  std::string out;
  write_yaml(value, 0, out);
  return out;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + '"';
}

void Diagnostics::error(const SourceMark& mark, const std::string& field, const std::string& message) {
  add(Severity::Error, mark, field, message);
}

void Diagnostics::warn(const SourceMark& mark, const std::string& field, const std::string& message) {
  add(strict_ ? Severity::Error : Severity::Warning, mark, field, message);
}

void Diagnostics::note(const SourceMark& mark, const std::string& field, const std::string& message) {
  add(Severity::Note, mark, field, message);
}

void Diagnostics::add(Severity severity, const SourceMark& mark, const std::string& field, const std::string& message) {
  Diagnostic diagnostic{severity, mark, field, message};
  if (!seen_.insert(diagnostic.text()).second) return;
  if (severity == Severity::Error) errors_++;
  diagnostics_.push_back(std::move(diagnostic));
}

void Diagnostics::throw_if_errors() const {
  if (errors_ > 0) throw InputError(diagnostics_);
}

}  // namespace kisim
