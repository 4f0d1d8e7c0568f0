#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

// plugins/schedulinggates/scheduling_gates.go
class SchedulingGates : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::PreEnqueue}; }
  StatusCode pre_enqueue(const PluginContext& c) const override {
    if (c.gates_removed || c.spec().scheduling_gates.empty()) return StatusCode::Success;
    return StatusCode::UnschedulableAndUnresolvable;
  }
  ClusterEvents events() const override { return {}; }  // only the pod's own gates matter
  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"Scheduling is blocked due to non-empty scheduling gates"};
  }
};

KISIM_POLICY(SchedulerPlugin, "SchedulingGates", "keeps a pod with scheduling gates out of the queue", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<SchedulingGates>();
             });

}  // namespace
}  // namespace kisim
