#include "serving/fluid.hpp"

#include "core/math.hpp"
#include "serving/batch_server.hpp"
#include "serving/llm_engine_model.hpp"
#include "serving/step_cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kisim {

namespace {

// Φ(z)/φ(z), z >= 0 (Abramowitz, Stegun 26.2.17, absolute error 7.5e-8 of Φ).
double normal_ratio(double z) {
  const double t = 1 / (1 + 0.2316419 * z);
  const double tail = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return std::sqrt(2 * math::kPi) * math::exp(z * z / 2) - tail;
}

// Mean of a reflected walk with normal steps of mean −β and deviation 1.
double reflected_walk(double beta) { return beta > 6 ? 0 : math::exp(-beta * (1.165 + 0.2 * beta)) / (2 * beta); }

// Of c servers without a queue, those that are busy, and the shares of time in which all and none are.
struct Loss {
  double busy = 0, all = 0, none = 1;
};

Loss erlang_loss(int32_t servers, double offered) {
  double all = 1, sum = 1, term = 1;
  for (int32_t k = 1; k <= servers; ++k) {
    all = offered * all / (k + offered * all);
    term *= offered / k;
    sum += term;
  }
  return {offered * (1 - all), all, 1 / sum};
}

struct Moments {
  double mean = 0, variation = 0;  // variation: squared coefficient
};

// Seconds of a batch on its own.
class BatchSeconds {
 public:
  BatchSeconds(const BatchModel& model, const Accelerator& accelerator, int32_t samples)
      : law_(law_on(model, accelerator)), slowdown_(law_.slowdown(accelerator)), samples_(samples) {
    random_ = !(law_.base.is_constant() && law_.per_sample.is_constant() && law_.factor.is_constant());
  }

  // Of so many requests, a whole number or one between.
  double mean(double requests) const {
    const double low = std::floor(requests), share = requests - low;
    const double at = moments(static_cast<int64_t>(low)).mean;
    return share == 0 ? at : at + share * (moments(static_cast<int64_t>(low) + 1).mean - at);
  }
  Moments moments(int64_t requests) const {
    const int kDraws = random_ ? 4096 : 1;
    Stream stream(0, static_cast<uint64_t>(requests), Purpose::ServiceTime);
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double seconds = law_.seconds(requests * samples_, stream, slowdown_);
      sum += seconds;
      squares += seconds * seconds;
    }
    const double mean = sum / kDraws;
    return {mean, random_ && mean > 0 ? std::max(0.0, squares / kDraws / (mean * mean) - 1) : 0};
  }
  const LatencyLaw& law() const { return law_; }

 private:
  static const LatencyLaw& law_on(const BatchModel& model, const Accelerator& accelerator) {
    const bool known = accelerator.gpu_model.valid() && accelerator.gpu_model.value < model.law_of_gpu.size();
    return model.laws[known ? model.law_of_gpu[accelerator.gpu_model.value] : 0];
  }

  const LatencyLaw& law_;
  double slowdown_;
  int32_t samples_;
  bool random_ = false;
};

}  // namespace

void FluidMix::add(const FluidMix& o, double share) {
  prompt += share * o.prompt;
  prompt_squared += share * o.prompt_squared;
  decoded += share * o.decoded;
  decoded_squared += share * o.decoded_squared;
  total_decoded += share * o.total_decoded;
}

FluidMix mix_of(const std::vector<RequestSize>& typical) {
  FluidMix mix;
  for (const RequestSize& size : typical) {
    const double decoded = size.output - 1;
    const double prompt = size.prompt;
    mix.add({prompt, prompt * prompt, decoded, decoded * decoded, (prompt + size.output) * decoded},
            1.0 / static_cast<double>(typical.size()));
  }
  return mix;
}

FluidPoint FluidPoint::between(const FluidPoint& a, const FluidPoint& b, double share) {
  FluidPoint p;
  for (double FluidPoint::*f :
       {&FluidPoint::requests, &FluidPoint::running, &FluidPoint::waiting, &FluidPoint::busy, &FluidPoint::wait_share,
        &FluidPoint::wait_even, &FluidPoint::wait_exponential, &FluidPoint::alone, &FluidPoint::together,
        &FluidPoint::together_deviation, &FluidPoint::instances})
    p.*f = a.*f + share * (b.*f - a.*f);
  return p;
}

