#include "cli.hpp"
#include "core/error.hpp"
#include "io/humanize.hpp"
#include "io/input.hpp"
#include "kube/metrics_pipeline.hpp"
#include "policy_docs.hpp"

#include <cctype>

namespace kisim::app {

namespace {

struct SeriesDoc {
  const char *metric, *unit, *doc;  // the metric with its labels
};

// What the recorder writes to run.h5 at every scrape interval.
constexpr SeriesDoc kSeries[] = {
    {"kisim_requests_arrived_per_second{source}", "1/s", "requests sent by clients, retries not counted"},
    {"kisim_requests_completed_per_second{source}", "1/s", "requests answered in full"},
    {"kisim_e2e_seconds{source,quantile}", "s", "from the client's send to the last token"},
    {"kisim_ttft_seconds{source,quantile}", "s", "from the client's send to the first token"},
    {"kisim_tpot_seconds{source,quantile}", "s", "per output token after the first"},
    {"kisim_replicas{workload}", "1", "replicas wanted"},
    {"kisim_replicas_ready{workload}", "1", "replicas ready"},
    {"kisim_pods{workload,phase}", "1", "pods that are starting, pending or terminating"},
    {"kisim_requests_waiting{service}", "1", "requests in queues"},
    {"kisim_requests_running{service}", "1", "requests in batches"},
    {"kisim_prefix_cache_hit_rate{service}", "1",
     "share of prompt tokens found in prefix caches and behind them, since "
     "the replicas' start"},
    {"kisim_kv_cache_usage{service}", "1", "share of KV blocks in use, mean over replicas"},
    {"kisim_nodes", "1", "nodes of the cluster, ready or not"},
    {"kisim_nodes_ready", "1", "nodes that are ready"},
    {"kisim_gpu_allocated", "1", "GPUs held by pods"},
    {"kisim_gpu_busy", "1",
     "GPUs computing for serving models, mean of the interval; what other pods compute is not known"},
};

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// A table for each role: the longest names leave no room for another column.
std::string list_policies(const TextStyle& style) {
  const std::vector<PolicyDoc> policies = policy_docs();
  std::string out;
  for (size_t begin = 0, end = 0; begin < policies.size(); begin = end) {
    TextTable table({{upper(policies[begin].role)}, {"DESCRIPTION"}});
    for (; end < policies.size() && policies[end].role == policies[begin].role; ++end)
      table.row({policies[end].name, policies[end].doc});
    out += (out.empty() ? "" : "\n") + table.text(style);
  }
  return out;
}

std::string list_models(const TextStyle& style) {
  TextTable table({{"NAME"}, {"PARAMETERS", true}, {"WEIGHTS", true}, {"KV PER TOKEN", true}, {"LAYERS", true}});
  for (const LlmModel& m : read_llm_catalogue())
    table.row({m.name, fmt::format("{:.2f}B", m.parameters * 1e-9), human_bytes(m.weight_bytes()),
               human_bytes(m.kv_bytes_per_token()), std::to_string(m.layers)});
  return table.text(style);
}

std::string list_gpus(const TextStyle& style) {
  TextTable table({{"NAME"}, {"MEMORY", true}, {"BANDWIDTH", true}, {"FP16", true}, {"FP8", true}, {"TDP", true}});
  for (const GpuModel& g : read_gpu_catalogue())
    table.row({g.name, human_bytes(static_cast<double>(g.memory_bytes)), fmt::format("{:.0f} GB/s", g.bandwidth_gbs),
               fmt::format("{:.0f} TFLOPS", g.fp16_tflops),
               g.fp8_tflops > 0 ? fmt::format("{:.0f} TFLOPS", g.fp8_tflops) : "-",
               fmt::format("{:.0f} W", g.tdp_watts)});
  return table.text(style);
}

std::string list_engines(const TextStyle& style) {
  TextTable table({{"NAME"}, {"KIND"}, {"SOURCE"}});
  for (const EngineProfile& e : read_engine_catalogue()) table.row({e.name, e.kind, e.source});
  return table.text(style);
}

std::string list_metrics(const TextStyle& style) {
  bool wide = style.width >= 120;
  std::vector<TextColumn> columns{{"FOR AUTOSCALERS"}, {"UNIT"}, {"DESCRIPTION"}};
  if (wide) columns.insert(columns.begin() + 2, {{"FROM"}, {"AS"}});
  TextTable exported(columns);
  TextTable recorded({{"IN RUN.H5"}, {"UNIT"}, {"DESCRIPTION"}});
  for (const SeriesDoc& s : kSeries) recorded.row({s.metric, s.unit, s.doc});
  std::string cluster = bold("OF THE CLUSTER, LIKEWISE", style) + '\n';
  for (const MetricDoc& m : metric_docs()) {
    std::string name(m.name), unit(m.unit), doc(m.doc);
    if (m.use == MetricUse::Recorded)
      cluster += fmt::format("{} ({})\n    {}\n", name, unit, fmt::join(wrap_text(doc, style.width - 4), "\n    "));
    else if (wide)
      exported.row({name, unit, std::string(m.source), to_string(m.use), doc});
    else
      exported.row({name, unit, doc});
  }
  return exported.text(style) + '\n' + recorded.text(style) + '\n' + cluster;
}

struct Topic {
  const char* name;
  std::string (*text)(const TextStyle&);
};
constexpr Topic kTopics[] = {{"policies", list_policies},
                             {"models", list_models},
                             {"gpus", list_gpus},
                             {"engines", list_engines},
                             {"metrics", list_metrics}};

}  // namespace

int cmd_list(const Arguments& arguments) {
  Arguments topics;
  CommandLine line(
      {"list policies|models|gpus|engines|metrics", "Lists what a scenario can name.", "  kisim list policies\n"});
  if (!line.parse(arguments, topics)) return kOk;

  std::vector<std::string> names;
  for (const Topic& topic : kTopics) names.push_back(topic.name);
  if (topics.size() != 1) throw UsageError(fmt::format("list what? One of: {}", fmt::join(names, ", ")));
  check_choice("list", topics[0], names);
  for (const Topic& topic : kTopics) {
    if (topics[0] == topic.name) print(topic.text(output_style()));
  }
  return kOk;
}

}  // namespace kisim::app
