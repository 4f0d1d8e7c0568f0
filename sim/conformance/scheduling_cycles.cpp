// Sets decisions, strategies, sampling and preemption: scheduling cycles one after another.

#include "conformance/scheduling_cycles.hpp"

#include "conformance/scheduler_record.hpp"
#include "policy/preemption.hpp"

#include <algorithm>
#include <set>

namespace kisim::conformance {

namespace {

const char* code_name(StatusCode code) {
  return code == StatusCode::Unschedulable ? "Unschedulable" : "UnschedulableAndUnresolvable";
}

// "NodeResourcesFit Unschedulable: Insufficient cpu | Too many pods"
std::string verdict_text(const std::string& plugin, const std::string& code, std::vector<std::string> reasons) {
  std::sort(reasons.begin(), reasons.end());
  return fmt::format("{} {}: {}", plugin, code, fmt::join(reasons, " | "));
}

using Verdicts = std::map<std::string, std::string>;  // by node

Verdicts expected_verdicts(const Json& groups) {
  Verdicts out;
  for (const Json& group : groups)
    for (const Json& node : at(group, "nodes"))
      out[node] = verdict_text(text(group, "plugin"), text(group, "code"), texts(at(group, "reasons")));
  return out;
}

std::vector<std::string> sorted(std::vector<std::string> values) {
  std::sort(values.begin(), values.end());
  return values;
}

class Cycles {
 public:
  explicit Cycles(const Json& record) : record_(record), cluster_(record) {}

  size_t run() {
    compare_profiles();
    for (const Json& object : at(record_, "objects"))
      if (at(object, "kind") == "Pod") place(cluster_.next_pod(object), text(at(object, "spec"), "nodeName"));
    compare_order(at(record_, "expect"));
    size_t number = 0;
    for (const Json& step : at(record_, "steps")) {
      differences_.at(fmt::format("{} step {}", text(record_, "id"), number++));
      apply(step);
      if (differences_.texts().size() >= 5) break;
    }
    return cycles_;
  }

  const Differences& differences() const { return differences_; }

 private:
  void apply(const Json& step) {
    std::string op = text(step, "op");
    if (op == "schedule") return schedule(step);
    if (op == "addNode") return void(cluster_.add_node(at(step, "node")));
    if (op == "updateNode") return void(cluster_.update_node(at(step, "node")));
    if (op == "removeNode") return cluster_.cache().remove_node(cluster_.node(text(step, "name")));
    if (op == "checkOrder") return compare_order(at(step, "expect"));
    if (op == "nominate")
      return cluster_.cache().nominate(cluster_.pod(text(step, "name")), cluster_.node(text(step, "nominatedNode")));
    if (op == "clearNomination") return cluster_.cache().nominate(cluster_.pod(text(step, "name")), {});
    for (const Json& name : at(step, "names")) {
      PodId pod = cluster_.pod(name.get<std::string>());
      if (op == "delete") cluster_.cache().remove_pod(pod);
      if (op == "terminate") cluster_.cache().set_terminating(pod, text(step, "follow") == "preemption");
    }
    if (op != "delete" && op != "terminate") differences_.add("op", "one that kisim knows", op);
  }

  void place(PodId pod, const std::string& node) {
    cluster_.cache().add_pod(pod, cluster_.node(node));
    cluster_.cache().set_start_time(pod, cluster_.start_time(pod));
  }

  void compare_order(const Json& expect) {
    if (!at(expect, "nodeOrder").is_array()) return;
    cluster_.cache().refresh();
    differences_.compare("node order", texts(at(expect, "nodeOrder")), cluster_.names(cluster_.cycle().view().nodes()));
  }

  void compare_profiles() {
    const Json& profiles = at(at(record_, "expect"), "profiles");
    if (!profiles.is_object()) return;
    differences_.at(text(record_, "id") + " profiles");
    for (const SchedulerProfile& profile : cluster_.configuration().profiles) {
      auto points = expand_profile(profile, cluster_.minor());
      const std::pair<const char*, ExtensionPoint> names[] = {{"preFilter", ExtensionPoint::PreFilter},
                                                              {"filter", ExtensionPoint::Filter},
                                                              {"postFilter", ExtensionPoint::PostFilter},
                                                              {"preScore", ExtensionPoint::PreScore},
                                                              {"score", ExtensionPoint::Score}};
      for (const auto& [name, point] : names) {
        std::vector<std::string> expected, found;
        for (const Json& p : at(at(profiles, profile.scheduler_name.c_str()), name))
          expected.push_back(p.is_string() ? p.get<std::string>()
                                           : fmt::format("{} {}", text(p, "name"), p["weight"].dump()));
        for (const WeightedPlugin& p : points[static_cast<size_t>(point)])
          found.push_back(point == ExtensionPoint::Score ? fmt::format("{} {}", p.name, p.weight) : p.name);
        differences_.compare(fmt::format("{} of {}", name, profile.scheduler_name), expected, found);
      }
    }
  }

