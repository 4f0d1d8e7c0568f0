#include "calibration/calibrate.hpp"
#include "cli.hpp"
#include "core/error.hpp"
#include "io/amount.hpp"
#include "io/input.hpp"
#include "plan/plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace kisim::app {

namespace {

// "gpu=2.99,other=1"
std::map<std::string, double> read_prices(const std::string& text) {
  std::map<std::string, double> out;
  for (const std::string& part : split_columns(text)) {
    const size_t equals = part.find('=');
    double price = 0;
    const char *begin = part.data() + std::min(equals + 1, part.size()), *end = part.data() + part.size();
    auto [stop, error] = std::from_chars(begin, end, price);
    if (equals == part.npos || error != std::errc() || stop != end || !(price > 0) || !std::isfinite(price))
      throw UsageError("--prices: found '" + part + "', allowed: GPU=PRICE, above 0, separated by commas");
    out[part.substr(0, equals)] = price;
  }
  return out;
}

std::vector<int32_t> read_degrees(const std::string& text) {
  std::vector<int32_t> out;
  for (const std::string& part : split_columns(text)) {
    int32_t degree = 0;
    auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), degree);
    if (error != std::errc() || stop != part.data() + part.size() || degree < 1)
      throw UsageError("--tensor-parallel: found '" + part + "', allowed: whole numbers above 0, separated by commas");
    out.push_back(degree);
  }
  return out;
}

// "ttft=500ms,tpot=50ms,share=95%"
SloSpec read_slo(const std::string& text) {
  SloSpec slo;
  for (const std::string& part : split_columns(text)) {
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals), value = equals == part.npos ? "" : part.substr(equals + 1);
    const bool is_share = name == "share";
    auto amount = parse_amount(is_share ? Unit::None : Unit::Seconds, value);
    double share = 0;
    if (is_share && value.ends_with('%')) {
      const char* end = value.data() + value.size() - 1;
      auto [stop, error] = std::from_chars(value.data(), end, share);
      amount = error == std::errc() && stop == end ? std::optional(share / 100) : std::nullopt;
    }
    if (!amount || !(*amount > 0) || (is_share && *amount > 1))
      throw UsageError("--slo: found '" + part +
                       "', allowed: ttft=…, tpot=…, e2e=… (durations), share=… (95% or 0.95)");
    if (is_share)
      slo.target = *amount;
    else if (name == "ttft")
      slo.ttft = Duration::seconds(*amount);
    else if (name == "tpot")
      slo.tpot = Duration::seconds(*amount);
    else if (name == "e2e")
      slo.e2e = Duration::seconds(*amount);
    else
      throw UsageError("--slo: found '" + name + "', allowed: ttft, tpot, e2e, share");
  }
  if (!slo.ttft && !slo.tpot && !slo.e2e) throw UsageError("plan needs --slo with at least one of ttft, tpot, e2e");
  return slo;
}

void check_gpus(const PlanRequest& request) {
  std::vector<std::string> names;
  for (const GpuModel& gpu : request.gpu_catalogue) names.push_back(gpu.name);
  auto check = [&](const std::string& flag, const std::string& gpu) {
    if (std::find(names.begin(), names.end(), gpu) == names.end())
      throw UsageError(flag + ": no GPU is called '" + gpu + "'." + did_you_mean(gpu, names) +
                       " See `kisim list gpus`");
  };
  for (const auto& [gpu, price] : request.prices) check("--prices", gpu);
  for (const std::string& gpu : request.gpus) {
    check("--gpus", gpu);
    if (!request.prices.empty() && !request.prices.contains(gpu))
      throw UsageError("--prices: none for " + gpu + ", allowed: one for each of --gpus, or none at all");
  }
}

}  // namespace

