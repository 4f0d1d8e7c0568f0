#include "kube/probes.hpp"

namespace kisim {

namespace {

// `count` periods later; the end of the clock if that is beyond any run.
Time later(Time from, Duration period, int64_t count) {
  if (from == Time::max()) return from;
  constexpr int64_t kLongest = static_cast<int64_t>(Duration::kLongestNs);
  return count > kLongest / period.ns ? Time::max() : from + period * count;
}

// The first probe at or after `t`.
Time probe_at(const Probe& probe, Time start, Time t) {
  Time first = start + probe.initial_delay;
  if (t == Time::max()) return t;
  if (t <= first) return first;
  return later(first, probe.period, ((t - first).ns + probe.period.ns - 1) / probe.period.ns);
}

Time nth_failure(const Probe& probe, Time start) {
  return later(start + probe.initial_delay, probe.period, probe.failure_threshold - 1);
}

}  // namespace

std::string_view to_string(ProbeKind kind) { return kind == ProbeKind::Startup ? "Startup" : "Liveness"; }

std::optional<ProbeFailure> first_probe_failure(const Container& container, Time start, Time up) {
  bool gated = container.startup_probe.has_value();
  const std::optional<Probe>& probe = gated ? container.startup_probe : container.liveness_probe;
  if (!probe) return std::nullopt;
  Time at = nth_failure(*probe, start);
  if (at >= up || at == Time::max()) return std::nullopt;
  return ProbeFailure{at, gated ? ProbeKind::Startup : ProbeKind::Liveness};
}

Time ready_at(const Container& container, Time start, Time up) {
  Time started = container.startup_probe ? probe_at(*container.startup_probe, start, up) : up;
  if (!container.readiness_probe || started == Time::max()) return started;
  const Probe& probe = *container.readiness_probe;
  bool asked_at_once = container.startup_probe && started >= start + probe.initial_delay;
  if (!asked_at_once) return later(probe_at(probe, start, started), probe.period, probe.success_threshold - 1);
  if (probe.success_threshold == 1) return started;
  return later(probe_at(probe, start, started + 1_ns), probe.period, probe.success_threshold - 2);
}

}  // namespace kisim