  void schedule(const Json& step) {
    const Json& expect = at(step, "expect");
    PodId pod = cluster_.next_pod(at(step, "pod"));
    pod_ = pod;
    ++cycles_;
    const PodTemplateModel& t = cluster_.pod_template(pod);
    differences_.compare("priority", at(expect, "priority").is_number() ? at(expect, "priority").get<int64_t>() : 0,
                         int64_t{t.spec.priority});
    std::string result = text(expect, "result");
    bool ignored = cluster_.model().profile_of[TemplateId(pod.value)] == SchedulerModel::kNoProfile;
    if (ignored || result == "Ignored")
      return differences_.compare("result", result, std::string(ignored ? "Ignored" : "a cycle"));
    NodeId nominated;
    if (std::string name = text(step, "nominatedNode"); !name.empty()) nominated = cluster_.node(name);
    cluster_.cache().nominate(pod, nominated);
    SchedulingCycle& cycle = cluster_.cycle();
    StatusCode code = cycle.run(pod, start_, nominated);
    compare_sampling(expect, cycle);
    start_ = cycle.next_start();
    compare_result(expect, code, cycle);
    if (const Json& preemption = at(expect, "preemption"); preemption.is_object())
      compare_preemption(preemption, cycle);
    if (result != "Scheduled") return;
    cluster_.cache().nominate(pod, {});
    place(pod, text(expect, "node"));
  }

  void compare_result(const Json& expect, StatusCode code, SchedulingCycle& cycle) {
    std::string found = code == StatusCode::Success ? "Scheduled"
                        : code == StatusCode::Error ? "Error"
                                                    : "Unschedulable";
    differences_.compare("result", text(expect, "result"), found);
    if (const Json& rejected = at(expect, "preFilter"); rejected.is_object())
      return compare_pod_rejection(rejected, code, cycle);
    bool nominated = at(expect, "nominatedNodeUsed") == true;
    compare_verdicts(expect, cycle, nominated);
    if (code == StatusCode::Success) {
      if (!nominated) compare_scores(expect, cycle);
      compare_choice(expect, cycle);
    } else if (at(expect, "message").is_string()) {
      differences_.compare("message", text(expect, "message"), message(cycle));
    }
  }

  void compare_pod_rejection(const Json& rejected, StatusCode code, SchedulingCycle& cycle) {
    bool whole = cycle.pod_reason() != SchedulingCycle::kPerNode;
    differences_.compare(
        "reason of the pod's rejection", texts(at(rejected, "reasons")),
        whole ? std::vector{cluster_.model().reasons[cycle.pod_reason()]} : std::vector<std::string>{});
    differences_.compare("code", text(rejected, "code"), std::string(code_name(code)));
  }

  std::string message(SchedulingCycle& cycle) {
    std::vector<uint32_t> counts(cluster_.model().reasons.size());
    cycle.count_reasons(counts);
    return fmt::format("0/{} nodes are available: {}", cycle.view().nodes().size(),
                       told_reasons(cluster_.model().reasons, counts));
  }

  std::string found_verdict(NodeId node, const NodeVerdict& verdict, SchedulingCycle& cycle) {
    std::vector<std::string> reasons;
    for (uint32_t r : cycle.reasons_of(node, verdict)) reasons.push_back(cluster_.model().reasons[r]);
    std::string plugin = verdict.narrowed ? "PreFilterResult" : cycle.profile().plugins[verdict.plugin].name;
    return verdict_text(plugin, code_name(verdict.code), reasons);
  }

