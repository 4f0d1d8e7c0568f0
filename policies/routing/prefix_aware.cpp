#include "policy/registry.hpp"
#include "policy/router.hpp"

namespace kisim {
namespace {

// The cost of a worker as in Dynamo's KV router (ai-dynamo/dynamo, docs/router): overlapScoreWeight · (prompt tokens
// that it would have to compute, those already sent to it included) + tokens whose KV it would hold; the cheapest is
// chosen. Dynamo counts both in blocks, of the same size.
class PrefixAwareRouter final : public Router {
 public:
  explicit PrefixAwareRouter(double weight) : weight_(weight) {}

  uint32_t pick(const Endpoints& endpoints, RouterMemory& memory, Stream&) const override {
    const auto n = static_cast<uint32_t>(endpoints.size());
    uint32_t best = 0;
    double least = 0;
    for (uint32_t i = 0; i < n; ++i) {
      const auto e = static_cast<uint32_t>((memory.word[0] + i) % n);  // ties in turn
      const EndpointView& view = *endpoints.view;
      const int64_t prefill = endpoints.prompt_tokens - view.cached_tokens(e) + view.prefill_tokens(e);
      const double cost = weight_ * static_cast<double>(prefill) + static_cast<double>(view.kv_tokens(e));
      if (i > 0 && cost >= least) continue;
      best = e;
      least = cost;
    }
    memory.word[0] = best + 1;
    return best;
  }

 private:
  double weight_;
};

KISIM_POLICY(Router, "prefix-aware",
             "the endpoint with the least to compute and to hold, what its prefix cache has of the prompt taken off",
             {{.name = "overlapScoreWeight",
               .type = ParamSpec::Type::Number,
               .default_text = "1",
               .doc = "of a token to compute, beside one to hold; 0 = cached prefixes do not count",
               .min = 0,
               .max = 1e6}},
             [](const Params& p) -> std::unique_ptr<const Router> {
               return std::make_unique<PrefixAwareRouter>(p.number("overlapScoreWeight"));
             });

}  // namespace
}  // namespace kisim
