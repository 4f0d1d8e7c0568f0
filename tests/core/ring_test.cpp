#include "core/ring.hpp"

#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <memory>

using namespace kisim;

TEST_CASE("a ring is a queue", "[ring]") {
  Ring<int> ring;
  std::deque<int> reference;
  Stream stream(1, 1, Purpose::Policy);
  for (int i = 0; i < 100000; ++i) {
    if (reference.empty() || stream.below(100) < (i % 2000 < 1000 ? 60u : 40u)) {
      ring.push_back(i);
      reference.push_back(i);
    } else {
      ring.pop_front();
      reference.pop_front();
    }
    REQUIRE(ring.size() == reference.size());
    REQUIRE(ring.empty() == reference.empty());
    if (reference.empty()) continue;
    REQUIRE(ring.front() == reference.front());
    REQUIRE(ring.back() == reference.back());
    size_t middle = reference.size() / 2;
    REQUIRE(ring[middle] == reference[middle]);
  }
  ring.clear();
  CHECK(ring.empty());
  ring.push_back(5);
  CHECK(ring.front() == 5);
}

TEST_CASE("a ring holds what can only be moved", "[ring]") {
  Ring<std::unique_ptr<int>> ring;
  for (int i = 0; i < 20; ++i) ring.push_back(std::make_unique<int>(i));
  for (int i = 0; i < 20; ++i) {
    CHECK(*ring.front() == i);
    ring.pop_front();
  }
}