  void compare_verdicts(const Json& expect, SchedulingCycle& cycle, bool nominated) {
    std::vector<std::string> feasible = texts(at(expect, "feasible")), found = cluster_.names(cycle.feasible());
    bool in_order = at(expect, "sampling").is_object();
    differences_.compare("feasible nodes", in_order ? feasible : sorted(feasible), in_order ? found : sorted(found));
    if (nominated) return;
    Verdicts expected = expected_verdicts(at(expect, "rejected")), ours;
    for (NodeId n : cycle.view().nodes())
      if (cycle.verdict(n).code != StatusCode::Success)
        ours[cluster_.node_name(n)] = found_verdict(n, cycle.verdict(n), cycle);
    for (const auto& [node, verdict] : expected)
      differences_.compare(node, verdict, ours.contains(node) ? ours[node] : "no rejection");
    for (const auto& [node, verdict] : ours)
      if (!expected.contains(node)) differences_.add(node, "no rejection", verdict);
  }

  void compare_scores(const Json& expect, SchedulingCycle& cycle) {
    const Json& scores = at(expect, "scores");
    std::vector<std::string> feasible = texts(at(expect, "feasible"));
    std::map<std::string, size_t> rank;
    for (size_t i = 0; i < cycle.feasible().size(); ++i) rank[cluster_.node_name(cycle.feasible()[i])] = i;
    auto ours = [&](std::span<const int64_t> column) {
      std::vector<std::string> out;
      for (const std::string& node : feasible) {
        auto at = rank.find(node);
        out.push_back(at != rank.end() && at->second < column.size() ? std::to_string(column[at->second]) : "none");
      }
      return out;
    };
    std::set<std::string> plugins;
    for (const auto& [name, values] : scores.items()) plugins.insert(name);
    for (size_t p = 0; p < cycle.profile().plugins.size(); ++p)
      if (!cycle.scores(p).empty()) plugins.insert(cycle.profile().plugins[p].name);
    for (const std::string& name : plugins) {
      std::span<const int64_t> column;
      for (size_t p = 0; p < cycle.profile().plugins.size(); ++p)
        if (cycle.profile().plugins[p].name == name) column = cycle.scores(p);
      const Json& wanted = at(scores, name.c_str());
      // Volumes and claims do not exist in these records, so their plugins give every node 0.
      bool constant_zero =
          wanted.is_array() && std::all_of(wanted.begin(), wanted.end(), [](const Json& v) { return v == 0; });
      if (column.empty() && constant_zero) continue;
      differences_.compare("scores of " + name, wanted.is_array() ? texts(wanted) : std::vector<std::string>{"none"},
                           column.empty() ? std::vector<std::string>{"none"} : ours(column));
    }
    if (at(expect, "total").is_array() && !cycle.profile().plugins_at(ExtensionPoint::Score).empty())
      differences_.compare("totals", texts(at(expect, "total")), ours(cycle.totals()));
  }

  void compare_choice(const Json& expect, SchedulingCycle& cycle) {
    std::vector<std::string> best;
    if (!cycle.totals().empty()) {
      int64_t top = *std::max_element(cycle.totals().begin(), cycle.totals().end());
      for (size_t i = 0; i < cycle.feasible().size(); ++i)
        if (cycle.totals()[i] == top) best.push_back(cluster_.node_name(cycle.feasible()[i]));
    }
    if (at(expect, "argmax").is_array())
      differences_.compare("best nodes", sorted(texts(at(expect, "argmax"))), sorted(best));
    std::string host = cluster_.node_name(cycle.host());
    bool one_of = cluster_.minor() < 35 && best.size() > 1;
    if (!one_of || std::find(best.begin(), best.end(), text(expect, "node")) == best.end())
      differences_.compare("node", text(expect, "node"), host);
  }

  void compare_sampling(const Json& expect, SchedulingCycle& cycle) {
    if (at(expect, "start").is_number())
      differences_.compare("start", at(expect, "start").get<int64_t>(), int64_t{start_});
    const Json& sampling = at(expect, "sampling");
    if (!sampling.is_object()) return;
    auto number = [&](const char* field) {
      return at(sampling, field).is_number() ? sampling[field].get<int64_t>() : 0;
    };
    differences_.compare("start", number("start"), int64_t{start_});
    differences_.compare("numFeasibleToFind", number("numFeasibleToFind"), static_cast<int64_t>(cycle.wanted()));
    differences_.compare("nextStart", number("nextStart"), int64_t{cycle.next_start()});
    differences_.compare("counted", number("counted"), static_cast<int64_t>(cycle.visited().size()));
    differences_.compare("overrunNode", text(sampling, "overrunNode"),
                         cycle.overrun().valid() ? cluster_.node_name(cycle.overrun()) : "");
  }

