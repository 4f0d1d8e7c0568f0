#include "core/math.hpp"
#include "gpu_devices.hpp"
#include "gpu_fragmentation.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

#include <limits>

namespace kisim {
namespace {

struct FgdData : PluginData {
  explicit FgdData(GpuFragmentation f) : fragmentation(std::move(f)) {}
  GpuFragmentation fragmentation;
};

// Fragmentation gradient descent: where the fragmentation of the GPUs grows the least, down to the device (Weng et al.,
// ATC'23). A node scores 100 sigmoid(F_before - F_after), truncated, with F in GPUs.
class Fgd : public SchedulerPlugin {
 public:
  explicit Fgd(FgdArgs args) : args_(std::move(args)) {}

  ExtensionPoints points() const override { return {ExtensionPoint::Score, ExtensionPoint::Reserve}; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    return std::make_unique<FgdData>(GpuFragmentation(p.model, args_));
  }

  Reads score_reads() const override { return Reads::NodePods; }
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    GpuRequest request = gpu_request(c.model);
    for (size_t i = 0; i < nodes.size(); ++i) {
      int64_t best = best_decrease(request, c.cluster.device_free_milli(nodes[i]), choice(c, nodes[i]));
      scores[i] = sigmoid_score(c, best);
    }
  }

  // The first of the devices with the best score: scores are whole numbers, so its F need not be the least.
  StatusCode reserve(PluginContext& c, NodeId node, std::vector<uint16_t>& devices) const override {
    if (!chooses_devices(c.model)) return StatusCode::Success;
    GpuRequest request = gpu_request(c.model);
    std::span<const int32_t> free = c.cluster.device_free_milli(node);
    if (!request.part_of_one()) return choose_tightest(free, request, devices), StatusCode::Success;
    GpuFragmentation::Choice outcome = choice(c, node);
    int64_t best = -1;
    for (size_t d = 0; d < free.size(); ++d) {
      if (free[d] < request.milli) continue;
      int64_t score = sigmoid_score(c, outcome.decrease(request.milli, 1, free[d]));
      if (score <= best) continue;
      best = score;
      devices.assign(1, static_cast<uint16_t>(d));
    }
    return StatusCode::Success;
  }

 private:
  // From Reserve on, the pod's CPU counts as requested on its node.
  static GpuFragmentation::Choice choice(PluginContext& c, NodeId node) {
    int64_t cpu = c.model.request[kCpu.value];
    int64_t free_cpu = c.cluster.allocatable(node)[kCpu.value] - c.cluster.requested(node)[kCpu.value];
    if (c.cluster.pod(c.pod).node == node) free_cpu += cpu;
    return {c.data_as<FgdData>().fragmentation,
            c.cluster.version(node),
            free_cpu,
            cpu,
            c.cluster.device_free_milli(node),
            c.scratch};
  }

  // Whole devices are alike, and pods without GPUs take none.
  static int64_t best_decrease(GpuRequest request, std::span<const int32_t> free,
                               const GpuFragmentation::Choice& choice) {
    if (!request.part_of_one()) return choice.decrease(request.milli, request.count, kWholeGpuMilli);
    int64_t best = std::numeric_limits<int64_t>::min();
    int32_t previous = -1;
    for (int32_t f : free) {
      if (f < request.milli || f == previous) continue;
      best = std::max(best, choice.decrease(request.milli, 1, f));
      previous = f;
    }
    return best;
  }

  static int64_t sigmoid_score(const PluginContext& c, int64_t decrease) {
    double scale = static_cast<double>(c.data_as<FgdData>().fragmentation.weight()) * kWholeGpuMilli;
    double x = static_cast<double>(decrease) / scale;
    return static_cast<int64_t>(static_cast<double>(kMaxNodeScore) / (1 + math::exp(-x)));
  }

  FgdArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "FGD", "nodes and devices whose GPUs fragment the least (ATC'23)", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<Fgd>(params.args<FgdArgs>());
             });

}  // namespace
}  // namespace kisim
