#pragma once
// Which GPUs, how split and how many replicas serve a language model's traffic within its SLO at least cost.
//
// Each kind of GPU and degree of tensor parallelism is tried in turn, cheapest first: does the model fit, and which is
// the least number of replicas with which the share of requests within the SLO, by simulation, is at the target? A
// trace is one day of many that could have been: besides the trace itself its minutes are drawn anew with repetition
// (block bootstrap; Künsch 1989), a Poisson source is run with other seeds, and the share must be at the target with
// the lower end of its 95 % interval.

#include "cluster/gpu.hpp"
#include "core/distribution.hpp"
#include "core/time.hpp"
#include "io/text_table.hpp"
#include "run/scenario.hpp"
#include "stats/interval.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct PlanRequest {
  std::string model, engine;                  // of the catalogue
  std::vector<std::string> gpus;              // to choose from, of the catalogue
  std::vector<int32_t> tensor_parallel;       // to choose from
  std::map<std::string, double> prices;       // per GPU and hour; a GPU without one costs 1
  std::shared_ptr<const TraceColumns> trace;  // else Poisson arrivals:
  double rate = 0;                            // 1/s
  Distribution prompt = Distribution::constant(1024), output = Distribution::constant(256);  // tokens
  Duration duration = Duration::seconds(1800);                                               // of Poisson arrivals
  SloSpec slo;
  int32_t max_gpus = 256;
  int32_t runs = 5;  // the trace or the first seed, and others
  uint64_t seed = 1;
  std::vector<GpuModel> gpu_catalogue;
  std::vector<LlmModel> models;
  std::vector<EngineProfile> engines;
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

// Means over the runs.
struct PlanFigures {
  int32_t replicas = 0;
  double attainment = 0;
  Interval interval;                               // of the attainment, 95 %
  double ttft_p95 = 0, tpot_p95 = 0, e2e_p95 = 0;  // seconds
};

struct PlanChoice {
  std::string gpu;
  int32_t tensor_parallel = 1;
  std::optional<PlanFigures> meets;  // with the least number of replicas that does
  std::optional<PlanFigures> fewer;  // the most replicas tried that do not
  std::string why;                   // there is no number of replicas, or none was looked for
  double price = 1;                  // of a GPU and hour

  double cost(int32_t replicas) const { return price * tensor_parallel * replicas; }
};

struct Plan {
  std::vector<PlanChoice> choices;  // those that meet the SLO by cost, then the others
  bool priced = false;
  // Of what was assumed, of GPUs without measurements …
  std::vector<std::string> warnings;

  const PlanChoice* best() const { return !choices.empty() && choices[0].meets ? &choices[0] : nullptr; }
};

// Throws InputError on names that no catalogue has, with near ones, and on a trace that is empty.
Plan make_plan(const PlanRequest& request);

std::string plan_table(const Plan& plan, const PlanRequest& request, const TextStyle& style);
std::string plan_json(const Plan& plan, const PlanRequest& request);

}  // namespace kisim
