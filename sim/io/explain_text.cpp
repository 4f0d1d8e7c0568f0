#include "io/explain_text.hpp"

#include "io/humanize.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace kisim {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kNodesShown = 3, kFitsShown = 3, kNamesShown = 3;

std::string clock(Time t) { return human_clock(t.to_seconds()); }

class Text {
 public:
  Text(const PodExplanation& e, bool wide, const TextStyle& style) : e_(e), wide_(wide), style_(style) {}

  std::string text() {
    heading();
    evictions();
    reconfigurations();
    if (!e_.cycle) return out_;
    const CycleExplanation& cycle = *e_.cycle;
    if (cycle.scheduled && e_.node.empty())
      paragraph(fmt::format("A scheduling cycle now would bind it to {}.", cycle.node));
    if (!cycle.scheduled) paragraph(cycle.message);
    rejections(cycle);
    if (cycle.scheduled)
      scores(cycle);
    else
      help(cycle);
    return out_;
  }

 private:
  void paragraph(const std::string& text) {
    out_ += '\n';
    lines(text, "");
  }

  void lines(const std::string& text, const std::string& indent) {
    for (const std::string& line : wrap_text(text, style_.width - indent.size())) out_ += indent + line + '\n';
  }

  void heading() {
    std::string where = e_.node.empty() ? "" : " on " + e_.node;
    out_ += bold(fmt::format("Pod {} at {}: {}{}", e_.pod, clock(e_.at), e_.phase, where), style_) + '\n';
    if (!e_.node.empty())
      out_ += fmt::format("Created at {}, bound at {}{}.\n", clock(e_.created), clock(e_.bound), attempt());
    else
      lines(fmt::format("Created at {}, {} so far; {}.", clock(e_.created), attempts(), e_.waits), "");
    if (!e_.start_phase.empty())
      lines(fmt::format("It is starting: {} since {}.", e_.start_phase, clock(e_.start_phase_since)), "");
  }

  void evictions() {
    for (const EvictionExplanation& eviction : e_.evictions) {
      if (eviction.preemptor == e_.pod)
        paragraph(fmt::format("At {} it was to make room on {} by evicting {}.", clock(eviction.at), eviction.node,
                              fmt::join(eviction.victims, ", ")));
      else
        paragraph(fmt::format("At {} it was evicted from {} to make room for {}.", clock(eviction.at), eviction.node,
                              eviction.preemptor));
    }
  }

  void reconfigurations() {
    using Outcome = Reconfiguration::Outcome;
    for (const ReconfigurationExplanation& r : e_.reconfigurations) {
      std::string end = r.told.outcome == Outcome::Pending ? "It is under way."
                        : r.told.outcome == Outcome::Success
                            ? fmt::format("It was done at {}.", clock(r.told.ended))
                            : fmt::format("It failed at {}: {}.", clock(r.told.ended), r.told.why);
      paragraph(fmt::format("At {} {} was to be cut as {} ({}){}. {}", clock(r.told.at), r.node, r.told.config,
                            r.told.reason, r.evicted ? ", for which the pod was evicted" : "", end));
    }
  }

  std::string attempts() const { return e_.attempts == 1 ? "1 attempt" : fmt::format("{} attempts", e_.attempts); }
  std::string attempt() const {
    if (!e_.cycle) return " by its nodeName, without the scheduler";
    return fmt::format(" in attempt {}", e_.cycle->attempt);
  }

  // Nodes that were rejected alike, on one line.
  void rejections(const CycleExplanation& cycle) {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> alike;
    for (const NodeExplanation& n : cycle.nodes)
      if (!n.plugin.empty()) alike[{n.plugin, fmt::format("{}", fmt::join(n.reasons, ", "))}].push_back(n.node);
    if (alike.empty()) return;
    TextTable table({{"REJECTED BY"}, {"NODES", true}, {"NAMES"}, {"REASON"}});
    for (const auto& [why, nodes] : alike)
      table.row({why.first, std::to_string(nodes.size()), names(nodes), why.second});
    out_ += '\n' + table.text(style_);
  }

  std::string names(const std::vector<std::string>& nodes) const {
    size_t shown = wide_ ? nodes.size() : std::min(nodes.size(), kNamesShown);
    std::vector<std::string> first(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(shown));
    return fmt::format("{}{}", fmt::join(first, ","), shown < nodes.size() ? ",…" : "");
  }

  void scores(const CycleExplanation& cycle) {
    std::vector<const NodeExplanation*> feasible;
    for (const NodeExplanation& n : cycle.nodes)
      if (n.plugin.empty()) feasible.push_back(&n);
    size_t rejected = cycle.nodes.size() - feasible.size();
    if (feasible.size() == 1 && rejected + 1 < cycle.nodes_in_cluster)
      return paragraph(fmt::format("Only {}, which it was nominated for, was tried.", cycle.node));
    if (feasible.size() == 1)
      return paragraph(
          fmt::format("{} was the only feasible node of {}; nothing was scored.", cycle.node, cycle.nodes_in_cluster));
    std::stable_sort(feasible.begin(), feasible.end(), [&](auto* a, auto* b) {
      if (a->total != b->total) return a->total > b->total;
      return a->node == cycle.node && b->node != cycle.node;
    });
    paragraph(fmt::format("{} of {} nodes were feasible, {} rejected; {} has the best total, {}.{}", feasible.size(),
                          cycle.nodes_in_cluster, rejected, cycle.node, feasible.front()->total,
                          cycle.tie.empty() ? "" : " " + cycle.tie + "."));
    size_t shown = wide_ ? feasible.size() : std::min(feasible.size(), kNodesShown);
    TextTable table({{"NODE"}, {"SCORE"}, {"RAW", true}, {"NORMALIZED", true}, {"WEIGHT", true}, {"WEIGHTED", true}});
    for (size_t i = 0; i < shown; ++i) {
      const NodeExplanation& n = *feasible[i];
      for (const ScoreExplanation& s : n.scores)
        table.row({n.node, s.plugin, std::to_string(s.raw), std::to_string(s.normalized), std::to_string(s.weight),
                   std::to_string(s.weighted)});
      table.row({n.node, "total", "", "", "", std::to_string(n.total)});
    }
    out_ += '\n' + table.text(style_);
    if (shown < feasible.size()) out_ += dim(fmt::format("-o wide shows all {} nodes\n", feasible.size()), style_);
  }

