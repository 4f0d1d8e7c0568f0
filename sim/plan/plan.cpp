#include "plan/plan.hpp"

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/random.hpp"
#include "io/catalogue.hpp"
#include "io/value.hpp"
#include "run/world.hpp"

#include <boost/math/distributions/students_t.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace kisim {

namespace {

constexpr int32_t kGpusPerNode = 8;
constexpr double kWarmupShare = 0.05;

template <class Entry>
const Entry& named(const std::vector<Entry>& entries, const std::string& name, const char* what) {
  if (const Entry* entry = find_alike(entries, name)) return *entry;
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.push_back(entry.name);
  throw InputError(Diagnostic{Severity::Error, {}, what, not_allowed(name, names)});
}

// Its minutes, drawn with repetition.
std::shared_ptr<const TraceColumns> resampled(const TraceColumns& trace, uint64_t seed) {
  constexpr int64_t kBlock = 60'000'000'000;
  int64_t begin = trace.time_ns.front(), blocks = (trace.time_ns.back() - begin) / kBlock + 1;
  std::vector<size_t> first(static_cast<size_t>(blocks) + 1, trace.time_ns.size());
  for (size_t i = trace.time_ns.size(); i-- > 0;) first[static_cast<size_t>((trace.time_ns[i] - begin) / kBlock)] = i;
  for (size_t b = first.size() - 1; b-- > 0;) first[b] = std::min(first[b], first[b + 1]);
  Stream stream(seed, hash_text("plan/minutes"), Purpose::Arrivals);
  auto out = std::make_shared<TraceColumns>();
  for (int64_t to = 0; to < blocks; ++to) {
    size_t from = stream.below(static_cast<uint32_t>(blocks));
    for (size_t i = first[from]; i < first[from + 1]; ++i) {
      out->time_ns.push_back(trace.time_ns[i] + (to - static_cast<int64_t>(from)) * kBlock);
      out->prompt_tokens.push_back(trace.prompt_tokens[i]);
      out->output_tokens.push_back(trace.output_tokens[i]);
      if (trace.first_id.empty()) continue;
      out->first_id.push_back(static_cast<uint32_t>(out->ids.size()));
      out->ids.insert(out->ids.end(), trace.ids.begin() + trace.first_id[i], trace.ids.begin() + trace.first_id[i + 1]);
    }
  }
  if (!trace.first_id.empty()) out->first_id.push_back(static_cast<uint32_t>(out->ids.size()));
  out->id_tokens = trace.id_tokens;
  return out;
}

class Planner {
 public:
  explicit Planner(const PlanRequest& request)
      : request_(request),
        llm_(named(request.models, request.model, "--model")),
        engine_(named(request.engines, request.engine, "--engine")) {
    if (engine_.kind != "llm")
      throw InputError(
          Diagnostic{Severity::Error, {}, "--engine", "found '" + engine_.name + "', allowed: one for LLMs"});
    for (int32_t run = 0; run < request.runs; ++run)
      traces_.push_back(!request.trace ? nullptr
                        : run == 0     ? request.trace
                                       : resampled(*request.trace, request.seed + run));
  }

  Plan plan() {
    std::vector<PlanChoice> choices;
    for (const std::string& name : request_.gpus)
      for (int32_t degree : request_.tensor_parallel) {
        PlanChoice& choice = choices.emplace_back();
        choice.gpu = named(request_.gpu_catalogue, name, "--gpus").name;
        choice.tensor_parallel = degree;
        auto price = request_.prices.find(choice.gpu);
        if (price != request_.prices.end()) choice.price = price->second;
      }
    std::stable_sort(choices.begin(), choices.end(),
                     [](const PlanChoice& a, const PlanChoice& b) { return a.cost(1) < b.cost(1); });
    for (PlanChoice& choice : choices) look_at(choice);
    std::stable_sort(choices.begin(), choices.end(), [](const PlanChoice& a, const PlanChoice& b) {
      if (a.meets.has_value() != b.meets.has_value()) return a.meets.has_value();
      if (!a.meets) return false;
      const double cost_a = a.cost(a.meets->replicas), cost_b = b.cost(b.meets->replicas);
      return cost_a != cost_b ? cost_a < cost_b : a.meets->attainment > b.meets->attainment;
    });
    Plan out;
    out.choices = std::move(choices);
    out.priced = !request_.prices.empty();
    out.warnings.assign(warnings_.begin(), warnings_.end());
    return out;
  }

