// Trainings as a whole: the same to the bit whatever interrupts them, refused where something is wrong.

#include "core/error.hpp"
#include "core/parallel.hpp"
#include "gym/registry.hpp"
#include "logger.hpp"
#include "rl/policy_file.hpp"
#include "seeds.hpp"
#include "tensor.hpp"

#include "folder.hpp"
#include "learning/catch.hpp"

#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace kisim::learning {
namespace {

namespace fs = std::filesystem;
using test::Folder;
using Values = std::map<std::string, std::string>;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  REQUIRE(file);
  return out.str();
}

TrainRequest request(const std::string& algorithm, const std::string& environment, int64_t steps, const Values& values,
                     const std::string& directory = "") {
  return {.environment = environment,
          .make = [environment] { return make_env(environment); },
          .algorithm = algorithm,
          .steps = steps,
          .seed = 3,
          .values = train_values(find_algorithm(algorithm), "", values),
          .directory = directory,
          .version = "test"};
}

bool always(int64_t) { return true; }

// The policy's numbers one after the other.
std::vector<float> numbers(const PolicyNetwork& policy) {
  std::vector<float> out = policy.log_std;
  for (const Layer& layer : policy.layers) {
    for (const Eigen::MatrixXf* m : {&layer.weight, &layer.recurrent})
      out.insert(out.end(), m->data(), m->data() + m->size());
    out.insert(out.end(), layer.bias.data(), layer.bias.data() + layer.bias.size());
  }
  for (double x : policy.normaliser.mean) out.push_back(static_cast<float>(x));
  for (double x : policy.normaliser.variance) out.push_back(static_cast<float>(x));
  return out;
}

const Values kNormalised = {{"numEnvs", "6"},
                            {"numSteps", "32"},
                            {"minibatchSize", "64"},
                            {"normalizeObservations", "true"},
                            {"normalizeRewards", "true"},
                            {"evaluationEpisodes", "5"}};
const Values kLstm = {{"numEnvs", "4"}, {"numSteps", "32"}, {"minibatchSize", "64"},
                      {"lstm", "8"},    {"hidden", "8"},    {"evaluationEpisodes", "5"}};
const Values kDqn = {{"numEnvs", "2"}, {"learningStarts", "500"}, {"bufferSize", "1500"},     {"nStep", "3"},
                     {"hidden", "16"}, {"batchSize", "32"},       {"evaluationEpisodes", "5"}};

struct Case {
  std::string algorithm, environment;
  int64_t steps;
  Values values;
};

}  // namespace

TEST_CASE("Threads change no bit of what is learned") {
  const Case c = GENERATE(Case{"ppo", "CartPole-v1", 2000, kNormalised}, Case{"dqn", "CartPole-v1", 4000, kDqn});
  std::vector<float> first;
  for (size_t threads : {1, 2, 4}) {
    TrainRequest one = request(c.algorithm, c.environment, c.steps, c.values);
    one.threads = threads;
    Trainer trainer(one);
    trainer.run(c.steps, always);
    if (first.empty()) first = numbers(trainer.policy());
    CHECK(numbers(trainer.policy()) == first);
  }
  TrainRequest other = request(c.algorithm, c.environment, c.steps, c.values);
  other.seed = 4;
  Trainer trainer(other);
  trainer.run(c.steps, always);
  CHECK(numbers(trainer.policy()) != first);
}

TEST_CASE("Seeds side by side are seeds one by one") {
  SeedsProgress progress;
  const std::atomic<bool> stop = false;
  SeedsRequest all{.training = request("ppo", "CartPole-v1", 1000, kNormalised), .seeds = {1, 2, 3}};
  all.training.threads = 3;
  const std::vector<TrainResult> together = train_seeds(all, progress, stop).results;
  all.training.threads = 1;
  const std::vector<TrainResult> alone = train_seeds(all, progress, stop).results;
  REQUIRE(together.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(together[i].seed == i + 1);
    CHECK(together[i].evaluation == alone[i].evaluation);
  }
  CHECK(progress.done == 6 * together[0].steps);
  CHECK(progress.before == 0);
}

TEST_CASE("Two threads that multiply do not spoil each other's products") {
  if (!threads_may_multiply()) {
    WARN("skipped: this OpenBLAS is built without threads and without locks");
    return;
  }
  // Sums of small whole numbers are exact in any order.
  const auto numbers = [](int64_t rows, int64_t columns, int64_t step) {
    return (torch::arange(rows * columns) * step).remainder(13).sub(6).to(torch::kFloat32).reshape({rows, columns});
  };
  const Tensor a = numbers(64, 64, 7), b = numbers(64, 256, 5);
  const Tensor right = torch::matmul(a.to(torch::kFloat64), b.to(torch::kFloat64)).to(torch::kFloat32);
  std::atomic<int> wrong = 0;
  parallel_for(4, 4, [&](size_t) {
    use_one_thread();
    for (int i = 0; i < 3000; ++i) wrong += !torch::equal(torch::matmul(a, b), right);
  });
  CHECK(wrong == 0);
}

