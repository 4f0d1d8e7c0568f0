#include "run/variant.hpp"

#include "core/hash.hpp"
#include "core/math.hpp"

#include <algorithm>
#include <cmath>

namespace kisim {

namespace {

double between(Stream& stream, const VariationRange::Range& range) {
  return range.low + (range.high - range.low) * stream.uniform();
}

double factor_between(Stream& stream, const VariationRange::Range& range) {
  if (range.low == range.high) return stream.uniform(), range.low;
  return range.low * math::exp(stream.uniform() * math::log(range.high / range.low));
}

}  // namespace

Variation VariationRange::draw(uint64_t seed, uint64_t episode) const {
  Stream stream(seed, hash_combine(hash_text("Variation"), episode), Purpose::Variation);
  Variation v;
  v.load = factor_between(stream, load);
  v.service = factor_between(stream, service);
  v.startup = factor_between(stream, startup);
  v.failures = factor_between(stream, failures);
  v.metrics_delay = Duration::seconds(between(stream, metrics_delay));
  v.metrics_noise = between(stream, metrics_noise);
  v.metrics_dropout = between(stream, metrics_dropout);
  return v;
}

ModelVariant::ModelVariant(const Model& model)
    : model_(std::make_shared<Model>(model)), sources_(model.traffic.sources), metrics_(model.kube.metrics) {}

void ModelVariant::set(uint64_t seed, const Variation& variation) {
  Model& m = *model_;
  for (size_t i = 0; i < sources_.size(); ++i) m.traffic.sources[i] = scaled(sources_[i], variation.load);
  for (ServingModelModel& serving : m.serving.models) serving.slowdown = variation.service;
  for (KubeWorkload& workload : m.kube.workloads) workload.startup.slowdown = variation.startup;
  for (Fault& fault : m.kube.faults) fault.rate = variation.failures;
  m.kube.metrics = metrics_;
  m.kube.metrics.delay = metrics_.delay + variation.metrics_delay;
  m.kube.metrics.noise = std::hypot(metrics_.noise, variation.metrics_noise);
  m.kube.metrics.dropout = 1 - (1 - metrics_.dropout) * (1 - variation.metrics_dropout);
  m.set_seed(seed);
}

SourceModel ModelVariant::scaled(const SourceModel& source, double load) const {
  SourceModel out = source;
  if (load == 1) return out;
  auto users = [load](int32_t n) { return static_cast<int32_t>(std::lround(load * n)); };
  out.rate *= load;
  out.peak *= load;
  out.rate_scale *= load;
  out.users = users(source.users);
  for (UserStep& step : out.steps) step.users = users(step.users);
  for (RateStep& step : out.rates) step.rate *= load;
  if (out.drawn) *out.drawn = {out.drawn->min * load, out.drawn->max * load};
  return out;
}

}  // namespace kisim
