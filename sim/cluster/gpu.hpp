#pragma once
// GPU models: numbers of the catalogue (sim/cluster/catalog: gpus.yaml, mig.yaml), each with its source there.

#include "cluster/mig.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace kisim {

// What the NVLinks of a node's GPUs lead to (cluster/topology.hpp).
enum class NvlinkFabric : uint8_t { None, Bridge, CubeMesh, Direct, NvSwitch };

struct GpuModel {
  std::string name;                   // "h100-80gb", kisim's key
  std::vector<std::string> products;  // values of the node label nvidia.com/gpu.product that mean this model
  double fp16_tflops = 0;             // dense, tensor cores
  double fp8_tflops = 0;              // dense; 0 = no FP8
  double fp4_tflops = 0;              // dense; 0 = no FP4
  int64_t memory_bytes = 0;
  double bandwidth_gbs = 0;  // device memory, 1e9 bytes/s
  double tdp_watts = 0;
  double idle_watts = 0;  // 0 = not published
  // Watts while something runs there (cluster/power.hpp); power_base 0 = not measured.
  double power_base = 0, power_bandwidth = 0, power_compute = 0, power_waiting = 0;
  double power_error = 0;  // median absolute error of that fit for a model that was left out, a share
  int32_t sm = 0;
  double nvlink_gbs = 0;  // both directions together; 0 = no NVLink
  int32_t nvlinks = 0;    // of which that is the sum
  NvlinkFabric nvlink_fabric = NvlinkFabric::None;
  int32_t pcie_gen = 0;              // of its x16 slot; 0 = not said
  int32_t mig_slices = 0;            // compute slices; 0 = no MIG
  MigGeometry mig;                   // empty: no MIG
  std::vector<std::string> pci_ids;  // "0x233010DE", what a device-filter of mig-parted names; of GPUs with MIG
};

}  // namespace kisim
