#include "cluster/node_selector.hpp"
#include "core/math.hpp"
#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "policy/scheduler_args.hpp"
#include "taints.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace kisim {
namespace {

using Unsatisfiable = TopologySpreadConstraint::Unsatisfiable;
using InclusionPolicy = TopologySpreadConstraint::InclusionPolicy;

constexpr const char* kHostname = "kubernetes.io/hostname";

// One constraint of one template.
struct Spread {
  TopologySpreadConstraint object;
  TopologyKeyId key;
  CounterId counter;     // its pods in each domain
  bool on_host = false;  // soft, over the host name: the counter counts by node
  int64_t self = 0;      // 1 if the pod matches its own selector
};

struct Spreads {
  std::vector<Spread> hard, soft;
  bool needs_all_keys = true;  // nodes without one of the soft keys get no score
};

struct SpreadData : PluginData {
  IdVector<TemplateId, Spreads> of;
  TopologyKeyId node_key;
};

// Two constraints that suit every pod: a little over hosts, less over zones.
std::vector<TopologySpreadConstraint> system_defaults() {
  TopologySpreadConstraint host, zone;
  host.topology_key = kHostname;
  host.max_skew = 3;
  zone.topology_key = "topology.kubernetes.io/zone";
  zone.max_skew = 5;
  host.when_unsatisfiable = zone.when_unsatisfiable = Unsatisfiable::ScheduleAnyway;
  return {host, zone};
}

bool selects(const TopologySpreadConstraint& constraint, const PodTemplateModel& pod) {
  return constraint.label_selector && pod.matches(*constraint.label_selector);
}

// Fills the counters of one template's constraints.
class SpreadCounters {
 public:
  SpreadCounters(Preparation& p, const PodTemplateModel& pod) : p_(p), pod_(pod) {}

  CounterId of(const TopologySpreadConstraint& constraint, const std::vector<TopologyKeyId>& needed) {
    DomainCounter counter = counter_of(constraint, p_.counters.key(constraint.topology_key));
    counter.eligible = eligible(constraint, counter.key, needed);
    if (constraint.node_taints_policy == InclusionPolicy::Honor)
      counter.refused_conditions = refused_conditions(pod_.spec);
    return p_.counters.add(std::move(counter));
  }
  // Counts by node, whatever the inclusion policies.
  CounterId by_node(const TopologySpreadConstraint& constraint) {
    return p_.counters.add(counter_of(constraint, p_.counters.key("")));
  }

 private:
  // An empty selector selects everything, but counts nothing: countPodsMatchSelector knows it, updateWithPod, which dry
  // runs use, does not.
  DomainCounter counter_of(const TopologySpreadConstraint& constraint, TopologyKeyId key) const {
    DomainCounter counter;
    counter.key = key;
    counter.terminating = false;
    if (!constraint.label_selector) return counter;
    counter.dry_runs_only = constraint.label_selector->requirements.empty();
    for (size_t t = 0; t < p_.model.templates.size(); ++t) {
      const PodTemplateModel& other = p_.model.templates[TemplateId(t)];
      if (other.namespace_ == pod_.namespace_ && selects(constraint, other))
        counter.weights.emplace_back(TemplateId(t), 1);
    }
    return counter;
  }

  // By entry of ClusterModel::nodes; empty if all that are in any domain are.
  std::vector<uint8_t> eligible(const TopologySpreadConstraint& constraint, TopologyKeyId key,
                                const std::vector<TopologyKeyId>& needed) const {
    std::vector<uint8_t> out(p_.model.nodes.size(), 1);
    bool all = true;
    for (size_t n = 0; n < out.size(); ++n) {
      if (p_.counters.key(key).domain[n] == TopologyKey::kAbsent) continue;
      bool has_keys = std::all_of(needed.begin(), needed.end(), [&](TopologyKeyId needed_key) {
        return p_.counters.key(needed_key).domain[n] != TopologyKey::kAbsent;
      });
      out[n] = has_keys && is_included(constraint, p_.model.nodes[NodeId(n)].object);
      all = all && out[n];
    }
    return all ? std::vector<uint8_t>{} : out;
  }

  bool is_included(const TopologySpreadConstraint& constraint, const Node& node) const {
    if (constraint.node_affinity_policy == InclusionPolicy::Honor && !matches_required(pod_.spec, node)) return false;
    return constraint.node_taints_policy == InclusionPolicy::Ignore || !first_untolerated(pod_.spec, node);
  }

