#pragma once
// When the kubelet's probes of a container succeed and when they give it up (pkg/kubelet/prober/worker.go), computed
// without asking: a server that is up answers, one that is not refuses the connection at once, so that no probe runs
// into its timeout.
//
// Probes of one kind come at initialDelaySeconds after the container's start and every periodSeconds from there; the
// jitter of a kubelet's ticker, up to one period, is left out. Liveness and readiness wait for the startup probe; its
// success makes the kubelet ask for readiness at once.

#include "cluster/objects.hpp"

#include <optional>
#include <string_view>

namespace kisim {

enum class ProbeKind : uint8_t { Startup, Liveness };
// "Startup", as in the kubelet's messages.
std::string_view to_string(ProbeKind kind);

struct ProbeFailure {
  Time at;
  ProbeKind kind = ProbeKind::Startup;
};

// `start`: of the container; `up`: from when on its server answers, Time::max(): never.

// The failureThreshold-th failure in a row, for which the container is killed; none: it answers in time.
std::optional<ProbeFailure> first_probe_failure(const Container& container, Time start, Time up);

// When the container is ready: the successThreshold-th success. Time::max() if that is beyond any run. Precondition: no
// probe fails before.
Time ready_at(const Container& container, Time start, Time up);

}  // namespace kisim
