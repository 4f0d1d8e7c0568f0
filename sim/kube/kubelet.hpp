#pragma once
// The kubelets of all nodes: what happens to a pod between its binding and its end.
//
//   Binding → Pulling → Starting → Loading → Probing → Ready → Terminating → Gone
//                          ↑          │         │        │
//                          └──────────┴─ CrashLoop ←─────┘
//
// One timer event per pod at a time; what takes no time takes none. Durations are drawn per pod and start.
//   Pulling   the images of all its containers (ImagePuller)
//   Starting  sandbox and container start
//   Loading   weights bytes / bandwidth, then compilation, graph capture and warm-up
//   Probing   until all containers are ready; a startup or liveness probe that finds no server often enough kills the
//             container (probes.hpp)
//   Ready     it serves
//   CrashLoop  the containers have exited. restartPolicy says whether they start again: at once after the first exit,
//             then after 10 s, 20 s … 300 s, forgotten 10 min after a start (kuberuntime_manager.go, doBackOff)
//   Terminating  no endpoint any more. preStop.sleep, then SIGTERM: a server that is not ready goes at once, one that
//             is when the last request has left, a container that serves nothing takes all of its grace period, as
//             those do that do not handle SIGTERM; SIGKILL at the end of the grace period
//
// The containers of a pod start and exit together. The first one is the server, up after Loading; the others are up at
// their start. With latencies.pleg, what containers do is seen at the kubelet's next look at them.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/eviction_manager.hpp"
#include "kube/image_puller.hpp"
#include "kube/model.hpp"
#include "kube/pod_usage.hpp"
#include "kube/probes.hpp"
#include "kube/state.hpp"
#include "serving/serving.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

class Kubelet {
 public:
  // The kinds of event that come back as on_step() and so on.
  struct Events {
    uint16_t step;     // target: pod
    uint16_t drained;  // target: pod
    uint16_t pulled;   // target: node
    uint16_t look;     // target: node
  };

  Kubelet(const KubeModel& model, KubeState& state, Cluster& cluster, Serving& serving, ApiServer& api, Engine& engine,
          Events events);

  void start();
  // A machine under the node's name is new: its disk has what its object says.
  void node_joined(NodeId node);

  // Whether the kubelet of the node would run the pod (pkg/kubelet/lifecycle/predicate.go, and the admission of its
  // eviction and device managers): why not, in its words, or nothing.
  std::string refusal(PodId pod, NodeId node) const;
  // The same in full: the message of its event.
  std::string refusal_message(PodId pod, NodeId node) const;

  // The pod is bound to the node, the kubelet hears of it. Precondition: its phase is Binding.
  void bound(PodId pod);
  // Its deletion. Precondition: its phase is Terminating.
  void deleted(PodId pod);
  void on_step(PodId pod, uint64_t payload);
  void on_drained(PodId pod);
  void on_pulled(NodeId node);
  void on_look(NodeId node);

  // The containers of the pod exit now, if they run. `reason` lives as long as the program.
  void crash(PodId pod, std::string_view reason, int exit_code);
  // While a fault of kind CrashLoop is active, the containers of the workload's pods exit right after their start;
  // those that run exit when it begins. Precondition: KubeState::faults says so already.
  void set_crash_looping(WorkloadId workload, bool on);
  // Containers that hold the device exit, and right after each start until it is repaired; who waits for his restart
  // by then goes on waiting.
  void gpu_failed(GpuId gpu);

  // The machine stops without a word. Its containers run no more, but its pods stay what they are for the API, and its
  // servers stay endpoints: what is sent there hangs.
  void node_stopped(NodeId node);
  // The control plane gives the pods of such a node up: they are not ready, and no endpoints.
  void pods_not_ready(NodeId node);
  // The node runs again and starts the pods that are still bound to it, their containers having ended in the unknown;
  // those that are being deleted are gone.
  void node_started(NodeId node);

