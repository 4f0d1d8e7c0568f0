#include "cluster/cluster.hpp"

#include "core/hash.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr const char* kGpuResource = "nvidia.com/gpu";
constexpr int64_t kDefaultMilliCpu = 100;  // kube-scheduler's GetNonzeroRequests
constexpr int64_t kDefaultMemory = 200ll * 1024 * 1024;

int64_t amount(const ResourceList& list, const std::string& name, int64_t otherwise = 0) {
  for (const auto& [key, value] : list)
    if (key == name) return value;
  return otherwise;
}

void add_to(ResourceList& sum, const ResourceList& list) {
  for (const auto& [name, value] : list) {
    auto at =
        std::lower_bound(sum.begin(), sum.end(), name, [](const auto& a, const std::string& b) { return a.first < b; });
    if (at != sum.end() && at->first == name)
      at->second += value;
    else
      sum.insert(at, {name, value});
  }
}

void raise_to(ResourceList& most, const ResourceList& list) {
  for (const auto& [name, value] : list) {
    int64_t have = amount(most, name);
    if (value > have) add_to(most, {{name, value - have}});
  }
}

// max(Σ containers, max over init containers) + overhead (kubernetes component-helpers/resource/helpers.go).
ResourceList effective_request(const PodSpec& spec) {
  ResourceList sum;
  for (const Container& c : spec.containers) add_to(sum, c.requests);
  for (const Container& c : spec.init_containers) raise_to(sum, c.requests);
  add_to(sum, spec.overhead);
  return sum;
}

// The same for one resource, with a default for each container that does not name it.
int64_t nonzero_request(const PodSpec& spec, const std::string& name, int64_t otherwise) {
  int64_t sum = 0, most = 0;
  for (const Container& c : spec.containers) sum += amount(c.requests, name, otherwise);
  for (const Container& c : spec.init_containers) most = std::max(most, amount(c.requests, name, otherwise));
  return std::max(sum, most) + amount(spec.overhead, name);
}

std::string zone_key(const Labels& labels) {
  const std::string* region = find_label(labels, "topology.kubernetes.io/region");
  const std::string* zone = find_label(labels, "topology.kubernetes.io/zone");
  if (!region && !zone) return "";
  return (region ? *region : "") + ":" + (zone ? *zone : "");
}

}  // namespace

const char* to_string(PodPhase phase) {
  switch (phase) {
    case PodPhase::Pending:
      return "Pending";
    case PodPhase::Binding:
      return "Binding";
    case PodPhase::Pulling:
      return "Pulling";
    case PodPhase::Starting:
      return "Starting";
    case PodPhase::Loading:
      return "Loading";
    case PodPhase::Probing:
      return "Probing";
    case PodPhase::Ready:
      return "Ready";
    case PodPhase::Terminating:
      return "Terminating";
    case PodPhase::Gone:
      return "Gone";
  }
  return "?";
}

ClusterBuilder::ClusterBuilder(std::vector<GpuModel> catalogue) {
  for (GpuModel& gpu : catalogue) model_.gpu_models.push_back(std::move(gpu));
  for (const char* name : {"cpu", "memory", "ephemeral-storage", "pods"}) resource(name);
}

ResourceId ClusterBuilder::resource(const std::string& name) {
  auto [it, added] = names_.try_emplace(name, ResourceId(model_.resources.size()));
  if (added) model_.resources.push_back(name);
  return it->second;
}

void ClusterBuilder::add_node(const Node& node) {
  NodeModel n;
  n.object = node;
  n.zone = zone_key(node.meta.labels);
  n.gpus = static_cast<uint32_t>(amount(node.allocatable, kGpuResource));
  for (const auto& [name, value] : node.allocatable) resource(name);
  if (n.gpus > 0) {
    const std::string* product = find_label(node.meta.labels, "nvidia.com/gpu.product");
    for (size_t g = 0; product && g < model_.gpu_models.size(); ++g) {
      const auto& products = model_.gpu_models[GpuModelId(g)].products;
      if (std::find(products.begin(), products.end(), *product) != products.end()) n.gpu_model = GpuModelId(g);
    }
    if (!n.gpu_model.valid())
      warnings_.push_back({Severity::Warning, node.meta.mark, "metadata.labels[nvidia.com/gpu.product]",
                           product ? fmt::format("GPU product '{}' is not in the catalogue", *product)
                                   : fmt::format("node {} has GPUs but no product label", node.meta.name)});
  }
  n.nvlink_domain = nvlink_domain(n);
  node_lists_.push_back(node.allocatable);
  model_.nodes.push_back(std::move(n));
}

uint32_t ClusterBuilder::nvlink_domain(const NodeModel& node) {
  if (!node.gpu_model.valid() || model_.gpu_models[node.gpu_model].nvlink_gbs == 0) return NodeModel::kNoNvlink;
  const std::string* clique = find_label(node.object.meta.labels, "nvidia.com/gpu.clique");
  if (!clique) return nvlink_domains_++;
  auto [it, added] = cliques_.try_emplace(*clique, nvlink_domains_);
  if (added) ++nvlink_domains_;
  return it->second;
}

TemplateId ClusterBuilder::add_template(const Labels& labels, const PodSpec& spec) {
  PodTemplateModel t;
  t.labels = labels;
  t.spec = spec;
  ResourceList request = effective_request(spec);
  for (const auto& [name, value] : request) resource(name);
  t.nonzero_cpu = nonzero_request(spec, "cpu", kDefaultMilliCpu);
  t.nonzero_memory = nonzero_request(spec, "memory", kDefaultMemory);
  t.gpus = static_cast<uint32_t>(amount(request, kGpuResource));
  template_lists_.push_back(std::move(request));
  return model_.templates.push_back(std::move(t));
}