  Preparation& p_;
  const PodTemplateModel& pod_;
};

Spreads spreads_of(const PodTemplateModel& pod, const std::vector<TopologySpreadConstraint>& constraints,
                   bool needs_all_keys, Preparation& p) {
  Spreads out;
  out.needs_all_keys = needs_all_keys;
  std::vector<TopologyKeyId> hard_keys, soft_keys;
  for (const TopologySpreadConstraint& constraint : constraints) {
    bool hard = constraint.when_unsatisfiable == Unsatisfiable::DoNotSchedule;
    Spread spread{constraint, p.counters.key(constraint.topology_key), {}, false, selects(constraint, pod) ? 1 : 0};
    spread.on_host = !hard && constraint.topology_key == kHostname;
    (hard ? hard_keys : soft_keys).push_back(spread.key);
    (hard ? out.hard : out.soft).push_back(std::move(spread));
  }
  SpreadCounters counters(p, pod);
  for (Spread& spread : out.hard) spread.counter = counters.of(spread.object, hard_keys);
  if (!needs_all_keys) soft_keys.clear();
  for (Spread& spread : out.soft)
    spread.counter = spread.on_host ? counters.by_node(spread.object) : counters.of(spread.object, soft_keys);
  return out;
}

enum Reason : uint32_t { kTooUneven, kMissingLabel };

// What PreFilter leaves for each hard constraint: the smallest count of any domain, whose it is, and the smallest of
// the others. While filter() asks about a node, only the pods of that node may differ from what PreFilter saw.
struct Lowest {
  static constexpr int64_t kFewDomains = -2;  // in `domain`: fewer than minDomains, so the smallest counts as 0
  static constexpr size_t kWords = 3;
  int64_t count = std::numeric_limits<int64_t>::max(), domain = -1;
  int64_t other_count = std::numeric_limits<int64_t>::max();
};

Lowest lowest_of(const SchedulerView& cluster, const Spread& spread) {
  Lowest out;
  if (cluster.live_domains(spread.counter) < spread.object.min_domains) {
    out.domain = Lowest::kFewDomains;
    return out;
  }
  auto domains = static_cast<int32_t>(cluster.domains(spread.counter));
  for (int32_t d = 0; d < domains; ++d) {
    if (!cluster.live(spread.counter, d)) continue;
    int64_t count = cluster.count(spread.counter, d);
    if (count < out.count) {
      out.other_count = out.count;
      out.count = count;
      out.domain = d;
    } else {
      out.other_count = std::min(out.other_count, count);
    }
  }
  return out;
}

// plugins/podtopologyspread: filtering.go, scoring.go, plugin.go
class PodTopologySpread : public SchedulerPlugin {
 public:
  explicit PodTopologySpread(PodTopologySpreadArgs args) : args_(std::move(args)) {
    if (args_.defaulting == PodTopologySpreadArgs::Defaulting::System) args_.default_constraints = system_defaults();
  }

  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<SpreadData>();
    data->node_key = p.counters.key("");
    for (const PodTemplateModel& t : p.model.templates) {
      bool own = !t.spec.topology_spread_constraints.empty();
      bool needs_all_keys = own || args_.defaulting != PodTopologySpreadArgs::Defaulting::System;
      data->of.push_back(spreads_of(t, own ? t.spec.topology_spread_constraints : defaults_of(t), needs_all_keys, p));
    }
    return data;
  }

  // --- filter

  StatusCode pre_filter(PluginContext& c, NodeSet&) const override {
    const std::vector<Spread>& hard = spreads(c).hard;
    if (hard.empty()) return StatusCode::Skip;
    c.scratch.clear();
    for (const Spread& spread : hard) {
      Lowest lowest = lowest_of(c.cluster, spread);
      c.scratch.insert(c.scratch.end(), {lowest.count, lowest.domain, lowest.other_count});
    }
    return StatusCode::Success;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const std::vector<Spread>& hard = spreads(c).hard;
    for (size_t i = 0; i < nodes.size(); ++i) codes[i] = verdict(c, hard, nodes[i]);
  }

  // --- score

