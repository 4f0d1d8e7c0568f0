#pragma once
// The first part of compile(): nodes, workloads in all the states that manifests and actions give them, quotas, and
// what is to happen to them.

#include "run/model.hpp"

#include <map>
#include <string>
#include <vector>

namespace kisim {

class ClusterCompiler {
 public:
  ClusterCompiler(const Scenario& scenario, Model& model, std::vector<Diagnostic>& diagnostics);

  // Fills model.cluster, and of model.kube what needs no serving: specs, quotas, actions, faults, the cluster
  // autoscaler and the descheduler.
  void compile();

  // By "name" or "namespace/name"; invalid if there is none.
  WorkloadId find_workload(const std::string& name) const;
  std::vector<std::string> workload_names() const;
  const ObjectMeta& meta(WorkloadId id) const { return *metas_[id]; }
  // The value of an annotation of its pods, or of the object itself; empty if neither has it.
  std::string annotation(WorkloadId id, const char* key) const;

 private:
  void error(const SourceMark& mark, const std::string& field, const std::string& message);
  void warn(const SourceMark& mark, const std::string& field, const std::string& message);

  void nodes();
  void node_groups();
  void workloads(const Manifests& manifests, const ActionSpec* action);
  template <class Object>
  void workload(const Object& object, PodTemplate pods, const LabelSelector* selector, const ActionSpec* action);
  void actions();
  void add_action(const ActionSpec& spec);
  void refuse_others(const ActionSpec& spec);
  void apply_nodes(const ActionSpec& spec);
  void uncordon_object(const ActionSpec& spec, Action& action);
  void reconfigure(const ActionSpec& spec);
  bool can_be_cut(const std::string& node, const std::string& config, const SourceMark& mark, const std::string& field);
  uint32_t mig_node(const std::string& name);
  uint32_t add_mig_config(uint32_t mig_node, MigNode::Config config);
  void mig_policy();
  void mig_transitions();
  NodeId add_version(const Node& node);
  void restart(const ActionSpec& spec);
  WorkloadId target_of(const ActionSpec& spec);
  void quotas();
  void faults();
  void add_fault(const FaultSpec& spec, std::vector<NodeId> nodes, const std::string& target);
  Action& new_action(const ActionSpec& spec, Action::Kind kind);
  NodeId find_node(const std::string& name) const;
  TemplateId add_revision(WorkloadId workload, const std::string& namespace_, const PodTemplate& pods,
                          const LabelSelector* selector);

  // All pod templates that a workload ever has, the present one last.
  struct Revision {
    PodTemplate pods;
    TemplateId id;
  };

  const Scenario& scenario_;
  Model& model_;
  std::vector<Diagnostic>& diagnostics_;
  ClusterBuilder builder_;
  IdVector<WorkloadId, const ObjectMeta*> metas_;
  IdVector<WorkloadId, Labels> pod_annotations_;
  IdVector<WorkloadId, std::vector<Revision>> revisions_;
  IdVector<WorkloadId, SpecId> latest_;
  std::map<std::pair<WorkloadModel::Kind, std::string>, WorkloadId> names_;
  std::map<std::string, NodeId> node_names_;
  std::map<std::string, Node> latest_nodes_;            // as the last manifest or action has them
  std::map<std::string, std::vector<NodeId>> objects_;  // all that a node may have, but for labels of mig-manager
  std::map<std::string, uint64_t> fault_count_;         // by kind and target
};

}  // namespace kisim
