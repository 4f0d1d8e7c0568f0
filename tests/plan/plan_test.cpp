#include "plan/plan.hpp"

#include "core/error.hpp"
#include "io/input.hpp"
#include "traffic/traffic.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

PlanRequest request() {
  PlanRequest r;
  r.model = "llama-3.1-8b";
  r.engine = "vllm-0.19";
  r.gpus = {"h100-80gb", "a100-80gb"};
  r.tensor_parallel = {1};
  r.rate = 20;
  r.duration = Duration::seconds(300);
  r.slo.ttft = Duration::seconds(1);
  r.slo.tpot = Duration::seconds(0.05);
  r.slo.target = 0.95;
  r.runs = 3;
  r.max_gpus = 16;
  r.gpu_catalogue = read_gpu_catalogue();
  r.models = read_llm_catalogue();
  r.engines = read_engine_catalogue();
  return r;
}

}  // namespace

TEST_CASE("a plan has the least replicas that meet the SLO, and the most that do not") {
  for (const char* gpu : {"h100-80gb", "a100-80gb"}) {
    PlanRequest r = request();
    r.gpus = {gpu};
    Plan plan = make_plan(r);
    INFO(gpu << ": " << plan.choices[0].why);
    REQUIRE(plan.best());
    const PlanChoice& choice = *plan.best();
    CHECK(choice.meets->interval.low >= 0.95);
    CHECK(choice.meets->interval.low <= choice.meets->attainment);
    if (choice.meets->replicas == 1) continue;
    REQUIRE(choice.fewer);
    CHECK(choice.fewer->replicas == choice.meets->replicas - 1);
    CHECK(choice.fewer->interval.low < 0.95);
  }
}

TEST_CASE("prices decide between GPUs") {
  PlanRequest r = request();
  r.prices = {{"h100-80gb", 1}, {"a100-80gb", 100}};
  CHECK(make_plan(r).best()->gpu == "h100-80gb");
  r.prices = {{"h100-80gb", 100}, {"a100-80gb", 1}};
  Plan plan = make_plan(r);
  CHECK(plan.best()->gpu == "a100-80gb");
  CHECK(plan.choices[1].why.find("dearer than the best") != std::string::npos);
}

TEST_CASE("a choice that cannot do it says why") {
  PlanRequest r = request();
  r.model = "llama-3.1-70b";
  r.tensor_parallel = {1, 3};
  r.gpus = {"h100-80gb"};
  Plan plan = make_plan(r);
  CHECK_FALSE(plan.best());
  REQUIRE(plan.choices.size() == 2);
  CHECK_THAT(plan.choices[0].why, Contains("more than h100-80gb has"));
  CHECK_THAT(plan.choices[1].why, Contains("cannot be split over 3"));

  r = request();
  r.slo.tpot = Duration::seconds(0.001);
  plan = make_plan(r);
  CHECK_FALSE(plan.best());
  CHECK_THAT(plan.choices[0].why, Contains("TPOT p95"));
  CHECK_THAT(plan_table(plan, r, {}), Contains("Nothing that was asked for"));
}

TEST_CASE("a plan for a trace tries days that could have been") {
  auto trace = std::make_shared<TraceColumns>();
  for (int i = 0; i < 3001; ++i) {
    trace->time_ns.push_back(i * 100'000'000ll);
    trace->prompt_tokens.push_back(500 + i % 7 * 100);
    trace->output_tokens.push_back(100 + i % 5 * 50);
  }
  PlanRequest r = request();
  r.trace = trace;
  r.gpus = {"h100-80gb"};
  Plan plan = make_plan(r);
  REQUIRE(plan.best());
  CHECK(plan.best()->meets->interval.low >= 0.95);
}

TEST_CASE("a plan refuses names that no catalogue has, with near ones") {
  PlanRequest r = request();
  r.model = "lama-3.1-8b";
  CHECK_THROWS_AS(make_plan(r), InputError);
  r = request();
  r.gpus = {"h100-81gb"};
  CHECK_THROWS_AS(make_plan(r), InputError);
}
