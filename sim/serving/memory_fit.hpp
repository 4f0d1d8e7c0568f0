#pragma once
// Whether a server fits the memory of what it runs on, and what would hold it. It needs
//   batch server   the weights of all its models and what each of their instances takes, as far as the scenario says
//   LLM engine     weights, activations, what else the engine reserves and the KV blocks of one sequence of maxModelLen
//                  (without it one block), within the share of the memory that it may use (kvMemoryUtilization); its
//                  ranks are on GPUs of their own
// Ranks cannot talk to each other from MIG instances (NVIDIA MIG User Guide: no GPU to GPU P2P).

#include "cluster/cluster.hpp"

#include <optional>
#include <string>

namespace kisim {

struct ServingModelModel;

// Why the server cannot run there, as what follows its name: by how many bytes, and what would hold it; none: it can.
std::optional<std::string> does_not_fit(const ServingModelModel& server, const ClusterModel& cluster,
                                        const Accelerator& accelerator);

// What replicas that take turns on a device take of its memory together, if that is more than there is: nothing keeps
// time-sliced pods from each other's memory. None: it is not, or somebody does.
std::optional<std::string> overcommits(const ServingModelModel& server, const ClusterModel& cluster,
                                       const Accelerator& accelerator);

}  // namespace kisim
