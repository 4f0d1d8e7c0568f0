#pragma once
// Manifests as text, and what reading them gives.

#include "io/input.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace kisim::test {

struct Read {
  Manifests objects;
  std::vector<Diagnostic> diagnostics;

  std::vector<std::string> errors() const { return texts(Severity::Error); }
  std::vector<std::string> warnings() const { return texts(Severity::Warning); }
  std::vector<std::string> notes() const { return texts(Severity::Note); }

 private:
  std::vector<std::string> texts(Severity severity) const {
    std::vector<std::string> out;
    for (const Diagnostic& d : diagnostics)
      if (d.severity == severity) out.push_back(d.text());
    return out;
  }
};

inline Read read(const std::string& text, bool strict = false) {
  Diagnostics diagnostics(strict);
  Read out;
  for (const Value& document : parse_yaml(text, "m.yaml")) read_manifest(document, diagnostics, out.objects);
  finish_manifests(diagnostics, out.objects);
  out.diagnostics = diagnostics.all();
  return out;
}

// Reads what must be without any complaint.
inline Manifests good(const std::string& text) {
  Read r = read(text);
  CAPTURE(r.errors(), r.warnings());
  REQUIRE(r.diagnostics.empty());
  return r.objects;
}

inline int64_t amount(const ResourceList& list, const std::string& name) {
  for (const auto& [resource, value] : list)
    if (resource == name) return value;
  return -1;
}

inline std::string indented(const std::string& text, size_t by) {
  std::string out, pad(by, ' ');
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    out += pad + text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return out;
}

// A Pod whose spec is the given lines.
inline std::string pod(const std::string& spec) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n" + indented(spec, 2);
}
inline const std::string kContainers = "containers: [{name: main, image: i}]\n";

inline std::string deployment(const std::string& name, const std::string& extra = "") {
  return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name +
         "}\nspec:\n  selector: {matchLabels: {app: llama}}\n" + extra +
         "  template:\n    metadata: {labels: {app: llama}}\n    spec: {containers: [{name: main, image: i}]}\n";
}

inline std::string hpa(const std::string& spec) {
  return "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec:\n"
         "  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llama}\n" +
         indented(spec, 2);
}

// Every error, one a line.
inline std::string errors_of(const std::string& text) {
  std::string all;
  for (const std::string& error : read(text).errors()) all += error + "\n";
  return all;
}

}  // namespace kisim::test
