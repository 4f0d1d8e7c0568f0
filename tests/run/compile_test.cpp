#include "run/world.hpp"

#include "scenario_builder.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

using namespace kisim;
using namespace kisim::test;

namespace {

std::string complaint(const Scenario& scenario) {
  try {
    compile(scenario);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

Scenario base() { return llama(2, 1, Duration::seconds(60), 1); }

}  // namespace

TEST_CASE("compiling names what does not fit together") {
  Scenario s = base();
  CHECK(complaint(s).empty());

  s.manifests.nodes.clear();
  CHECK_THAT(complaint(s), Catch::Contains("spec.manifests: found no Node, allowed: at least one"));

  s = base();
  s.traffic[0].service = "lama";
  CHECK_THAT(complaint(s), Catch::Contains("spec.traffic.chat.service: found 'lama'") && Catch::Contains("(llama)"));

  s = base();
  s.models[0].tensor_parallel = 2;
  CHECK_THAT(complaint(s), Catch::Contains("tensorParallel: found 2, but the pods of default/llama request 1"));

  s = base();
  s.llms[0].parameters = 70e9;
  CHECK_THAT(complaint(s), Catch::Contains("needs 136.47 GiB for weights, activations and a KV block"));

  s = base();
  s.models[0].selector = {{"app", "other"}};
  CHECK_THAT(complaint(s), Catch::Contains("selects no workload of the manifests, found: default/llama") &&
                               Catch::Contains("no workload behind service llama serves a model"));

  s = queue(Distribution::constant(1), 2, 1, Duration::seconds(60), 1);
  s.gpus = {h100()};
  s.models[0].gpu = "h100-80gb";
  s.models[0].weights_bytes = 78.0 * kGiB;
  s.models[0].instance_bytes = 1.5 * kGiB;
  CHECK_THAT(complaint(s), Catch::Contains("spec.models.server: needs 81.00 GiB for weights and instances, "
                                           "1.00 GiB more than h100-80gb has; what fits: none"));
  s.models[0].instance_bytes = 1.0 * kGiB;
  CHECK(complaint(s).empty());
  s.models[0].overlap = -1;
  CHECK_THAT(complaint(s), Catch::Contains("overlap: found -1 with 2 instances, which together would stand still"));

  s = base();
  s.routers = {{"llama", {"fastest", {}, {}}}};
  CHECK_THAT(complaint(s), Catch::Contains("found 'fastest', allowed: kv-usage-aware, least-requests, power-of-two, "
                                           "prefix-aware, random, round-robin, session-affinity"));

  s = base();
  s.autoscalers = {{"lama", {"hpa", {}, {}}}};
  CHECK_THAT(complaint(s), Catch::Contains("no workload has this name, allowed: default/llama"));

  s = base();
  s.prices["h200"].value = 3.0;
  CHECK_THAT(complaint(s), Catch::Contains("spec.prices.h200") && Catch::Contains("no price for h100-80gb"));

  s = base();
  FaultSpec fault;
  fault.at = Distribution::constant(0);
  fault.node = "gpu-9";
  s.faults = {fault};
  CHECK_THAT(complaint(s), Catch::Contains("found 'gpu-9', allowed: gpu-0"));
}

TEST_CASE("a pod that no node can hold stays pending and the run goes on") {
  Scenario s = base();
  s.manifests.deployments[0].pod_template.spec.containers[0].requests[0].second = 1'000'000;  // milli-CPU
  Summary r = run(compile(s));
  CHECK(r.pods.scheduled == 0);
  CHECK(r.pods.pending_max == 2);
  CHECK(r.requests.arrived > 0);
  CHECK(r.requests.in_flight == r.requests.arrived);
  CHECK(r.decisions.at("FailedScheduling: Insufficient cpu") > 0);
}

TEST_CASE("what rates cannot express is refused at the fluid level") {
  auto fluid = [] {
    Scenario s = base();
    s.models[0].detail = "fluid";
    s.traffic[0].mark = {"s.yaml", 7, 3};
    s.models[0].mark = {"s.yaml", 5, 3};
    return s;
  };
  CHECK(complaint(fluid()).empty());

  Scenario s = fluid();
  s.traffic[0].timeout = Duration::seconds(5);
  s.traffic[0].retries = 2;
  CHECK(complaint(s) ==
        "s.yaml:7:3: spec.traffic.chat.timeout: found a time-out to model llama with detail fluid, which follows no "
        "single request, allowed: with detail iteration, linear or tables\n"
        "s.yaml:7:3: spec.traffic.chat.retries: found retries to model llama with detail fluid, which follows no "
        "single request, allowed: with detail iteration, linear or tables");

  s = fluid();
  s.traffic[0].pattern = TrafficSpec::Pattern::Users;
  s.traffic[0].users = 3;
  CHECK_THAT(complaint(s), Catch::Contains("spec.traffic.chat.pattern: found users who wait for their answers"));

  s = fluid();
  s.traffic[0].session.on = true;
  s.traffic[0].hedge_delay = Duration::seconds(1);
  s.traffic[0].connections = 4;
  s.traffic[0].client = "single-thread";
  s.traffic[0].network_out = Distribution::constant(0.01);
  s.traffic[0].admission.rate = 3;
  s.traffic[0].prefix = {2, 100, 0};
  s.traffic[0].tasks.resize(2);
  const std::string all = complaint(s);
  for (const char* field :
       {"session", "hedge", "connections", "client", "network", "admission", "request.prefix", "tasks"})
    CHECK_THAT(all, Catch::Contains(fmt::format("spec.traffic.chat.{}: found", field)));

  s = fluid();
  s.models[0].prefix_caching = false;
  s.traffic[0].prefix = {2, 100, 0};
  CHECK(complaint(s).empty());

  s = fluid();
  s.models[0].max_queue_size = 4;
  CHECK_THAT(complaint(s), Catch::Contains("s.yaml:5:3: spec.models.llama.maxQueueSize: found with detail fluid"));

  s = fluid();
  s.routers["llama"] = {"prefix-aware", {}, {"s.yaml", 9, 9}};
  CHECK_THAT(complaint(s),
             Catch::Contains("s.yaml:9:9: spec.policies.router.llama: found prefix-aware with detail fluid"));

  s = queue(Distribution::constant(0.01), 2, 10, Duration::seconds(60), 1);
  s.models[0].detail = "fluid";
  CHECK(complaint(s).empty());
  s.models[0].max_queue_delay = Duration::seconds(1);
  s.models[0].prefetched_batches = 1;
  s.models[0].priority_levels = 2;
  s.models[0].default_queue_policy.max_queue_size = 5;
  s.models[0].preferred_batch_sizes = {4};
  const std::string batch = complaint(s);
  for (const char* field :
       {"maxQueueDelay", "prefetchedBatches", "priorityLevels", "defaultQueuePolicy", "preferredBatchSizes"})
    CHECK_THAT(batch, Catch::Contains(fmt::format("spec.models.server.{}: found with detail fluid", field)));
}
