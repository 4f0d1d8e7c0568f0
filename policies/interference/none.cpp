#include "policy/interference.hpp"
#include "policy/registry.hpp"

namespace kisim {
namespace {

class NoInterference final : public Interference {
 public:
  double speed(std::span<const GpuDemand>, size_t) const override { return 1; }
};

KISIM_POLICY(Interference, "none", "neighbours do not feel each other", {},
             [](const Params&) -> std::unique_ptr<const Interference> { return std::make_unique<NoInterference>(); });

}  // namespace
}  // namespace kisim
