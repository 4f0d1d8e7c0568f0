#include "cluster/cluster.hpp"

#include "cluster/changed_template.hpp"

#include "core/hash.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <map>
#include <set>

namespace kisim {

namespace {

constexpr const char* kGpuResource = "nvidia.com/gpu";

bool is_whole(const GpuDevice& d) { return d.resource == kGpuResource && !d.instance && d.replicas == 1; }
constexpr int64_t kDefaultMilliCpu = 100;  // kube-scheduler's GetNonzeroRequests
constexpr int64_t kDefaultMemory = 200ll * 1024 * 1024;

// Shares of GPUs, as the scheduler of Alibaba's openb cluster reads them.
constexpr const char* kGpuMilliAnnotation = "alibabacloud.com/gpu-milli";
constexpr const char* kGpuCountAnnotation = "alibabacloud.com/gpu-count";
constexpr const char* kGpuModelAnnotation = "alibabacloud.com/gpu-card-model";

// How its GPUs are linked, which no label says (cluster/topology.hpp).
constexpr const char* kNvlinkAnnotation = "kisim.dev/gpu-nvlink";
constexpr const char* kPcieAnnotation = "kisim.dev/gpu-pcie";

int64_t amount(const ResourceList& list, const std::string& name, int64_t otherwise = 0) {
  for (const auto& [key, value] : list)
    if (key == name) return value;
  return otherwise;
}

// Amounts in billionths of their units, sorted by name: exact sums of what was written, without overflow.
__extension__ using Billionths = __int128;
using ExactList = std::vector<std::pair<std::string, Billionths>>;
constexpr int64_t kBillion = 1'000'000'000;

Billionths& at(ExactList& list, const std::string& name) {
  auto place =
      std::lower_bound(list.begin(), list.end(), name, [](const auto& a, const std::string& b) { return a.first < b; });
  if (place == list.end() || place->first != name) place = list.insert(place, {name, 0});
  return place->second;
}

ExactList exact(const ResourceList& list) {
  ExactList out;
  for (const auto& [name, value] : list) at(out, name) = Billionths{value} * kBillion;
  return out;
}

void add_to(ExactList& sum, const ExactList& list) {
  for (const auto& [name, value] : list) at(sum, name) += value;
}

void raise_to(ExactList& most, const ExactList& list) {
  for (const auto& [name, value] : list) at(most, name) = std::max(at(most, name), value);
}

// Rounded up to whole units, at most the largest int64.
ResourceList rounded(const ExactList& list) {
  ResourceList out;
  for (const auto& [name, value] : list) {
    Billionths units = (value + kBillion - 1) / kBillion;
    out.emplace_back(name, static_cast<int64_t>(std::min<Billionths>(units, std::numeric_limits<int64_t>::max())));
  }
  return out;
}

const ResourceList kDefaults{{"cpu", kDefaultMilliCpu}, {"memory", kDefaultMemory}};

void fill_absent(ExactList& list, const ResourceList& defaults) {
  for (const auto& [name, value] : defaults)
    if (std::none_of(list.begin(), list.end(), [&, &n = name](const auto& entry) { return entry.first == n; }))
      at(list, name) = Billionths{value} * kBillion;
}

ExactList requests_of(const Container& container, const ResourceList& defaults) {
  ExactList out = exact(container.requests);
  for (const auto& [name, billionths] : container.rounded_up) at(out, name) -= billionths;
  fill_absent(out, defaults);
  return out;
}

// What the containers of a pod need at once: all containers and sidecars, or an init container beside the sidecars that
// started before it (component-helpers/resource/helpers.go). `defaults` stand in for what a container does not name.
ExactList container_requests(const PodSpec& spec, const ResourceList& defaults) {
  ExactList sum, sidecars, most;
  for (const Container& c : spec.containers) add_to(sum, requests_of(c, defaults));
  for (const Container& c : spec.init_containers) {
    ExactList own = requests_of(c, defaults), peak = sidecars;
    add_to(peak, own);
    raise_to(most, peak);
    if (!c.sidecar) continue;
    add_to(sidecars, own);
    add_to(sum, own);
  }
  raise_to(sum, most);
  return sum;
}

// Pod-level requests stand in place of those of the containers.
ExactList effective_request(const PodSpec& spec) {
  ExactList sum = container_requests(spec, {});
  if (spec.pod_requests)
    for (const auto& [name, value] : *spec.pod_requests) at(sum, name) = Billionths{value} * kBillion;
  return sum;
}

// GetNonzeroRequests: with pod-level requests, only what the whole pod does not name is filled in.
ExactList nonzero_request(const PodSpec& spec) {
  if (!spec.pod_requests) return container_requests(spec, kDefaults);
  ExactList sum = effective_request(spec);
  fill_absent(sum, kDefaults);
  return sum;
}

ResourceList with_overhead(ExactList sum, const PodSpec& spec) {
  add_to(sum, exact(spec.overhead));
  return rounded(sum);
}

// The old labels come first (component-helpers/node/topology, GetZoneKey).
const std::string* topology_label(const Labels& labels, const std::string& what) {
  const std::string* old = find_label(labels, "failure-domain.beta.kubernetes.io/" + what);
  return old ? old : find_label(labels, "topology.kubernetes.io/" + what);
}

std::string zone_key(const Labels& labels) {
  const std::string *region = topology_label(labels, "region"), *zone = topology_label(labels, "zone");
  std::string key = (region ? *region : "") + ":" + (zone ? *zone : "");
  return key == ":" ? "" : key;
}

// `otherwise` if there is none, −1 if it is no whole number.
int32_t whole_number(const Labels& annotations, const char* key, int32_t otherwise) {
  const std::string* text = find_label(annotations, key);
  if (!text) return otherwise;
  int32_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  return error == std::errc{} && end == text->data() + text->size() ? value : -1;
}

// pkg/apis/core/v1/helper/qos: BestEffort without any cpu or memory, Guaranteed where every container limits both and
// asks for as much. What the pod says as a whole stands in place of its containers.
QosClass qos_class(const PodSpec& spec) {
  bool any = false, guaranteed = true;
  auto look = [&](const ResourceList& requests, const ResourceList& limits) {
    for (const char* name : {"cpu", "memory"}) {
      int64_t request = amount(requests, name), limit = amount(limits, name);
      any |= request > 0 || limit > 0;
      guaranteed &= limit > 0 && (request == limit || request == 0);
    }
  };
  if (spec.pod_requests) look(*spec.pod_requests, spec.pod_limits);
  for (const std::vector<Container>* list : {&spec.containers, &spec.init_containers})
    for (const Container& c : *list)
      if (!spec.pod_requests) look(c.requests, c.limits);
  if (!any) return QosClass::BestEffort;
  return guaranteed ? QosClass::Guaranteed : QosClass::Burstable;
}

void gpu_share(const Labels& annotations, PodTemplateModel& t) {
  t.gpu_milli = whole_number(annotations, kGpuMilliAnnotation, 0);
  if (t.gpu_milli == 0) return;
  t.gpu_count = whole_number(annotations, kGpuCountAnnotation, 1);
  const std::string* models = find_label(annotations, kGpuModelAnnotation);
  for (size_t begin = 0; models && begin < models->size();) {
    size_t end = std::min(models->find('|', begin), models->size());
    t.gpu_products.push_back(models->substr(begin, end - begin));
    begin = end + 1;
  }
}

// Fills what the template asks for in sums; returns its requests, and those of its containers alone.
std::pair<ResourceList, ResourceList> charge(PodTemplateModel& t) {
  ResourceList request = with_overhead(effective_request(t.spec), t.spec);
  ResourceList containers = with_overhead(container_requests(t.spec, {}), t.spec);
  ResourceList nonzero = with_overhead(nonzero_request(t.spec), t.spec);
  ResourceList nonzero_containers = with_overhead(container_requests(t.spec, kDefaults), t.spec);
  t.nonzero_cpu = amount(nonzero, "cpu");
  t.nonzero_memory = amount(nonzero, "memory");
  t.container_nonzero_cpu = amount(nonzero_containers, "cpu");
  t.container_nonzero_memory = amount(nonzero_containers, "memory");
  t.gpus = static_cast<uint32_t>(amount(request, kGpuResource));
  return {std::move(request), std::move(containers)};
}

// The dense request must be there already. Shares of GPUs are asked for by annotation alone.
void request_devices(const ClusterModel& model, PodTemplateModel& t) {
  t.devices.clear();
  for (size_t r = 0; t.gpu_milli == 0 && r < t.request.size(); ++r)
    if (t.request[r] > 0 && is_gpu_resource(model.resources[r])) t.devices.push_back({ResourceId(r), t.request[r]});
}

void collect_host_ports(PodTemplateModel& t) {
  t.host_ports.clear();
  for (const Container& c : t.spec.containers)
    t.host_ports.insert(t.host_ports.end(), c.host_ports.begin(), c.host_ports.end());
  for (const Container& c : t.spec.init_containers)
    if (c.sidecar) t.host_ports.insert(t.host_ports.end(), c.host_ports.begin(), c.host_ports.end());
}

}  // namespace

// Kubernetes takes an image without a tag for the latest one (plugins/imagelocality, normalizedImageName).
std::string normalized_image_name(const std::string& name) {
  size_t colon = name.rfind(':'), slash = name.rfind('/');
  bool tagged = colon != name.npos && (slash == name.npos || colon > slash);
  return tagged ? name : name + ":latest";
}

std::optional<std::string> gpu_share_complaint(const Labels& annotations) {
  const std::string* milli_text = find_label(annotations, kGpuMilliAnnotation);
  if (!milli_text) return std::nullopt;
  int32_t milli = whole_number(annotations, kGpuMilliAnnotation, 0);
  int32_t count = whole_number(annotations, kGpuCountAnnotation, 1);
  if (milli < 1 || milli > 1000)
    return fmt::format("{}: found '{}', allowed: 1 to 1000", kGpuMilliAnnotation, *milli_text);
  if (count < 1)
    return fmt::format("{}: found '{}', allowed: a whole number from 1 on", kGpuCountAnnotation,
                       *find_label(annotations, kGpuCountAnnotation));
  if (count > 1 && milli < 1000)
    return fmt::format("found {} thousandths of {} GPUs, allowed: a share of one, or whole ones", milli, count);
  return std::nullopt;
}

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
    case PodPhase::CrashLoop:
      return "CrashLoop";
    case PodPhase::Terminating:
      return "Terminating";
    case PodPhase::Succeeded:
      return "Succeeded";
    case PodPhase::Failed:
      return "Failed";
    case PodPhase::Gone:
      return "Gone";
  }
  return "?";
}

