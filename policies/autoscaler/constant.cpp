// Keeps a fixed number of replicas: the yardstick of every autoscaler.

#include "policy/autoscaler.hpp"
#include "policy/registry.hpp"

namespace kisim {
namespace {

struct NoMemory : CopyableMemory<NoMemory> {};

class ConstantAutoscaler : public Autoscaler {
 public:
  explicit ConstantAutoscaler(int32_t replicas) : replicas_(replicas) {}

  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<NoMemory>(); }

  void decide(const Observation& seen, PolicyMemory&, Stream&, Decision& decision) const override {
    decision.desired = replicas_;
    if (decision.desired != seen.replicas) decision.reason = "constant";
  }

 private:
  int32_t replicas_;
};

KISIM_POLICY(Autoscaler, "constant", "keeps a fixed number of replicas",
             {{.name = "replicas",
               .type = ParamSpec::Type::Integer,
               .default_text = "1",
               .doc = "replicas to keep",
               .min = 0,
               .max = 1e6}},
             [](const Params& p) -> std::unique_ptr<const Autoscaler> {
               return std::make_unique<ConstantAutoscaler>(static_cast<int32_t>(p.integer("replicas")));
             });

}  // namespace
}  // namespace kisim
