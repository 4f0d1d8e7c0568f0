#pragma once
// What each node's kubelet remembers. Most pods need no record: theirs follows from PodState.

#include "cluster/cluster.hpp"
#include "kube/pod_start.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace kisim {

// A delay that doubles (client-go util/flowcontrol, Backoff): 10 s, 20 s … 300 s, forgotten when what it delays has
// gone well for twice the longest delay. The kubelet has one per container (CrashLoopBackOff) and one per pod and image
// (ImagePullBackOff).
struct KubeletBackOff {
  static constexpr Duration kFirst{10'000'000'000}, kLongest{300'000'000'000};

  Duration delay;  // 0: none
  Time updated;

  // What is left of it for something that happened at `event`, from there on.
  Duration wait(Time event) const { return forgotten(event) ? Duration{} : delay; }
  void next(Time event, Time now) {
    delay = forgotten(event) ? kFirst : std::min(delay * 2, kLongest);
    updated = now;
  }

 private:
  bool forgotten(Time event) const { return delay.ns == 0 || event - updated > kLongest * 2; }
};

// Of a pod that has something to remember: containers that exited, images that did not come, a deadline.
struct KubeletPod {
  PodId pod;
  Time seen = Time::max();       // status.startTime, for a pod with a deadline; max(): not yet
  Time started = Time::max();    // of the present containers, where PodState::started is not theirs
  bool exited = false;           // they have, and were not started again
  Time finished;                 // when they last did, lastState.terminated: finishedAt,
  std::string_view exit_reason;  // reason ("OOMKilled"; lives as long as the program)
  int32_t exit_code = 0;         // and exitCode
  std::string_view waiting;      // state.waiting.reason ("CrashLoopBackOff"); empty: none, or ContainerCreating
  KubeletBackOff restart;        // of the containers
  Time sigterm, sigkill;         // while the pod is being ended
  bool stopping = false;         // the kubelet has heard of its deletion
  struct Image {
    uint32_t image = 0;  // of ClusterModel::images
    KubeletBackOff back_off;
  };
  std::vector<Image> images;  // that failed to come
};

// A turn of the image puller.
struct ImagePull {
  PodId pod;
  uint32_t place = 0;  // of the container in the order in which images are asked for
  uint32_t image = 0;
  int64_t bytes = 0;
  Duration lasts;  // without faults
  Time asked, began;
};

struct KubeletState {
  int32_t losses = 0;  // faults that hold the node down now

  std::vector<uint8_t> images;   // by ClusterModel::images: on disk
  std::vector<ImagePull> pulls;  // in order; the first is under way
  EventHandle pull_end;
  bool pull_fails = false;  // the one under way

  std::vector<uint32_t> weights, compiled;  // by PodStartup::artefacts: on disk

  std::vector<KubeletPod> pods;  // by pod
  std::vector<PodStart> starts;  // under way

  EventHandle housekeeping;              // the eviction manager's next look,
  Time look_at;                          // due then
  Time pressure_observed = Time::max();  // memory was last short; max(): never, or long ago

  bool alive() const { return losses == 0; }

  // nullptr if there is none. Valid until a record comes or goes.
  KubeletPod* find(PodId pod) {
    auto at = place(pod);
    return at != pods.end() && at->pod == pod ? &*at : nullptr;
  }
  const KubeletPod* find(PodId pod) const { return const_cast<KubeletState*>(this)->find(pod); }
  KubeletPod& record(PodId pod) {
    if (KubeletPod* known = find(pod)) return *known;
    KubeletPod fresh;
    fresh.pod = pod;
    return *pods.insert(place(pod), std::move(fresh));
  }
  // nullptr if none is under way.
  PodStart* start_of(PodId pod) {
    auto at = std::find_if(starts.begin(), starts.end(), [&](const PodStart& s) { return s.pod == pod; });
    return at == starts.end() ? nullptr : &*at;
  }
  const PodStart* start_of(PodId pod) const { return const_cast<KubeletState*>(this)->start_of(pod); }
  void forget(PodId pod) {
    std::erase_if(starts, [&](const PodStart& s) { return s.pod == pod; });
    auto at = place(pod);
    if (at != pods.end() && at->pod == pod) pods.erase(at);
  }

 private:
  std::vector<KubeletPod>::iterator place(PodId pod) {
    return std::lower_bound(pods.begin(), pods.end(), pod, [](const KubeletPod& r, PodId id) { return r.pod < id; });
  }
};

}  // namespace kisim
