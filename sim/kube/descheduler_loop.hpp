#pragma once
// The descheduler beside the cluster: at its first instant and then every interval it looks at the cluster as its
// informers show it, runs one cycle and evicts through the Eviction API.
//
// With metricsProviders KubernetesMetrics, its collector (pkg/descheduler/metricscollector) asks every 5 s what each
// node uses of cpu and memory, and keeps floor(0.9 · what it had + 0.1 · what it is told) of their thousandths. Nodes
// and pods use what the pods' containers use at that moment: the delay of the metrics server is left out.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/descheduler_cycle.hpp"
#include "kube/kubelet.hpp"

#include <optional>

namespace kisim {

class DeschedulerLoop {
 public:
  // The kinds of event that come back: `cycle` as on_cycle(), `collect` as on_collect(), `evict` (target: pod) as
  // on_evict().
  struct Events {
    uint16_t cycle, collect, evict;
  };

  DeschedulerLoop(const KubeModel& model, KubeState& state, Cluster& cluster, const Kubelet& kubelet, ApiServer& api,
                  Engine& engine, Events events);

  void start();
  void on_cycle();
  void on_collect();
  // An eviction that had to wait for the client's limit; `strategy` is the number of who wants it.
  void on_evict(PodId pod, uint64_t strategy);

  // The cluster as of now, for whoever wants to try a policy on it.
  DeschedulerSnapshot snapshot() const;

 private:
  std::optional<std::string> evict(const DeschedulerEviction& wanted);
  std::optional<std::string> evict_now(PodId pod, const std::string& strategy, const std::string& node);
  DeschedulerTemplate facts(TemplateId id) const;
  DeschedulerPod look(PodId id) const;
  bool collects() const;
  DeschedulerMetrics metrics(const IdVector<ViewPodId, DeschedulerPod>& pods) const;

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  const Kubelet& kubelet_;
  ApiServer& api_;
  Engine& engine_;
  Events events_;
  std::optional<Descheduler> descheduler_;
  std::vector<std::string> strategies_;  // all of the policy, by number
};

}  // namespace kisim
