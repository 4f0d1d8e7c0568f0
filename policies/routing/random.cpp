#include "policy/registry.hpp"
#include "policy/router.hpp"

namespace kisim {
namespace {

class RandomRouter final : public Router {
 public:
  uint32_t pick(const Endpoints& endpoints, RouterMemory&, Stream& stream) const override {
    return stream.below(static_cast<uint32_t>(endpoints.size()));
  }
};

KISIM_POLICY(Router, "random", "any endpoint, each equally likely", {},
             [](const Params&) -> std::unique_ptr<const Router> { return std::make_unique<RandomRouter>(); });

}  // namespace
}  // namespace kisim
