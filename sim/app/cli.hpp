#pragma once
// What the verbs of the command line share: flags, help, exit codes, printing.

#include "io/text_table.hpp"

#include <boost/program_options.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace kisim::app {

enum ExitCode : int {
  kOk = 0,
  kCheckFailed = 1,
  kUsage = 2,
  kInvalidInput = 3,
  kIo = 4,
  kInternal = 5,
  kInterrupted = 130,
};

using Arguments = std::vector<std::string>;

struct Verb {
  std::string name, doc;
  int (*run)(const Arguments& arguments);  // what follows the verb; returns an ExitCode
};

int cmd_bench(const Arguments& arguments);
int cmd_calibrate(const Arguments& arguments);
int cmd_conformance(const Arguments& arguments);
int cmd_describe(const Arguments& arguments);
int cmd_search(const Arguments& arguments);
int cmd_eval(const Arguments& arguments);
int cmd_explain(const Arguments& arguments);
int cmd_export(const Arguments& arguments);
int cmd_fidelity(const Arguments& arguments);
int cmd_list(const Arguments& arguments);
int cmd_plan(const Arguments& arguments);
int cmd_run(const Arguments& arguments);
int cmd_schema(const Arguments& arguments);
int cmd_train(const Arguments& arguments);
int cmd_validate(const Arguments& arguments);
int cmd_version(const Arguments& arguments);

// Runs the verb that the arguments name and turns whatever goes wrong into a message and an ExitCode.
int dispatch(const Arguments& arguments);

// Turns whatever goes wrong in `run` into a message and an ExitCode. `help`: the command that tells of the usage.
int guarded(const std::string& help, const std::function<int()>& run);

// The flags of one verb, and its help.
class CommandLine {
 public:
  struct Help {
    std::string usage;     // "run FILE... [flags]"
    std::string doc;       // sentences
    std::string examples;  // lines, indented
  };
  explicit CommandLine(Help help);

  boost::program_options::options_description& flags() { return flags_; }

  // False if help was asked for, and printed. Throws UsageError.
  bool parse(const Arguments& arguments, Arguments& positional);

 private:
  std::string help_text() const;
  std::string flags_text() const;
  std::string unknown_flag(const std::string& flag) const;

  Help help_;
  boost::program_options::options_description flags_;
};

// Throws UsageError unless `value` is one of `allowed`.
void check_choice(const std::string& what, const std::string& value, const std::vector<std::string>& allowed);

// The values of --seed and --seeds (io/seeds.hpp). Throw UsageError.
uint64_t seed_flag(const std::string& text);
std::vector<uint64_t> seeds_flag(const std::string& text);

// " Did you mean 'run'?", or nothing where no candidate is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

// The first SIGINT or SIGTERM sets stop_requested, for a run to end in order; the second one, with the default action
// back, ends the program.
extern std::atomic<bool> stop_requested;
void stop_on_signals();

// To standard output, at once. Throws IoError if it does not get there.
void print(const std::string& text);

// Lines on standard error.
void print_error(const std::string& message);  // "error: …"
// `shown` of them at most: -o json of the verb lists the others, too.
void print_warnings(const std::vector<std::string>& warnings, size_t shown = 10);

// Colour and width of standard output: plain and 80 columns unless it is a terminal; NO_COLOR is obeyed.
TextStyle output_style();

}  // namespace kisim::app