const char* to_string(WorkloadModel::Kind kind) {
  switch (kind) {
    case WorkloadModel::Kind::Deployment:
      return "Deployment";
    case WorkloadModel::Kind::ReplicaSet:
      return "ReplicaSet";
    case WorkloadModel::Kind::StatefulSet:
      return "StatefulSet";
    case WorkloadModel::Kind::DaemonSet:
      return "DaemonSet";
    case WorkloadModel::Kind::Job:
      return "Job";
    case WorkloadModel::Kind::Pod:
      return "Pod";
  }
  return "?";
}

bool NodeModel::is_whole(uint32_t gpu) const {
  return std::any_of(devices.begin(), devices.end(),
                     [&](const GpuDevice& d) { return d.gpu == gpu && kisim::is_whole(d); });
}

uint32_t NodeModel::whole_gpus() const {
  uint32_t count = 0;
  for (uint32_t gpu = 0; gpu < gpus; ++gpu) count += is_whole(gpu);
  return count;
}

ClusterBuilder::ClusterBuilder(std::vector<GpuModel> catalogue, GpuConfigs gpu_configs)
    : gpu_configs_(std::move(gpu_configs)) {
  auto reference =
      std::find_if(catalogue.begin(), catalogue.end(), [](const GpuModel& gpu) { return gpu.name == kPowerReference; });
  for (const GpuModel& gpu : catalogue)
    model_.power.push_back(power_law(gpu, reference == catalogue.end() ? nullptr : &*reference));
  for (GpuModel& gpu : catalogue) model_.gpu_models.push_back(std::move(gpu));
  for (const char* name : {"cpu", "memory", "ephemeral-storage", "pods"}) resource(name);
}

