#include "cluster/mig.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "io/input.hpp"

#include <set>

namespace kisim {

namespace {

// Counts that anybody can repeat from NVIDIA's tables of profiles and placements; they need no data.
constexpr double kReachable = 298, kMaximal = 19, kReachableDouble = 723, kMaximalDouble = 78, kMultisets = 38;

bool is_double_memory(const MigProfile& profile) { return profile.compute_slices == 1 && profile.memory_slices == 2; }

MigGeometry without(const MigGeometry& all, bool double_memory) {
  std::vector<MigProfile> kept;
  for (const MigProfile& profile : all.profiles())
    if (!profile.has_media_extension() && (double_memory || !is_double_memory(profile))) kept.push_back(profile);
  return MigGeometry(std::move(kept), all.memory_slices());
}

struct MigCounts {
  size_t reachable = 0, maximal = 0, multisets = 0;
};

MigCounts count(const MigGeometry& geometry) {
  MigCounts out;
  std::set<std::multiset<uint8_t>> multisets;
  for (const MigLayout& layout : geometry.reachable()) {
    ++out.reachable;
    if (!geometry.is_maximal(layout)) continue;
    ++out.maximal;
    std::multiset<uint8_t> profiles;
    for (const MigInstance& instance : layout) profiles.insert(instance.profile);
    multisets.insert(std::move(profiles));
  }
  out.multisets = multisets.size();
  return out;
}

}  // namespace

void compare_mig(Scoreboard& board) {
  constexpr int32_t kSlices = 8;
  ScoreRow row;
  row.data = "MIG, GPUs of 8 memory slices";
  row.metric = "layouts";
  row.unit = "layouts";
  row.split = "reachable and maximal layouts, without and with the double-memory 1g; enumerated, nothing fitted";
  row.verdict = ScoreRow::Verdict::Exact;
  row.pass = 0;
  for (const GpuModel& gpu : read_gpu_catalogue()) {
    if (gpu.mig.memory_slices() != kSlices) continue;
    const MigCounts plain = count(without(gpu.mig, false)), wide = count(without(gpu.mig, true));
    auto add = [&](const char* what, double expected, size_t found) {
      row.points.push_back({gpu.name + ", " + what, expected, static_cast<double>(found), std::nullopt});
    };
    add("reachable", kReachable, plain.reachable);
    add("maximal", kMaximal, plain.maximal);
    add("reachable with double-memory 1g", kReachableDouble, wide.reachable);
    add("maximal with double-memory 1g", kMaximalDouble, wide.maximal);
    add("maximal with double-memory 1g, as multisets", kMultisets, wide.multisets);
  }
  if (!row.points.empty()) board.rows.push_back(std::move(row));
}

}  // namespace kisim
