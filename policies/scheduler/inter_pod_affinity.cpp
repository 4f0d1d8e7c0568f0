#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "policy/scheduler_args.hpp"

#include <limits>
#include <map>

namespace kisim {
namespace {

// The pods in each domain of one key that match some terms over it.
struct KeyCounter {
  TopologyKeyId key;
  CounterId counter;
  std::string name;  // of the key
};

// One template as the pod that is to be scheduled.
struct Affinities {
  std::vector<KeyCounter> affinity;       // a key of each required term: pods that match all of the terms
  std::vector<KeyCounter> anti_affinity;  // likewise of anti-affinity: pods that match any term over the key
  std::vector<KeyCounter> existing;       // pods whose required anti-affinity it matches
  std::vector<KeyCounter> preferred;      // of the score: weights of the terms, its own and those of other pods
  bool matches_itself = false;            // all of its required affinity terms
};

struct AffinityData : PluginData {
  IdVector<TemplateId, Affinities> of;
  bool deleted_pods_repel = true;  // Kubernetes 1.36 and later: their anti-affinity counts for the queueing hint
};

const Labels kNoLabels;

// nullptr if no Namespace object names it.
const Labels* namespace_labels(const ClusterModel& model, const std::string& name) {
  auto found = model.namespaces.find(name);
  return found == model.namespaces.end() ? nullptr : &found->second;
}

// `owner` is the namespace of the pod with the term; `labels` are those of the other pod's namespace, if known.
bool matches(const PodAffinityTerm& term, const std::string& owner, const PodTemplateModel& other,
             const Labels* labels) {
  if (!term.label_selector) return false;
  const std::string& name = other.namespace_;
  bool named = std::find(term.namespaces.begin(), term.namespaces.end(), name) != term.namespaces.end();
  if (term.namespaces.empty() && !term.namespace_selector) named = name == owner;
  if (!named && term.namespace_selector) {
    const LabelSelector& selector = *term.namespace_selector;
    named = selector.requirements.empty() || (labels && selector.matches(*labels));
  }
  return named && other.matches(*term.label_selector);
}

// Without terms, nothing matches.
bool matches_all(const std::vector<PodAffinityTerm>& terms, const std::string& owner, const PodTemplateModel& other,
                 const Labels* labels) {
  return !terms.empty() && std::all_of(terms.begin(), terms.end(), [&](const PodAffinityTerm& term) {
    return matches(term, owner, other, labels);
  });
}

// What the pods of each template add to the counter of each topology key.
using KeyWeights = std::map<std::string, std::map<TemplateId, int32_t>>;

std::vector<KeyCounter> add_counters(const KeyWeights& weights, DomainCounters& counters) {
  std::vector<KeyCounter> out;
  for (const auto& [name, by_template] : weights) {
    TopologyKeyId key = counters.key(name);
    DomainCounter counter;
    counter.key = key;
    counter.weights = {by_template.begin(), by_template.end()};
    out.push_back({key, counters.add(std::move(counter)), name});
  }
  return out;
}

// Works out what each template meets in the others.
class Acquaintance {
 public:
  Acquaintance(const ClusterModel& model, const InterPodAffinityArgs& args) : model_(model), args_(args) {
    for (size_t t = 0; t < model.templates.size(); ++t) {
      const PodSpec& spec = model.templates[TemplateId(t)].spec;
      if (!spec.pod_anti_affinity.required.empty()) repelling_.push_back(TemplateId(t));
      if (!spec.pod_affinity.required.empty() || !spec.pod_affinity.preferred.empty() ||
          !spec.pod_anti_affinity.preferred.empty())
        inclined_.push_back(TemplateId(t));
    }
  }

  Affinities of(const PodTemplateModel& pod, DomainCounters& counters) const {
    Affinities out;
    out.affinity = add_counters(attracting(pod), counters);
    out.anti_affinity = add_counters(repelled(pod), counters);
    out.existing = add_counters(repelling(pod), counters);
    out.preferred = add_counters(preferences(pod), counters);
    out.matches_itself = matches_all(pod.spec.pod_affinity.required, pod.namespace_, pod, labels_for_own_terms(pod));
    return out;
  }