ResourceId ClusterBuilder::resource(const std::string& name) {
  auto [it, added] = names_.try_emplace(name, ResourceId(model_.resources.size()));
  if (added) model_.resources.push_back(name);
  return it->second;
}

NodeId ClusterBuilder::add_node(const Node& manifest, bool joins_later) {
  NodeModel n;
  n.joins_later = joins_later;
  std::span<const GpuModel> gpu_models(model_.gpu_models.begin(), model_.gpu_models.end());
  PublishedNode published = publish_gpus(manifest, gpu_models, gpu_configs_, warnings_);
  n.object = std::move(published.node);
  const Node& node = n.object;
  n.zone = zone_key(node.meta.labels);
  n.gpus = published.gpus;
  n.devices = std::move(published.devices);
  for (const auto& [name, value] : node.allocatable) resource(name);
  for (const GpuDevice& device : n.devices) n.device_column.push_back(resource(device.resource));
  if (n.gpus > 0) {
    if (published.model) n.gpu_model = GpuModelId(static_cast<size_t>(published.model - gpu_models.data()));
    const std::string* product = find_label(node.meta.labels, "nvidia.com/gpu.product");
    if (!n.gpu_model.valid())
      warnings_.push_back({Severity::Warning, node.meta.mark, "metadata.labels[nvidia.com/gpu.product]",
                           product ? fmt::format("GPU product '{}' is not in the catalogue", *product)
                                   : fmt::format("node {} has GPUs but no product label", node.meta.name)});
  }
  n.nvlink_domain = nvlink_domain(n);
  n.topology = topology(n);
  for (const ContainerImage& i : node.images) n.images.push_back({image(i.name), i.size_bytes});
  std::stable_sort(n.images.begin(), n.images.end(), [](const auto& a, const auto& b) { return a.image < b.image; });
  n.images.erase(
      std::unique(n.images.begin(), n.images.end(), [](const auto& a, const auto& b) { return a.image == b.image; }),
      n.images.end());
  node_lists_.push_back(node.allocatable);
  return model_.nodes.push_back(std::move(n));
}

NodeId ClusterBuilder::add_relabelled(NodeId node, const Labels& labels) {
  NodeModel n = model_.nodes[node];
  n.object.meta.labels = labels;
  n.zone = zone_key(labels);
  n.joins_later = true;
  node_lists_.push_back(n.object.allocatable);
  return model_.nodes.push_back(std::move(n));
}

uint32_t ClusterBuilder::nvlink_domain(const NodeModel& node) {
  if (!node.gpu_model.valid() || model_.gpu_models[node.gpu_model].nvlink_gbs == 0) return NodeModel::kNoNvlink;
  const std::string* clique = find_label(node.object.meta.labels, "nvidia.com/gpu.clique");
  if (!clique) return nvlink_domains_++;
  auto [it, added] = cliques_.try_emplace(*clique, nvlink_domains_);
  if (added) ++nvlink_domains_;
  return it->second;
}

uint32_t ClusterBuilder::topology(const NodeModel& node) {
  if (!node.gpu_model.valid() || node.gpus == 0 || node.gpus > GpuTopology::kMaxGpus) return NodeModel::kNoTopology;
  const GpuModel& gpu = model_.gpu_models[node.gpu_model];
  if (gpu.pcie_gen == 0) return NodeModel::kNoTopology;
  const ObjectMeta& meta = node.object.meta;
  auto annotated = [&](const char* key, auto parse, auto otherwise, const std::string& allowed) {
    const std::string* text = find_label(meta.annotations, key);
    if (!text) return otherwise;
    if (auto value = parse(*text)) return *value;
    warnings_.push_back({Severity::Warning, meta.mark, fmt::format("metadata.annotations[{}]", key),
                         fmt::format("found '{}', allowed: {}", *text, allowed)});
    return otherwise;
  };
  NvlinkFabric fabric = annotated(kNvlinkAnnotation, nvlink_fabric, gpu.nvlink_fabric,
                                  fmt::format("{}", fmt::join(kNvlinkFabrics, ", ")));
  PcieLayout pcie = annotated(kPcieAnnotation, pcie_layout, PcieLayout{},
                              "GPUs per switch / switches per host bridge / host bridges per socket, as in 2/1/2");
  auto [it, added] = topologies_.try_emplace({node.gpu_model, node.gpus, fabric, pcie}, model_.topologies.size());
  if (added) model_.topologies.emplace_back(gpu, node.gpus, fabric, pcie);
  return it->second;
}

uint32_t ClusterBuilder::image(const std::string& name) {
  auto [it, added] = images_.try_emplace(name, static_cast<uint32_t>(model_.images.size()));
  if (added) model_.images.push_back(name);
  return it->second;
}

void ClusterBuilder::add_namespace(const Namespace& object) {
  model_.namespaces[object.meta.name] = object.meta.labels;
}

void ClusterBuilder::add_service(const Service& service) { services_.push_back(service); }

void ClusterBuilder::add_budget(const PodDisruptionBudget& budget) { model_.budgets.push_back({budget, {}}); }

// plugins/helper/spread.go
LabelSelector ClusterBuilder::default_spread_selector(const PodTemplateModel& pods, const LabelSelector* owner) const {
  std::map<std::string, std::string> merged;
  for (const Service& service : services_) {
    if (service.meta.namespace_ != pods.namespace_ || service.selector.empty()) continue;
    bool selects = std::all_of(service.selector.begin(), service.selector.end(), [&](const auto& want) {
      const std::string* have = find_label(pods.labels, want.first);
      return have && *have == want.second;
    });
    if (selects) merged.insert(service.selector.begin(), service.selector.end());
  }
  LabelSelector out;
  for (const auto& [key, value] : merged) out.requirements.push_back({key, SelectorOperator::In, {value}});
  if (owner) out.requirements.insert(out.requirements.end(), owner->requirements.begin(), owner->requirements.end());
  return out;
}

