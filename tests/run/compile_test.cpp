#include "run/world.hpp"

#include "scenario_builder.hpp"

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
  CHECK_THAT(complaint(s), Catch::Contains("needs 146531291546 bytes for weights, activations and a KV block"));

  s = base();
  s.models[0].selector = {{"app", "other"}};
  CHECK_THAT(complaint(s), Catch::Contains("selects no workload of the manifests, found: default/llama") &&
                               Catch::Contains("no workload behind service llama serves a model"));

  s = queue(Distribution::constant(1), 2, 1, Duration::seconds(60), 1);
  s.gpus = {h100()};
  s.models[0].gpu = "h100-80gb";
  s.models[0].weights_bytes = 78.0 * kGiB;
  s.models[0].instance_bytes = 1.5 * kGiB;
  CHECK_THAT(complaint(s), Catch::Contains("spec.models.server: needs 86973087744 bytes for weights and instances, "
                                           "1073741824 more than h100-80gb has; what fits: none"));
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
