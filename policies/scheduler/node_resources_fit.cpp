#include "policy/registry.hpp"
#include "policy/scheduler.hpp"
#include "resource_weights.hpp"

#include <cmath>

namespace kisim {
namespace {

struct Request {
  ResourceId resource;
  int64_t amount = 0;  // > 0
};

// One resource of the score, with what the pod adds to it.
struct ScoredRequest {
  ResourceId resource;
  int64_t amount = 0, weight = 1;
};

struct FitData : PluginData {
  IdVector<TemplateId, std::vector<Request>> requests;  // that filter() looks at
  IdVector<TemplateId, std::vector<Request>> all;       // with the ignored ones
  IdVector<TemplateId, std::vector<ScoredRequest>> scored;
};

constexpr uint32_t kTooManyPods = 0;  // of reasons(); resource r follows at 1 + r
constexpr int64_t kMiB = 1ll << 20;

// plugins/noderesources/least_allocated.go, most_allocated.go: integer division, as there. Types rather than functions,
// so that each strategy's loop over the nodes is compiled with its arithmetic.
struct LeastAllocated {
  int64_t operator()(int64_t requested, int64_t capacity) const {
    return requested > capacity ? 0 : (capacity - requested) * kMaxNodeScore / capacity;
  }
};
struct MostAllocated {
  int64_t operator()(int64_t requested, int64_t capacity) const {
    return std::min(requested, capacity) * kMaxNodeScore / capacity;
  }
};

// Of the weighted sum, the sum of the weights and that of the weights of positive scores.
struct TruncatedMean {
  int64_t operator()(int64_t sum, int64_t weights, int64_t) const { return weights == 0 ? 0 : sum / weights; }
};
// A resource that scores 0 does not count (requested_to_capacity_ratio.go).
struct RoundedMean {
  int64_t operator()(int64_t sum, int64_t, int64_t weights) const {
    if (weights == 0) return 0;
    return static_cast<int64_t>(std::round(static_cast<double>(sum) / static_cast<double>(weights)));
  }
};

// A line through the points of the shape, in integers, level outside of them (plugins/helper/shape_score.go). Scores of
// points reach 10, those of nodes 100.
int64_t on_shape(const std::vector<NodeResourcesFitArgs::UtilizationShapePoint>& shape, int64_t utilization) {
  for (size_t i = 0; i < shape.size(); ++i) {
    if (utilization > shape[i].utilization) continue;
    if (i == 0) return 10 * shape[0].score;
    int64_t low = shape[i - 1].utilization, width = shape[i].utilization - low;
    int64_t base = 10 * shape[i - 1].score, rise = 10 * shape[i].score - base;
    return base + rise * (utilization - low) / width;
  }
  return shape.empty() ? 0 : 10 * shape.back().score;
}

// Extended resources have a domain that is not Kubernetes' own (apis/core/v1/helper, IsExtendedResourceName).
bool is_extended(const std::string& name) {
  return name.find('/') != name.npos && name.find("kubernetes.io/") == name.npos && !name.starts_with("requests.");
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// --- amounts for people

// What is asked for at most, rounded down to something that is easily written.
int64_t rounded(const std::string& resource, int64_t amount) {
  bool bytes = resource == "memory" || resource == "ephemeral-storage";
  return bytes && amount >= kMiB ? amount / kMiB * kMiB : amount;
}

std::string quantity_text(const std::string& resource, int64_t amount) {
  if (resource == "cpu") return amount % 1000 == 0 ? std::to_string(amount / 1000) : std::to_string(amount) + "m";
  if (is_extended(resource)) return std::to_string(amount);
  static constexpr const char* kSuffixes[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
  size_t power = 0;
  for (; amount != 0 && amount % 1024 == 0 && power < 5; ++power) amount /= 1024;
  return std::to_string(amount) + kSuffixes[power];
}

// --- making a pod smaller

// Lowers an amount in the list to `most`, if it is there, and returns what is left of it.
int64_t cut(ResourceList& list, const std::string& name, int64_t most) {
  for (auto& [key, value] : list)
    if (key == name) return value = std::min(value, most);
  return 0;
}

int64_t cut(Container& container, const std::string& name, int64_t most) {
  if (is_extended(name)) cut(container.limits, name, most);  // must equal the request
  return cut(container.requests, name, most);
}

// Afterwards the pod's effective request of the resource is at most `most`: whoever comes first keeps what it asks for.
void cut_request(PodSpec& spec, const std::string& name, int64_t most) {
  int64_t left = most - cut(spec.overhead, name, most), sidecars = 0;
  if (spec.pod_requests) cut(*spec.pod_requests, name, left);
  for (Container& c : spec.init_containers) {
    int64_t taken = cut(c, name, left - sidecars);
    if (c.sidecar) sidecars += taken;
  }
  left -= sidecars;
  for (Container& c : spec.containers) left -= cut(c, name, left);
}

// plugins/noderesources/fit.go
class NodeResourcesFit : public SchedulerPlugin {
 public:
  explicit NodeResourcesFit(NodeResourcesFitArgs args) : args_(std::move(args)) {}

  ExtensionPoints points() const override {
    return {ExtensionPoint::PreFilter, ExtensionPoint::Filter, ExtensionPoint::PreScore, ExtensionPoint::Score};
  }
  Reads filter_reads() const override { return Reads::NodePods; }
  Reads score_reads() const override { return Reads::NodePods; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<FitData>();
    std::vector<WeighedResource> weighed = resolve(args_.resources, p.model);
    for (const PodTemplateModel& t : p.model.templates) {
      std::vector<Request> requests, all;
      for (size_t r = 0; r < t.request.size(); ++r) {
        if (t.request[r] <= 0) continue;
        all.push_back({ResourceId(r), t.request[r]});
        if (!is_ignored(p.model.resources[r])) requests.push_back(all.back());
      }
      data->requests.push_back(std::move(requests));
      data->all.push_back(std::move(all));
      data->scored.push_back(scored(t, weighed));
    }
    return data;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const std::vector<Request>& requests = c.data_as<FitData>().requests[c.pod_template];
    const NodeRows rows(c.cluster);
    for (size_t i = 0; i < nodes.size(); ++i)
      codes[i] = verdict(requests, rows.allocatable(nodes[i]), rows.requested(nodes[i]));
  }

  // The strategy's score of each resource with the pod on the node, averaged by weight. cpu and memory count as
  // non-zero requests.
  void score(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores) const override {
    switch (args_.strategy) {
      case NodeResourcesFitArgs::Strategy::LeastAllocated:
        return score_with(c, nodes, scores, LeastAllocated{}, TruncatedMean{});
      case NodeResourcesFitArgs::Strategy::MostAllocated:
        return score_with(c, nodes, scores, MostAllocated{}, TruncatedMean{});
      case NodeResourcesFitArgs::Strategy::RequestedToCapacityRatio:
        break;
    }
    auto on_curve = [&](int64_t requested, int64_t capacity) {
      return on_shape(args_.shape, requested > capacity ? 100 : requested * 100 / capacity);
    };
    score_with(c, nodes, scores, on_curve, RoundedMean{});
  }

  ClusterEvents events() const override {
    return {ClusterEvent::Kind::AssignedPodDelete, ClusterEvent::Kind::NodeAdd,
            ClusterEvent::Kind::NodeUpdateAllocatable};
  }
  // A node helps only if the pod would fit it empty, and a change of one only if there is more of something it needs.
  // Upstream forgets the ignored resources here.
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    if (event.kind == ClusterEvent::Kind::AssignedPodDelete) return true;
    const std::vector<Request>& all = c.data_as<FitData>().all[c.pod_template];
    const std::vector<int64_t>& after = c.cluster.model().nodes[NodeId(event.after)].allocatable;
    bool fits = after[kPods.value] >= 1 && std::all_of(all.begin(), all.end(), [&](const Request& r) {
                  return r.amount <= after[r.resource.value];
                });
    if (!fits || event.before == ClusterEvent::kNone) return fits;
    const std::vector<int64_t>& before = c.cluster.model().nodes[NodeId(event.before)].allocatable;
    return after[kPods.value] > before[kPods.value] || std::any_of(all.begin(), all.end(), [&](const Request& r) {
             return after[r.resource.value] > before[r.resource.value];
           });
  }

  std::vector<std::string> reasons(const ClusterModel& model, int) const override {
    std::vector<std::string> texts{"Too many pods"};
    for (const std::string& name : model.resources) texts.push_back("Insufficient " + name);
    return texts;
  }
  void node_reasons(PluginContext& c, NodeId node, std::vector<uint32_t>& out) const override {
    for_each_shortage(c.data_as<FitData>().requests[c.pod_template], c.cluster.allocatable(node).data(),
                      c.cluster.requested(node).data(), [&](uint32_t reason, bool) { out.push_back(reason); });
  }

  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    std::span<const int64_t> allocatable = c.cluster.allocatable(node), requested = c.cluster.requested(node);
    if (requested[kPods.value] + 1 > allocatable[kPods.value]) return;
    for (const Request& r : c.data_as<FitData>().requests[c.pod_template]) {
      int64_t free = std::max<int64_t>(0, allocatable[r.resource.value] - requested[r.resource.value]);
      if (r.amount <= free) continue;
      const std::string& name = c.cluster.model().resources[r.resource.value];
      int64_t most = rounded(name, free);
      std::string text = most == 0 ? "drop the request of " + quantity_text(name, r.amount) + " " + name
                                   : fmt::format("ask for at most {} {} instead of {}", quantity_text(name, most), name,
                                                 quantity_text(name, r.amount));
      out.push_back({std::move(text), [name, most](PodTemplate& pod) { cut_request(pod.spec, name, most); }});
    }
  }

 private:
  bool is_ignored(const std::string& name) const {
    return is_extended(name) && (contains(args_.ignored_resources, name) ||
                                 contains(args_.ignored_resource_groups, name.substr(0, name.find('/'))));
  }

  // The score reads the containers alone, whatever the pod as a whole requests.
  static std::vector<ScoredRequest> scored(const PodTemplateModel& t, const std::vector<WeighedResource>& weighed) {
    std::vector<ScoredRequest> out;
    for (const WeighedResource& r : weighed) {
      int64_t amount = r.id == kCpu      ? t.container_nonzero_cpu
                       : r.id == kMemory ? t.container_nonzero_memory
                                         : t.container_request[r.id.value];
      if (!r.scalar || amount != 0) out.push_back({r.id, amount, r.weight});
    }
    return out;
  }

  // Calls back with the reason and whether the node is too small even when empty.
  template <class Callback>
  static void for_each_shortage(const std::vector<Request>& requests, const int64_t* allocatable,
                                const int64_t* requested, Callback&& callback) {
    if (requested[kPods.value] + 1 > allocatable[kPods.value]) callback(kTooManyPods, false);
    for (const Request& r : requests) {
      int64_t capacity = allocatable[r.resource.value];
      if (r.amount > capacity - requested[r.resource.value]) callback(1 + r.resource.value, r.amount > capacity);
    }
  }

  static StatusCode verdict(const std::vector<Request>& requests, const int64_t* allocatable,
                            const int64_t* requested) {
    StatusCode code = StatusCode::Success;
    for_each_shortage(requests, allocatable, requested, [&](uint32_t, bool too_small) {
      if (code == StatusCode::UnschedulableAndUnresolvable) return;
      code = too_small ? StatusCode::UnschedulableAndUnresolvable : StatusCode::Unschedulable;
    });
    return code;
  }

  template <class ResourceScore, class Mean>
  static void score_with(PluginContext& c, std::span<const NodeId> nodes, std::span<int64_t> scores,
                         const ResourceScore& resource_score, const Mean& mean) {
    const std::vector<ScoredRequest>& scored = c.data_as<FitData>().scored[c.pod_template];
    const NodeRows rows(c.cluster);
    for (size_t i = 0; i < nodes.size(); ++i) {
      const int64_t *allocatable = rows.allocatable(nodes[i]), *requested = rows.requested(nodes[i]);
      int64_t sum = 0, weights = 0, positive_weights = 0;
      for (const ScoredRequest& r : scored) {
        int64_t capacity = allocatable[r.resource.value];
        if (capacity == 0) continue;
        int64_t used = r.resource == kCpu      ? c.cluster.nonzero_cpu(nodes[i])
                       : r.resource == kMemory ? c.cluster.nonzero_memory(nodes[i])
                                               : requested[r.resource.value];
        int64_t value = resource_score(used + r.amount, capacity);
        sum += value * r.weight;
        weights += r.weight;
        if (value > 0) positive_weights += r.weight;
      }
      scores[i] = mean(sum, weights, positive_weights);
    }
  }

  NodeResourcesFitArgs args_;
};

KISIM_POLICY(SchedulerPlugin, "NodeResourcesFit", "room for the pod's requests; scores free or used resources", {},
             [](const Params& params) -> std::unique_ptr<const SchedulerPlugin> {
               return std::make_unique<NodeResourcesFit>(params.args<NodeResourcesFitArgs>());
             });

}  // namespace
}  // namespace kisim
