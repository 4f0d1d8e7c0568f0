#pragma once
// How the GPUs of a node reach each other: a graph of GPUs, NVSwitches, PCIe switches, host bridges and CPU sockets,
// each link with its bandwidth in one direction, and what follows from it for every pair of GPUs.
//
// NVLinks lead to
//   nvswitch   the switches of the board: every GPU reaches every other over all of its links (HGX, DGX A100 and later)
//   direct     the other GPUs, equally many links to each (HGX boards of four)
//   cube-mesh  four of the others, one or two links to each, as in the hybrid cube mesh of a DGX-1 with V100, or its
//              first GPUs where there are fewer than eight; those beyond eight have no links
//   bridge     the neighbour: GPUs 0 and 1, 2 and 3 … (bridges over two PCIe cards)
//   none
// as the GPU's catalogue entry says, or the node's annotation kisim.dev/gpu-nvlink. PCIe: kisim.dev/gpu-pcie, by
// default 2/1/2, is GPUs per switch / switches per host bridge / host bridges per socket. Several switches of one host
// bridge are joined by another switch; with one GPU per switch there are none. A last socket takes the GPUs that are
// left.
//
// Bandwidths: NVLink by the catalogue; PCIe 8 GT/s · 2^(gen − 3) · 16 lanes · 128/130; between sockets what NCCL takes
// for one flow on platforms of that PCIe generation (src/graph/topo.h: Skylake 10, Zen 2 16, Sapphire Rapids 22 GB/s).
// GPUs do not forward for others.

#include "cluster/gpu.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

// In the order of NvlinkFabric.
inline constexpr std::array<std::string_view, 5> kNvlinkFabrics{"none", "bridge", "cube-mesh", "direct", "nvswitch"};
std::optional<NvlinkFabric> nvlink_fabric(std::string_view name);

// One way through a slot of 16 lanes; 0: the generation is not said.
double pcie_gbs(int32_t gen);

struct PcieLayout {
  uint32_t gpus_per_switch = 2, switches_per_bridge = 1, bridges_per_socket = 2;
  auto operator<=>(const PcieLayout&) const = default;
};
// From "2/1/2"; nothing: it is no such text.
std::optional<PcieLayout> pcie_layout(std::string_view text);

// GPUs of one node, a bit each.
using GpuSet = uint32_t;

class GpuTopology {
 public:
  static constexpr uint32_t kMaxGpus = 16;

  // What a path over PCIe passes at most, as `nvidia-smi topo -m` tells them apart: one switch, several, a host bridge,
  // the host bridges of one NUMA node, or two NUMA nodes.
  enum class Level : uint8_t { Pix, Pxb, Phb, Node, Sys };

  // At most kMaxGpus.
  GpuTopology(const GpuModel& gpu, uint32_t gpus, NvlinkFabric fabric, PcieLayout pcie = {});

  uint32_t gpus() const { return gpus_; }
  uint32_t numa_node(uint32_t gpu) const { return numa_[gpu]; }
  // In the following, the NVLinks of the GPUs of `down` do not work.
  //
  // "NV12", "PIX" …, as `nvidia-smi topo -m` prints them; "X" of a GPU and itself.
  std::string connection(uint32_t a, uint32_t b, GpuSet down = 0) const;
  // Of the widest path between two, in GB/s.
  double bandwidth(uint32_t a, uint32_t b, GpuSet down = 0) const;
  // The slowest link of the best ring through all of them, which bounds an all-reduce, in GB/s; of fewer than two GPUs
  // 0.
  double all_reduce_bandwidth(GpuSet set, GpuSet down = 0) const;
  // Which `count` of the free GPUs the device plugin hands out: NVIDIA/go-gpuallocator's best-effort policy. Of all
  // partitions of the free GPUs into sets of that size, the one with the highest score, and of that the best set; a
  // pair counts 100 for each NVLink that leads from one to the other, and 10 (SYS) to 50 (PIX) for its place in the
  // PCIe tree. Links to an NVSwitch count nothing there. Of equals the first by index, where the plugin's order is by
  // chance. Precondition: so many are free.
  GpuSet preferred(GpuSet free, uint32_t count, GpuSet down = 0) const;

 private:
  struct Pair {
    int32_t nvlinks = 0;    // over which they reach each other
    bool switched = false;  // through an NVSwitch
    Level level = Level::Sys;
    double nvlink_gbs = 0, pcie_gbs = 0;
  };
  const Pair& pair(uint32_t a, uint32_t b) const { return pairs_[a * gpus_ + b]; }
  bool by_nvlink(uint32_t a, uint32_t b, GpuSet down) const {
    return pair(a, b).nvlinks > 0 && ((down >> a | down >> b) & 1) == 0;
  }
  int32_t score(GpuSet set, GpuSet down) const;

  uint32_t gpus_;
  std::vector<Pair> pairs_;
  std::vector<uint32_t> numa_;  // by GPU
};

}  // namespace kisim
