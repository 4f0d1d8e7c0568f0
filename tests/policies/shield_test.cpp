#include "policy/shield.hpp"

#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <numeric>

using namespace kisim;

TEST_CASE("A shield by example", "[shield]") {
  ShieldModel shield{.max_step_up = 2, .max_step_down = 1, .cooldown_up = 30_s, .cooldown_down = 300_s};
  ShieldReason why;
  const Time now = Time{} + 1000_s;
  CHECK(limit_change(shield, 3, 9, now, std::nullopt, why) == 5);
  CHECK(why == "ShieldMaxStep");
  CHECK(limit_change(shield, 3, 0, now, std::nullopt, why) == 2);
  CHECK(limit_change(shield, 3, 4, now, now - 29_s, why) == 3);
  CHECK(why == "ShieldCooldown");
  CHECK(limit_change(shield, 3, 4, now, now - 30_s, why) == 4);
  CHECK(limit_change(shield, 3, 2, now, now - 299_s, why) == 3);
  why = {};
  CHECK(limit_change({}, 3, 90, now, now, why) == 90);
  CHECK(why.empty());

  // The last above its floor gives back first; who shrinks keeps shrinking.
  const std::vector<int32_t> floor{4, 2, 5};
  std::vector<int32_t> wanted{6, 5, 3};
  shield.max_replicas = 12;
  limit_sum(shield, floor, wanted, why);
  CHECK(wanted == std::vector<int32_t>{6, 3, 3});
  CHECK(why == "ShieldMaxReplicas");
}

TEST_CASE("Whom a shield does not ask", "[shield]") {
  const std::vector<Feature> features{{"a", 0, 1}, {"b"}};
  const std::vector<float> low{0.2f, -10}, high{0.4f, 10};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  auto reason = [&](const ShieldModel& shield, std::vector<float> seen) {
    return distrust(shield, features, seen, low, high);
  };
  CHECK(reason({}, {0.9f, 1000}) == "");
  CHECK(reason({}, {nan, 0}) == "ShieldNotANumber");
  CHECK(reason({}, {0, std::numeric_limits<float>::infinity()}) == "ShieldNotANumber");
  CHECK(reason({}, {1.1f, 0}) == "ShieldOutOfBounds");
  CHECK(reason({.outside = 0.5}, {0.49f, 19}) == "");
  CHECK(reason({.outside = 0.5}, {0.51f, 0}) == "ShieldOutsideTraining");
  CHECK(reason({.outside = 0.5}, {0.3f, 21}) == "ShieldOutsideTraining");
}

// Whatever a policy asks for, and however often, it stays within the shield.
TEST_CASE("A million random decisions stay within the shield", "[shield]") {
  Stream stream(1, 1, Purpose::Policy);
  for (int run = 0; run < 100; ++run) {
    const ShieldModel shield{.max_step_up = static_cast<int32_t>(stream.below(4)),
                             .max_step_down = static_cast<int32_t>(stream.below(4)),
                             .cooldown_up = 1_s * stream.below(100),
                             .cooldown_down = 1_s * stream.below(400),
                             .max_replicas = static_cast<int32_t>(20 + stream.below(30))};
    std::vector<int32_t> replicas(3, 2), wanted(3);
    std::vector<std::optional<Time>> changed(3);
    Time now;
    for (int step = 0; step < 10000; ++step, now = now + 1_s * (1 + stream.below(30))) {
      ShieldReason why;
      for (size_t i = 0; i < 3; ++i)
        wanted[i] = limit_change(shield, replicas[i], static_cast<int32_t>(stream.below(100)), now, changed[i], why);
      limit_sum(shield, replicas, wanted, why);
      bool held = std::accumulate(wanted.begin(), wanted.end(), 0) <= shield.max_replicas;
      for (size_t i = 0; i < 3; ++i) {
        const int32_t by = wanted[i] - replicas[i];
        if (by > 0 && shield.max_step_up > 0) held &= by <= shield.max_step_up;
        if (by < 0 && shield.max_step_down > 0) held &= -by <= shield.max_step_down;
        if (by != 0 && changed[i]) held &= now - *changed[i] >= (by > 0 ? shield.cooldown_up : shield.cooldown_down);
        if (by != 0) changed[i] = now;
        replicas[i] = wanted[i];
      }
      if (!held) FAIL("run " << run << ", step " << step);
    }
  }
  SUCCEED();
}
