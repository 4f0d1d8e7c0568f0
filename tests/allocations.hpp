#pragma once
// "No allocation in the steady state" as a unit test: test programs that include this count every operator new.

#include <cstdint>

namespace kisim::test {

// Heap allocations of the program so far, on all threads.
uint64_t allocations();

}  // namespace kisim::test
