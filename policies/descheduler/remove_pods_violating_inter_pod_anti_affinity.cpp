#include "eviction_order.hpp"
#include "pod_anti_affinity.hpp"
#include "pod_selection.hpp"
#include "policy/registry.hpp"
#include "topology_domains.hpp"

#include <fmt/format.h>

#include <map>

namespace kisim {
namespace {

// For one required term of one template: how many pods that it is about run in each topology domain.
struct TermCount {
  std::vector<uint8_t> about;  // by TemplateId
  const TopologyDomain* domain;
  std::map<uint32_t, int64_t> pods;  // by domain
};

// Who is in conflict with whom among some pods, kept up to date as pods go.
class Conflicts {
 public:
  Conflicts(const DeschedulerView& view, std::span<const NodeId> nodes, const std::vector<uint8_t>& selected)
      : view_(view), domains_(view, nodes), terms_(view.model().templates.size()) {
    std::vector<std::map<NodeId, int64_t>> running(selected.size());  // by template
    for (NodeId node : nodes)
      for (ViewPodId pod : view.active_pods_on(node))
        if (TemplateId id = view.pod(pod).pod_template; selected[id.value]) ++running[id.value][node];
    for (size_t t = 0; t < selected.size(); ++t)
      if (!running[t].empty()) add_terms(TemplateId(t), running);
  }

  // The topology key of the first term that another pod breaks; nullptr: none.
  const std::string* broken_key(ViewPodId id) const {
    const DeschedulerPod& pod = view_.pod(id);
    const std::vector<PodAffinityTerm>& required = view_.template_of(id).spec.pod_anti_affinity.required;
    const std::vector<TermCount>& counts = terms_[pod.pod_template.value];
    for (size_t i = 0; i < counts.size(); ++i) {
      auto found = counts[i].pods.find(counts[i].domain->of_or_own(pod.node));
      int64_t others = found == counts[i].pods.end() ? 0 : found->second;
      if (others > counts[i].about[pod.pod_template.value]) return &required[i].topology_key;
    }
    return nullptr;
  }

  void remove(ViewPodId id) {
    const DeschedulerPod& pod = view_.pod(id);
    for (std::vector<TermCount>& counts : terms_)
      for (TermCount& count : counts)
        if (count.about[pod.pod_template.value]) --count.pods[count.domain->of_or_own(pod.node)];
  }

 private:
  void add_terms(TemplateId id, const std::vector<std::map<NodeId, int64_t>>& running) {
    const PodTemplateModel& own = view_.model().templates[id];
    for (const PodAffinityTerm& term : own.spec.pod_anti_affinity.required) {
      TermCount& count = terms_[id.value].emplace_back();
      count.domain = &domains_.of(term.topology_key);
      count.about.assign(running.size(), 0);
      for (size_t t = 0; t < running.size(); ++t) {
        if (running[t].empty() || !repels(term, own.namespace_, view_.model().templates[TemplateId(t)])) continue;
        count.about[t] = 1;
        for (const auto& [node, pods] : running[t]) count.pods[count.domain->of_or_own(node)] += pods;
      }
    }
  }

  const DeschedulerView& view_;
  TopologyDomains domains_;
  std::vector<std::vector<TermCount>> terms_;  // by TemplateId, as its required terms
};

// pkg/framework/plugins/removepodsviolatinginterpodantiaffinity/pod_antiaffinity.go: on each node the pods go in their
// order of eviction until none is left in conflict. Who is in conflict is asked before who may be evicted, and every
// pod that the plugin looks at counts for others. Upstream tells pods apart by name alone, here they are themselves.
class RemovePodsViolatingInterPodAntiAffinity : public DeschedulerPlugin {
 public:
  explicit RemovePodsViolatingInterPodAntiAffinity(RemovePodsViolatingInterPodAntiAffinityArgs args)
      : args_(std::move(args)) {}
  Points points() const override { return {.deschedule = true}; }

  void deschedule(DeschedulerHandle& handle) const override {
    std::vector<uint8_t> selected = selected_templates(args_.pods, handle.view);
    Conflicts conflicts(handle.view, handle.nodes, selected);
    for (NodeId node : handle.nodes) {
      std::vector<ViewPodId> pods;
      for (ViewPodId pod : handle.view.active_pods_on(node))
        if (selected[handle.view.pod(pod).pod_template.value]) pods.push_back(pod);
      sort_by_priority(handle.view, pods);
      for (ViewPodId pod : pods) {
        if (handle.view.template_of(pod).spec.pod_anti_affinity.required.empty()) continue;
        const std::string* key = conflicts.broken_key(pod);
        if (!key) handle.keep(pod, "no pod breaks its anti-affinity");
        if (!key || !evictable(handle, pod)) continue;
        DeschedulerResult result =
            handle.evict(pod, fmt::format("required anti-affinity: another such pod runs in the same {}", *key));
        if (result == DeschedulerResult::TotalLimit) return;
        if (result == DeschedulerResult::NodeLimit) break;
        if (result == DeschedulerResult::Success) conflicts.remove(pod);
      }
    }
  }

 private:
  RemovePodsViolatingInterPodAntiAffinityArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemovePodsViolatingInterPodAntiAffinity",
             "no pod beside another that its anti-affinity excludes", {},
             [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemovePodsViolatingInterPodAntiAffinity>(
                   params.args<RemovePodsViolatingInterPodAntiAffinityArgs>());
             });

}  // namespace
}  // namespace kisim