TemplateId ClusterBuilder::add_template(const std::string& namespace_, const PodTemplate& pods,
                                        const LabelSelector* owner, std::string hash) {
  PodTemplateModel t;
  t.hash = std::move(hash);
  t.namespace_ = namespace_;
  t.labels = pods.labels;
  t.annotations = pods.annotations;
  t.spec = pods.spec;
  t.refusal = pods.refusal;
  t.qos = qos_class(t.spec);
  t.default_spread_selector = default_spread_selector(t, owner);
  for (const std::vector<Container>* list : {&t.spec.containers, &t.spec.init_containers})
    for (const Container& c : *list) t.images.push_back(image(normalized_image_name(c.image)));
  collect_host_ports(t);
  gpu_share(pods.annotations, t);

  auto [request, containers] = charge(t);
  for (const auto& [name, value] : request) resource(name);
  for (const auto& [name, value] : containers) resource(name);
  template_lists_.push_back(std::move(request));
  container_lists_.push_back(std::move(containers));
  return model_.templates.push_back(std::move(t));
}

WorkloadId ClusterBuilder::add_workload(WorkloadModel workload) {
  TemplateId pod_template = workload.pod_template;
  WorkloadId id = model_.workloads.push_back(std::move(workload));
  set_workload(pod_template, id);
  return id;
}

ClusterModel ClusterBuilder::build() && {
  auto dense = [&](const ResourceList& list) {
    std::vector<int64_t> row(model_.resources.size(), 0);
    for (const auto& [name, value] : list) row[names_.at(name).value] = value;
    return row;
  };
  for (size_t i = 0; i < model_.nodes.size(); ++i) model_.nodes[NodeId(i)].allocatable = dense(node_lists_[i]);
  for (size_t i = 0; i < model_.templates.size(); ++i) {
    model_.templates[TemplateId(i)].request = dense(template_lists_[i]);
    model_.templates[TemplateId(i)].container_request = dense(container_lists_[i]);
    request_devices(model_, model_.templates[TemplateId(i)]);
  }
  for (PodDisruptionBudgetModel& budget : model_.budgets)
    for (const PodTemplateModel& t : model_.templates)
      budget.covers.push_back(budget.object.selector && t.namespace_ == budget.object.meta.namespace_ &&
                              t.matches(*budget.object.selector));
  return std::move(model_);
}

PodTemplate pod_template_of(const PodTemplateModel& pods) {
  PodTemplate out{pods.labels, {}, pods.spec, {}};
  if (pods.gpu_milli == 0) return out;
  out.annotations = {{kGpuMilliAnnotation, std::to_string(pods.gpu_milli)},
                     {kGpuCountAnnotation, std::to_string(pods.gpu_count)}};
  if (!pods.gpu_products.empty())
    out.annotations.emplace_back(kGpuModelAnnotation, fmt::format("{}", fmt::join(pods.gpu_products, "|")));
  std::sort(out.annotations.begin(), out.annotations.end());
  return out;
}

TemplateId add_changed_template(ClusterModel& model, TemplateId from, const PodTemplate& pods) {
  PodTemplateModel t = model.templates[from];
  t.spec = pods.spec;
  t.gpu_products.clear();
  gpu_share(pods.annotations, t);
  collect_host_ports(t);
  auto [request, containers] = charge(t);
  for (size_t r = 0; r < model.resources.size(); ++r) {
    t.request[r] = amount(request, model.resources[r]);
    t.container_request[r] = amount(containers, model.resources[r]);
  }
  request_devices(model, t);
  for (PodDisruptionBudgetModel& budget : model.budgets) budget.covers.push_back(budget.covers[from.value]);
  return model.templates.push_back(std::move(t));
}

void Cluster::start() {
  size_t nodes = model.nodes.size();
  state.requested.assign(nodes * model.resource_count(), 0);
  state.nonzero_cpu.assign(nodes, 0);
  state.nonzero_memory.assign(nodes, 0);
  state.allocatable.assign(nodes * model.resource_count(), 0);
  state.node_present.assign(nodes, 0);
  state.node_joined.assign(nodes, 0);
  state.node_runs.assign(nodes, 0);
  state.node_conditions.assign(nodes, {});
  state.node_power.assign(nodes, {});
  state.node_pods.resize(nodes);
  state.workload_pods.resize(model.workloads.size());
  state.replicas.assign(model.workloads.size(), ClusterState::kNoScale);
  state.created_pods.assign(model.workloads.size(), 0);
  state.counts.resize(model.templates.size());
  // A later object of a node may have more GPUs than its first.
  std::map<std::string_view, uint32_t> most_gpus;
  for (const NodeModel& node : model.nodes) {
    uint32_t& most = most_gpus[node.object.meta.name];
    most = std::max(most, node.gpus);
  }
  state.devices.resize(nodes);
  for (size_t n = 0; n < nodes; ++n) {
    const NodeModel& node = model.nodes[NodeId(n)];
    state.first_gpu.push_back(static_cast<uint32_t>(state.gpus.size()));
    state.node_version.push_back(NodeId(n));
    state.device_version.push_back(NodeId(n));
    auto gpus = most_gpus.extract(node.object.meta.name);
    if (!gpus) continue;  // a later object of a machine
    for (uint32_t g = 0; g < gpus.mapped(); ++g) state.gpus.push_back({.node = NodeId(n)});
    state.devices[n].resize(node.devices.size());
    if (!node.joins_later) add_node(NodeId(n), Time{});
  }
}

void Cluster::add_node(NodeId id, Time now) {
  state.node_present[id.value] = state.node_joined[id.value] = state.node_runs[id.value] = 1;
  state.node_conditions[id.value] = {};
  for (uint32_t g = 0; g < model.nodes[id].gpus; ++g) {  // a new machine
    state.gpus[gpu(id, g)].healthy = true;
    state.gpus[gpu(id, g)].nvlink_up = true;
    settle_power(gpu(id, g), now);
  }
  settle_power(id, now);
  set_node_version(id, id);
}

