#include "rl/vector_env.hpp"

#include "allocations.hpp"
#include "core/error.hpp"
#include "gym/registry.hpp"
#include "rl/rollouts.hpp"

#include <sys/resource.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

using namespace kisim;
using test::StepArrays;

namespace {

constexpr uint64_t kSeed = 11;

VectorEnv make(const std::string& name, size_t n, size_t threads, Autoreset autoreset) {
  return VectorEnv([name] { return make_env(name); }, n, threads, autoreset);
}

struct Step {
  std::vector<float> before, action, after;
  double reward = 0;
  bool terminated = false, truncated = false;
  std::vector<uint8_t> allowed_after;
  bool operator==(const Step&) const = default;
};

// The action of a transition depends on nothing but its place: so every mode has the same ones.
std::vector<float> action_of(const EnvSpec& spec, std::span<const uint8_t> allowed, size_t env, size_t transition) {
  Stream stream(env, transition, Purpose::Policy);
  std::vector<float> out(spec.actions.size());
  test::draw_action(spec.actions, allowed, stream, out);
  return out;
}

template <class T>
std::vector<T> row(const std::vector<T>& rows, size_t i, size_t width) {
  auto from = rows.begin() + static_cast<long>(i * width);
  return {from, from + static_cast<long>(width)};
}

// What environment i sees without a VectorEnv.
std::vector<Step> alone(const std::string& name, size_t i, size_t transitions) {
  auto env = make_env(name);
  std::vector<float> observation(env->spec().observation.size());
  std::vector<uint8_t> allowed(env->spec().actions.outputs());
  uint64_t episode = 0;
  env->reset(kSeed + i, episode, observation);
  std::vector<Step> out;
  while (out.size() < transitions) {
    env->mask(allowed);
    Step step{observation, action_of(env->spec(), allowed, i, out.size()), {}};
    Transition t = env->step(step.action, observation);
    step.after = observation;
    step.reward = t.reward;
    step.terminated = t.terminated;
    step.truncated = t.truncated;
    env->mask(allowed);
    step.allowed_after = allowed;
    out.push_back(step);
    if (t.terminated || t.truncated) env->reset(kSeed + i, ++episode, observation);
  }
  return out;
}

// The same through a VectorEnv, as a learner reads it in each of the modes.
std::vector<std::vector<Step>> together(const std::string& name, size_t n, Autoreset autoreset, size_t transitions) {
  VectorEnv envs = make(name, n, 2, autoreset);
  const EnvSpec& spec = envs.spec();
  const size_t width = spec.observation.size(), outputs = spec.actions.outputs();
  StepArrays now(envs);
  envs.reset(kSeed, now.buffers());
  std::vector<std::vector<Step>> out(n);
  std::vector<uint8_t> over(n);  // ended by the last step, and not begun again
  auto enough = [&] {
    for (const auto& steps : out)
      if (steps.size() < transitions) return false;
    return true;
  };
  while (!enough()) {
    if (autoreset == Autoreset::Disabled) {
      envs.reset(over, now.buffers());
      std::fill(over.begin(), over.end(), uint8_t{0});
    }
    const StepArrays before = now;
    std::vector<float> actions;
    for (size_t i = 0; i < n; ++i) {
      auto action = action_of(spec, {before.masks.data() + i * outputs, outputs}, i, out[i].size());
      actions.insert(actions.end(), action.begin(), action.end());
    }
    envs.step(actions, now.buffers());
    for (size_t i = 0; i < n; ++i) {
      if (over[i]) {  // NextStep: no transition
        CHECK(now.rewards[i] == 0);
        CHECK_FALSE(now.ended(i));
        over[i] = 0;
        continue;
      }
      const bool final = now.ended(i) && autoreset == Autoreset::SameStep;
      out[i].push_back({row(before.observations, i, width), row(actions, i, spec.actions.size()),
                        row(final ? now.final_observations : now.observations, i, width), now.rewards[i],
                        now.terminated[i] != 0, now.truncated[i] != 0,
                        row(final ? now.final_masks : now.masks, i, outputs)});
      over[i] = now.ended(i) && !final;
    }
  }
  for (auto& steps : out) steps.resize(transitions);
  return out;
}

const Autoreset kModes[] = {Autoreset::NextStep, Autoreset::SameStep, Autoreset::Disabled};

// Random actions that are allowed, with resets by the caller where the mode leaves them to him.
struct Walk {
  VectorEnv& envs;
  StepArrays arrays{envs};
  std::vector<float> actions = std::vector<float>(envs.size() * envs.spec().actions.size());
  std::vector<uint8_t> ended = std::vector<uint8_t>(envs.size());

