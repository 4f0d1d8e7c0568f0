#pragma once
// Which of several node groups grows (cluster-autoscaler/expander). The expanders of a chain each keep the best of what
// the one before left; what is left in the end is drawn from.
//
// price: the smallest (price of the nodes + s) / (price of the pods + s), times how unlike the nodes are the size that
// suits the cluster; s = price of a pod of 0.5 cores and 500 MiB. What a pod costs is the cloud's to say: here the
// dominant share that it takes of a node, at the price of the group where that is cheapest.

#include "core/random.hpp"
#include "kube/model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace kisim {

struct ExpanderDoc {
  ClusterAutoscalerModel::Expander kind;
  const char *name, *doc;
};
// Every expander, under the name of the flag --expander.
std::span<const ExpanderDoc> expander_docs();

// One way to grow: nodes of one group, and the pods that they would take.
struct ExpansionOption {
  size_t group = 0;
  int32_t node_count = 0;
  std::vector<TemplateId> pods;
};

class Expander {
 public:
  // `cluster_nodes`: how many there are now.
  Expander(const ClusterAutoscalerModel& model, const ClusterModel& cluster, size_t cluster_nodes)
      : model_(model), cluster_(cluster), cluster_nodes_(cluster_nodes) {}

  // The index of the best option; draws only where several are left. Precondition: there is one.
  size_t best_option(std::span<const ExpansionOption> options, Stream& stream) const;

 private:
  using Kind = ClusterAutoscalerModel::Expander;

  std::vector<size_t> best_options(Kind kind, std::span<const ExpansionOption> options, std::vector<size_t> left,
                                   Stream& stream) const;
  double waste(const ExpansionOption& option) const;
  double price_score(const ExpansionOption& option) const;
  double pod_price(std::span<const int64_t> request) const;
  const NodeModel& node_of(size_t group) const { return cluster_.nodes[model_.groups[group].nodes.front()]; }

  const ClusterAutoscalerModel& model_;
  const ClusterModel& cluster_;
  size_t cluster_nodes_;
};

}  // namespace kisim
