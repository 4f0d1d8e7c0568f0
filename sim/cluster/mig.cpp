#include "cluster/mig.hpp"

#include "core/error.hpp"

#include <algorithm>
#include <bit>
#include <tuple>

namespace kisim {

namespace {

constexpr MigGeometry::Slices kMediaExtension = 1u << 8;

// "slice 4", "slices 4 to 7".
std::string slices_text(MigGeometry::Slices slices) {
  int first = std::countr_zero(slices), last = std::bit_width(slices) - 1;
  return first == last ? fmt::format("slice {}", first) : fmt::format("slices {} to {}", first, last);
}

// "memory slices 4 to 7", and the media extension by its name.
std::string shared_text(MigGeometry::Slices shared) {
  if (shared == kMediaExtension) return "the media extension";
  return "memory " + slices_text(shared & ~kMediaExtension);
}

}  // namespace

MigGeometry::MigGeometry(std::vector<MigProfile> profiles, int32_t memory_slices)
    : profiles_(std::move(profiles)),
      memory_slices_(memory_slices),
      placements_(kStates, 0),
      start_(profiles_.size() * kStates, kNowhere),
      cost_(profiles_.size() * kStates, kNoRoom) {
  KISIM_INVARIANT(memory_slices <= 8, "{} memory slices", memory_slices);
  for (Slices taken = 0; taken < kStates; ++taken)
    for (uint8_t p = 0; p < profiles_.size(); ++p)
      for (uint8_t start : profiles_[p].starts) placements_[taken] += fits({p, start}, taken);
  for (uint8_t p = 0; p < profiles_.size(); ++p)
    for (Slices taken = 0; taken < kStates; ++taken) {
      int32_t most = -1;
      for (uint8_t start : profiles_[p].starts) {
        if (!fits({p, start}, taken)) continue;
        int32_t left = placements_[taken | slices({p, start})];
        if (left <= most) continue;
        most = left;
        start_[p * kStates + taken] = start;
        int32_t free = memory_slices_ - std::popcount(static_cast<Slices>(taken & ~kMediaExtension));
        cost_[p * kStates + taken] = static_cast<uint16_t>(free * 256 + placements_[taken] - left);
      }
    }
}

std::optional<uint8_t> MigGeometry::find(std::string_view name) const {
  auto found = std::find_if(profiles_.begin(), profiles_.end(), [&](const MigProfile& p) { return p.name == name; });
  if (found == profiles_.end()) return std::nullopt;
  return static_cast<uint8_t>(found - profiles_.begin());
}

MigGeometry::Slices MigGeometry::slices(MigInstance instance) const {
  const MigProfile& p = profiles_[instance.profile];
  unsigned memory = ((1u << p.memory_slices) - 1) << instance.start;
  return static_cast<Slices>(memory | (p.has_media_extension() ? kMediaExtension : 0u));
}

MigGeometry::Slices MigGeometry::slices(const MigLayout& layout) const {
  Slices taken = 0;
  for (MigInstance instance : layout) taken |= slices(instance);
  return taken;
}

size_t MigGeometry::best_fit(uint8_t profile, std::span<const Slices> gpus) const {
  const uint16_t* cost = &cost_[profile * kStates];
  size_t best = gpus.size();
  uint16_t least = kNoRoom;
  for (size_t g = 0; g < gpus.size(); ++g) {
    if (cost[gpus[g]] >= least) continue;
    least = cost[gpus[g]];
    best = g;
  }
  return best;
}

void MigGeometry::sort_largest_first(std::vector<uint8_t>& profiles) const {
  auto size = [&](uint8_t p) { return std::tuple(-profiles_[p].memory_slices, -profiles_[p].compute_slices, p); };
  std::sort(profiles.begin(), profiles.end(), [&](uint8_t a, uint8_t b) { return size(a) < size(b); });
}

MigLayout MigGeometry::place_in_order(std::span<const uint8_t> profiles) const {
  MigLayout out;
  Slices taken = 0;
  for (uint8_t profile : profiles) {
    uint8_t at = start(profile, taken);
    if (at == kNowhere) break;
    out.push_back({profile, at});
    taken |= slices(out.back());
  }
  return out;
}

std::optional<MigLayout> MigGeometry::lay_out(std::vector<uint8_t> profiles) const {
  if (profiles.size() > static_cast<size_t>(memory_slices_)) return std::nullopt;
  sort_largest_first(profiles);
  // Orders are those of the places in the sorted list, so that the largest first is the first one.
  std::vector<uint8_t> order(profiles.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<uint8_t>(i > 0 && profiles[i] == profiles[i - 1] ? order[i - 1] : i);
  do {
    std::vector<uint8_t> asked;
    for (uint8_t i : order) asked.push_back(profiles[i]);
    MigLayout layout = place_in_order(asked);
    if (layout.size() < profiles.size()) continue;
    std::sort(layout.begin(), layout.end(), [](MigInstance a, MigInstance b) { return a.start < b.start; });
    return layout;
  } while (std::next_permutation(order.begin(), order.end()));
  return std::nullopt;
}

std::string MigGeometry::where(MigInstance instance) const {
  return fmt::format("{} at memory {}", profile(instance).name, slices_text(slices(instance) & ~kMediaExtension));
}

std::string MigGeometry::conflict(std::vector<uint8_t> profiles) const {
  if (lay_out(profiles)) return "";
  sort_largest_first(profiles);
  MigLayout placed = place_in_order(profiles);
  uint8_t left_over = profiles[placed.size()];
  std::string out = fmt::format("no room for {}", profiles_[left_over].name);
  for (uint8_t start : profiles_[left_over].starts)
    for (MigInstance other : placed) {
      auto shared = static_cast<Slices>(slices(other) & slices({left_over, start}));
      if (shared == 0) continue;
      out += fmt::format("; at slice {} it shares {} with {}", start, shared_text(shared), where(other));
      break;
    }
  return out;
}

std::string MigGeometry::conflict(const MigLayout& layout) const {
  for (size_t i = 0; i < layout.size(); ++i) {
    const std::vector<uint8_t>& starts = profile(layout[i]).starts;
    if (std::find(starts.begin(), starts.end(), layout[i].start) == starts.end())
      return fmt::format("{} cannot begin at memory slice {}, allowed: {}", profile(layout[i]).name, layout[i].start,
                         fmt::join(starts, ", "));
    for (size_t j = 0; j < i; ++j)
      if (auto shared = static_cast<Slices>(slices(layout[i]) & slices(layout[j])); shared != 0)
        return fmt::format("{} and {} share {}", where(layout[j]), where(layout[i]), shared_text(shared));
  }
  return "";
}

std::vector<MigLayout> MigGeometry::reachable() const {
  std::vector<MigLayout> out;
  MigLayout layout;
  extend(layout, 0, out);
  return out;
}

// All layouts that add instances from this memory slice on.
void MigGeometry::extend(MigLayout& layout, uint8_t from, std::vector<MigLayout>& out) const {
  out.push_back(layout);
  Slices taken = slices(layout);
  for (uint8_t start = from; start < memory_slices_; ++start)
    for (uint8_t p = 0; p < profiles_.size(); ++p) {
      const std::vector<uint8_t>& starts = profiles_[p].starts;
      if (std::find(starts.begin(), starts.end(), start) == starts.end() || !fits({p, start}, taken)) continue;
      layout.push_back({p, start});
      extend(layout, start + 1, out);
      layout.pop_back();
    }
}

}  // namespace kisim
