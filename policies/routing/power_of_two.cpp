#include "policy/registry.hpp"
#include "policy/router.hpp"

namespace kisim {
namespace {

// Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, TPDS 12(10), 2001.
class PowerOfTwoRouter final : public Router {
 public:
  uint32_t pick(const Endpoints& endpoints, RouterMemory&, Stream& stream) const override {
    auto n = static_cast<uint32_t>(endpoints.size());
    if (n == 1) return 0;
    uint32_t a = stream.below(n), b = stream.below(n - 1);
    if (b >= a) ++b;  // two different ones
    return endpoints.outstanding[b] < endpoints.outstanding[a] ? b : a;
  }
};

KISIM_POLICY(Router, "power-of-two", "the less loaded of two random endpoints", {},
             [](const Params&) -> std::unique_ptr<const Router> { return std::make_unique<PowerOfTwoRouter>(); });

}  // namespace
}  // namespace kisim
