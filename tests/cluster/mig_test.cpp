#include "cluster/mig.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

MigProfile profile(std::string name, int32_t compute, int32_t memory, std::vector<uint8_t> starts) {
  MigProfile out;
  out.name = std::move(name);
  out.compute_slices = compute;
  out.memory_slices = memory;
  out.starts = std::move(starts);
  return out;
}

// An A100's, from 0 to 6 the IDs 19, 14, 9, 5, 0, 15 and 20.
enum : uint8_t { k1g, k2g, k3g, k4g, k7g, k1gDouble, k1gMedia };
std::vector<MigProfile> a100_profiles() {
  return {profile("1g.5gb", 1, 1, {0, 1, 2, 3, 4, 5, 6}),
          profile("2g.10gb", 2, 2, {0, 2, 4}),
          profile("3g.20gb", 3, 4, {0, 4}),
          profile("4g.20gb", 4, 4, {0}),
          profile("7g.40gb", 7, 8, {0}),
          profile("1g.10gb", 1, 2, {0, 2, 4, 6}),
          profile("1g.5gb+me", 1, 1, {0, 1, 2, 3, 4, 5, 6})};
}
MigGeometry first_profiles(size_t count) {
  std::vector<MigProfile> profiles = a100_profiles();
  profiles.resize(count);
  return MigGeometry(std::move(profiles), 8);
}

// Where the driver puts them, asked for one by one; up to the first without room.
std::vector<int> starts(const MigGeometry& geometry, std::vector<uint8_t> asked) {
  std::vector<int> out;
  MigGeometry::Slices taken = 0;
  for (uint8_t p : asked) {
    uint8_t start = geometry.start(p, taken);
    if (start == MigGeometry::kNowhere) return out;
    out.push_back(start);
    taken |= geometry.slices({p, start});
  }
  return out;
}

std::vector<uint8_t> profiles_of(const MigLayout& layout) {
  std::vector<uint8_t> out;
  for (MigInstance i : layout) out.push_back(i.profile);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

TEST_CASE("reachable and maximal layouts of an 8-slice GPU are as many as the rules allow") {
  auto count = [](const MigGeometry& geometry) {
    std::vector<MigLayout> all = geometry.reachable();
    size_t maximal = 0;
    std::set<std::vector<uint8_t>> multisets;
    for (const MigLayout& layout : all) {
      if (!geometry.is_maximal(layout)) continue;
      ++maximal;
      multisets.insert(profiles_of(layout));
    }
    return std::vector{all.size(), maximal, multisets.size()};
  };
  std::vector<size_t> plain = count(first_profiles(5)), with_double = count(first_profiles(6));
  CHECK(plain[0] == 298);
  CHECK(plain[1] == 19);
  CHECK(with_double == std::vector<size_t>{723, 78, 38});
}

TEST_CASE("instances stand where NVIDIA's driver puts them") {
  // The MIG User Guide's examples on an A100, by the instance ids and placements that it prints.
  for (size_t profiles : {size_t{5}, size_t{7}}) {
    MigGeometry a100 = first_profiles(profiles);
    CHECK(starts(a100, {k1g, k1g, k1g, k1g, k1g, k1g, k1g, k1g}) == std::vector{6, 4, 5, 0, 1, 2, 3});
    CHECK(starts(a100, {k1g, k2g, k4g}) == std::vector{6, 4, 0});
    CHECK(starts(a100, {k3g, k1g, k2g, k1g}) == std::vector{4, 0, 2, 1});
    CHECK(starts(a100, {k1g, k1g, k2g, k3g}) == std::vector{6, 4, 0});  // the 3g must be asked for first
    CHECK(starts(a100, {k3g, k3g, k1g}) == std::vector{4, 0});
  }
  CHECK(starts(first_profiles(7), {k1gMedia, k1gMedia}) == std::vector{6});
}

TEST_CASE("a set of profiles is laid out in whatever order works") {
  MigGeometry a100 = first_profiles(7);
  std::set<std::vector<uint8_t>> wanted;
  for (const MigLayout& layout : a100.reachable()) wanted.insert(profiles_of(layout));
  for (const std::vector<uint8_t>& profiles : wanted) {
    CAPTURE(profiles);
    std::optional<MigLayout> layout = a100.lay_out(profiles);
    REQUIRE(layout);
    CHECK(profiles_of(*layout) == profiles);
    CHECK(a100.conflict(*layout) == "");
    CHECK(a100.conflict(profiles) == "");
  }
  // And nothing that no layout has: every set of at most eight of three profiles.
  for (uint8_t ones = 0; ones <= 8; ++ones)
    for (uint8_t threes = 0; threes <= 3; ++threes) {
      std::vector<uint8_t> profiles(ones, k1g);
      profiles.insert(profiles.end(), threes, k3g);
      CHECK(a100.lay_out(profiles).has_value() == wanted.contains(profiles));
    }
}

TEST_CASE("an impossible layout names the slices that conflict") {
  MigGeometry a100 = first_profiles(7);
  CHECK(a100.conflict(MigLayout{{k4g, 0}, {k2g, 2}}) ==
        "4g.20gb at memory slices 0 to 3 and 2g.10gb at memory slices 2 to 3 share memory slices 2 to 3");
  CHECK(a100.conflict(MigLayout{{k2g, 6}}) == "2g.10gb cannot begin at memory slice 6, allowed: 0, 2, 4");
  CHECK(a100.conflict(MigLayout{{k1gMedia, 0}, {k1gMedia, 1}}) ==
        "1g.5gb+me at memory slice 0 and 1g.5gb+me at memory slice 1 share the media extension");
  CHECK(a100.conflict(std::vector<uint8_t>{k3g, k4g, k2g}) ==
        "no room for 2g.10gb; at slice 0 it shares memory slices 0 to 1 with 4g.20gb at memory slices 0 to 3; "
        "at slice 2 it shares memory slices 2 to 3 with 4g.20gb at memory slices 0 to 3; "
        "at slice 4 it shares memory slices 4 to 5 with 3g.20gb at memory slices 4 to 7");
  CHECK_THAT(a100.conflict(std::vector<uint8_t>(8, k1g)), Contains("no room for 1g.5gb; at slice 0 it shares memory"));
}

TEST_CASE("the best fit leaves whole GPUs whole") {
  MigGeometry a100 = first_profiles(7);
  // Empty; a 3g at 4; full but for slice 6.
  std::vector<MigGeometry::Slices> gpus{0, 0xf0, 0xbf};
  CHECK(a100.best_fit(k1g, gpus) == 2);
  CHECK(a100.best_fit(k3g, gpus) == 1);
  CHECK(a100.best_fit(k7g, gpus) == 0);
  gpus[0] = 1;
  CHECK(a100.best_fit(k7g, gpus) == gpus.size());
}
