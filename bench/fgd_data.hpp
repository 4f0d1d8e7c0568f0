#pragma once
// The openb cluster and its pod lists as published with FGD (hkust-adsl/kubernetes-scheduler-simulator, data/csv; also
// alibaba/clusterdata, cluster-trace-gpu-v2023), and the results published there.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace kisim {

struct FgdNode {
  std::string name, gpu_model;
  int64_t milli_cpu = 0, memory = 0;  // memory in bytes
  int64_t gpus = 0;
};

struct FgdPod {
  std::string name, gpu_models;       // "V100M16|V100M32"; empty: any
  int64_t milli_cpu = 0, memory = 0;  // memory in bytes
  int64_t gpus = 0, gpu_milli = 0;    // gpu_milli: of each GPU
  int64_t total_gpu_milli() const { return gpus * gpu_milli; }
};

struct FgdTrace {
  std::string name;  // "default", of openb_pod_list_default.csv
  std::vector<FgdPod> pods;
};

// By requested GPU, from 0 to 130 % of the cluster's: the mean over the pods whose arrival brings the sum of requests
// nearest to that per cent.
inline constexpr size_t kFgdColumns = 131;
using FgdCurve = std::array<double, kFgdColumns>;

// Published curves, one per seed, by trace and policy ("06-FGD").
using FgdCurves = std::map<std::pair<std::string, std::string>, std::vector<FgdCurve>>;

struct FgdData {
  std::vector<FgdNode> nodes;
  std::vector<FgdTrace> traces;     // by name, "default" first
  FgdCurves allocated, fragmented;  // per cent of the cluster's GPU; empty where the files are absent
};

// Reads openb_node_list_gpu_node.csv, every openb_pod_list_<trace>.csv, expected_allo.csv and expected_frag.csv, each
// plain or .gz, of the directory or of its folder fgd. Throws IoError where nodes or pods are missing, InputError with
// file:line:column on a bad cell.
FgdData read_fgd_data(const std::string& directory);

}  // namespace kisim
