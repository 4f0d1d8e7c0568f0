#pragma once
// Multi-Instance GPU: into which instances a GPU can be cut, and where they may stand. A GPU has 7 (or 4) compute
// slices and 8 (or 4) memory slices; a profile takes some of both, and an instance of it begins at one of few memory
// slices (NVIDIA MIG User Guide; `nvidia-smi mig -lgip` and `-lgipp`).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

struct MigProfile {
  std::string name;  // "1g.10gb", "1g.10gb+me"
  int32_t id = 0;    // of `nvidia-smi mig -lgip`
  int32_t compute_slices = 0, memory_slices = 0;
  std::vector<uint8_t> starts;  // memory slices at which an instance may begin
  int32_t max_instances = 0;    // on one GPU
  int32_t copy_engines = 0;
  int32_t sm = 0;            // 0: nobody publishes it
  int64_t memory_bytes = 0;  // of the instance

  // With the media extension, of which a GPU has one.
  bool has_media_extension() const { return name.find("+me") != name.npos; }
};

// An instance on a GPU: a profile, by its place in MigGeometry::profiles(), and its first memory slice.
struct MigInstance {
  uint8_t profile = 0, start = 0;
  bool operator==(const MigInstance&) const = default;
};
using MigLayout = std::vector<MigInstance>;

// What a GPU model allows, worked out once for every set of taken memory slices.
class MigGeometry {
 public:
  // Memory slices that are taken, one bit each; the ninth bit: the media extension.
  using Slices = uint16_t;
  static constexpr uint8_t kNowhere = 0xff;

  MigGeometry() = default;
  // At most eight memory slices.
  MigGeometry(std::vector<MigProfile> profiles, int32_t memory_slices);

  bool empty() const { return profiles_.empty(); }
  const std::vector<MigProfile>& profiles() const { return profiles_; }
  const MigProfile& profile(MigInstance instance) const { return profiles_[instance.profile]; }
  int32_t memory_slices() const { return memory_slices_; }
  std::optional<uint8_t> find(std::string_view name) const;

  Slices slices(MigInstance instance) const;
  Slices slices(const MigLayout& layout) const;
  // How many more instances could be placed as the next one, over all profiles and starts.
  int32_t placements(Slices taken) const { return placements_[taken]; }
  // Where the driver puts an instance: where the most placements are left, at the first of equal starts; kNowhere: it
  // has no room. This gives the orders that NVIDIA shows: 1g at 6, 4, 5, 0, 1, 2, 3; 3g at 4, then 0.
  uint8_t start(uint8_t profile, Slices taken) const { return start_[profile * kStates + taken]; }
  // The GPU among these that an instance fits best: the fewest free memory slices, of equals the one that loses the
  // fewest placements, then the first. None has room: their number.
  size_t best_fit(uint8_t profile, std::span<const Slices> gpus) const;

  // A layout of these profiles that the driver makes if they are asked for in some order, tried from the largest first,
  // as mig-parted tries them. Sorted by start; nothing if no order works.
  std::optional<MigLayout> lay_out(std::vector<uint8_t> profiles) const;
  // Why there is none: which slices the instance that is left over would share with whom.
  std::string conflict(std::vector<uint8_t> profiles) const;
  // What is wrong with a placed layout; nothing: all is well.
  std::string conflict(const MigLayout& layout) const;
  // Every layout that can be reached, the empty one first, each sorted by start.
  std::vector<MigLayout> reachable() const;
  // No instance more has room.
  bool is_maximal(const MigLayout& layout) const { return placements(slices(layout)) == 0; }

 private:
  static constexpr size_t kStates = 512;

  bool fits(MigInstance instance, Slices taken) const { return (slices(instance) & taken) == 0; }
  void extend(MigLayout& layout, uint8_t from, std::vector<MigLayout>& out) const;
  void sort_largest_first(std::vector<uint8_t>& profiles) const;
  // Those that found room, in this order; all of them, or up to the first that did not.
  MigLayout place_in_order(std::span<const uint8_t> profiles) const;
  std::string where(MigInstance instance) const;

  std::vector<MigProfile> profiles_;
  int32_t memory_slices_ = 0;
  std::vector<int32_t> placements_;  // by taken slices
  std::vector<uint8_t> start_;       // by profile and taken slices
  std::vector<uint16_t> cost_;       // likewise: free slices × 256 + placements lost
  static constexpr uint16_t kNoRoom = 0xffff;
};

}  // namespace kisim
