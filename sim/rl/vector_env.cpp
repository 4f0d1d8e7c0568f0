#include "rl/vector_env.hpp"

#include "core/error.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>

namespace kisim {
namespace {

// Runs one job at a time on several threads, the caller's among them. The others sleep in between: std::atomic's wait
// looks a few times and then leaves the core to others.
class ThreadTeam {
 public:
  // Throws std::system_error where the system has no more threads; those that run already leave.
  explicit ThreadTeam(size_t threads) {
    try {
      for (size_t t = 1; t < threads; ++t) threads_.emplace_back([this, t] { serve(t); });
    } catch (...) {
      leave();
      throw;
    }
  }
  ~ThreadTeam() { leave(); }
  size_t size() const { return threads_.size() + 1; }

  // job(context, t) for each thread t. It throws nothing.
  void run(void (*job)(void*, size_t), void* context) {
    job_ = job;
    context_ = context;
    busy_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
    call();
    job(context, 0);
    for (uint32_t left; (left = busy_.load(std::memory_order_acquire)) != 0;) busy_.wait(left);
  }

 private:
  void leave() {
    leaving_ = true;
    call();
  }

  void call() {
    if (threads_.empty()) return;
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
  }

  void serve(size_t t) {
    for (uint32_t seen = 0;; ++seen) {
      calls_.wait(seen, std::memory_order_acquire);
      if (leaving_) return;
      job_(context_, t);
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  std::atomic<uint32_t> calls_ = 0, busy_ = 0;
  void (*job_)(void*, size_t) = nullptr;  // these three: written before calls_, read after it
  void* context_ = nullptr;
  bool leaving_ = false;
  std::vector<std::jthread> threads_;  // last: they are joined before what they use is gone
};

size_t threads_for(size_t wanted, size_t environments) {
  if (wanted == 0) wanted = std::max(1u, std::thread::hardware_concurrency());
  return std::clamp<size_t>(wanted, 1, environments);
}

std::vector<std::unique_ptr<Env>> several(const VectorEnv::Factory& make, size_t n) {
  std::vector<std::unique_ptr<Env>> out(n);
  for (std::unique_ptr<Env>& env : out) env = make();
  return out;
}

}  // namespace

struct VectorEnv::Impl {
  Impl(const Factory& make, size_t environments, size_t threads, Autoreset mode)
      : autoreset(mode),
        envs(several(make, environments)),
        running(environments),
        failures(threads_for(threads, environments)),
        team(failures.size()) {
    observation_size = envs[0]->spec().observation.size();
    action_size = envs[0]->spec().actions.size();
    outputs = envs[0]->spec().actions.outputs();
    cost_size = envs[0]->spec().costs.size();
  }

  Autoreset autoreset;
  bool begun = false, keep = false;
  std::vector<std::unique_ptr<Env>> envs;
  std::vector<EpisodeSoFar> running;         // by environment
  std::vector<std::exception_ptr> failures;  // by thread
  size_t observation_size = 0, action_size = 0, outputs = 0, cost_size = 0;
  ThreadTeam team;

  std::span<float> observation(float* rows, size_t i) const { return {rows + i * observation_size, observation_size}; }

  void write_mask(size_t i, uint8_t* rows) const {
    if (rows) envs[i]->mask({rows + i * outputs, outputs});
  }

  void begin(size_t i, uint64_t seed, uint64_t episode, const StepBuffers& out) {
    EpisodeSoFar& e = running[i];
    e.seed = seed;
    e.episode = episode;
    e.ended = false;
    e.actions.clear();
    envs[i]->reset(seed, episode, observation(out.observations, i));
  }

  void step(size_t i, std::span<const float> action, const StepBuffers& out) {
    EpisodeSoFar& e = running[i];
    Transition t;
    if (e.ended) {
      KISIM_INVARIANT(autoreset == Autoreset::NextStep, "environment {} is stepped, but its episode has ended", i);
      begin(i, e.seed, e.episode + 1, out);
      if (out.costs) std::fill_n(out.costs + i * cost_size, cost_size, 0.0);
    } else {
      if (keep) e.actions.insert(e.actions.end(), action.begin(), action.end());
      t = envs[i]->step(action, observation(out.observations, i));
      e.ended = t.terminated || t.truncated;
      if (out.costs) envs[i]->costs({out.costs + i * cost_size, cost_size});
      if (e.ended && autoreset == Autoreset::SameStep) {
        std::copy_n(out.observations + i * observation_size, observation_size,
                    out.final_observations + i * observation_size);
        write_mask(i, out.final_masks);
        begin(i, e.seed, e.episode + 1, out);
      }
    }
    write_mask(i, out.masks);
    out.rewards[i] = t.reward;
    out.terminated[i] = t.terminated;
    out.truncated[i] = t.truncated;
  }