void FluidLaw::set(const LlmEngineModel& model, const LlmCost& cost, const FluidMix& mix, double overhead) {
  const LinearLaw& law = cost.linear;
  llm_ = true;
  overhead_ = overhead;
  base_ = law.base;
  per_sequence_ = law.per_sequence;
  decoded_ = mix.decoded;
  scatter_ = decoded_ > 0 ? mix.decoded_squared / (decoded_ * decoded_) / 2 : 0.5;
  prefill_base_ = law.prefill_base;
  prefill_per_token_ = law.prefill_per_token;
  prefill_ = prefill_seconds(mix.prompt);
  prefill_squared_ = law.prefill_base * (2 * prefill_ - law.prefill_base) +
                     law.prefill_per_token * law.prefill_per_token * mix.prompt_squared;

  // Who is here longer holds more: a running request is one with twice the answer twice as often.
  slots_ = model.max_num_seqs;
  for (int i = 0; i < 4; ++i) {
    const double itl = base_ + per_sequence_ * slots_, spent = prefill_ + mix.decoded * itl;
    const double tokens = (prefill_ * (mix.prompt + mix.decoded + 1) + itl * mix.total_decoded) / spent;
    blocks_ = tokens / model.block_size + 0.5;  // half of the last one is empty
    slots_ = std::min<double>(model.max_num_seqs, static_cast<double>(cost.kv_blocks) / blocks_);
  }
  // All of them taken, by those that decode at the ITL of so many.
  double low = 0, high = 1 / std::max(prefill_, 1e-9);
  for (int i = 0; i < 60; ++i) {
    const double theta = (low + high) / 2, itl = (base_ + per_sequence_ * slots_) / (1 - theta * prefill_);
    (theta * (prefill_ + stalls(theta) + decoded_ * itl) < slots_ ? low : high) = theta;
  }
  capacity_ = low;

  const StepTerms& ideal = cost.ideal;
  const double near = std::min<double>(LlmCost::kNominalContext, static_cast<double>(cost.window));
  read_step_ = ideal.weights;
  read_sequence_ = ideal.kv_token * LlmCost::kNominalContext + ideal.window_token * near;
  compute_sequence_ = ideal.token + ideal.attention * LlmCost::kNominalContext;
  compute_prefill_ = law.prefill_per_token > 0 ? ideal.token / law.prefill_per_token : 0;
  compute_share_ = cost.compute_share;
  bandwidth_share_ = cost.bandwidth_share;
  peers_ = model.gpus() > 1;
}

// Before and after a prefill.
double FluidLaw::stalls(double throughput) const {
  const double share = throughput * prefill_, before = throughput * prefill_squared_ / (2 * (1 - share));
  return before + (share + throughput * before) * prefill_ / (1 - share);
}

FluidPoint FluidLaw::llm_at(double throughput) const {
  FluidPoint p;
  const double free = 1 - throughput * prefill_;
  const double shared = throughput * decoded_ * per_sequence_ / free;
  const double most = (base_ + per_sequence_ * slots_) / free;
  const double more = (1 + 1 / (free * free)) / 2;
  p.stall = throughput * prefill_squared_ / (2 * free);
  p.stall_after = stalls(throughput) - p.stall;
  p.itl = shared < 1 ? std::min(most, (base_ + more * per_sequence_) / (free * (1 - shared))) : most;
  const double n = throughput * (p.stall + prefill_ + p.stall_after + decoded_ * p.itl);
  const double deviation = std::sqrt(more * n / std::max(1 - shared, 1e-3));
  p.itl_deviation = per_sequence_ * deviation / free;
  p.running = std::min(n, slots_);
  constexpr double kNever = 6;  // deviations
  if (const double z = (slots_ - n) / deviation; z < kNever) {
    const double beyond = throughput / (capacity_ - throughput);
    p.wait_share = 1 / (1 + deviation * normal_ratio(std::max(z, 0.0)) / beyond);
    p.wait_exponential = scatter_ / (capacity_ - throughput);
    p.waiting = throughput * p.wait_share * p.wait_exponential;
  }
  p.requests = throughput * overhead_ + p.running + p.waiting;
  return p;
}

// Of the negative binomial, and of no prefill.
double FluidLaw::busy(double throughput, const FluidPoint& at) const {
  if (!llm_) return at.busy;
  constexpr double kAlways = 30;  // requests
  if (at.running > kAlways) return 1;
  const double free = 1 - throughput * prefill_, shared = throughput * decoded_ * per_sequence_ / free;
  if (!(shared < 1)) return 1;
  const double idle = per_sequence_ > 0 ? math::exp((base_ / per_sequence_ + 1) * math::log(1 - shared))
                                        : math::exp(-throughput * decoded_ * base_ / free);
  return 1 - free * idle;
}

