#include "io/value.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <fstream>

using namespace kisim;
using Kind = Value::Kind;

namespace {

Value parse_one(const std::string& text) {
  std::vector<Value> documents = parse_yaml(text, "t.yaml");
  REQUIRE(documents.size() == 1);
  return documents[0];
}

std::string complaint(const std::string& text) {
  try {
    parse_yaml(text, "t.yaml");
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

// The tree without its marks.
std::string shape(const Value& value) {
  if (value.kind == Kind::Null) return "null";
  if (value.kind == Kind::Scalar) return (value.quoted ? "\"" : "'") + value.text + (value.quoted ? "\"" : "'");
  std::string out;
  for (const Value& item : value.items) out += shape(item) + " ";
  for (const Value::Member& member : value.members) out += member.key + "=" + shape(member.value) + " ";
  return value.kind == Kind::Sequence ? "[" + out + "]" : "{" + out + "}";
}

}  // namespace

TEST_CASE("a tree remembers where everything stood") {
  Value root = parse_one("a: 1\nb:\n  - x\n  - {c: 'q'}\n");
  CHECK(shape(root) == "{a='1' b=['x' {c=\"q\" } ] }");
  const Value& item = root.find("b")->items[1];
  CHECK(item.line == 4);
  CHECK(item.column == 5);
  CHECK(item.members[0].line == 4);
  CHECK(item.members[0].column == 6);
  CHECK(item.find("c")->column == 9);
  CHECK(*item.file == "t.yaml");
  CHECK(root.find("z") == nullptr);
  CHECK(item.find("c")->find("z") == nullptr);
}

TEST_CASE("null is a plain empty, ~ or null; quotes make text") {
  CHECK(shape(parse_one("{a: , b: ~, c: null, d: '', e: 'null', f: !!str 5}")) ==
        "{a=null b=null c=null d=\"\" e=\"null\" f=\"5\" }");
}

TEST_CASE("several documents, empty ones left out") {
  CHECK(parse_yaml("", "t").empty());
  CHECK(parse_yaml("# only words\n", "t").empty());
  CHECK(parse_yaml("---\n---\n...\n", "t").empty());
  CHECK(parse_yaml("a: 1\n---\n---\n- b\n", "t").size() == 2);
  CHECK(parse_yaml("\xef\xbb\xbf"
                   "a: 1\r\nb: 2\r\n",
                   "t")
            .size() == 1);
}

TEST_CASE("anchors, aliases and merge keys") {
  CHECK(shape(parse_one("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n")) ==
        "{a={p='1' q='2' } b={p='1' q='2' } c={q='3' p='1' } }");
  CHECK(shape(parse_one("x: &x {p: 1}\ny: &y {p: 2, r: 3}\nz: {<<: [*x, *y]}\n")) ==
        "{x={p='1' } y={p='2' r='3' } z={p='1' r='3' } }");
  CHECK(shape(parse_one("'<<': 1")) == "{<<='1' }");
  CHECK(complaint("a: {<<: 5}") == "t.yaml:1:9: found '5' under '<<', allowed: a mapping or a list of mappings");
  CHECK(complaint("a: &a [*a]") == "t.yaml:1:8: found an alias inside the value that it stands for");
  CHECK(complaint("a: *nobody").find("t.yaml:1:4: not valid YAML") == 0);
}

TEST_CASE("aliases that expand without end are refused") {
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'k'; c++) {
    std::string before(1, static_cast<char>(c - 1));
    bomb += fmt::format("{}: &{} [*{}, *{}, *{}, *{}, *{}, *{}, *{}, *{}]\n", c, c, before, before, before, before,
                        before, before, before, before);
  }
  CHECK(complaint(bomb).find("aliases expand to more than 1000000 values") != std::string::npos);
}

TEST_CASE("nesting is bounded, by brackets and by aliases") {
  CHECK(complaint(std::string(64, '[') + std::string(64, ']')).empty());
  CHECK(complaint(std::string(65, '[') + std::string(65, ']')) == "t.yaml:1:65: nested deeper than 64 levels");
  CHECK(complaint(std::string(1'000'000, '[')).find("t.yaml:1:") == 0);
  std::string by_alias = "a: &a " + std::string(40, '[') + std::string(40, ']') + "\nb: " + std::string(40, '[') +
                         "*a" + std::string(40, ']');
  CHECK(complaint(by_alias).find("nested deeper than 64 levels") != std::string::npos);
}

TEST_CASE("keys are text and unique") {
  CHECK(complaint("a: 1\nb: 2\na: 3\n") == "t.yaml:3:1: the key 'a' is given twice");
  CHECK(complaint("{a: 1}: 2\n").find("found a mapping as a key") != std::string::npos);
  CHECK(complaint("~: 2\n") == "t.yaml:1:1: found nothing as a key, allowed: text");
}

TEST_CASE("bytes that are no text are refused with their place") {
  CHECK(complaint(std::string("a: 1\nb: \0", 9)) == "t.yaml:2:4: found the byte 0x00, allowed: text in UTF-8");
  CHECK(complaint("a: \x04") == "t.yaml:1:4: found the byte 0x04, allowed: text in UTF-8");
  CHECK(complaint("a: \xc0\xaf") == "t.yaml:1:4: found the byte 0xc0, allowed: text in UTF-8");
  CHECK(complaint("a: \xed\xa0\x80") == "t.yaml:1:4: found the byte 0xed, allowed: text in UTF-8");
  CHECK(complaint("a: \xf4\x90\x80\x80") == "t.yaml:1:4: found the byte 0xf4, allowed: text in UTF-8");
  CHECK(complaint("a: \xe2\x82") == "t.yaml:1:4: found the byte 0xe2, allowed: text in UTF-8");
  CHECK(shape(parse_one("a: \xe2\x82\xac \xf0\x9f\x98\x80")) == "{a='\xe2\x82\xac \xf0\x9f\x98\x80' }");
}

TEST_CASE("broken YAML names its place") {
  CHECK(complaint("a: [1, 2\n").find("t.yaml:2:1: not valid YAML: ") == 0);
  CHECK(complaint("a: 1\n b: 2\n").find("t.yaml:2:") == 0);
  CHECK(complaint("- a\n, b\nb&") == "t.yaml:2:1: not valid YAML: text that belongs to no document");
  CHECK(complaint("a: !mine 1\n") == "t.yaml:1:4: found the tag '!mine', allowed: only YAML's own tags");
}

TEST_CASE("JSON, also when tabs indent it") {
  Value root = parse_one("{\n\t\"a\":\t[1, \"two\\t\\u00e9\"],\n\t\"b\": {\"c\": null, \"d\": \"\t\"}\n}\n");
  CHECK(shape(root) == "{a=['1' \"two\t\xc3\xa9\" ] b={c=null d=\"\t\" } }");
  CHECK(root.members[1].line == 3);
  CHECK(root.members[1].column == 2);
}

TEST_CASE("written YAML reads back as the same tree") {
  for (const char* text :
       {"a: 1\nb: [x, {c: 'q', d: []}, {}, ~, [1, [2]]]\n", "'': \"multi\\nline \\\\ \\\" \\0 \\x7f\"\n",
        "k: 20/s\nl: '5'\nm: '- a: b # c'\nn: -5\no: .5\n", "'null': 'null'\n'~': '~'\n'<<': 1\n'a b': a b\n"}) {
    Value once = parse_one(text);
    Value again = parse_one(to_yaml(once));
    CHECK(to_yaml(again) == to_yaml(once));
  }
  CHECK(to_yaml(parse_one("{b: {c: 20/s}, a: ['5', []]}")) == "b:\n  c: 20/s\na:\n  - \"5\"\n  - []\n");
}

TEST_CASE("files that cannot be read") {
  CHECK_THROWS_AS(read_yaml("no/such/file.yaml"), IoError);
  CHECK_THROWS_AS(read_yaml("."), IoError);
}

TEST_CASE("what was meant") {
  CHECK(not_allowed("poison", {"poisson", "constant"}) ==
        "found 'poison', allowed: poisson, constant (did you mean 'poisson'?)");
  CHECK(closest("rnu", {"run", "list"}) == "run");
  CHECK(closest("H100", {"h100-80gb", "l4"}) == "h100-80gb");
  CHECK(closest("hpa", {"vpa", "HPA"}) == "HPA");
  CHECK(not_allowed("zzz", {"poisson", "constant"}) == "found 'zzz', allowed: poisson, constant");
  CHECK(not_allowed("x", {}) == "found 'x', allowed: none");
  CHECK(closest(std::string(10000, 'a'), {"aaa"}).empty());
}

TEST_CASE("diagnostics are kept once, and strict turns warnings into errors") {
  Diagnostics lenient;
  lenient.warn({"f", 1, 2}, "spec.a", "unknown field");
  lenient.warn({"f", 1, 2}, "spec.a", "unknown field");
  CHECK(lenient.all().size() == 1);
  CHECK_FALSE(lenient.has_errors());
  CHECK_NOTHROW(lenient.throw_if_errors());

  Diagnostics strict(true);
  strict.warn({"f", 1, 2}, "spec.a", "unknown field");
  strict.error({"f", 3, 4}, "spec.b", "found 'x', allowed: y");
  CHECK_THROWS_WITH(strict.throw_if_errors(), "f:1:2: spec.a: unknown field\nf:3:4: spec.b: found 'x', allowed: y");
}
