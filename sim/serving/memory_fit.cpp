#include "serving/memory_fit.hpp"

#include "serving/serving.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace kisim {

namespace {

constexpr int32_t kMostGpus = 8;  // of one node, for what would hold an LLM

// Bytes that it needs on so many GPUs.
int64_t needed(const ServingModelModel& server, int32_t gpus) {
  if (!server.llm) return server.batch_bytes;
  const LlmEngineModel& engine = server.engine;
  return static_cast<int64_t>(std::ceil(engine.fixed_bytes(gpus) + engine.block_bytes() * engine.least_blocks()));
}

// Of so much memory of all its GPUs together, what it may use.
int64_t usable(const ServingModelModel& server, int64_t memory_bytes) {
  if (!server.llm) return memory_bytes;
  return static_cast<int64_t>(std::floor(static_cast<double>(memory_bytes) * server.engine.memory_utilization));
}

std::string gib(int64_t bytes) { return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / 0x1p30); }

bool fits(const ServingModelModel& server, int64_t memory_bytes, int32_t gpus) {
  return needed(server, gpus) <= usable(server, memory_bytes);
}

std::string what(const ServingModelModel& server) {
  if (!server.llm) return "weights and instances";
  if (server.engine.max_model_len == 0) return "weights, activations and a KV block";
  return fmt::format("weights, activations and the KV cache of one sequence of maxModelLen ({})",
                     server.engine.max_model_len);
}

std::string counted(int32_t gpus, const std::string& name) {
  return gpus > 1 ? fmt::format("{} x {}", gpus, name) : name;
}

std::string name_of(const ClusterModel& cluster, const Accelerator& on) {
  const std::string gpu = counted(static_cast<int32_t>(on.gpus), cluster.gpu_models[on.gpu_model].name);
  if (on.sharing == GpuSharing::Mps || on.sharing == GpuSharing::Fraction) return "its share of " + gpu;
  return on.instance ? fmt::format("{} of {}", on.instance->name, gpu) : gpu;
}

const MigProfile* smallest_profile(const ServingModelModel& server, const GpuModel& gpu) {
  auto size = [](const MigProfile& p) { return std::tuple(p.memory_bytes, p.compute_slices); };
  const MigProfile* smallest = nullptr;
  for (const MigProfile& p : gpu.mig.profiles())
    if (fits(server, p.memory_bytes, 1) && (!smallest || size(p) < size(*smallest))) smallest = &p;
  return smallest;
}

// The smallest MIG instance of the GPU, else as many whole ones as the server is made for, else more of them for an
// LLM, and any other GPUs of the catalogue.
std::string what_fits(const ServingModelModel& server, const ClusterModel& cluster, const GpuModel& gpu) {
  const int32_t gpus = server.llm ? server.engine.gpus() : 1;
  if (const MigProfile* profile = gpus == 1 ? smallest_profile(server, gpu) : nullptr)
    return fmt::format("{} of {}", profile->name, gpu.name);
  if (fits(server, gpu.memory_bytes * gpus, gpus)) return counted(gpus, gpu.name);
  std::vector<std::string> out;
  for (int32_t n = gpus + 1; server.llm && n <= kMostGpus && out.empty(); ++n)
    if (server.engine.llm.heads % n == 0 && fits(server, gpu.memory_bytes * n, n))
      out.push_back(counted(n, gpu.name) + fmt::format(" (tensorParallel {})", n));
  for (const GpuModel& other : cluster.gpu_models)
    if (fits(server, other.memory_bytes * gpus, gpus)) out.push_back(counted(gpus, other.name));
  return out.empty() ? "none" : fmt::format("{}", fmt::join(out, ", "));
}

}  // namespace

std::optional<std::string> does_not_fit(const ServingModelModel& server, const ClusterModel& cluster,
                                        const Accelerator& on) {
  if (!server.llm && (server.batch_bytes == 0 || on.memory_bytes == 0)) return std::nullopt;
  const int32_t gpus = server.llm ? server.engine.gpus() : 1;
  if (!on.gpu_model.valid())
    return "runs on a GPU that nobody names: spec.models has no gpu, the node no known product";
  if (gpus > 1 && on.instance)
    return fmt::format("is split over {} GPUs, and MIG instances cannot talk to each other", gpus);
  if (gpus > 1 && static_cast<int32_t>(on.gpus) < gpus)
    return fmt::format("is split over {} GPUs, and its devices are of {}", gpus, on.gpus);
  const int64_t lacks = needed(server, gpus) - usable(server, on.memory_bytes);
  if (lacks <= 0) return std::nullopt;
  const std::string share =
      server.llm ? fmt::format(" for it (kvMemoryUtilization {})", server.engine.memory_utilization) : "";
  return fmt::format("needs {} for {}, {} more than {} has{}; what fits: {}", gib(needed(server, gpus)), what(server),
                     gib(lacks), name_of(cluster, on), share,
                     what_fits(server, cluster, cluster.gpu_models[on.gpu_model]));
}

std::optional<std::string> overcommits(const ServingModelModel& server, const ClusterModel& cluster,
                                       const Accelerator& on) {
  if (on.sharing != GpuSharing::TimeSlicing || !on.gpu_model.valid()) return std::nullopt;
  const int64_t each = server.llm ? usable(server, on.memory_bytes) : server.batch_bytes;
  const int64_t lacks = each * on.replicas - on.memory_bytes;
  if (lacks <= 0) return std::nullopt;
  return fmt::format("takes {} of GPU memory{}, {} replicas of {} together {} more than it has", gib(each),
                     server.llm ? fmt::format(" (kvMemoryUtilization {})", server.engine.memory_utilization) : "",
                     on.replicas, name_of(cluster, on), gib(lacks));
}

}  // namespace kisim