TEST_CASE("A seed that fails leaves the others their results") {
  SeedsProgress progress;
  const std::atomic<bool> stop = false;
  SeedsRequest all{.training = request("ppo", "CartPole-v1", 600, kNormalised), .seeds = {1, 2, 3}};
  all.training.threads = 1;
  int made = 0;
  all.training.make = [&made]() -> std::unique_ptr<Env> {
    // Six environments and one for the evaluation by seed.
    if (++made == 8) throw TrainingError("of the second");
    return make_env("CartPole-v1");
  };
  const SeedsResult found = train_seeds(all, progress, stop);
  REQUIRE(found.results.size() == 2);
  CHECK(found.results[0].seed == 1);
  CHECK(found.results[1].seed == 3);
  REQUIRE(found.failures.size() == 1);
  CHECK_THROWS_WITH(std::rethrow_exception(found.failures[0]), "seed 2: of the second");
}

TEST_CASE("Progress tells what was done before apart, and an earlier training is refused untouched") {
  Folder folder;
  SeedsRequest all{.training = request("ppo", "CartPole-v1", 2000, kNormalised, folder.path("run")),
                   .seeds = {1, 2},
                   .description = "what it is\n"};
  all.training.threads = 1;
  SeedsProgress first;
  std::atomic<bool> stop = false;
  // The eighth is the second seed's first, after six of the first seed and one for its evaluation.
  int made = 0;
  all.training.make = [&stop, &made] {
    if (++made == 8) stop = true;
    return make_env("CartPole-v1");
  };
  CHECK(train_seeds(all, first, stop).results.size() == 1);
  CHECK(content(folder.path("run/training.json")) == "what it is\n");
  const std::string checkpoint = checkpoint_paths(folder.path("run/seed-2"))[0];
  CHECK(first.done > 2000);

  stop = false;
  SeedsProgress refused;
  all.description = "something else\n";
  CHECK_THROWS_WITH(train_seeds(all, refused, stop), Catch::Contains("holds an earlier training"));
  CHECK(content(folder.path("run/training.json")) == "what it is\n");
  CHECK((checkpoint_paths(folder.path("run/seed-2")) == std::vector<std::string>{checkpoint}));

  SeedsProgress rest;
  all.resume = true;
  const std::vector<TrainResult> results = train_seeds(all, rest, stop).results;
  REQUIRE(results.size() == 2);
  CHECK(rest.before == first.done);
  CHECK(rest.before + rest.done == results[0].steps + results[1].steps);
  CHECK(rest.done > 0);
  CHECK(content(folder.path("run/training.json")) == "what it is\n");
}

TEST_CASE("A training that was interrupted ends as if it had not been") {
  const Case c = GENERATE(Case{"ppo", "CartPole-v1", 3000, kNormalised}, Case{"ppo", "BlinkingLight-v0", 2000, kLstm},
                          Case{"ppo", "IdentityBox-v0", 2000, kNormalised}, Case{"dqn", "CartPole-v1", 6000, kDqn},
                          Case{"dqn", "MaskedActions-v0", 3000, kDqn});
  CAPTURE(c.algorithm, c.environment);
  Folder folder;
  Trainer whole(request(c.algorithm, c.environment, c.steps, c.values, folder.path("whole")));
  whole.run(c.steps, always);
  const TrainResult wanted = whole.finish();
  {
    Trainer first(request(c.algorithm, c.environment, c.steps, c.values, folder.path("parts")));
    first.run(c.steps, [&](int64_t steps) { return steps < c.steps / 2; });
    CHECK_FALSE(first.done());
  }
  // A row after the checkpoint, as of a program that was killed.
  std::ofstream(folder.path("parts/curves.csv"), std::ios::app) << "9999,1,2,3\n";
  Trainer second(request(c.algorithm, c.environment, c.steps, c.values, folder.path("parts")));
  REQUIRE(second.resume());
  second.run(c.steps, always);
  const TrainResult found = second.finish();

  CHECK(numbers(second.policy()) == numbers(whole.policy()));
  CHECK(found.evaluation == wanted.evaluation);
  CHECK(content(folder.path("parts/curves.csv")) == content(folder.path("whole/curves.csv")));
  const std::string last = fs::path(checkpoint_paths(folder.path("whole"))[0]).filename();
  CHECK(content(folder.path("parts/" + last)) == content(folder.path("whole/" + last)));
  CHECK(content(folder.path("parts/last.safetensors")) == content(folder.path("whole/last.safetensors")));
}