void Cluster::remove_node(NodeId id, Time now) {
  KISIM_INVARIANT(state.node_pods[id.value].empty(), "node {} goes with pods on it", node(id).object.meta.name);
  state.node_present[id.value] = 0;
  for (uint32_t g = 0; g < model.nodes[id].gpus; ++g) settle_power(GpuId(state.first_gpu[id.value] + g), now);
  settle_power(id, now);
}

void Cluster::set_running(NodeId id, bool runs, Time now) {
  state.node_runs[id.value] = runs;
  for (uint32_t g = 0; g < model.nodes[id].gpus; ++g) settle_power(gpu(id, g), now);
  settle_power(id, now);
}

void Cluster::set_node_version(NodeId id, NodeId version) {
  state.node_version[id.value] = version;
  int64_t* allocatable = &state.allocatable[id.value * model.resource_count()];
  const std::vector<int64_t>& amounts = model.nodes[version].allocatable;
  bool new_devices = can_have_devices_of(id, version);
  for (size_t r = 0; r < model.resource_count(); ++r)
    if (new_devices || !is_gpu_resource(model.resources[r])) allocatable[r] = amounts[r];
  if (!new_devices) return;
  const std::vector<GpuDevice>&now = devices(id), &then = model.nodes[version].devices;
  std::vector<DeviceState> states(then.size());
  std::vector<uint16_t> places(now.size(), 0);  // where those that are held will be
  for (size_t d = 0; d < now.size(); ++d) {
    if (state.devices[id.value][d].taken == 0) continue;
    places[d] = static_cast<uint16_t>(std::find(then.begin(), then.end(), now[d]) - then.begin());
    states[places[d]] = state.devices[id.value][d];
  }
  for (PodId pod : state.node_pods[id.value])
    for (uint16_t& d : state.pods[pod].devices) d = places[d];
  state.devices[id.value] = std::move(states);
  state.device_version[id.value] = version;
  for (uint32_t g = 0; g < device_model(id).gpus; ++g)
    if (!state.gpus[gpu(id, g)].healthy) count_gpu(gpu(id, g), -1);
}

// Devices that pods hold must be there.
bool Cluster::can_have_devices_of(NodeId id, NodeId version) const {
  const std::vector<GpuDevice>&now = devices(id), &then = model.nodes[version].devices;
  for (size_t d = 0; d < now.size(); ++d)
    if (state.devices[id.value][d].taken > 0 && std::find(then.begin(), then.end(), now[d]) == then.end()) return false;
  return true;
}

void Cluster::count_gpu(GpuId id, int64_t sign) {
  NodeId node = state.gpus[id].node;
  const NodeModel& n = device_model(node);
  for (size_t d = 0; d < n.devices.size(); ++d)
    if (gpu(node, n.devices[d].gpu) == id)
      state.allocatable[node.value * model.resource_count() + n.device_column[d].value] += sign * n.devices[d].replicas;
}

void Cluster::set_gpu_healthy(GpuId id, bool healthy) {
  GpuState& gpu = state.gpus[id];
  if (gpu.healthy == healthy) return;
  gpu.healthy = healthy;
  count_gpu(id, healthy ? 1 : -1);
}

PodId Cluster::create_pod(WorkloadId workload, TemplateId pod_template, Time now) {
  PodState pod;
  pod.workload = workload;
  pod.pod_template = pod_template;
  pod.ordinal = state.created_pods[workload.value]++;
  pod.created = now;
  if (model.workloads[workload].kind == WorkloadModel::Kind::Pod) pod.owner = PodOwner::Nobody;
  state.counts[pod_template].count(pod, 1);
  PodId id = state.pods.push_back(std::move(pod));
  state.workload_pods[workload.value].push_back(id);
  return id;
}

void Cluster::set_phase(PodId id, PodPhase phase) {
  PodState& pod = state.pods[id];
  PodCounts& counts = state.counts[pod.pod_template];
  counts.count(pod, -1);
  pod.phase = phase;
  counts.count(pod, 1);
}

void Cluster::set_owner(PodId id, PodOwner owner) {
  PodState& pod = state.pods[id];
  PodCounts& counts = state.counts[pod.pod_template];
  counts.count(pod, -1);
  pod.owner = owner;
  counts.count(pod, 1);
}

void PodCounts::count(const PodState& pod, int32_t change) {
  if (pod.phase == PodPhase::Gone) return;
  if (is_active(pod.phase)) active += change;
  if (pod.phase == PodPhase::Ready) ready += change;
  if (pod.phase == PodPhase::Terminating) terminating += change;
  if (pod.phase == PodPhase::Succeeded || pod.phase == PodPhase::Failed) ended += change;
  if (pod.owner == PodOwner::Gone) abandoned += change;
  if (pod.owner == PodOwner::Nobody) unmanaged += change;
}

ResourceId Cluster::shortage(PodId pod, NodeId node) const {
  const PodTemplateModel& t = model.templates[state.pods[pod].pod_template];
  const int64_t* requested = &state.requested[node.value * model.resource_count()];
  for (size_t r = 0; r < model.resource_count(); ++r) {
    int64_t amount = r == kPods.value ? 1 : t.request[r];
    if (amount > 0 && requested[r] + amount > allocatable(node)[r]) return ResourceId(r);
  }
  return {};
}

void Cluster::bind(PodId id, NodeId node, Time now, std::span<const uint16_t> gpus) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  KISIM_INVARIANT(!pod.node.valid(), "pod {} is bound twice", pod_name(id));
  int64_t* requested = &state.requested[node.value * model.resource_count()];
  for (size_t r = 0; r < model.resource_count(); ++r) {
    int64_t amount = r == kPods.value ? 1 : t.request[r];
    requested[r] += amount;
    KISIM_INVARIANT(amount == 0 || requested[r] <= allocatable(node)[r], "node {}: {} requested {} of {} by pod {}",
                    model.nodes[node].object.meta.name, model.resources[r], requested[r], allocatable(node)[r],
                    pod_name(id));
  }
  state.nonzero_cpu[node.value] += t.nonzero_cpu;
  state.nonzero_memory[node.value] += t.nonzero_memory;
  state.node_pods[node.value].push_back(id);
  hand_out(id, node, now, gpus);
  settle_power(node, now);
  pod.node = node;
  pod.scheduled = now;
}

