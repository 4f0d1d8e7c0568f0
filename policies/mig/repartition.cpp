// Cuts GPUs anew for pods that have waited long enough for devices: the node and the config that take most of them, and
// of those the first that makes the fewest pods go. Nothing is cut that makes fewer of the waiting pods fit than
// before.

#include "policy/mig.hpp"
#include "policy/registry.hpp"

#include <algorithm>

namespace kisim {
namespace {

struct NoMemory : CopyableMemory<NoMemory> {};

class Repartition : public MigPolicy {
 public:
  Repartition(Duration delay, Duration cool_down, int64_t max_evictions)
      : delay_(delay), cool_down_(cool_down), max_evictions_(max_evictions) {}

  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<NoMemory>(); }

  std::vector<MigRequest> decide(const MigObservation& seen, PolicyMemory&, Stream&) const override {
    std::vector<MigRequest> out;
    std::vector<int32_t> waiting;
    for (const MigDemand& demand : seen.demands) waiting.push_back(demand.since + delay_ <= seen.now ? demand.pods : 0);
    std::vector<uint8_t> asked(seen.nodes.size(), 0);
    while (true) {
      Best best;
      for (uint32_t n = 0; n < seen.nodes.size(); ++n) {
        const MigNodeView& node = seen.nodes[n];
        // At the instant of the change itself the pods that it is for have not been scheduled yet.
        bool rests = node.changed && *node.changed + cool_down_ >= seen.now;
        if (asked[n] || !node.ready || rests) continue;
        int32_t before = total(served(seen, node.now, waiting));
        for (const MigCut& cut : node.cuts) {
          if (cut.users > max_evictions_) continue;
          int32_t more = total(served(seen, cut, waiting)) - before;
          if (more > best.pods || (more == best.pods && more > 0 && cut.users < best.cut->users))
            best = {more, n, &cut};
        }
      }
      if (!best.cut) return out;
      asked[best.node] = 1;
      std::vector<int32_t> taken = served(seen, *best.cut, waiting);
      out.push_back({best.node, best.cut->config, reason(seen, taken)});
      for (size_t d = 0; d < waiting.size(); ++d) waiting[d] -= taken[d];
    }
  }

 private:
  struct Best {
    int32_t pods = 0;
    uint32_t node = 0;
    const MigCut* cut = nullptr;
  };

  // How many pods of each demand find their devices, those asked first coming first.
  static std::vector<int32_t> served(const MigObservation& seen, const MigCut& cut,
                                     const std::vector<int32_t>& waiting) {
    std::vector<int64_t> free = cut.free;
    std::vector<int32_t> out;
    for (size_t d = 0; d < waiting.size(); ++d) {
      int64_t pods = cut.admits[d] ? waiting[d] : 0;
      for (const auto& request : seen.demands[d].devices)
        pods = std::min(pods, free[request.resource.value] / request.count);
      for (const auto& request : seen.demands[d].devices) free[request.resource.value] -= pods * request.count;
      out.push_back(static_cast<int32_t>(pods));
    }
    return out;
  }

  static int32_t total(const std::vector<int32_t>& pods) {
    int32_t sum = 0;
    for (int32_t n : pods) sum += n;
    return sum;
  }

  static std::string reason(const MigObservation& seen, const std::vector<int32_t>& taken) {
    std::string out;
    for (size_t d = 0; d < taken.size(); ++d)
      if (taken[d] > 0) out += fmt::format("{}{} of {}", out.empty() ? "" : ", ", taken[d], seen.demands[d].name);
    return "room for waiting pods: " + out;
  }

  Duration delay_, cool_down_;
  int64_t max_evictions_;
};

KISIM_POLICY(MigPolicy, "repartition", "cuts GPUs anew for pods that wait for devices",
             {{.name = "delay",
               .type = ParamSpec::Type::Duration,
               .default_text = "1m",
               .doc = "how long a pod waits before GPUs are cut for it",
               .min = 0,
               .max = 86400},
              {.name = "coolDown",
               .type = ParamSpec::Type::Duration,
               .default_text = "10m",
               .doc = "from the end of a node's reconfiguration to its next one",
               .min = 0,
               .max = 86400},
              {.name = "maxEvictions",
               .type = ParamSpec::Type::Integer,
               .default_text = "0",
               .doc = "pods that may have to go for it",
               .min = 0,
               .max = 1e6}},
             [](const Params& p) -> std::unique_ptr<const MigPolicy> {
               return std::make_unique<Repartition>(p.duration("delay"), p.duration("coolDown"),
                                                    p.integer("maxEvictions"));
             });

}  // namespace
}  // namespace kisim