int cmd_plan(const Arguments& arguments) {
  namespace po = boost::program_options;
  PlanRequest request;
  std::string gpus, degrees, prices, slo, trace, output;
  double prompt = 0, answer = 0;
  Arguments rest;
  CommandLine line(
      {"plan --model MODEL --slo LIMITS (--trace FILE | --rate R) [flags]",
       "Finds which GPUs, split how and how many replicas serve a model's traffic within an SLO at least cost, by "
       "simulation, and says why each cheaper choice does not.",
       "  kisim plan --model llama-3.1-8b --trace AzureLLMInferenceTrace_conv.csv --slo ttft=500ms,tpot=50ms\n"
       "  kisim plan --model llama-3.1-70b --rate 4 --prompt 1155 --output-tokens 211 --slo ttft=1s,share=95% "
       "--gpus h100-80gb,a100-80gb --prices h100-80gb=2.5,a100-80gb=1.3\n"});
  line.flags().add_options()("model", po::value(&request.model)->value_name("name"), "see `kisim list models`")(
      "slo", po::value(&slo)->value_name("limits"),
      "ttft=500ms,tpot=50ms,e2e=10s,share=99%: limits, and the share of requests within all of them")(
      "trace", po::value(&trace)->value_name("file"), "arrivals and sizes, as a scenario reads them")(
      "rate", po::value(&request.rate)->value_name("r"), "without a trace: requests per second, Poisson")(
      "prompt", po::value(&prompt)->value_name("tokens")->default_value(1024), "without a trace: median, lognormal")(
      "output-tokens", po::value(&answer)->value_name("tokens")->default_value(256),
      "without a trace: mean, geometric")("gpus", po::value(&gpus)->value_name("names"),
                                          "to choose from (default: those with a price, else all)")(
      "tensor-parallel", po::value(&degrees)->value_name("degrees")->default_value("1,2,4,8"), "to choose from")(
      "prices", po::value(&prices)->value_name("list"),
      "GPU=PRICE per hour, separated by commas (default: every GPU costs the same)")(
      "engine", po::value(&request.engine)->value_name("name")->default_value("vllm-0.19"), "see `kisim list engines`")(
      "max-gpus", po::value(&request.max_gpus)->value_name("n")->default_value(256), "at most so many")(
      "runs", po::value(&request.runs)->value_name("n")->default_value(5),
      "for the interval: the trace and its minutes drawn anew, or other seeds")(
      "seed", po::value(&request.seed)->value_name("n")->default_value(1), "of the first run")(
      "output,o", po::value(&output)->value_name("format")->default_value("table"), "table, json");
  if (!line.parse(arguments, rest)) return kOk;
  if (!rest.empty()) throw UsageError("plan takes no arguments, found '" + rest[0] + "'");
  check_choice("--output", output, {"table", "json"});
  if (request.model.empty()) throw UsageError("plan needs --model");
  for (double number : {request.rate, prompt, answer})
    if (!std::isfinite(number) || number < 0) throw UsageError("--rate, --prompt, --output-tokens: numbers above 0");
  if (prompt < 1 || answer < 1) throw UsageError("--prompt, --output-tokens: at least 1");
  if (trace.empty() == (request.rate <= 0)) throw UsageError("plan needs --trace or --rate, and not both");
  if (request.runs < 2) throw UsageError("--runs: at least 2, for an interval");
  if (request.max_gpus < 1) throw UsageError("--max-gpus: at least 1");
  request.slo = read_slo(slo);
  request.prices = read_prices(prices);
  request.tensor_parallel = read_degrees(degrees);
  request.gpus = split_columns(gpus);
  request.gpu_catalogue = read_gpu_catalogue();
  request.models = read_llm_catalogue();
  request.engines = read_engine_catalogue();
  if (request.gpus.empty())
    for (const GpuModel& gpu : request.gpu_catalogue)
      if (request.prices.empty() || request.prices.contains(gpu.name)) request.gpus.push_back(gpu.name);
  check_gpus(request);
  constexpr double kSigma = 0.9;
  request.prompt = Distribution::lognormal(prompt, kSigma).clamped(1, 1 << 20);
  request.output = Distribution::geometric(answer).clamped(1, 1 << 20);
  if (!trace.empty()) request.trace = read_trace(trace, {}, {});
  if (isatty(STDERR_FILENO)) request.progress = [](const std::string& what) { fmt::print(stderr, "\r\033[K{}", what); };
  const Plan plan = make_plan(request);
  if (isatty(STDERR_FILENO)) fmt::print(stderr, "\r\033[K");
  if (output != "json") print_warnings(plan.warnings);
  print(output == "json" ? plan_json(plan, request) : plan_table(plan, request, output_style()));
  return plan.best() ? kOk : kCheckFailed;
}

}  // namespace kisim::app