// --- devices

int32_t Cluster::part(const PodTemplateModel& t, const GpuDevice& device) const {
  if (t.gpu_milli > 0) return t.gpu_milli;
  return device.replicas > 1 ? 1 : capacity(device);
}

int64_t Cluster::gpu_share(const PodTemplateModel& t, NodeId node, const GpuDevice& device) const {
  int64_t share = kWholeGpu;
  if (device.instance) {
    const GpuModel& gpu = model.gpu_models[device_model(node).gpu_model];
    share = share * gpu.mig.profile(*device.instance).compute_slices / gpu.mig_slices;
  }
  return share * part(t, device) / capacity(device);
}

bool Cluster::has_room(const PodTemplateModel& t, NodeId node, size_t d, ResourceId resource) const {
  const GpuDevice& device = devices(node)[d];
  bool wanted =
      t.gpu_milli > 0 ? device_model(node).is_whole(device.gpu) : device_model(node).device_column[d] == resource;
  return wanted && state.gpus[gpu(node, device.gpu)].healthy &&
         state.devices[node.value][d].taken + part(t, device) <= capacity(device);
}

int64_t Cluster::devices_left(PodId pod, NodeId node, ResourceId resource) const {
  const PodTemplateModel& t = model.templates[state.pods[pod].pod_template];
  int64_t left = 0;
  for (size_t d = 0; d < devices(node).size(); ++d) {
    if (!has_room(t, node, d, resource)) continue;
    int32_t free = capacity(devices(node)[d]) - state.devices[node.value][d].taken;
    left += t.gpu_milli > 0 ? 1 : free / part(t, devices(node)[d]);
  }
  return left;
}

std::optional<PodTemplateModel::DeviceRequest> Cluster::missing_devices(PodId pod, NodeId node) const {
  const PodTemplateModel& t = model.templates[state.pods[pod].pod_template];
  if (t.gpu_milli > 0 && devices_left(pod, node, {}) < t.gpu_count)
    return PodTemplateModel::DeviceRequest{{}, t.gpu_count};
  for (const PodTemplateModel::DeviceRequest& request : t.devices)
    if (devices_left(pod, node, request.resource) < request.count) return request;
  return std::nullopt;
}

std::optional<PodTemplateModel::DeviceRequest> Cluster::too_large_request(PodId pod, NodeId node) const {
  const PodTemplateModel& t = model.templates[state.pods[pod].pod_template];
  for (const PodTemplateModel::DeviceRequest& request : t.devices) {
    const std::string& resource = model.resources[request.resource.value];
    bool one_at_a_time = std::any_of(devices(node).begin(), devices(node).end(),
                                     [&](const GpuDevice& d) { return d.one_per_request && d.resource == resource; });
    if (!one_at_a_time) continue;
    for (const Container& c : t.spec.containers)
      if (int64_t count = amount(c.requests, resource); count > 1)
        return PodTemplateModel::DeviceRequest{request.resource, count};
  }
  return std::nullopt;
}

GpuSet Cluster::nvlinks_down(NodeId node) const {
  GpuSet down = 0;
  for (uint32_t g = 0; g < gpus(node) && g < GpuTopology::kMaxGpus; ++g)
    if (!state.gpus[gpu(node, g)].nvlink_up) down |= GpuSet{1} << g;
  return down;
}

// Without a choice, the device plugin prefers the GPUs that are linked best, and among instances and replicas the
// device with the fewest replicas taken (k8s-device-plugin, internal/rm: aligned and distributed allocation).
void Cluster::hand_out(PodId id, NodeId node, Time now, std::span<const uint16_t> gpus) {
  const PodTemplateModel& t = model.templates[state.pods[id].pod_template];
  const std::vector<GpuDevice>& all = devices(node);
  auto hold_gpu = [&](uint32_t gpu) {
    auto device = std::find_if(all.begin(), all.end(), [&](const GpuDevice& d) { return d.gpu == gpu; });
    KISIM_INVARIANT(device != all.end(), "node {} has no GPU {}", this->node(node).object.meta.name, gpu);
    hold(id, node, static_cast<size_t>(device - all.begin()), now);
  };
  for (uint16_t gpu : gpus) hold_gpu(gpu);
  for (const PodTemplateModel::DeviceRequest& request : t.devices) {
    if (!gpus.empty() && model.resources[request.resource.value] == kGpuResource) continue;
    GpuSet preferred = preferred_gpus(id, node, request);
    for (GpuSet left = preferred; left != 0; left &= left - 1) hold_gpu(static_cast<uint32_t>(std::countr_zero(left)));
    for (int64_t k = std::popcount(preferred); k < request.count; ++k)
      hold(id, node, next_device(id, node, request.resource), now);
  }
}

// None where there is nothing to choose by: one device, instances, replicas, links that are not known.
GpuSet Cluster::preferred_gpus(PodId id, NodeId node, const PodTemplateModel::DeviceRequest& request) const {
  const PodTemplateModel& t = model.templates[state.pods[id].pod_template];
  const GpuTopology* links = topology(node);
  if (request.count < 2 || !links) return 0;
  GpuSet free = 0;
  for (size_t d = 0; d < devices(node).size(); ++d) {
    if (!has_room(t, node, d, request.resource)) continue;
    if (devices(node)[d].instance || devices(node)[d].replicas > 1) return 0;
    free |= GpuSet{1} << devices(node)[d].gpu;
  }
  if (std::popcount(free) < request.count) return 0;
  return links->preferred(free, static_cast<uint32_t>(request.count), nvlinks_down(node));
}