  void replay(size_t i, const EpisodeSoFar& so_far, const StepBuffers& out) {
    begin(i, so_far.seed, so_far.episode, out);
    EpisodeSoFar& e = running[i];
    const size_t steps = so_far.actions.size() / action_size;
    for (size_t s = 0; s < steps && !e.ended; ++s) {
      Transition t =
          envs[i]->step({so_far.actions.data() + s * action_size, action_size}, observation(out.observations, i));
      e.ended = t.terminated || t.truncated;
      if (e.ended && (s + 1 < steps || !so_far.ended))
        throw InputError(Diagnostic{
            .message = fmt::format("the episode of environment {} ends after {} steps, found {}", i, s + 1, steps)});
    }
    if (so_far.ended && !e.ended)
      throw InputError(Diagnostic{
          .message = fmt::format("the episode of environment {} goes on after {} steps, found its end", i, steps)});
    if (keep) e.actions = so_far.actions;
    write_mask(i, out.masks);
  }

  // f(i) for each environment, thread t those of its share. An exception ends the step of its own environment only, so
  // that what the others have done does not depend on the number of threads either.
  template <class F>
  void for_each(const F& f) {
    struct Job {
      Impl& impl;
      const F& f;
    } job{*this, f};
    team.run(
        [](void* context, size_t t) {
          auto& [impl, f] = *static_cast<Job*>(context);
          const size_t n = impl.envs.size(), threads = impl.team.size();
          for (size_t i = n * t / threads; i < n * (t + 1) / threads; ++i) try {
              f(i);
            } catch (...) {
              if (!impl.failures[t]) impl.failures[t] = std::current_exception();
            }
        },
        &job);
    for (const std::exception_ptr& failure : failures)
      if (failure) {
        std::exception_ptr first = failure;
        std::fill(failures.begin(), failures.end(), nullptr);
        begun = false;
        std::rethrow_exception(first);
      }
  }
};

VectorEnv::VectorEnv(const Factory& make, size_t environments, size_t threads, Autoreset autoreset) {
  KISIM_INVARIANT(environments > 0, "a VectorEnv without environments");
  impl_ = std::make_unique<Impl>(make, environments, threads, autoreset);
}

VectorEnv::~VectorEnv() = default;

size_t VectorEnv::size() const { return impl_->envs.size(); }
const EnvSpec& VectorEnv::spec() const { return impl_->envs[0]->spec(); }
Autoreset VectorEnv::autoreset() const { return impl_->autoreset; }

void VectorEnv::reset(uint64_t seed, const StepBuffers& out) {
  impl_->begun = true;
  impl_->for_each([&](size_t i) {
    impl_->begin(i, seed + i, 0, out);
    impl_->write_mask(i, out.masks);
  });
}

void VectorEnv::reset(std::span<const uint8_t> which, const StepBuffers& out) {
  KISIM_INVARIANT(impl_->autoreset == Autoreset::Disabled, "only Autoreset::Disabled leaves resets to the caller");
  KISIM_INVARIANT(impl_->begun && which.size() == size(), "{} of {} environments to reset", which.size(), size());
  impl_->for_each([&](size_t i) {
    if (!which[i]) return;
    impl_->begin(i, impl_->running[i].seed, impl_->running[i].episode + 1, out);
    impl_->write_mask(i, out.masks);
  });
}

void VectorEnv::step(std::span<const float> actions, const StepBuffers& out) {
  const size_t width = impl_->action_size;
  KISIM_INVARIANT(impl_->begun, "a step before the first reset");
  KISIM_INVARIANT(actions.size() == size() * width, "{} numbers as actions of {} environments with {} each",
                  actions.size(), size(), width);
  impl_->for_each([&](size_t i) { impl_->step(i, actions.subspan(i * width, width), out); });
}

void VectorEnv::keep_episodes(bool keep) {
  KISIM_INVARIANT(!keep || !impl_->begun, "episodes under way whose first actions are lost");
  impl_->keep = keep;
}

std::vector<EpisodeSoFar> VectorEnv::episodes() const {
  KISIM_INVARIANT(impl_->keep, "episodes are not kept");
  return impl_->running;
}

void VectorEnv::resume(const std::vector<EpisodeSoFar>& episodes, const StepBuffers& out) {
  if (episodes.size() != size())
    throw InputError(
        Diagnostic{.message = fmt::format("found episodes of {} environments, here are {}", episodes.size(), size())});
  impl_->begun = true;
  impl_->for_each([&](size_t i) { impl_->replay(i, episodes[i], out); });
}

}  // namespace kisim
