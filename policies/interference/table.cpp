#include "core/error.hpp"
#include "policy/interference.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <sstream>
#include <vector>

namespace kisim {
namespace {

// Measured: the speed of each of k active replicas, k = 2, 3, …; for more of them than were measured, the last total
// is shared.
class InterferenceTable final : public Interference {
 public:
  explicit InterferenceTable(std::vector<double> speeds) : speeds_(std::move(speeds)) {}
  double speed(std::span<const GpuDemand> busy, size_t) const override {
    size_t measured = std::min(busy.size() - 2, speeds_.size() - 1);
    return speeds_[measured] * static_cast<double>(measured + 2) / static_cast<double>(busy.size());
  }

 private:
  std::vector<double> speeds_;
};

std::vector<double> speeds_of(const std::string& text) {
  std::vector<double> speeds;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    std::istringstream number(word);
    double speed = 0;
    if (!(number >> speed) || !(number >> std::ws).eof() || !(speed > 0))
      throw InputError({Severity::Error, {}, "speeds", "found '" + word + "', allowed: numbers above 0"});
    speeds.push_back(speed);
  }
  if (speeds.empty()) throw InputError({Severity::Error, {}, "speeds", "missing, needed: speeds at 2, 3, … replicas"});
  return speeds;
}

KISIM_POLICY(Interference, "table", "measured speeds by the number of active replicas",
             {{"speeds", ParamSpec::Type::Text, "", "of each of 2, 3, … active replicas: 0.68,0.48"}},
             [](const Params& p) -> std::unique_ptr<const Interference> {
               return std::make_unique<InterferenceTable>(speeds_of(p.text("speeds")));
             });

}  // namespace
}  // namespace kisim
