#include "pod_selection.hpp"
#include "policy/registry.hpp"
#include "status_reasons.hpp"

#include <fmt/format.h>

namespace kisim {
namespace {

// pkg/framework/plugins/podlifetime/pod_lifetime.go. Pods that have ended are looked at, too; the oldest of all nodes
// goes first.
class PodLifeTime : public DeschedulerPlugin {
 public:
  explicit PodLifeTime(PodLifeTimeArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    std::vector<ViewPodId> pods;
    for (NodeId node : handle.nodes)
      for (ViewPodId pod : handle.view.pods_on(node)) {
        if (!selected[handle.view.pod(pod).pod_template.value]) continue;
        KeepReason kept = reason_to_keep(handle.view, pod);
        if (!kept.empty()) handle.keep(pod, kept);
        if (kept.empty() && evictable(handle, pod)) pods.push_back(pod);
      }
    std::stable_sort(pods.begin(), pods.end(),
                     [&](ViewPodId a, ViewPodId b) { return handle.view.pod(a).created < handle.view.pod(b).created; });
    for (ViewPodId pod : pods)
      if (handle.evict(pod, text(handle.view, pod)) == DeschedulerResult::TotalLimit) return;
  }

 private:
  KeepReason reason_to_keep(const DeschedulerView& view, ViewPodId id) const {
    const DeschedulerPod& pod = view.pod(id);
    if (!is_old(pod, view.now())) return "is not older than maxPodLifeTimeSeconds";
    if (!args_.states.empty() && !in_state(pod)) return "is in none of the states";
    if (!has_owner(view.facts(id).owners)) return "ownerKinds are not selected";
    if (!args_.conditions.empty() && !in_condition(pod, view.now())) return "has none of the conditions";
    if (!args_.exit_codes.empty() && !exited_with_any(pod, args_.exit_codes, args_.including_init_containers))
      return "exited with none of the exitCodes";
    return {};
  }

  bool is_old(const DeschedulerPod& pod, Time now) const {
    if (!args_.max_pod_life_time_seconds) return true;
    return now >= pod.created &&
           static_cast<uint64_t>(seconds_since(pod.created, now)) > *args_.max_pod_life_time_seconds;
  }

  bool in_state(const DeschedulerPod& pod) const {
    bool init = args_.including_init_containers, ephemeral = args_.including_ephemeral_containers;
    return contains(args_.states, std::string(to_string(pod.phase))) || contains(args_.states, pod.reason) ||
           waits_for_any(pod, args_.states, init, ephemeral) || terminated_for_any(pod, args_.states, init, ephemeral);
  }

  bool has_owner(const std::vector<OwnerReference>& owners) const {
    auto any_of = [&](const std::vector<std::string>& kinds) {
      return std::any_of(owners.begin(), owners.end(),
                         [&](const OwnerReference& owner) { return contains(kinds, owner.kind); });
    };
    if (!args_.owner_kinds.include.empty()) return any_of(args_.owner_kinds.include);
    return !any_of(args_.owner_kinds.exclude);
  }

  bool in_condition(const DeschedulerPod& pod, Time now) const {
    for (const PodLifeTimeArgs::Condition& wanted : args_.conditions)
      for (const DeschedulerCondition& has : pod.conditions)
        if (matches(wanted, has, now)) return true;
    return false;
  }

  static bool matches(const PodLifeTimeArgs::Condition& wanted, const DeschedulerCondition& has, Time now) {
    if (!wanted.type.empty() && wanted.type != has.type) return false;
    if (!wanted.status.empty() && wanted.status != has.status) return false;
    if (!wanted.reason.empty() && wanted.reason != has.reason) return false;
    if (!wanted.min_time_since_last_transition_seconds) return true;
    return has.last_transition && now >= *has.last_transition &&
           static_cast<uint64_t>(seconds_since(*has.last_transition, now)) >=
               *wanted.min_time_since_last_transition_seconds;
  }

  std::string text(const DeschedulerView& view, ViewPodId id) const {
    int64_t age = seconds_since(view.pod(id).created, view.now());
    if (!args_.max_pod_life_time_seconds) return fmt::format("matches the filters at an age of {} s", age);
    return fmt::format("is {} s old, at most {} s are allowed", age, *args_.max_pod_life_time_seconds);
  }

  PodLifeTimeArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "PodLifeTime", "no pod older than a limit, or in certain states", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<PodLifeTime>(params.args<PodLifeTimeArgs>());
             });

}  // namespace
}  // namespace kisim
