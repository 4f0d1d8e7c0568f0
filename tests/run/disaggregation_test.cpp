// Prompts computed by one replica and answered by another: exact times, and what happens when one of the two goes.

#include "recorded_rows.hpp"
#include "scenario_builder.hpp"

#include <catch2/catch.hpp>

using namespace kisim;
using namespace kisim::test;

namespace {

// One prefill replica and one that decodes, on two nodes of one GPU; requests of 1,600 tokens at the given
// milliseconds.
Scenario apart(const std::vector<int64_t>& ms) {
  Scenario s = llama(1, 0, Duration::seconds(100), 1);
  s.manifests.nodes = {node("gpu-0", 1), node("gpu-1", 1)};
  s.manifests.deployments.push_back(deployment("prefill", 1, 1));
  s.manifests.deployments[1].pod_template.labels = {{"app", "llama"}, {"role", "prefill"}};
  s.manifests.deployments[1].selector.requirements = {{"role", SelectorOperator::In, {"prefill"}}};
  s.manifests.deployments[0].pod_template.labels = {{"app", "llama"}, {"role", "decode"}};
  s.models.push_back(s.models[0]);
  s.models[0].selector = {{"role", "decode"}};
  s.models[0].role = "decode";
  s.models[1].name = "prefill";
  s.models[1].selector = {{"role", "prefill"}};
  s.models[1].role = "prefill";
  auto trace = std::make_shared<TraceColumns>();
  for (int64_t t : ms) {
    trace->time_ns.push_back(t * 1'000'000);
    trace->prompt_tokens.push_back(1600);
    trace->output_tokens.push_back(100);
  }
  s.traffic[0].pattern = TrafficSpec::Pattern::Trace;
  s.traffic[0].trace = trace;
  return s;
}

LlmCost cost_of(const Scenario& s) {
  LlmEngineModel model;
  model.llm = s.llms[0];
  model.profile = s.engines[0];
  Accelerator on;
  on.memory_bytes = s.gpus[0].memory_bytes;
  return llm_cost(model, s.gpus[0], on);
}

double ms_of(const LlmCost& cost, int32_t tokens, int32_t context) {
  const PrefillChunk chunk{{}, tokens, context, true};
  StepWork work;
  work.chunks = {&chunk, 1};
  work.prefill_tokens = tokens;
  work.prefill_context = context;
  work.prefill_pairs = tokens * (context + 0.5 * tokens);
  return static_cast<double>(cost.line(work).first_ps) * 1e-9;
}

std::string complaint(const Scenario& scenario) {
  try {
    compile(scenario);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the first token comes after the prompt, its KV's way and the last token of the prompt") {
  const Scenario s = apart({1000});
  auto [rows, summary] = simulate(s);
  const LlmCost cost = cost_of(s);
  // 1,599 tokens are 100 blocks of 2 MiB, over 50 GB/s at 70 %, and 1 ms; the engines' APIs 15.563 ms each.
  const double sent_ms = 100 * 2 * 1.048576 / 35 + 1;
  const double expected = 2 * 15.563 + ms_of(cost, 1600, 0) + sent_ms + ms_of(cost, 1, 1599);
  CHECK(rows[0].ttft_s * 1e3 == Approx(expected).epsilon(1e-6));
  CHECK(summary.decisions.at("KvPulled") == 1);
  CHECK(summary.requests.completed == 1);
}

TEST_CASE("within a node KV goes over the GPUs' links") {
  Scenario s = apart({1000});
  s.gpus[0].nvlink_gbs = 900;
  s.gpus[0].nvlink_fabric = NvlinkFabric::NvSwitch;
  s.gpus[0].nvlinks = 18;
  s.gpus[0].pcie_gen = 5;
  const double far = simulate(s).first[0].ttft_s;
  s.manifests.nodes = {node("gpu-0", 2)};
  const double near = simulate(s).first[0].ttft_s;
  CHECK((far - near) * 1e3 == Approx(100 * 2 * 1.048576 * (1 / 35.0 - 1 / (0.7 * 450)) + 0.7).epsilon(1e-3));
}

TEST_CASE("a replica sends the KV of one prompt at a time") {
  Scenario s = apart({1000, 1000});
  s.models[0].kv_transfer.network_gbs = 0.5;  // 599.2 ms each: much longer than to compute the prompt
  auto [rows, summary] = simulate(s);
  CHECK(rows[1].ttft_s - rows[0].ttft_s == Approx(0.5992).epsilon(0.02));
}

TEST_CASE("prompts that are short beyond what is cached are computed where they are answered") {
  Scenario s = apart({1000});
  s.models[0].max_local_prefill_length = 1600;
  auto [rows, summary] = simulate(s);
  CHECK(rows[0].ttft_s * 1e3 == Approx(15.563 + ms_of(cost_of(s), 1600, 0)).epsilon(1e-6));
  CHECK(summary.decisions.count("KvPulled") == 0);
  s.models[0].max_local_prefill_length = 1599;
  CHECK(simulate(s).second.decisions.at("KvPulled") == 1);
}

TEST_CASE("KV that is lost with its replica is computed again where it is needed") {
  Scenario s = apart({1000});
  s.models[0].kv_transfer.network_gbs = 0.05;  // on its way for 6 s
  ActionSpec gone;
  gone.kind = ActionSpec::Kind::Delete;
  gone.at = Duration::seconds(3);
  gone.object_kind = "Deployment";
  gone.object_name = "default/prefill";
  s.actions = {gone};
  // The pod is drained before: its KV gets there.
  auto [drained, patient] = simulate(s);
  CHECK(patient.requests.completed == 1);
  CHECK(patient.decisions.count("KvPulled: lost with its replica") == 0);
  CHECK(drained[0].ttft_s > 5.9);

  s.manifests.deployments[1].pod_template.spec.termination_grace_period = Duration::seconds(1);
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.completed == 1);
  CHECK(summary.decisions.at("KvPulled: lost with its replica") == 1);
  CHECK(rows[0].ttft_s == Approx(3 + ms_of(cost_of(s), 1600, 0) * 1e-3).margin(0.2));
}

TEST_CASE("without prefill replicas those that decode compute prompts themselves") {
  Scenario s = apart({1000});
  s.manifests.deployments[1].replicas = 0;
  auto [rows, summary] = simulate(s);
  CHECK(summary.requests.completed == 1);
  CHECK(rows[0].ttft_s * 1e3 == Approx(15.563 + ms_of(cost_of(s), 1600, 0)).epsilon(1e-6));
}

TEST_CASE("the two kinds of replicas must understand each other") {
  Scenario s = apart({1000});
  CHECK(complaint(s).empty());
  s.models[1].block_size = 32;
  CHECK_THAT(complaint(s),
             Catch::Contains("blockSize: found 32 behind service llama, where replicas send KV to others with 16"));
  s = apart({1000});
  s.models[0].role = "prefill";
  CHECK_THAT(complaint(s), Catch::Contains("role: found prefill behind service llama, where nobody answers"));
  s.models[0].role = s.models[1].role = "decode";
  CHECK_THAT(complaint(s),
             Catch::Contains("role: found decode behind service llama, which has no replicas with the role prefill"));
  s = apart({1000});
  s.traffic[0].hedge_delay = Duration::seconds(1);
  CHECK_THAT(complaint(s), Catch::Contains("hedge: found with prefill replicas"));
  s.traffic[0].hedge_delay = {};
  s.models[1].role = "both";
  s.models[0].role = "both";
  s.prefill_routers = {{"llama", {"random", {}, {}}}};
  CHECK_THAT(complaint(s),
             Catch::Contains("spec.policies.prefillRouter.llama: found, but no replicas have the role prefill"));
}
