#include "policy/registry.hpp"
#include "policy/router.hpp"

namespace kisim {
namespace {

// memory.word[0]: the endpoint whose turn it is.
class RoundRobinRouter final : public Router {
 public:
  uint32_t pick(const Endpoints& endpoints, RouterMemory& memory, Stream&) const override {
    uint64_t turn = memory.word[0] < endpoints.size() ? memory.word[0] : 0;
    memory.word[0] = turn + 1;
    return static_cast<uint32_t>(turn);
  }
};

KISIM_POLICY(Router, "round-robin", "each endpoint in turn", {},
             [](const Params&) -> std::unique_ptr<const Router> { return std::make_unique<RoundRobinRouter>(); });

}  // namespace
}  // namespace kisim
