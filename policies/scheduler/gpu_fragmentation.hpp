#pragma once
// Fragmentation of a node's GPUs (Weng et al., "Beware of Fragmentation", ATC'23): what the pods that are expected to
// come cannot use of them,
//   F(n) = Σ_m p_m f(n, m),
// over typical pods m of share p_m. f(n, m) is all free GPU of n if m asks for none, for another model, or does not fit
// by CPU or GPU; else the free GPU of the devices that have less free than m asks for. Memory does not count.

#include "cluster/cluster.hpp"
#include "policy/scheduler_args.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace kisim {

// Amounts of F are in thousandths of a GPU times weight(): whole numbers, so that equal changes of F are equal to the
// last bit.
class GpuFragmentation {
 public:
  // The typical pods of `args`; without any, those of the workloads, most frequent first, up to 95 % of the replicas.
  GpuFragmentation(const ClusterModel& model, const FgdArgs& args);

  int64_t weight() const { return weight_; }        // what shares are fractions of; >= 1
  size_t typical_pods() const { return typical_; }  // distinct ones

  // F of a node with this much milli-CPU and GPU free. `version` is its entry of ClusterModel::nodes.
  int64_t amount(uint32_t version, int64_t free_cpu, std::span<const int32_t> free) const;

  // What each shape of typical pods could use of one node, to ask for the outcome of several choices of devices.
  class Choice {
   public:
    // For a pod that takes `cpu` of the free milli-CPU. `scratch` must outlive it.
    Choice(const GpuFragmentation& fragmentation, uint32_t version, int64_t free_cpu, int64_t cpu,
           std::span<const int32_t> free, std::vector<int64_t>& scratch);
    // F before minus F after `milli` is taken from each of `devices` devices with `device_free` free.
    int64_t decrease(int32_t milli, int32_t devices, int32_t device_free) const;

   private:
    const GpuFragmentation& fragmentation_;
    uint32_t product_;
    int64_t usable_before_ = 0;
    std::vector<int64_t>& usable_;  // by shape: devices with enough free, what is free there, weight by CPU after
  };

 private:
  // Typical pods that differ by CPU only.
  struct Shape {
    int32_t gpu_milli = 0, gpu_count = 0;
    uint32_t first_step = 0, last_step = 0;
  };
  // Of the pods of a shape, the weight of those that ask for at most this much CPU.
  struct CpuStep {
    int64_t milli_cpu = 0, weight = 0;
  };
  using TypicalPods = std::vector<std::pair<FgdArgs::TypicalPod, int64_t>>;  // with their weights

  static TypicalPods frequent_pods(const ClusterModel& model);
  void add_product(const std::string& product, const TypicalPods& pods);
  int64_t weight_within(const Shape& shape, int64_t free_cpu) const;

  std::vector<uint32_t> product_;           // by entry of ClusterModel::nodes
  std::vector<std::vector<Shape>> shapes_;  // by product: those that accept it
  std::vector<CpuStep> steps_;
  int64_t weight_ = 1;
  size_t typical_ = 0;
};

}  // namespace kisim
