// Set queue: scripts against the scheduling queue with a clock of their own.

#include "kube/scheduling_queue.hpp"
#include "conformance/scheduler_record.hpp"
#include "conformance/scheduling_cycles.hpp"

#include <algorithm>
#include <set>

namespace kisim::conformance {

namespace {

using Place = QueuedPod::Place;
using Kind = ClusterEvent::Kind;

const char* event_name(Kind kind) {
  switch (kind) {
    case Kind::AssignedPodAdd:
      return "AssignedPodAdd";
    case Kind::AssignedPodDelete:
      return "AssignedPodDelete";
    case Kind::AssignedPodUpdateLabel:
      return "AssignedPodUpdateLabel";
    case Kind::NodeAdd:
      return "NodeAdd";
    case Kind::NodeDelete:
      return "NodeDelete";
    case Kind::NodeUpdateAllocatable:
      return "NodeUpdateNodeAllocatable";
    case Kind::NodeUpdateLabel:
      return "NodeUpdateNodeLabel";
    case Kind::NodeUpdateTaint:
      return "NodeUpdateNodeTaint";
    case Kind::UnschedulableTimeout:
      return "UnschedulableTimeout";
  }
  return "?";
}

class Script {
 public:
  explicit Script(const Json& record)
      : record_(record),
        cluster_(record),
        queueing_(cluster_.model(), cluster_.cycle()),
        model_(cluster_.model().queue),
        queue_(model_, state_, queueing_) {
    now_ = model_.start = Time{at(record, "startOffsetMs").get<int64_t>() * kMillisecond};
    next_leftovers_ = model_.start + model_.leftover_check;
  }

  size_t run() {
    for (const Json& object : at(record_, "objects"))
      if (at(object, "kind") == "Pod")
        cluster_.cache().add_pod(cluster_.next_pod(object), cluster_.node(text(at(object, "spec"), "nodeName")));
    size_t number = 0;
    for (const Json& step : at(record_, "steps")) {
      differences_.at(fmt::format("{} step {} ({})", text(record_, "id"), number++, text(step, "op")));
      events_.clear();
      popped_ = {};
      apply(step);
      compare(at(step, "expect"));
      if (!differences_.none()) break;
    }
    return number;
  }

  const Differences& differences() const { return differences_; }

 private:
  static constexpr int64_t kMillisecond = 1'000'000, kSecond = 1000 * kMillisecond;

  void advance(int64_t milliseconds) {
    Time until = now_ + Duration{milliseconds * kMillisecond};
    for (Time second{(now_.ns / kSecond + 1) * kSecond}; true;) {
      Time tick = std::min(second, next_leftovers_);
      if (tick > until) break;
      queue_.flush(tick);
      if (tick == second) second = second + 1_s;
      if (tick == next_leftovers_) next_leftovers_ = next_leftovers_ + model_.leftover_check;
    }
    now_ = until;
  }

  void apply(const Json& step) {
    std::string op = text(step, "op");
    if (op == "advance") return advance(at(step, "ms").get<int64_t>());
    if (op == "add") return add(at(step, "pod"));
    if (op == "pop") return void(popped_ = queue_.pop());
    if (op == "addNode") return add_node(at(step, "node"));
    if (op == "updateNode") return update_node(at(step, "node"));
    if (op == "addAssigned") return add_assigned(at(step, "pod"));
    PodId pod = cluster_.pod(text(step, "name"));
    if (op == "fail") return queue_.fail(pod, plugins(pod, at(step, "plugins")), 0, now_);
    if (op == "error") return queue_.error(pod, now_);
    if (op == "bind") return queue_.done(pod);
    if (op == "ungate") return queue_.ungate(pod);
    if (op == "deletePod") return queue_.remove(pod);
    if (op == "deleteAssigned") return delete_assigned(pod);
    differences_.add("op", "one that kisim knows", op);
  }

  void add(const Json& object) {
    PodId pod = cluster_.next_pod(object);
    queued_.insert(pod);
    const PodSpec& spec = cluster_.pod_template(pod).spec;
    queue_.add(pod, spec.priority, !spec.scheduling_gates.empty(), now_);
  }

