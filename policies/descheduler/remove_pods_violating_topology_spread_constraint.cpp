#include "cluster/node_selector.hpp"
#include "go_sort.hpp"
#include "node_fit.hpp"
#include "pod_selection.hpp"
#include "policy/registry.hpp"
#include "topology_domains.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>
#include <tuple>

namespace kisim {
namespace {

using InclusionPolicy = TopologySpreadConstraint::InclusionPolicy;

constexpr int64_t kNoDomain = -1;
constexpr KeepReason kNotNeeded = "no spread needs it to move";

// A constraint of a pod as far as it decides anything: pods with equal ones are balanced once.
struct Spread {
  int32_t max_skew = 1;
  std::string topology_key;
  std::vector<TemplateId> about;  // templates of the namespace that it counts
  std::vector<uint8_t> eligible;  // by index of the cycle's nodes; empty: all

  bool is_eligible(size_t node) const { return eligible.empty() || eligible[node]; }
  auto operator<=>(const Spread&) const = default;
};

struct Domain {
  const std::string* value;
  std::vector<ViewPodId> pods;  // that may still be moved away; the last one first
  int64_t size = 0;             // with those that were moved here
  bool ordered = false;
};

// One cycle of the plugin.
class Balancing {
 public:
  Balancing(DeschedulerHandle& handle, const RemovePodsViolatingTopologySpreadConstraintArgs& args)
      : handle_(handle),
        view_(handle.view),
        args_(args),
        domains_(view_, handle.nodes),
        pods_(view_.model().templates.size()) {
    std::vector<uint8_t> selected = selected_templates(args.pods, view_);
    for (NodeId node : handle.nodes)
      for (ViewPodId pod : view_.active_pods_on(node))
        if (selected[view_.pod(pod).pod_template.value] && handle.filter(pod))
          pods_[view_.pod(pod).pod_template.value].push_back(pod);
  }

  void choose() {
    std::map<std::string, std::vector<TemplateId>> namespaces;
    for (size_t t = 0; t < pods_.size(); ++t)
      if (!pods_[t].empty()) namespaces[view_.model().templates[TemplateId(t)].namespace_].push_back(TemplateId(t));
    for (const auto& [name, templates] : namespaces) {
      std::set<Spread> done;
      for (TemplateId id : templates)
        for (const TopologySpreadConstraint& c : view_.model().templates[id].spec.topology_spread_constraints)
          if (contains(args_.constraints, c.when_unsatisfiable))
            if (Spread spread = spread_of(c, id, templates); done.insert(spread).second) balance(spread);
    }
  }

  void evict() {
    std::set<NodeId> exhausted;
    for (const auto& [pod, reason] : chosen_) {
      if (exhausted.contains(view_.pod(pod).node) || !handle_.pre_eviction_filter(pod)) continue;
      DeschedulerResult result = handle_.evict(pod, reason);
      if (result == DeschedulerResult::TotalLimit) return;
      if (result == DeschedulerResult::NodeLimit) exhausted.insert(view_.pod(pod).node);
    }
  }

 private:
  Spread spread_of(const TopologySpreadConstraint& c, TemplateId id, const std::vector<TemplateId>& templates) {
    Spread out{c.max_skew, c.topology_key, {}, eligible_nodes(c, view_.model().templates[id].spec)};
    for (TemplateId other : templates)
      if (c.label_selector && view_.model().templates[other].matches(*c.label_selector)) out.about.push_back(other);
    return out;
  }

  std::vector<uint8_t> eligible_nodes(const TopologySpreadConstraint& c, const PodSpec& spec) const {
    bool selects = !spec.node_selector.empty() || spec.required_node_affinity;
    bool affinity = c.node_affinity_policy == InclusionPolicy::Honor && selects;
    bool taints = c.node_taints_policy == InclusionPolicy::Honor;
    std::vector<uint8_t> out;
    for (NodeId node : handle_.nodes)
      if (affinity || taints)
        out.push_back((!affinity || matches_required(spec, view_.object(node))) &&
                      (!taints || tolerates_node(spec, view_.node(node))));
    return out;
  }

