#include "core/hash.hpp"
#include "core/statistics.hpp"
#include "policy/registry.hpp"
#include "policy/router.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <numeric>

using namespace kisim;

namespace {

std::unique_ptr<const Router> make(const std::string& name, const std::map<std::string, std::string>& given = {}) {
  const auto* entry = Registry<Router>::instance().find(name);
  REQUIRE(entry != nullptr);
  Params params;
  REQUIRE_FALSE(fill_params(entry->params, given, params));
  return entry->make(params);
}

// Endpoints that show what a test says.
struct Shown final : EndpointView {
  std::vector<int64_t> cached, prefill, kv;
  std::vector<double> usage;
  std::vector<uint32_t> queue;
  std::vector<uint64_t> names;

  explicit Shown(size_t n = 1) : cached(n), prefill(n), kv(n), usage(n), queue(n) {
    for (size_t e = 0; e < n; ++e) names.push_back(hash_combine(77, e));
  }
  int64_t cached_tokens(uint32_t e) const override { return cached.at(e); }
  int64_t prefill_tokens(uint32_t e) const override { return prefill.at(e); }
  int64_t kv_tokens(uint32_t e) const override { return kv.at(e); }
  double kv_usage(uint32_t e) const override { return usage.at(e); }
  uint32_t waiting(uint32_t e) const override { return queue.at(e); }
  uint64_t name(uint32_t e) const override { return names.at(e); }
};

const std::vector<std::string> kRouters{"random",       "round-robin",    "least-requests",  "power-of-two",
                                        "prefix-aware", "kv-usage-aware", "session-affinity"};

// How often each endpoint is picked when loads stay as they are.
std::vector<uint64_t> picks(const std::string& name, const std::vector<uint32_t>& outstanding, int n) {
  auto router = make(name);
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  std::vector<uint64_t> counts(outstanding.size());
  const Shown shown(outstanding.size());
  for (int i = 0; i < n; ++i) ++counts.at(router->pick({outstanding, &shown}, memory, stream));
  return counts;
}

}  // namespace

TEST_CASE("every router can be found and picks the only endpoint", "[routing]") {
  for (const std::string& name : kRouters) {
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
  const Shown shown(loads.size());
  for (const std::string& name : kRouters) {
    auto router = make(name);
    RouterMemory memory;
    Stream stream(1, 2, Purpose::Routing);
    for (int i = 0; i < 3; ++i) router->pick({loads, &shown}, memory, stream);
    RouterMemory copy = memory;
    Stream same_stream = stream;
    for (int i = 0; i < 50; ++i)
      REQUIRE(router->pick({loads, &shown}, memory, stream) == router->pick({loads, &shown}, copy, same_stream));
  }
}

TEST_CASE("prefix-aware weighs tokens to compute against tokens to hold", "[routing]") {
  const std::vector<uint32_t> loads(3);
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  Shown shown(3);
  shown.cached = {0, 800, 0};
  shown.kv = {0, 700, 900};
  auto router = make("prefix-aware");
  CHECK(router->pick({loads, &shown, 1000}, memory, stream) == 1);  // 1000, 200 + 700, 1000 + 900
  shown.kv[1] = 801;
  CHECK(router->pick({loads, &shown, 1000}, memory, stream) == 0);
  shown.prefill[0] = 2;  // somebody is being computed there
  CHECK(router->pick({loads, &shown, 1000}, memory, stream) == 1);
  CHECK(make("prefix-aware", {{"overlapScoreWeight", "0"}})->pick({loads, &shown, 1000}, memory, stream) == 0);
  CHECK(picks("prefix-aware", {0, 0, 0}, 300) == std::vector<uint64_t>(3, 100));
}

TEST_CASE("kv-usage-aware adds free memory and the place between the longest and the shortest queue", "[routing]") {
  const std::vector<uint32_t> loads(3);
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  Shown shown(3);
  shown.usage = {0.5, 0.2, 0.9};
  shown.queue = {0, 4, 0};
  CHECK(make("kv-usage-aware")->pick({loads, &shown}, memory, stream) == 0);  // 0.5 + 1, 0.8 + 0, 0.1 + 1
  CHECK(make("kv-usage-aware", {{"queueWeight", "0"}})->pick({loads, &shown}, memory, stream) == 1);
  CHECK(make("kv-usage-aware", {{"queueWeight", "0.2"}})->pick({loads, &shown}, memory, stream) == 1);
}

TEST_CASE("session-affinity: a session stays, and only those of an endpoint that goes move", "[routing]") {
  auto router = make("session-affinity");
  RouterMemory memory;
  Stream stream(1, 2, Purpose::Routing);
  Shown all(5), fewer(5);
  fewer.names.erase(fewer.names.begin() + 2);
  const std::vector<uint32_t> five(5), four(4);
  std::vector<uint64_t> counts(5);
  for (uint64_t session = 0; session < 50000; ++session) {
    const uint32_t before = router->pick({five, &all, 100, session}, memory, stream);
    const uint32_t after = router->pick({four, &fewer, 100, session}, memory, stream);
    ++counts[before];
    if (before != 2) REQUIRE(all.names[before] == fewer.names[after]);
  }
  CHECK(chi_square_deviate(counts, std::vector<double>(5, 10000)) < kNormalLimit);

  // With a bound nobody has more than it allows, whoever is asked for.
  auto bounded = make("session-affinity", {{"maxLoad", "1.25"}});
  std::vector<uint32_t> loads(5);
  for (int i = 1; i <= 1000; ++i) {
    ++loads[bounded->pick({loads, &all, 100, 7}, memory, stream)];
    REQUIRE(*std::max_element(loads.begin(), loads.end()) <= 1.25 * i / 5 + 1);
  }
  CHECK_THROWS_AS(make("session-affinity", {{"maxLoad", "0.5"}}), InputError);
}
