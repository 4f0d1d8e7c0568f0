#include "policy/descheduler_view.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr const char *kMirror = "kubernetes.io/config.mirror", *kSource = "kubernetes.io/config.source",
                     *kEvict = "descheduler.alpha.kubernetes.io/evict",
                     *kPreferNoEviction = "descheduler.alpha.kubernetes.io/prefer-no-eviction";

// Lists of pods by node in one row, with the place where each node's begins.
template <class Wanted>
void by_node(const DeschedulerSnapshot& s, Wanted wanted, std::vector<ViewPodId>& list, std::vector<uint32_t>& first) {
  first.assign(s.nodes.size() + 1, 0);
  for (const DeschedulerPod& pod : s.pods)
    if (pod.node.valid() && wanted(pod)) ++first[pod.node.value + 1];
  for (size_t n = 1; n < first.size(); ++n) first[n] += first[n - 1];
  std::vector<uint32_t> next(first.begin(), first.end() - 1);
  list.resize(first.back());
  for (size_t p = 0; p < s.pods.size(); ++p) {
    const DeschedulerPod& pod = s.pods[ViewPodId(p)];
    if (pod.node.valid() && wanted(pod)) list[next[pod.node.value]++] = ViewPodId(p);
  }
}

void add_names(const ResourceList& list, const std::map<std::string, ResourceId>& ids, std::vector<ResourceId>& out) {
  for (const auto& [name, amount] : list)
    if (auto found = ids.find(name); found != ids.end()) out.push_back(found->second);
}

}  // namespace

DeschedulerTemplate descheduler_template(const PodTemplateModel& pods) {
  DeschedulerTemplate out;
  out.priority = pods.spec.priority;
  out.qos = pods.qos;
  out.local_storage = !pods.spec.local_volumes.empty();
  const std::string* source = find_label(pods.annotations, kSource);
  out.mirror = find_label(pods.annotations, kMirror);
  out.is_static = source && *source != "api";
  out.evict = find_label(pods.annotations, kEvict);
  out.prefer_no_eviction = find_label(pods.annotations, kPreferNoEviction);
  return out;
}

DeschedulerNode descheduler_node(const ClusterModel& model, NodeId object, NodeConditions conditions) {
  DeschedulerNode out;
  const NodeModel& node = model.nodes[object];
  out.object = object;
  out.ready = !conditions.any_of(kNodeNotReady | kNodeUnreachable);
  out.unschedulable = node.object.unschedulable || conditions.any_of(kNodeCordoned);
  out.taints = node.object.taints;
  for_each_taint(conditions, [&](const Taint& taint) { out.taints.push_back(taint); });
  out.allocatable = node.allocatable;
  return out;
}

DeschedulerView::DeschedulerView(const ClusterModel& model, const DeschedulerSnapshot& snapshot)
    : model_(model), s_(snapshot) {
  place_pods();
  sum_requests();
  name_requests();
  count_owners();
}

void DeschedulerView::place_pods() {
  by_node(
      s_, [](const DeschedulerPod&) { return true; }, all_, first_all_);
  by_node(
      s_, [](const DeschedulerPod& pod) { return !pod.finished(); }, active_, first_active_);
}

void DeschedulerView::sum_requests() {
  const size_t columns = model_.resource_count();
  requested_.assign(s_.nodes.size() * columns, 0);
  for (size_t n = 0; n < s_.nodes.size(); ++n) {
    int64_t* row = &requested_[n * columns];
    for (ViewPodId pod : active_pods_on(NodeId(n))) {
      const std::vector<int64_t>& request = template_of(pod).request;
      for (size_t r = 0; r < columns; ++r) row[r] += r == kPods.value ? 1 : request[r];
    }
  }
}

void DeschedulerView::name_requests() {
  std::map<std::string, ResourceId> ids;
  for (size_t r = 0; r < model_.resource_count(); ++r) ids.emplace(model_.resources[r], ResourceId(r));
  for (const PodTemplateModel& t : model_.templates) {
    std::vector<ResourceId>& named = requests_.emplace_back();
    for (const std::vector<Container>* list : {&t.spec.containers, &t.spec.init_containers})
      for (const Container& c : *list) add_names(c.requests, ids, named);
    if (t.spec.pod_requests) add_names(*t.spec.pod_requests, ids, named);
    add_names(t.spec.overhead, ids, named);
    std::sort(named.begin(), named.end());
    named.erase(std::unique(named.begin(), named.end()), named.end());
  }
}

// By template first: comparing texts for every pod would cost most of a cycle.
void DeschedulerView::count_owners() {
  std::vector<int64_t> pods(s_.templates.size(), 0);
  for (const DeschedulerPod& pod : s_.pods) ++pods[pod.pod_template.value];
  for (size_t t = 0; t < pods.size(); ++t)
    for (const OwnerReference& owner : s_.templates[TemplateId(t)].owners) pods_of_owner_[owner.uid] += pods[t];
}

std::vector<NodeId> DeschedulerView::ready_nodes(const LabelSelector& selector) const {
  std::vector<NodeId> out;
  for (size_t n = 0; n < s_.nodes.size(); ++n) {
    const DeschedulerNode& node = s_.nodes[NodeId(n)];
    if (node.object.valid() && node.ready && selector.matches(object(NodeId(n)).meta.labels)) out.push_back(NodeId(n));
  }
  return out;
}

bool DeschedulerView::names(NodeId node, const std::string& resource) const {
  const ResourceList& list = object(node).allocatable;
  return std::any_of(list.begin(), list.end(), [&](const auto& entry) { return entry.first == resource; });
}

int64_t DeschedulerView::pods_of_owner(const std::string& uid) const {
  auto found = pods_of_owner_.find(uid);
  return found == pods_of_owner_.end() ? 0 : found->second;
}

}  // namespace kisim