  uint64_t plugins(PodId pod, const Json& names) const {
    const auto& all = cluster_.model().profile(TemplateId(pod.value)).plugins;
    uint64_t bits = 0;
    for (const Json& name : names)
      for (size_t p = 0; p < all.size(); ++p)
        if (all[p].name == name) bits |= 1ull << p;
    return bits;
  }

  void tell(ClusterEvent event, Kind kind) {
    event.kind = kind;
    events_.push_back(event_name(kind));
    queue_.move(event, now_);
  }

  void add_node(const Json& object) {
    ClusterEvent event;
    event.node = cluster_.add_node(object);
    event.after = cluster_.cycle().view().version(event.node);
    tell(event, Kind::NodeAdd);
  }

  void update_node(const Json& object) {
    ClusterEvent event = cluster_.update_node(object);
    const auto& nodes = cluster_.cluster().nodes;
    for (Kind kind : node_update_events(nodes[NodeId(event.before)], nodes[NodeId(event.after)])) tell(event, kind);
  }

  void add_assigned(const Json& object) {
    ClusterEvent event;
    event.pod = cluster_.next_pod(object);
    event.pod_template = TemplateId(event.pod.value);
    event.node = cluster_.node(text(at(object, "spec"), "nodeName"));
    cluster_.cache().add_pod(event.pod, event.node);
    tell(event, Kind::AssignedPodAdd);
  }

  void delete_assigned(PodId pod) {
    ClusterEvent event;
    event.pod = pod;
    event.pod_template = TemplateId(pod.value);
    event.node = cluster_.cycle().view().pod(pod).node;
    cluster_.cache().remove_pod(pod);
    tell(event, Kind::AssignedPodDelete);
  }

  std::vector<std::string> names_at(std::initializer_list<Place> places) const {
    std::vector<std::string> out;
    for (PodId pod : queued_)
      if (std::find(places.begin(), places.end(), queue_.place(pod)) != places.end())
        out.push_back(cluster_.pod_name(pod));
    std::sort(out.begin(), out.end());
    return out;
  }

  void compare(const Json& expect) {
    differences_.compare("nowMs", at(expect, "nowMs").get<int64_t>(), now_.ns / kMillisecond);
    if (at(expect, "popped").is_string() || at(expect, "empty") == true)
      differences_.compare("popped", text(expect, "popped"), popped_.valid() ? cluster_.pod_name(popped_) : "");
    differences_.compare("active", texts(at(expect, "active")), names_at({Place::Active}));
    differences_.compare("unschedulable", texts(at(expect, "unschedulable")),
                         names_at({Place::Unschedulable, Place::Gated}));
    std::vector<std::string> expected, found;
    for (const Json& entry : at(expect, "backoff"))
      expected.push_back(fmt::format("{} until {}{}", text(entry, "pod"), at(entry, "expiresMs").dump(),
                                     at(entry, "errorQueue") == true ? " after an error" : ""));
    for (PodId pod : queued_)
      if (Place place = queue_.place(pod); place == Place::Backoff || place == Place::ErrorBackoff)
        found.push_back(fmt::format("{} until {}{}", cluster_.pod_name(pod),
                                    state_.pods[pod].backoff_expiry.ns / kMillisecond,
                                    place == Place::ErrorBackoff ? " after an error" : ""));
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    differences_.compare("backoff", expected, found);
    differences_.compare("events", texts(at(expect, "events")), events_);
  }

  const Json& record_;
  SchedulerRecord cluster_;
  ProfileQueueing queueing_;
  SchedulingQueueModel model_;
  SchedulingQueueState state_;
  SchedulingQueue queue_;
  Differences differences_;
  Time now_, next_leftovers_;
  PodId popped_;
  std::set<PodId> queued_;
  std::vector<std::string> events_;
};

}  // namespace

size_t compare_scheduling_queue(const Json& record, std::vector<std::string>& differences) {
  Script script(record);
  size_t compared = script.run();
  differences = script.differences().texts();
  return compared;
}

}  // namespace kisim::conformance
