#include "core/hash.hpp"
#include "policy/registry.hpp"
#include "policy/router.hpp"

#include <numeric>

namespace kisim {
namespace {

// Rendezvous hashing (Thaler, Ravishankar, IEEE/ACM Trans. Networking 6(1), 1998): the endpoint with the highest hash
// of (session, endpoint), so that a session moves only when its endpoint goes or a better one comes. With bounded loads
// (Mirrokni, Thorup, Zadimoghaddam, SODA 2018) the highest of those that have less than maxLoad times the mean.
class SessionAffinityRouter final : public Router {
 public:
  explicit SessionAffinityRouter(double max_load) : max_load_(max_load) {}

  uint32_t pick(const Endpoints& endpoints, RouterMemory&, Stream&) const override {
    const auto n = static_cast<uint32_t>(endpoints.size());
    const std::span<const uint32_t> load = endpoints.outstanding;
    const uint64_t all = std::accumulate(load.begin(), load.end(), uint64_t{1});  // with the one to route
    const double most = max_load_ * static_cast<double>(all) / n;
    uint32_t best = n;
    uint64_t highest = 0;
    for (uint32_t e = 0; e < n; ++e) {
      if (max_load_ > 0 && load[e] >= most) continue;
      const uint64_t hash = hash_combine(endpoints.session, endpoints.view->name(e));
      if (best < n && hash <= highest) continue;
      best = e;
      highest = hash;
    }
    return best;
  }

 private:
  double max_load_;
};

KISIM_POLICY(Router, "session-affinity", "all requests of a session to one endpoint, by rendezvous hashing",
             {{.name = "maxLoad",
               .type = ParamSpec::Type::Number,
               .default_text = "0",
               .doc = "outstanding requests over the mean of all endpoints, at least 1, beyond which an endpoint is "
                      "passed over; 0 = no limit",
               .min = 0,
               .max = 1e6}},
             [](const Params& p) -> std::unique_ptr<const Router> {
               if (p.number("maxLoad") > 0 && p.number("maxLoad") < 1)
                 throw InputError({Severity::Error, {}, "maxLoad", "found less than 1, allowed: 0, or at least 1"});
               return std::make_unique<SessionAffinityRouter>(p.number("maxLoad"));
             });

}  // namespace
}  // namespace kisim
