#pragma once
// What LowNodeUtilization and HighNodeUtilization share: how much of each node is used, and how pods are taken off some
// nodes as long as others have room (pkg/framework/plugins/nodeutilization/nodeutilization.go).

#include "pod_selection.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// One resource that is measured or counted.
struct UtilizationColumn {
  std::string name;
  ResourceId id;  // invalid: the model knows no such resource
  // Per cent below which (all columns) a node is underutilized and above which (any column) it is overutilized; none
  // where no threshold is given.
  std::optional<double> low, high;
};

struct NodeUse {
  NodeId node;
  std::vector<int64_t> usage;                  // by column
  std::vector<std::optional<double>> percent;  // of what the node has; none: it knows no such resource
};

// Stands for the answer to a Prometheus query, in hundredths of the node.
inline constexpr const char* kMetricResource = "MetricResource";

class NodeUtilizationCycle {
 public:
  // With `basics`, cpu, memory and pods are columns even where no threshold names them.
  NodeUtilizationCycle(DeschedulerHandle& handle, const ResourceThresholds& low, const ResourceThresholds& high,
                       bool basics);

  // How much is used: requests, or as measured. False, with the reason told to the handle, if it cannot be found out.
  bool read(const std::optional<MetricsUtilization>& metrics);
  // Turns thresholds that are distances from the mean into percentages, cut to 0 … 100. The mean is of the nodes that
  // have the resource; without any, the threshold is void.
  void center();

  bool is_below(const NodeUse& use) const;
  bool is_above(const NodeUse& use) const;
  std::span<const NodeUse> nodes() const { return nodes_; }
  const std::vector<UtilizationColumn>& columns() const { return columns_; }
  // What the node has of a column, cut to its high threshold.
  int64_t target(NodeId node, const UtilizationColumn& column) const;
  // The nodes by their usage of all columns added up, in milli-CPU, bytes and pieces; equal ones in their order.
  static void sort_by_usage(std::vector<NodeUse>& nodes, bool ascending);

  struct Eviction {
    const std::vector<NodeUse>& sources;
    const std::vector<NodeUse>& destinations;
    const std::vector<std::string>& exclude_namespaces;
    bool down_to_target;  // a source gives no more once it is at its target in every column
    std::optional<uint64_t> node_limit;
    std::function<bool(ViewPodId)> is_wanted;  // beside what the evictor says
    std::function<std::string(const NodeUse&)> reason;
  };
  // Sources in order, their pods by priority, while there is room in every column over all destinations together.
  void evict(const Eviction& eviction) const;
  // "cpu 85.3 % (target 70 %)": the first column above its target, of a node with this usage.
  std::string above_target(const NodeUse& use) const;

 private:
  struct Room;

  bool read_metrics_server();
  bool read_prometheus(const std::string& query);
  bool read_requests();
  std::optional<int64_t> capacity(NodeId node, const UtilizationColumn& column) const;
  void add_node(NodeId node, std::vector<int64_t> usage);
  // Nothing if it is not measured for single pods.
  std::optional<std::vector<int64_t>> usage_of(ViewPodId pod) const;
  bool may_go_on(const Eviction& eviction, const NodeUse& source, const Room& room) const;
  DeschedulerResult empty_node(const Eviction& eviction, NodeUse source, Room& room) const;
  KeepReason reason_to_keep(const Eviction& eviction, ViewPodId pod, Room& room) const;
  bool has_destination(const Eviction& eviction, ViewPodId pod, Room& room) const;
  void move_out(const std::vector<int64_t>& usage, NodeUse& source, Room& room) const;

  DeschedulerHandle& handle_;
  const DeschedulerView& view_;
  std::vector<UtilizationColumn> columns_;
  std::vector<NodeUse> nodes_;
  enum class Source : uint8_t { Requests, MetricsServer, Prometheus } source_ = Source::Requests;
};

}  // namespace kisim
