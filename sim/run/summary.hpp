#pragma once
// The result of a run, field by field as `kisim run -o json` prints it. Durations in seconds, sizes in bytes.
// An empty optional is JSON null: not applicable. 0 is a measured zero.

#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace kisim {

struct LatencySummary {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};

struct Summary {
  uint64_t signature = 0;
  std::string scenario;
  uint64_t seed = 0;
  double simulated_s = 0;
  uint64_t events = 0;
  double wall_s = 0, events_per_s = 0;  // with peak_rss_bytes and signature: not part of the signature
  uint64_t peak_rss_bytes = 0;
  bool interrupted = false;  // printed only when true

  // Of the whole run, warm-up included: arrived = completed + failed + dropped + timed_out + in_flight.
  struct Requests {
    uint64_t arrived = 0, admitted = 0, completed = 0, failed = 0, dropped = 0, timed_out = 0, in_flight = 0,
             retried = 0;
  } requests;
  // Over requests completed after warm-up; empty when there are none (or, for ttft and tpot, no LLM).
  struct Latency {
    std::optional<LatencySummary> e2e, queue, ttft, tpot;
  } latency_s;
  struct Tokens {
    uint64_t prompt = 0, generated = 0;
    uint64_t cached = 0;  // of the prompts: found in a prefix cache, or in memory behind it
    double per_s = 0;
  };
  std::optional<Tokens> tokens;  // after warm-up; empty without an LLM
  struct Slo {
    double attainment = 0, goodput_per_s = 0;
  };
  std::optional<Slo> slo;
  struct Gpu {
    double hours_allocated = 0, hours_busy = 0, utilization = 0;
  };
  std::optional<Gpu> gpu;  // after warm-up; empty without GPUs
  std::optional<double> energy_kwh, cost, carbon_kg;
  std::optional<double> slo_penalty;  // of the requests that missed their SLO; none: nobody says what one costs
  struct Replicas {
    double mean = 0;
    int64_t max = 0;
    uint64_t scale_ups = 0, scale_downs = 0;
  };
  std::map<std::string, Replicas> replicas;  // by workload, "default/llama"
  struct Pods {
    uint64_t scheduled = 0;
    int64_t pending_max = 0;
    uint64_t preempted = 0, evicted = 0;
  } pods;
  // Objects, ready or not; after warm-up.
  struct Nodes {
    double mean = 0;
    int64_t max = 0;
    double hours = 0;
  } nodes;
  std::map<std::string, uint64_t> decisions;  // reason -> count
  std::vector<std::string> warnings;

  // Sources that missed their SLO's target, in words. Follows from the rest: neither printed with it nor signed.
  std::vector<std::string> missed_slo;
};

// Calls visit(name, field) for each field of a part of the summary, in the order and under the names of
// `kisim run -o json`. Signature, JSON and YAML all come from these declarations, so that none can forget a field.
template <class T, class Part>
concept PartOf = std::same_as<std::remove_const_t<T>, Part>;

template <PartOf<LatencySummary> T, class Visit>
void for_each_field(T& l, Visit&& visit) {
  visit("mean", l.mean);
  visit("p50", l.p50);
  visit("p90", l.p90);
  visit("p95", l.p95);
  visit("p99", l.p99);
  visit("max", l.max);
}

template <PartOf<Summary::Requests> T, class Visit>
void for_each_field(T& r, Visit&& visit) {
  visit("arrived", r.arrived);
  visit("admitted", r.admitted);
  visit("completed", r.completed);
  visit("failed", r.failed);
  visit("dropped", r.dropped);
  visit("timed_out", r.timed_out);
  visit("in_flight", r.in_flight);
  visit("retried", r.retried);
}

template <PartOf<Summary::Latency> T, class Visit>
void for_each_field(T& l, Visit&& visit) {
  visit("e2e", l.e2e);
  visit("queue", l.queue);
  visit("ttft", l.ttft);
  visit("tpot", l.tpot);
}

template <PartOf<Summary::Tokens> T, class Visit>
void for_each_field(T& t, Visit&& visit) {
  visit("prompt", t.prompt);
  visit("cached", t.cached);
  visit("generated", t.generated);
  visit("per_s", t.per_s);
}

template <PartOf<Summary::Slo> T, class Visit>
void for_each_field(T& s, Visit&& visit) {
  visit("attainment", s.attainment);
  visit("goodput_per_s", s.goodput_per_s);
}

template <PartOf<Summary::Gpu> T, class Visit>
void for_each_field(T& g, Visit&& visit) {
  visit("hours_allocated", g.hours_allocated);
  visit("hours_busy", g.hours_busy);
  visit("utilization", g.utilization);
}

template <PartOf<Summary::Replicas> T, class Visit>
void for_each_field(T& r, Visit&& visit) {
  visit("mean", r.mean);
  visit("max", r.max);
  visit("scale_ups", r.scale_ups);
  visit("scale_downs", r.scale_downs);
}

template <PartOf<Summary::Pods> T, class Visit>
void for_each_field(T& p, Visit&& visit) {
  visit("scheduled", p.scheduled);
  visit("pending_max", p.pending_max);
  visit("preempted", p.preempted);
  visit("evicted", p.evicted);
}

template <PartOf<Summary::Nodes> T, class Visit>
void for_each_field(T& n, Visit&& visit) {
  visit("mean", n.mean);
  visit("max", n.max);
  visit("hours", n.hours);
}

template <PartOf<Summary> T, class Visit>
void for_each_field(T& s, Visit&& visit) {
  visit("signature", s.signature);
  visit("scenario", s.scenario);
  visit("seed", s.seed);
  visit("simulated_s", s.simulated_s);
  visit("events", s.events);
  visit("wall_s", s.wall_s);
  visit("events_per_s", s.events_per_s);
  visit("peak_rss_bytes", s.peak_rss_bytes);
  visit("interrupted", s.interrupted);
  visit("requests", s.requests);
  visit("latency_s", s.latency_s);
  visit("tokens", s.tokens);
  visit("slo", s.slo);
  visit("gpu", s.gpu);
  visit("energy_kwh", s.energy_kwh);
  visit("cost", s.cost);
  visit("carbon_kg", s.carbon_kg);
  visit("slo_penalty", s.slo_penalty);
  visit("replicas", s.replicas);
  visit("pods", s.pods);
  visit("nodes", s.nodes);
  visit("decisions", s.decisions);
  visit("warnings", s.warnings);
}

// One line of text per summary, the same for equal runs: every field but signature, wall_s, events_per_s and
// peak_rss_bytes.
std::string canonical_text(const Summary& summary);

// The signature of a run: a hash of its event stream (Engine::signature()) and of canonical_text(). Sign last.
uint64_t sign(const Summary& summary, uint64_t events);

}  // namespace kisim
