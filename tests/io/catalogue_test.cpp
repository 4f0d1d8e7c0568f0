#include "io/catalogue.hpp"

#include "core/error.hpp"
#include "io/input.hpp"
#include "shared_data.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

using namespace kisim;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

double number(const std::string& cell) { return cell.empty() ? 0 : std::stod(cell); }

const std::string kGpu = R"(gpus:
  h100-80gb:
    products: [NVIDIA-H100-80GB-HBM3]
    fp16DenseTflops: {value: 989, source: datasheet}
    memoryGib: {value: 80, source: datasheet}
    bandwidthGBs: {value: 3350, source: datasheet}
    tdpWatts: {value: 700, source: datasheet}
    sm: {value: 132, source: datasheet}
    pcieGen: {value: 5, source: datasheet}
sources: {datasheet: the datasheet}
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("the GPU catalogue is complete") {
  std::vector<GpuModel> gpus = read_gpu_catalogue();
  std::set<std::string> names, products;
  for (const GpuModel& gpu : gpus) {
    CAPTURE(gpu.name);
    CHECK(names.insert(gpu.name).second);
    for (const std::string& product : gpu.products) CHECK(products.insert(product).second);
    CHECK(gpu.fp16_tflops > 0);
    CHECK((gpu.fp8_tflops == 0 || gpu.fp8_tflops == Approx(2 * gpu.fp16_tflops).epsilon(0.02)));
  }
  CHECK(names == std::set<std::string>{"t4",         "v100-16gb",   "v100-32gb",  "a10",        "a30",
                                       "a100-40gb",  "a100-80gb",   "l4",         "l40s",       "h100-80gb",
                                       "h100-94gb",  "gh200-96gb",  "h200-141gb", "b200-180gb", "gb200-185gb",
                                       "b300-268gb", "gb300-277gb", "rtx-3080",   "rtx-4090",   "rtx-pro-6000"});
  CHECK(products.count("Tesla-T4"));
  CHECK(products.count("NVIDIA-H100-80GB-HBM3"));
}

TEST_CASE("the GPU catalogue agrees with the reference table") {
  std::string path = shared_file("data/gpu/gpu_specs.csv");
  if (path.empty()) return;
  const std::map<std::string, std::string> key_of = {
      {"T4", "t4"},
      {"V100-SXM2-32GB", "v100-32gb"},
      {"A10", "a10"},
      {"A30", "a30"},
      {"A100-SXM4-40GB", "a100-40gb"},
      {"A100-SXM4-80GB", "a100-80gb"},
      {"L4", "l4"},
      {"L40S", "l40s"},
      {"H100-SXM5-80GB", "h100-80gb"},
      {"H200-SXM5-141GB", "h200-141gb"},
      {"B200-SXM-180GB", "b200-180gb"},
      {"RTX3080-10GB", "rtx-3080"},
      {"RTX4090", "rtx-4090"},
      {"RTX-PRO-6000-Blackwell", "rtx-pro-6000"},
  };
  std::vector<GpuModel> gpus = read_gpu_catalogue();
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  size_t rows = 0;
  while (std::getline(in, line)) {
    std::vector<std::string> cells = split(line);
    REQUIRE(cells.size() >= 10);
    CAPTURE(cells[0]);
    REQUIRE(key_of.count(cells[0]));
    auto gpu = std::find_if(gpus.begin(), gpus.end(), [&](const GpuModel& g) { return g.name == key_of.at(cells[0]); });
    REQUIRE(gpu != gpus.end());
    CHECK(gpu->fp16_tflops == number(cells[1]));
    CHECK(gpu->fp8_tflops == number(cells[2]));
    CHECK(static_cast<double>(gpu->memory_bytes) == number(cells[3]) * 0x1p30);
    CHECK(gpu->bandwidth_gbs == number(cells[4]));
    CHECK(gpu->tdp_watts == number(cells[5]));
    CHECK(gpu->idle_watts == number(cells[6]));
    CHECK(gpu->sm == number(cells[7]));
    CHECK(gpu->nvlink_gbs == number(cells[8]));
    CHECK(gpu->mig_slices == number(cells[9]));
    ++rows;
  }
  CHECK(rows == key_of.size());
}

