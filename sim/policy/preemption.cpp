#include "policy/preemption.hpp"

#include "core/random.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr int64_t kPriorityOffset = 1ll << 31;  // makes every priority non-negative

class Search {
 public:
  Search(const PluginContext& c, FilterDryRun& trial, const std::function<void(const PreemptionFailure&)>& on_failure)
      : c_(c), view_(c.cluster), trial_(trial), on_failure_(on_failure) {}

  PreemptionSearch run(const DefaultPreemptionArgs& args, std::span<const NodeVerdict> verdicts) {
    if (!is_eligible(verdicts)) return std::move(out_);
    for (NodeId n : view_.nodes())
      if (verdicts[n.value].code == StatusCode::Unschedulable) out_.potential_nodes.push_back(n);
    if (!out_.potential_nodes.empty()) try_nodes(args);
    choose();
    return std::move(out_);
  }

 private:
  bool is_lower(PodId pod) const { return priority(pod) < c_.spec().priority; }
  int32_t priority(PodId pod) const { return view_.template_of(pod).spec.priority; }
  Time start(PodId pod) const { return view_.pod(pod).start_time; }

  bool refuse(PreemptionReason reason) {
    out_.eligible = false;
    out_.reason = reason;
    return false;
  }

  // Not while victims of an earlier attempt are still leaving the node that they were to make room on, unless that node
  // has become hopeless.
  bool is_eligible(std::span<const NodeVerdict> verdicts) {
    if (c_.spec().preemption_policy == PreemptionPolicy::Never) return refuse(PreemptionReason::PolicyNever);
    NodeId nominated = view_.pod(c_.pod).nominated;
    if (!nominated.valid() || verdicts[nominated.value].code == StatusCode::UnschedulableAndUnresolvable) return true;
    for (PodId pod : view_.pods_on(nominated))
      if (is_lower(pod) && view_.pod(pod).terminating && view_.pod(pod).preempted)
        return refuse(PreemptionReason::TerminatingVictim);
    return true;
  }

  // From a random node on, until there are enough candidates and one of them breaks no budget.
  void try_nodes(const DefaultPreemptionArgs& args) {
    size_t nodes = out_.potential_nodes.size();
    size_t share = nodes * static_cast<size_t>(args.min_candidate_nodes_percentage) / 100;
    size_t wanted = std::min(nodes, std::max(share, static_cast<size_t>(args.min_candidate_nodes_absolute)));
    Stream stream(c_.seed, c_.entity, Purpose::SchedulerTie);
    size_t offset = stream.below(static_cast<uint32_t>(nodes)), wrapped_candidates = 0, wrapped_failures = 0;
    size_t harmless = 0, harmful = 0;
    for (size_t i = 0; i < nodes && !(harmless > 0 && harmless + harmful >= wanted); ++i) {
      if (offset + i == nodes) {
        wrapped_candidates = out_.candidates.size();
        wrapped_failures = out_.failures.size();
      }
      size_t candidates = out_.candidates.size();
      try_node(out_.potential_nodes[(offset + i) % nodes]);
      if (out_.candidates.size() == candidates) continue;
      size_t& group = out_.candidates.back().pdb_violations == 0 ? harmless : harmful;
      if (++group > wanted) out_.candidates.pop_back();
    }
    // Those before the random start came last.
    std::rotate(out_.candidates.begin(), out_.candidates.begin() + static_cast<ptrdiff_t>(wrapped_candidates),
                out_.candidates.end());
    std::rotate(out_.failures.begin(), out_.failures.begin() + static_cast<ptrdiff_t>(wrapped_failures),
                out_.failures.end());
  }

