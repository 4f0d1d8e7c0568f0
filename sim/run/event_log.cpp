#include "run/event_log.hpp"

namespace kisim {

void EventLog::record(KubeEvent event) {
  Key key{std::string(event.kind), event.namespace_, event.name, event.uid, event.reason, event.message};
  auto known = known_.find(key);
  if (known != known_.end()) {
    Entry& entry = entries_[known->second];
    entry.event.at = event.at;
    ++entry.count;
    return;
  }
  if (entries_.size() == kMost) {
    ++dropped_;
    return;
  }
  known_.emplace(std::move(key), entries_.size());
  Time first = event.at;
  entries_.push_back({std::move(event), first, 1});
}

}  // namespace kisim
