// Whatever bytes come in, the scenario reader either reads them or complains with an InputError; it opens no file.
#include "io/input.hpp"

#include <cstdlib>

using namespace kisim;

namespace {

// Written documents read back as themselves.
void check_round_trip(const Value& document) {
  std::string text = to_yaml(document);
  std::vector<Value> again = parse_yaml(text, "again");
  bool same = again.size() == 1 && to_yaml(again[0]) == text;
  // An empty document is no document.
  if (!same && document.kind != Value::Kind::Null) std::abort();
}

void read(const std::string& text, bool strict) {
  ReadOptions options;
  options.files = false;
  options.strict = strict;
  try {
    read_scenario_text(text, "fuzz.yaml", options);
  } catch (const InputError& e) {
    if (e.diagnostics().empty()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const Value& document : parse_yaml(text, "fuzz.yaml")) check_round_trip(document);
  } catch (const InputError&) {
  }
  read(text, false);
  // Past the head of the document, where bytes alone seldom get.
  read("apiVersion: kisim.dev/v1\nkind: Scenario\nmetadata: {name: fuzz}\nspec:\n" + text, true);
  return 0;
}
