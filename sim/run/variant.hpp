#pragma once
// A scenario in many variants: other seeds, and factors on what nobody knows exactly. For training, where a policy must
// hold for more than one cluster, and for whoever asks how sure a result is.

#include "run/model.hpp"

#include <memory>
#include <vector>

namespace kisim {

// Against the scenario as it is.
struct Variation {
  double load = 1;                                // arrivals per second, or users
  double service = 1;                             // time that accelerators take for the same work
  double startup = 1;                             // time until a pod is ready, from the pull of its image on
  double failures = 1;                            // how often faults come that come again and again
  Duration metrics_delay;                         // beside that of the scenario
  double metrics_noise = 0, metrics_dropout = 0;  // beside those of the scenario

  bool operator==(const Variation&) const = default;
};

// What a Variation is drawn from, evenly; factors evenly in their logarithm.
struct VariationRange {
  struct Range {
    double low = 1, high = 1;
  };
  Range load, service, startup, failures;
  Range metrics_delay{0, 0};  // s
  Range metrics_noise{0, 0}, metrics_dropout{0, 0};

  Variation draw(uint64_t seed, uint64_t episode) const;
};

// A copy of a Model that can become another variant in place, which is cheaper than compiling it anew. Worlds of the
// variant before must be gone.
class ModelVariant {
 public:
  explicit ModelVariant(const Model& model);

  // As compiled from the scenario with this seed, but for the variation.
  void set(uint64_t seed, const Variation& variation);
  std::shared_ptr<const Model> model() const { return model_; }

 private:
  SourceModel scaled(const SourceModel& source, double load) const;

  std::shared_ptr<Model> model_;
  std::vector<SourceModel> sources_;  // as compiled
  MetricsSettings metrics_;
};

}  // namespace kisim
