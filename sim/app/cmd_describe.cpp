#include "cli.hpp"
#include "core/error.hpp"
#include "io/humanize.hpp"
#include "io/input.hpp"
#include "policy_docs.hpp"
#include "run/model.hpp"
#include "scenario_flags.hpp"

namespace kisim::app {

namespace {

const char* type_name(ParamSpec::Type type) {
  switch (type) {
    case ParamSpec::Type::Bool:
      return "bool";
    case ParamSpec::Type::Integer:
      return "integer";
    case ParamSpec::Type::Number:
      return "number";
    case ParamSpec::Type::Duration:
      return "duration";
    case ParamSpec::Type::Text:
      return "text";
  }
  return "";
}

std::string bounds(const ParamSpec& param) {
  if (!param.allowed.empty()) return fmt::format("one of {}", fmt::join(param.allowed, ", "));
  const char* unit = param.type == ParamSpec::Type::Duration ? "s" : "";
  if (param.min && param.max) return fmt::format("{}{} to {}{}", *param.min, unit, *param.max, unit);
  if (param.min) return fmt::format("at least {}{}", *param.min, unit);
  if (param.max) return fmt::format("at most {}{}", *param.max, unit);
  return "";
}

// The entry of that name, or a UsageError that names the nearest.
template <class Entry>
const Entry& find_named(const char* kind, const std::vector<Entry>& entries, const std::string& name) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw UsageError(
      fmt::format("no {} '{}'.{} Known: {}", kind, name, did_you_mean(name, names), fmt::join(names, ", ")));
}

// "Name:  value" lines, the values in one column.
class Details {
 public:
  void add(const std::string& name, const std::string& value) { lines_.push_back({name + ':', value}); }
  void add(const std::string& name, double value, const std::string& unit) {
    if (value != 0) add(name, fmt::format("{}{}{}", value, unit.empty() ? "" : " ", unit));
  }
  std::string text(size_t width) const {
    size_t indent = 0;
    for (const Line& line : lines_) indent = std::max(indent, line.name.size() + 2);
    std::string out;
    for (const Line& line : lines_) {
      std::string head = line.name;
      for (const std::string& part : wrap_text(line.value, width > indent + 20 ? width - indent : 20)) {
        out += fmt::format("{:<{}}{}\n", head, indent, part);
        head.clear();
      }
    }
    return out;
  }

