// Coefficient files in the place of what a scenario would write itself.

#include "scenario_text.hpp"

#include "run/world.hpp"

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

const std::string kCoefficients = R"(apiVersion: kisim.dev/v1
kind: Coefficients
provenance: {source: bench.csv, rows: 24, method: by hand, kisim: 0.1.0}
latency:
  - name: a100
    unit: ms
    table: {1: 2, 2: 2.5, 8: 5}
    interval: {1: [2, 2], 2: [2.5, 2.5], 8: [5, 5]}
    range: [1, 8]
    line: {base: 1, perItem: 0.5}
    error: {fit: 0, leaveOneOut: 0.01}
  - name: t4
    unit: ms
    table: {1: 20, 2: 25, 4: 40}
    interval: {1: [20, 20], 2: [25, 25], 4: [40, 40]}
    range: [1, 4]
    line: {base: 10, perItem: 5}
    error: {fit: 0, leaveOneOut: 0.01}
startup:
  - name: node-1
    unit: s
    median: 12.5
    sigma: 0.5
    interval: {median: [12, 13], sigma: [0.4, 0.6]}
    range: [8, 20]
    error: {fit: 0.01, leftOut: 0.02}
iterations:
  - name: h100-80gb
    gpu: h100-80gb
    stepMs: 2.5
    layerUs: 11
    weightFactor: 1.1
    kvFactor: 1.2
    computeFactor: 1.3
    samplingUs: 0
    allReduceFactor: 0.7
    range: {sequences: 4, context: 5000, tensorParallel: 8}
    error: {fit: 0.03, leftOut: 0.06}
interference:
  - {job: resnet, neighbour: resnet, speed: 0.625}
  - {job: resnet, neighbour: bert, speed: 0.5}
  - {job: bert, neighbour: bert, speed: 0.75}
)";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = kCoefficients;
  const size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

const std::string kCluster = kNode + R"(---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec: {containers: [{name: server, image: "server:1"}]}
---
{apiVersion: v1, kind: Service, metadata: {name: server}, spec: {selector: {app: server}, ports: [{port: 80}]}}
)";

const std::string kModel = R"(
  duration: 60s
  models:
    server:
      selector: {app: server}
      engine: batch
      maxBatchSize: 16
      latency: {coefficients: fits/c.yaml, key: a100, host: 1ms}
      latencyOn: {t4: {coefficients: fits/c.yaml, key: t4}}
      startup: {container: {coefficients: fits/c.yaml}}
  traffic: {users: {service: server, pattern: {users: 32}}}
  policies: {interference: {mps: {name: table, coefficients: fits/c.yaml, key: resnet}}}
)";

// A GPU on the node, and one for each pod.
std::string with_gpus(std::string cluster) {
  auto put = [&](const std::string& before, const std::string& more) {
    cluster.insert(cluster.find(before) + before.size(), more);
  };
  put("metadata: {name: n", ", labels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}");
  put("allocatable: {", "nvidia.com/gpu: '1', ");
  put("containers: [{", "resources: {limits: {nvidia.com/gpu: 1}}, ");
  return cluster;
}

Scenario from(const Folder& folder, const std::string& spec, const std::string& coefficients = kCoefficients,
              const std::string& cluster = kCluster) {
  folder.write("fits/c.yaml", coefficients);
  return read_scenario({folder.write("s.yaml", document(spec) + cluster)}, {});
}

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kModel;
  const size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("a model, its start and interference come from coefficient files", "[scenario]") {
  Folder folder;
  Scenario s = from(folder, kModel);
  const ModelSpec& m = s.models.at(0);
  REQUIRE(m.latency->table.size() == 3);
  CHECK(m.latency->table.at("2") == Approx(0.0025));
  CHECK(m.latency->host == 0.001);
  CHECK(m.latency_on.at("t4").table.at("4") == Approx(0.04));
  CHECK(m.startup.container.text() == Distribution::lognormal(12.5, 0.5).text());
  CHECK(s.interference.at("mps").params.at("speeds") == "0.625");
  CHECK(s.interference.at("mps").params.size() == 1);

  // Batches of sixteen are beyond what was measured.
  Summary r = run(compile(s));
  CHECK(r.requests.completed > 0);
  REQUIRE(r.warnings.size() == 1);
  CHECK_THAT(r.warnings[0], Contains("batches are of a size that its latency law was not fitted on"));

  // The scenario that a run keeps needs the files no more.
  Scenario again = read_scenario_text(s.text, "again.yaml", {});
  CHECK(again.models.at(0).latency->table == m.latency->table);
  CHECK(run(compile(again)).signature == r.signature);
}

