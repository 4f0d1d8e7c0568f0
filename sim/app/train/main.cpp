#include "cli.hpp"
#include "core/error.hpp"
#include "core/hash.hpp"
#include "gym/registry.hpp"
#include "io/humanize.hpp"
#include "io/json_file.hpp"
#include "io/output.hpp"
#include "io/training_file.hpp"
#include "io/training_record.hpp"
#include "io/training_report.hpp"
#include "seeds.hpp"
#include "tensor.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <thread>

namespace kisim::app {
namespace {

namespace po = boost::program_options;
using namespace learning;

struct Options {
  std::string file, environment, algorithm, preset, seeds, output = "table", directory, resume;
  std::optional<int64_t> steps;
  size_t threads = 0;
  std::vector<std::string> overrides;
  bool quiet = false, strict = false;
};

std::string parameters_text() {
  std::string out;
  for (const AlgorithmSpec& algorithm : algorithms()) {
    std::vector<std::string> names;
    for (const ParamSpec& spec : algorithm.params) names.push_back(fmt::format("{}={}", spec.name, spec.default_text));
    out += fmt::format("  {}: {}\n", algorithm.name,
                       fmt::join(wrap_text(fmt::format("{}", fmt::join(names, " ")), 72), "\n    "));
  }
  return out;
}

bool parse(const Arguments& arguments, Options& options) {
  std::vector<std::string> names;
  for (const AlgorithmSpec& algorithm : algorithms()) names.push_back(algorithm.name);
  Arguments rest;
  CommandLine line(
      {"train FILE | --env NAME [flags]",
       "Trains a policy, in the scenarios that a file of kind Training names or in an environment of its own, and "
       "evaluates it: the mean return of evaluationEpisodes "
       "deterministic episodes (100 by default) for each seed. With --output-dir, each seed leaves its "
       "curves (CSV, TensorBoard), checkpoints to go on from, and its last and its best policy, and report.html "
       "has the curves of all of them.",
       "  kisim train scenarios/kis-s/fleet/training.yaml --output-dir fleet\n"
       "  kisim train --env CartPole-v1 --preset zoo-cartpole --seeds 0..4\n"
       "  kisim train --env Acrobot-v1 --algorithm dqn --preset cleanrl --set nStep=3 --output-dir acrobot\n"
       "  kisim train --resume acrobot\n\nParameters for --set, with their defaults:\n" +
           parameters_text()});
  line.flags().add_options()("env", po::value(&options.environment)->value_name("name"), "the environment")(
      "algorithm", po::value(&options.algorithm)->value_name("name"),
      fmt::format("{} (default: ppo)", fmt::join(names, ", ")).c_str())(
      "preset", po::value(&options.preset)->value_name("name"), "parameters as others have published them")(
      "steps", po::value<int64_t>()->value_name("n")->notifier([&options](int64_t n) { options.steps = n; }),
      "steps of all environments together (default: the preset's, otherwise 100000)")(
      "seeds", po::value(&options.seeds)->value_name("range"), "one (default: 0), or several as 0..4")(
      "set", po::value(&options.overrides)->value_name("name=value"), "a parameter; repeatable")(
      "threads", po::value(&options.threads)->value_name("n"),
      "0 (default): as many as there are cores; results do not depend on it")(
      "output-dir", po::value(&options.directory)->value_name("dir"), "where curves, checkpoints and policies go")(
      "resume", po::value(&options.resume)->value_name("dir"), "go on with the training that left this directory")(
      "output,o", po::value(&options.output)->value_name("format"), "table (default) or json")(
      "strict", po::bool_switch(&options.strict), "unknown fields and other warnings are errors")(
      "quiet,q", po::bool_switch(&options.quiet), "no progress");
  if (!line.parse(arguments, rest)) return false;
  if (rest.size() > 1) throw UsageError(fmt::format("train takes one file; found '{}', too", rest[1]));
  if (!rest.empty()) options.file = rest[0];
  check_choice("--output", options.output, {"table", "json"});
  if (!options.resume.empty() + !options.environment.empty() + !options.file.empty() != 1)
    throw UsageError("train needs either a file, --env NAME or --resume DIR");
  const bool given = !options.algorithm.empty() || !options.preset.empty() || !options.seeds.empty() ||
                     !options.directory.empty() || !options.overrides.empty() || options.steps || options.strict;
  if (!options.resume.empty() && given)
    throw UsageError("--resume goes on with what its directory says: only --threads, --output and --quiet go with it");
  constexpr int64_t kMostSteps = 1'000'000'000'000;
  if (options.steps && (*options.steps < 1 || *options.steps > kMostSteps))
    throw UsageError(fmt::format("--steps: found {}, allowed: 1 to {}", *options.steps, kMostSteps));
  return true;
}

int64_t default_steps(const std::string& algorithm, const std::string& name) {
  for (const TrainPreset& preset : train_presets()) {
    if (preset.name == name && preset.algorithm == algorithm) return preset.steps;
  }
  return 100'000;
}

std::map<std::string, std::string> parse_overrides(const std::vector<std::string>& overrides) {
  std::map<std::string, std::string> out;
  for (const std::string& text : overrides) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--set: found '{}', expected name=value", text));
    out[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return out;
}

void set_environment(const std::string& name, TrainRequest& out) {
  make_env(name);  // complains before anything is made
  out.environment = out.policy_name = name;
  out.make = [name] { return make_env(name); };
}

// A training of a file is that of its text and of its scenarios'.
void set_environment(const TrainingFile& file, TrainRequest& out) {
  auto spec = std::make_shared<const AutoscalingSpec>(file.environment);
  AutoscalingEnv complains(spec);
  std::string text = file.text;
  for (const auto& scenario : spec->scenarios) text += scenario->text;
  out.environment = fmt::format("{}-{:016x}", file.name, hash_text(text));
  out.policy_name = file.name;
  out.coding = file.coding;
  out.provenance[kPolicyInterval] = fmt::format("{:.9g}", file.interval.to_seconds());
  out.make = [spec] { return std::make_unique<AutoscalingEnv>(spec); };
}

SeedsRequest new_training(const Options& options) {
  const AlgorithmSpec& algorithm = find_algorithm(options.algorithm.empty() ? "ppo" : options.algorithm);
  const auto given = parse_overrides(options.overrides);
  train_params(algorithm, options.preset, given);  // complains before anything is made
  SeedsRequest out;
  set_environment(options.environment, out.training);
  out.training.algorithm = algorithm.name;
  out.training.steps = options.steps.value_or(default_steps(algorithm.name, options.preset));
  out.training.values = train_values(algorithm, options.preset, given);
  out.training.directory = options.directory;
  out.seeds = seeds_flag(options.seeds.empty() ? "0" : options.seeds);
  return out;
}

// What a file says wrongly is told where it says so, not as a flag that nobody has given.
template <class Check>
void check_field(const TrainingFile& file, const std::string& field, const Check& check) {
  try {
    check();
  } catch (const UsageError& error) {
    std::string text = error.what();
    if (text.starts_with("--")) text.erase(0, text.find(": ") + 2);
    throw InputError({Severity::Error, file.marks.at(field), "spec." + field, text});
  }
}

// What the command line says goes before what the file says.
SeedsRequest training_of_file(const Options& options) {
  TrainingFile file = read_training(options.file, options.strict);
  print_warnings(file.warnings, file.warnings.size());
  if (options.algorithm.empty()) check_field(file, "algorithm", [&] { find_algorithm(file.algorithm); });
  if (!options.algorithm.empty()) file.algorithm = options.algorithm;
  const AlgorithmSpec& algorithm = find_algorithm(file.algorithm);
  if (options.preset.empty()) check_field(file, "preset", [&] { train_params(algorithm, file.preset, {}); });
  if (!options.preset.empty()) file.preset = options.preset;
  const auto given = parse_overrides(options.overrides);
  for (const auto& [name, value] : file.parameters)
    if (!given.contains(name))
      check_field(file, "parameters." + name, [&, &name = name, &value = value] {
        train_params(algorithm, "", {{name, value}});
      });
  for (const auto& [name, value] : given) file.parameters[name] = value;
  train_params(algorithm, file.preset, file.parameters);
  SeedsRequest out;
  set_environment(file, out.training);
  out.training.algorithm = file.algorithm;
  out.training.steps = options.steps.value_or(file.steps);
  out.training.values = train_values(algorithm, file.preset, file.parameters);
  out.training.directory = options.directory;
  out.seeds = options.seeds.empty() ? file.seeds : seeds_flag(options.seeds);
  return out;
}

TrainingRecord record_of(const SeedsRequest& request, const std::string& file) {
  const TrainRequest& training = request.training;
  return {file, training.environment, training.algorithm, training.steps, training.values, request.seeds};
}

SeedsRequest old_training(const std::string& directory) {
  const TrainingRecord record = TrainingRecord::read(directory);
  const std::string path = fmt::format("{}/{}", directory, TrainingRecord::kFile);
  SeedsRequest out;
  out.training.algorithm = record.algorithm;
  out.training.steps = record.steps;
  out.training.values = record.parameters;
  out.seeds = record.seeds;
  try {
    train_params(find_algorithm(record.algorithm), "", record.parameters);
    if (record.file.empty()) set_environment(record.environment, out.training);
  } catch (const UsageError& error) {  // of names that nobody has given now
    refuse(path, error.what());
  }
  if (!record.file.empty()) {
    const TrainingFile file = read_training(record.file);
    print_warnings(file.warnings, file.warnings.size());
    set_environment(file, out.training);
  }
  if (out.training.environment != record.environment)
    refuse(path, fmt::format("{} or its scenarios have changed since: what was trained on is gone", record.file));
  out.training.directory = directory;
  out.resume = true;
  return out;
}

// One line on standard error, drawn anew ten times a second.
void show_progress(const SeedsProgress& progress, int64_t all, const std::stop_token& finished) {
  const auto begin = std::chrono::steady_clock::now();
  while (!finished.stop_requested()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const int64_t done = progress.done, steps = progress.before + done;
    const double rate = static_cast<double>(done) / seconds;
    const std::string left =
        done > 0 ? ", " + human_duration(static_cast<double>(std::max<int64_t>(0, all - steps)) / rate) + " left" : "";
    std::fprintf(stderr, "\r\x1b[K%s of %s steps, %s/s%s", human_count(static_cast<uint64_t>(steps)).c_str(),
                 human_count(static_cast<uint64_t>(all)).c_str(), human_number(rate).c_str(), left.c_str());
  }
  std::fputs("\r\x1b[K", stderr);
}

SeedsResult train(const SeedsRequest& request, bool shown) {
  if (request.seeds.size() > 1 && !threads_may_multiply()) {
    print_warnings(
        {"OpenBLAS is built without threads and without locks here, so the seeds train one after another; "
         "another BLAS lets them train side by side (on Debian: apt-get install libopenblas0-pthread)"});
  }
  SeedsProgress progress;
  std::jthread display;
  if (shown) {
    const int64_t all = request.training.steps * static_cast<int64_t>(request.seeds.size());
    display =
        std::jthread([&progress, all](const std::stop_token& finished) { show_progress(progress, all, finished); });
  }
  return train_seeds(request, progress, stop_requested);
}

std::string results_json(const std::vector<TrainResult>& results, bool interrupted) {
  nlohmann::ordered_json seeds = nlohmann::ordered_json::array();
  for (const TrainResult& result : results) {
    seeds.push_back({{"seed", result.seed},
                     {"eval_return_mean", result.evaluation},
                     {"best_eval_return_mean", result.best_evaluation},
                     {"steps", result.steps},
                     {"samples_per_s", result.samples_per_s}});
  }
  nlohmann::ordered_json out{{"seeds", seeds}};
  if (interrupted) out["interrupted"] = true;
  return out.dump(2) + '\n';
}

std::string results_table(const std::vector<TrainResult>& results) {
  std::string out =
      fmt::format("{:>8} {:>14} {:>14} {:>14} {:>12}\n", "seed", "eval return", "best", "steps", "samples/s");
  for (const TrainResult& result : results)
    out +=
        fmt::format("{:>8} {:>14.2f} {:>14.2f} {:>14} {:>12}\n", result.seed, result.evaluation, result.best_evaluation,
                    human_count(static_cast<uint64_t>(result.steps)), human_number(result.samples_per_s));
  return out;
}

bool is_training_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const TrainingError&) {
    return true;
  } catch (...) {
    return false;
  }
}

std::string message_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

int run(const Arguments& arguments) {
  Options options;
  if (!parse(arguments, options)) return kOk;
  SeedsRequest request = !options.resume.empty() ? old_training(options.resume)
                         : options.file.empty()  ? new_training(options)
                                                 : training_of_file(options);
  request.training.threads = options.threads;
  request.training.version = version();
  request.description =
      record_of(request, options.file.empty() ? "" : std::filesystem::absolute(options.file).string()).json();

  stop_on_signals();
  const SeedsResult found = train(request, !options.quiet && isatty(STDERR_FILENO));
  const bool interrupted = found.results.size() + found.failures.size() < request.seeds.size();
  if (found.failures.empty() || !found.results.empty())
    print(options.output == "json" ? results_json(found.results, interrupted) : results_table(found.results));
  // Its curves tell how it came to a loss that is no number; after anything else there may be no files to draw.
  const bool draws = std::all_of(found.failures.begin(), found.failures.end(), is_training_error);
  for (size_t i = 1; i < found.failures.size(); ++i) print_error(message_of(found.failures[i]));
  if (draws && !request.training.directory.empty()) {
    const std::string report = write_training_report(request.training.directory);
    if (!options.quiet) std::fprintf(stderr, "wrote %s\n", report.c_str());
  }
  if (!found.failures.empty()) std::rethrow_exception(found.failures[0]);
  if (!interrupted) return kOk;
  const std::string& directory = request.training.directory;
  print_error(directory.empty() ? "interrupted"
                                : fmt::format("interrupted; `kisim train --resume {}` goes on", directory));
  return kInterrupted;
}

int checked_run(const Arguments& arguments) {
  try {
    return run(arguments);
  } catch (const TrainingError& error) {
    print_error(error.what());
    return kCheckFailed;
  }
}

}  // namespace
}  // namespace kisim::app

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const kisim::app::Arguments arguments(argv + 1, argv + argc);
  return kisim::app::guarded("kisim train --help", [&] { return kisim::app::checked_run(arguments); });
}