TEST_CASE("MIG profiles agree with the reference tables") {
  std::string path = shared_file("data/gpu/mig_profiles.json");
  if (path.empty()) return;
  const std::map<std::string, std::string> key_of = {{"A100-40GB", "a100-40gb"},   {"A100-80GB", "a100-80gb"},
                                                     {"H100-80GB", "h100-80gb"},   {"H200-141GB", "h200-141gb"},
                                                     {"B200-180GB", "b200-180gb"}, {"A30-24GB", "a30"}};
  std::vector<GpuModel> gpus = read_gpu_catalogue();
  std::ifstream in(path);
  nlohmann::json tables = nlohmann::json::parse(in);
  for (const auto& [name, key] : key_of) {
    auto gpu = std::find_if(gpus.begin(), gpus.end(), [&, &k = key](const GpuModel& g) { return g.name == k; });
    REQUIRE(gpu != gpus.end());
    for (const nlohmann::json& row : tables.at(name)) {
      CAPTURE(name, row.dump());
      std::optional<uint8_t> found = gpu->mig.find(row.at("name").get<std::string>());
      REQUIRE(found);
      const MigProfile& p = gpu->mig.profiles()[*found];
      if (row.contains("profile_id")) CHECK(p.id == row.at("profile_id"));
      CHECK(p.compute_slices == row.at("compute_slices"));
      CHECK(p.memory_slices == row.at("memory_slices"));
      CHECK(p.starts == row.at("starts").get<std::vector<uint8_t>>());
      CHECK(p.max_instances == row.at("max_instances"));
      CHECK(p.sm == (row.at("sm").is_null() ? 0 : row.at("sm").get<int>()));
      // Names round up: two instances of 71 GiB are more than an H200 has.
      if (!row.at("memory_mib").is_null())
        CHECK(static_cast<double>(p.memory_bytes) ==
              Approx(row.at("memory_mib").get<double>() * 0x1p20).epsilon(0.025));
    }
  }
}

TEST_CASE("every GPU with MIG has its profiles, and instances never hold more than it has") {
  for (const GpuModel& gpu : read_gpu_catalogue()) {
    CAPTURE(gpu.name);
    CHECK(gpu.mig.empty() == (gpu.mig_slices == 0));
    for (const MigProfile& p : gpu.mig.profiles()) {
      CAPTURE(p.name);
      // Where the media extension is no limit, the starts say how many fit.
      CHECK(p.max_instances == (p.has_media_extension() ? 1 : static_cast<int32_t>(p.starts.size())));
    }
    for (const MigLayout& layout : gpu.mig.reachable()) {
      int32_t compute = 0, sm = 0;
      int64_t memory = 0;
      for (MigInstance i : layout) {
        compute += gpu.mig.profile(i).compute_slices;
        sm += gpu.mig.profile(i).sm;
        memory += gpu.mig.profile(i).memory_bytes;
      }
      REQUIRE(compute <= gpu.mig_slices);
      REQUIRE(sm <= gpu.sm);
      REQUIRE(memory <= gpu.memory_bytes);
    }
  }
}

TEST_CASE("power is measured on H100 and B200, and a fit is whole") {
  std::map<std::string, GpuModel> gpus;
  for (GpuModel& gpu : read_gpu_catalogue()) gpus[gpu.name] = gpu;
  for (const auto& [name, gpu] : gpus) CHECK((gpu.power_base > 0) == (name == "h100-80gb" || name == "b200-180gb"));
  CHECK(gpus["h100-80gb"].power_compute == 635.4);
  CHECK(gpus["h100-80gb"].power_waiting == 63.54);
  CHECK(gpus["b200-180gb"].power_waiting == 0);
  std::string half = "gpus:\n  x:\n    products: [X]\n";
  for (const char* key : {"fp16DenseTflops", "memoryGib", "bandwidthGBs", "tdpWatts", "sm", "powerBaseWatts"})
    half += std::string("    ") + key + ": {value: 1, source: s}\n";
  half += "sources: {s: a test}\n";
  CHECK_THROWS_WITH(parse_gpu_catalogue(half, "half.yaml"), Catch::Contains("all of powerBaseWatts"));
}