 private:
  struct Line {
    std::string name, value;
  };
  std::vector<Line> lines_;
};

// What a parameter is and may be, in one line of words.
std::string explain(const std::string& type, const std::string& allowed, const std::string& doc) {
  std::string out = doc;
  const bool named = allowed.find(type) != std::string::npos;
  std::string form = named ? allowed : type + (allowed.empty() ? "" : "; " + allowed);
  return out.empty() ? form : out + " (" + form + ")";
}

std::string describe(const PolicyDoc& policy, const TextStyle& style) {
  Details details;
  details.add("Name", policy.name);
  details.add("Role", policy.role);
  details.add("Description", policy.doc);
  std::string out = details.text(style.width);
  if (policy.role.ends_with(" plugin"))
    return out + "\nWhat arguments it takes are upstream's own; they stand in pluginConfig.\n";
  if (policy.params.empty()) return out + "\nIt has no parameters.\n";
  TextTable table({{"PARAMETER"}, {"DEFAULT"}, {"DESCRIPTION"}});
  for (const ParamSpec& p : policy.params)
    table.row({p.name, p.default_text, explain(type_name(p.type), bounds(p), p.doc)});
  return out + '\n' + table.text(style);
}

// Policies of different roles may have one name.
std::string describe_policy(const std::string& name, const TextStyle& style) {
  const std::vector<PolicyDoc> policies = policy_docs();
  find_named("policy", policies, name);
  std::string out;
  for (const PolicyDoc& policy : policies)
    if (policy.name == name) out += (out.empty() ? "" : "\n") + describe(policy, style);
  return out;
}

std::string describe_gpu(const std::string& name, const TextStyle& style) {
  const std::vector<GpuModel> gpus = read_gpu_catalogue();
  const GpuModel& g = find_named("GPU", gpus, name);
  Details details;
  details.add("Name", g.name);
  details.add("Products", fmt::format("{}", fmt::join(g.products, ", ")));
  details.add("Memory", human_bytes(static_cast<double>(g.memory_bytes)));
  details.add("Bandwidth", g.bandwidth_gbs, "GB/s");
  details.add("FP16, dense", g.fp16_tflops, "TFLOPS");
  details.add("FP8, dense", g.fp8_tflops, "TFLOPS");
  details.add("FP4, dense", g.fp4_tflops, "TFLOPS");
  details.add("SMs", g.sm, "");
  details.add("TDP", g.tdp_watts, "W");
  details.add("Idle power", g.idle_watts, "W");
  if (g.power_base > 0)
    details.add("Power at work",
                fmt::format("{} + {} u(bandwidth) + {} sqrt(u(FLOP/s)) W, {} W less among others, {:.1f} % off",
                            g.power_base, g.power_bandwidth, g.power_compute, g.power_waiting, 100 * g.power_error));
  details.add("PCIe", g.pcie_gen, "generation");
  details.add("NVLink", g.nvlink_gbs, "GB/s, both directions");
  details.add("NVLinks", g.nvlinks, fmt::format("by {}", kNvlinkFabrics[static_cast<size_t>(g.nvlink_fabric)]));
  details.add("MIG slices", g.mig_slices, "");
  std::string out = details.text(style.width);
  if (g.mig.empty()) return out;
  TextTable table(
      {{"MIG PROFILE"}, {"ID", true}, {"SMs", true}, {"MEMORY", true}, {"MEMORY SLICES", true}, {"BEGINS AT"}});
  for (const MigProfile& p : g.mig.profiles())
    table.row({p.name, std::to_string(p.id), p.sm > 0 ? std::to_string(p.sm) : "-",
               human_bytes(static_cast<double>(p.memory_bytes)),
               fmt::format("{} of {}", p.memory_slices, g.mig.memory_slices()),
               fmt::format("{}", fmt::join(p.starts, ", "))});
  return out + '\n' + table.text(style);
}

std::string describe_model(const std::string& name, const TextStyle& style) {
  const std::vector<LlmModel> models = read_llm_catalogue();
  const LlmModel& m = find_named("model", models, name);
  Details details;
  details.add("Name", m.name);
  details.add("Parameters", fmt::format("{:.2f}B", m.parameters * 1e-9));
  details.add("Weights", human_bytes(m.weight_bytes()));
  details.add("Layers", m.layers, "");
  details.add("Hidden size", m.hidden, "");
  details.add("Heads", m.heads, "");
  details.add("KV heads", m.kv_heads, "");
  details.add("Head dimension", m.head_dim, "");
  if (m.experts.count > 0) {
    details.add("Routed experts", fmt::format("{} of {} per token, in {} layers of {}", m.experts.per_token,
                                              m.experts.count, m.experts.layers, m.layers));
    details.add("Active parameters", fmt::format("{:.2f}B", m.active_parameters() * 1e-9));
  }
  details.add("Latent attention", m.latent_rank, fmt::format("and {} rotary per token and layer", m.latent_rope));
  details.add("Sliding window", m.window, fmt::format("tokens, in {} layers of {}", m.window_layers, m.layers));
  if (m.linear_layers > 0)
    details.add("Linear attention", fmt::format("in {} layers of {}, {} of state per sequence", m.linear_layers,
                                                m.layers, human_bytes(m.state_bytes)));
  details.add("Vocabulary", m.vocabulary, "");
  details.add("KV per token", human_bytes(m.kv_bytes_per_token()));
  details.add("Repositories", fmt::format("{}", fmt::join(m.repositories, ", ")));
  return details.text(style.width);
}

std::string describe_engine(const std::string& name, const TextStyle& style) {
  const std::vector<EngineProfile> engines = read_engine_catalogue();
  const EngineProfile& e = find_named("engine", engines, name);
  Details details;
  details.add("Name", e.name);
  details.add("Kind", e.kind);
  if (e.kind == "llm") {
    for (const StepCoefficients& c : e.steps)
      details.add(
          "Iterations on " + c.gpu,
          fmt::format("{:.3g} ms, {:.3g} us per layer, times the ideal: weights {:.3g}, KV {:.3g}, computing "
                      "{:.3g}, all-reduces {:.3g}; sampling {:.3g} us per 1000 of vocabulary; up to {} sequences, "
                      "{} tokens of context, tensor parallel {}; {:.0f} % off for another model",
                      c.step_ms, c.layer_us, c.weight_factor, c.kv_factor, c.compute_factor, c.all_reduce_factor,
                      c.sampling_us, c.max_sequences, c.max_context, c.max_tensor_parallel, 100 * c.error));
    details.add("Prefill MFU", e.prefill_mfu, "");
    details.add("Prefill MFU, FP8", e.prefill_mfu_fp8, "");
    details.add("Prefill MFU, FP4", e.prefill_mfu_fp4, "");
    details.add("Per MoE layer", e.moe_layer_ms, "ms per iteration");
    details.add("Expert reads", e.expert_factor, "times the ideal time");
    details.add("Prefill", e.prefill_first ? "before decoding, which waits" : "in one iteration with decoding");
    details.add("Per request", e.request_overhead_ms, "ms before the queue");
    details.add("Reserved", e.reserved_gib, "GiB per GPU");
    details.add("Compilation", e.compile_seconds, "s, where a scenario takes the engine's defaults");
    details.add("Graph capture", e.graph_capture_seconds, "s, likewise");
    details.add("Warm-up", e.warmup_seconds, "s, likewise");
    details.add("Block size", e.block_size, "tokens");
    details.add("Sequences", e.max_num_seqs, "at most in a batch");
    details.add("Batched tokens", e.max_num_batched_tokens, "at most in an iteration");
  }
  details.add("Source", e.source);
  return details.text(style.width);
}

std::string describe_parameters(const TextStyle& style) {
  std::string out;
  for (const FieldDoc& field : scenario_fields()) {
    out += bold(field.path, style);
    if (!field.default_text.empty()) out += dim(" = " + field.default_text, style);
    out += '\n';
    for (const std::string& part : wrap_text(explain(field.type, field.allowed, field.doc), style.width - 4))
      out += "    " + part + '\n';
  }
  return out;
}

// Allocatable, in the unit that ClusterModel counts the resource in.
std::string amount_text(const std::string& resource, int64_t amount) {
  if (resource == "cpu") return fmt::format("{:g}", static_cast<double>(amount) / 1000);
  bool bytes = resource == "memory" || resource == "ephemeral-storage" || resource.starts_with("hugepages-");
  return bytes ? human_bytes(static_cast<double>(amount)) : fmt::format("{}", amount);
}

// As `nvidia-smi topo -m` shows it.
std::string topology_matrix(const GpuTopology& topology, const TextStyle& style) {
  std::vector<TextColumn> columns{{""}};
  for (uint32_t g = 0; g < topology.gpus(); ++g) columns.push_back({fmt::format("GPU{}", g)});
  columns.push_back({"NUMA", true});
  TextTable table(columns);
  for (uint32_t a = 0; a < topology.gpus(); ++a) {
    std::vector<std::string> row{fmt::format("GPU{}", a)};
    for (uint32_t b = 0; b < topology.gpus(); ++b) row.push_back(topology.connection(a, b));
    row.push_back(std::to_string(topology.numa_node(a)));
    table.row(row);
  }
  return table.text(style) +
         "\nNV# = that many NVLinks; over PCIe, PIX = one switch, PXB = several,\nPHB = the host bridge, "
         "NODE = host bridges of a NUMA node, SYS = NUMA nodes\n";
}

std::string describe_node(const std::string& name, const ClusterModel& cluster, const TextStyle& style) {
  std::vector<std::string> names;
  const std::vector<NodeId> machines = cluster.machines();
  for (NodeId node : machines) names.push_back(cluster.nodes[node].object.meta.name);
  auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw UsageError(fmt::format("no node '{}'.{} Known: {}", name, did_you_mean(name, names), fmt::join(names, ", ")));
  const NodeModel& node = cluster.nodes[machines[static_cast<size_t>(found - names.begin())]];
  Details details;
  details.add("Name", name);
  for (size_t r = 0; r < cluster.resource_count(); ++r)
    if (node.allocatable[r] > 0)
      details.add(cluster.resources[r], amount_text(cluster.resources[r], node.allocatable[r]));
  if (node.gpus == 0) return details.text(style.width);
  details.add("GPUs", fmt::format("{} {}", node.gpus,
                                  node.gpu_model.valid() ? cluster.gpu_models[node.gpu_model].name
                                                         : std::string("that the catalogue does not know")));
  if (node.topology == NodeModel::kNoTopology) return details.text(style.width);
  const GpuTopology& topology = cluster.topologies[node.topology];
  if (node.gpus > 1)
    details.add("All-reduce", fmt::format("{:.1f} GB/s in one direction, the slowest link of a ring through all GPUs",
                                          topology.all_reduce_bandwidth((GpuSet{1} << node.gpus) - 1)));
  return details.text(style.width) + '\n' + topology_matrix(topology, style);
}

struct Kind {
  const char* name;
  std::string (*text)(const std::string& name, const TextStyle&);
};
constexpr Kind kKinds[] = {
    {"policy", describe_policy}, {"gpu", describe_gpu}, {"model", describe_model}, {"engine", describe_engine}};

}  // namespace

