#include "io/catalogue.hpp"

#include "cluster/topology.hpp"
#include "io/input.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

namespace kisim {

namespace embedded {
extern const std::string_view gpus_yaml, mig_yaml, models_yaml, engines_yaml;
}

namespace {

std::optional<double> to_number(const Value& value) {
  if (value.kind != Value::Kind::Scalar || value.quoted) return std::nullopt;
  double number = 0;
  const char* end = value.text.data() + value.text.size();
  auto [stop, error] = std::from_chars(value.text.data(), end, number);
  if (error != std::errc{} || stop != end || !std::isfinite(number) || number <= 0) return std::nullopt;
  return number;
}

// One entry of a catalogue: its figures are positive numbers, each with a source of the file.
class Entry {
 public:
  Entry(const Value& value, std::string path, const Value* sources, Diagnostics& diagnostics)
      : value_(value), path_(std::move(path)), sources_(sources), diagnostics_(diagnostics) {}

  // {value: N, source: KEY}; 0 if it may be and is absent.
  double figure(const char* key, bool optional = false) {
    const Value* field = find(key, optional);
    if (!field) return 0;
    const Value *value = field->find("value"), *source = field->find("source");
    std::string path = path_ + "." + key;
    const Value* told = source && sources_ ? sources_->find(source->text) : nullptr;
    if (told)
      used_.insert(told->text);
    else
      error(source ? *source : *field, path + ".source", "allowed: a key of `sources`");
    for (const Value::Member& member : field->members)
      if (member.key != "value" && member.key != "source") error(member.value, path, "allowed: value and source");
    return number(value ? *value : *field, path + ".value");
  }

  // 0 if it may be and is absent.
  double plain(const char* key, bool optional = false) {
    const Value* field = find(key, optional);
    return field ? number(*field, path_ + "." + key) : 0;
  }

  // true, false, or absent.
  bool flag(const char* key) {
    const Value* field = find(key, true);
    if (field && field->text != "true" && field->text != "false")
      error(*field, path_ + "." + key, "allowed: true or false");
    return field && field->text == "true";
  }

  // As plain(), but may be 0.
  double number_from_zero(const char* key) {
    const Value* field = value_.find(key);
    if (!field || field->text != "0") return plain(key);
    known_.push_back(key);
    return 0;
  }

  template <class Integer>
  void whole(const char* key, double amount, Integer& out) {
    out = static_cast<Integer>(amount);
    if (static_cast<double>(out) != amount) error(value_, path_ + "." + key, "allowed: a whole number");
  }

  std::string text(const char* key) {
    const Value* field = find(key, false);
    if (!field) return {};
    if (field->kind != Value::Kind::Scalar || field->text.empty()) error(*field, path_ + "." + key, "allowed: a text");
    return field->text;
  }

  std::vector<std::string> texts(const char* key, bool optional = false) {
    const Value* field = find(key, optional);
    std::vector<std::string> out;
    if (!field) return out;
    for (const Value& item : field->items) out.push_back(item.text);
    if (out.empty()) error(*field, path_ + "." + key, "allowed: a list of texts");
    return out;
  }

  std::vector<uint8_t> places(const char* key, int32_t end) {
    const Value* field = find(key, false);
    std::vector<uint8_t> out;
    for (const Value& item : field ? field->items : std::vector<Value>{}) {
      int32_t place = -1;
      std::from_chars(item.text.data(), item.text.data() + item.text.size(), place);
      if (place < 0 || place >= end)
        error(item, path_ + "." + key, fmt::format("allowed: whole numbers from 0 to {}", end - 1));
      out.push_back(static_cast<uint8_t>(place));
    }
    if (field && out.empty()) error(*field, path_ + "." + key, "allowed: a list of whole numbers");
    return out;
  }