  // `drawn`: the number of the step, for its actions.
  void step(uint64_t drawn) {
    const ActionSpace& space = envs.spec().actions;
    if (envs.autoreset() == Autoreset::Disabled) {
      for (size_t i = 0; i < envs.size(); ++i) ended[i] = arrays.ended(i);
      envs.reset(ended, arrays.buffers());
    }
    for (size_t i = 0; i < envs.size(); ++i) {
      Stream stream(drawn, i, Purpose::Policy);
      test::draw_action(space, {arrays.masks.data() + i * space.outputs(), space.outputs()}, stream,
                        {actions.data() + i * space.size(), space.size()});
    }
    envs.step(actions, arrays.buffers());
  }
};

// Throws in the step whose number its action is.
class Fragile final : public Env {
 public:
  const EnvSpec& spec() const override { return spec_; }

 private:
  void begin(uint64_t seed, uint64_t, std::span<float> observation) override {
    seed_ = seed;
    steps_ = 0;
    observation[0] = 0;
  }
  Transition advance(std::span<const float> action, std::span<float> observation) override {
    observation[0] = static_cast<float>(++steps_);
    if (action[0] == observation[0]) throw IoError("environment of seed " + std::to_string(seed_));
    return {};
  }

  EnvSpec spec_{"Fragile", {{"steps"}}, ActionSpace::box({0}, {100})};
  uint64_t seed_ = 0;
  int steps_ = 0;
};

size_t running_threads() {
  const auto threads = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(threads), end(threads)));
}