int cmd_describe(const Arguments& arguments) {
  Arguments words;
  ScenarioFlags flags;
  CommandLine line(
      {"describe policy|gpu|model|engine NAME\n  kisim describe node NAME SCENARIO\n  kisim describe parameters",
       "Shows one thing in detail, or every parameter of the Scenario document.",
       "  kisim describe policy hpa\n  kisim describe node gpu-1 scenarios/quickstart.yaml\n"
       "  kisim describe parameters | less\n"});
  flags.add_to(line);
  if (!line.parse(arguments, words)) return kOk;
  const TextStyle style = output_style();
  if (words.size() == 1 && words[0] == "parameters") {
    print(describe_parameters(style));
    return kOk;
  }
  if (words.empty()) throw UsageError("describe what? One of: policy, gpu, model, engine, node, parameters");
  check_choice("describe", words[0], {"policy", "gpu", "model", "engine", "node", "parameters"});
  if (words[0] == "node") {
    if (words.size() < 3) throw UsageError("describe node takes a name and a scenario");
    const std::shared_ptr<const Model> model =
        compile(read_scenario({words.begin() + 2, words.end()}, flags.options()));
    print(describe_node(words[1], model->cluster, style));
    return kOk;
  }
  if (words.size() != 2) throw UsageError(fmt::format("describe {} takes one name", words[0]));
  for (const Kind& kind : kKinds) {
    if (words[0] == kind.name) print(kind.text(words[1], style));
  }
  return kOk;
}

}  // namespace kisim::app
