#include "policy/interference.hpp"
#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {
namespace {

// Kernels run side by side until a resource r is asked for more than there is:
//   slowdown = max over r of max(1, Σ demand_r) · (1 + gamma (k - 1)), gamma for caches and copies that they share.
class Mps final : public Interference {
 public:
  explicit Mps(double gamma) : gamma_(gamma) {}
  double speed(std::span<const GpuDemand> busy, size_t) const override {
    double compute = 0, bandwidth = 0;
    for (const GpuDemand& d : busy) {
      compute += d.compute;
      bandwidth += d.bandwidth;
    }
    return 1 / (std::max({1.0, compute, bandwidth}) * (1 + gamma_ * static_cast<double>(busy.size() - 1)));
  }

 private:
  double gamma_;
};

KISIM_POLICY(Interference, "mps", "active replicas share the SMs and the memory bandwidth that they ask for",
             {{"gamma", ParamSpec::Type::Number, "0.03", "slow-down per active neighbour beside that", 0, 10}},
             [](const Params& p) -> std::unique_ptr<const Interference> {
               return std::make_unique<Mps>(p.number("gamma"));
             });

}  // namespace
}  // namespace kisim
