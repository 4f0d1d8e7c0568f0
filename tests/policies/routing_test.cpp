#include "core/statistics.hpp"
#include "policy/registry.hpp"
#include "policy/router.hpp"

#include <catch2/catch.hpp>

#include <numeric>

using namespace kisim;

namespace {

std::unique_ptr<const Router> make(const std::string& name) {
  const auto* entry = Registry<Router>::instance().find(name);
  REQUIRE(entry != nullptr);
  return entry->make({});
}

// How often each endpoint is picked when loads stay as they are.
std::vector<uint64_t> picks(const std::string& name, const std::vector<uint32_t>& outstanding, int n) {
  auto router = make(name);
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  std::vector<uint64_t> counts(outstanding.size());
  for (int i = 0; i < n; ++i) ++counts.at(router->pick({outstanding}, memory, stream));
  return counts;
}

}  // namespace

TEST_CASE("every router can be found and picks the only endpoint", "[routing]") {
  for (const char* name : {"random", "round-robin", "least-requests", "power-of-two"}) {
    CHECK(picks(name, {9}, 10) == std::vector<uint64_t>{10});
    CHECK_FALSE(Registry<Router>::instance().find(name)->doc.empty());
  }
}

TEST_CASE("random picks each endpoint equally often, whatever its load", "[routing]") {
  auto counts = picks("random", {0, 5, 100, 7, 1, 3, 2}, 70000);
  CHECK(chi_square_deviate(counts, std::vector<double>(7, 10000)) < kNormalLimit);
}

TEST_CASE("round-robin takes turns, also when endpoints come and go", "[routing]") {
  auto router = make("round-robin");
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  std::vector<uint32_t> loads(3);
  std::vector<uint32_t> order;
  for (int i = 0; i < 7; ++i) order.push_back(router->pick({loads}, memory, stream));
  CHECK(order == std::vector<uint32_t>{0, 1, 2, 0, 1, 2, 0});
  loads.resize(1);
  CHECK(router->pick({loads}, memory, stream) == 0);
  loads.resize(4);
  CHECK(router->pick({loads}, memory, stream) == 1);
}

TEST_CASE("least-requests picks a minimum and spreads ties", "[routing]") {
  CHECK(picks("least-requests", {3, 1, 2}, 10) == std::vector<uint64_t>{0, 10, 0});
  CHECK(picks("least-requests", {4, 1, 7, 1, 1}, 300) == std::vector<uint64_t>{0, 100, 0, 100, 100});
  CHECK(picks("least-requests", std::vector<uint32_t>(64), 6400) == std::vector<uint64_t>(64, 100));

  // Every choice is a minimum, with loads that change and endpoints that come and go.
  auto router = make("least-requests");
  RouterMemory memory;
  Stream stream(3, 4, Purpose::Routing);
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint32_t> loads(1 + stream.below(70));
    for (uint32_t& load : loads) load = stream.below(20);
    uint32_t choice = router->pick({loads}, memory, stream);
    REQUIRE(loads.at(choice) == *std::min_element(loads.begin(), loads.end()));
  }
}

TEST_CASE("power-of-two picks the less loaded of two different endpoints", "[routing]") {
  // Endpoint i of n wins against those with more load: (n - 1 - i) of the n (n - 1)/2 pairs.
  auto counts = picks("power-of-two", {0, 1, 2, 3}, 60000);
  CHECK(chi_square_deviate({counts[0], counts[1], counts[2]}, {30000, 20000, 10000}) < kNormalLimit);
  CHECK(counts[3] == 0);
  auto even = picks("power-of-two", std::vector<uint32_t>(5), 50000);
  CHECK(chi_square_deviate(even, std::vector<double>(5, 10000)) < kNormalLimit);
}

TEST_CASE("routers keep no memory of their own", "[routing]") {
  std::vector<uint32_t> loads{2, 2, 2, 2};
  for (const char* name : {"random", "round-robin", "least-requests", "power-of-two"}) {
    auto router = make(name);
    RouterMemory memory;
    Stream stream(1, 2, Purpose::Routing);
    for (int i = 0; i < 3; ++i) router->pick({loads}, memory, stream);
    RouterMemory copy = memory;
    Stream same_stream = stream;
    for (int i = 0; i < 50; ++i)
      REQUIRE(router->pick({loads}, memory, stream) == router->pick({loads}, copy, same_stream));
  }
}