void FluidLaw::set(const BatchServerModel& server, const Accelerator& accelerator, int32_t samples) {
  const BatchModel& model = server.models.front();
  const BatchSeconds seconds(model, accelerator, samples);
  const double most = std::max(1, model.max_batch_size / samples), c = model.instances;
  const double speed = 1 + server.overlap * (c - 1);
  const Moments full = seconds.moments(static_cast<int64_t>(most));
  llm_ = false;
  capacity_ = most * speed / full.mean;
  compute_ = seconds.law().compute;
  bandwidth_ = seconds.law().bandwidth;
  compute_share_ = accelerator.compute_share;
  bandwidth_share_ = accelerator.bandwidth_share;

  auto steady = [&](double m) {
    const double theta = m * speed / seconds.mean(std::min(most, m + math::exp(-m)));
    const double joined = std::min(most, 1 + m), batches = std::max((1 - math::exp(-m)) / m, 1 / most);
    const double together = seconds.mean(joined) * c / speed, single = seconds.mean(1);
    auto alone = [&](double busy) {
      const double k = std::min(c, 1 + busy);
      return single * k / (1 + server.overlap * (k - 1));
    };
    double low = 0, high = 1e6;
    for (int i = 0; i < 200; ++i) {
      const double offered = (low + high) / 2;
      if (offered == low || offered == high) break;  // there is nothing between them
      const Loss loss = erlang_loss(model.instances, offered);
      const double needed = theta * ((1 - loss.all) * alone(loss.busy) + loss.all * together * batches);
      (loss.busy < needed ? low : high) = offered;
    }
    const Loss loss = erlang_loss(model.instances, low);
    const double variance = m + m * m * full.variation / c;
    const double left = std::sqrt(variance) * reflected_walk((most - m) / std::sqrt(variance));
    FluidPoint p;
    p.busy = 1 - loss.none;
    p.instances = loss.busy;
    p.wait_share = loss.all;
    p.wait_even = m * (1 + full.variation) / 2 / theta;
    p.wait_exponential = left / theta;
    p.alone = alone(loss.busy);
    p.together = together;
    p.together_deviation =
        joined < most ? (seconds.mean(joined + 1) - seconds.mean(joined)) * c / speed * std::sqrt(m) : 0;
    p.waiting = loss.all * (left + m * (1 + full.variation) / 2);
    p.running = theta * ((1 - loss.all) * p.alone + loss.all * together);
    p.requests = p.running + p.waiting;
    return Node{theta / (capacity_ - theta), p};
  };
  constexpr int kEven = 64, kNear = 6;
  nodes_.clear();
  nodes_.push_back({0, {}});
  nodes_.front().at.alone = nodes_.front().at.together = seconds.mean(1);
  for (int i = 1; i < kEven; ++i) nodes_.push_back(steady(most * i / kEven));
  for (int i = 1; i <= kNear; ++i) nodes_.push_back(steady(most * (1 - 1.0 / (kEven << i))));
}

FluidPoint FluidLaw::batch_at(double throughput) const {
  const double odds = throughput / (capacity_ - throughput);
  auto above =
      std::upper_bound(nodes_.begin(), nodes_.end() - 1, odds, [](double o, const Node& n) { return o < n.odds; });
  const Node &a = above[-1], &b = above[0];
  const double share = (odds - a.odds) / (b.odds - a.odds);
  FluidPoint p = FluidPoint::between(a.at, b.at, std::min(share, 1.0));
  if (share <= 1) return p;
  // Beyond the last of them only the queue grows.
  p.waiting = a.at.waiting + share * (b.at.waiting - a.at.waiting);
  p.requests = p.running + p.waiting;
  p.wait_exponential = p.waiting / (p.wait_share * throughput) - p.wait_even;
  return p;
}

double FluidLaw::solve(double total, double dt, double& guess) const {
  if (!(capacity_ > 0) || !(total > 0)) return 0;
  auto rate = [&](double odds) { return capacity_ * odds / (1 + odds); };
  auto above = [&](double odds) {
    const double theta = rate(odds);
    return at(theta).requests + dt * theta - total;
  };
  constexpr int kMost = 100;
  const double close = kAccuracy * (1 + total);
  // Both terms grow about as the odds do, so that the first steps are in proportion.
  double low = 0, high = 0, at_low = -total, at_high = 0, before = 0;
  double odds = guess > 0 ? guess : 1e-3;
  for (int i = 0; i < kMost; ++i) {
    const double error = above(odds);
    if (std::abs(error) <= close) break;
    // Illinois: an end that stays twice is drawn nearer.
    if (error > 0) {
      high = odds;
      at_high = error;
      if (before > 0) at_low /= 2;
    } else {
      low = odds;
      at_low = error;
      if (before < 0 && high > 0) at_high /= 2;
    }
    before = error;
    const double larger = odds * std::min(16.0, 1.05 * total / (total + error));
    const double next = high > 0 ? low + (high - low) * at_low / (at_low - at_high) : larger;
    if (next == odds) break;
    odds = next;
  }
  guess = odds;
  return rate(odds);
}

// Power grows with the root of what is computed: that of a GPU which computes for a part of the time is matched.
GpuLoad FluidLaw::load(const FluidPoint& at, double throughput) const {
  const double running = busy(throughput, at);
  if (running == 0) return {};
  double bandwidth = 0, compute = 0;
  if (llm_) {
    const double n = at.running / running, prefilling = std::min(1.0, throughput * prefill_ / running);
    const double itl = base_ + per_sequence_ * n;
    bandwidth = (1 - prefilling) * (read_step_ + n * read_sequence_) / itl;
    compute = (1 - prefilling) * n * compute_sequence_ / itl + prefilling * compute_prefill_;
  } else {
    bandwidth = at.instances / running * bandwidth_;
    compute = at.instances / running * compute_;
  }
  return GpuLoad::of(running * std::min(bandwidth, bandwidth_share_),
                     running * running * std::min(compute, compute_share_), running * compute_share_,
                     peers_ ? running : 0);
}

}  // namespace kisim
