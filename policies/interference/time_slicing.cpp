#include "policy/interference.hpp"
#include "policy/registry.hpp"

namespace kisim {
namespace {

// Contexts take turns, whatever they would need of the GPU side by side: 1 - switching of the time for k of them
// (NVIDIA's time-slice scheduler: round robin of the active contexts).
class TimeSlicing final : public Interference {
 public:
  explicit TimeSlicing(double switching) : switching_(switching) {}
  double speed(std::span<const GpuDemand> busy, size_t) const override {
    return (1 - switching_) / static_cast<double>(busy.size());
  }

 private:
  double switching_;
};

KISIM_POLICY(Interference, "time-slicing", "active replicas take turns: (1 - switching) / active",
             {{"switching", ParamSpec::Type::Number, "0.02", "share of the time that context switches take", 0, 0.9}},
             [](const Params& p) -> std::unique_ptr<const Interference> {
               return std::make_unique<TimeSlicing>(p.number("switching"));
             });

}  // namespace
}  // namespace kisim