 private:
  void look_at(PlanChoice& choice) {
    choice.why = cannot(choice);
    if (!choice.why.empty()) return;
    const int32_t most = request_.max_gpus / choice.tensor_parallel;
    int32_t least = 0;  // the most replicas known not to suffice
    for (int32_t n = 1; n <= most; n = std::min(2 * n, most)) {
      if (choice.cost(n) > best_cost_ && least > 0 && choice.cost(least + 1) > best_cost_)
        return too_dear(choice, least);
      PlanFigures figures = simulate(choice, n);
      if (enough(figures)) {
        choice.meets = figures;
        break;
      }
      choice.fewer = figures;
      least = n;
      if (n == most) break;
    }
    if (!choice.meets) {
      choice.why = fmt::format("{} GPUs: {}", most * choice.tensor_parallel, shortfall(*choice.fewer));
      return;
    }
    while (choice.meets->replicas - least > 1) {
      PlanFigures figures = simulate(choice, (least + choice.meets->replicas) / 2);
      if (enough(figures)) {
        choice.meets = figures;
      } else {
        choice.fewer = figures;
        least = figures.replicas;
      }
    }
    best_cost_ = std::min(best_cost_, choice.cost(choice.meets->replicas));
  }

  void too_dear(PlanChoice& choice, int32_t least) const {
    choice.why = fmt::format("dearer than the best before it suffices; {} replica{}: {}", least, least > 1 ? "s" : "",
                             shortfall(*choice.fewer));
  }

  // Why no replica of it runs at all; empty: it does.
  std::string cannot(const PlanChoice& choice) const {
    if (llm_.heads % choice.tensor_parallel != 0)
      return fmt::format("its {} attention heads cannot be split over {} GPUs", llm_.heads, choice.tensor_parallel);
    if (choice.tensor_parallel > 1 && choice.tensor_parallel > request_.max_gpus)
      return fmt::format("one replica takes {} GPUs, allowed: {}", choice.tensor_parallel, request_.max_gpus);
    try {
      compile(scenario(choice, 1, 0));
      return "";
    } catch (const InputError& error) {
      return error.diagnostics().front().message;
    }
  }

  bool enough(const PlanFigures& figures) const { return figures.interval.low >= request_.slo.target; }

  std::string shortfall(const PlanFigures& f) const {
    std::string out =
        fmt::format("{:.1f} % within the SLO (95 %: {:.1f} to {:.1f}), needed: {:g} %", 100 * f.attainment,
                    100 * f.interval.low, 100 * f.interval.high, 100 * request_.slo.target);
    std::vector<std::string> over;
    auto check = [&](const char* name, const std::optional<Duration>& limit, double p95) {
      if (limit && p95 > limit->to_seconds())
        over.push_back(fmt::format("{} p95 {:.4g} s over {:.4g} s", name, p95, limit->to_seconds()));
    };
    check("TTFT", request_.slo.ttft, f.ttft_p95);
    check("TPOT", request_.slo.tpot, f.tpot_p95);
    check("E2E", request_.slo.e2e, f.e2e_p95);
    for (const std::string& part : over) out += "; " + part;
    return out;
  }

  // Once, whichever run it is of; a plan says nothing of energy.
  void note(std::string warning) {
    constexpr std::string_view kModel = "model server: ", kMany = " iterations have more sequences";
    if (warning.starts_with("energy_kwh")) return;
    if (warning.starts_with(kModel)) warning.erase(0, kModel.size());
    if (size_t at = warning.find(kMany); at != warning.npos) warning.replace(0, at, "some");
    warnings_.insert(warning);
  }

  PlanFigures simulate(const PlanChoice& choice, int32_t replicas) {
    request_.progress(fmt::format("{} x {}, tensor parallel {}", replicas, choice.gpu, choice.tensor_parallel));
    PlanFigures out;
    out.replicas = replicas;
    std::vector<double> shares;
    for (int32_t r = 0; r < request_.runs; ++r) {
      Summary summary = run(compile(scenario(choice, replicas, r)));
      for (const std::string& warning : summary.warnings) note(warning);
      shares.push_back(summary.slo ? summary.slo->attainment : 0);
      auto p95 = [&](const std::optional<LatencySummary>& l) { return l ? l->p95 / request_.runs : 0; };
      out.ttft_p95 += p95(summary.latency_s.ttft);
      out.tpot_p95 += p95(summary.latency_s.tpot);
      out.e2e_p95 += p95(summary.latency_s.e2e);
      // The first run is far from enough: others would say the same.
      constexpr double kHopeless = 0.9;
      if (r == 0 && shares[0] < kHopeless * request_.slo.target) {
        out.ttft_p95 *= request_.runs;
        out.tpot_p95 *= request_.runs;
        out.e2e_p95 *= request_.runs;
        break;
      }
    }
    const auto n = static_cast<double>(shares.size());
    out.attainment = std::accumulate(shares.begin(), shares.end(), 0.0) / n;
    out.interval = {out.attainment, out.attainment};
    if (shares.size() < 2) return out;
    double squares = 0;
    for (double share : shares) squares += (share - out.attainment) * (share - out.attainment);
    const double t = boost::math::quantile(boost::math::students_t(n - 1), 0.975);
    const double half = t * std::sqrt(squares / (n - 1) / n);
    out.interval = {std::max(0.0, out.attainment - half), std::min(1.0, out.attainment + half)};
    return out;
  }

