#pragma once
// The descheduler beside the cluster: at its first instant and then every interval it looks at the cluster as its
// informers show it, runs one cycle and evicts through the Eviction API.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/descheduler_cycle.hpp"
#include "kube/kubelet.hpp"

#include <optional>

namespace kisim {

class DeschedulerLoop {
 public:
  // The kinds of event that come back: `cycle` as on_cycle(), `evict` (target: pod) as on_evict().
  struct Events {
    uint16_t cycle, evict;
  };

  DeschedulerLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const Kubelet& kubelet, ApiServer& api,
                  Engine& engine, Events events);

  void start();
  void on_cycle();
  // An eviction that had to wait for the client's limit.
  void on_evict(PodId pod);

  // The cluster as of now, for whoever wants to try a policy on it.
  DeschedulerSnapshot snapshot() const;

 private:
  std::optional<std::string> evict(const DeschedulerEviction& wanted);
  std::optional<std::string> evict_now(PodId pod, const std::string& strategy, const std::string& node);
  DeschedulerTemplate facts(TemplateId id) const;
  DeschedulerPod look(PodId id) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  const Kubelet& kubelet_;
  ApiServer& api_;
  Engine& engine_;
  Events events_;
  std::optional<Descheduler> descheduler_;
};

}  // namespace kisim