std::vector<uint16_t> Cluster::whole_or_shared_gpus(PodId id) const {
  const PodState& pod = state.pods[id];
  std::vector<uint16_t> gpus;
  for (uint16_t d : pod.devices)
    if (is_whole(devices(pod.node)[d])) gpus.push_back(devices(pod.node)[d].gpu);
  return gpus;
}

size_t Cluster::next_device(PodId id, NodeId node, ResourceId resource) const {
  const PodTemplateModel& t = model.templates[state.pods[id].pod_template];
  const std::vector<DeviceState>& states = state.devices[node.value];
  size_t best = states.size();
  for (size_t d = 0; d < states.size(); ++d)
    if (has_room(t, node, d, resource) && (best == states.size() || states[d].taken < states[best].taken)) best = d;
  KISIM_INVARIANT(best < states.size(), "node {} has no {} left for pod {}", this->node(node).object.meta.name,
                  model.resources[resource.value], pod_name(id));
  return best;
}

void Cluster::hold(PodId id, NodeId node, size_t d, Time now) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  const GpuDevice& device = devices(node)[d];
  DeviceState& held = state.devices[node.value][d];
  held.taken += part(t, device);
  KISIM_INVARIANT(held.taken <= capacity(device), "device {} of node {}: {} of {} taken", d,
                  this->node(node).object.meta.name, held.taken, capacity(device));
  if (held.taken == 1000 && part(t, device) == 1000) held.owner = id;
  GpuId on = gpu(node, device.gpu);
  state.gpus[on].allocated.add(now, gpu_share(t, node, device));
  pod.devices.push_back(static_cast<uint16_t>(d));
  if (std::find(pod.gpus.begin(), pod.gpus.end(), on) == pod.gpus.end()) pod.gpus.push_back(on);
}

void Cluster::give_back(PodId id, Time now) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  for (uint16_t d : pod.devices) {
    const GpuDevice& device = devices(pod.node)[d];
    DeviceState& held = state.devices[pod.node.value][d];
    held.taken -= part(t, device);
    held.owner = {};
    GpuState& on = state.gpus[gpu(pod.node, device.gpu)];
    on.allocated.add(now, -gpu_share(t, pod.node, device));
    KISIM_INVARIANT(on.busy.value() <= on.allocated.value(), "pod {} gives back a GPU while its kernels run",
                    pod_name(id));
  }
  pod.devices.clear();
  pod.gpus.clear();
}

Accelerator accelerator_on(const ClusterModel& model, const NodeModel& node, const PodTemplateModel& pods,
                           const GpuDevice& device, size_t devices, size_t gpus, GpuModelId otherwise) {
  Accelerator out;
  out.gpu_model = node.gpu_model.valid() ? node.gpu_model : otherwise;
  out.gpus = static_cast<uint32_t>(gpus);
  out.sharing = pods.gpu_milli > 0 && pods.gpu_milli < 1000 ? GpuSharing::Fraction : device.sharing;
  out.replicas = static_cast<uint32_t>(device.replicas);
  const GpuModel* gpu = out.gpu_model.valid() ? &model.gpu_models[out.gpu_model] : nullptr;
  if (gpu) out.memory_bytes = gpu->memory_bytes;
  if (device.instance) {
    out.instance = &gpu->mig.profile(*device.instance);
    out.sm_unknown = out.instance->sm == 0;
    out.compute_share = out.sm_unknown ? static_cast<double>(out.instance->compute_slices) / gpu->mig_slices
                                       : static_cast<double>(out.instance->sm) / gpu->sm;
    out.bandwidth_share = static_cast<double>(out.instance->memory_slices) / gpu->mig.memory_slices();
    out.memory_bytes = out.instance->memory_bytes;
  }
  // What MPS enforces, and what shares in thousandths promise; time-slicing keeps nobody from the memory.
  size_t parts = out.sharing == GpuSharing::TimeSlicing ? gpus : devices;
  out.memory_bytes *= static_cast<int64_t>(parts);
  if (out.sharing == GpuSharing::Mps) out.memory_bytes /= device.replicas;
  if (out.sharing == GpuSharing::Fraction) out.memory_bytes = out.memory_bytes * pods.gpu_milli / 1000;
  return out;
}

Accelerator Cluster::accelerator(PodId id, GpuModelId otherwise) const {
  const PodState& pod = state.pods[id];
  if (pod.devices.empty()) return {};
  const NodeModel& node = device_model(pod.node);
  Accelerator out = accelerator_on(model, node, model.templates[pod.pod_template], node.devices[pod.devices.front()],
                                   pod.devices.size(), pod.gpus.size(), otherwise);
  out.first = pod.gpus.front();
  return out;
}

Accelerator Cluster::accelerator(NodeId node, const GpuDevice& device) const {
  Accelerator out = accelerator_on(model, device_model(node), PodTemplateModel(), device,
                                   static_cast<size_t>(device.replicas), 1, {});
  out.first = gpu(node, device.gpu);
  return out;
}

void Cluster::release(PodId id, Time now) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  int64_t* requested = &state.requested[pod.node.value * model.resource_count()];
  for (size_t r = 0; r < model.resource_count(); ++r) requested[r] -= r == kPods.value ? 1 : t.request[r];
  state.nonzero_cpu[pod.node.value] -= t.nonzero_cpu;
  state.nonzero_memory[pod.node.value] -= t.nonzero_memory;
  give_back(id, now);
  std::erase(state.node_pods[pod.node.value], id);
  settle_power(pod.node, now);
}

void Cluster::remove(PodId id, Time now) {
  PodState& pod = state.pods[id];
  if (pod.node.valid() && !is_terminal(pod.phase)) release(id, now);
  std::erase(state.workload_pods[pod.workload.value], id);
  set_phase(id, PodPhase::Gone);
  pod.deleted = now;
}

