#include "fgd_run.hpp"

#include "cluster/cluster.hpp"
#include "core/hash.hpp"
#include "core/random.hpp"
#include "gpu_fragmentation.hpp"
#include "kube/scheduling_cycle.hpp"

#include <ctime>

#include <algorithm>
#include <tuple>

namespace kisim {

namespace {

constexpr int64_t kInflatePercent = 130;
constexpr int64_t kPodsPerNode = 1000;  // more than ever run on one

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <class T>
void shuffle(std::vector<T>& items, uint64_t seed, const char* entity) {
  Stream stream(seed, hash_text(entity), Purpose::Arrivals);
  for (size_t left = items.size(); left > 1; --left)
    std::swap(items[left - 1], items[stream.below(static_cast<uint32_t>(left))]);
}

int64_t capacity_milli(const std::vector<FgdNode>& nodes) {
  int64_t gpus = 0;
  for (const FgdNode& node : nodes) gpus += node.gpus;
  return gpus * 1000;
}

Node kube_node(const FgdNode& node, const std::string& name) {
  Node out;
  out.meta.name = name;
  out.meta.labels = {{"alibabacloud.com/gpu-card-model", node.gpu_model}};
  out.allocatable = {
      {"cpu", node.milli_cpu}, {"memory", node.memory}, {"nvidia.com/gpu", node.gpus}, {"pods", kPodsPerNode}};
  out.capacity = out.allocatable;
  return out;
}

PodTemplate kube_pod(const FgdPod& pod) {
  PodTemplate out;
  Container container;
  container.name = "main";
  container.requests = {{"cpu", pod.milli_cpu}, {"memory", pod.memory}};
  out.spec.containers.push_back(std::move(container));
  if (pod.gpus == 0) return out;
  if (!pod.gpu_models.empty()) out.annotations.emplace_back("alibabacloud.com/gpu-card-model", pod.gpu_models);
  out.annotations.emplace_back("alibabacloud.com/gpu-count", std::to_string(pod.gpus));
  out.annotations.emplace_back("alibabacloud.com/gpu-milli", std::to_string(pod.gpu_milli));
  return out;
}

auto shape(const FgdPod& pod) { return std::tie(pod.milli_cpu, pod.memory, pod.gpus, pod.gpu_milli, pod.gpu_models); }

// The cluster, its nodes in an order of this seed: among nodes with equal scores the first one wins. Equal pods are
// replicas of one workload, as many as the trace holds.
ClusterModel build_cluster(std::vector<FgdNode> nodes, const FgdTrace& trace, uint64_t seed,
                           std::map<std::string, TemplateId>& template_of) {
  ClusterBuilder builder({});
  shuffle(nodes, seed, "fgd/nodes");
  for (size_t n = 0; n < nodes.size(); ++n)
    builder.add_node(kube_node(nodes[n], fmt::format("{:06}-{}", n, nodes[n].name)));

  std::vector<const FgdPod*> pods;
  for (const FgdPod& pod : trace.pods) pods.push_back(&pod);
  std::stable_sort(pods.begin(), pods.end(), [](const FgdPod* a, const FgdPod* b) { return shape(*a) < shape(*b); });
  for (size_t begin = 0, end = 0; begin < pods.size(); begin = end) {
    while (end < pods.size() && shape(*pods[end]) == shape(*pods[begin])) ++end;
    WorkloadModel workload;
    workload.kind = WorkloadModel::Kind::ReplicaSet;
    workload.namespace_ = "default";
    workload.name = pods[begin]->name;
    workload.pod_template = builder.add_template("default", kube_pod(*pods[begin]));
    workload.replicas = static_cast<int32_t>(end - begin);
    for (size_t i = begin; i < end; ++i) template_of[pods[i]->name] = workload.pod_template;
    builder.add_workload(std::move(workload));
  }
  return std::move(builder).build();
}

SchedulerConfig scheduler_config(const FgdPolicy& policy, uint64_t seed) {
  SchedulerProfile profile;
  profile.percentage_of_nodes_to_score = 100;
  profile.multi_point.disabled = {{"*"}};
  profile.multi_point.enabled = {{"PrioritySort"}, {policy.plugin}, {"GpuShare"}, {"DefaultBinder"}};
  profile.points[static_cast<size_t>(ExtensionPoint::Filter)].enabled = {{"NodeResourcesFit"}};
  SchedulerConfig config;
  config.seed = seed;
  config.tie_break = TieBreak::First;
  config.configuration.profiles = {profile};
  return config;
}

// The scheduling cycle over a cluster that holds what was placed, without the queue and the clock around it.
class Placement {
 public:
  Placement(const ClusterModel& cluster, const FgdPolicy& policy, uint64_t seed)
      : model_(compile_scheduler(cluster, scheduler_config(policy, seed))),
        memory_(model_.profiles.size()),
        cache_(cluster, model_.counters, snapshot_),
        cycle_(model_, cluster, cache_, memory_) {
    for (const SchedulerModel::Plugin& p : model_.profiles.front().plugins)
      memory_.front().push_back(PolicyMemoryBox(p.plugin->make_memory()));
    cache_.start();
    for (size_t n = 0; n < cluster.nodes.size(); ++n) cache_.add_node(NodeId(n), static_cast<uint32_t>(n));
  }