  // Calls read(name, Entry&) for every entry of a mapping.
  template <class Read>
  void each(const char* key, Read read) {
    const Value* field = find(key, false);
    if (!field) return;
    for (const Value::Member& member : field->members) {
      Entry entry(member.value, path_ + "." + key + "." + member.key, sources_, diagnostics_);
      read(member.key, entry);
      entry.finish();
      used_.insert(entry.used_.begin(), entry.used_.end());
    }
  }

  // Calls read(Entry&) for a mapping of figures, if there is one.
  template <class Read>
  void part(const char* key, Read read) {
    const Value* field = find(key, true);
    if (!field) return;
    Entry entry(*field, path_ + "." + key, sources_, diagnostics_);
    read(entry);
    entry.finish();
  }

  // The key of a source; where it stands for all plain figures of an entry.
  void source() {
    const Value* field = find("source", false);
    if (field && !(sources_ && sources_->find(field->text)))
      error(*field, path_ + ".source", "allowed: a key of `sources`");
  }

  // The sources of all figures read so far, those of nested entries included.
  std::string used_sources() const { return fmt::format("{}", fmt::join(used_, "; ")); }

  void refuse(const char* key, const std::string& allowed) {
    const Value* field = value_.find(key);
    error(field ? *field : value_, path_ + "." + key, allowed);
  }

  void finish() {
    for (const Value::Member& member : value_.members)
      if (std::find(known_.begin(), known_.end(), member.key) == known_.end())
        error(member.value, path_ + "." + member.key, "unknown field");
  }

 private:
  const Value* find(const char* key, bool optional) {
    known_.push_back(key);
    const Value* field = value_.find(key);
    if (!field && !optional) diagnostics_.error(value_.mark(), path_ + "." + key, "missing: required");
    return field;
  }

  double number(const Value& value, const std::string& path) {
    std::optional<double> read = to_number(value);
    if (!read) error(value, path, "allowed: a number above 0");
    return read.value_or(0);
  }

  void error(const Value& value, const std::string& path, const std::string& allowed) {
    diagnostics_.error(value.mark(), path, "found " + value.describe() + ", " + allowed);
  }

