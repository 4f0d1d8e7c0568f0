#include "io/scenario_text.hpp"
#include "shared_data.hpp"

#include <algorithm>

using namespace kisim;
using namespace kisim::test;
namespace fs = std::filesystem;

namespace {

const fs::path kRoot = KISIM_ROOT;

const TrafficSpec& source(const Scenario& scenario, const std::string& name) {
  auto it = std::find_if(scenario.traffic.begin(), scenario.traffic.end(), [&](auto& t) { return t.name == name; });
  REQUIRE(it != scenario.traffic.end());
  return *it;
}

const std::string kChat = R"(  duration: 1h
  traffic:
    chat: {service: llama, pattern: {constant: 20/s}, timeout: 60s}
)";

}  // namespace

TEST_CASE("the scenario of the contracts, as printed") {
  Scenario s = read(R"(  duration: 1h
  warmup: 5m                    # excluded from the summary's statistics, still simulated
  seed: 42
  kubernetes: {version: "1.36", schedulerConfiguration: scheduler.yaml, latencies: none}    # none | upstream | a map
  manifests: [cluster.yaml, llama.yaml, hpa.yaml]    # files, directories, kubectl lists; inline objects are allowed too
  models:                        # how the pods of a workload serve; by selector or by the annotation kisim.dev/model
    llama: {selector: {app: llama}, engine: vllm-0.19, model: llama-3.1-8b, gpu: h100-80gb, tensorParallel: 1, detail: iteration,
            maxNumSeqs: 256, kvMemoryUtilization: 0.9, startup: {image: 8GiB, weights: 16GiB}}
  traffic:                       # name -> source; `traffic.trace` on the command line is shorthand for the only source's trace
    chat: {service: llama, pattern: {diurnal: {mean: 20/s, peak: 60/s, period: 24h}}, arrivals: poisson,
           request: {prompt: {lognormal: {median: 1020, sigma: 0.9}}, output: {geometric: {mean: 211}}}, timeout: 60s, retries: 0}
  slo: {chat: {ttft: 2s, tpot: 100ms, target: 0.99}}
  policies: {autoscaler: {llama: {name: hpa}}, scheduler: {name: kube}, router: {llama: {name: least-requests}}}
  metrics: {scrapeInterval: 15s, offset: random, delay: 1s}
  faults: [{at: 20m, kind: node-loss, node: gpu-3, for: 10m}]
  prices: {h100-80gb: 2.5/h}     # without prices, cost is null
)");
  CHECK(s.warnings.empty());
  CHECK(s.name == "t");
  CHECK(s.duration == Duration{3600'000'000'000});
  CHECK(s.warmup == Duration{300'000'000'000});
  CHECK(s.seed == 42);
  CHECK(s.kubernetes_version == "1.36");

  REQUIRE(s.models.size() == 1);
  const ModelSpec& model = s.models[0];
  CHECK(model.name == "llama");
  CHECK(model.selector == Labels{{"app", "llama"}});
  CHECK(model.model == "llama-3.1-8b");
  CHECK(model.max_num_seqs == 256);
  CHECK(model.kv_memory_utilization == 0.9);
  CHECK(model.startup.image.mean() == 8.0 * (1 << 30));
  CHECK(model.startup.weights.mean() == 16.0 * (1 << 30));
  CHECK_FALSE(model.latency);

  const TrafficSpec& chat = source(s, "chat");
  CHECK(chat.service == "llama");
  CHECK(chat.pattern == TrafficSpec::Pattern::Diurnal);
  CHECK(chat.diurnal_mean == 20);
  CHECK(chat.diurnal_peak == 60);
  CHECK(chat.diurnal_period == Duration{86400'000'000'000});
  CHECK(chat.arrivals == TrafficSpec::Arrivals::Poisson);
  CHECK(chat.prompt.kind() == Distribution::Kind::Lognormal);
  CHECK(chat.output.mean() == 211);
  CHECK(chat.timeout == Duration{60'000'000'000});

  REQUIRE(s.slo.size() == 1);
  CHECK(s.slo[0].ttft == Duration{2'000'000'000});
  CHECK(s.slo[0].tpot == Duration{100'000'000});
  CHECK_FALSE(s.slo[0].e2e);
  CHECK(s.autoscalers.at("llama").name == "hpa");
  CHECK(s.scheduler.name == "kube");
  CHECK(s.routers.at("llama").name == "least-requests");
  CHECK(s.metrics.delay == Duration{1'000'000'000});
  CHECK_FALSE(s.metrics.offset);
  REQUIRE(s.faults.size() == 1);
  CHECK(s.faults[0].kind == FaultSpec::Kind::NodeLoss);
  CHECK(s.faults[0].at->mean() == 1200);
  CHECK(s.faults[0].for_.mean() == 600);
  CHECK(s.faults[0].node == "gpu-3");
  CHECK(s.prices.at("h100-80gb").value == 2.5);
}

TEST_CASE("units") {
  Scenario s = read(R"(  duration: 1h30m
  warmup: 250ms
  prices: {h100-80gb: 60/d, l4: 1}
  models:
    m: {engine: batch, latency: {base: 5ms, perItem: 0.001}, startup: {image: 500MB, weights: 16Gi, imageBandwidth: 10Gbit/s, weightsBandwidth: 2GB/s}}
  traffic:
    a: {service: x, pattern: {constant: 1200/min}}
    b: {service: x, pattern: {constant: {rate: 36/h}}}
    c: {service: x, pattern: {constant: 2.5}}
)");
  CHECK(s.duration == Duration{5400'000'000'000});
  CHECK(s.warmup == Duration{250'000'000});
  CHECK(s.prices.at("h100-80gb").value == 2.5);
  CHECK(s.prices.at("l4").value == 1);
  CHECK(s.models[0].latency->base.mean() == 0.005);
  CHECK(s.models[0].latency->per_item.mean() == 0.001);
  CHECK(s.models[0].startup.image.mean() == 500e6);
  CHECK(s.models[0].startup.weights.mean() == 16.0 * (1 << 30));
  CHECK(s.models[0].startup.image_bandwidth.mean() == 1.25e9);
  CHECK(s.models[0].startup.weights_bandwidth.mean() == 2e9);
  CHECK(source(s, "a").rate == 20);
  CHECK(source(s, "b").rate == 0.01);
  CHECK(source(s, "c").rate == 2.5);
}

TEST_CASE("traffic patterns and their short forms") {
  Scenario s = read(R"(  duration: 60
  traffic:
    closed: {service: x, pattern: {users: {count: 8, think: {exponential: {mean: 2s}}}}}
    few: {service: x, pattern: {users: 3}}
    recorded: {service: x, pattern: {trace: {file: t.csv, format: csv, columns: {time: at}, timeUnit: ms}}, timeScale: 2}
    short: {service: x, trace: t.csv}
    wins: {service: x, trace: t.csv, pattern: {constant: 5}}
)");
  CHECK(source(s, "closed").users == 8);
  CHECK(source(s, "closed").think.mean() == 2);
  CHECK(source(s, "few").users == 3);
  CHECK(source(s, "recorded").time_scale == 2);
  for (const char* name : {"recorded", "short", "wins"}) CHECK(source(s, name).pattern == TrafficSpec::Pattern::Trace);
}

TEST_CASE("every distribution, in the unit of its field") {
  Scenario s = read(R"(  duration: 60
  models:
    a: {engine: batch, latency: {base: {uniform: {min: 1ms, max: 3ms}}}}
    b: {engine: batch, latency: {base: {exponential: {mean: 5ms}}}}
    c: {engine: batch, latency: {base: {normal: {mean: 5ms, sd: 1ms}}}}
    d: {engine: batch, latency: {base: {lognormal: {mean: 10ms, cv: 1}}}}
    e: {engine: batch, latency: {base: {gamma: {mean: 5ms, cv: 2}}}}
    f: {engine: batch, latency: {base: {discrete: {values: [1ms, 3ms], weights: [1, 3]}}}}
    g: {engine: batch, latency: {base: {empirical: [1ms, 2ms, 6ms]}}}
    h: {engine: batch, latency: {base: {empirical: {values: [1ms, 2ms, 6ms]}}}}
    i: {engine: batch, latency: {base: {constant: 7ms}}}
  traffic:
    t: {service: x, pattern: {constant: 1}, request: {prompt: {zipf: {n: 100, exponent: 1.1}}, output: {poisson: {mean: 9}}}}
)");
  auto mean = [&](size_t i) { return s.models[i].latency->base.mean(); };
  CHECK(mean(0) == Approx(0.002));
  CHECK(mean(1) == Approx(0.005));
  CHECK(mean(2) == Approx(0.005));
  CHECK(mean(3) == Approx(0.010));
  CHECK(mean(4) == Approx(0.005));
  CHECK(mean(5) == Approx(0.0025));
  CHECK(mean(6) == Approx(0.003));
  CHECK(mean(7) == Approx(0.003));
  CHECK(s.models[8].latency->base.is_constant());
  CHECK(s.traffic[0].prompt.kind() == Distribution::Kind::Zipf);
  CHECK(s.traffic[0].output.kind() == Distribution::Kind::Poisson);
}

TEST_CASE("draws are cut to the bounds of their field") {
  Scenario s = read(
      "  duration: 60\n  traffic:\n    t: {service: x, pattern: {constant: 1}, request: {output: {normal: {mean: 0, "
      "sd: 9}}}}\n");
  Stream stream(1, 2, Purpose::OutputTokens);
  for (int i = 0; i < 1000; i++) CHECK(s.traffic[0].output.draw(stream) >= 1);
}

TEST_CASE("a number that is a distribution is drawn once, by seed and path") {
  const std::string spec = R"(  duration: 1h
  seed: 7
  traffic:
    a: {service: x, pattern: {constant: {uniform: {min: 1/s, max: 9/s}}}, retries: {uniform: {min: 0, max: 1000}}}
    b: {service: x, pattern: {constant: {rate: {uniform: {min: 1/s, max: 9/s}}}}, timeout: {exponential: {mean: 20s}}}
)";
  Scenario one = read(spec), same = read(spec);
  CHECK(source(one, "a").rate > 1);
  CHECK(source(one, "a").rate < 9);
  CHECK(source(one, "a").rate != source(one, "b").rate);
  CHECK(source(one, "b").timeout.ns > 0);
  CHECK(source(one, "a").rate == source(same, "a").rate);
  CHECK(source(one, "a").retries == source(same, "a").retries);

  ReadOptions options;
  options.seed = 8;
  Scenario other = read(spec, options);
  CHECK(other.seed == 8);
  CHECK(source(other, "a").rate != source(one, "a").rate);
}

TEST_CASE("a policy has a name and parameters as text") {
  Scenario s = read(R"(  duration: 60
  policies:
    autoscaler: {w: {name: hpa, syncPeriod: 15s, tolerance: 0.1}}
    router: {x: least-requests}
    scheduler: {name: kube, seed: 5}
)");
  CHECK(s.autoscalers.at("w").params ==
        std::map<std::string, std::string>{{"syncPeriod", "15s"}, {"tolerance", "0.1"}});
  CHECK(s.routers.at("x").name == "least-requests");
  CHECK(s.scheduler.params.at("seed") == "5");
  CHECK(complaint_of("  duration: 60\n  policies: {scheduler: {plugins: [a]}}\n") ==
        "t.yaml:6:35: spec.policies.scheduler.plugins: found a list, allowed: a number or text");
}

TEST_CASE("a policy knows where it was chosen") {
  Scenario s = read("  duration: 60\n  policies:\n    scheduler: volcano\n    router: {llama: random}\n");
  CHECK((s.scheduler.mark.line == 7 && s.scheduler.mark.column == 16));
  CHECK((s.routers.at("llama").mark.line == 8 && s.routers.at("llama").mark.column == 21));
}

TEST_CASE("an unknown field is a counted warning, an error under strict") {
  const std::string spec = "  duration: 60\n  wramup: 5s\n";
  Scenario s = read(spec);
  REQUIRE(s.warnings.size() == 1);
  CHECK(s.warnings[0].text() == "t.yaml:6:3: spec.wramup: unknown field (did you mean 'warmup'?)");
  ReadOptions strict;
  strict.strict = true;
  CHECK(complaint_of(spec, strict) == s.warnings[0].text());
}

TEST_CASE("--set changes, adds and replaces") {
  CHECK(read(kChat, with({{"duration", "2h"}})).duration == Duration{7200'000'000'000});
  CHECK(source(read(kChat, with({{"traffic.chat.timeout", "5s"}})), "chat").timeout == Duration{5'000'000'000});
  CHECK(read(kChat, with({{"metrics.delay", "3s"}})).metrics.delay == Duration{3'000'000'000});

  SECTION("short forms open up") {
    Scenario s =
        read(kChat, with({{"traffic.chat.pattern.constant.rate", "7/s"}, {"policies.router.llama", "random"}}));
    CHECK(source(s, "chat").rate == 7);
    CHECK(s.routers.at("llama").name == "random");
    s = read(kChat, with({{"traffic.chat.timeout.exponential.mean", "7s"}}));
    CHECK(source(s, "chat").timeout.ns > 0);
  }
  SECTION("a new choice replaces the old") {
    Scenario s = read(kChat, with({{"traffic.chat.pattern.users.count", "4"}}));
    CHECK(source(s, "chat").pattern == TrafficSpec::Pattern::Users);
  }
  SECTION("names do not") {
    Scenario s = read("  duration: 60\n  prices: {l4: 1}\n", with({{"prices.t4", "2"}}));
    CHECK(s.prices.at("l4").value == 1);
    CHECK(s.prices.at("t4").value == 2);
  }
  SECTION("list items") {
    const std::string faults = "  duration: 60\n  faults: [{at: 1, kind: node-loss, node: a, for: 2}]\n";
    CHECK(read(faults, with({{"faults[0].node", "b"}})).faults[0].node == "b");
    CHECK(read(faults, with({{"faults.0.node", "c"}})).faults[0].node == "c");
    CHECK(complaint_of(faults, with({{"faults[1].node", "b"}})) ==
          "--set faults[1].node=b: spec.faults[1].node: found the index '1', allowed: 0 to 0");
  }
  SECTION("traffic.trace is short for the only source's") {
    Scenario s = read(kChat, with({{"traffic.trace", "x.csv"}}));
    CHECK(source(s, "chat").pattern == TrafficSpec::Pattern::Trace);
    CHECK(complaint_of("  duration: 60\n  traffic: {a: {service: x, pattern: {constant: 1}}, b: {service: x, pattern: "
                       "{constant: 1}}}\n",
                       with({{"traffic.trace", "x.csv"}})) ==
          "--set traffic.trace=x.csv: spec.traffic.trace: found 2 traffic sources, allowed: traffic.a.trace, "
          "traffic.b.trace");
  }
  SECTION("mistakes name the flag") {
    CHECK(
        complaint_of(kChat, with({{"duration", "soon"}})) ==
        "--set duration=soon: spec.duration: found 'soon', allowed: a duration (90s, 1h30m or seconds), more than 0s");
    for (const char* path : {"", ".", "a..b", "a.", "[0]x", "a[", "a[]", "a[0]b"})
      CHECK(complaint_of(kChat, with({{path, "1"}})).find("--set " + std::string(path) + "=1: ") == 0);
    CHECK(complaint_of(kChat, with({{".duration", "1h"}})) ==
          "--set .duration=1h: spec..duration: found the path '.duration', allowed: names and indices such as "
          "traffic.chat.timeout or faults[0].at");
    CHECK(complaint_of(kChat, with({{"duration", ""}})) ==
          "--set duration=: spec.duration: found nothing, allowed: a duration (90s, 1h30m or seconds), more than 0s");
    CHECK(complaint_of(kChat, with({{"traffic.chat.service.name", "1"}})).find("found 'llama' where 'name' would go") !=
          std::string::npos);
    CHECK(complaint_of(kChat, with({{"seed", "[1"}})).find("--set seed=[1:1:") == 0);
  }
}

TEST_CASE("the recorded text reads back as the same scenario") {
  Scenario s = read(kChat, with({{"traffic.chat.pattern.users.count", "4"}, {"seed", "9"}}));
  ReadOptions options;
  options.files = false;
  Scenario again = read_scenario_text(s.text, "again", options);
  CHECK(again.text == s.text);
  CHECK(again.seed == 9);
  CHECK(source(again, "chat").users == 4);
}

TEST_CASE("exactly one Scenario is needed") {
  CHECK(complaint([] { read_scenario_text("", "t"); }) ==
        "t: found no document of kind Scenario, needed: one with apiVersion kisim.dev/v1");
  CHECK(complaint([] { read_scenario_text(document(kChat) + "---\n" + document(kChat), "t"); }) ==
        "t:9:1: kind: found a second Scenario, allowed: one");
}

TEST_CASE("includes lie beneath the file that names them") {
  Folder folder;
  folder.write("base/base.yaml",
               document("  duration: 1h\n  warmup: 1m\n  manifests: [nodes.yaml]\n  traffic:\n"
                        "    chat: {service: x, pattern: {diurnal: {mean: 1, peak: 2}}, timeout: 9s}\n"
                        "    batch: {service: x, pattern: {constant: 1}}\n") +
                   "---\n{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {selector: {a: b}}}\n");
  folder.write("base/nodes.yaml",
               "{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {allocatable: {cpu: '4'}}}\n");
  folder.write("over.yaml", document("  warmup: 2m\n"));
  std::string top = folder.write("top.yaml", document("  include: [base/base.yaml, over.yaml]\n  duration: 2h\n"
                                                      "  traffic: {chat: {pattern: {constant: 5/s}}}\n"));
  Scenario s = read_scenario({top});
  CHECK(s.duration == Duration{7200'000'000'000});
  CHECK(s.warmup == Duration{120'000'000'000});
  CHECK(source(s, "chat").pattern == TrafficSpec::Pattern::Constant);
  CHECK(source(s, "chat").timeout == Duration{9'000'000'000});
  CHECK(source(s, "batch").rate == 1);
  REQUIRE(s.manifests.nodes.size() == 1);
  REQUIRE(s.manifests.services.size() == 1);
  CHECK(s.text.find("include") == std::string::npos);

  std::string circle = folder.write("circle.yaml", document("  include: circle2.yaml\n"));
  folder.write("circle2.yaml", document("  include: circle.yaml\n"));
  CHECK(complaint([&] { read_scenario({circle}); }).find("which includes itself") != std::string::npos);
  std::string lost = folder.write("lost.yaml", document("  include: nowhere.yaml\n"));
  CHECK(complaint([&] { read_scenario({lost}); }) ==
        fmt::format("{}:5:12: spec.include: found 'nowhere.yaml', which does not exist ({})", lost,
                    folder.path("nowhere.yaml")));
}

TEST_CASE("manifests: beside the scenario, named, inline and in folders") {
  auto service = [](const std::string& name) {
    return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {selector: {app: a}}\n";
  };
  Folder folder;
  folder.write("more/one.yaml", service("one"));
  folder.write("more/two.yaml", service("two"));
  folder.write("arg/five.yaml", service("five"));
  std::string top = folder.write(
      "top.yaml",
      document(
          "  duration: 60\n  manifests:\n  - more\n  - apiVersion: v1\n    kind: Service\n    metadata: {name: three}\n"
          "    spec: {selector: {app: a}}\n") +
          "---\n" + service("four") + kNode);
  Scenario s = read_scenario({top, folder.path("arg")});
  std::vector<std::string> names;
  for (const Service& found : s.manifests.services) names.push_back(found.meta.name);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"five", "four", "one", "three", "two"});
}

TEST_CASE("a trace that is named is read, relative to the file or to the command line") {
  Folder folder;
  folder.write("trace.csv", "time,prompt,output\n0,10,5\n1.5,20,6\n");
  const std::string service = "---\n{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {selector: {a: b}}}\n";
  std::string top = folder.write(
      "top.yaml", document("  duration: 60\n  traffic: {t: {service: x, trace: trace.csv}}\n") + service + kNode);
  Scenario s = read_scenario({top});
  REQUIRE(s.traffic[0].trace);
  CHECK(s.traffic[0].trace->time_ns == std::vector<int64_t>{0, 1'500'000'000});

  ReadOptions options = with({{"traffic.trace", folder.path("none.csv")}});
  std::string flag = "--set traffic.trace=" + folder.path("none.csv");
  CHECK(complaint([&] { read_scenario({top}, options); }) ==
        fmt::format("{}: spec.traffic.t.trace: found '{}', which does not exist ({})", flag, folder.path("none.csv"),
                    folder.path("none.csv")));
}

TEST_CASE("references to objects that no manifest has") {
  Folder folder;
  std::string top = folder.write(
      "top.yaml", document("  duration: 60\n  policies: {router: {llma: random}}\n  traffic: {t: {service: llma, "
                           "pattern: {constant: 1}}}\n") +
                      "---\n{apiVersion: v1, kind: Service, metadata: {name: llama}, spec: {selector: {a: b}}}\n" +
                      kNode);
  CHECK(complaint([&] { read_scenario({top}); }) ==
        fmt::format("{0}:7:26: spec.traffic.t.service: found 'llma', allowed: llama (did you mean 'llama'?)\n"
                    "{0}:6:29: spec.policies.router.llma: found 'llma', allowed: llama (did you mean 'llama'?)",
                    top));
}

TEST_CASE("without nodes the first complaint is about them") {
  Folder folder;
  std::string top = folder.write("top.yaml", document(kChat));
  CHECK(complaint([&] { read_scenario({top}); }) ==
        top + ":5:3: spec.manifests: found no Node, allowed: at least one (kubectl get nodes -o yaml)");
  top = folder.write("top.yaml", document(kChat + "  manifests: [absent.yaml]\n"));
  CHECK(complaint([&] { read_scenario({top}); }) ==
        fmt::format("{}:8:15: spec.manifests: found 'absent.yaml', which does not exist ({})", top,
                    folder.path("absent.yaml")));
}

TEST_CASE("the scheduler's configuration is a file or stands in the scenario") {
  const std::string head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
  Folder folder;
  folder.write("good.yaml", head + "podMaxBackoffSeconds: 60\nprofiles: [{schedulerName: packing}]\n");
  folder.write("two.yaml", head + "---\n" + head);
  std::string unknown =
      folder.write("unknown.yaml", head + "profiles:\n- plugins: {score: {enabled: [{name: Rack}]}}\n");
  auto top = [&](const std::string& value) {
    return folder.write("top.yaml",
                        document("  duration: 60\n  kubernetes: {schedulerConfiguration: " + value + "}\n") + kNode);
  };
  Scenario s = read_scenario({top("good.yaml")});
  CHECK(s.warnings.empty());
  CHECK(s.scheduler_configuration.pod_max_backoff == Duration{60'000'000'000});
  CHECK(s.scheduler_configuration.profiles.at(0).scheduler_name == "packing");

  std::string path = top("two.yaml");
  CHECK(complaint([&] { read_scenario({path}); }) ==
        fmt::format("{}:6:40: spec.kubernetes.schedulerConfiguration: found 2 documents in {}, allowed: one of kind "
                    "KubeSchedulerConfiguration",
                    path, folder.path("two.yaml")));
  CHECK(complaint([&] { read_scenario({top("unknown.yaml")}); }) ==
        unknown + ":4:31: plugins.score: ScorePlugin \"Rack\" does not exist");

  s = read(R"(  duration: 60
  kubernetes:
    schedulerConfiguration:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: KubeSchedulerConfiguration
      percentageOfNodesToScore: 30
)",
           with({{"kubernetes.schedulerConfiguration.profiles", "[{schedulerName: set}]"}}));
  CHECK(s.scheduler_configuration.percentage_of_nodes_to_score == 30);
  CHECK(s.scheduler_configuration.profiles.at(0).scheduler_name == "set");
  CHECK(read("  duration: 60\n").scheduler_configuration.profiles.at(0).scheduler_name == "default-scheduler");
}

TEST_CASE("feature gates of the version") {
  const std::string gates = "  duration: 60\n  kubernetes: {version: \"1.35\", featureGates: ";
  Scenario s = read(gates + "{HPAScaleToZero: true}}\n");
  CHECK(s.feature_gates == std::map<std::string, bool>{{"HPAScaleToZero", true}});
  CHECK(s.warnings.empty());
  s = read(gates + "{GangScheduling: true}}\n");
  REQUIRE(s.warnings.size() == 1);
  CHECK(s.warnings[0].text() ==
        "t.yaml:6:64: spec.kubernetes.featureGates.GangScheduling: 'true' is not modelled, ignored");
  CHECK(read(gates + "{GangScheduling: false}}\n").warnings.empty());
  std::string complaint = complaint_of(gates + "{HPAScaleToZro: true}}\n");
  CHECK(
      complaint.starts_with("t.yaml:6:63: spec.kubernetes.featureGates.HPAScaleToZro: unrecognized feature gate: "
                            "HPAScaleToZro, allowed: ClearingNominatedNodeNameAfterBinding, "));
  CHECK(complaint.ends_with(" (did you mean 'HPAScaleToZero'?)"));
}

TEST_CASE("the shipped scenarios") {
  Scenario s = read_scenario({kRoot / "scenarios/quickstart.yaml"});
  for (const Diagnostic& warning : s.warnings) INFO(warning.text());
  CHECK(s.warnings.empty());
  CHECK(s.manifests.nodes.size() == 5);
  CHECK(s.manifests.deployments.size() == 1);
  CHECK(s.manifests.hpas.size() == 1);

  const std::string azure = kRoot / "scenarios/azure-conv.yaml";
  CHECK(complaint([&] { read_scenario({azure}); }) ==
        azure +
            ":26:24: spec.traffic.conversation.trace: missing, needed: a trace file; give it here or with --set "
            "traffic.trace=FILE");
}

TEST_CASE("the Azure conversation trace") {
  std::string trace = shared_file("data/traces/azure-llm-2023/AzureLLMInferenceTrace_conv.csv");
  if (trace.empty()) return;
  Scenario s = read_scenario({kRoot / "scenarios/azure-conv.yaml"}, with({{"traffic.trace", trace}}));
  REQUIRE(s.traffic[0].trace);
  CHECK(s.traffic[0].trace->time_ns.size() == 19366);
  CHECK(s.warnings.empty());
}

// Each tests/io/bad/NAME.yaml is refused with exactly the lines of NAME.txt.
TEST_CASE("malformed scenarios are explained") {
  size_t count = 0;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kRoot / "tests/io/bad"))
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    INFO(file);
    fs::path expected_file = file;
    expected_file.replace_extension(".txt");
    REQUIRE(fs::exists(expected_file));
    auto slurp = [](const fs::path& path) {
      std::ifstream in(path, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(in), {});
    };
    ReadOptions options;
    options.files = false;
    std::string found = complaint([&] { read_scenario_text(slurp(file), file.filename(), options); });
    CHECK(found + "\n" == slurp(expected_file));
    count++;
  }
  CHECK(count >= 30);
}
