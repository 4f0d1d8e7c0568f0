#include "io/report.hpp"

#include "core/atomic_file.hpp"
#include "io/humanize.hpp"
#include "io/output.hpp"
#include "io/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

namespace kisim {

namespace {

// ---- charts

// How the lines of one metric look. Where a metric has several entities, each entity has its colour and `dash` tells
// the metrics apart; a lone entity needs no dashes, its lines differ by colour.
struct Look {
  std::string name, color, dash;
  bool step = false, fill = false;
};

std::string label_of(const Series& series, std::string_view name) {
  for (const auto& [label, value] : series.labels)
    if (label == name) return value;
  return "";
}

bool has_values(const Series& series) {
  return std::any_of(series.value.begin(), series.value.end(), [](double v) { return std::isfinite(v); });
}

bool ever_positive(const Series& series) {
  return std::any_of(series.value.begin(), series.value.end(), [](double v) { return v > 0; });
}

bool changes(const Series& series) {
  return std::any_of(series.value.begin(), series.value.end(), [&](double v) { return v != series.value.front(); });
}

class Charts {
 public:
  Charts(const Scenario& scenario, const std::vector<Series>& series) : scenario_(scenario), series_(series) {
    load();
    replicas();
    latency("End-to-end latency", "from send to the last token, per scrape interval", "kisim_e2e_seconds",
            &SloSpec::e2e);
    latency("Time to first token", "from send, per scrape interval", "kisim_ttft_seconds", &SloSpec::ttft);
    latency("Time per output token", "after the first, per scrape interval", "kisim_tpot_seconds", &SloSpec::tpot);
    queue();
    gpus();
    power();
    nodes();
    kv_cache();
    prefix_cache();
  }
  std::vector<Plot> take() { return std::move(charts_); }

 private:
  void load() {
    Plot chart{"Load", "requests per second", "1/s"};
    add(chart, "kisim_requests_arrived_per_second", "source", {"arriving", "c0", "", false, true});
    add(chart, "kisim_requests_completed_per_second", "source", {"completing", "c1", "5 4"});
    keep(std::move(chart));
  }

  void replicas() {
    Plot chart{"Replicas", "pods by state", "count", true};
    add(chart, "kisim_replicas_ready", "workload", {"ready", "c0", "", true, true});
    add(chart, "kisim_replicas", "workload", {"wanted", "c1", "5 4", true});
    struct Phase {
      const char *name, *color, *dash;
    };
    for (const Phase& phase :
         {Phase{"starting", "c4", "2 4"}, {"pending", "c3", "1 3"}, {"terminating", "c7", "8 3"}}) {
      add(chart, "kisim_pods", "workload", {phase.name, phase.color, phase.dash, true},
          [&](const Series& s) { return label_of(s, "phase") == phase.name && ever_positive(s); });
    }
    keep(std::move(chart));
  }

  void latency(const char* title, const char* note, const char* metric, std::optional<Duration> SloSpec::*target) {
    Plot chart{title, note, "s"};
    struct Quantile {
      const char *name, *label, *color, *dash;
    };
    for (const Quantile& q :
         {Quantile{"p50", "0.5", "q0", "1 4"}, {"p95", "0.95", "q1", ""}, {"p99", "0.99", "q2", "6 4"}}) {
      add(chart, metric, "source", {q.name, q.color, q.dash},
          [&](const Series& s) { return label_of(s, "quantile") == q.label; });
    }
    for (const SloSpec& slo : scenario_.slo) {
      const std::optional<Duration>& limit = slo.*target;
      if (!limit) continue;
      chart.marks.push_back({scenario_.slo.size() > 1 ? "SLO of " + slo.traffic : "SLO", limit->to_seconds()});
    }
    keep(std::move(chart));
  }

  void queue() {
    Plot chart{"Requests in the system", "at the replicas", "count", true};
    add(chart, "kisim_requests_running", "service", {"running", "c0", "", false, true});
    add(chart, "kisim_requests_waiting", "service", {"waiting", "c1", "5 4"});
    keep(std::move(chart));
  }