  const PodUsage& usage() const { return usage_; }
  // state.waiting.reason of the pod's containers ("CrashLoopBackOff", "ImagePullBackOff", "ErrImageNeverPull"); empty:
  // none, or ContainerCreating.
  std::string_view waiting_reason(PodId pod) const;
  // The start of its containers that is under way; nullptr: none is.
  const PodStart* start_of(PodId pod) const;
  // lastState.terminated.reason; empty: its containers have not exited yet.
  std::string_view exit_reason(PodId pod) const;

 private:
  enum class Step : uint8_t {
    Over,     // no business of the kubelet any more
    Pull,     // ask for the images, from a place on
    Started,  // the containers have started
    Loaded,
    Ready,
    Exit,         // the containers exit by themselves
    ProbeFailed,  // place: ProbeKind
    Killed,       // after a failed probe
    Exited,       // the kubelet has noticed
    Restart,
    Deadline,  // activeDeadlineSeconds
    Sigterm,
    Sigkill
  };
  // What happens to a pod next, and when; Time::max(): when somebody else says so.
  struct Next {
    Step step = Step::Over;
    Time at;
    size_t place = 0;
  };
  struct StartupTimes {
    double container = 0, weights = 0, compile = 0, graph_capture = 0, warmup = 0, engine = 0;  // seconds
    WeightsFrom weights_from = WeightsFrom::Disk;
  };

  void advance(PodId pod, Next next);
  Next take(PodId pod, Next next);
  void arm(PodId pod, Next next);
  Next waiting() const { return {Step::Pull, Time::max(), 0}; }

  void see(PodId pod);
  Next pull_images(PodId pod, size_t place);
  Next start_containers(PodId pod);
  Next containers_started(PodId pod);
  Next loaded(PodId pod);
  Next become_ready(PodId pod);
  Next exit_by_itself(PodId pod);
  Next probe_failed(PodId pod, ProbeKind kind);
  Next exited(PodId pod, std::string_view reason, int exit_code);
  Next after_exit(PodId pod);
  Next restart(PodId pod);
  Next deadline_exceeded(PodId pod);
  Next sigterm(PodId pod);
  Next end(PodId pod);
  Next finish(PodId pod, bool succeeded, std::string reason = {});
  void evict(PodId pod);
  void image_arrived(NodeId node);
  void usage_changed(PodId pod);
  void start_again(PodId pod);
  void stop_containers(PodId pod);
  void stop_serving(PodId pod);
  void tell_started(PodId pod);

  struct Crash {
    std::string_view reason;
    int exit_code = 0;
  };
  // What makes the containers exit as soon as they have started.
  std::optional<Crash> crashes_at_start(PodId pod) const;
  bool is_crash_looping(WorkloadId workload) const;

  StartupTimes startup_times(PodId pod, uint32_t starts_before) const;
  WeightsFrom weights_source(PodId pod) const;
  bool peer_has_weights(PodId pod) const;
  void begin_start(PodId pod, Time bound);
  Time plan_loading(PodId pod);
  void keep_artefacts(PodId pod);
  const PodStartup& startup(PodId pod) const { return model_.workloads[cluster_.state.pods[pod].workload].startup; }
  uint64_t start_entity(PodId pod, uint32_t starts_before) const;
  std::optional<std::string> misfit(PodId pod) const;
  bool serves(PodId pod) const;
  bool started_before(PodId pod) const;
  Time exits_at(PodId pod) const;
  Next or_exit(PodId pod, Next next) const;
  Next or_probe_failure(PodId pod, Next next, Time up) const;
  Time deadline(PodId pod) const;
  Time seen_at(NodeId node, Time t) const;
  Duration pre_stop(PodId pod) const;
  // Why the device manager cannot give the pod its devices.
  std::string allocation_failure(PodId pod, NodeId node) const;
  bool ports_conflict(PodId pod, NodeId node) const;
  const KubeletPod* find(PodId pod) const;
  KubeletPod& record(PodId pod) { return state_.nodes[cluster_.state.pods[pod].node].record(pod); }

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  Serving& serving_;
  ApiServer& api_;
  Engine& engine_;
  Events events_;
  PodUsage usage_;
  ImagePuller images_;
  EvictionManager evictions_;
  std::vector<Duration> pleg_phase_;  // by node
};

}  // namespace kisim