  // Takes all pods of lower priority away, then lets stay whom it can: first those that a budget protects.
  void try_node(NodeId node) {
    std::vector<PodId> lower;
    for (PodId pod : view_.pods_on(node))
      if (is_lower(pod)) lower.push_back(pod);
    if (lower.empty()) return fail({node, true, {}});
    for (PodId pod : lower) trial_.remove_pod(pod);
    if (NodeVerdict verdict = trial_.filter(node); verdict.code != StatusCode::Success) {
      fail({node, false, verdict});
    } else {
      std::stable_sort(lower.begin(), lower.end(), [&](PodId a, PodId b) { return is_more_important(a, b); });
      PreemptionCandidate candidate;
      candidate.node = node;
      std::vector<PodId> harmless, harmful;
      split_by_budgets(lower, harmless, harmful);
      lower.clear();
      for (PodId pod : harmful) candidate.pdb_violations += !reprieve(pod, node, lower);
      for (PodId pod : harmless) reprieve(pod, node, lower);
      std::stable_sort(lower.begin(), lower.end(), [&](PodId a, PodId b) { return is_more_important(a, b); });
      candidate.victims = lower;
      // If all may stay, it was no pod of this node that kept the pod away.
      if (!lower.empty()) out_.candidates.push_back(std::move(candidate));
    }
    for (PodId pod : lower) trial_.restore_pod(pod);
  }

  bool is_more_important(PodId a, PodId b) const {
    return priority(a) != priority(b) ? priority(a) > priority(b) : start(a) < start(b);
  }

  // True if the pod may stay; else it joins the victims.
  bool reprieve(PodId pod, NodeId node, std::vector<PodId>& victims) {
    trial_.restore_pod(pod);
    if (trial_.filter(node).code == StatusCode::Success) return true;
    trial_.remove_pod(pod);
    victims.push_back(pod);
    return false;
  }

  void fail(const PreemptionFailure& failure) {
    out_.failures.push_back(failure);
    if (on_failure_) on_failure_(failure);
  }

  // Evicting the pods in this order uses up the budgets; who finds one empty breaks it.
  void split_by_budgets(std::span<const PodId> pods, std::vector<PodId>& harmless, std::vector<PodId>& harmful) {
    size_t budgets = view_.model().budgets.size();
    allowed_.resize(budgets);
    for (size_t b = 0; b < budgets; ++b) allowed_[b] = view_.disruptions_allowed(b);
    for (PodId pod : pods) {
      bool breaks = false;
      for (size_t b = 0; b < budgets; ++b)
        if (covers(b, pod)) breaks = --allowed_[b] < 0 || breaks;
      (breaks ? harmful : harmless).push_back(pod);
    }
  }

  // kube-scheduler, unlike the API, takes an empty selector to match nothing, as a pod without labels matches none.
  bool covers(size_t budget, PodId pod) const {
    const PodDisruptionBudgetModel& b = view_.model().budgets[budget];
    TemplateId id = view_.pod(pod).pod_template;
    if (!b.covers[id.value] || b.object.selector->requirements.empty() || view_.pod_template(id).labels.empty())
      return false;
    std::span<const PodId> gone = view_.disrupted_pods(budget);
    return std::find(gone.begin(), gone.end(), pod) == gone.end();
  }

  void choose() {
    for (size_t i = 0; i < out_.candidates.size(); ++i) {
      rate(out_.candidates[i]);
      if (out_.best == PreemptionSearch::kNone || out_.candidates[i].cost() < out_.candidates[out_.best].cost())
        out_.best = i;
    }
  }

  void rate(PreemptionCandidate& candidate) const {
    candidate.highest_priority = priority(candidate.victims.front());
    candidate.earliest_start = start(candidate.victims.front());
    for (PodId pod : candidate.victims) candidate.priority_sum += priority(pod) + kPriorityOffset;
  }

  const PluginContext& c_;
  const SchedulerView& view_;
  FilterDryRun& trial_;
  const std::function<void(const PreemptionFailure&)>& on_failure_;
  std::vector<int32_t> allowed_;
  PreemptionSearch out_;
};

}  // namespace

std::vector<std::string> preemption_reasons() {
  return {"Preemption is not helpful for scheduling", "No preemption victims found for incoming pod",
          "not eligible due to preemptionPolicy=Never.",
          "not eligible due to a terminating pod on the nominated node."};
}

PreemptionSearch find_preemption(const PluginContext& c, const DefaultPreemptionArgs& args,
                                 std::span<const NodeVerdict> verdicts, FilterDryRun& trial,
                                 const std::function<void(const PreemptionFailure&)>& on_failure) {
  return Search(c, trial, on_failure).run(args, verdicts);
}

}  // namespace kisim
