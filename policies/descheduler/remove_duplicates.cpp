#include "cluster/node_selector.hpp"
#include "node_fit.hpp"
#include "pod_selection.hpp"
#include "policy/registry.hpp"

#include <fmt/format.h>

#include <map>
#include <tuple>

namespace kisim {
namespace {

// Namespace, kind and name of an owner, and the images of the pod's containers, sorted.
using OwnerKey = std::tuple<std::string, std::string, std::string, std::vector<std::string>>;

// The pods of one owner with the same images.
struct Group {
  int64_t pods = 0;
  std::map<NodeId, std::vector<ViewPodId>> duplicates;  // all but the first of each node
};

// The groups in the order of their owners' names, and which of them a template's pods belong to.
class Groups {
 public:
  struct Membership {
    bool known = false;
    std::vector<Group*> groups;  // one for each owner reference
    uint32_t identity = 0;       // the same for pods with the same owners and images
  };

  explicit Groups(const DeschedulerView& view) : view_(view), members_(view.model().templates.size()) {}

  const Membership& of(TemplateId id) {
    Membership& member = members_[id.value];
    if (!member.known) find(id, member);
    return member;
  }
  size_t identities() const { return identities_.size(); }
  std::map<OwnerKey, Group>& all() { return groups_; }

 private:
  void find(TemplateId id, Membership& member) {
    const PodTemplateModel& pods = view_.model().templates[id];
    std::vector<std::string> images, identity;
    for (const Container& c : pods.spec.containers) images.push_back(c.image);
    std::sort(images.begin(), images.end());
    for (const OwnerReference& owner : view_.facts(id).owners) {
      member.groups.push_back(&groups_[{pods.namespace_, owner.kind, owner.name, images}]);
      for (const std::string& image : images)
        identity.push_back(pods.namespace_ + "/" + owner.kind + "/" + owner.name + "/" + image);
    }
    std::sort(identity.begin(), identity.end());
    member.identity = identities_.try_emplace(identity, static_cast<uint32_t>(identities_.size())).first->second;
    member.known = true;
  }

  const DeschedulerView& view_;
  std::vector<Membership> members_;  // by TemplateId
  std::map<OwnerKey, Group> groups_;
  std::map<std::vector<std::string>, uint32_t> identities_;
};

// pkg/framework/plugins/removeduplicates/removeduplicates.go. Which of several duplicates on a node stays is open
// upstream: here it is the first in the order of the pods. Owners go by name, nodes in their order.
class RemoveDuplicates : public DeschedulerPlugin {
 public:
  explicit RemoveDuplicates(RemoveDuplicatesArgs args) : args_(std::move(args)) {}
  Points points() const override { return {.balance = true}; }

  void balance(DeschedulerHandle& handle) const override {
    Groups groups(handle.view);
    find_duplicates(handle, groups);
    for (auto& [owner, group] : groups.all())
      if (!group.duplicates.empty() && !thin_out(handle, std::get<2>(owner), group)) return;
  }

 private:
  void find_duplicates(DeschedulerHandle& handle, Groups& groups) const {
    std::vector<NodeId> last_seen;  // by identity
    for (NodeId node : handle.nodes)
      for (ViewPodId pod : handle.view.active_pods_on(node)) {
        if (!looked_at(handle.view, pod) || !evictable(handle, pod)) continue;
        const Groups::Membership& member = groups.of(handle.view.pod(pod).pod_template);
        for (Group* group : member.groups) ++group->pods;
        last_seen.resize(groups.identities());
        bool first = last_seen[member.identity] != node;
        last_seen[member.identity] = node;
        if (first) handle.keep(pod, "is the first of its owner on the node");
        for (Group* group : member.groups)
          if (!first) group->duplicates[node].push_back(pod);
      }
  }

  bool looked_at(const DeschedulerView& view, ViewPodId pod) const {
    const std::vector<OwnerReference>& owners = view.facts(pod).owners;
    bool excluded = std::any_of(owners.begin(), owners.end(), [&](const OwnerReference& owner) {
      return contains(args_.exclude_owner_kinds, owner.kind);
    });
    return !owners.empty() && !excluded && args_.namespaces.admits(view.template_of(pod).namespace_);
  }

  // False once the limit of the cycle is reached.
  bool thin_out(DeschedulerHandle& handle, const std::string& owner, const Group& group) const {
    int64_t targets = target_nodes(handle, group);
    int64_t most = targets < 2 ? 0 : (group.pods + targets - 1) / targets;
    for (const auto& [node, pods] : group.duplicates) {
      // The pod that stays in any case is not among the duplicates.
      size_t kept = targets < 2 ? pods.size() : std::min(pods.size(), static_cast<size_t>(most - 1));
      for (size_t i = 0; i < kept; ++i)
        handle.keep(pods[i], targets < 2 ? "owner's pods have fewer than two feasible nodes"
                                         : "owner has no more pods on the node than an even spread has");
      for (size_t i = kept; i < pods.size(); ++i) {
        DeschedulerResult result =
            handle.evict(pods[i], fmt::format("{} has {} pods on the node, an even spread over {} nodes at most {}",
                                              owner, pods.size() + 1, targets, most));
        if (result == DeschedulerResult::TotalLimit) return false;
        if (result == DeschedulerResult::NodeLimit) break;
      }
    }
    return true;
  }

  // Nodes that any of the duplicates may go to, cordoned ones among them. Pods that have no choice do not count.
  static int64_t target_nodes(const DeschedulerHandle& handle, const Group& group) {
    std::vector<TemplateId> templates;
    for (const auto& [node, pods] : group.duplicates)
      for (ViewPodId pod : pods) templates.push_back(handle.view.pod(pod).pod_template);
    std::sort(templates.begin(), templates.end());
    templates.erase(std::unique(templates.begin(), templates.end()), templates.end());

    std::vector<uint8_t> target(handle.nodes.size(), 0);
    for (TemplateId id : templates) {
      const PodSpec& spec = handle.view.model().templates[id].spec;
      std::vector<size_t> matching;
      for (size_t n = 0; n < handle.nodes.size(); ++n) {
        NodeId node = handle.nodes[n];
        if (tolerates_node(spec, handle.view.node(node)) && matches_required(spec, handle.view.object(node)))
          matching.push_back(n);
      }
      for (size_t n : matching) target[n] |= matching.size() > 1;
    }
    return std::count(target.begin(), target.end(), 1);
  }

  RemoveDuplicatesArgs args_;
};

KISIM_POLICY(DeschedulerPlugin, "RemoveDuplicates", "one pod of an owner per node, as far as its pods can be spread",
             {}, [](const Params& params) -> std::unique_ptr<const DeschedulerPlugin> {
               return std::make_unique<RemoveDuplicates>(params.args<RemoveDuplicatesArgs>());
             });

}  // namespace
}  // namespace kisim