TEST_CASE("A checkpoint that is damaged, foreign or of another training is refused") {
  Folder folder;
  {
    Trainer trainer(request("ppo", "CartPole-v1", 400, kNormalised, folder.path("run")));
    trainer.run(400, always);
    trainer.finish();
  }
  const std::string path = checkpoint_paths(folder.path("run"))[0], whole = content(path);
  auto resume = [&](const TrainRequest& one) { Trainer(one).resume(); };
  const TrainRequest same = request("ppo", "CartPole-v1", 400, kNormalised, folder.path("run"));
  auto with_content = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    return same;
  };
  CHECK_NOTHROW(resume(same));
  for (size_t at : {size_t{30}, whole.size() / 2, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[at] ^= 1;
    CHECK_THROWS_WITH(resume(with_content(damaged)), Catch::Contains("is damaged"));
  }
  CHECK_THROWS_WITH(resume(with_content(whole.substr(0, whole.size() / 2))), Catch::Contains("is damaged"));
  CHECK_THROWS_WITH(resume(with_content("PK\x03\x04 something else")), Catch::Contains("no checkpoint"));
  CHECK_THROWS_WITH(resume(with_content("")), Catch::Contains("no checkpoint"));
  with_content(whole);
  Values other = kNormalised;
  other["gamma"] = "0.5";
  CHECK_THROWS_WITH(resume(request("ppo", "CartPole-v1", 400, other, folder.path("run"))),
                    Catch::Contains("another training"));
  CHECK_FALSE(Trainer(request("ppo", "CartPole-v1", 400, kNormalised, folder.path("none"))).resume());
}

TEST_CASE("The latest checkpoints stay, and the policies read back") {
  Folder folder;
  Values values = kNormalised;
  values["checkpointInterval"] = "200";
  values["evaluationInterval"] = "1000";
  values["keepCheckpoints"] = "3";
  Trainer trainer(request("ppo", "CartPole-v1", 3000, values, folder.path("run")));
  trainer.run(3000, always);
  const TrainResult result = trainer.finish();
  CHECK(checkpoint_paths(folder.path("run")).size() == 3);
  CHECK(result.best_evaluation >= result.evaluation);
  const PolicyFile last = read_policy_file(folder.path("run/last.safetensors"));
  CHECK(numbers(last.network) == numbers(trainer.policy()));
  CHECK(last.provenance.at("environment") == "CartPole-v1");
  CHECK(last.algorithm == "ppo");
  REQUIRE(last.seen_low.size() == 4);
  for (size_t j = 0; j < 4; ++j) CHECK(last.seen_low[j] < last.seen_high[j]);
  CHECK((read_policy_file(folder.path("run/best.safetensors")).observation == last.observation));
}

namespace {

// Shows or pays what it should not, in its fifth step and its thousandth.
class BrokenEnv final : public Env {
 public:
  explicit BrokenEnv(float shown, double paid = 1) : shown_(shown), paid_(paid) {
    spec_.name = "Broken";
    spec_.observation = {{"queue (requests)", 0, 100}, {"load (1/s)", 0, 10}};
    spec_.actions = ActionSpace::discrete(2);
  }
  const EnvSpec& spec() const override { return spec_; }

 private:
  void begin(uint64_t, uint64_t, std::span<float> observation) override { observation[0] = observation[1] = 1; }
  Transition advance(std::span<const float>, std::span<float> observation) override {
    observation[0] = 1;
    observation[1] = ++steps_ == 5 ? shown_ : 1;
    return {.reward = steps_ == 1000 ? paid_ : 1};
  }

  EnvSpec spec_;
  float shown_;
  double paid_;
  int steps_ = 0;
};

}  // namespace

TEST_CASE("An observation that is no number or beyond its bounds is refused by its name") {
  const float shown = GENERATE(10.5f, -1.f, std::numeric_limits<float>::quiet_NaN());
  TrainRequest broken = request("ppo", "CartPole-v1", 1000, kNormalised);
  broken.make = [shown] { return std::make_unique<BrokenEnv>(shown); };
  Trainer trainer(broken);
  CHECK_THROWS_WITH(trainer.run(1000, always), Catch::Contains("'load (1/s)'") && Catch::Contains("allowed: 0 to 10"));
}

