#pragma once
// What an operator does: kubectl apply, delete, scale, rollout restart, cordon, uncordon, drain and label, at given
// instants.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/controllers.hpp"
#include "kube/mig_manager.hpp"
#include "kube/node_lifecycle.hpp"

namespace kisim {

class Actions {
 public:
  // The kinds of event that come back here; target: index of the action.
  struct Events {
    uint16_t act, drain;
  };

  Actions(const KubeModel& model, KubeState& state, Cluster& cluster, Controllers& controllers, NodeLifecycle& nodes,
          MigManager& mig, ApiServer& api, Engine& engine, Events events)
      : model_(model),
        state_(state),
        cluster_(cluster),
        controllers_(controllers),
        nodes_(nodes),
        mig_(mig),
        api_(api),
        engine_(engine),
        events_(events) {}

  void start();
  void on_act(uint32_t action);
  // Evicts what has not been evicted yet, and comes again while a budget refuses. An error of the API, as for two
  // budgets over one pod (500), is not tried again: the drain goes on with the others and fails in the end.
  void on_drain(uint32_t action);

 private:
  void apply_node(const Action& action);
  void delete_namespace(const Action& action);
  void begin_drain(uint32_t action);
  // Of one that is there: kubectl looks for it by its name.
  bool of_daemon_set(PodId pod) const;
  // Why the drain may not delete the pod; empty: it may, or passes over it.
  std::string_view refusal(PodId pod, const Action& action) const;
  void give_up(uint32_t action, std::string_view why);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Controllers& controllers_;
  NodeLifecycle& nodes_;
  MigManager& mig_;
  ApiServer& api_;
  Engine& engine_;
  Events events_;
};

}  // namespace kisim