 private:
  // A pod's own terms select among the namespaces that exist; those of others look at the labels of its namespace,
  // which has none if it does not exist.
  const Labels* labels_for_own_terms(const PodTemplateModel& other) const {
    return namespace_labels(model_, other.namespace_);
  }
  const Labels* labels_for_terms_of_others(const PodTemplateModel& pod) const {
    const Labels* labels = namespace_labels(model_, pod.namespace_);
    return labels ? labels : &kNoLabels;
  }

  KeyWeights attracting(const PodTemplateModel& pod) const {
    KeyWeights out;
    for (const PodAffinityTerm& term : pod.spec.pod_affinity.required) out[term.topology_key];
    if (out.empty()) return out;
    for (size_t t = 0; t < model_.templates.size(); ++t) {
      const PodTemplateModel& other = model_.templates[TemplateId(t)];
      if (!matches_all(pod.spec.pod_affinity.required, pod.namespace_, other, labels_for_own_terms(other))) continue;
      for (auto& [key, weights] : out) weights[TemplateId(t)] = 1;
    }
    return out;
  }

  KeyWeights repelled(const PodTemplateModel& pod) const {
    KeyWeights out;
    for (const PodAffinityTerm& term : pod.spec.pod_anti_affinity.required)
      for (size_t t = 0; t < model_.templates.size(); ++t) {
        const PodTemplateModel& other = model_.templates[TemplateId(t)];
        if (matches(term, pod.namespace_, other, labels_for_own_terms(other)))
          out[term.topology_key][TemplateId(t)] = 1;
      }
    return out;
  }

  KeyWeights repelling(const PodTemplateModel& pod) const {
    KeyWeights out;
    const Labels* labels = labels_for_terms_of_others(pod);
    for (TemplateId t : repelling_) {
      const PodTemplateModel& other = model_.templates[t];
      for (const PodAffinityTerm& term : other.spec.pod_anti_affinity.required)
        if (matches(term, other.namespace_, pod, labels)) out[term.topology_key][t] = 1;
    }
    return out;
  }

  KeyWeights preferences(const PodTemplateModel& pod) const {
    KeyWeights out;
    bool own = !pod.spec.pod_affinity.preferred.empty() || !pod.spec.pod_anti_affinity.preferred.empty();
    if (!own && args_.ignore_preferred_terms_of_existing_pods) return out;
    const Labels* labels = labels_for_terms_of_others(pod);
    for (TemplateId t : inclined_) add_preferences_of_others(pod, t, labels, out);
    if (!own) return out;
    for (size_t t = 0; t < model_.templates.size(); ++t) {
      const PodTemplateModel& other = model_.templates[TemplateId(t)];
      const Labels* of_other = labels_for_own_terms(other);
      for (const WeightedPodAffinityTerm& w : pod.spec.pod_affinity.preferred)
        if (matches(w.term, pod.namespace_, other, of_other)) out[w.term.topology_key][TemplateId(t)] += w.weight;
      for (const WeightedPodAffinityTerm& w : pod.spec.pod_anti_affinity.preferred)
        if (matches(w.term, pod.namespace_, other, of_other)) out[w.term.topology_key][TemplateId(t)] -= w.weight;
    }
    return out;
  }

  void add_preferences_of_others(const PodTemplateModel& pod, TemplateId t, const Labels* labels,
                                 KeyWeights& out) const {
    const PodTemplateModel& other = model_.templates[t];
    auto add = [&](const PodAffinityTerm& term, int32_t weight) {
      if (matches(term, other.namespace_, pod, labels)) out[term.topology_key][t] += weight;
    };
    if (args_.hard_pod_affinity_weight > 0)
      for (const PodAffinityTerm& term : other.spec.pod_affinity.required) add(term, args_.hard_pod_affinity_weight);
    for (const WeightedPodAffinityTerm& w : other.spec.pod_affinity.preferred) add(w.term, w.weight);
    for (const WeightedPodAffinityTerm& w : other.spec.pod_anti_affinity.preferred) add(w.term, -w.weight);
  }

