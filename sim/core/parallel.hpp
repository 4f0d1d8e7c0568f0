#pragma once
// Independent jobs side by side.

#include <cstddef>
#include <functional>

namespace kisim {

// 0: as many as there are cores.
size_t thread_count(size_t wanted);

// Calls body(i) for every i below n, on so many threads (0: as many as there are cores), the caller's among them.
// Indices begin in their order. Once one has thrown, no other begins, and those that have begun finish: what is
// rethrown then is the exception of the smallest index that throws at all, whatever the threads.
void parallel_for(size_t n, size_t threads, const std::function<void(size_t)>& body);

}  // namespace kisim
