#pragma once
// The image managers of all kubelets (pkg/kubelet/images): one pull at a time per node, in the order asked
// (serializeImagePulls), bytes / bandwidth each. Layers on the node's disk cost nothing; imagePullPolicy Always asks
// the registry even so. While a RegistryFailure is active pulls that begin fail, and the pod tries again after a
// back-off of 10 s, 20 s … 300 s per pod and image; while a RegistrySlow is active they take `factor` times as long. A
// pull that is under way stays what it is.
//
// How large an image is: the first container's is PodStartup::image_bytes, where its workload has any; else what the
// first node of the cluster that has the image in its status says; else nothing.

#include "core/engine.hpp"
#include "kube/api_server.hpp"
#include "kube/model.hpp"
#include "kube/state.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace kisim {

class ImagePuller {
 public:
  // `pulled` is the kind of event that comes back as take_pulled(), its target the node.
  ImagePuller(const KubeModel& model, KubeState& state, Cluster& cluster, ApiServer& api, Engine& engine,
              uint16_t pulled);

  // The node's disk as its object says.
  void fill_disk(NodeId node);

  // The containers of a pod in the order in which their images are asked for: init containers, then the others.
  size_t places(PodId pod) const;
  size_t first_container(PodId pod) const;

  enum class Answer : uint8_t {
    Present,
    Queued,    // take_pulled() tells
    BackOff,   // try again at retry_at()
    NeverPull  // not here, and nobody may fetch it
  };
  Answer ensure(PodId pod, size_t place);
  Time retry_at(PodId pod, size_t place) const;

  struct Pulled {
    PodId pod;
    size_t place = 0;
    bool failed = false;
  };
  // The pull that has ended. Its pod may have gone in the meantime.
  Pulled take_pulled(NodeId node);
  // Begins the next pull of the queue. True if it took no time and is to be taken at once.
  bool begin_next(NodeId node);

  // The node's processes stop: what has not arrived is lost.
  void stop(NodeId node);

 private:
  const Container& container(PodId pod, size_t place) const;
  uint32_t image(PodId pod, size_t place) const;
  ImagePull pull_of(PodId pod, size_t place) const;
  bool registry_fails() const;
  double registry_slowness() const;
  Duration time_of(const ImagePull& pull) const;
  void tell_present(PodId pod, size_t place) const;
  void tell_pulled(const ImagePull& pull) const;
  void back_off(const ImagePull& pull);

  const KubeModel& model_;
  KubeState& state_;
  Cluster& cluster_;
  ApiServer& api_;
  Engine& engine_;
  uint16_t pulled_;
  std::vector<uint32_t> same_;  // by ClusterModel::images: the first that names the same image
  std::vector<int64_t> bytes_;  // likewise, as nodes know them
};

}  // namespace kisim