TEST_CASE("the model catalogue holds the public configurations") {
  std::map<std::string, LlmModel> models;
  for (const LlmModel& model : read_llm_catalogue()) models[model.name] = model;
  REQUIRE(models.size() >= 45);
  // KV bytes per token as published: 128 KiB for Llama-3 8B, 320 KiB for 70B.
  CHECK(models.at("llama-3.1-8b").kv_bytes_per_token() == 128 * 1024);
  CHECK(models.at("llama-3.1-70b").kv_bytes_per_token() == 320 * 1024);
  CHECK(models.at("llama-3.2-1b").kv_bytes_per_token() == 32 * 1024);
  CHECK(models.at("llama-3.1-8b").parameters == Approx(8.03e9).epsilon(1e-3));
  for (const auto& [name, model] : models) {
    CAPTURE(name);
    CHECK(model.heads % model.kv_heads == 0);
    CHECK(model.full_layers() > 0);
    CHECK(model.active_parameters() <= model.parameters);
    CHECK_FALSE(model.repositories.empty());
    if (model.experts.count == 0) CHECK(model.weight_bytes() == Approx(2 * model.parameters));
    CHECK(model.layer_parameters() > 0);
    CHECK((model.window > 0) == (model.window_layers > 0));
  }
  // As their names say, or their publishers.
  const std::pair<const char*, double> active[] = {
      {"mixtral-8x7b", 12.9e9},   {"mixtral-8x22b", 39.1e9},       {"qwen3-30b-a3b", 3.3e9},
      {"qwen3-235b-a22b", 22e9},  {"deepseek-v3", 37e9},           {"deepseek-v2-lite", 2.4e9},
      {"kimi-k2", 32e9},          {"gpt-oss-120b", 5.1e9},         {"minimax-m2", 10e9},
      {"glm-4.5", 32e9},          {"glm-4.5-air", 12e9},           {"llama-4-scout", 17e9},
      {"llama-4-maverick", 17e9}, {"qwen3-coder-480b-a35b", 35e9}, {"qwen3.5-397b-a17b", 17e9}};
  for (const auto& [name, parameters] : active) {
    CAPTURE(name);
    CHECK(models.at(name).active_parameters() == Approx(parameters).epsilon(0.15));
  }
  CHECK(models.at("deepseek-r1").kv_bytes_per_token() == 61 * 576 * 2);
}

TEST_CASE("a repository of the hub means a model of the catalogue, whoever has quantised it") {
  const std::vector<LlmModel> models = read_llm_catalogue();
  auto name = [&](const char* repository) {
    const LlmModel* found = find_llm(models, repository);
    return found ? found->name : "";
  };
  CHECK(name("Qwen/Qwen3-32B") == "qwen3-32b");
  CHECK(name("nvidia/Qwen3-32B-NVFP4") == "qwen3-32b");
  CHECK(name("meta-llama/Llama-3.1-8B-Instruct") == "llama-3.1-8b");
  CHECK(name("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8") == "qwen3-235b-a22b");
  CHECK(name("deepseek-ai/DeepSeek-R1-0528") == "deepseek-r1");
  CHECK(name("openai/gpt-oss-120b") == "gpt-oss-120b");
  CHECK(name("llama-3.1-8b") == "llama-3.1-8b");
  CHECK(name("meta-llama/Llama-3.1-405B-Instruct-FP8") == "llama-3.1-405b");
  CHECK(name("meta-llama/Meta-Llama-3.1-8B") == "llama-3.1-8b");
  CHECK(name("google/gemma-3-27b-it") == "gemma-3-27b");
  CHECK(name("mistralai/Mistral-7B-Instruct-v0.3") == "mistral-7b");
  CHECK(name("microsoft/phi-4") == "phi-4");
  CHECK(name("meta-llama/Llama-2-70b-chat-hf") == "llama-2-70b");
  CHECK(name("example/unheard-of") == "");
}