TEST_CASE("iterations of an LLM engine come from a coefficient file, with their range", "[scenario]") {
  Folder folder;
  const std::string model = R"(
  duration: 60s
  models:
    server:
      selector: {app: server}
      model: llama-3.1-8b
      gpu: h100-80gb
      iterations: {coefficients: fits/c.yaml}
  traffic:
    chat:
      service: server
      pattern: {users: 32}
      request: {prompt: 100, output: 100}
)";
  Scenario s = from(folder, model, kCoefficients, with_gpus(kCluster));
  const ModelSpec::Iterations& iterations = *s.models.at(0).iterations;
  CHECK(iterations.gpu == "h100-80gb");
  CHECK(iterations.step_ms == 2.5);
  CHECK(iterations.compute_factor == 1.3);
  CHECK(iterations.sampling_us == 0);
  CHECK(iterations.max_sequences == 4);
  std::shared_ptr<const Model> compiled = compile(s);
  CHECK(compiled->serving.models[ServingModelId(0u)].engine.profile.steps.size() == 1);

  // More sequences than were measured.
  const Summary r = run(compiled);
  CHECK(r.requests.completed > 0);
  REQUIRE(r.warnings.size() == 1);
  CHECK_THAT(r.warnings[0], Contains("iterations have more sequences or longer contexts than vllm-0.19 was measured"));

  // Measured elsewhere, and on a GPU that is none.
  CHECK_THAT(
      run(compile(from(folder, model, changed("gpu: h100-80gb", "gpu: b200-180gb"), with_gpus(kCluster))))
          .warnings.at(0),
      Contains("no measurements of vllm-0.19 on h100-80gb; estimated from b200-180gb by specifications, 11 % off"));
  CHECK_THAT(complaint([&] { compile(from(folder, model, changed("gpu: h100-80gb", "gpu: abacus"))); }),
             Contains("spec.models.server.iterations.gpu: found 'abacus', allowed: a GPU of the catalogue"));
}

TEST_CASE("the key may be left out where there is one entry", "[scenario]") {
  Folder folder;
  CHECK_THAT(complaint([&] { from(folder, replaced("c.yaml, key: a100", "c.yaml")); }),
             Contains("s.yaml:12:31: spec.models.server.latency.key: missing, needed: one of a100, t4"));
}

TEST_CASE("what cannot be taken from a coefficient file is refused", "[scenario]") {
  Folder folder;
  auto without = [&](const std::string& a, const std::string& b) {
    return complaint([&] { from(folder, replaced(a, b)); });
  };
  CHECK_THAT(without("key: a100", "key: a10"),
             Contains("s.yaml:12:49: spec.models.server.latency.key: found 'a10', allowed: a100, t4 (did you mean"));
  CHECK_THAT(without("fits/c.yaml, key: a100", "fits/d.yaml, key: a100"),
             Contains("s.yaml:12:31: spec.models.server.latency.coefficients: found 'fits/d.yaml', which does not "
                      "exist"));
  CHECK_THAT(without("key: a100,", "key: a100, table: {1: 1ms},"),
             Contains("spec.models.server.latency.table: found beside coefficients, allowed: one or the other"));
  CHECK_THAT(without("key: a100,", "key: a100, base: 1ms,"), Contains("found a table beside base or perItem"));
  CHECK_THAT(without("{coefficients: fits/c.yaml}", "{coefficients: fits/c.yaml, key: node-2}"),
             Contains("spec.models.server.startup.container.key: found 'node-2', allowed: node-1"));
  CHECK_THAT(without("key: resnet", "key: vgg"),
             Contains("spec.policies.interference.mps.key: found 'vgg', allowed: resnet, bert"));

  auto file = [&](const std::string& a, const std::string& b) {
    return complaint([&] { from(folder, kModel, changed(a, b)); });
  };
  CHECK_THAT(file("unit: ms", "unit: s"), Contains("c.yaml:6:11: latency[0].unit: found 's', allowed: ms"));
  CHECK_THAT(file("table: {1: 2, 2: 2.5, 8: 5}", "table: {1: 2, 8: 5}"),
             Contains("c.yaml:7:12: latency[0].table: found "
                      "2 points, allowed: 3 or more"));
  CHECK_THAT(file("    range: [8, 20]\n", ""), Contains("startup[0].range: missing"));
  CHECK_THAT(complaint([&] { from(folder, kModel, kCoefficients.substr(0, kCoefficients.find("startup:"))); }),
             Contains("found 'fits/c.yaml', which has no startup"));
}