  // Where the pod now runs; invalid: nowhere.
  NodeId place(PodId pod, TemplateId pod_template, uint64_t entity) {
    cache_.know_pod(pod, pod_template, entity);
    if (cycle_.run(pod, 0) != StatusCode::Success) return {};
    cache_.add_pod(pod, cycle_.host());
    devices_.clear();
    const SchedulerModel::Profile& profile = model_.profiles.front();
    for (uint8_t i : profile.plugins_at(ExtensionPoint::Reserve)) {
      PluginContext c = cycle_.context(i, pod);
      profile.plugins[i].plugin->reserve(c, cycle_.host(), devices_);
    }
    if (!devices_.empty()) cache_.hold_devices(pod, devices_);
    return cycle_.host();
  }
  const SchedulerView& view() const { return cycle_.view(); }

 private:
  SchedulerModel model_;
  SchedulerSnapshot snapshot_;
  PluginMemories memory_;
  SchedulerCache cache_;
  SchedulingCycle cycle_;
  std::vector<uint16_t> devices_;
};

// Means by column of what is told after each arrival.
class ColumnMeans {
 public:
  void add(size_t column, double allocated, double fragmented) {
    ++count_[column];
    allocated_[column] += allocated;
    fragmented_[column] += fragmented;
  }
  // A column without arrivals repeats the one before.
  void finish(FgdRun& run) const {
    for (size_t i = 0; i < kFgdColumns; ++i) {
      run.allocated[i] = count_[i] > 0 ? allocated_[i] / count_[i] : i > 0 ? run.allocated[i - 1] : 0;
      run.fragmented[i] = count_[i] > 0 ? fragmented_[i] / count_[i] : i > 0 ? run.fragmented[i - 1] : 0;
    }
  }

 private:
  std::array<double, kFgdColumns> count_{}, allocated_{}, fragmented_{};
};

// The fragmentation of all nodes together.
class ClusterFragmentation {
 public:
  ClusterFragmentation(const ClusterModel& model, const SchedulerView& view)
      : view_(view), fragmentation_(model, {}), amounts_(model.nodes.size()) {
    for (size_t n = 0; n < amounts_.size(); ++n) update(NodeId(n));
  }
  void update(NodeId node) {
    int64_t free_cpu = view_.allocatable(node)[kCpu.value] - view_.requested(node)[kCpu.value];
    int64_t amount = fragmentation_.amount(view_.version(node), free_cpu, view_.device_free_milli(node));
    sum_ += amount - amounts_[node.value];
    amounts_[node.value] = amount;
  }
  double milli() const { return static_cast<double>(sum_) / static_cast<double>(fragmentation_.weight()); }

 private:
  const SchedulerView& view_;
  GpuFragmentation fragmentation_;
  std::vector<int64_t> amounts_;
  int64_t sum_ = 0;
};

}  // namespace

std::vector<const FgdPod*> fgd_arrivals(const FgdTrace& trace, int64_t capacity, uint64_t seed) {
  std::vector<const FgdPod*> pods;
  for (const FgdPod& pod : trace.pods) pods.push_back(&pod);
  std::sort(pods.begin(), pods.end(), [](const FgdPod* a, const FgdPod* b) { return a->name < b->name; });
  shuffle(pods, seed, "fgd/pods");
  int64_t total = 0, target = capacity * kInflatePercent / 100;
  for (const FgdPod* pod : pods) total += pod->total_gpu_milli();

  Stream stream(seed, hash_text("fgd/inflation"), Purpose::Arrivals);
  if (total > target) {
    while (total > target) {
      size_t drop = stream.below(static_cast<uint32_t>(pods.size()));
      total -= pods[drop]->total_gpu_milli();
      pods.erase(pods.begin() + static_cast<std::ptrdiff_t>(drop));
    }
    return pods;
  }
  // The published workloads stop where one GPU of the pod drawn, not all it asks for, would go beyond.
  for (auto known = static_cast<uint32_t>(pods.size());;) {
    const FgdPod* pod = pods[stream.below(known)];
    if (total + pod->gpu_milli > target) return pods;
    total += pod->total_gpu_milli();
    pods.push_back(pod);
  }
}

FgdRun run_fgd_once(const std::vector<FgdNode>& nodes, const FgdTrace& trace, const FgdPolicy& policy, uint64_t seed) {
  std::map<std::string, TemplateId> template_of;
  ClusterModel model = build_cluster(nodes, trace, seed, template_of);
  int64_t capacity = capacity_milli(nodes);
  std::vector<const FgdPod*> arrivals = fgd_arrivals(trace, capacity, seed);
  std::vector<TemplateId> templates;
  for (const FgdPod* pod : arrivals) templates.push_back(template_of.at(pod->name));

  Placement placement(model, policy, seed);
  ClusterFragmentation fragmentation(model, placement.view());
  ColumnMeans means;
  int64_t arrived = 0, allocated = 0;
  double per_cent = 100 / static_cast<double>(capacity), start = thread_seconds();
  for (size_t i = 0; i < arrivals.size(); ++i) {
    NodeId node = placement.place(PodId(i), templates[i], hash_combine(hash_text(arrivals[i]->name), i));
    arrived += arrivals[i]->total_gpu_milli();
    if (node.valid()) {
      allocated += arrivals[i]->total_gpu_milli();
      fragmentation.update(node);
    }
    auto column = static_cast<size_t>(static_cast<double>(arrived) * per_cent + 0.5);
    means.add(std::min(column, kFgdColumns - 1), static_cast<double>(allocated) * per_cent,
              fragmentation.milli() * per_cent);
  }
  FgdRun run;
  run.pods = arrivals.size();
  run.cpu_s = thread_seconds() - start;
  means.finish(run);
  return run;
}

}  // namespace kisim