  void help(const CycleExplanation& cycle) {
    if (cycle.fits.empty()) {
      paragraph("No change of the pod alone would make it fit a node.");
    } else {
      paragraph("Changes of the pod after which it would fit, smallest first:");
      size_t shown = wide_ ? cycle.fits.size() : std::min(cycle.fits.size(), kFitsShown);
      for (size_t i = 0; i < shown; ++i)
        lines(fmt::format("on {}: {}", cycle.fits[i].node, fmt::join(cycle.fits[i].changes, "; ")), "  ");
      if (shown < cycle.fits.size())
        out_ += dim(fmt::format("-o wide shows {} such nodes\n", cycle.fits.size()), style_);
    }
    if (!cycle.preemption) return;
    if (!cycle.preemption->message.empty())
      return paragraph("Preemption: " + cycle.preemption->message +
                       (cycle.preemption->message.ends_with('.') ? "" : "."));
    paragraph(fmt::format("Preemption would make room on {} by evicting {}.", cycle.preemption->node,
                          fmt::join(cycle.preemption->victims, ", ")));
  }

  const PodExplanation& e_;
  bool wide_;
  const TextStyle& style_;
  std::string out_;
};

Json node_json(const NodeExplanation& n) {
  Json out{{"node", n.node}, {"feasible", n.plugin.empty()}};
  if (!n.plugin.empty()) {
    out["plugin"] = n.plugin;
    out["code"] = n.code;
    out["reasons"] = n.reasons;
    return out;
  }
  if (n.scores.empty()) return out;
  out["total"] = n.total;
  for (const ScoreExplanation& s : n.scores)
    out["scores"].push_back({{"plugin", s.plugin},
                             {"raw", s.raw},
                             {"normalized", s.normalized},
                             {"weight", s.weight},
                             {"weighted", s.weighted}});
  return out;
}

Json cycle_json(const CycleExplanation& c) {
  Json out{{"at_s", c.at.to_seconds()}, {"attempt", c.attempt}, {"scheduled", c.scheduled}};
  out["node"] = c.scheduled ? Json(c.node) : Json();
  out["message"] = c.scheduled ? Json() : Json(c.message);
  out["tie"] = c.tie.empty() ? Json() : Json(c.tie);
  out["nodes_in_cluster"] = c.nodes_in_cluster;
  out["nodes"] = Json::array();
  for (const NodeExplanation& n : c.nodes) out["nodes"].push_back(node_json(n));
  out["fits"] = Json::array();
  for (const FitExplanation& f : c.fits) out["fits"].push_back({{"node", f.node}, {"changes", f.changes}});
  out["preemption"] = Json();
  if (c.preemption && c.preemption->message.empty())
    out["preemption"] = {{"node", c.preemption->node}, {"victims", c.preemption->victims}};
  else if (c.preemption)
    out["preemption"] = {{"message", c.preemption->message}};
  return out;
}

}  // namespace

std::string explanation_text(const PodExplanation& explanation, bool wide, const TextStyle& style) {
  return Text(explanation, wide, style).text();
}

std::string explanation_json(const PodExplanation& e) {
  Json out{{"pod", e.pod}, {"at_s", e.at.to_seconds()}, {"phase", e.phase}};
  out["node"] = e.node.empty() ? Json() : Json(e.node);
  out["created_s"] = e.created.to_seconds();
  out["bound_s"] = e.node.empty() ? Json() : Json(e.bound.to_seconds());
  out["start_phase"] = e.start_phase.empty() ? Json() : Json(e.start_phase);
  out["start_phase_since_s"] = e.start_phase.empty() ? Json() : Json(e.start_phase_since.to_seconds());
  out["waits"] = e.waits.empty() ? Json() : Json(e.waits);
  out["attempts"] = e.attempts;
  out["evictions"] = Json::array();
  for (const EvictionExplanation& eviction : e.evictions)
    out["evictions"].push_back({{"at_s", eviction.at.to_seconds()},
                                {"preemptor", eviction.preemptor},
                                {"node", eviction.node},
                                {"victims", eviction.victims}});
  out["reconfigurations"] = Json::array();
  constexpr const char* kStates[] = {"pending", "success", "failed"};
  for (const ReconfigurationExplanation& r : e.reconfigurations)
    out["reconfigurations"].push_back({{"at_s", r.told.at.to_seconds()},
                                       {"node", r.node},
                                       {"config", r.told.config},
                                       {"reason", r.told.reason},
                                       {"evicted", r.evicted},
                                       {"state", kStates[static_cast<size_t>(r.told.outcome)]},
                                       {"why", r.told.why.empty() ? Json() : Json(r.told.why)}});
  out["cycle"] = e.cycle ? cycle_json(*e.cycle) : Json();
  return out.dump(2) + '\n';
}

}  // namespace kisim