// A thread that was joined may be listed for a moment more.
bool come_down_to(size_t threads) {
  for (int tries = 0; tries < 500 && running_threads() > threads; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return running_threads() == threads;
}

rlim_t mapped_bytes() {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

// So many bytes may be mapped as long as it lives.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(rlim_t bytes) {
    getrlimit(RLIMIT_AS, &before_);
    const rlimit now{bytes, before_.rlim_max};
    setrlimit(RLIMIT_AS, &now);
  }
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("all modes of autoreset give the transitions of the environments alone") {
  for (const char* name : {"CartPole-v1", "MountainCar-v0", "Pendulum-v1", "MaskedActions-v0", "BlinkingLight-v0",
                           "IdentityMultiDiscrete-v0", "ConstantReward-v0"}) {
    INFO(name);
    constexpr size_t kEnvs = 3, kTransitions = 450;
    for (Autoreset mode : kModes) {
      INFO(static_cast<int>(mode));
      auto found = together(name, kEnvs, mode, kTransitions);
      for (size_t i = 0; i < kEnvs; ++i) CHECK(found[i] == alone(name, i, kTransitions));
    }
  }
}

TEST_CASE("results do not depend on the number of threads", "[threads]") {
  for (const char* name : {"CartPole-v1", "MaskedActions-v0", "TwoConstraints-v0"})
    for (Autoreset mode : kModes) {
      std::vector<StepArrays> first;
      for (size_t threads : {1, 2, 4, 100}) {
        VectorEnv envs = make(name, 7, threads, mode);
        Walk walk{envs};
        envs.reset(kSeed, walk.arrays.buffers());
        for (uint64_t step = 0; step < 1000; ++step) {
          walk.step(step);
          if (threads == 1)
            first.push_back(walk.arrays);
          else
            REQUIRE(walk.arrays == first[step]);
        }
      }
    }
}

TEST_CASE("episodes go on from where they were, to the bit") {
  for (const char* name : {"CartPole-v1", "Acrobot-v1", "MaskedActions-v0", "IdentityBox-v0", "ChosenReward-v0"})
    for (Autoreset mode : kModes) {
      INFO(name << ' ' << static_cast<int>(mode));
      VectorEnv whole = make(name, 6, 2, mode), second = make(name, 6, 3, mode);
      whole.keep_episodes(true);
      second.keep_episodes(true);
      Walk one{whole}, two{second};
      whole.reset(kSeed, one.arrays.buffers());
      uint64_t step = 0;
      for (bool some_ended = false; step < 100 || (!some_ended && step < 1000); ++step) {
        one.step(step);
        some_ended = one.arrays.ended(0);
      }
      const std::vector<EpisodeSoFar> saved = whole.episodes();
      two.arrays = one.arrays;
      std::fill(two.arrays.observations.begin(), two.arrays.observations.end(), NAN);
      std::fill(two.arrays.masks.begin(), two.arrays.masks.end(), uint8_t{9});
      second.resume(saved, two.arrays.buffers());
      REQUIRE(two.arrays == one.arrays);
      for (int more = 0; more < 600; ++more, ++step) {
        one.step(step);
        two.step(step);
        REQUIRE(two.arrays == one.arrays);
      }
      // What is resumed can be saved again.
      for (size_t i = 0; i < 6; ++i) CHECK(whole.episodes()[i].actions == second.episodes()[i].actions);
    }
}

TEST_CASE("episodes of another environment are refused") {
  VectorEnv poles = make("CartPole-v1", 2, 1, Autoreset::SameStep),
            rings = make("ChosenReward-v0", 2, 1, Autoreset::SameStep);
  poles.keep_episodes(true);
  Walk walk{poles};
  poles.reset(kSeed, walk.arrays.buffers());
  for (uint64_t step = 0; step < 5; ++step) walk.step(step);
  auto saved = poles.episodes();
  StepArrays arrays(rings);
  CHECK_THROWS_AS(rings.resume(saved, arrays.buffers()), InputError);
  saved[1].ended = true;
  CHECK_THROWS_AS(poles.resume(saved, walk.arrays.buffers()), InputError);
  saved.pop_back();
  CHECK_THROWS_AS(poles.resume(saved, walk.arrays.buffers()), InputError);
}

TEST_CASE("a step allocates nothing") {
  for (size_t threads : {1, 3})
    for (const std::string& name : env_names()) {
      VectorEnv envs = make(name, 8, threads, Autoreset::SameStep);
      Walk walk{envs};
      envs.reset(kSeed, walk.arrays.buffers());
      walk.step(0);
      const uint64_t before = test::allocations();
      for (uint64_t step = 1; step < 1200; ++step) walk.step(step);
      const uint64_t after = test::allocations();
      INFO(name);
      CHECK(after == before);
    }
}

TEST_CASE("what an environment throws reaches the caller, whatever the threads", "[threads]") {
  for (size_t threads : {1, 2, 4}) {
    VectorEnv envs([] { return std::make_unique<Fragile>(); }, 8, threads, Autoreset::SameStep);
    StepArrays arrays(envs);
    envs.reset(100, arrays.buffers());
    std::vector<float> actions(8, 0);
    envs.step(actions, arrays.buffers());
    actions[3] = actions[6] = 2;
    CHECK_THROWS_WITH(envs.step(actions, arrays.buffers()), "environment of seed 103");
    // The others have moved, and after a reset all is well.
    CHECK(arrays.observations == std::vector<float>(8, 2));
    envs.reset(100, arrays.buffers());
    for (int step = 0; step < 5; ++step) envs.step(std::vector<float>(8, 0), arrays.buffers());
    CHECK(arrays.observations == std::vector<float>(8, 5));
  }
}

TEST_CASE("an environment that cannot be made reaches the caller, and no thread stays", "[threads]") {
  const size_t before = running_threads();
  int made = 0;
  auto make_two = [&made] {
    if (++made > 2) throw IoError("no third environment");
    return make_env("CartPole-v1");
  };
  CHECK_THROWS_WITH(VectorEnv(make_two, 4, 4, Autoreset::SameStep), "no third environment");
  CHECK(come_down_to(before));
}

TEST_CASE("threads that cannot be had reach the caller, and none stays", "[threads]") {
  const size_t before = running_threads();
  const rlim_t mapped = mapped_bytes();
  if (mapped >> 40) return;  // a sanitizer's shadow: it ends the program where it cannot map more
  {
    const AddressSpaceLimit limit(mapped + (256 << 20));  // fewer than 300 stacks
    CHECK_THROWS_AS(make("CartPole-v1", 300, 300, Autoreset::SameStep), std::system_error);
  }
  CHECK(come_down_to(before));
}

TEST_CASE("what a VectorEnv is not for is refused") {
  auto pole = [] { return make_env("CartPole-v1"); };
  CHECK_THROWS_AS(VectorEnv(pole, 0, 1, Autoreset::SameStep), InvariantError);
  VectorEnv envs(pole, 2, 1, Autoreset::Disabled);
  StepArrays arrays(envs);
  std::vector<float> right(2, 1);
  CHECK_THROWS_AS(envs.step(right, arrays.buffers()), InvariantError);
  CHECK_THROWS_AS(envs.episodes(), InvariantError);
  envs.reset(kSeed, arrays.buffers());
  CHECK_THROWS_AS(envs.keep_episodes(true), InvariantError);
  CHECK_THROWS_AS(envs.step(std::vector<float>(3), arrays.buffers()), InvariantError);
  while (!arrays.ended(0) && !arrays.ended(1)) envs.step(right, arrays.buffers());
  CHECK_THROWS_AS(envs.step(right, arrays.buffers()), InvariantError);

  VectorEnv automatic(pole, 2, 1, Autoreset::NextStep);
  automatic.reset(kSeed, arrays.buffers());
  CHECK_THROWS_AS(automatic.reset(std::vector<uint8_t>(2, 1), arrays.buffers()), InvariantError);
}
