#include "policy/preemption.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

class DefaultPreemption : public SchedulerPlugin {
 public:
  explicit DefaultPreemption(DefaultPreemptionArgs args) : args_(args) {}

  ExtensionPoints points() const override { return {ExtensionPoint::PreEnqueue, ExtensionPoint::PostFilter}; }

  StatusCode post_filter(PluginContext& c, std::span<const NodeVerdict> verdicts, FilterDryRun& trial,
                         PostFilterResult& result) const override {
    PreemptionSearch search = find_preemption(c, args_, verdicts, trial);
    c.scratch.assign(1, static_cast<int64_t>(search.reason));
    if (!search.eligible) return StatusCode::Unschedulable;
    result.nominated = NodeId();
    if (search.best == PreemptionSearch::kNone) return StatusCode::Unschedulable;
    PreemptionCandidate& best = search.candidates[search.best];
    result.nominated = best.node;
    result.victims = std::move(best.victims);
    return StatusCode::Success;
  }

  // The plugin whose rejection the evictions undo brings the pod back, not this one.
  ClusterEvents events() const override { return {ClusterEvent::Kind::AssignedPodDelete}; }
  bool queueing_hint(PluginContext&, const ClusterEvent&) const override { return false; }

  std::vector<std::string> reasons(const ClusterModel&, int) const override { return preemption_reasons(); }
  uint32_t pod_reason(const PluginContext& c, ExtensionPoint) const override {
    return c.scratch.empty() ? 0 : static_cast<uint32_t>(c.scratch.front());
  }

 private:
  DefaultPreemptionArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "DefaultPreemption", "makes room by evicting pods of lower priority", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<DefaultPreemption>(params.args<DefaultPreemptionArgs>());
             });

}  // namespace
}  // namespace kisim