  // For each soft constraint the weight of its counts: ln(domains + 2), so that few domains are not drowned by many.
  StatusCode pre_score(PluginContext& c, std::span<const NodeId> nodes) const override {
    const Spreads& s = spreads(c);
    if (s.soft.empty()) return StatusCode::Skip;
    size_t weights = s.hard.size() * Lowest::kWords;
    c.scratch.resize(weights);
    for (const Spread& spread : s.soft) {
      size_t domains = spread.on_host ? count_scored(c, s, nodes) : count_domains(c, s, spread, nodes);
      c.scratch.push_back(std::bit_cast<int64_t>(math::log(static_cast<double>(domains + 2))));
    }
    return StatusCode::Success;
  }

  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    const Spreads& s = spreads(c);
    const int64_t* weights = &c.scratch[s.hard.size() * Lowest::kWords];
    TopologyKeyId node_key = c.data_as<SpreadData>().node_key;
    for (size_t i = 0; i < nodes.size(); ++i) {
      scores[i] = 0;
      if (is_ignored(c, s, nodes[i])) continue;
      double sum = 0;
      for (size_t k = 0; k < s.soft.size(); ++k) {
        const Spread& spread = s.soft[k];
        int32_t domain = c.cluster.domain(spread.key, nodes[i]);
        if (domain == TopologyKey::kAbsent) continue;
        if (spread.on_host) domain = c.cluster.domain(node_key, nodes[i]);
        auto count = static_cast<double>(c.cluster.count(spread.counter, domain));
        sum += count * std::bit_cast<double>(weights[k]) + static_cast<double>(spread.object.max_skew - 1);
      }
      scores[i] = static_cast<int64_t>(std::round(sum));
    }
  }

  // The fewer pods, the better: 100 · (max + min − score) / max.
  void normalize(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    const Spreads& s = spreads(c);
    int64_t min = std::numeric_limits<int64_t>::max(), max = 0;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (is_ignored(c, s, nodes[i])) continue;
      min = std::min(min, scores[i]);
      max = std::max(max, scores[i]);
    }
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (is_ignored(c, s, nodes[i]))
        scores[i] = 0;
      else
        scores[i] = max == 0 ? kMaxNodeScore : kMaxNodeScore * (max + min - scores[i]) / max;
    }
  }

  // --- queueing

  ClusterEvents events() const override {
    return {ClusterEvent::Kind::AssignedPodAdd,
            ClusterEvent::Kind::AssignedPodDelete,
            ClusterEvent::Kind::AssignedPodUpdateLabel,
            ClusterEvent::Kind::NodeAdd,
            ClusterEvent::Kind::NodeDelete,
            ClusterEvent::Kind::NodeUpdateLabel,
            ClusterEvent::Kind::NodeUpdateTaint};
  }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    const std::vector<Spread>& hard = spreads(c).hard;
    if (event.pod_template.valid()) {
      const PodTemplateModel& other = c.cluster.pod_template(event.pod_template);
      return other.namespace_ == c.model.namespace_ &&
             std::any_of(hard.begin(), hard.end(), [&](const Spread& s) { return selects(s.object, other); });
    }
    auto object = [&](uint32_t entry) -> const Node& { return c.cluster.model().nodes[NodeId(entry)].object; };
    bool counted = event.before != ClusterEvent::kNone && has_keys(hard, object(event.before));
    bool counts = event.after != ClusterEvent::kNone && has_keys(hard, object(event.after));
    if (counted != counts) return true;
    if (!counts) return false;
    const Node &before = object(event.before), &after = object(event.after);
    return event.conditions_before != event.conditions_after || moved(hard, before, after) ||
           !std::equal(before.taints.begin(), before.taints.end(), after.taints.begin(), after.taints.end(),
                       same_taint);
  }

  // --- reasons

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match pod topology spread constraints",
            "node(s) didn't match pod topology spread constraints (missing required label)"};
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    StatusCode code = verdict(c, spreads(c).hard, node);
    out.push_back(code == StatusCode::UnschedulableAndUnresolvable ? kMissingLabel : kTooUneven);
  }

  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    const Spreads& s = spreads(c);
    for (size_t k = 0; k < s.hard.size(); ++k) {
      const TopologySpreadConstraint& constraint = s.hard[k].object;
      if (c.cluster.domain(s.hard[k].key, node) == TopologyKey::kAbsent) {
        out.push_back({fmt::format("make topologySpreadConstraints over {} ScheduleAnyway", constraint.topology_key),
                       change(s, constraint.topology_key, [](TopologySpreadConstraint& own) {
                         own.when_unsatisfiable = Unsatisfiable::ScheduleAnyway;
                       })});
        continue;
      }
      int64_t skew = skew_on(c, s.hard[k], k, node);
      if (skew <= constraint.max_skew) continue;
      out.push_back({fmt::format("raise maxSkew of topologySpreadConstraints over {} from {} to {}",
                                 constraint.topology_key, constraint.max_skew, skew),
                     change(s, constraint.topology_key,
                            [skew](TopologySpreadConstraint& own) { own.max_skew = static_cast<int32_t>(skew); })});
    }
  }

 private:
  static const Spreads& spreads(const PluginContext& c) { return c.data_as<SpreadData>().of[c.pod_template]; }

  std::vector<TopologySpreadConstraint> defaults_of(const PodTemplateModel& pod) const {
    if (pod.default_spread_selector.requirements.empty()) return {};
    std::vector<TopologySpreadConstraint> out = args_.default_constraints;
    for (TopologySpreadConstraint& constraint : out) constraint.label_selector = pod.default_spread_selector;
    return out;
  }

  // What would be too much for maxSkew: pods in the node's domain with this one, over the smallest of all domains.
  static int64_t skew_on(const PluginContext& c, const Spread& spread, size_t k, NodeId node) {
    const int64_t* words = &c.scratch[k * Lowest::kWords];
    Lowest lowest{words[0], words[1], words[2]};
    int32_t domain = c.cluster.domain(spread.key, node);
    int64_t count = c.cluster.count(spread.counter, domain), min = 0;
    if (lowest.domain != Lowest::kFewDomains) {
      min = lowest.domain == domain ? lowest.other_count : lowest.count;
      if (c.cluster.live(spread.counter, domain)) min = std::min(min, count);
    }
    return count + spread.self - min;
  }

  static StatusCode verdict(const PluginContext& c, const std::vector<Spread>& hard, NodeId node) {
    for (size_t k = 0; k < hard.size(); ++k) {
      if (c.cluster.domain(hard[k].key, node) == TopologyKey::kAbsent) return StatusCode::UnschedulableAndUnresolvable;
      if (skew_on(c, hard[k], k, node) > hard[k].object.max_skew) return StatusCode::Unschedulable;
    }
    return StatusCode::Success;
  }

  static bool is_ignored(const PluginContext& c, const Spreads& s, NodeId node) {
    return s.needs_all_keys && std::any_of(s.soft.begin(), s.soft.end(), [&](const Spread& spread) {
             return c.cluster.domain(spread.key, node) == TopologyKey::kAbsent;
           });
  }

  static size_t count_scored(const PluginContext& c, const Spreads& s, std::span<const NodeId> nodes) {
    return static_cast<size_t>(
        std::count_if(nodes.begin(), nodes.end(), [&](NodeId n) { return !is_ignored(c, s, n); }));
  }

  // Different domains among the nodes that get a score. Those without the key are one more, if that is allowed.
  static size_t count_domains(PluginContext& c, const Spreads& s, const Spread& spread, std::span<const NodeId> nodes) {
    size_t seen = c.scratch.size(), count = 0;
    c.scratch.resize(seen + c.cluster.domains(spread.counter) / 64 + 1, 0);
    bool without = false;
    for (NodeId n : nodes) {
      if (is_ignored(c, s, n)) continue;
      int32_t domain = c.cluster.domain(spread.key, n);
      if (domain == TopologyKey::kAbsent) {
        without = true;
        continue;
      }
      int64_t& word = c.scratch[seen + static_cast<size_t>(domain) / 64];
      auto bit = static_cast<int64_t>(1ull << (domain % 64));
      count += (word & bit) == 0;
      word |= bit;
    }
    c.scratch.resize(seen);
    return count + without;
  }

  static bool has_keys(const std::vector<Spread>& hard, const Node& node) {
    return std::all_of(hard.begin(), hard.end(),
                       [&](const Spread& s) { return find_label(node.meta.labels, s.object.topology_key); });
  }
  // Precondition: both have all keys.
  static bool moved(const std::vector<Spread>& hard, const Node& before, const Node& after) {
    return std::any_of(hard.begin(), hard.end(), [&](const Spread& s) {
      const std::string& key = s.object.topology_key;
      return *find_label(before.meta.labels, key) != *find_label(after.meta.labels, key);
    });
  }

  // Changes the hard constraint over a key; default ones become the pod's own.
  template <class Edit>
  static std::function<void(PodTemplate&)> change(const Spreads& s, const std::string& key, Edit edit) {
    std::vector<TopologySpreadConstraint> known;
    for (const auto* list : {&s.hard, &s.soft})
      for (const Spread& spread : *list) known.push_back(spread.object);
    return [known = std::move(known), key, edit](PodTemplate& pod) {
      std::vector<TopologySpreadConstraint>& own = pod.spec.topology_spread_constraints;
      if (own.empty()) own = known;
      for (TopologySpreadConstraint& constraint : own)
        if (constraint.topology_key == key && constraint.when_unsatisfiable == Unsatisfiable::DoNotSchedule)
          edit(constraint);
    };
  }

  PodTopologySpreadArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "PodTopologySpread", "pods of a kind spread evenly over hosts, zones and other domains",
             {}, [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<PodTopologySpread>(params.args<PodTopologySpreadArgs>());
             });

}  // namespace
}  // namespace kisim
