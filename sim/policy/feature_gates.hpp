#pragma once
// Feature gates of Kubernetes that change a decision of the simulated control plane, with their defaults by version
// (pkg/features/kube_features.go).

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

class FeatureGates {
 public:
  // The defaults of Kubernetes 1.`minor`.
  explicit FeatureGates(int minor = 36);

  // Nothing if it went well, else the complaint: a gate that this version lacks, or that it does not let change.
  std::optional<std::string> set(const std::string& name, bool on);
  // False for a gate that this version lacks. Precondition: some version has it.
  bool enabled(const std::string& name) const { return values_.at(name); }
  // Whether kisim behaves as the gate's present value says. Precondition: some version has it.
  bool modelled(const std::string& name) const;

  // The gates of this version, in alphabetical order.
  std::vector<std::string> names() const;
  const std::map<std::string, bool>& values() const { return values_; }

 private:
  int minor_;
  std::map<std::string, bool> values_;
};

}  // namespace kisim
