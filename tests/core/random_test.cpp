#include "core/random.hpp"

#include "core/hash.hpp"
#include "core/statistics.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace kisim;
using Block = std::array<uint32_t, 4>;

TEST_CASE("Philox4x32-10 gives the published answers", "[random]") {
  // Known answers of the Random123 distribution.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a stream's address is its seed, entity and purpose", "[random]") {
  std::set<uint64_t> firsts;
  int streams = 0;
  for (uint64_t seed : {0ull, 1ull, 1ull << 40})
    for (uint64_t entity :
         std::vector<uint64_t>{0, 1, 1ull << 32, hash_text("Pod/default/a"), hash_text("Pod/default/b")})
      for (Purpose purpose : {Purpose::Arrivals, Purpose::PromptTokens, Purpose::Patience}) {
        firsts.insert(Stream(seed, entity, purpose).next_u64());
        ++streams;
      }
  CHECK(firsts.size() == static_cast<size_t>(streams));
}

TEST_CASE("draws from one stream do not move another", "[random]") {
  Stream alone(5, hash_text("a"), Purpose::Arrivals), busy(5, hash_text("b"), Purpose::Arrivals);
  Stream beside(5, hash_text("a"), Purpose::Arrivals);
  for (int i = 0; i < 1000; ++i) {
    busy.next_u32();
    REQUIRE(alone.next_u64() == beside.next_u64());
  }
}

TEST_CASE("a copied stream goes on identically", "[random]") {
  Stream stream(5, 1, Purpose::Routing);
  for (int i = 0; i < 7; ++i) stream.next_u32();
  Stream copy = stream;
  for (int i = 0; i < 100; ++i) REQUIRE(copy.next_u32() == stream.next_u32());
}

TEST_CASE("uniform draws fill their interval evenly", "[random]") {
  Stream stream(1, 2, Purpose::Policy);
  std::vector<double> closed, open;
  for (int i = 0; i < 100000; ++i) {
    closed.push_back(stream.uniform());
    open.push_back(stream.uniform_open());
    REQUIRE((closed.back() >= 0 && closed.back() < 1));
    REQUIRE((open.back() > 0 && open.back() < 1));
  }
  CHECK(kolmogorov(closed, [](double x) { return x; }) < kKolmogorovLimit);
  CHECK(kolmogorov(open, [](double x) { return x; }) < kKolmogorovLimit);
}

TEST_CASE("neighbouring streams are not correlated", "[random]") {
  constexpr int kDraws = 100000;
  for (uint64_t entity = 0; entity < 8; ++entity) {
    Stream a(1, entity, Purpose::Policy), b(1, entity + 1, Purpose::Policy);
    double sum = 0;
    for (int i = 0; i < kDraws; ++i) sum += (a.uniform() - 0.5) * (b.uniform() - 0.5);
    // The product has variance 1/144.
    CHECK(std::fabs(sum) * 12 / std::sqrt(kDraws) < kNormalLimit);
  }
}

TEST_CASE("below is unbiased and stays below", "[random]") {
  Stream stream(3, 4, Purpose::SchedulerTie);
  for (uint32_t n : {1u, 2u, 3u, 7u, 64u, 1000u}) {
    std::vector<uint64_t> seen(n);
    for (uint32_t i = 0; i < 1000 * n; ++i) {
      uint32_t draw = stream.below(n);
      REQUIRE(draw < n);
      ++seen[draw];
    }
    if (n > 1) CHECK(chi_square_deviate(seen, std::vector<double>(n, 1000)) < kNormalLimit);
  }
  CHECK(stream.below(0xffffffffu) < 0xffffffffu);
}
