#include "policy/registry.hpp"
#include "policy/router.hpp"

#include <algorithm>

namespace kisim {
namespace {

// The scorers of llm-d's inference scheduler (kv-cache-utilization-scorer, queue-scorer), each from 0 to 1, by weight:
//   kvWeight · (1 − KV usage) + queueWeight · (longest queue − queue)/(longest queue − shortest queue)
class KvUsageAwareRouter final : public Router {
 public:
  KvUsageAwareRouter(double kv, double queue) : kv_(kv), queue_(queue) {}

  uint32_t pick(const Endpoints& endpoints, RouterMemory& memory, Stream&) const override {
    const auto n = static_cast<uint32_t>(endpoints.size());
    const EndpointView& view = *endpoints.view;
    uint32_t shortest = view.waiting(0), longest = shortest;
    for (uint32_t e = 1; e < n; ++e) {
      shortest = std::min(shortest, view.waiting(e));
      longest = std::max(longest, view.waiting(e));
    }
    uint32_t best = 0;
    double most = -1;
    for (uint32_t i = 0; i < n; ++i) {
      const auto e = static_cast<uint32_t>((memory.word[0] + i) % n);  // ties in turn
      const double queue =
          longest == shortest ? 1 : static_cast<double>(longest - view.waiting(e)) / (longest - shortest);
      const double score = kv_ * (1 - view.kv_usage(e)) + queue_ * queue;
      if (score <= most) continue;
      best = e;
      most = score;
    }
    memory.word[0] = best + 1;
    return best;
  }

 private:
  double kv_, queue_;
};

KISIM_POLICY(Router, "kv-usage-aware", "the endpoint with the most free KV memory and the shortest queue",
             {{.name = "kvWeight",
               .type = ParamSpec::Type::Number,
               .default_text = "1",
               .doc = "of the share of free KV blocks",
               .min = 0,
               .max = 1e6},
              {.name = "queueWeight",
               .type = ParamSpec::Type::Number,
               .default_text = "1",
               .doc = "of the queue, beside the longest and the shortest of all endpoints",
               .min = 0,
               .max = 1e6}},
             [](const Params& p) -> std::unique_ptr<const Router> {
               return std::make_unique<KvUsageAwareRouter>(p.number("kvWeight"), p.number("queueWeight"));
             });

}  // namespace
}  // namespace kisim
