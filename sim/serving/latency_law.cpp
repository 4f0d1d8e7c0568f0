#include "serving/latency_law.hpp"

#include <algorithm>

namespace kisim {

std::vector<LatencyPoint> isotonic(std::vector<LatencyPoint> points) {
  std::stable_sort(points.begin(), points.end(),
                   [](const LatencyPoint& a, const LatencyPoint& b) { return a.samples < b.samples; });
  struct Block {
    double seconds, weight;
    std::vector<double> sizes;  // ascending
  };
  std::vector<Block> blocks;
  for (const LatencyPoint& p : points) {
    blocks.push_back({p.seconds, 1, {p.samples}});
    auto violated = [&] {
      const Block &last = blocks.back(), &before = blocks[blocks.size() - 2];
      return before.seconds > last.seconds || before.sizes.back() == last.sizes.front();
    };
    while (blocks.size() > 1 && violated()) {
      Block last = std::move(blocks.back());
      blocks.pop_back();
      Block& into = blocks.back();
      into.seconds = (into.seconds * into.weight + last.seconds * last.weight) / (into.weight + last.weight);
      into.weight += last.weight;
      for (double size : last.sizes)
        if (size != into.sizes.back()) into.sizes.push_back(size);
    }
  }
  std::vector<LatencyPoint> out;
  for (const Block& block : blocks)
    for (double size : block.sizes) out.push_back({size, block.seconds});
  return out;
}

double LatencyLaw::from_table(double samples) const {
  if (samples <= table.front().samples || table.size() == 1) return table.front().seconds;
  auto above = std::lower_bound(table.begin(), table.end() - 1, samples,
                                [](const LatencyPoint& p, double n) { return p.samples < n; });
  const LatencyPoint &low = above[-1], &high = above[0];
  return low.seconds + (high.seconds - low.seconds) * (samples - low.samples) / (high.samples - low.samples);
}

double LatencyLaw::seconds(int64_t samples, Stream& noise, double slowdown) const {
  auto n = static_cast<double>(samples);
  double whole = 0;
  if (table.empty()) {
    whole = base.draw(noise);
    whole += per_sample.draw(noise) * n;
  } else {
    whole = from_table(n) * factor.draw(noise);
  }
  if (slowdown == 1) return whole;
  double fixed = std::min(host, whole);
  return fixed + (whole - fixed) * slowdown;
}

double LatencyLaw::slowdown(const Accelerator& accelerator) const {
  // Shares in thousandths are a promise of memory; nothing keeps their pods to a part of the SMs.
  if (accelerator.gpus == 0 || accelerator.sharing == GpuSharing::Fraction) return accelerator.slowdown;
  return accelerator.slowdown *
         std::max({1.0, compute / accelerator.compute_share, bandwidth / accelerator.bandwidth_share});
}

}  // namespace kisim
