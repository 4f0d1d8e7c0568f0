#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

class DefaultBinder : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::Bind}; }
  StatusCode bind(PluginContext&, NodeId) const override { return StatusCode::Success; }
};

KISIM_POLICY(SchedulerPlugin, "DefaultBinder", "binds every pod to the node chosen", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<DefaultBinder>(); });

}  // namespace
}  // namespace kisim
