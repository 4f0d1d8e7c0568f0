#pragma once
// The cluster as the descheduler knows it for one cycle: what its informers hold. It stays as it is while the cycle
// runs, so a pod that one plugin evicts is where it was for the next one.

#include "cluster/cluster.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kisim {

using ViewPodId = Id<struct ViewPodTag>;  // place in DeschedulerSnapshot::pods

struct OwnerReference {
  std::string kind, name;
  std::string uid;  // any text that no other object has
};

// What the pods of one template have in common beside the template itself.
struct DeschedulerTemplate {
  std::vector<OwnerReference> owners;  // metadata.ownerReferences; empty: a bare pod
  std::optional<int32_t> priority;     // spec.priority; none is lower than any
  QosClass qos = QosClass::BestEffort;
  bool mirror = false;              // annotation kubernetes.io/config.mirror
  bool is_static = false;           // annotation kubernetes.io/config.source, other than api
  bool evict = false;               // annotation descheduler.alpha.kubernetes.io/evict
  bool prefer_no_eviction = false;  // annotation descheduler.alpha.kubernetes.io/prefer-no-eviction
  bool local_storage = false;       // a volume emptyDir or hostPath
  bool persistent_volumes = false;  // a volume persistentVolumeClaim
  bool resource_claims = false;     // spec.resourceClaims
  // Storage classes of its claims; none: they cannot be found out.
  std::optional<std::vector<std::string>> storage_classes;
};
// What the template itself says: priority, QoS, annotations, local volumes. It has no owners and no other volumes.
DeschedulerTemplate descheduler_template(const PodTemplateModel& pods);

struct DeschedulerContainer {
  enum class Kind : uint8_t { Container, Init, Ephemeral } kind = Kind::Container;
  std::string waiting;  // state.waiting.reason; empty: not waiting
  struct Terminated {
    std::string reason;
    int32_t exit_code = 0;
  };
  std::optional<Terminated> terminated;
};

struct DeschedulerCondition {
  std::string type, status, reason;
  std::optional<Time> last_transition;
};

struct DeschedulerPod {
  using Phase = ApiPhase;

  PodId pod;  // whose it is; handed back with every eviction
  TemplateId pod_template;
  NodeId node;  // invalid: not bound
  Phase phase = Phase::Running;
  bool terminating = false;                 // has a deletionTimestamp
  Time created;                             // metadata.creationTimestamp, of the same clock as DeschedulerSnapshot::now
  std::optional<Time> start_time;           // status.startTime
  int32_t restarts = 0, init_restarts = 0;  // of its containers, of its init containers; all together
  std::string reason;                       // status.reason
  // Only what PodLifeTime and RemovePodsHavingTooManyRestarts ask for; empty: they match none of it.
  std::vector<DeschedulerContainer> containers;
  std::vector<DeschedulerCondition> conditions;

  bool finished() const { return phase == Phase::Succeeded || phase == Phase::Failed; }
};

struct DeschedulerNode {
  NodeId object;  // its object now, an entry of ClusterModel::nodes; invalid: there is no such node
  bool ready = true;
  bool unschedulable = false;
  std::vector<Taint> taints;         // those of the object and those that controllers have put there
  std::vector<int64_t> allocatable;  // a column per resource
};
// A node in these conditions; its allocatable is that of the object.
DeschedulerNode descheduler_node(const ClusterModel& model, NodeId object, NodeConditions conditions = {});

// Measured use, for policies that ask for it (metricsUtilization).
struct DeschedulerMetrics {
  static constexpr int64_t kUnknown = -1;
  // Of the metrics server, a column per resource: by NodeId, and by ViewPodId. Empty: there is none.
  std::vector<int64_t> node_usage, pod_usage;
  // Of Prometheus: answers to a query by NodeId, 0 … 1; below 0: no sample of that node.
  std::map<std::string, std::vector<double>> answers;
};

struct DeschedulerSnapshot {
  Time now;
  IdVector<TemplateId, DeschedulerTemplate> templates;  // as ClusterModel::templates
  IdVector<NodeId, DeschedulerNode> nodes;
  IdVector<ViewPodId, DeschedulerPod> pods;  // the order decides where upstream's is open
  DeschedulerMetrics metrics;
};

// What plugins see, with the sums that many of them need. Model and snapshot must outlive it.
class DeschedulerView {
 public:
  DeschedulerView(const ClusterModel& model, const DeschedulerSnapshot& snapshot);

  const ClusterModel& model() const { return model_; }
  Time now() const { return s_.now; }
  const DeschedulerMetrics& metrics() const { return s_.metrics; }

  size_t nodes() const { return s_.nodes.size(); }  // places, be there a node or not
  const DeschedulerNode& node(NodeId id) const { return s_.nodes[id]; }
  const Node& object(NodeId id) const { return model_.nodes[s_.nodes[id].object].object; }
  // Those that are ready and that the selector admits, ascending.
  std::vector<NodeId> ready_nodes(const LabelSelector& selector) const;
  // Whether the node's status names the resource, be it with none of it.
  bool names(NodeId node, const std::string& resource) const;
  // Sums over the pods that have not ended, each rounded up as kube-scheduler charges it (upstream rounds the sum,
  // which differs for fractions of a millicore or a byte); kPods counts the pods.
  std::span<const int64_t> requested(NodeId node) const {
    return std::span(requested_).subspan(node.value * model_.resource_count(), model_.resource_count());
  }

  size_t pods() const { return s_.pods.size(); }
  const DeschedulerPod& pod(ViewPodId id) const { return s_.pods[id]; }
  const PodTemplateModel& template_of(ViewPodId id) const { return model_.templates[pod(id).pod_template]; }
  const DeschedulerTemplate& facts(ViewPodId id) const { return s_.templates[pod(id).pod_template]; }
  const DeschedulerTemplate& facts(TemplateId id) const { return s_.templates[id]; }
  // In the order of the snapshot.
  std::span<const ViewPodId> pods_on(NodeId node) const { return slice(all_, first_all_, node); }
  // Those that have not ended.
  std::span<const ViewPodId> active_pods_on(NodeId node) const { return slice(active_, first_active_, node); }
  // The resources that a pod of the template requests, be it none of them.
  std::span<const ResourceId> requests(TemplateId id) const { return requests_[id.value]; }
  // How many pods, of any phase, name this owner.
  int64_t pods_of_owner(const std::string& uid) const;

 private:
  static std::span<const ViewPodId> slice(const std::vector<ViewPodId>& list, const std::vector<uint32_t>& first,
                                          NodeId node) {
    return std::span(list).subspan(first[node.value], first[node.value + 1] - first[node.value]);
  }
  void place_pods();
  void sum_requests();
  void name_requests();
  void count_owners();

  const ClusterModel& model_;
  const DeschedulerSnapshot& s_;
  std::vector<ViewPodId> all_, active_;  // by node
  std::vector<uint32_t> first_all_, first_active_;
  std::vector<int64_t> requested_;
  std::vector<std::vector<ResourceId>> requests_;
  std::map<std::string, int64_t> pods_of_owner_;
};

}  // namespace kisim
