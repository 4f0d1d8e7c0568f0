#include "policy/registry.hpp"
#include "policy/router.hpp"

#include <algorithm>

namespace kisim {
namespace {

// memory.word[0]: where the search for the least loaded starts, one beyond the last choice, so that ties rotate.
class LeastRequestsRouter final : public Router {
 public:
  uint32_t pick(const Endpoints& endpoints, RouterMemory& memory, Stream&) const override {
    const uint32_t* load = endpoints.outstanding.data();
    size_t n = endpoints.size(), cursor = memory.word[0] < n ? memory.word[0] : 0;
    uint32_t least = load[0];
    for (size_t i = 1; i < n; ++i) least = std::min(least, load[i]);  // a loop without branches: vectorised
    size_t choice = cursor;
    while (load[choice] != least) choice = choice + 1 == n ? 0 : choice + 1;
    memory.word[0] = choice + 1;
    return static_cast<uint32_t>(choice);
  }
};

KISIM_POLICY(Router, "least-requests", "the endpoint with the fewest outstanding requests; ties in turn", {},
             [](const Params&) -> std::unique_ptr<const Router> { return std::make_unique<LeastRequestsRouter>(); });

}  // namespace
}  // namespace kisim