  void balance(const Spread& spread) {
    const TopologyDomain& key = domains_.of(spread.topology_key);
    std::vector<int64_t> sizes = sizes_of(spread, key);
    int64_t least = INT64_MAX, most = 0, counted = 0, domains = 0;
    for (int64_t size : sizes) {
      if (size == kNoDomain) continue;
      least = std::min(least, size);
      most = std::max(most, size);
      counted += size;
      ++domains;
    }
    if (domains == 0 || most - least <= spread.max_skew) return keep_all(spread, key);
    double mean = static_cast<double>(counted) / static_cast<double>(domains);
    FittingNodes fitting(view_, nodes_below(spread, key, sizes, mean));
    move_pods(spread, domains_of(spread, key, sizes), mean, fitting);
  }

  // Pods by domain. Domains are those of eligible nodes, and any other where a counted pod runs.
  std::vector<int64_t> sizes_of(const Spread& spread, const TopologyDomain& key) const {
    std::vector<int64_t> out(key.values.size(), kNoDomain);
    for (size_t n = 0; n < handle_.nodes.size(); ++n) {
      uint32_t domain = key.of[handle_.nodes[n].value];
      if (domain != TopologyDomain::kAbsent && spread.is_eligible(n)) out[domain] = 0;
    }
    for_each_counted(spread, key,
                     [&](ViewPodId, uint32_t domain) { out[domain] = std::max<int64_t>(out[domain], 0) + 1; });
    return out;
  }

  template <class Callback>
  void for_each_counted(const Spread& spread, const TopologyDomain& key, Callback callback) const {
    for (TemplateId id : spread.about)
      for (ViewPodId pod : pods_[id.value]) {
        uint32_t domain = key.of[view_.pod(pod).node.value];
        if (domain != TopologyDomain::kAbsent && !view_.pod(pod).terminating) callback(pod, domain);
      }
  }

  // By size, then by the label's value.
  std::vector<Domain> domains_of(const Spread& spread, const TopologyDomain& key,
                                 const std::vector<int64_t>& sizes) const {
    std::vector<Domain> out(sizes.size());
    for (size_t d = 0; d < sizes.size(); ++d) out[d].value = &key.values[d], out[d].size = sizes[d];
    for_each_counted(spread, key, [&](ViewPodId pod, uint32_t domain) { out[domain].pods.push_back(pod); });
    std::erase_if(out, [](const Domain& domain) { return domain.size == kNoDomain; });
    std::stable_sort(out.begin(), out.end(), [](const Domain& a, const Domain& b) { return a.size < b.size; });
    return out;
  }

  std::vector<NodeId> nodes_below(const Spread& spread, const TopologyDomain& key, const std::vector<int64_t>& sizes,
                                  double mean) const {
    std::vector<NodeId> out;
    for (size_t n = 0; n < handle_.nodes.size(); ++n) {
      uint32_t domain = key.of[handle_.nodes[n].value];
      if (domain != TopologyDomain::kAbsent && spread.is_eligible(n) && static_cast<double>(sizes[domain]) < mean)
        out.push_back(handle_.nodes[n]);
    }
    return out;
  }

  // From the largest domain to the smallest, until they are within maxSkew or the mean is reached. `domains` ascend by
  // size, and so none that receives pods gives any.
  void move_pods(const Spread& spread, std::vector<Domain> domains, double mean, FittingNodes& fitting) {
    size_t small = 0, large = domains.size() - 1;
    while (small < large) {
      if (static_cast<double>(domains[large].size) <= mean) --large;
      double from = static_cast<double>(domains[large].size), to = static_cast<double>(domains[small].size);
      double skew = from - to, above = std::ceil(from - mean), below = std::ceil(mean - to);
      double move = std::min(std::min(above, below), std::ceil((skew - spread.max_skew) / 2));
      if (static_cast<int32_t>(skew) <= spread.max_skew || move <= 0) {
        ++small;
        continue;
      }
      order(domains[large], fitting);
      take(spread, domains[large], static_cast<size_t>(move), mean, fitting);
      domains[small].size += static_cast<int64_t>(move);
    }
    for (const Domain& domain : domains)
      for (ViewPodId pod : domain.pods) handle_.keep(pod, kNotNeeded);
  }

