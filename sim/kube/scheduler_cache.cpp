#include "kube/scheduler_cache.hpp"

#include <algorithm>

namespace kisim {

void SchedulerCache::start() {
  s_ = {};
  s_.image_bytes.assign(model_.images.size(), 0);
  s_.holders.assign(model_.images.size(), 0);
  s_.counts.assign(counters_.domains(), 0);
  s_.domain_nodes.assign(counters_.domains(), 0);
  s_.counted_pods.assign(counters_.size(), 0);
  s_.live_domains.assign(counters_.size(), 0);
  for (const PodDisruptionBudgetModel& budget : model_.budgets)
    s_.disruptions_allowed.push_back(budget.object.disruptions_allowed.value_or(0));
  s_.disrupted_pods.resize(model_.budgets.size());
}

// --- nodes

void SchedulerCache::add_node(NodeId node, uint32_t version) {
  size_t n = node.value, resources = model_.resource_count();
  if (n >= s_.version.size()) {
    s_.version.resize(n + 1, 0);
    s_.present.resize(n + 1, 0);
    s_.conditions.resize(n + 1);
    s_.device_broken.resize(n + 1);
    s_.requested.resize((n + 1) * resources, 0);
    s_.allocatable.resize((n + 1) * resources, 0);
    s_.nonzero_cpu.resize(n + 1, 0);
    s_.nonzero_memory.resize(n + 1, 0);
    s_.pods.resize(n + 1);
    s_.nominated.resize(n + 1);
    s_.generation.resize(n + 1, 0);
    s_.image_nodes.resize(n + 1);
    s_.device_free_milli.resize(n + 1);
    s_.device_version.resize(n + 1, 0);
  }
  s_.present[n] = 1;
  s_.conditions[n] = {};
  s_.device_broken[n].clear();
  s_.version[n] = version;
  const NodeModel& model = object(node);
  std::copy(model.allocatable.begin(), model.allocatable.end(), &s_.allocatable[n * resources]);
  s_.device_version[n] = version;
  recount_devices(node);
  count_node(node, 1);
  hold_images(node, 1);
  join_zone(node);
  s_.order_stale = true;
  touch(node);
}

void SchedulerCache::update_node(NodeId node, uint32_t version, uint32_t device_version) {
  std::string zone = object(node).zone;
  count_node(node, -1);
  hold_images(node, -1);
  s_.version[node.value] = version;
  s_.device_version[node.value] = device_version;
  const NodeModel& model = object(node);
  std::copy(model.allocatable.begin(), model.allocatable.end(), &s_.allocatable[node.value * model_.resource_count()]);
  recount_devices(node);
  count_node(node, 1);
  hold_images(node, 1);
  if (model.zone != zone) {
    leave_zone(node, zone);
    join_zone(node);
  }
  touch(node);
}

void SchedulerCache::remove_node(NodeId node) {
  while (!s_.pods[node.value].empty()) remove_pod(s_.pods[node.value].back());
  count_node(node, -1);
  hold_images(node, -1);
  leave_zone(node, object(node).zone);
  s_.present[node.value] = 0;
  s_.order_stale = true;
  touch(node);
}

void SchedulerCache::set_conditions(NodeId node, NodeConditions conditions) {
  if (s_.conditions[node.value] == conditions) return;
  count_node(node, -1);
  s_.conditions[node.value] = conditions;
  count_node(node, 1);
  touch(node);
}

void SchedulerCache::set_allocatable(NodeId node, std::span<const int64_t> allocatable) {
  std::copy(allocatable.begin(), allocatable.end(), &s_.allocatable[node.value * model_.resource_count()]);
  touch(node);
}

void SchedulerCache::set_device_healthy(NodeId node, uint16_t device, bool healthy) {
  std::vector<uint16_t>& broken = s_.device_broken[node.value];
  bool was_healthy = std::find(broken.begin(), broken.end(), device) == broken.end();
  if (was_healthy == healthy) return;
  if (std::vector<int32_t>& free = s_.device_free_milli[node.value]; device < free.size())
    free[device] += healthy ? 1000 : -1000;
  if (healthy)
    std::erase(broken, device);
  else
    broken.push_back(device);
  touch(node);
}

// A new generation: what was worked out about the node is to be worked out again.
void SchedulerCache::touch(NodeId node) {
  s_.generation[node.value] = ++s_.changes;
  s_.changed.push_back(node);
}

void SchedulerCache::join_zone(NodeId node) {
  const std::string& name = object(node).zone;
  auto zone = std::find_if(s_.zones.begin(), s_.zones.end(), [&](const auto& z) { return z.name == name; });
  if (zone == s_.zones.end()) zone = s_.zones.insert(zone, {name, {}});
  zone->nodes.push_back(node);
}

void SchedulerCache::leave_zone(NodeId node, const std::string& name) {
  auto zone = std::find_if(s_.zones.begin(), s_.zones.end(), [&](const auto& z) { return z.name == name; });
  std::erase(zone->nodes, node);
  if (zone->nodes.empty()) s_.zones.erase(zone);
}

// One node of each zone in turn (backend/cache/node_tree.go). A node that went and came back meanwhile keeps its place.
void SchedulerCache::rebuild_order() {
  size_t nodes = 0;
  for (const SchedulerSnapshot::Zone& zone : s_.zones) nodes += zone.nodes.size();
  s_.order_stale = false;
  bool same = nodes == s_.order.size() &&
              std::all_of(s_.order.begin(), s_.order.end(), [&](NodeId n) { return s_.present[n.value] != 0; });
  if (same) return;
  s_.order.clear();
  for (size_t round = 0; s_.order.size() < nodes; ++round)
    for (const SchedulerSnapshot::Zone& zone : s_.zones)
      if (round < zone.nodes.size()) s_.order.push_back(zone.nodes[round]);
}

// How many nodes hold an image is told to a node when the node itself changes; until then it keeps what it was told.
void SchedulerCache::refresh() {
  if (s_.order_stale) rebuild_order();
  for (NodeId node : s_.changed) {
    std::vector<int32_t>& told = s_.image_nodes[node.value];
    told.clear();
    for (const NodeModel::Image& image : object(node).images) told.push_back(s_.holders[image.image]);
  }
  s_.changed.clear();
}

void SchedulerCache::hold_images(NodeId node, int32_t sign) {
  for (const NodeModel::Image& image : object(node).images) {
    int32_t& holders = s_.holders[image.image];
    if (sign > 0 && holders == 0) s_.image_bytes[image.image] = image.bytes;
    holders += sign;
  }
}

// --- pods

void SchedulerCache::know_pod(PodId pod, TemplateId pod_template, uint64_t entity, NodeId pinned) {
  if (pod.value >= s_.pod_records.size()) s_.pod_records.resize(pod.value + 1);
  s_.pod_records[pod] = {};
  s_.pod_records[pod].pod_template = pod_template;
  s_.pod_records[pod].entity = entity;
  s_.pod_records[pod].pinned = pinned;
}

void SchedulerCache::add_pod(PodId id, NodeId node) {
  SnapshotPod& pod = s_.pod_records[id];
  KISIM_INVARIANT(!pod.node.valid(), "pod {} is added to the scheduler's cache twice", id.value);
  pod.node = node;
  s_.pods[node.value].push_back(id);
  charge(pod.pod_template, node, 1);
  count(pod.pod_template, node, 1, pod.terminating);
  if (model_.templates[pod.pod_template].gpus > 0) hold_whole_devices(id);
  touch(node);
}

// As the device plugin will: the first that are free.
void SchedulerCache::hold_whole_devices(PodId id) {
  const SnapshotPod& pod = s_.pod_records[id];
  const std::vector<int32_t>& free = s_.device_free_milli[pod.node.value];
  std::vector<uint16_t> devices;
  for (size_t d = 0; d < free.size() && devices.size() < model_.templates[pod.pod_template].gpus; ++d)
    if (free[d] == 1000) devices.push_back(static_cast<uint16_t>(d));
  hold_devices(id, std::move(devices));
}

void SchedulerCache::remove_pod(PodId id) {
  SnapshotPod& pod = s_.pod_records[id];
  if (!pod.node.valid()) return;
  NodeId node = pod.node;
  share_devices(id, node, -1);
  pod.devices.clear();
  std::erase(s_.pods[node.value], id);
  charge(pod.pod_template, node, -1);
  count(pod.pod_template, node, -1, pod.terminating);
  pod.node = {};
  touch(node);
}

void SchedulerCache::hold_devices(PodId id, std::vector<uint16_t> devices) {
  SnapshotPod& pod = s_.pod_records[id];
  pod.devices = std::move(devices);
  share_devices(id, pod.node, 1);
  touch(pod.node);
}

void SchedulerCache::exchange_devices(PodId id, std::vector<uint16_t> devices) {
  share_devices(id, s_.pod_records[id].node, -1);
  hold_devices(id, std::move(devices));
}

// GPUs that are cut or in replicas are nobody's as a whole.
void SchedulerCache::recount_devices(NodeId node) {
  const NodeModel& model = model_.nodes[NodeId(s_.device_version[node.value])];
  std::vector<int32_t>& free = s_.device_free_milli[node.value];
  free.clear();
  for (uint32_t gpu = 0; gpu < model.gpus; ++gpu) free.push_back(model.is_whole(gpu) ? 1000 : 0);
  for (uint16_t device : s_.device_broken[node.value])
    if (device < free.size()) free[device] -= 1000;
  for (PodId id : s_.pods[node.value]) {
    std::erase_if(s_.pod_records[id].devices, [&](uint16_t device) { return device >= free.size(); });
    share_devices(id, node, 1);
  }
}

void SchedulerCache::share_devices(PodId id, NodeId node, int32_t sign) {
  const SnapshotPod& pod = s_.pod_records[id];
  int32_t milli = model_.templates[pod.pod_template].gpu_milli;
  for (uint16_t device : pod.devices) {
    int32_t& free = s_.device_free_milli[node.value][device];
    free -= sign * (milli > 0 ? milli : 1000);
    KISIM_INVARIANT(free >= -1000 && free <= 1000, "node {}: GPU {} has {} thousandths free",
                    object(node).object.meta.name, device, free);
  }
}

void SchedulerCache::set_start_time(PodId pod, Time start) { s_.pod_records[pod].start_time = start; }

void SchedulerCache::set_terminating(PodId id, bool preempted) {
  SnapshotPod& pod = s_.pod_records[id];
  if (pod.node.valid() && !pod.terminating) {
    count(pod.pod_template, pod.node, -1, false);
    count(pod.pod_template, pod.node, 1, true);
    touch(pod.node);
  }
  pod.terminating = true;
  pod.preempted = pod.preempted || preempted;
}

void SchedulerCache::nominate(PodId id, NodeId node) {
  SnapshotPod& pod = s_.pod_records[id];
  if (pod.nominated.valid()) std::erase(s_.nominated[pod.nominated.value], id);
  pod.nominated = node;
  if (node.valid()) s_.nominated[node.value].push_back(id);
}

void SchedulerCache::set_pods(NodeId node, const std::vector<PodId>& pods) { s_.pods[node.value] = pods; }

void SchedulerCache::take_off(PodId pod, NodeId node) {
  std::erase(s_.pods[node.value], pod);
  TemplateId id = s_.pod_records[pod].pod_template;
  charge(id, node, -1);
  count(id, node, -1, false, true);
  share_devices(pod, node, -1);
}

void SchedulerCache::put_on(PodId pod, NodeId node) {
  s_.pods[node.value].push_back(pod);
  TemplateId id = s_.pod_records[pod].pod_template;
  charge(id, node, 1);
  count(id, node, 1, false, true);
  share_devices(pod, node, 1);
}

// The tightest GPUs that have room; where victims still hold theirs, those with the most.
void SchedulerCache::expect(PodId id, NodeId node) {
  put_on(id, node);
  const PodTemplateModel& t = model_.templates[s_.pod_records[id].pod_template];
  const std::vector<int32_t>& free = s_.device_free_milli[node.value];
  int32_t milli = t.gpu_milli > 0 ? t.gpu_milli : 1000,
          count = t.gpu_milli > 0 ? t.gpu_count : static_cast<int32_t>(t.gpus);
  auto rank = [&](uint16_t d) { return free[d] >= milli ? std::pair(0, free[d]) : std::pair(1, -free[d]); };
  std::vector<uint16_t> devices;
  for (uint16_t d = 0; d < free.size(); ++d)
    if (free[d] - milli >= -1000) devices.push_back(d);
  std::stable_sort(devices.begin(), devices.end(), [&](uint16_t a, uint16_t b) { return rank(a) < rank(b); });
  devices.resize(std::min(devices.size(), static_cast<size_t>(count)));
  s_.pod_records[id].devices = std::move(devices);
  share_devices(id, node, 1);
}

void SchedulerCache::expect_no_more(PodId id, NodeId node) {
  take_off(id, node);
  s_.pod_records[id].devices.clear();
}

// --- sums

void SchedulerCache::charge(TemplateId id, NodeId node, int64_t sign) {
  const PodTemplateModel& t = model_.templates[id];
  int64_t* requested = &s_.requested[node.value * model_.resource_count()];
  for (size_t r = 0; r < t.request.size(); ++r) requested[r] += sign * t.request[r];
  requested[kPods.value] += sign * (1 - t.request[kPods.value]);
  s_.nonzero_cpu[node.value] += sign * t.nonzero_cpu;
  s_.nonzero_memory[node.value] += sign * t.nonzero_memory;
}

bool SchedulerCache::eligible(const DomainCounter& counter, NodeId node) const {
  if (s_.conditions[node.value].any_of(counter.refused_conditions)) return false;
  return counter.eligible.empty() || counter.eligible[s_.version[node.value]] != 0;
}

void SchedulerCache::count(TemplateId id, NodeId node, int64_t sign, bool terminating, bool dry_run) {
  for (const auto& [c, weight] : counters_.counting(id)) {
    const DomainCounter& counter = counters_.counter(c);
    int32_t domain = counters_.key(counter.key).domain[s_.version[node.value]];
    if (domain < 0 || (terminating && !counter.terminating) || (counter.dry_runs_only && !dry_run)) continue;
    if (!eligible(counter, node)) continue;
    s_.counts[counter.first + static_cast<size_t>(domain)] += sign * weight;
    s_.counted_pods[c.value] += sign;
  }
}

void SchedulerCache::count_node(NodeId node, int64_t sign) {
  for (PodId pod : s_.pods[node.value])
    count(s_.pod_records[pod].pod_template, node, sign, s_.pod_records[pod].terminating);
  for (size_t c = 0; c < counters_.size(); ++c) {
    const DomainCounter& counter = counters_.counter(CounterId(c));
    int32_t domain = counters_.key(counter.key).domain[s_.version[node.value]];
    if (domain < 0 || !eligible(counter, node)) continue;
    int32_t& nodes = s_.domain_nodes[counter.first + static_cast<size_t>(domain)];
    nodes += static_cast<int32_t>(sign);
    if (sign > 0 && nodes == 1) ++s_.live_domains[c];
    if (sign < 0 && nodes == 0) --s_.live_domains[c];
  }
}

}  // namespace kisim
