#include "core/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace kisim {

size_t thread_count(size_t wanted) { return wanted > 0 ? wanted : std::max(1u, std::thread::hardware_concurrency()); }

void parallel_for(size_t n, size_t threads, const std::function<void(size_t)>& body) {
  std::vector<std::exception_ptr> failures(n);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  // An index that was taken is carried out, so that all before one that throws are.
  auto work = [&] {
    while (!failed) {
      const size_t i = next++;
      if (i >= n) return;
      try {
        body(i);
      } catch (...) {
        failures[i] = std::current_exception();
        failed = true;
      }
    }
  };
  {
    std::vector<std::jthread> team;
    for (size_t t = 1; t < std::min(thread_count(threads), n); ++t) team.emplace_back(work);
    work();
  }
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace kisim
