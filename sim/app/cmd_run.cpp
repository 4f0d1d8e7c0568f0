#include "cli.hpp"
#include "core/error.hpp"
#include "io/events_text.hpp"
#include "io/output.hpp"
#include "progress.hpp"
#include "result_files.hpp"
#include "run/world.hpp"
#include "scenario_flags.hpp"

namespace kisim::app {

namespace po = boost::program_options;

namespace {

struct Flags {
  ScenarioFlags scenario;
  Arguments files;
  std::string output = "table", record = "sample", directory, report;
  bool no_files = false, quiet = false, signature = false, check = false;
};

CommandLine::Help help() {
  return {"run FILE... [flags]",
          "Simulates the scenario that the files hold together and prints its summary. Writes run.h5 and report.html "
          "into a "
          "folder named after the scenario. Progress and warnings go to standard error.",
          "  kisim run scenarios/quickstart.yaml\n"
          "  kisim run azure-conv.yaml --set traffic.trace=conv.csv --seed 7 -o json\n"
          "  kisim run quickstart.yaml --no-files -o wide\n"};
}

bool parse(const Arguments& arguments, Flags& flags) {
  CommandLine line(help());
  flags.scenario.add_to(line);
  line.flags().add_options()(
      "output,o", po::value(&flags.output)->value_name("format"),
      "table (default), wide, json, yaml, or events: what the API recorded, as kubectl get events shows it; "
      "events-wide: with the times of the first and the last")(
      "record", po::value(&flags.record)->value_name("rows"),
      "requests to keep in run.h5: none, sample (default) or all")(
      "output-dir", po::value(&flags.directory)->value_name("dir"), "folder for run.h5 and report.html")(
      "no-files", po::bool_switch(&flags.no_files), "write no files but those named by other flags")(
      "report", po::value(&flags.report)->value_name("file"), "where to write the report")(
      "quiet,q", po::bool_switch(&flags.quiet), "nothing on standard error but errors")(
      "signature", po::bool_switch(&flags.signature), "print the signature of the run and nothing else")(
      "check", po::bool_switch(&flags.check), "exit with 1 if a source misses the target of its SLO");
  if (!line.parse(arguments, flags.files)) return false;
  if (flags.files.empty()) throw UsageError("no file given");
  check_choice("--output", flags.output, {"table", "wide", "json", "yaml", "events", "events-wide"});
  check_choice("--record", flags.record, {"none", "sample", "all"});
  if (flags.no_files && !flags.directory.empty()) throw UsageError("--no-files and --output-dir exclude each other");
  return true;
}

Record record_mode(const std::string& name) {
  if (name == "none") return Record::None;
  return name == "all" ? Record::All : Record::Sample;
}

bool wants_events(const Flags& flags) { return flags.output.starts_with("events"); }

std::string result_text(const Flags& flags, const Summary& summary, const EventLog& events) {
  if (flags.signature) return signature_text(summary.signature) + '\n';
  if (flags.output == "json") return summary_json(summary);
  if (flags.output == "yaml") return summary_yaml(summary);
  if (wants_events(flags))
    return events_table(events, Time{} + Duration::seconds(summary.simulated_s), flags.output == "events-wide",
                        output_style());
  return summary_table(summary, flags.output == "wide", output_style());
}

std::string directory_of(const Flags& flags, const Scenario& scenario) {
  if (flags.no_files) return "";
  return flags.directory.empty() ? default_directory(scenario.name) : flags.directory;
}

}  // namespace

int cmd_run(const Arguments& arguments) {
  Flags flags;
  if (!parse(arguments, flags)) return kOk;

  const Scenario scenario = read_scenario(flags.files, flags.scenario.options());
  const std::shared_ptr<const Model> model = compile(scenario);
  if (!flags.quiet) print_warnings(model->warnings);

  ResultFiles files(directory_of(flags, scenario), flags.report);
  Recorder recorder(record_mode(flags.record), files.rows());
  Progress progress(scenario.name, flags.quiet);
  stop_on_signals();
  RunOptions options;
  options.recorder = files.wanted() ? &recorder : nullptr;
  options.stop = &stop_requested;
  EventLog events;
  if (wants_events(flags)) options.events = &events;
  options.progress = [&](Time now, Time end) { progress.update(now, end); };
  const Summary summary = run(model, options);
  progress.clear();
  // What only the run could show.
  const auto known = static_cast<std::ptrdiff_t>(model->warnings.size());
  if (!flags.quiet) print_warnings({summary.warnings.begin() + known, summary.warnings.end()});

  // Neither a broken output nor a broken file may cost the other result.
  std::vector<std::string> failures;
  try {
    print(result_text(flags, summary, events));
  } catch (const IoError& error) {
    failures.push_back(error.what());
  }
  files.write(scenario, summary, recorder);
  if (!flags.quiet)
    for (const std::string& path : files.written()) std::fprintf(stderr, "wrote %s\n", path.c_str());
  failures.insert(failures.end(), files.failures().begin(), files.failures().end());
  for (const std::string& failure : failures) print_error(failure);
  if (summary.interrupted) std::fprintf(stderr, "interrupted: the results are partial\n");
  if (!failures.empty()) return kIo;
  if (summary.interrupted) return kInterrupted;
  if (!flags.check || summary.missed_slo.empty()) return kOk;
  for (const std::string& missed : summary.missed_slo) std::fprintf(stderr, "check failed: %s\n", missed.c_str());
  return kCheckFailed;
}

}  // namespace kisim::app
