#include "trainer.hpp"

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "evaluate.hpp"
#include "rl/policy_file.hpp"
#include "tensor.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

namespace kisim::learning {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TrainingPlan plan_of(const TrainRequest& request, const Params& params) {
  return {.params = params,
          .steps = request.steps,
          .seed = request.seed,
          .threads = request.threads,
          .checkpoints = !request.directory.empty()};
}

}  // namespace

Trainer::Trainer(const TrainRequest& request)
    : request_(request), params_(train_params(find_algorithm(request.algorithm), "", request.values)) {
  use_one_thread();
  algorithm_ = make_algorithm(request_.algorithm, request_.make, plan_of(request_, params_));
}

// ---- the loop

bool Trainer::due(int64_t interval, int64_t before) const {
  return interval > 0 && steps_ / interval != before / interval && !done();
}

void Trainer::run(int64_t steps, const std::function<bool(int64_t)>& goes_on) {
  if (files() && !curves_) {
    make_directories(request_.directory);
    curves_.emplace(path("curves.csv"), curve_bytes_);
    events_.emplace(request_.directory);
  }
  while (steps_ < std::min(steps, request_.steps)) {
    const int64_t before = steps_;
    iterate();
    if (due(params_.integer("checkpointInterval"), before)) save_checkpoint();
    if (goes_on(steps_)) continue;
    save_checkpoint();
    return;
  }
}

void Trainer::iterate() {
  Metrics metrics;
  const int64_t before = steps_;
  const auto begin = std::chrono::steady_clock::now();
  const int64_t taken = algorithm_->iterate(metrics);
  const double seconds = seconds_since(begin);
  steps_ += taken;
  own_steps_ += taken;
  own_seconds_ += seconds;

  const EndedEpisodes ended = algorithm_->environments().take_ended();
  const auto count = static_cast<double>(ended.count);
  metrics.insert(metrics.begin(), {{"charts/episodic_return", ended.count > 0 ? ended.returns / count : kNone},
                                   {"charts/episodic_length", ended.count > 0 ? ended.lengths / count : kNone}});
  metrics.emplace_back("eval/episodic_return",
                       due(params_.integer("evaluationInterval"), before) ? evaluate_now() : kNone);
  log(metrics, static_cast<double>(taken) / seconds);
}

void Trainer::log(const Metrics& metrics, double samples_per_s) {
  if (!files()) return;
  curves_->add(steps_, metrics);
  curve_bytes_ = curves_->bytes();
  Metrics with_speed = metrics;
  // Not in the table: it differs between equal trainings.
  with_speed.emplace_back("charts/SPS", samples_per_s);
  events_->add(wall_time(), steps_, with_speed);
}

double Trainer::evaluate_now() {
  const double mean =
      evaluate(algorithm_->policy(), request_.make, hash_combine(request_.seed, hash_text("evaluation")),
               params_.integer("evaluationEpisodes"));
  if (mean > best_) {
    best_ = mean;
    if (files()) write_policy("best.safetensors", mean);
  }
  return mean;
}

TrainResult Trainer::finish() {
  save_checkpoint();  // whatever happens to the evaluation
  TrainResult result{.seed = request_.seed, .steps = steps_, .evaluation = evaluate_now(), .best_evaluation = best_};
  if (own_seconds_ > 0) result.samples_per_s = static_cast<double>(own_steps_) / own_seconds_;
  if (!files()) return result;
  save_checkpoint();
  write_policy("last.safetensors", result.evaluation);
  return result;
}

// ---- files

void Trainer::write_policy(const std::string& file, double evaluation) {
  PolicyFile out;
  out.name = request_.policy_name;
  out.algorithm = request_.algorithm;
  out.observation = algorithm_->environments().spec().observation;
  out.network = algorithm_->policy();
  out.masked = algorithm_->environments().spec().masked;
  out.coding = request_.coding;
  out.seen_low = algorithm_->environments().seen_low();
  out.seen_high = algorithm_->environments().seen_high();
  out.provenance = {
      {"kisim", request_.version},
      {"environment", request_.environment},
      {"seed", fmt::format("{}", request_.seed)},
      {"steps", fmt::format("{}", steps_)},
      {"evaluation", fmt::format("{}", evaluation)},
      {"training", identity()},
  };
  out.provenance.insert(request_.provenance.begin(), request_.provenance.end());
  write_policy_file(path(file), out);
}

// What a checkpoint must agree on with the training that goes on from it.
std::string Trainer::identity() const {
  return nlohmann::json{{"algorithm", request_.algorithm}, {"environment", request_.environment},
                        {"parameters", request_.values},   {"seed", request_.seed},
                        {"steps", request_.steps},         {"version", request_.version}}
      .dump();
}

void Trainer::archive(Checkpoint& checkpoint) {
  checkpoint.item("trainer/steps", steps_);
  checkpoint.item("trainer/best", best_);
  checkpoint.item("trainer/curve_bytes", curve_bytes_);
  algorithm_->archive(checkpoint);
}

void Trainer::save_checkpoint() {
  if (!files()) return;
  Checkpoint checkpoint;
  std::string own = identity();
  checkpoint.item("trainer/identity", own);
  archive(checkpoint);
  checkpoint.write(path(fmt::format("checkpoint-{:012}.kisim", steps_)));
  drop_old_checkpoints();
}

void Trainer::drop_old_checkpoints() {
  const std::vector<std::string> paths = checkpoint_paths(request_.directory);
  std::error_code left;  // one that cannot be removed does no harm
  for (size_t i = static_cast<size_t>(params_.integer("keepCheckpoints")); i < paths.size(); ++i)
    std::filesystem::remove(paths[i], left);
}

bool Trainer::resume() {
  const std::vector<std::string> paths = checkpoint_paths(request_.directory);
  if (paths.empty()) return false;
  Checkpoint checkpoint = Checkpoint::read(paths[0]);
  std::string found;
  checkpoint.item("trainer/identity", found);
  if (found != identity())
    throw InputError({Severity::Error,
                      {paths[0], 0, 0},
                      "",
                      fmt::format("is of another training: found {}, wanted {}", found, identity())});
  archive(checkpoint);
  return true;
}

std::vector<std::string> checkpoint_paths(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("checkpoint-") && name.ends_with(".kisim")) out.push_back(entry.path().string());
  }
  // Steps have leading zeros, so names are in their order.
  std::ranges::sort(out, std::greater{});
  return out;
}

}  // namespace kisim::learning