  void compare_preemption(const Json& expect, SchedulingCycle& cycle) {
    const std::vector<NodeVerdict> verdicts(cycle.verdicts().begin(), cycle.verdicts().end());
    std::unique_ptr<FilterDryRun> trial = cycle.dry_run();
    Verdicts failures;
    PluginContext c = cycle.context(preemption_plugin(cycle), pod_);
    PreemptionSearch search = find_preemption(c, {}, verdicts, *trial, [&](const PreemptionFailure& f) {
      failures[cluster_.node_name(f.node)] =
          f.no_victims ? verdict_text("", "UnschedulableAndUnresolvable", {preemption_reasons()[1]})
                       : found_verdict(f.node, f.verdict, cycle);
    });
    std::string reason = search.best == PreemptionSearch::kNone ? preemption_reasons()[size_t(search.reason)] : "";
    differences_.compare("eligible", at(expect, "eligible").dump(), std::string(search.eligible ? "true" : "false"));
    if (!search.eligible) return differences_.compare("reason", text(expect, "reason"), reason);
    differences_.compare("potential nodes", texts(at(expect, "potentialNodes")),
                         cluster_.names(search.potential_nodes));
    compare_candidates(at(expect, "candidates"), search);
    Verdicts expected = expected_verdicts(at(expect, "notHelpful"));
    for (const auto& [node, verdict] : expected)
      differences_.compare("not helpful: " + node, verdict, failures.contains(node) ? failures[node] : "nothing");
    for (const auto& [node, verdict] : failures)
      if (!expected.contains(node)) differences_.add("not helpful: " + node, "nothing", verdict);
    compare_best(expect, search);
  }

  static size_t preemption_plugin(SchedulingCycle& cycle) {
    for (uint8_t p : cycle.profile().plugins_at(ExtensionPoint::PostFilter))
      if (cycle.profile().plugins[p].name == "DefaultPreemption") return p;
    throw InputError(Diagnostic{Severity::Error, {}, "preemption", "found a profile without DefaultPreemption"});
  }

  void compare_candidates(const Json& expect, const PreemptionSearch& search) {
    std::vector<std::string> expected, found;
    std::set<std::string> ambiguous;
    auto show = [](const std::string& node, const std::vector<std::string>& victims, int64_t violations) {
      return fmt::format("{}: {} with {} violations", node, Differences::show(victims), violations);
    };
    for (const Json& candidate : expect) {
      if (at(candidate, "ambiguous") == true) ambiguous.insert(text(candidate, "node"));
      expected.push_back(ambiguous.contains(text(candidate, "node"))
                             ? text(candidate, "node")
                             : show(text(candidate, "node"), texts(at(candidate, "victims")),
                                    at(candidate, "pdbViolations").get<int64_t>()));
    }
    for (const PreemptionCandidate& candidate : search.candidates) {
      std::string node = cluster_.node_name(candidate.node);
      found.push_back(ambiguous.contains(node) ? node
                                               : show(node, pod_names(candidate.victims), candidate.pdb_violations));
    }
    differences_.compare("candidates", sorted(expected), sorted(found));
    ambiguous_ = !ambiguous.empty();
  }

  // Where pods of one priority and start time leave the victims open, so is what is best.
  void compare_best(const Json& expect, const PreemptionSearch& search) {
    if (ambiguous_) return;
    std::vector<std::string> best;
    for (const PreemptionCandidate& candidate : search.candidates)
      if (candidate.cost() == search.candidates[search.best].cost()) best.push_back(cluster_.node_name(candidate.node));
    differences_.compare("best nodes", texts(at(expect, "bestNodes")), best);
    std::string nominated =
        search.best == PreemptionSearch::kNone ? "" : cluster_.node_name(search.candidates[search.best].node);
    differences_.compare("nominated", text(expect, "nominated"), nominated);
  }

  std::vector<std::string> pod_names(std::span<const PodId> pods) const {
    std::vector<std::string> out;
    for (PodId pod : pods) out.push_back(cluster_.pod_name(pod));
    return out;
  }

  const Json& record_;
  SchedulerRecord cluster_;
  Differences differences_;
  PodId pod_;
  uint32_t start_ = 0;
  size_t cycles_ = 0;
  bool ambiguous_ = false;
};

}  // namespace

size_t compare_scheduling_cycles(const Json& record, std::vector<std::string>& differences) {
  Cycles cycles(record);
  size_t compared = cycles.run();
  differences = cycles.differences().texts();
  return compared;
}

}  // namespace kisim::conformance
