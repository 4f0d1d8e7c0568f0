#pragma once
// What `kisim bench` runs: every BENCHMARK of this folder, linked into the program as objects.

#include <string>
#include <vector>

namespace kisim {

// Runs the benchmarks with Google Benchmark's own flags ("--benchmark_filter=…", "--benchmark_format=json").
// Returns 0, or 2 where a flag is unknown.
int run_benchmarks(const std::vector<std::string>& args);

}  // namespace kisim