  // Pods are taken from the end: those that fit a node of a smaller domain, without node selectors, of the highest
  // priority. Equal ones are where upstream's sort leaves them, when nodes and pods come in their order.
  void order(Domain& domain, FittingNodes& fitting) {
    if (domain.ordered) return;
    domain.ordered = true;
    std::vector<ViewPodId>& pods = domain.pods;
    std::sort(pods.begin(), pods.end(), [&](ViewPodId a, ViewPodId b) {
      return std::make_tuple(view_.pod(a).node, a) < std::make_tuple(view_.pod(b).node, b);
    });
    go_sort(pods, [&](ViewPodId a, ViewPodId b) { return comes_before(a, b); });
    std::stable_partition(pods.begin(), pods.end(), [&](ViewPodId pod) { return !fitting.any_other(pod); });
  }

  // Upstream's comparison. It is no order: pods of equal priority come before each other.
  bool comes_before(ViewPodId a, ViewPodId b) const {
    auto selects = [](const PodSpec& spec) {
      return !spec.node_selector.empty() || spec.required_node_affinity || !spec.preferred_node_affinity.empty();
    };
    bool a_selects = selects(view_.template_of(a).spec), b_selects = selects(view_.template_of(b).spec);
    if (a_selects != b_selects) return a_selects;
    const std::optional<int32_t>&of_a = view_.facts(a).priority, &of_b = view_.facts(b).priority;
    return of_a && of_b ? *of_a <= *of_b : of_a < of_b;
  }

  // What cannot be evicted counts as moved all the same.
  void take(const Spread& spread, Domain& domain, size_t count, double mean, FittingNodes& fitting) {
    for (size_t i = domain.pods.size() - count; i < domain.pods.size(); ++i) {
      ViewPodId pod = domain.pods[i];
      if (args_.topology_balance_node_fit && !fitting.any_other(pod))
        handle_.keep(pod, "fits no node of a domain below the mean");
      else
        chosen_.try_emplace(pod, fmt::format("{} pods in {}={}, the mean of its domains is {:.2f}, maxSkew {}",
                                             domain.size, spread.topology_key, *domain.value, mean, spread.max_skew));
    }
    domain.pods.resize(domain.pods.size() - count);
    domain.size -= static_cast<int64_t>(count);
  }

  void keep_all(const Spread& spread, const TopologyDomain& key) {
    for_each_counted(spread, key, [&](ViewPodId pod, uint32_t) { handle_.keep(pod, kNotNeeded); });
  }

  DeschedulerHandle& handle_;
  const DeschedulerView& view_;
  const RemovePodsViolatingTopologySpreadConstraintArgs& args_;
  TopologyDomains domains_;
  std::vector<std::vector<ViewPodId>> pods_;  // by TemplateId: those that may be evicted
  std::map<ViewPodId, std::string> chosen_;   // and why
};

// pkg/framework/plugins/removepodsviolatingtopologyspreadconstraint/topologyspreadconstraint.go. Only pods that may be
// evicted are counted. Of those in a domain the highest priority goes first, as upstream does in fact. The pods chosen
// are evicted in their order.
class RemovePodsViolatingTopologySpreadConstraint : public DeschedulerPlugin {
 public:
  explicit RemovePodsViolatingTopologySpreadConstraint(RemovePodsViolatingTopologySpreadConstraintArgs args)
      : args_(std::move(args)) {}
  Points points() const override { return {.balance = true}; }

  void balance(DeschedulerHandle& handle) const override {
    Balancing balancing(handle, args_);
    balancing.choose();
    balancing.evict();
  }

 private:
  RemovePodsViolatingTopologySpreadConstraintArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemovePodsViolatingTopologySpreadConstraint",
             "no topology domain with more pods than its spread constraints allow", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemovePodsViolatingTopologySpreadConstraint>(
                   params.args<RemovePodsViolatingTopologySpreadConstraintArgs>());
             });

}  // namespace
}  // namespace kisim