  void gpus() {
    Plot chart{"GPUs", "held by pods, and of these computing", "count", true};
    add(chart, "kisim_gpu_allocated", "", {"allocated", "c7", "", true});
    add(chart, "kisim_gpu_busy", "", {"busy", "c2", "", false, true});
    keep(std::move(chart));
  }

  void power() {
    Plot chart{"Power", "of all GPUs, mean per scrape interval", "W"};
    add(chart, "kisim_gpu_power_watts", "", {"drawn", "c1", "", false, true}, ever_positive);
    keep(std::move(chart));
  }

  // Where they never change there is nothing to see.
  void nodes() {
    Plot chart{"Nodes", "of the cluster, and of these ready", "count", true};
    add(chart, "kisim_nodes", "", {"present", "c7", "", true});
    add(chart, "kisim_nodes_ready", "", {"ready", "c0", "", true, true});
    if (std::any_of(chart.lines.begin(), chart.lines.end(), [](const PlotLine& line) { return changes(*line.series); }))
      keep(std::move(chart));
  }

  void kv_cache() {
    Plot chart{"KV cache in use", "mean over the replicas of a service", "share"};
    add(chart, "kisim_kv_cache_usage", "service", {"used", "c3", "", false, true}, ever_positive);
    keep(std::move(chart));
  }

  void prefix_cache() {
    Plot chart{"Prefix cache", "prompt tokens found, since the replicas' start", "share"};
    add(chart, "kisim_prefix_cache_hit_rate", "service", {"found", "c2", "", false, true}, ever_positive);
    keep(std::move(chart));
  }

  using Filter = std::function<bool(const Series&)>;

  void add(
      Plot& chart, std::string_view metric, std::string_view entity_label, const Look& look,
      const Filter& filter = [](const Series&) { return true; }) {
    std::vector<std::string> entities = entities_of(metric, entity_label);
    for (const Series& series : series_) {
      if (series.metric != metric || !has_values(series) || !filter(series)) continue;
      PlotLine line{look.name, look.color, "", look.step, look.fill, &series};
      if (entities.size() > 1) {
        std::string entity = label_of(series, entity_label);
        size_t index = std::find(entities.begin(), entities.end(), entity) - entities.begin();
        line.name = entity + " " + look.name;
        line.color = fmt::format("c{}", index % 8);
        line.dash = look.dash;
        line.fill = false;
      }
      chart.lines.push_back(std::move(line));
    }
  }

  std::vector<std::string> entities_of(std::string_view metric, std::string_view label) const {
    std::set<std::string> names;
    for (const Series& series : series_)
      if (series.metric == metric) names.insert(label_of(series, label));
    return {names.begin(), names.end()};
  }

  void keep(Plot chart) {
    if (!chart.lines.empty()) charts_.push_back(std::move(chart));
  }

