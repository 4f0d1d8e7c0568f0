// The agent of KIScaler (KIS-S, arXiv 2507.07932) set right. It sees what its metrics show, on scales that do not
// grow with the cluster: replicas on their way and pods without a node, what waits, a forecast of the load, the time
// since its last action. It moves each workload by a few replicas at most, and only within its limits.

#include "core/math.hpp"
#include "policy/agent.hpp"
#include "policy/registry.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {
namespace {

constexpr float kLog = 25;         // bound of log(1 + x)
constexpr int64_t kPatience = 20;  // intervals after which it no longer counts how long ago it acted
constexpr double kGrowth = 4;      // bound of the forecast's growth
constexpr double kOldest = 300;    // s, bound of the metrics' age

float log1p(double x) { return static_cast<float>(std::min<double>(math::log(1 + std::max(0.0, x)), kLog)); }
float share(double part, double whole) {
  return static_cast<float>(whole > 0 ? std::clamp(part / whole, 0.0, 10.0) : 0.0);
}

struct KiscalerMemory : CopyableMemory<KiscalerMemory> {
  double level = 0, trend = 0;   // of the arrival rate, in 1/s and 1/s²
  std::optional<Time> followed;  // up to this scrape
};

class Kiscaler final : public AgentCoding {
 public:
  Kiscaler(int32_t max_step, Duration horizon, double level_gain, double trend_gain)
      : max_step_(max_step), horizon_(horizon), level_gain_(level_gain), trend_gain_(trend_gain) {}

  std::vector<Feature> observation(std::span<const std::string> targets) const override {
    std::vector<Feature> out;
    for (const std::string& name : targets) {
      auto add = [&](const char* what, float high) { out.push_back({name + ": " + what, 0, high}); };
      add("replicas / maxReplicas", 10);
      add("ready / maxReplicas", 10);
      add("starting / maxReplicas", 10);
      add("pending / maxReplicas", 10);
      add("log(1 + running per replica)", kLog);
      add("log(1 + waiting per replica)", kLog);
      add("usage", 1);
      add("metrics known", 1);
    }
    out.push_back({"log(1 + arrivals in 1/s)", 0, kLog});
    out.push_back({"log(1 + arrivals in 1/s per ready replica)", 0, kLog});
    out.push_back({"growth of the forecast", -1, kGrowth});
    out.push_back({"log(1 + latency in s)", 0, kLog});
    out.push_back({"share within the SLO", 0, 1});
    out.push_back({"log(1 + held requests)", 0, kLog});
    out.push_back({"log(1 + free GPUs)", 0, kLog});
    out.push_back({"decisions since the last change / 20", 0, 1});
    out.push_back({"age of the metrics / 300 s", 0, 1});
    out.push_back({"arrivals known", 0, 1});
    return out;
  }

  ActionSpace actions(size_t targets) const override {
    return ActionSpace::multi_discrete(std::vector<int32_t>(targets, 2 * max_step_ + 1));
  }

  bool wants_free_gpus() const override { return true; }
  std::unique_ptr<PolicyMemory> make_memory() const override { return std::make_unique<KiscalerMemory>(); }

  void observe(const AgentView& view, PolicyMemory& memory, std::span<float> out) const override {
    auto& m = static_cast<KiscalerMemory&>(memory);
    size_t i = 0;
    int32_t ready = 0;
    for (const AgentTarget& t : view.targets) {
      ready += t.ready;
      for (int32_t pods : {t.replicas, t.ready, t.starting, t.pending}) out[i++] = share(pods, t.max_replicas);
      out[i++] = log1p(t.running.value_or(0));
      out[i++] = log1p(t.waiting.value_or(0));
      out[i++] = static_cast<float>(std::clamp(t.usage.value_or(0), 0.0, 1.0));
      out[i++] = t.waiting && t.usage ? 1.0f : 0.0f;
    }
    const AgentGateway& g = view.gateway;
    follow(g, m);
    out[i++] = log1p(m.level);
    out[i++] = log1p(m.level / std::max(1, ready));
    out[i++] = static_cast<float>(growth(m));
    out[i++] = log1p(g.latency.value_or(0));
    out[i++] = static_cast<float>(std::clamp(g.in_slo.value_or(1), 0.0, 1.0));
    out[i++] = log1p(g.held);
    out[i++] = log1p(view.free_gpus);
    const Duration idle = view.now - view.rescaled.value_or(view.since - view.interval * kPatience);
    out[i++] = static_cast<float>(std::min(idle.to_seconds() / (kPatience * view.interval.to_seconds()), 1.0));
    out[i++] = static_cast<float>(std::min(view.age.value_or(Duration{}).to_seconds() / kOldest, 1.0));
    out[i++] = g.arrived ? 1.0f : 0.0f;
  }

  void mask(const AgentView& view, const PolicyMemory&, std::span<uint8_t> allowed) const override {
    size_t i = 0;
    for (const AgentTarget& t : view.targets)
      for (int32_t change = -max_step_; change <= max_step_; ++change) {
        const int32_t to = t.replicas + change;
        allowed[i++] = change == 0 || (t.min_replicas <= to && to <= t.max_replicas);
      }
  }

  void act(const AgentView& view, PolicyMemory&, std::span<const float> action,
           std::span<int32_t> desired) const override {
    for (size_t t = 0; t < view.targets.size(); ++t) {
      const AgentTarget& target = view.targets[t];
      const int32_t to = target.replicas + static_cast<int32_t>(action[t]) - max_step_;
      desired[t] = std::clamp(to, target.min_replicas, target.max_replicas);
    }
  }

 private:
  // Holt's linear exponential smoothing (Holt 1957), at each scrape that it has not seen yet.
  void follow(const AgentGateway& g, KiscalerMemory& m) const {
    if (!g.arrived || m.followed == g.scraped) return;
    const std::optional<Time> last = m.followed;
    m.followed = g.scraped;
    if (!last) {
      m.level = *g.arrived;
      return;
    }
    const double passed = (*g.scraped - *last).to_seconds(), before = m.level;
    m.level = std::max(0.0, level_gain_ * *g.arrived + (1 - level_gain_) * (before + m.trend * passed));
    m.trend = trend_gain_ * (m.level - before) / passed + (1 - trend_gain_) * m.trend;
  }

  // Of the rate, from the last scrape until the horizon.
  double growth(const KiscalerMemory& m) const {
    const double ahead = std::max(0.0, m.level + m.trend * horizon_.to_seconds());
    return std::clamp((ahead - m.level) / std::max(m.level, 0.1), -1.0, kGrowth);
  }

  int32_t max_step_;
  Duration horizon_;
  double level_gain_, trend_gain_;
};

KISIM_POLICY(
    AgentCoding, "kiscaler", "a few replicas more or less, by normalised metrics and a forecast",
    {{"maxStep", ParamSpec::Type::Integer, "2", "replicas by which a decision changes a workload at most", 1, 100},
     {"horizon", ParamSpec::Type::Duration, "1m", "that the forecast looks ahead: about what a pod's start takes", 0,
      86400},
     {"levelGain", ParamSpec::Type::Number, "0.5", "weight of the latest rate in the forecast's level", 0, 1},
     {"trendGain", ParamSpec::Type::Number, "0.3", "weight of the latest change in the forecast's trend", 0, 1}},
    [](const Params& p) -> std::unique_ptr<const AgentCoding> {
      return std::make_unique<Kiscaler>(p.integer("maxStep"), p.duration("horizon"), p.number("levelGain"),
                                        p.number("trendGain"));
    });

}  // namespace
}  // namespace kisim
