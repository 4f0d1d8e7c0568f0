// MIG placement: 10,000 requests for the profiles of an H100 80GB on 1,000 GPUs, each by the best fit over all of them;
// instances go again so that the GPUs stay partly taken. The yardstick tries every start of every GPU on bits.

#include "core/random.hpp"
#include "interleaved.hpp"
#include "io/input.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>

namespace kisim {
namespace {

constexpr size_t kGpus = 1000, kRequests = 10000;

struct Held {
  size_t gpu;
  MigInstance instance;
};

// Calls place(profile, gpus), which returns a GPU and what stands there, or kGpus; a third of the requests ends one.
template <class Place>
uint64_t serve(const MigGeometry& h100, Place place) {
  std::vector<MigGeometry::Slices> gpus(kGpus, 0);
  std::vector<Held> held;
  Stream stream(42, 0, Purpose::Fault);
  uint64_t placed = 0;
  for (size_t i = 0; i < kRequests; ++i) {
    if (!held.empty() && stream.uniform() < 1.0 / 3) {
      Held gone = held[static_cast<size_t>(stream.uniform() * static_cast<double>(held.size()))];
      std::erase_if(held, [&](const Held& h) { return h.gpu == gone.gpu && h.instance == gone.instance; });
      gpus[gone.gpu] &= static_cast<MigGeometry::Slices>(~h100.slices(gone.instance));
    }
    auto profile = static_cast<uint8_t>(stream.uniform() * static_cast<double>(h100.profiles().size()));
    Held got = place(profile, gpus);
    if (got.gpu == kGpus) continue;
    gpus[got.gpu] |= h100.slices(got.instance);
    held.push_back(got);
    ++placed;
  }
  return placed;
}

void mig_placement(benchmark::State& state) {
  const std::vector<GpuModel> catalogue = read_gpu_catalogue();
  const MigGeometry& h100 =
      std::find_if(catalogue.begin(), catalogue.end(), [](const GpuModel& g) { return g.name == "h100-80gb"; })->mig;
  uint64_t placed = 0;
  Samples ours, yardstick;
  for (auto _ : state) {
    ours.add(time_of([&] {
      placed = serve(h100, [&](uint8_t profile, std::span<const MigGeometry::Slices> gpus) {
        size_t gpu = h100.best_fit(profile, gpus);
        return gpu == kGpus ? Held{kGpus, {}} : Held{gpu, {profile, h100.start(profile, gpus[gpu])}};
      });
    }));
    yardstick.add(time_of([&] {
      benchmark::DoNotOptimize(serve(h100, [&](uint8_t profile, std::span<const MigGeometry::Slices> gpus) {
        for (size_t gpu = 0; gpu < gpus.size(); ++gpu)
          for (uint8_t start : h100.profiles()[profile].starts)
            if ((h100.slices({profile, start}) & gpus[gpu]) == 0) return Held{gpu, {profile, start}};
        return Held{kGpus, {}};
      }));
    }));
  }
  state.counters["seconds"] = ours.median();
  state.counters["placed"] = static_cast<double>(placed);
  state.counters["ratio"] = yardstick.median() / ours.median();
}
BENCHMARK(mig_placement)->Name("mig/10000_requests_1000_gpus")->Iterations(5)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace kisim
