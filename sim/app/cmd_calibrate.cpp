#include "calibration/calibrate.hpp"
#include "cli.hpp"
#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "io/output.hpp"

namespace kisim::app {

int cmd_calibrate(const Arguments& arguments) {
  namespace po = boost::program_options;
  CalibrationRequest request;
  std::string output;
  Arguments rest;
  CommandLine line(
      {"calibrate KIND FILE [flags]",
       "Fits coefficients to measurements, prints how well they fit and how well they predict what was left out, and "
       "writes a coefficient file. KIND and FILE: latency (time of a batch by its size), startup (durations of a "
       "phase), iterations (of an LLM engine, by model, gpu, tensor_parallel, batch and context), interference (speeds "
       "of jobs that share a GPU), each a CSV table; requests (of an LLM engine: the directory of a log, with "
       "requests.jsonl and meta.json); scrapes (the same as a line: answers of vLLM's /metrics in order of time, or of "
       "a range query of Prometheus).",
       "  kisim calibrate latency bench.csv --size batch --time avg_ms --unit ms --by model,gpu -f coefficients.yaml\n"
       "  kisim calibrate iterations decode.csv --size batch --time itl_ms -f vllm.yaml\n"
       "  kisim calibrate requests logs/run-1 --gpu h100-80gb -f vllm.yaml\n"
       "  kisim calibrate scrapes 0.prom 1.prom 2.prom 3.prom -f line.yaml\n"
       "  kisim calibrate startup log.csv --time load_s --unit s\n"
       "  kisim calibrate interference pairs.csv\n"});
  std::string by;
  line.flags().add_options()("size", po::value(&request.size)->value_name("column")->default_value("batch"),
                             "latency: samples of a batch")(
      "time", po::value(&request.time)->value_name("column")->default_value("latency"), "what it took")(
      "unit", po::value(&request.unit)->value_name("unit")->default_value("ms"), "of that: s, ms, us, ns")(
      "by", po::value(&by)->value_name("columns"), "one fit for each combination of their values, separated by commas")(
      "gpu", po::value(&request.gpu)->value_name("name"), "requests: the GPU of the run, see `kisim list gpus`")(
      "engine", po::value(&request.engine)->value_name("name")->default_value("vllm-0.19"),
      "requests: its scheduler, and where the fit starts from")(
      "seed", po::value(&request.seed)->value_name("n")->default_value(1), "of the bootstrap's resamples")(
      "file,f", po::value(&output)->value_name("file"), "where to write the coefficients (default: only the figures)");
  if (!line.parse(arguments, rest)) return kOk;
  if (rest.size() < 2) throw UsageError("calibrate takes a kind and a file");
  check_choice("KIND", rest[0], calibration_kinds());
  if (rest.size() > 2 && rest[0] != "scrapes") throw UsageError("calibrate " + rest[0] + " takes one file");
  if (rest[0] == "requests" && request.gpu.empty())
    throw UsageError("calibrate requests needs --gpu, the GPU of the run (see `kisim list gpus`)");
  request.kind = rest[0];
  request.file = rest[1];
  request.more_files.assign(rest.begin() + 2, rest.end());
  request.by = split_columns(by);
  Coefficients coefficients = calibrate(request);
  coefficients.provenance.version = version();
  print(calibration_table(coefficients, output_style()));
  if (!output.empty()) write_file(output, coefficients_yaml(coefficients));
  return kOk;
}

}  // namespace kisim::app
