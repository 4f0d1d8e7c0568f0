#pragma once
// How long the control plane's parts take to hear of each other: nothing by default, so that outcomes follow from
// decisions alone.

#include "core/time.hpp"

namespace kisim {

// A client's limit on its calls (client-go flowcontrol): `burst` at once, then `qps` a second; qps 0: no limit.
struct ClientLimit {
  double qps = 0;
  double burst = 0;
};

struct Latencies {
  Duration watch;  // from a change of an object until controllers and kubelets see it
  Duration bind;   // of the scheduler's binding call
  Duration pleg;   // period in which a kubelet looks at its containers: what they do shows at the next look
  ClientLimit controller_manager;
  ClientLimit scheduler;
  ClientLimit descheduler;

  // The defaults of the components' flags: kube-controller-manager --kube-api-qps 20 --kube-api-burst 30,
  // kube-scheduler clientConnection 50 and 100, descheduler's client 5 and 10, the kubelet's generic PLEG of 1 s. Watch
  // and binding calls have none: they take what the network and etcd take.
  static Latencies upstream() { return {{}, {}, Duration{1'000'000'000}, {20, 30}, {50, 100}, {5, 10}}; }
};

}  // namespace kisim