  // Replicas that are there from the start behind one Service, on nodes of eight GPUs.
  Scenario scenario(const PlanChoice& choice, int32_t replicas, int32_t run) const {
    Scenario s;
    s.name = "plan";
    s.seed = request_.seed + static_cast<uint64_t>(run);
    s.gpus = request_.gpu_catalogue;
    s.llms = request_.models;
    s.engines = request_.engines;
    const auto& trace = traces_[static_cast<size_t>(run)];
    const auto span = [](const TraceColumns& t) {
      return Duration{t.time_ns.back() - t.time_ns.front() + 1'000'000'000};
    };
    s.duration = request_.trace ? span(*request_.trace) : request_.duration;
    s.warmup = Duration::seconds(kWarmupShare * s.duration.to_seconds());
    const GpuModel& gpu = *find_alike(request_.gpu_catalogue, choice.gpu);
    const int32_t per_node = std::max(kGpusPerNode, choice.tensor_parallel), fit = per_node / choice.tensor_parallel;
    for (int32_t n = 0; n * fit < replicas; ++n) {
      Node& node = s.manifests.nodes.emplace_back();
      node.meta.name = fmt::format("node-{}", n);
      node.meta.labels = {{"nvidia.com/gpu.product", gpu.products.front()}};
      node.allocatable = {{"cpu", 192'000}, {"memory", 2ll << 40}, {"nvidia.com/gpu", per_node}, {"pods", 110}};
      node.capacity = node.allocatable;
    }
    Deployment& deployment = s.manifests.deployments.emplace_back();
    deployment.meta.name = "server";
    deployment.replicas = replicas;
    deployment.selector.requirements = {{"app", SelectorOperator::In, {"server"}}};
    deployment.pod_template.labels = {{"app", "server"}};
    Container& container = deployment.pod_template.spec.containers.emplace_back();
    container.name = container.image = "server";
    container.requests = {{"nvidia.com/gpu", choice.tensor_parallel}};
    Service& service = s.manifests.services.emplace_back();
    service.meta.name = "server";
    service.selector = {{"app", "server"}};
    ModelSpec& model = s.models.emplace_back();
    model.name = "server";
    model.selector = {{"app", "server"}};
    model.engine = engine_.name;
    model.model = llm_.name;
    model.gpu = gpu.name;
    model.tensor_parallel = choice.tensor_parallel;
    model.startup.container = Distribution::constant(0);
    TrafficSpec& traffic = s.traffic.emplace_back();
    traffic.name = traffic.service = "server";
    traffic.trace = trace;
    if (trace) traffic.pattern = TrafficSpec::Pattern::Trace;
    traffic.rate = request_.rate;
    traffic.prompt = request_.prompt;
    traffic.output = request_.output;
    SloSpec slo = request_.slo;
    slo.traffic = "server";
    s.slo = {slo};
    s.routers = {{"server", {"least-requests", {}, {}}}};
    return s;
  }

  const PlanRequest& request_;
  const LlmModel& llm_;
  const EngineProfile& engine_;
  std::vector<std::shared_ptr<const TraceColumns>> traces_;
  std::set<std::string> warnings_;
  double best_cost_ = HUGE_VAL;
};

}  // namespace

Plan make_plan(const PlanRequest& request) {
  constexpr double kLeastMinutes = 5;
  const TraceColumns* trace = request.trace.get();
  if (trace && (trace->time_ns.empty() || trace->time_ns.back() - trace->time_ns.front() < kLeastMinutes * 60e9))
    throw InputError(
        Diagnostic{Severity::Error,
                   {},
                   "--trace",
                   fmt::format("found {} requests, allowed: at least {:g} minutes of them, which are drawn "
                               "anew for the interval",
                               trace->time_ns.size(), kLeastMinutes)});
  return Planner(request).plan();
}

}  // namespace kisim