  const Value& value_;
  std::string path_;
  const Value* sources_;
  Diagnostics& diagnostics_;
  std::vector<std::string_view> known_;
  std::set<std::string> used_;
};

// Calls read(name, Entry&) for every entry of the section.
template <class Read>
void read_entries(const std::string& text, const std::string& file, const char* section, Read read) {
  Diagnostics diagnostics;
  std::vector<Value> documents = parse_yaml(text, file);
  const Value* entries = documents.size() == 1 ? documents[0].find(section) : nullptr;
  if (!entries || entries->kind != Value::Kind::Mapping || entries->members.empty())
    throw InputError({Severity::Error, {file, 1, 1}, section, "missing: a mapping of entries"});
  for (const Value::Member& member : documents[0].members)
    if (member.key != section && member.key != "sources")
      diagnostics.error(member.value.mark(), member.key, "unknown field");
  for (const Value::Member& member : entries->members) {
    Entry entry(member.value, std::string(section) + "." + member.key, documents[0].find("sources"), diagnostics);
    read(member.key, entry);
    entry.finish();
  }
  diagnostics.throw_if_errors();
}

}  // namespace

std::vector<GpuModel> parse_gpu_catalogue(const std::string& text, const std::string& file) {
  std::vector<GpuModel> out;
  read_entries(text, file, "gpus", [&](const std::string& name, Entry& entry) {
    GpuModel gpu;
    gpu.name = name;
    gpu.products = entry.texts("products");
    gpu.fp16_tflops = entry.figure("fp16DenseTflops");
    gpu.fp8_tflops = entry.figure("fp8DenseTflops", true);
    gpu.fp4_tflops = entry.figure("fp4DenseTflops", true);
    entry.whole("memoryGib", entry.figure("memoryGib") * 0x1p30, gpu.memory_bytes);
    gpu.bandwidth_gbs = entry.figure("bandwidthGBs");
    gpu.tdp_watts = entry.figure("tdpWatts");
    gpu.idle_watts = entry.figure("idleWatts", true);
    gpu.power_base = entry.figure("powerBaseWatts", true);
    gpu.power_bandwidth = entry.figure("powerBandwidthWatts", true);
    gpu.power_compute = entry.figure("powerComputeWatts", true);
    gpu.power_waiting = entry.figure("powerWaitingWatts", true);
    gpu.power_error = entry.figure("powerError", true);
    double fit[] = {gpu.power_base, gpu.power_bandwidth, gpu.power_compute, gpu.power_error};
    if (auto given = 4 - std::count(std::begin(fit), std::end(fit), 0.0); given != 0 && given != 4)
      entry.refuse("powerBaseWatts",
                   "allowed: all of powerBaseWatts, powerBandwidthWatts, powerComputeWatts and "
                   "powerError, or none");
    entry.whole("sm", entry.figure("sm"), gpu.sm);
    entry.whole("pcieGen", entry.figure("pcieGen"), gpu.pcie_gen);
    gpu.nvlink_gbs = entry.figure("nvlinkGBs", true);
    if (gpu.nvlink_gbs > 0) {
      entry.whole("nvlinks", entry.figure("nvlinks"), gpu.nvlinks);
      std::optional<NvlinkFabric> fabric = nvlink_fabric(entry.text("nvlinkFabric"));
      if (!fabric) entry.refuse("nvlinkFabric", fmt::format("allowed: {}", fmt::join(kNvlinkFabrics, ", ")));
      gpu.nvlink_fabric = fabric.value_or(NvlinkFabric::None);
    }
    entry.whole("migSlices", entry.figure("migSlices", true), gpu.mig_slices);
    out.push_back(std::move(gpu));
  });
  return out;
}

namespace {

MigProfile mig_profile(const std::string& name, Entry& entry, int32_t memory_slices) {
  MigProfile profile;
  profile.name = name;
  entry.source();
  entry.whole("id", entry.number_from_zero("id"), profile.id);
  entry.whole("computeSlices", entry.plain("computeSlices"), profile.compute_slices);
  entry.whole("memorySlices", entry.plain("memorySlices"), profile.memory_slices);
  profile.starts = entry.places("starts", memory_slices);
  entry.whole("maxInstances", entry.plain("maxInstances"), profile.max_instances);
  entry.whole("copyEngines", entry.plain("copyEngines"), profile.copy_engines);
  entry.whole("sm", entry.figure("sm", true), profile.sm);
  entry.whole("memoryMib", entry.figure("memoryMib") * 0x1p20, profile.memory_bytes);
  for (uint8_t start : profile.starts)
    if (start + profile.memory_slices > memory_slices)
      entry.refuse("starts", fmt::format("allowed: at most {} for {} memory slices of {}",
                                         memory_slices - profile.memory_slices, profile.memory_slices, memory_slices));
  return profile;
}

}  // namespace

void parse_mig_catalogue(const std::string& text, const std::string& file, std::vector<GpuModel>& gpus) {
  read_entries(text, file, "gpus", [&](const std::string& name, Entry& entry) {
    auto gpu = std::find_if(gpus.begin(), gpus.end(), [&](const GpuModel& g) { return g.name == name; });
    int32_t slices = 0;
    entry.whole("memorySlices", entry.figure("memorySlices"), slices);
    if (slices > 8) entry.refuse("memorySlices", "allowed: at most 8");
    std::vector<std::string> pci_ids = entry.texts("pciIds");
    std::vector<MigProfile> profiles;
    entry.each("profiles",
               [&](const std::string& profile, Entry& row) { profiles.push_back(mig_profile(profile, row, slices)); });
    if (gpu == gpus.end()) return entry.refuse("memorySlices", "allowed: under the name of a GPU of the catalogue");
    gpu->pci_ids = std::move(pci_ids);
    if (slices <= 8) gpu->mig = MigGeometry(std::move(profiles), slices);
  });
}

namespace {

void read_experts(Entry& entry, RoutedExperts& experts) {
  entry.whole("count", entry.plain("count"), experts.count);
  entry.whole("perToken", entry.plain("perToken"), experts.per_token);
  entry.whole("intermediate", entry.plain("intermediate"), experts.intermediate);
  entry.whole("layers", entry.plain("layers"), experts.layers);
  experts.bytes_per_parameter = entry.plain("bytesPerParameter");
  if (experts.per_token > experts.count) entry.refuse("perToken", "allowed: at most count");
}

}  // namespace

std::vector<LlmModel> parse_llm_catalogue(const std::string& text, const std::string& file) {
  std::vector<LlmModel> out;
  read_entries(text, file, "models", [&](const std::string& name, Entry& entry) {
    LlmModel model;
    model.name = name;
    entry.text("source");
    model.repositories = entry.texts("repositories", true);
    model.parameters = entry.plain("parameters");
    entry.whole("layers", entry.plain("layers"), model.layers);
    entry.whole("hidden", entry.plain("hidden"), model.hidden);
    entry.whole("heads", entry.plain("heads"), model.heads);
    entry.whole("kvHeads", entry.plain("kvHeads"), model.kv_heads);
    entry.whole("headDim", entry.plain("headDim"), model.head_dim);
    entry.whole("vocabulary", entry.plain("vocabulary", true), model.vocabulary);
    model.tied_embeddings = entry.flag("tiedEmbeddings");
    entry.whole("intermediate", entry.plain("intermediate", true), model.intermediate);
    entry.part("experts", [&](Entry& experts) { read_experts(experts, model.experts); });
    entry.part("slidingWindow", [&](Entry& window) {
      window.whole("tokens", window.plain("tokens"), model.window);
      window.whole("layers", window.plain("layers"), model.window_layers);
    });
    entry.part("linearAttention", [&](Entry& linear) {
      linear.whole("layers", linear.plain("layers"), model.linear_layers);
      model.state_bytes = linear.plain("stateBytes");
    });
    entry.part("latentAttention", [&](Entry& latent) {
      latent.whole("rank", latent.plain("rank"), model.latent_rank);
      latent.whole("rope", latent.plain("rope"), model.latent_rope);
    });
    model.bytes_per_parameter = entry.plain("bytesPerParameter");
    model.kv_bytes_per_element = entry.plain("kvBytesPerElement");
    if (model.experts.layers > model.layers) entry.refuse("experts", "allowed: in at most all layers");
    if (model.full_layers() + model.window_layers < 1 || model.full_layers() < 0)
      entry.refuse("layers", "allowed: more than those of slidingWindow and linearAttention");
    if (model.layer_parameters() <= 0) entry.refuse("parameters", "allowed: more than embeddings and experts together");
    if (model.expert_parameters() >= model.parameters)
      entry.refuse("parameters", "allowed: more than the experts have together");
    out.push_back(std::move(model));
  });
  return out;
}

namespace {

StepCoefficients steps_on(const std::string& gpu, Entry& entry, const std::vector<GpuModel>& gpus) {
  StepCoefficients steps;
  steps.gpu = gpu;
  auto measured = std::find_if(gpus.begin(), gpus.end(), [&](const GpuModel& g) { return g.name == gpu; });
  steps.step_ms = entry.figure("stepMs", true);
  steps.layer_us = entry.figure("layerUs", true);
  steps.weight_factor = entry.figure("weightFactor");
  steps.kv_factor = entry.figure("kvFactor");
  steps.compute_factor = entry.figure("computeFactor", true);
  steps.sampling_us = entry.figure("samplingUs", true);
  steps.all_reduce_factor = entry.figure("allReduceFactor", true);
  steps.error = entry.figure("error");
  entry.whole("maxSequences", entry.figure("maxSequences"), steps.max_sequences);
  entry.whole("maxContext", entry.figure("maxContext"), steps.max_context);
  entry.whole("maxTensorParallel", entry.figure("maxTensorParallel"), steps.max_tensor_parallel);
  if (measured == gpus.end())
    entry.refuse("stepMs", "allowed: under the name of a GPU of the catalogue");
  else
    steps.bandwidth_gbs = measured->bandwidth_gbs;
  return steps;
}

}  // namespace

std::vector<EngineProfile> parse_engine_catalogue(const std::string& text, const std::string& file,
                                                  const std::vector<GpuModel>& gpus) {
  std::vector<EngineProfile> out;
  read_entries(text, file, "engines", [&](const std::string& name, Entry& entry) {
    EngineProfile engine;
    engine.name = name;
    engine.kind = entry.text("kind");
    if (engine.kind == "llm") {
      entry.each("steps",
                 [&](const std::string& gpu, Entry& row) { engine.steps.push_back(steps_on(gpu, row, gpus)); });
      if (engine.steps.empty()) entry.refuse("steps", "allowed: a mapping of GPUs");
      if (const double factor = entry.figure("stepFactor", true)) engine.step_factor = factor;
      engine.prefill_mfu = entry.figure("prefillMfu");
      engine.prefill_mfu_fp8 = entry.figure("prefillMfuFp8");
      engine.prefill_mfu_fp4 = entry.figure("prefillMfuFp4");
      engine.moe_layer_ms = entry.figure("moeLayerMs");
      engine.expert_factor = entry.figure("expertFactor");
      const std::string prefill = entry.text("prefill");
      if (prefill != "first" && prefill != "mixed") entry.refuse("prefill", "allowed: first, mixed");
      engine.prefill_first = prefill == "first";
      engine.request_overhead_ms = entry.figure("requestOverheadMs");
      engine.reserved_gib = entry.figure("reservedGib");
      engine.compile_seconds = entry.figure("compileSeconds", true);
      engine.graph_capture_seconds = entry.figure("graphCaptureSeconds", true);
      engine.warmup_seconds = entry.figure("warmupSeconds", true);
      entry.whole("blockSize", entry.figure("blockSize"), engine.block_size);
      entry.whole("maxNumSeqs", entry.figure("maxNumSeqs"), engine.max_num_seqs);
      entry.whole("maxNumBatchedTokens", entry.figure("maxNumBatchedTokens"), engine.max_num_batched_tokens);
      engine.async_scheduling = entry.flag("asyncScheduling");
      engine.scheduler_reserve_full_isl = entry.flag("schedulerReserveFullIsl");
      engine.source = entry.used_sources();
    } else if (engine.kind == "batch") {
      engine.source = entry.text("source");
    } else {
      entry.refuse("kind", "allowed: llm, batch");
    }
    out.push_back(std::move(engine));
  });
  return out;
}

bool alike(const std::string& a, const std::string& b) {
  auto letters = [](const std::string& name) {
    std::string out;
    for (char c : name)
      if (std::isalnum(static_cast<unsigned char>(c)))
        out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
  };
  return letters(a) == letters(b);
}

std::vector<GpuModel> read_gpu_catalogue() {
  std::vector<GpuModel> gpus = parse_gpu_catalogue(std::string(embedded::gpus_yaml), "sim/cluster/catalog/gpus.yaml");
  parse_mig_catalogue(std::string(embedded::mig_yaml), "sim/cluster/catalog/mig.yaml", gpus);
  return gpus;
}

std::vector<LlmModel> read_llm_catalogue() {
  return parse_llm_catalogue(std::string(embedded::models_yaml), "sim/serving/catalog/models.yaml");
}

std::vector<EngineProfile> read_engine_catalogue() {
  return parse_engine_catalogue(std::string(embedded::engines_yaml), "sim/serving/catalog/engines.yaml",
                                read_gpu_catalogue());
}

}  // namespace kisim