WorkloadId ClusterBuilder::add_workload(WorkloadModel workload) {
  return model_.workloads.push_back(std::move(workload));
}

ClusterModel ClusterBuilder::build() && {
  auto dense = [&](const ResourceList& list) {
    std::vector<int64_t> row(model_.resources.size(), 0);
    for (const auto& [name, value] : list) row[names_.at(name).value] = value;
    return row;
  };
  for (size_t i = 0; i < model_.nodes.size(); ++i) model_.nodes[NodeId(i)].allocatable = dense(node_lists_[i]);
  for (size_t i = 0; i < model_.templates.size(); ++i)
    model_.templates[TemplateId(i)].request = dense(template_lists_[i]);
  return std::move(model_);
}

void Cluster::start() {
  size_t nodes = model.nodes.size();
  state.requested.assign(nodes * model.resource_count(), 0);
  state.nonzero_cpu.assign(nodes, 0);
  state.nonzero_memory.assign(nodes, 0);
  state.node_ready.assign(nodes, 1);
  state.node_pods.resize(nodes);
  state.workload_pods.resize(model.workloads.size());
  state.created_pods.assign(model.workloads.size(), 0);
  for (size_t n = 0; n < nodes; ++n) {
    state.first_gpu.push_back(static_cast<uint32_t>(state.gpus.size()));
    for (uint32_t g = 0; g < model.nodes[NodeId(n)].gpus; ++g) state.gpus.push_back({NodeId(n), {}, {}, {}});
  }
}

PodId Cluster::create_pod(WorkloadId workload, Time now) {
  PodState pod;
  pod.workload = workload;
  pod.pod_template = model.workloads[workload].pod_template;
  pod.ordinal = state.created_pods[workload.value]++;
  pod.created = now;
  PodId id = state.pods.push_back(std::move(pod));
  state.workload_pods[workload.value].push_back(id);
  return id;
}

void Cluster::bind(PodId id, NodeId node, Time now) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  KISIM_INVARIANT(!pod.node.valid(), "pod {} is bound twice", pod_name(id));
  int64_t* requested = &state.requested[node.value * model.resource_count()];
  const std::vector<int64_t>& allocatable = model.nodes[node].allocatable;
  for (size_t r = 0; r < model.resource_count(); ++r) {
    int64_t amount = r == kPods.value ? 1 : t.request[r];
    requested[r] += amount;
    KISIM_INVARIANT(amount == 0 || requested[r] <= allocatable[r], "node {}: {} requested {} of {} by pod {}",
                    model.nodes[node].object.meta.name, model.resources[r], requested[r], allocatable[r], pod_name(id));
  }
  state.nonzero_cpu[node.value] += t.nonzero_cpu;
  state.nonzero_memory[node.value] += t.nonzero_memory;
  state.node_pods[node.value].push_back(id);
  // The device plugin hands out the first free devices.
  uint32_t first = state.first_gpu[node.value], wanted = t.gpus;
  for (uint32_t g = first; wanted > 0 && g < first + model.nodes[node].gpus; ++g) {
    GpuState& gpu = state.gpus[GpuId(g)];
    if (gpu.owner.valid()) continue;
    gpu.owner = id;
    gpu.allocated.set(now, 1);
    pod.gpus.push_back(GpuId(g));
    --wanted;
  }
  KISIM_INVARIANT(wanted == 0, "node {} has no device left for pod {}", model.nodes[node].object.meta.name,
                  pod_name(id));
  pod.node = node;
  pod.scheduled = now;
}

void Cluster::remove(PodId id, Time now) {
  PodState& pod = state.pods[id];
  if (pod.node.valid()) {
    const PodTemplateModel& t = model.templates[pod.pod_template];
    int64_t* requested = &state.requested[pod.node.value * model.resource_count()];
    for (size_t r = 0; r < model.resource_count(); ++r) requested[r] -= r == kPods.value ? 1 : t.request[r];
    state.nonzero_cpu[pod.node.value] -= t.nonzero_cpu;
    state.nonzero_memory[pod.node.value] -= t.nonzero_memory;
    for (GpuId g : pod.gpus) {
      state.gpus[g].owner = {};
      state.gpus[g].allocated.set(now, 0);
      state.gpus[g].busy.set(now, 0);
    }
    std::erase(state.node_pods[pod.node.value], id);
  }
  std::erase(state.workload_pods[pod.workload.value], id);
  pod.phase = PodPhase::Gone;
  pod.deleted = now;
}

void Cluster::set_busy(PodId id, bool busy, Time now) {
  for (GpuId g : state.pods[id].gpus) state.gpus[g].busy.set(now, busy);
}

void Cluster::reset_statistics(Time now) {
  for (GpuState& gpu : state.gpus) {
    gpu.allocated.reset(now);
    gpu.busy.reset(now);
  }
}

std::string Cluster::pod_name(PodId id) const {
  const PodState& pod = state.pods[id];
  const WorkloadModel& workload = model.workloads[pod.workload];
  if (workload.kind == WorkloadModel::Kind::Pod) return workload.name;
  // A bijection of the ordinal onto five characters of Kubernetes' alphabet for generated names.
  constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  constexpr uint64_t kNames = 27ull * 27 * 27 * 27 * 27;
  uint64_t code = (pod.ordinal * 7368787ull + hash_text(workload.full_name()) % kNames) % kNames;
  std::string suffix;
  for (int i = 0; i < 5; ++i, code /= 27) suffix += kAlphabet[code % 27];
  return workload.name + "-" + suffix;
}

uint64_t Cluster::pod_entity(PodId id) const {
  const PodState& pod = state.pods[id];
  return hash_combine(hash_text("Pod/" + model.workloads[pod.workload].full_name()), pod.ordinal);
}

}  // namespace kisim
