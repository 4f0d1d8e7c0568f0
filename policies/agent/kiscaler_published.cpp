// The agent of KIScaler (KIS-S, arXiv 2507.07932) as published: ten raw numbers, and for each of two workloads, a
// GPU's and a CPU's, a change of -2 to 2 replicas; a third choice, the placement, that nothing looks at.
// Kept for comparison. One thing differs: metrics that are missing are 0, not made up.

#include "policy/agent.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace kisim {
namespace {

constexpr size_t kWindow = 5;  // throughputs that the variance is of
constexpr int32_t kMostReplicas = 10;

struct PublishedMemory : CopyableMemory<PublishedMemory> {
  std::vector<double> throughput;  // the latest last, as many as the window
};

class KiscalerPublished final : public AgentCoding {
 public:
  std::optional<std::string> complaint(size_t targets) const override {
    if (targets == 2) return std::nullopt;
    return "found kiscaler-published for " + std::to_string(targets) +
           " workloads, allowed: for two, the GPU's and the CPU's";
  }

  std::vector<Feature> observation(std::span<const std::string>) const override {
    return {{"cpu_util in %", 0, 100},
            {"mem_util in %", 0, 100},
            {"gpu_util in %", 0, 100},
            {"p95 in ms", 0, 10000},
            {"requests per s", 0, 100},
            {"replicas of the GPU's", 0, 10},
            {"replicas of the CPU's", 0, 10},
            // Its own space begins at 0 and does not hold a falling load.
            {"load_trend", -1, 1},
            {"load_variance", 0, 1},
            {"episode_progress", 0, 1}};
  }

  ActionSpace actions(size_t) const override { return ActionSpace::multi_discrete({5, 5, 3}); }
  bool wants_p95() const override { return true; }
  bool wants_resources() const override { return true; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<PublishedMemory>(); }

  void observe(const AgentView& view, PolicyMemory& memory, std::span<float> out) const override {
    auto& past = static_cast<PublishedMemory&>(memory).throughput;
    const AgentTarget &gpu = view.targets[0], &cpu = view.targets[1];
    const double rate = view.gateway.completed.value_or(0);
    if (past.size() == kWindow) past.erase(past.begin());
    past.push_back(rate);
    auto within = [](double x, double high) { return static_cast<float>(std::clamp(x, 0.0, high)); };
    auto mean = [](std::optional<double> a, std::optional<double> b) {
      return a && b ? (*a + *b) / 2 : a.value_or(b.value_or(0));
    };
    out[0] = within(100 * mean(gpu.cpu, cpu.cpu), 100);
    out[1] = within(100 * mean(gpu.memory, cpu.memory), 100);
    out[2] = within(100 * gpu.gpu_busy.value_or(0), 100);
    out[3] = within(1000 * view.gateway.p95.value_or(0), 10000);
    out[4] = within(rate, 100);
    out[5] = within(gpu.replicas, kMostReplicas);
    out[6] = within(cpu.replicas, kMostReplicas);
    out[7] = static_cast<float>(trend(past));
    out[8] = static_cast<float>(variance(past));
    out[9] = within((view.now - view.since).to_seconds() / std::max(1e-9, (view.end - view.since).to_seconds()), 1);
  }

  void act(const AgentView& view, PolicyMemory&, std::span<const float> action,
           std::span<int32_t> desired) const override {
    for (size_t t = 0; t < 2; ++t)
      desired[t] = std::clamp(view.targets[t].replicas + static_cast<int32_t>(action[t]) - 2, 1, kMostReplicas);
  }

 private:
  static double trend(const std::vector<double>& past) {
    if (past.size() < 3) return 0;
    const double before = past[past.size() - 3];
    return std::clamp((past.back() - before) / std::max(before, 1.0), -1.0, 1.0);
  }
  static double variance(const std::vector<double>& past) {
    if (past.size() < 3) return 0;
    double mean = 0, sum = 0;
    for (double x : past) mean += x / static_cast<double>(past.size());
    for (double x : past) sum += (x - mean) * (x - mean) / static_cast<double>(past.size());
    return std::clamp(sum / std::max(mean, 1.0), 0.0, 1.0);
  }
};

KISIM_POLICY(AgentCoding, "kiscaler-published", "KIScaler's ten raw numbers and its MultiDiscrete [5, 5, 3]", {},
             [](const Params&) -> std::unique_ptr<const AgentCoding> { return std::make_unique<KiscalerPublished>(); });

}  // namespace
}  // namespace kisim
