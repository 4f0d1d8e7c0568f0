#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

class PrioritySort : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::QueueSort}; }
  bool less(const QueueEntry& a, const QueueEntry& b) const override {
    return a.priority != b.priority ? a.priority > b.priority : a.timestamp < b.timestamp;
  }
};

KISIM_POLICY(SchedulerPlugin, "PrioritySort", "higher priority first, then the longer in the queue", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<PrioritySort>(); });

}  // namespace
}  // namespace kisim