  const Scenario& scenario_;
  const std::vector<Series>& series_;
  std::vector<Plot> charts_;
};

// ---- text

std::string tiles_html(const Scenario& scenario, const Summary& s) {
  Tiles tiles;
  const Summary::Requests& r = s.requests;
  if (s.slo)
    tiles.add("SLO met", human_percent(s.slo->attainment), human_number(s.slo->goodput_per_s) + " good requests/s");
  tiles.add("Requests completed", short_count(r.completed), "of " + short_count(r.arrived));
  tiles.add("Requests lost", short_count(r.failed + r.dropped + r.timed_out),
            fmt::format("{} timed out, {} dropped, {} failed", short_count(r.timed_out), short_count(r.dropped),
                        short_count(r.failed)));
  auto latency = [&](const char* name, const std::optional<LatencySummary>& l) {
    if (l)
      tiles.add(name, human_duration(l->p95), "median " + human_duration(l->p50) + ", p99 " + human_duration(l->p99));
  };
  latency("Latency, p95", s.latency_s.e2e);
  latency("TTFT, p95", s.latency_s.ttft);
  latency("TPOT, p95", s.latency_s.tpot);
  if (s.tokens)
    tiles.add("Tokens per second", human_number(s.tokens->per_s),
              human_number(static_cast<double>(s.tokens->generated)) + " generated");
  if (s.gpu && s.gpu->hours_busy == 0)
    tiles.add("GPU-hours", human_number(s.gpu->hours_allocated), "held by pods; no serving model computed on them");
  else if (s.gpu)
    tiles.add(
        "GPU utilization", human_percent(s.gpu->utilization),
        fmt::format("{} of {} GPU-hours busy", human_number(s.gpu->hours_busy), human_number(s.gpu->hours_allocated)));
  if (s.nodes.mean != static_cast<double>(s.nodes.max))
    tiles.add("Node-hours", human_number(s.nodes.hours),
              fmt::format("{:.1f} nodes on average, {} at most", s.nodes.mean, s.nodes.max));
  if (s.energy_kwh)
    tiles.add("Energy", human_number(*s.energy_kwh) + " kWh",
              scenario.node_idle_watts + scenario.node_core_watts > 0 ? "of GPUs and nodes" : "of the GPUs");
  if (s.carbon_kg) tiles.add("Carbon", human_number(*s.carbon_kg) + " kg", "CO2 equivalent");
  if (s.slo_penalty)
    tiles.add("SLO penalty", fmt::format("{:.2f}", *s.slo_penalty), "of requests that missed their SLO");
  if (s.cost) tiles.add("Cost", fmt::format("{:.2f}", *s.cost), "at the scenario's prices");
  return tiles.html();
}

// "default/llama had 1–4 ready replicas …": the range from the series, after warm-up.
std::string findings_html(const Scenario& scenario, const Summary& summary, const std::vector<Series>& all) {
  constexpr size_t kMaxWorkloads = 3;
  std::string out;
  size_t shown = 0;
  for (const Series& series : all) {
    if (series.metric != "kisim_replicas_ready" || shown == kMaxWorkloads) continue;
    const std::string workload = label_of(series, "workload");
    auto replicas = summary.replicas.find(workload);
    if (replicas == summary.replicas.end()) continue;
    double least = std::numeric_limits<double>::infinity(), most = -least;
    for (size_t i = 0; i < series.t.size(); ++i) {
      if (series.t[i] < scenario.warmup.to_seconds()) continue;
      least = std::min(least, series.value[i]);
      most = std::max(most, series.value[i]);
    }
    if (least > most) continue;
    const Summary::Replicas& r = replicas->second;
    std::string range = least == most ? fmt::format("{:.0f}", most) : fmt::format("{:.0f}–{:.0f}", least, most);
    out += fmt::format("<p class=\"finding\">{} ran on {} ready replicas ({:.1f} on average), with {} and {}.</p>\n",
                       escape_html(workload), range, r.mean, plural(r.scale_ups, "scale-up"),
                       plural(r.scale_downs, "scale-down"));
    ++shown;
  }
  return out;
}

// ---- tables

std::string scalings_html(const std::vector<ScalingRecord>& scalings) {
  HtmlTable table("Scaling decisions", {{"Time", ""}, {"Workload", ""}, {"Replicas", ""}, {"Reason", "reason"}});
  for (const ScalingRecord& s : scalings)
    table.row({human_clock(s.t), s.workload, fmt::format("{} → {}", s.from, s.to), cut_text(s.reason)});
  return table.html();
}

std::string pods_html(const std::vector<PodRecord>& pods) {
  auto span = [](double from, double to) { return std::isfinite(to - from) ? human_duration(to - from) : "–"; };
  HtmlTable table("Pods", {{"Pod", ""},
                           {"Node", ""},
                           {"Phase at the end", ""},
                           {"Created", "number"},
                           {"Waited for a node", "number"},
                           {"Cold start", "number"},
                           {"Deleted", "number"}});
  for (const PodRecord& p : pods)
    table.row({p.name, p.node.empty() ? "–" : p.node, p.phase, human_clock(p.created), span(p.created, p.scheduled),
               span(p.scheduled, p.ready), human_clock(p.deleted)});
  return table.html();
}

// Mean seconds of each phase over the starts of a workload.
std::string starts_html(const std::vector<StartRecord>& starts) {
  std::map<std::string, std::vector<const StartRecord*>> by_workload;
  for (const StartRecord& start : starts)
    if (std::any_of(start.seconds.begin(), start.seconds.end(), [](double s) { return s > 0; }))
      by_workload[start.workload].push_back(&start);
  HtmlTable table("Cold start, mean per phase", {{"Workload", ""},
                                                 {"Starts", "number"},
                                                 {"Bind", "number"},
                                                 {"Image", "number"},
                                                 {"Container", "number"},
                                                 {"Weights", "number"},
                                                 {"Compile", "number"},
                                                 {"Graph capture", "number"},
                                                 {"Warm-up", "number"},
                                                 {"Engine", "number"},
                                                 {"Readiness", "number"}});
  for (const auto& [workload, records] : by_workload) {
    std::vector<std::string> cells{workload, human_count(records.size())};
    for (size_t p = 0; p < kStartPhases; ++p) {
      double sum = 0;
      for (const StartRecord* record : records) sum += record->seconds[p];
      cells.push_back(human_duration(sum / static_cast<double>(records.size())));
    }
    table.row(cells);
  }
  return table.html();
}

std::string decisions_html(const std::map<std::string, uint64_t>& decisions) {
  HtmlTable table("Decisions", {{"Reason", "reason"}, {"Count", "number"}});
  for (const auto& [reason, count] : decisions) table.row({cut_text(reason), human_count(count)});
  return table.html();
}

std::string warnings_html(const std::vector<std::string>& warnings) {
  if (warnings.empty()) return "";
  std::string items;
  for (size_t i = 0; i < std::min(warnings.size(), kMaxReportRows); ++i)
    items += "<li>" + escape_html(cut_text(warnings[i])) + "</li>\n";
  return fmt::format("<section class=\"panel\"><h2>{}</h2>\n<ul class=\"card warnings\">\n{}</ul></section>\n",
                     plural(warnings.size(), "warning"), items);
}

// ---- the page

std::string eyebrow_html(const Scenario& scenario, const Summary& summary) {
  std::string out = fmt::format("<strong>{}</strong> · {} simulated", escape_html(summary.scenario),
                                human_duration(summary.simulated_s));
  if (scenario.warmup.ns > 0)
    out += fmt::format(", statistics after {} of warm-up", human_duration(scenario.warmup.to_seconds()));
  return out + fmt::format(" · seed {}", summary.seed);
}

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace

std::string render_report(const Scenario& scenario, const Summary& summary, const Recorder& recorder) {
  ReportPage page;
  page.title = summary.scenario;
  page.eyebrow = eyebrow_html(scenario, summary);
  page.headline = capitalised(headline(summary));
  page.findings = findings_html(scenario, summary, recorder.series);
  page.tiles = tiles_html(scenario, summary);
  page.tables = scalings_html(recorder.scalings) + pods_html(recorder.pods) + starts_html(recorder.starts) +
                decisions_html(summary.decisions) + warnings_html(summary.warnings);
  page.footer = fmt::format("kisim {} · signature {} · {} events", version(), signature_text(summary.signature),
                            human_count(summary.events));
  page.end = summary.simulated_s;
  page.warmup = std::min(scenario.warmup.to_seconds(), summary.simulated_s);
  page.plots = Charts(scenario, recorder.series).take();
  return render_page(page);
}

void write_report(const std::string& path, const Scenario& scenario, const Summary& summary, const Recorder& recorder) {
  write_file(path, render_report(scenario, summary, recorder));
}

}  // namespace kisim
