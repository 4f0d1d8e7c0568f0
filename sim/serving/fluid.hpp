#pragma once
// Requests as a flow (detail: fluid): what a replica does with θ of them per second on average, and how its queue
// changes when that is not what comes. Nobody is followed one by one.
//
// Steady state of an LLM engine under Poisson arrivals, by the law of the linear level (ITL = a + b·n; a prompt stalls
// the decoding for S = prefill_base + prefill_per_token·tokens), with D = E[output tokens − 1], ρ = θ E[S]:
//   stall before a prefill   θ E[S²] / (2 (1 − ρ))                                     M/G/1, Pollaczek-Khinchine
//   stall after it           (ρ + θ·stall) E[S] / (1 − ρ): those whom it leaves behind, and who come meanwhile
//   ITL                      (a + K b) / (1 − ρ − θ D b)   processor sharing whose speed depends on n has a product
//                            form, whatever the lengths (Kelly 1979, Reversibility): n is negative binomial, K = 1
//   K                        (1 + 1/(1 − ρ)²) / 2: who comes stalls the others, too, so that n scatters more
//   running n                θ (both stalls + E[S] + D·ITL), with the variance K n / (1 − θ D b / (1 − ρ))
//   capacity C               θ at which n = N, the sequences that maxNumSeqs and the KV cache hold
//   waiting for one of them  P = 1 / (1 + σ Φ(z)/φ(z) (C/θ − 1)), z = (N − n)/σ          after Halfin, Whitt 1981
//                            exponential with the mean (1 + c²)/2 / (C − θ), c² that of D (Allen, Cunneen), not K
//
// Of a batch server: c instances that take what waits, at most B requests, each s(b) seconds. While all are busy m
// requests come between two batches:
//   θ = m·speed / s(m + e^-m),  speed = 1 + overlap (c − 1): who finds nobody waiting begins a batch of his own
//   P(all busy)              as Erlang's loss has it with as many busy instances on average
//   left over by a batch     √v g((B − m)/√v), v = m + m² c²/instances (c² of s): the mean of a reflected Gaussian walk
//                            (Siegmund 1979; Janssen, van Leeuwaarden 2007), g(β) ≈ e^(−1.165 β − 0.2 β²) / (2 β)
//   waiting                  P·(left over + m (1 + c²)/2)
//
// In between (Wang, Tipper, Banerjee, INFOCOM 1996, pointwise stationary fluid flow) x requests leave at the rate θ(x)
// at which x would be the steady mean X(θ): dx/dt = λ − θ(x), by implicit Euler steps, which any step keeps stable:
//   X(θ) + θ Δt = x + λ Δt.
// What waits beyond the steady state of the rate λ is a backlog in order of coming, with the mean age S/backlog; where
// it came evenly its head is 2 S/backlog old, and dS/dt = backlog − θ·2 S/backlog.

#include "cluster/cluster.hpp"
#include "core/engine.hpp"
#include "traffic/arrival_rate.hpp"

#include <cstdint>
#include <vector>

namespace kisim {

struct BatchServerModel;
struct LlmCost;
struct LlmEngineModel;

// Moments of what is asked for; of an LLM in tokens, `decoded` = output − 1.
struct FluidMix {
  double prompt = 0, prompt_squared = 0, decoded = 0, decoded_squared = 0;
  double total_decoded = 0;  // (prompt + output)·decoded

  void add(const FluidMix& other, double share);
  bool operator==(const FluidMix&) const = default;
};
FluidMix mix_of(const std::vector<RequestSize>& typical);

// A replica at some throughput in the steady state. Seconds and requests.
struct FluidPoint {
  double requests = 0, running = 0, waiting = 0;
  double busy = 0;              // share of the time in which anything runs
  double wait_share = 0;        // of requests that wait for a sequence or an instance
  double wait_even = 0;         // of these: evenly up to twice this,
  double wait_exponential = 0;  // and exponential with this mean

  // LLM engine
  double stall = 0, stall_after = 0, itl = 0, itl_deviation = 0;
  // Batch server: a batch of one that found an idle instance, of those who waited, and how far these differ.
  double alone = 0, together = 0, together_deviation = 0;
  double instances = 0;  // that are busy

  static FluidPoint between(const FluidPoint& a, const FluidPoint& b, double share);
};

// How a replica answers to a throughput; what of it does not change with it.
class FluidLaw {
 public:
  static constexpr double kAccuracy = 1e-9;  // of solve(), relative