  const ClusterModel& model_;
  const InterPodAffinityArgs& args_;
  std::vector<TemplateId> repelling_;  // with required anti-affinity
  std::vector<TemplateId> inclined_;   // with anything that scores
};

// --- what the snapshot counts now

int64_t count_on(const SchedulerView& cluster, const KeyCounter& k, NodeId node) {
  int32_t domain = cluster.domain(k.key, node);
  return domain == TopologyKey::kAbsent ? 0 : cluster.count(k.counter, domain);
}

bool any_pod(const SchedulerView& cluster, const std::vector<KeyCounter>& counters) {
  return std::any_of(counters.begin(), counters.end(),
                     [&](const KeyCounter& k) { return cluster.counted_pods(k.counter) != 0; });
}

bool any_on(const SchedulerView& cluster, const std::vector<KeyCounter>& counters, NodeId node) {
  return std::any_of(counters.begin(), counters.end(),
                     [&](const KeyCounter& k) { return count_on(cluster, k, node) > 0; });
}

// The first pod of a kind that wants company of its own kind may go anywhere in a domain.
bool affinity_satisfied(const SchedulerView& cluster, const Affinities& a, NodeId node) {
  bool in_company = true;
  for (const KeyCounter& k : a.affinity) {
    int32_t domain = cluster.domain(k.key, node);
    if (domain == TopologyKey::kAbsent) return false;
    in_company = in_company && cluster.count(k.counter, domain) > 0;
  }
  return in_company || (a.matches_itself && !any_pod(cluster, a.affinity));
}

enum Reason : uint32_t { kAffinity, kAntiAffinity, kExistingAntiAffinity };

// plugins/interpodaffinity: filtering.go, scoring.go, plugin.go
class InterPodAffinity : public SchedulerPlugin {
 public:
  explicit InterPodAffinity(InterPodAffinityArgs args) : args_(args) {}

  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<AffinityData>();
    data->deleted_pods_repel = p.kubernetes_minor >= 36;
    Acquaintance acquaintance(p.model, args_);
    for (const PodTemplateModel& t : p.model.templates) data->of.push_back(acquaintance.of(t, p.counters));
    return data;
  }

  // --- filter

