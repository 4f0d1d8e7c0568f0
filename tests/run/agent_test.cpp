// Agents: what they are shown, what becomes of their actions, and that a policy does in a run what it did in training.

#include "gym/autoscaling.hpp"
#include "io/coding_text.hpp"
#include "io/scenario_text.hpp"
#include "io/training_file.hpp"
#include "rl/actor.hpp"
#include "rl/policy_file.hpp"
#include "rl/random_network.hpp"
#include "rl/rollouts.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

const std::string kFleet = std::string(KISIM_ROOT) + "/scenarios/kis-s/fleet";

std::vector<std::pair<std::string, std::string>> agent_of(const std::string& coding) {
  return {{"policies.agents.fleet.coding", coding}, {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"}};
}

Scenario fleet(const std::string& pattern, std::vector<std::pair<std::string, std::string>> overrides) {
  Scenario out = read_scenario({kFleet + "-" + pattern + ".yaml"}, test::with(std::move(overrides)));
  out.trains_agents = true;
  return out;
}

std::shared_ptr<const AutoscalingSpec> environment(const std::vector<Scenario>& scenarios) {
  AutoscalingSpec spec;
  for (const Scenario& scenario : scenarios) spec.scenarios.push_back(std::make_shared<const Scenario>(scenario));
  return std::make_shared<const AutoscalingSpec>(std::move(spec));
}

// Rewards and observations of an episode of random allowed actions.
std::vector<double> episode(Env& env, uint64_t seed, uint64_t number = 0) {
  std::vector<float> observation(env.spec().observation.size()), action(env.spec().actions.size());
  std::vector<uint8_t> allowed(env.spec().actions.outputs());
  const std::vector<float> logits(allowed.size());
  std::vector<double> out;
  Stream stream(seed, 1, Purpose::Policy);
  env.reset(seed, number, observation);
  for (bool ended = false; !ended;) {
    out.insert(out.end(), observation.begin(), observation.end());
    env.mask(allowed);
    sample_action(env.spec().actions, logits, {}, allowed, stream, action);
    const Transition t = env.step(action, observation);
    out.push_back(t.reward);
    ended = t.terminated || t.truncated;
  }
  return out;
}

PolicyFile random_policy(const AutoscalingEnv& env, const PolicyChoice& coding) {
  PolicyFile out;
  out.name = "random";
  out.algorithm = "none";
  out.observation = env.spec().observation;
  out.network = test::RandomNetwork("agent").mlp(out.observation.size(), 16, Activation::Tanh, env.spec().actions);
  out.coding = coding_text(coding);
  return out;
}

}  // namespace

TEST_CASE("An environment's episode belongs to its seed and number", "[agent]") {
  AutoscalingEnv env(environment({fleet("random", agent_of("kiscaler")), fleet("spike", agent_of("kiscaler"))}));
  const std::vector<double> first = episode(env, 1), other = episode(env, 2);
  CHECK(first.size() == 259 * (env.spec().observation.size() + 1));
  CHECK(first != other);
  CHECK(episode(env, 1, 3) != first);
  CHECK(episode(env, 1) == first);
}

TEST_CASE("Environments side by side do what one does alone", "[agent][threads]") {
  const auto spec = environment({fleet("random", agent_of("kiscaler"))});
  auto rewards = [&](size_t threads) {
    VectorEnv envs([&] { return std::make_unique<AutoscalingEnv>(spec); }, 3, threads, Autoreset::SameStep);
    test::StepArrays arrays(envs);
    std::vector<double> out;
    std::vector<float> actions(3 * 2);
    envs.reset(5, arrays.buffers());
    for (int step = 0; step < 300; ++step) {
      for (size_t i = 0; i < actions.size(); ++i) actions[i] = static_cast<float>((step / 7 + i) % 5 == 0 ? 3 : 2);
      envs.step(actions, arrays.buffers());
      out.insert(out.end(), arrays.rewards.begin(), arrays.rewards.end());
      for (float x : arrays.observations) out.push_back(x);
    }
    return out;
  };
  CHECK(rewards(1) == rewards(2));
}

TEST_CASE("A policy decides in a run as it did in its environment", "[agent]") {
  auto coding = GENERATE(as<std::string>(), "kiscaler", "kiscaler-published");
  INFO(coding);
  AutoscalingEnv env(environment({fleet("periodic", agent_of(coding))}));
  const PolicyFile policy = random_policy(env, {coding, {}, {}});

  Actor actor(policy.network);
  std::vector<float> observation(env.spec().observation.size()), outputs(env.spec().actions.outputs()),
      action(env.spec().actions.size());
  std::vector<uint8_t> allowed(outputs.size());
  RecurrentState state = actor.initial_state();
  env.reset(11, 0, observation);
  for (bool ended = false; !ended;) {
    actor.forward(observation, state, outputs);
    env.mask(allowed);
    likeliest_action(env.spec().actions, outputs, allowed, action);
    ended = env.step(action, observation).truncated;
  }
  const Summary in_environment = env.world().summary();

  test::Folder folder;
  write_policy_file(folder.path("policy.safetensors"), policy);
  const Scenario scenario = read_scenario(
      {kFleet + "-periodic.yaml"}, {.overrides = {{"policies.agents.fleet.policy", folder.path("policy.safetensors")},
                                                  {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"}},
                                    .seed = 11});
  const Summary in_run = run(compile(scenario));
  CHECK(in_run.events == in_environment.events);
  CHECK(in_run.signature == in_environment.signature);
  CHECK(in_run.decisions.at("AgentRescale") > 0);
}

TEST_CASE("What an agent sees is as old as its metrics", "[agent]") {
  // From 10 to 400 requests per second at 20 minutes; seen 60 s after the scrape, and later.
  auto overrides = agent_of("kiscaler");
  overrides.emplace_back("traffic.images.pattern", "{over: {list: [{at: 0s, rate: 10/s}, {at: 20m, rate: 400/s}]}}");
  overrides.emplace_back("metrics.delay", "60s");
  overrides.emplace_back("metrics.offset", "0s");
  AutoscalingEnv env(environment({fleet("ramp", overrides)}));
  const std::vector<Feature>& features = env.spec().observation;
  const auto arrivals = static_cast<size_t>(
      std::find_if(features.begin(), features.end(),
                   [](const Feature& f) { return f.name.find("arrivals in 1/s") != std::string::npos; }) -
      features.begin());
  std::vector<float> observation(features.size());
  env.reset(1, 0, observation);
  const std::vector<float> hold{2, 2};
  double seen_at = 0;
  while (seen_at == 0) {
    env.step(hold, observation);
    if (observation[arrivals] > 3) seen_at = env.world().now().to_seconds();
  }
  // The first scrape that knows of it is that of 20 min 15 s.
  CHECK(seen_at >= 1200 + 15 + 60);
  CHECK(seen_at <= 1200 + 30 + 60);
}

TEST_CASE("Variations of a scenario", "[agent]") {
  ModelVariant variant(*compile(read_scenario(
      {kFleet + "-spike.yaml"},
      test::with({{"models.t4.detail", "iteration"}, {"models.a100.detail", "iteration"}, {"duration", "15m"}}))));
  auto with = [&](const Variation& v) {
    variant.set(3, v);
    return run(variant.model());
  };
  const Summary plain = with({});
  CHECK(with({}).signature == plain.signature);
  CHECK(plain.signature ==
        run(compile(read_scenario({kFleet + "-spike.yaml"}, {.overrides = {{"models.t4.detail", "iteration"},
                                                                           {"models.a100.detail", "iteration"},
                                                                           {"duration", "15m"}},
                                                             .seed = 3})))
            .signature);
  const auto arrived = static_cast<double>(plain.requests.arrived);
  CHECK(static_cast<double>(with({.load = 0.5}).requests.arrived) == Approx(arrived / 2).epsilon(0.01));
  CHECK(with({.service = 1.5}).latency_s.e2e->p50 > 1.2 * plain.latency_s.e2e->p50);
  CHECK(with({.service = 1.5}).requests.arrived == plain.requests.arrived);
  CHECK(with({.startup = 3}).signature != plain.signature);
  CHECK(with({.metrics_noise = 0.2}).requests.arrived == plain.requests.arrived);
  CHECK(with({.metrics_noise = 0.2}).signature != plain.signature);
}

TEST_CASE("Failures come more often in a variation", "[agent]") {
  ModelVariant variant(*compile(read_scenario(
      {kFleet + "-ramp.yaml"},
      test::with({{"faults", "[{kind: oom-kill, workload: triton-t4, every: {exponential: {mean: 10m}}}]"}}))));
  auto kills = [&](double failures) {
    variant.set(3, {.failures = failures});
    World world(variant.model());
    world.run_until(world.model().end);
    return world.state().kube.faults.at(0).occurrences;
  };
  const uint64_t plain = kills(1), often = kills(10);
  CHECK(plain > 0);
  CHECK(plain < 20);
  CHECK(often > 5 * plain);
}

TEST_CASE("The levels agree on what an agent's decisions are worth", "[agent]") {
  // Up by one every fourth decision until all are there, down again in the second half.
  auto mean_reward = [](const std::string& detail) {
    auto overrides = agent_of("kiscaler");
    overrides.emplace_back("models.t4.detail", detail);
    overrides.emplace_back("models.a100.detail", detail);
    AutoscalingEnv env(environment({fleet("periodic", overrides)}));
    std::vector<float> observation(env.spec().observation.size());
    double sum = 0;
    int steps = 0;
    env.reset(1, 0, observation);
    for (bool ended = false; !ended; ++steps) {
      const float move = steps % 4 != 0 ? 2 : steps < 120 ? 3 : 1;
      const std::vector<float> action{move, 2};
      const Transition t = env.step(action, observation);
      sum += t.reward;
      ended = t.truncated;
    }
    return sum / steps;
  };
  const double linear = mean_reward("linear");
  CHECK(mean_reward("fluid") == Approx(linear).epsilon(0.05));
}

// Who sends to those with the fewest requests leaves the slow GPUs less than the fast ones: 6 T4 and 3 A100 answer 1905
// requests per second in batches of four, of which an equal share for each would be lost from 1260 on.
TEST_CASE("The levels agree on what GPUs of two kinds answer together", "[agent]") {
  auto with = [](const std::string& rate, const std::string& detail) {
    return run(compile(read_scenario(
        {kFleet + "-ramp.yaml"}, test::with({{"models.t4.detail", detail},
                                             {"models.a100.detail", detail},
                                             {"duration", "15m"},
                                             {"traffic.images.pattern", "{constant: " + rate + "}"},
                                             {"policies.autoscaler.triton-t4", "{name: constant, replicas: 6}"},
                                             {"policies.autoscaler.triton-a100", "{name: constant, replicas: 3}"}}))));
  };
  for (const char* rate : {"1300/s", "1700/s"}) {
    const Summary fluid = with(rate, "fluid"), iteration = with(rate, "iteration");
    INFO(rate << ": " << fluid.slo->attainment << " and " << iteration.slo->attainment);
    CHECK(fluid.slo->attainment == Approx(iteration.slo->attainment).margin(0.02));
    CHECK(fluid.gpu->utilization == Approx(iteration.gpu->utilization).margin(0.02));
  }
}

TEST_CASE("Agents that cannot be", "[agent]") {
  auto refused = [](std::vector<std::pair<std::string, std::string>> overrides) {
    return test::complaint([&] { compile(fleet("ramp", std::move(overrides))); });
  };
  auto with = [](const std::string& path, const std::string& value) {
    auto out = agent_of("kiscaler");
    out.emplace_back("policies.agents.fleet." + path, value);
    return out;
  };
  CHECK_THAT(refused(agent_of("kiscalor")), Contains("found 'kiscalor', allowed: kiscaler, kiscaler-published"));
  CHECK_THAT(refused(with("workloads", "[triton-t5]")), Contains("found 'triton-t5', which no workload is named"));
  CHECK_THAT(refused(with("minReplicas", "5")), Contains("found 4, allowed: at least minReplicas (5)"));
  auto published = agent_of("kiscaler-published");
  published.emplace_back("policies.agents.fleet.workloads", "triton-t4");
  CHECK_THAT(refused(published), Contains("kiscaler-published for 1 workloads"));

  Scenario untrained = fleet("ramp", agent_of("kiscaler"));
  untrained.trains_agents = false;
  CHECK_THAT(test::complaint([&] { compile(untrained); }), Contains("policies.agents.fleet.policy: missing"));

  // A policy that was trained on something else.
  AutoscalingEnv env(environment({fleet("ramp", agent_of("kiscaler"))}));
  PolicyFile policy = random_policy(env, {"kiscaler", {}, {}});
  policy.observation.pop_back();
  policy.network = test::RandomNetwork("agent").mlp(policy.observation.size(), 4, Activation::Relu, env.spec().actions);
  test::Folder folder;
  write_policy_file(folder.path("p.safetensors"), policy);
  auto trained = [&] {
    return compile(read_scenario({kFleet + "-ramp.yaml"},
                                 test::with({{"policies.agents.fleet.policy", folder.path("p.safetensors")},
                                             {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"}})));
  };
  CHECK_THAT(test::complaint(trained), Contains("was trained on other observations: 25, the first that differs "
                                                "'nothing'; this agent sees 26, there 'arrivals known'"));

  // Or with decisions at other intervals.
  policy = random_policy(env, {"kiscaler", {}, {}});
  policy.provenance[kPolicyInterval] = "60";
  write_policy_file(folder.path("p.safetensors"), policy);
  REQUIRE(trained()->warnings.size() == 1);
  CHECK_THAT(trained()->warnings[0], Contains("interval: found 15s") && Contains("was trained with 60s"));
}

TEST_CASE("The reward of an autoscaling environment by hand", "[agent]") {
  auto of = [](std::vector<std::pair<std::string, std::string>> overrides, AutoscalingReward reward) {
    auto all = agent_of("kiscaler");
    all.emplace_back("policies.agents.fleet.start", "5m");
    all.insert(all.end(), overrides.begin(), overrides.end());
    AutoscalingSpec spec;
    spec.scenarios = {std::make_shared<const Scenario>(fleet("ramp", all))};
    spec.reward = reward;
    return AutoscalingEnv(std::make_shared<const AutoscalingSpec>(spec));
  };
  const double most = 8 * 0.35 + 4 * 3.67, begin = 2 * 0.35 + 3.67;
  std::vector<float> observation(26);
  std::vector<double> costs(2);
  const std::vector<float> keep{2, 2}, more{3, 2};
  AutoscalingEnv quiet = of({{"traffic.images.pattern", "{constant: 50/s}"}}, {.cost = 1, .slo = 4, .churn = 0.05});
  REQUIRE(quiet.spec().observation.size() == observation.size());
  quiet.reset(1, 0, observation);
  // One request more than Little's law has, of 750, may look late.
  const double one = 4.0 / 750;
  CHECK(quiet.step(keep, observation).reward == Approx(-begin / most).margin(one));
  quiet.costs(costs);
  CHECK(costs[0] == Approx(begin / most));
  CHECK(costs[1] <= one / 4);
  // One more of twelve is one twelfth of churn; its GPU is paid for at the step's end, and counts for half of it.
  CHECK(quiet.step(more, observation).reward == Approx(-(begin + 0.35 / 2) / most - 0.05 / 12).margin(one));
  CHECK(quiet.step(keep, observation).reward == Approx(-(begin + 0.35) / most).margin(one));

  // Ten times what the fleet can answer: nobody is in time.
  AutoscalingEnv loud = of({{"traffic.images.pattern", "{constant: 9000/s}"}}, {.cost = 1, .slo = 4, .churn = 0});
  loud.reset(1, 0, observation);
  for (int i = 0; i < 3; ++i) CHECK(loud.step(keep, observation).reward == Approx(-begin / most - 4).margin(0.01));

  // During warm-up nobody is late.
  AutoscalingEnv early = of({{"traffic.images.pattern", "{constant: 9000/s}"}, {"policies.agents.fleet.start", "15s"}},
                            {.cost = 1, .slo = 4, .churn = 0});
  early.reset(1, 0, observation);
  for (int i = 0; i < 19; ++i) CHECK(early.step(keep, observation).reward == Approx(-begin / most));
  CHECK(early.step(keep, observation).reward == Approx(-begin / most - 4).margin(0.01));

  // A replica may have a price of its own.
  AutoscalingEnv priced =
      of({{"traffic.images.pattern", "{constant: 50/s}"}}, {.cost = 1, .slo = 0, .churn = 0, .replica_prices = {1, 0}});
  priced.reset(1, 0, observation);
  CHECK(priced.step(keep, observation).reward == Approx(-(begin + 2) / (most + 8)));

  // With its weights of money a reward is what the comparison's TOTAL counts, over a run whose queues fill and empty.
  AutoscalingEnv money = of({}, {.cost = 1, .penalty = 1, .slo = 0, .churn = 0});
  money.reset(1, 0, observation);
  double sum = 0;
  for (bool truncated = false; !truncated;) {
    const Transition t = money.step(keep, observation);
    sum += t.reward;
    truncated = t.truncated;
  }
  const Summary summary = money.world().summary();
  REQUIRE(*summary.slo_penalty > *summary.cost);
  CHECK(-sum * most * 15 / 3600 == Approx(*summary.cost + *summary.slo_penalty).epsilon(1e-6));
  CHECK_THAT(test::complaint([&] {
               of({{"slo.images.penalty", "null"}}, {.penalty = 1});
             }),
             Contains("the reward's penalty needs slo.<traffic>.penalty"));
  CHECK_THAT(test::complaint([&] { of({}, {.slo = std::nan("")}); }),
             Contains("the reward has a weight or a price of nan, allowed: 0 to 1e6"));
  CHECK_THAT(test::complaint([&] {
               of({}, {.replica_prices = {1, 2, 3}});
             }),
             Contains("has 3 prices of replicas, allowed: one for each of 2"));
}

TEST_CASE("KIScaler's published reward in its environment", "[agent]") {
  auto overrides = agent_of("kiscaler-published");
  overrides.emplace_back("traffic.images.pattern", "{constant: 0.001/s}");
  AutoscalingSpec spec;
  spec.scenarios = {std::make_shared<const Scenario>(fleet("ramp", overrides))};
  spec.reward.kiscaler_pattern = "ramp";
  AutoscalingEnv env(std::make_shared<const AutoscalingSpec>(spec));
  std::vector<float> observation(10);
  std::vector<double> costs(2);
  env.reset(1, 0, observation);
  // Two and one replicas, nothing is answered: 0.2 (1 - 1/3), and 0.01 from the third step on.
  const std::vector<float> keep{2, 2, 0};
  for (int step = 0; step < 4; ++step)
    CHECK(env.step(keep, observation).reward == Approx(0.2 * 2 / 3 + (step < 2 ? 0 : 0.01)));
  env.costs(costs);
  CHECK(costs[0] == Approx((2 * 0.35 + 3.67) / (8 * 0.35 + 4 * 3.67)));

  spec.scenarios = {std::make_shared<const Scenario>(fleet("ramp", agent_of("kiscaler")))};
  CHECK_THAT(test::complaint([&] { AutoscalingEnv(std::make_shared<const AutoscalingSpec>(spec)); }),
             Contains("KIScaler's published reward needs its agent (coding: kiscaler-published) of two workloads"));
}

TEST_CASE("A shield stands between an agent and the cluster", "[agent]") {
  AutoscalingEnv env(environment({fleet("spike", agent_of("kiscaler"))}));
  PolicyFile policy = random_policy(env, {"kiscaler", {}, {}});
  // It always wants two more of each, if it may.
  for (Layer& layer : policy.network.layers) layer.weight.setZero();
  policy.network.layers.back().bias << 0, 0, 1, 2, 3, 0, 0, 1, 2, 3;
  policy.seen_low.assign(policy.observation.size(), 0);
  policy.seen_high.assign(policy.observation.size(), 100);
  test::Folder folder;
  write_policy_file(folder.path("policy.safetensors"), policy);
  auto with = [&](std::vector<std::pair<std::string, std::string>> shield) {
    std::vector<std::pair<std::string, std::string>> overrides{
        {"policies.agents.fleet.policy", folder.path("policy.safetensors")},
        {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"},
        {"policies.agents.fleet.start", "5m"},
        {"duration", "20m"}};
    for (auto& [field, value] : shield) overrides.emplace_back("policies.shield.fleet." + field, value);
    return run(compile(read_scenario({kFleet + "-spike.yaml"}, test::with(overrides))));
  };
  const Summary free = with({});
  CHECK(free.replicas.at("default/triton-t4").scale_ups ==
        2);  // 4, 6, 8; counted from the end of warm-up, its first decision's instant, on
  CHECK(free.replicas.at("default/triton-a100").max == 4);
  CHECK(with({{"maxStepUp", "1"}}).replicas.at("default/triton-t4").scale_ups == 5);
  const Summary summed = with({{"maxReplicas", "7"}});
  CHECK(summed.replicas.at("default/triton-t4").max + summed.replicas.at("default/triton-a100").max == 7);
  CHECK(summed.decisions.at("ShieldMaxReplicas") > 0);
  const Summary slow = with({{"cooldownUp", "5m"}});
  CHECK(slow.replicas.at("default/triton-t4").max == 8);  // at 5, 10 and 15 minutes
  CHECK(slow.decisions.at("ShieldCooldown") > 10);

  // Older than a nanosecond are all of them: the agent is never asked, and only an HPA does anything.
  const Summary held = with({{"maxAge", "1ns"}});
  CHECK(held.decisions.at("ShieldOldMetrics") > 0);
  CHECK(held.replicas.at("default/triton-t4").scale_ups == 0);
  const Summary fallen_back = with({{"maxAge", "1ns"}, {"fallback", "hpa"}});
  CHECK(fallen_back.decisions.count("AgentRescale") == 0);
  CHECK(fallen_back.replicas.at("default/triton-t4").scale_ups > 0);
  const auto rescales = [](const Summary& s) {
    return std::count_if(s.decisions.begin(), s.decisions.end(),
                         [](const auto& d) { return d.first.starts_with("SuccessfulRescale"); });
  };
  CHECK(rescales(fallen_back) > 0);
  CHECK(rescales(with({{"fallback", "hpa"}})) == 0);

  // Who falls back stays within the agent's shield.
  const Summary limited = with({{"maxAge", "1ns"}, {"fallback", "hpa"}, {"maxReplicas", "5"}, {"maxStepUp", "1"}});
  CHECK(limited.replicas.at("default/triton-t4").max + limited.replicas.at("default/triton-a100").max == 5);
  CHECK(limited.decisions.at("ShieldMaxReplicas") > 0);
  CHECK(rescales(limited) > 0);
  // Scrapes that all fail leave nothing to see.
  const Summary blind = run(compile(read_scenario(
      {kFleet + "-spike.yaml"}, test::with({{"policies.agents.fleet.policy", folder.path("policy.safetensors")},
                                            {"policies.agents.fleet.workloads", "[triton-t4, triton-a100]"},
                                            {"policies.agents.fleet.start", "5m"},
                                            {"policies.shield.fleet.maxAge", "5m"},
                                            {"metrics.dropout", "1"},
                                            {"duration", "20m"}}))));
  CHECK(blind.decisions.at("ShieldMissingMetrics") == 60);
  CHECK(blind.decisions.count("AgentRescale") == 0);

  CHECK_THAT(test::complaint([&] {
               compile(read_scenario({kFleet + "-spike.yaml"}, test::with({{"policies.shield.flet.maxStepUp", "1"}})));
             }),
             Contains("spec.policies.shield.flet: found no agent and no workload with an autoscaler of this name"));
  auto shielded = [&](std::vector<std::pair<std::string, std::string>> overrides) {
    return test::complaint([&] { compile(fleet("spike", overrides)); });
  };
  CHECK_THAT(shielded({{"policies.shield.triton-t4.maxAge", "1m"}}),
             Contains("spec.policies.shield.triton-t4: found maxAge, allowed: for agents"));
  CHECK_THAT(shielded({{"policies.shield.triton-t4.fallback", "hold"}}),
             Contains("found fallback, allowed: for agents"));
  auto of_agent = agent_of("kiscaler");
  of_agent.emplace_back("policies.shield.fleet.maxReplicas", "1");
  CHECK_THAT(shielded(of_agent), Contains("found maxReplicas 1, allowed: at least minReplicas of its workloads (2)"));
  const Summary hpa = run(compile(read_scenario(
      {kFleet + "-spike.yaml"},
      test::with({{"policies.shield.triton-t4.maxStepUp", "1"}, {"policies.shield.triton-t4.cooldownUp", "2m"}}))));
  CHECK(hpa.decisions.count("ShieldMaxStep") + hpa.decisions.count("ShieldCooldown") > 0);
}

TEST_CASE("Training and evaluation files", "[agent]") {
  const TrainingFile training = read_training(kFleet + "/training.yaml");
  CHECK(training.environment.scenarios.size() == 4);
  CHECK(training.steps == 2'000'000);
  CHECK(training.seeds == std::vector<uint64_t>{0, 1, 2, 3, 4});
  CHECK(training.environment.variation.load.low == 0.6);
  CHECK_THAT(training.coding, Contains("kiscaler"));
  const EvaluationFile evaluation = read_evaluation(kFleet + "/evaluation.yaml");
  CHECK(evaluation.families.size() == 7);
  CHECK(evaluation.baseline == "hpa-tuned");
  CHECK(evaluation.contestants.size() >= 2);

  test::Folder folder;
  auto complaint = [&](const std::string& spec) {
    const std::string path =
        folder.write("t.yaml", "apiVersion: kisim.dev/v1\nkind: Training\nmetadata: {name: t}\nspec:\n" + spec);
    return test::complaint([&] { read_training(path); });
  };
  CHECK_THAT(complaint("  steps: 0\n  scenarios: [a.yaml]\n"), Contains("t.yaml:5:10: spec.steps: found '0'"));
  CHECK_THAT(complaint("  steps: 10\n  seeds: 4..1\n  scenarios: [a.yaml]\n"), Contains("spec.seeds: found '4..1'"));
  CHECK_THAT(complaint("  steps: 10\n  scenarios: [a.yaml]\n  variation: {load: {min: 2, max: 1}}\n"),
             Contains("spec.variation.load: found min 2 above max 1"));
  CHECK_THAT(complaint("  steps: 10\n"), Contains("spec.scenarios: missing"));
}