void Cluster::set_busy_share(PodId id, int64_t busy, Time now) {
  PodState& pod = state.pods[id];
  const PodTemplateModel& t = model.templates[pod.pod_template];
  for (uint16_t d : pod.devices) {
    const GpuDevice& device = devices(pod.node)[d];
    int64_t share = gpu_share(t, pod.node, device);
    auto of = [&](int64_t part) { return share * part / kWholeLoad; };
    state.gpus[gpu(pod.node, device.gpu)].busy.add(now, of(busy) - of(pod.busy));
    DeviceState& counted = state.devices[pod.node.value][d];
    counted.kernels += busy - pod.busy;
    counted.active.set(now, std::min(counted.kernels, kWholeLoad));
  }
  pod.busy = busy;
}

void Cluster::set_load(PodId id, GpuLoad load, Time now) {
  PodState& pod = state.pods[id];
  if (pod.load == load) return;
  for (GpuId g : pod.gpus) {
    state.gpus[g].load += load - pod.load;
    settle_power(g, now);
  }
  // It may hold several replicas of one.
  for (auto d = pod.devices.begin(); d != pod.devices.end(); ++d) {
    if (std::find(pod.devices.begin(), d, *d) != d) continue;
    DeviceState& counted = state.devices[pod.node.value][*d];
    counted.load += load - pod.load;
    counted.bandwidth.set(now, std::min(counted.load.bandwidth, kWholeLoad));
    counted.compute.set(now, std::min(counted.load.compute, kWholeLoad));
  }
  pod.load = load;
}

const PowerLaw* Cluster::power_law_of(GpuId id) const {
  GpuModelId gpu_model = model.nodes[state.gpus[id].node].gpu_model;
  if (!gpu_model.valid() || !model.power[gpu_model].known()) return nullptr;
  return &model.power[gpu_model];
}

void Cluster::settle_power(GpuId id, Time now) {
  GpuState& gpu = state.gpus[id];
  const PowerLaw* law = draws(gpu.node) ? power_law_of(id) : nullptr;
  int64_t power = law ? law->at(gpu.load) : 0;
  if (power != gpu.power.value()) gpu.power.set(now, power);
}

void Cluster::settle_power(NodeId id, Time now) {
  const NodePower& power = model.node_power;
  if (power.idle == 0 && power.per_core == 0) return;
  int64_t milli_cpu = state.requested[id.value * model.resource_count() + kCpu.value];
  state.node_power[id.value].set(now, draws(id) ? power.idle + power.per_core * milli_cpu / 1000 : 0);
}

void Cluster::check_power(Time now) const {
  for (size_t g = 0; g < state.gpus.size(); ++g) {
    const GpuState& gpu = state.gpus[GpuId(g)];
    const PowerLaw* law = power_law_of(GpuId(g));
    if (!law) continue;
    KISIM_INVARIANT(gpu.power.value() >= (draws(gpu.node) ? law->idle : 0) && gpu.power.max() <= law->tdp,
                    "GPU {} draws {} mW, {} mW at most, of {} to {}", g, gpu.power.value(), gpu.power.max(), law->idle,
                    law->tdp);
    KISIM_INVARIANT(energy(GpuId(g), now) <= static_cast<__int128>(law->tdp) * now.ns, "GPU {} took more than its TDP",
                    g);
    KISIM_INVARIANT(gpu.busy.value() > 0 || gpu.load == GpuLoad{}, "GPU {} is idle under load", g);
  }
}

void Cluster::reset_statistics(Time now) {
  for (GpuState& gpu : state.gpus) {
    gpu.allocated.reset(now);
    gpu.busy.reset(now);
    gpu.energy_before += gpu.power.integral(now);
    gpu.power.reset(now);
  }
  for (TimeWeighted& power : state.node_power) power.reset(now);
}

std::vector<NodeId> ClusterModel::machines() const {
  std::vector<NodeId> out;
  std::set<std::string_view> names;
  for (size_t n = 0; n < nodes.size(); ++n)
    if (names.insert(nodes[NodeId(n)].object.meta.name).second) out.push_back(NodeId(n));
  return out;
}

std::string ClusterModel::owner_name(TemplateId pod_template) const {
  const WorkloadModel& workload = workloads[templates[pod_template].workload];
  if (workload.kind != WorkloadModel::Kind::Deployment) return workload.name;
  return workload.name + "-" + templates[pod_template].hash;
}

ApiPhase api_phase(const PodState& pod) {
  if (pod.phase == PodPhase::Succeeded) return ApiPhase::Succeeded;
  if (pod.phase == PodPhase::Failed) return ApiPhase::Failed;
  bool started = is_running(pod.phase) || (pod.phase == PodPhase::Terminating && pod.started != Time::max());
  return started ? ApiPhase::Running : ApiPhase::Pending;
}

std::string Cluster::pod_name(PodId id) const { return name_of(state.pods[id]); }

std::string Cluster::next_pod_name(WorkloadId workload, TemplateId pod_template, uint32_t index) const {
  PodState pod;
  pod.workload = workload;
  pod.pod_template = pod_template;
  pod.ordinal = state.created_pods[workload.value];
  pod.index = index;
  return name_of(pod);
}

std::string Cluster::name_of(const PodState& pod) const {
  const WorkloadModel& workload = model.workloads[pod.workload];
  using Kind = WorkloadModel::Kind;
  if (workload.kind == Kind::Pod) return workload.name;
  if (workload.kind == Kind::StatefulSet) return fmt::format("{}-{}", workload.name, pod.index);
  std::string owner = model.owner_name(pod.pod_template);
  if (workload.kind == Kind::Job && pod.index != PodState::kNoIndex) owner += fmt::format("-{}", pod.index);
  // A bijection of the ordinal onto five characters of Kubernetes' alphabet for generated names.
  constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  constexpr uint64_t kNames = 27ull * 27 * 27 * 27 * 27;
  uint64_t code = (pod.ordinal * 7368787ull + hash_text(workload.full_name()) % kNames) % kNames;
  std::string suffix;
  for (int i = 0; i < 5; ++i, code /= 27) suffix += kAlphabet[code % 27];
  return owner + "-" + suffix;
}

uint64_t Cluster::pod_entity(PodId id) const {
  const PodState& pod = state.pods[id];
  return hash_combine(hash_text("Pod/" + model.workloads[pod.workload].full_name()), pod.ordinal);
}

}  // namespace kisim
