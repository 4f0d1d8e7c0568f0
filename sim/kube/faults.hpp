#pragma once
// What breaks, and when: each fault begins and ends at its own instants, scripted or drawn from its own stream.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/kubelet.hpp"
#include "kube/node_lifecycle.hpp"

namespace kisim {

// Whether a fault of the kind is active now.
bool is_active(const KubeModel& model, const KubeState& state, Fault::Kind kind);

class Faults {
 public:
  // The kinds of event that come back here; target: index of the fault.
  struct Events {
    uint16_t begin, end;
  };

  Faults(const KubeModel& model, KubeState& state, Cluster& cluster, Kubelet& kubelet, NodeLifecycle& nodes,
         ApiServer& api, Scheduler& scheduler, Engine& engine, Events events)
      : model_(model),
        state_(state),
        cluster_(cluster),
        kubelet_(kubelet),
        nodes_(nodes),
        api_(api),
        scheduler_(scheduler),
        engine_(engine),
        events_(events) {}

  void start();
  void on_begin(uint32_t fault);
  void on_end(uint32_t fault);

 private:
  Duration interval(uint32_t fault) const;
  // The time of the n-th occurrence: drawing again gives the same, so nothing needs to be kept.
  Duration draw(uint32_t fault, const Distribution& distribution, uint32_t which) const;
  void set(uint32_t fault, bool active);
  void stop_nodes(uint32_t fault);
  void start_nodes(uint32_t fault);
  template <class Works>
  std::vector<GpuId> choose_gpus(uint32_t fault, Works works) const;
  void break_nvlinks(uint32_t fault);
  void repair_nvlinks(uint32_t fault);
  void break_gpus(uint32_t fault);
  void repair_gpus(uint32_t fault);
  void kill_one(const Fault& fault);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Kubelet& kubelet_;
  NodeLifecycle& nodes_;
  ApiServer& api_;
  Scheduler& scheduler_;
  Engine& engine_;
  Events events_;
};

}  // namespace kisim
