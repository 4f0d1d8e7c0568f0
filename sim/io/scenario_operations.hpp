#pragma once
// What must hold between the fields of faults, actions, the cluster autoscaler and latencies, and the objects that they
// name.

#include "io/scenario_fields.hpp"
#include "io/spec_places.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace kisim {

// Each fills the kinds of its specs from the drafts and complains about fields that do not belong together.
void finish_faults(SpecPlaces& places, ScenarioDraft& draft);
void finish_actions(SpecPlaces& places, ScenarioDraft& draft);
void check_cluster_autoscaler(SpecPlaces& places, const ScenarioDraft& draft);
void check_latencies(SpecPlaces& places, const Latencies& latencies);

// Indices of the actions in the order in which they happen.
std::vector<size_t> in_order_of_time(const std::vector<ActionSpec>& actions);

// The objects that can be named, with their namespaces: "prod/chat"; nodes and namespaces without. Holds pointers to
// the nodes of what was added.
class ObjectNames {
 public:
  void add(const Manifests& manifests);
  // Nodes that come and go, named after their group.
  void add(const ClusterAutoscalerSpec& autoscaler);

  // Of a kind; empty if there are none.
  std::vector<std::string> of(const std::string& kind) const;
  // Of everything that has pods.
  std::vector<std::string> of_workloads() const;
  bool may_be_node(const std::string& name) const;
  // Nodes, and what those of groups are like.
  const std::vector<const Node*>& nodes() const { return nodes_; }

 private:
  template <class Object>
  void add(const char* kind, const std::vector<Object>& objects);

  std::map<std::string, std::set<std::string>> names_;  // by kind
  std::vector<std::string> groups_;
  std::vector<const Node*> nodes_;
};

// Names of objects, only known once every manifest is read. Workloads and objects of actions are named in full then:
// "prod/chat". `before` are the objects that are there before the first action.
void resolve_faults(SpecPlaces& places, const ObjectNames& names, Scenario& scenario);
void resolve_actions(SpecPlaces& places, ObjectNames before, Scenario& scenario);

}  // namespace kisim