  void set(const LlmEngineModel& model, const LlmCost& cost, const FluidMix& mix, double overhead);
  // `samples` of each request.
  void set(const BatchServerModel& model, const Accelerator& accelerator, int32_t samples);
  // Nobody answers any more.
  void stop() { capacity_ = 0; }

  double capacity() const { return capacity_; }  // requests per second
  // Precondition: 0 <= throughput < capacity.
  FluidPoint at(double throughput) const { return llm_ ? llm_at(throughput) : batch_at(throughput); }
  double busy(double throughput, const FluidPoint& at) const;
  // The throughput of the step at whose end x is the steady state: X(θ) + θ·dt = total. `guess`: odds θ/(C − θ) to
  // begin with, and those found.
  double solve(double total, double dt, double& guess) const;
  double prefill_seconds(double tokens) const { return prefill_base_ + prefill_per_token_ * tokens; }
  double overhead() const { return overhead_; }
  double stall_squared() const { return prefill_squared_; }
  double blocks() const { return blocks_; }  // that a running sequence holds
  GpuLoad load(const FluidPoint& at, double throughput) const;

 private:
  FluidPoint llm_at(double throughput) const;
  double stalls(double throughput) const;
  FluidPoint batch_at(double throughput) const;

  bool llm_ = false;
  double capacity_ = 0, overhead_ = 0;
  // LLM engine
  double base_ = 0, per_sequence_ = 0, decoded_ = 0, scatter_ = 1;  // scatter: (1 + c²)/2
  double prefill_ = 0, prefill_squared_ = 0, prefill_base_ = 0, prefill_per_token_ = 0;
  double slots_ = 0, blocks_ = 0;
  // Of its GPUs, of their peaks: seconds per iteration, sequence and iteration, and share during a prefill.
  double read_step_ = 0, read_sequence_ = 0, compute_sequence_ = 0, compute_prefill_ = 0;
  // Batch server: demands of a running instance, and steady states by odds θ/(C − θ), ascending.
  double compute_ = 0, bandwidth_ = 0;
  struct Node {
    double odds = 0;
    FluidPoint at;
  };
  std::vector<Node> nodes_;
  double compute_share_ = 1, bandwidth_share_ = 1;
  bool peers_ = false;
};

// A replica. Rates and levels hold from FluidService::since on.
struct FluidReplica {
  FluidLaw law;
  FluidPoint at;
  double total = 0, throughput = 0, guess = 0;  // total: requests here at the step's begin and those that come in it
  FluidPoint steady;                            // of the throughput; `at` has what waits beyond it, too
  double requests = 0;                          // here, as of `since`
  double in = 0, out = 0;                       // per second
  double backlog = 0, age = 0;                  // age: Σ over it, in request·seconds
  // Who has been in a backlog and runs now: how many, and Σ of their delays and of how far these lie apart.
  double late = 0, delay = 0, spread = 0;
  double late_share = 0;                                          // of those who leave
  double tokens_in = 0, tokens_out = 0;                           // per second: prompts computed, answers sent
  double shown = -1;                                              // throughput whose load its GPUs have been told
  double completed = 0, prompt_tokens = 0, generated_tokens = 0;  // as of `since`
};

struct FluidSource {
  // Requests, in units of 2^-60: sums are exact, in whatever pieces they are taken.
  __int128 arrived = 0, completed = 0, failed = 0;
  int64_t in = 0, out = 0;  // per ns
  uint64_t early = 0;       // requests here that came before the end of warm-up
  uint64_t group = 1;       // requests in a row that stand for the same

  __int128 here() const { return arrived - completed - failed; }
};

struct FluidService {
  Time since, accounted;
  EventHandle timer;
  bool changed = false;  // at this instant; the timer is due now
  double in = 0;         // per second
  double held = 0, held_age = 0;
  double level = 0;  // requests at each endpoint at the step's end, where those with the fewest are sent to
  FluidMix mix;
  std::vector<FluidSource> sources;  // as FluidServiceModel::sources
  std::vector<ReplicaId> replicas;   // that are not free
  std::vector<double> out;           // by them: Σ out up to each
};

struct FluidServiceModel {
  struct Source {
    uint32_t client = 0;
    ArrivalRate rate;
    std::vector<RequestSize> typical;
    FluidMix mix;
    int32_t samples = 1;
  };
  bool on = false;
  bool fewest = false;  // the router sends to those with the fewest requests
  std::vector<Source> sources;
};

}  // namespace kisim
