#include "core/parallel.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace kisim;

TEST_CASE("parallel_for: every index once, on any number of threads") {
  for (size_t threads : {0, 1, 3, 50}) {
    std::vector<std::atomic<int>> calls(20);
    parallel_for(calls.size(), threads, [&](size_t i) { ++calls[i]; });
    for (const std::atomic<int>& n : calls) CHECK(n == 1);
  }
  parallel_for(0, 4, [](size_t) { FAIL("there is no index"); });
}

TEST_CASE("parallel_for: as many at a time as there are threads") {
  std::latch all_there(3);
  parallel_for(3, 3, [&](size_t) { all_there.arrive_and_wait(); });
  CHECK(all_there.try_wait());
}

TEST_CASE("parallel_for: the first exception by index, and nothing new after it") {
  for (size_t threads : {1, 2, 8}) {
    std::atomic<size_t> begun = 0;
    std::latch both(2);
    auto body = [&](size_t i) {
      ++begun;
      // Of eight threads one is at 3 while another fails at 5.
      if (threads == 8 && i == 3) both.arrive_and_wait();
      if (threads == 8 && i == 5) both.count_down();
      if (i == 3 || i == 5) throw std::runtime_error(std::to_string(i));
      if (i > 5) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    CHECK_THROWS_WITH(parallel_for(1000, threads, body), "3");
    CHECK(begun < 900);
  }
}