TEST_CASE("a bad model of the catalogue is an error where it stands") {
  const std::string model = R"(models:
  moe:
    source: a test
    parameters: 46702792704
    layers: 32
    hidden: 4096
    heads: 32
    kvHeads: 8
    headDim: 128
    experts: {count: 8, perToken: 2, intermediate: 14336, layers: 32, bytesPerParameter: 2}
    bytesPerParameter: 2
    kvBytesPerElement: 2
)";
  CHECK(parse_llm_catalogue(model, "models.yaml")[0].experts.per_token == 2);
  auto complaint = [&](const char* from, const char* to) {
    return [text = replaced(model, from, to)] { parse_llm_catalogue(text, "models.yaml"); };
  };
  CHECK_THROWS_WITH(complaint("perToken: 2", "perToken: 9")(), Contains("allowed: at most count"));
  CHECK_THROWS_WITH(complaint("layers: 32, bytes", "layers: 33, bytes")(), Contains("in at most all layers"));
  CHECK_THROWS_WITH(complaint("46702792704", "4670279270")(), Contains("more than the experts have together"));
  CHECK_THROWS_WITH(complaint("count: 8", "number: 8")(), Contains("models.moe.experts.number"));
}

TEST_CASE("the engine catalogue says where its figures are from") {
  std::vector<EngineProfile> engines = read_engine_catalogue();
  REQUIRE(engines.size() == 4);
  const EngineProfile& vllm = engines[0];
  CHECK(vllm.name == "vllm-0.19");
  CHECK(vllm.kind == "llm");
  REQUIRE(vllm.steps.size() == 2);
  CHECK(vllm.steps[0].gpu == "h100-80gb");
  CHECK(vllm.steps[0].bandwidth_gbs == 3350);
  CHECK(vllm.steps[0].max_sequences == 256);
  CHECK(vllm.steps[1].all_reduce_factor == 0);
  CHECK(vllm.request_overhead_ms == 15.563);
  CHECK(vllm.max_num_batched_tokens == 8192);
  CHECK_THAT(vllm.source, Contains("62 configurations"));
  CHECK_THAT(vllm.source, Contains("BLIS"));
  CHECK_FALSE(vllm.prefill_first);
  CHECK(engines[1].name == "sglang-0.5");
  CHECK(engines[1].prefill_first);
  CHECK(engines[2].name == "trtllm-1.0");
  CHECK(engines[3].kind == "batch");
  CHECK_FALSE(engines[3].source.empty());
}

TEST_CASE("a bad catalogue is an error where it stands") {
  CHECK(parse_gpu_catalogue(kGpu, "gpus.yaml").size() == 1);
  struct Row {
    const char *from, *to, *message;
  };
  const Row rows[] = {
      {"value: 989", "value: fast",
       "gpus.yaml:4:30: gpus.h100-80gb.fp16DenseTflops.value: found 'fast', allowed: a number"},
      {"value: 989", "value: -1", "found '-1', allowed: a number above 0"},
      {"value: 989", "value: nan", "found 'nan', allowed: a number above 0"},
      {"{value: 989, source: datasheet}", "989", "gpus.h100-80gb.fp16DenseTflops.source"},
      {"{value: 989, source: datasheet}", "{value: 989, source: rumour}",
       "found 'rumour', allowed: a key of `sources`"},
      {"{value: 132, ", "{value: 132.5, ", "gpus.h100-80gb.sm: "},
      {"    sm:", "    smCount:", "gpus.h100-80gb.smCount: found a mapping, unknown field"},
      {"    sm:", "    smCount:", "gpus.h100-80gb.sm: missing: required"},
      {"[NVIDIA-H100-80GB-HBM3]", "[]", "gpus.h100-80gb.products"},
      {"gpus:", "cards:", "missing: a mapping of entries"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.to);
    CHECK_THROWS_WITH(parse_gpu_catalogue(replaced(kGpu, row.from, row.to), "gpus.yaml"), Contains(row.message));
  }
  CHECK_THROWS_WITH(parse_engine_catalogue("engines: {x: {kind: magic}}", "e.yaml", {}),
                    Contains("e.yaml:1:21: engines.x.kind: found 'magic', allowed: llm, batch"));
  CHECK_THROWS_WITH(parse_engine_catalogue("engines: {x: {kind: llm, steps: {abacus: {stepMs: 1}}}}", "e.yaml", {}),
                    Contains("engines.x.steps.abacus.stepMs: found") &&
                        Contains("allowed: under the name of a GPU of the catalogue"));
}