TEST_CASE("A loss that is no number ends the training with its reason; the last checkpoint stays") {
  Folder folder;
  Values values = kNormalised;
  values["normalizeRewards"] = "false";
  values["checkpointInterval"] = "1";
  TrainRequest broken = request("ppo", "CartPole-v1", 100'000, values, folder.path("run"));
  broken.make = [] { return std::make_unique<BrokenEnv>(1.f, 1e200); };
  Trainer trainer(broken);
  CHECK_THROWS_WITH(trainer.run(100'000, always), Catch::Contains("the loss is") && Catch::Contains("learningRate"));
  CHECK(trainer.steps() >= 5000);
  CHECK(checkpoint_paths(folder.path("run")).size() == 2);
}

TEST_CASE("Parameters that make no sense are refused") {
  const AlgorithmSpec& ppo = find_algorithm("ppo");
  CHECK_THROWS_WITH(train_params(ppo, "", {{"gama", "0.9"}}), Catch::Contains("unknown parameter 'gama'"));
  CHECK_THROWS_WITH(train_params(ppo, "", {{"gamma", "1.1"}}),
                    Catch::Contains("'gamma'") && Catch::Contains("from 0 to 1"));
  CHECK_THROWS_WITH(train_params(ppo, "zoo", {}), Catch::Contains("cleanrl, zoo-cartpole"));
  CHECK_THROWS_WITH(find_algorithm("sac"), Catch::Contains("ppo, a2c, reinforce, dqn"));
  for (const char* text : {"64,", ",64", "0", "64,x", "9999999"})
    CHECK_THROWS_WITH(train_params(ppo, "", {{"hidden", text}}), Catch::Contains("'hidden'"));
  CHECK(layer_sizes("").empty());
  CHECK((layer_sizes("64,32") == std::vector<int64_t>{64, 32}));
  CHECK(train_params(ppo, "cleanrl", {{"gamma", "0.5"}}).number("gamma") == .5);
  CHECK(train_params(ppo, "cleanrl", {}).number("learningRate") == 2.5e-4);
  for (const TrainPreset& preset : train_presets())
    CHECK_NOTHROW(train_params(find_algorithm(preset.algorithm), preset.name, {}));
}

TEST_CASE("Running moments are those of all rows together") {
  RunningMoments moments(2);
  const std::vector<double> first = {1, 10, 2, 20}, second = {6, 30};
  moments.add(std::span<const double>(first));
  moments.add(std::span<const double>(second));
  CHECK(moments.mean()[0] == Approx(3).epsilon(1e-3));
  CHECK(moments.mean()[1] == Approx(20).epsilon(1e-3));
  CHECK(moments.variance()[0] == Approx((4 + 1 + 9) / 3.0).epsilon(1e-3));
  const ObservationNormaliser normaliser{.mean = {1, 0}, .variance = {4, 1e-4}};
  const std::vector<float> rows = {5, 1, 1, 0};
  std::vector<float> out(4);
  normalise(normaliser, rows, out);
  CHECK((out == std::vector<float>{2, 10, 0, 0}));
}

TEST_CASE("Event files: checksums, and records as TensorBoard reads them") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c("") == 0);
  Folder folder;
  EventFile(folder.path("")).add(1.5, 300, {{"charts/episodic_return", 2.5}, {"losses/entropy", std::nan("")}});
  std::string bytes;
  for (const auto& entry : fs::directory_iterator(folder.path(""))) bytes = content(entry.path().string());
  auto record = [&] {
    uint64_t length = 0;
    uint32_t crc = 0;
    std::memcpy(&length, bytes.data(), 8);
    std::memcpy(&crc, bytes.data() + 8, 4);
    CHECK(crc == masked_crc32c(bytes.substr(0, 8)));
    const std::string payload = bytes.substr(12, length);
    std::memcpy(&crc, bytes.data() + 12 + length, 4);
    CHECK(crc == masked_crc32c(payload));
    bytes.erase(0, 16 + length);
    return payload;
  };
  CHECK(
      record().ends_with("\x1a\x0d"
                         "brain.Event:2"));
  // wall_time 1.5, step 300, one value: its tag, then 2.5 as float.
  const std::string wanted(
      "\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x1f\x0a\x1d\x0a\x16"
      "charts/episodic_return\x15\0\0\x20\x40",
      45);
  CHECK(record() == wanted);
  CHECK(bytes.empty());
}

TEST_CASE("PPO balances the pole: 475 of 500 within 100,000 steps for four of five seeds") {
  SeedsProgress progress;
  const std::atomic<bool> stop = false;
  SeedsRequest all{.training = request("ppo", "CartPole-v1", 100'000, {}), .seeds = {0, 1, 2, 3, 4}};
  all.training.values = train_values(find_algorithm("ppo"), "zoo-cartpole", {});
  all.training.threads = 0;
  int solved = 0;
  const SeedsResult found = train_seeds(all, progress, stop);
  CHECK(found.failures.empty());
  for (const TrainResult& result : found.results) {
    UNSCOPED_INFO("seed " << result.seed << ": " << result.evaluation);
    solved += result.evaluation >= 475;
  }
  CHECK(solved >= 4);
}

}  // namespace kisim::learning