  StatusCode pre_filter(PluginContext& c, NodeSet&) const override {
    const Affinities& a = affinities(c);
    bool own = !c.spec().pod_affinity.required.empty() || !c.spec().pod_anti_affinity.required.empty();
    return own || any_pod(c.cluster, a.existing) ? StatusCode::Success : StatusCode::Skip;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const Affinities& a = affinities(c);
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!affinity_satisfied(c.cluster, a, nodes[i]))
        codes[i] = StatusCode::UnschedulableAndUnresolvable;
      else if (any_on(c.cluster, a.anti_affinity, nodes[i]) || any_on(c.cluster, a.existing, nodes[i]))
        codes[i] = StatusCode::Unschedulable;
    }
  }

  // --- score

  StatusCode pre_score(PluginContext& c, std::span<const NodeId>) const override {
    return any_pod(c.cluster, affinities(c).preferred) ? StatusCode::Success : StatusCode::Skip;
  }

  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    std::fill(scores.begin(), scores.end(), 0);
    for (const KeyCounter& k : affinities(c).preferred)
      for (size_t i = 0; i < nodes.size(); ++i) scores[i] += count_on(c.cluster, k, nodes[i]);
  }

  // The lowest becomes 0, the highest 100.
  void normalize(PluginContext&, std::span<const NodeId>, std::span<int64_t> scores) const override {
    if (scores.empty()) return;
    auto [min, max] = std::minmax_element(scores.begin(), scores.end());
    int64_t low = *min, range = *max - *min;
    for (int64_t& score : scores) {
      double share = range > 0 ? static_cast<double>(score - low) / static_cast<double>(range) : 0;
      score = static_cast<int64_t>(static_cast<double>(kMaxNodeScore) * share);
    }
  }

  // --- queueing

  ClusterEvents events() const override {
    return {ClusterEvent::Kind::AssignedPodAdd, ClusterEvent::Kind::AssignedPodDelete,
            ClusterEvent::Kind::AssignedPodUpdateLabel, ClusterEvent::Kind::NodeAdd,
            ClusterEvent::Kind::NodeUpdateLabel};
  }
  // Upstream does not know the labels of namespaces here.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    if (!event.pod_template.valid()) return node_hint(c, event);
    const PodTemplateModel& other = c.cluster.pod_template(event.pod_template);
    const std::string& owner = c.model.namespace_;
    bool attracts = matches_all(c.spec().pod_affinity.required, owner, other, &kNoLabels);
    if (event.kind == ClusterEvent::Kind::AssignedPodAdd) return attracts;
    bool repelled = matches_all(c.spec().pod_anti_affinity.required, owner, other, &kNoLabels);
    if (event.kind == ClusterEvent::Kind::AssignedPodUpdateLabel) return attracts || !repelled;
    return repelled || (c.data_as<AffinityData>().deleted_pods_repel &&
                        matches_all(other.spec.pod_anti_affinity.required, other.namespace_, c.model, &kNoLabels));
  }

  // --- reasons

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't match pod affinity rules", "node(s) didn't match pod anti-affinity rules",
            "node(s) didn't satisfy existing pods anti-affinity rules"};
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    const Affinities& a = affinities(c);
    if (!affinity_satisfied(c.cluster, a, node)) return out.push_back(kAffinity);
    out.push_back(any_on(c.cluster, a.anti_affinity, node) ? kAntiAffinity : kExistingAntiAffinity);
  }

  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    const Affinities& a = affinities(c);
    if (others_repel(c, node)) return;
    if (!affinity_satisfied(c.cluster, a, node))
      for (const KeyCounter& k : a.affinity)
        if (count_on(c.cluster, k, node) <= 0) out.push_back(drop("affinity", k.name, &PodSpec::pod_affinity));
    for (const KeyCounter& k : a.anti_affinity)
      if (count_on(c.cluster, k, node) > 0) out.push_back(drop("anti-affinity", k.name, &PodSpec::pod_anti_affinity));
  }

 private:
  static const Affinities& affinities(const PluginContext& c) { return c.data_as<AffinityData>().of[c.pod_template]; }

  // A node that joins, or moves to another domain, may bring company or get rid of it.
  static bool node_hint(const PluginContext& c, const ClusterEvent& event) {
    auto label = [&](uint32_t entry, const std::string& key) -> const std::string* {
      if (entry == ClusterEvent::kNone) return nullptr;
      return find_label(c.cluster.model().nodes[NodeId(entry)].object.meta.labels, key);
    };
    bool is_new = event.before == ClusterEvent::kNone;
    for (const PodAffinityTerm& term : c.spec().pod_affinity.required) {
      const std::string *before = label(event.before, term.topology_key),
                        *after = label(event.after, term.topology_key);
      if (after && (!before || *before != *after)) return true;
    }
    for (const PodAffinityTerm& term : c.spec().pod_anti_affinity.required) {
      const std::string *before = label(event.before, term.topology_key),
                        *after = label(event.after, term.topology_key);
      if (is_new || (before && (!after || *before != *after))) return true;
    }
    return false;
  }

  // Whether pods of other templates keep this one off: nothing that it could give up itself. Those of its own would
  // give up the same as it does.
  static bool others_repel(const PluginContext& c, NodeId node) {
    for (const KeyCounter& k : affinities(c).existing) {
      if (count_on(c.cluster, k, node) <= 0) continue;
      for (NodeId n : c.cluster.nodes()) {
        if (c.cluster.domain(k.key, n) != c.cluster.domain(k.key, node)) continue;
        for (PodId pod : c.cluster.pods_on(n))
          if (c.cluster.pod(pod).pod_template != c.pod_template && repels(c, pod, k.name)) return true;
      }
    }
    return false;
  }

  static bool repels(const PluginContext& c, PodId pod, const std::string& key) {
    const PodTemplateModel& other = c.cluster.template_of(pod);
    const Labels* labels = namespace_labels(c.cluster.model(), c.model.namespace_);
    const std::vector<PodAffinityTerm>& terms = other.spec.pod_anti_affinity.required;
    return std::any_of(terms.begin(), terms.end(), [&](const PodAffinityTerm& term) {
      return term.topology_key == key && matches(term, other.namespace_, c.model, labels ? labels : &kNoLabels);
    });
  }

  static Remedy drop(const char* what, const std::string& key, PodAffinityTerms PodSpec::*terms) {
    return {fmt::format("drop the required {} over {}", what, key), [key, terms](PodTemplate& pod) {
              std::erase_if((pod.spec.*terms).required,
                            [&](const PodAffinityTerm& term) { return term.topology_key == key; });
            }};
  }

  InterPodAffinityArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "InterPodAffinity", "pods near some pods and away from others", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<InterPodAffinity>(params.args<InterPodAffinityArgs>());
             });

}  // namespace
}  // namespace kisim
