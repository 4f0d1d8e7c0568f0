// Points of aiconfigurator's table of measured servers (ai-dynamo/aiconfigurator, silicon tables): TTFT and TPOT of a
// closed loop of clients, per engine, model, GPU, parallelism and lengths of prompts and answers.

#include "calibration/least_squares.hpp"
#include "core/error.hpp"
#include "fidelity/comparisons.hpp"
#include "fidelity/llm_points.hpp"
#include "io/data_table.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>

namespace kisim {

namespace {

constexpr int32_t kLeastConcurrency = 16;  // below, the first requests of a run are much of it
constexpr int32_t kNodeGpus = 8;
constexpr uint64_t kRounds = 10;         // requests per client, as both sources of the table send
constexpr int32_t kDynamoTokens = 2048;  // per iteration of vLLM where another server than its own starts it
constexpr double kInferenceMax = 0.8;    // its lengths are drawn from this share of the longest up
constexpr double kKvLinkBytes = 35e9;    // per s and GPU between pools: 400 Gbit/s of InfiniBand, used to 70 %

struct SiliconPoint {
  std::string model, engine, system, label;
  LlmDeployment on;
  bool disaggregated = false;
  int32_t prefill_gpus = 0;
  int32_t prompt = 0, output = 0, concurrency = 0;
  int32_t max_num_batched_tokens = 0;  // 0: the engine's default
  double shortest = 1;
  double ttft = 0, tpot = 0;  // seconds

  bool has_experts() const { return on.llm.experts.count > 0; }
  double mean(int32_t longest) const { return longest * (1 + shortest) / 2; }
  double prompt_mean() const { return mean(prompt); }
  double output_mean() const { return mean(output); }
  double context_mean() const { return prompt_mean() + output_mean() / 2; }
};

// Why points are not used, and how many of each; by what they would be points of.
enum class Kind : uint8_t { Dense, Experts, Disaggregated };
using Skipped = std::map<std::string, size_t>;

struct Silicon {
  std::vector<SiliconPoint> points;
  std::map<std::pair<Kind, std::string>, Skipped> skipped;  // by kind and engine

  Skipped skipped_of(Kind kind, const std::string& engine = "") const;  // "": of all engines
};

Skipped Silicon::skipped_of(Kind kind, const std::string& engine) const {
  Skipped out;
  for (const auto& [of, reasons] : skipped)
    if (of.first == kind && (engine.empty() || of.second == engine))
      for (const auto& [why, count] : reasons) out[why] += count;
  return out;
}

// "silicon_concurrency=32; …" or "…_c32_…"; 0: not told
int32_t concurrency_of(const std::string& source, const std::string& id) {
  auto number_at = [](const std::string& text, size_t at) {
    int32_t number = 0;
    std::from_chars(text.data() + at, text.data() + text.size(), number);
    return number;
  };
  constexpr std::string_view kKey = "silicon_concurrency=";
  if (size_t at = source.find(kKey); at != source.npos) return number_at(source, at + kKey.size());
  for (size_t at = id.find("_c"); at != id.npos; at = id.find("_c", at + 1))
    if (int32_t number = number_at(id, at + 2); number > 0) return number;
  return 0;
}

const char* gpu_of(const std::string& system) {
  static constexpr std::pair<const char*, const char*> kNames[] = {{"h100_sxm", "h100-80gb"},
                                                                   {"h200_sxm", "h200-141gb"},
                                                                   {"b200_sxm", "b200-180gb"},
                                                                   {"b300_sxm", "b300-268gb"},
                                                                   {"gb200", "gb200-185gb"},
                                                                   {"gb300", "gb300-277gb"},
                                                                   {"a100_sxm", "a100-80gb"},
                                                                   {"a30", "a30"},
                                                                   {"l4", "l4"},
                                                                   {"l40s", "l40s"},
                                                                   {"rtx_pro_6000_server", "rtx-pro-6000"}};
  for (const auto& [known, gpu] : kNames)
    if (system == known) return gpu;
  return "";
}

class SiliconReader {
 public:
  SiliconReader(const DataTable& table, const LlmCatalogues& catalogues, Silicon& out)
      : table_(table), catalogues_(catalogues), out_(out) {}

  void read(size_t row) {
    row_ = row;
    SiliconPoint p;
    p.disaggregated = text("mode") == "disagg";
    kind_ = p.disaggregated ? Kind::Disaggregated : Kind::Experts;
    p.model = text("model_path");
    const LlmModel* llm = find_llm(catalogues_.llms, p.model);
    if (!llm) return skip("model not in the catalogue: " + p.model);
    if (!p.disaggregated && llm->experts.count == 0) kind_ = Kind::Dense;
    p.engine = text("backend");
    if (!catalogues_.engine(p.engine)) return skip("engine not in the catalogue: " + p.engine);
    p.system = text("system");
    p.on.gpu = catalogues_.gpu(gpu_of(p.system));
    if (!p.on.gpu) return skip("GPU not in the catalogue: " + p.system);
    p.concurrency = concurrency_of(text("silicon_data_source"), text("id"));
    if (p.concurrency == 0) return skip("tells no concurrency");
    if (p.concurrency < kLeastConcurrency) return skip("concurrency below 16");
    const std::string& weights = text("gemm_quant_mode");
    p.on.llm = with_weights(*llm, weights.empty() ? text("precision") : weights);
    p.prompt = whole("isl");
    p.output = whole("osl");
    p.ttft = number("silicon_ttft_ms") * 1e-3;
    p.tpot = number("silicon_tpot_ms") * 1e-3;
    if (p.prompt < 1 || p.output < 2 || !(p.ttft > 0) || !(p.tpot > 0)) return skip("tells no lengths or times");
    // aiconfigurator's own runs come from a file of their system, and Dynamo serves them; the others are
    // InferenceMAX's.
    if (!text("silicon_data_source").starts_with("source_file=" + p.system + "/"))
      p.shortest = kInferenceMax;
    else if (p.engine == "vllm")
      p.max_num_batched_tokens = kDynamoTokens;
    if (!(p.disaggregated ? pools(p) : node(p))) return;
    if (!p.disaggregated) share_clients(p);
    p.label = fmt::format("{} {} {} x{}, {}/{}, C={}", p.engine, p.model.substr(p.model.find('/') + 1), p.system,
                          p.on.tensor_parallel * p.on.data_parallel, p.prompt, p.output, p.concurrency);
    auto measurement = std::tuple(p.engine, p.system, p.model, p.prompt, p.output, p.concurrency, p.ttft, p.tpot);
    if (!measurements_.insert(measurement).second) return skip("the same measurement again");
    out_.points.push_back(std::move(p));
  }

 private:
  const std::string& text(const char* column) const { return table_.text(row_, table_.column(column)); }
  double number(const char* column) const { return table_.number(row_, table_.column(column)).value_or(0); }
  // 0 where the cell is empty.
  int32_t whole(const char* column, double most = 1e8) const {
    const double found = number(column);
    if (found >= 0 && found <= most) return static_cast<int32_t>(found);
    throw InputError(
        Diagnostic{Severity::Error, table_.mark(row_), column, fmt::format("found {}, allowed: 0 to {}", found, most)});
  }
  int32_t at_least_1(const char* column) const {
    constexpr double kMostRanks = 4096;
    return std::max(1, whole(column, kMostRanks));
  }
  void skip(const std::string& why) { ++out_.skipped[{kind_, text("backend")}][why]; }

  // The columns of some sources hold tp·ep of an engine each of whose GPUs is a rank of both. Attention under tensor
  // and data parallelism at once is always such: the ranks are as many as either says.
  bool node(SiliconPoint& p) {
    const int32_t tp = at_least_1("tp_size"), dp = at_least_1("attention_dp_size"), ep = at_least_1("moe_ep_size");
    const int32_t experts = at_least_1("moe_tp_size") * ep;
    int32_t gpus = tp * dp;
    p.on.data_parallel = dp > 1 && tp == 1 ? dp : 1;
    if (ep > 1 && gpus == ep * ep) {
      gpus = ep;
      p.on.data_parallel = std::min(p.on.data_parallel, ep);
    } else if (dp > 1 && tp > 1) {
      gpus = tp;
    }
    if (experts <= kNodeGpus) gpus = std::max(gpus, experts);
    p.on.tensor_parallel = std::max(1, gpus / p.on.data_parallel);
    if (gpus > kNodeGpus) skip("more GPUs than a node: of several engines");
    return gpus <= kNodeGpus;
  }

  // batch_size is of one rank of attention. Where the clients are more than those of the ranks that are told, the ranks
  // of experts are ranks of attention too, or there are several engines that share the clients.
  void share_clients(SiliconPoint& p) {
    const int32_t batch = whole("batch_size"), told = at_least_1("attention_dp_size");
    if (batch == 0 || p.concurrency <= batch * told) return;
    const int32_t shares = p.concurrency / (batch * told), gpus = p.on.tensor_parallel * p.on.data_parallel;
    if (p.has_experts() && shares == gpus) {
      p.on.data_parallel = gpus;
      p.on.tensor_parallel = 1;
    } else {
      p.concurrency /= shares;
    }
  }

  // How many engines a pool has is not told: it is taken as one, whose ranks each have their own sequences as soon as
  // its experts are spread or it is larger than a node.
  bool pools(SiliconPoint& p) {
    const int32_t decode = at_least_1("decode_tp_size") * at_least_1("decode_attention_dp_size");
    const bool spread = whole("decode_moe_ep_size") > 1 || decode > kNodeGpus;
    p.on.tensor_parallel = spread ? 1 : decode;
    p.on.data_parallel = spread ? decode : 1;
    p.prefill_gpus = at_least_1("prefill_tp_size") * at_least_1("prefill_attention_dp_size");
    if (p.on.llm.experts.count == 0) skip("dense model");
    return p.on.llm.experts.count > 0;
  }

  const DataTable& table_;
  const LlmCatalogues& catalogues_;
  Silicon& out_;
  size_t row_ = 0;
  Kind kind_ = Kind::Experts;
  std::set<std::tuple<std::string, std::string, std::string, int32_t, int32_t, int32_t, double, double>> measurements_;
};

Silicon read_silicon(const std::string& directory, const LlmCatalogues& catalogues) {
  Silicon out;
  for (const std::string& file : files_of(directory + "/aiconfigurator", ".csv")) {
    const DataTable table = DataTable::read(file);
    SiliconReader reader(table, catalogues, out);
    for (size_t row = 0; row < table.rows(); ++row) reader.read(row);
  }
  return out;
}

Kind kind_of(const SiliconPoint& p) {
  if (p.disaggregated) return Kind::Disaggregated;
  return p.has_experts() ? Kind::Experts : Kind::Dense;
}

using Points = std::vector<const SiliconPoint*>;

template <class Wanted>
Points select(const Silicon& silicon, Wanted wanted) {
  Points out;
  for (const SiliconPoint& p : silicon.points)
    if (wanted(p)) out.push_back(&p);
  return out;
}

struct Times {
  double ttft = 0, tpot = 0;
};

// The whole closed loop, simulated. None: the model does not fit.
std::optional<Times> simulate(const SiliconPoint& p, const EngineProfile& profile) {
  LlmEngineModel model = p.on.engine(profile);
  model.max_num_seqs = std::max(model.max_num_seqs, p.concurrency);
  if (p.max_num_batched_tokens > 0) model.max_num_batched_tokens = p.max_num_batched_tokens;
  const LlmCost cost = p.on.cost(model);
  if (cost.kv_blocks * model.block_size < p.prompt + p.output + model.block_size) return std::nullopt;
  const auto clients = static_cast<uint64_t>(p.concurrency);
  const double overhead = profile.request_overhead_ms * 1e-3;
  const LlmClosedLoop loop{p.concurrency, p.prompt, p.output, p.shortest, kRounds * clients, overhead};
  const LlmClosedLoopResult result = simulate_llm_closed_loop(model, cost, loop);
  return Times{result.ttft_s, result.tpot_s};
}

struct Rows {
  ScoreRow ttft, tpot;
};

// Reported, not judged: their aims are for dense models, and for those with experts.
Rows rows_of(const std::string& what, const std::string& split, Skipped skipped, double tpot_aim, double ttft_aim) {
  Rows rows;
  for (ScoreRow* row : {&rows.ttft, &rows.tpot}) {
    row->data = "aiconfigurator, " + what;
    row->unit = "s";
    row->split = split;
    row->naive = "roofline at the peaks";
    row->skipped = skipped;
  }
  rows.ttft.metric = "TTFT";
  rows.tpot.metric = "TPOT";
  rows.ttft.aim = ttft_aim;
  rows.tpot.aim = tpot_aim;
  return rows;
}

void add(const SiliconPoint& p, const Times& predicted, Rows& rows) {
  EngineProfile ideal;
  ideal.steps.resize(1);
  ideal.prefill_mfu_fp8 = ideal.prefill_mfu_fp4 = 1;
  const LlmCost cost = p.on.cost(p.on.engine(ideal));
  const double tpot = roofline_decode_seconds(cost, p.concurrency, p.context_mean());
  rows.ttft.points.push_back({p.label, p.ttft, predicted.ttft, prefill_seconds(cost, p.prompt_mean())});
  rows.tpot.points.push_back({p.label, p.tpot, predicted.tpot, tpot});
}

void publish(Rows rows, Scoreboard& board) {
  if (rows.tpot.points.empty()) return;
  board.rows.push_back(std::move(rows.tpot));
  board.rows.push_back(std::move(rows.ttft));
}

// ---- dense models ----

struct Simulated {
  const SiliconPoint* point;
  Times times;
};

std::vector<Simulated> simulate_all(const Points& points, const EngineProfile& profile, size_t& unfit) {
  std::vector<Simulated> out;
  for (const SiliconPoint* p : points) {
    std::optional<Times> times = simulate(*p, profile);
    if (times)
      out.push_back({p, *times});
    else
      ++unfit;
  }
  return out;
}

// How much longer than predicted the engine takes for a token, in the median; 1 where there is nothing to tell it from.
double scale_of(const std::vector<Simulated>& points, const std::string& left_out) {
  std::vector<double> ratios;
  for (const Simulated& s : points)
    if (s.point->model != left_out) ratios.push_back(s.point->tpot / s.times.tpot);
  return ratios.empty() ? 1 : median(ratios);
}

constexpr const char* kUnfit = "does not fit the GPUs that it is said to have run on";

void compare_dense(const std::string& engine, const Silicon& scored, const Silicon* calibration,
                   const LlmCatalogues& catalogues, Scoreboard& board) {
  const EngineProfile& profile = *catalogues.engine(engine);
  auto wanted = [&](const SiliconPoint& p) { return kind_of(p) == Kind::Dense && p.engine == engine; };
  // The catalogue's figures of vLLM are fitted on other data; other engines are so many times as fast.
  const bool scaled = engine != "vllm";
  Rows rows = rows_of(
      "dense, " + engine,
      !scaled ? "coefficients of ML.ENERGY's runs, but prefill MFU chosen on these TPOT, tokens per iteration on these "
                "TTFT"
      : calibration ? "one factor on vLLM's coefficients from all models of the calibration data"
                    : "one factor on vLLM's coefficients from the other models of the engine",
      scored.skipped_of(Kind::Dense, engine), 0.15, 0.30);
  size_t unfit = 0, ignored = 0;
  const std::vector<Simulated> points = simulate_all(select(scored, wanted), profile, unfit);
  std::vector<Simulated> known;
  if (calibration && scaled) known = simulate_all(select(*calibration, wanted), profile, ignored);
  for (const Simulated& s : points) {
    double scale = 1;
    if (scaled) scale = calibration ? scale_of(known, "") : scale_of(points, s.point->model);
    add(*s.point, {s.times.ttft * scale, s.times.tpot * scale}, rows);
  }
  if (unfit > 0) rows.tpot.skipped[kUnfit] = rows.ttft.skipped[kUnfit] = unfit;
  publish(std::move(rows), board);
}

// ---- mixture of experts ----

// What one step costs with these figures for layers with experts, beside all else; and what it would with one ms per
// such layer, or with experts read at the peak, more.
struct StepParts {
  double rest = 0, per_layer_ms = 0, experts = 0;
};

EngineProfile with_experts(EngineProfile profile, double layer_ms, double factor) {
  profile.moe_layer_ms = layer_ms;
  profile.expert_factor = factor;
  return profile;
}

// A token in the steady state of the closed loop: a step of everyone, and this sequence's share of the prompts that are
// computed in between, C prompts for every `output` tokens.
StepParts parts_of(const SiliconPoint& p, const EngineProfile& profile) {
  const LlmEngineModel model = p.on.engine(with_experts(profile, 0, 0));
  const LlmCost cost = p.on.cost(model);
  const double room = static_cast<double>(cost.kv_blocks) * model.block_size / (p.prompt_mean() + p.output_mean());
  const double sequences = std::min<double>(p.concurrency, room);
  StepParts parts;
  parts.rest = decode_seconds(cost, sequences, p.context_mean()) +
               sequences / p.output_mean() * prefill_seconds(cost, p.prompt_mean());
  parts.per_layer_ms = 1e-3 * p.on.llm.experts.layers;
  parts.experts = cost.ideal.experts * cost.experts.share_read(sequences);
  return parts;
}

struct ExpertFit {
  double layer_ms = 0, factor = 0;
};

// Least squares on relative errors; neither can be below 0.
ExpertFit fit_experts(const Points& points, const LlmCatalogues& catalogues) {
  std::vector<std::vector<double>> rows;
  std::vector<double> values;
  for (const SiliconPoint* p : points) {
    const StepParts parts = parts_of(*p, *catalogues.engine(p->engine));
    rows.push_back({parts.per_layer_ms / p->tpot, parts.experts / p->tpot});
    values.push_back(1 - parts.rest / p->tpot);
  }
  const std::vector<double> c = robust_least_squares(rows, values);
  return {std::max(0.0, c[0]), std::max(0.0, c[1])};
}

constexpr size_t kLeastPoints = 10;  // to fit on

std::vector<Simulated> simulate_each(const Points& points, const LlmCatalogues& catalogues, const ExpertFit& fit,
                                     size_t& unfit) {
  std::vector<Simulated> out;
  for (const auto& profile : catalogues.engines) {
    Points own;
    for (const SiliconPoint* p : points)
      if (&profile == catalogues.engine(p->engine)) own.push_back(p);
    const EngineProfile fitted = with_experts(profile, fit.layer_ms, fit.factor);
    for (Simulated& s : simulate_all(own, fitted, unfit)) out.push_back(s);
  }
  return out;
}

// Iterations for which a prompt waits before the engine looks at its queue, in the median, per engine; of an engine
// that is not there those of all.
double waits_of(const std::vector<Simulated>& points, const std::string& engine) {
  std::vector<double> own, all;
  for (const Simulated& s : points) {
    const double waits = (s.point->ttft - s.times.ttft) / s.times.tpot;
    all.push_back(waits);
    if (s.point->engine == engine) own.push_back(waits);
  }
  if (all.empty()) return 0;
  return std::max(0.0, median(own.size() < kLeastPoints ? all : own));
}

void score_experts(const Points& fitted_on, const Points& scored, const LlmCatalogues& catalogues, Rows& rows) {
  if (scored.empty()) return;
  if (fitted_on.size() < kLeastPoints) {
    for (ScoreRow* row : {&rows.tpot, &rows.ttft}) row->skipped["nothing to fit on without its model"] += scored.size();
    return;
  }
  const ExpertFit fit = fit_experts(fitted_on, catalogues);
  size_t unfit = 0, ignored = 0;
  const std::vector<Simulated> known = simulate_each(fitted_on, catalogues, fit, ignored);
  for (const Simulated& s : simulate_each(scored, catalogues, fit, unfit)) {
    const double waits = waits_of(known, s.point->engine);
    add(*s.point, {s.times.ttft + waits * s.times.tpot, s.times.tpot}, rows);
  }
  if (unfit == 0) return;
  for (ScoreRow* row : {&rows.tpot, &rows.ttft}) row->skipped[kUnfit] += unfit;
}

std::set<std::string> names(const Points& points, std::string SiliconPoint::*name) {
  std::set<std::string> out;
  for (const SiliconPoint* p : points) out.insert(p->*name);
  return out;
}

void compare_experts(const Silicon& scored, const Silicon* calibration, const LlmCatalogues& catalogues,
                     const FidelityData& data, Scoreboard& board) {
  auto of_kind = [](const SiliconPoint& p) { return kind_of(p) == Kind::Experts; };
  Rows rows = rows_of(
      "mixture of experts",
      calibration
          ? "cost of expert layers, expert reads and waits fitted on the calibration data"
          : "cost of expert layers, expert reads and waits fitted on the other models; MFU of narrow weights on all",
      scored.skipped_of(Kind::Experts), 0.25, 0.45);
  const Points all = select(scored, of_kind);
  if (calibration) {
    score_experts(select(*calibration, of_kind), all, catalogues, rows);
  } else {
    for (const std::string& model : names(all, &SiliconPoint::model)) {
      data.progress(model);
      // Models of one architecture are one: they differ in nothing that takes time.
      const double parameters = find_llm(catalogues.llms, model)->parameters;
      auto without = [&](const SiliconPoint& p) { return of_kind(p) && p.on.llm.parameters != parameters; };
      auto only = [&](const SiliconPoint& p) { return of_kind(p) && p.model == model; };
      score_experts(select(scored, without), select(scored, only), catalogues, rows);
    }
  }
  publish(std::move(rows), board);
}

// ---- disaggregated ----

// A pool for prompts, which are computed one after the other on all its GPUs, a link, and a pool where everybody
// decodes. With C clients the slower of the prompts and the cycle of a client limits what flows; in the first of the
// rounds all come at once.
Times two_pools(const SiliconPoint& p, const EngineProfile& profile) {
  Times times;
  const LlmCost decode = p.on.cost(p.on.engine(profile));
  times.tpot = decode_seconds(decode, p.concurrency, p.context_mean());
  LlmDeployment pool = p.on;
  pool.tensor_parallel = p.prefill_gpus;
  pool.data_parallel = 1;
  const LlmCost prefill = pool.cost(pool.engine(profile));
  const double prompt = prefill_seconds(prefill, p.prompt_mean());
  const double step = static_cast<double>(prefill.step_ps + prefill.experts_ps) * 1e-12;
  const double transfer = p.prompt_mean() * p.on.llm.kv_bytes_per_token() / (kKvLinkBytes * p.prefill_gpus);
  const double alone = step + prompt + transfer, answer = p.output_mean() * times.tpot;
  const double flow = std::min(1 / prompt, p.concurrency / (alone + answer));
  const double steady = std::max(alone, p.concurrency / flow - answer), burst = p.concurrency * prompt / 2;
  times.ttft = steady + (std::max(burst, alone) - steady) / kRounds;
  return times;
}

std::vector<Simulated> predict_pools(const Points& points, const LlmCatalogues& catalogues, const ExpertFit& fit) {
  std::vector<Simulated> out;
  for (const SiliconPoint* p : points) {
    const EngineProfile profile = with_experts(*catalogues.engine(p->engine), fit.layer_ms, fit.factor);
    out.push_back({p, two_pools(*p, profile)});
  }
  return out;
}

// One factor per engine for each of the two times.
Times factors(const std::vector<Simulated>& points, const std::string& engine) {
  std::vector<double> ttft, tpot;
  for (const Simulated& s : points) {
    if (s.point->engine != engine) continue;
    ttft.push_back(s.point->ttft / s.times.ttft);
    tpot.push_back(s.point->tpot / s.times.tpot);
  }
  if (tpot.empty()) return {1, 1};
  return {median(ttft), median(tpot)};
}

void score_pools(const Points& experts, const Points& fitted_on, const Points& scored, const LlmCatalogues& catalogues,
                 Rows& rows) {
  const EngineProfile& vllm = *catalogues.engine("vllm");
  ExpertFit fit{vllm.moe_layer_ms, vllm.expert_factor};
  if (experts.size() >= kLeastPoints) fit = fit_experts(experts, catalogues);
  const std::vector<Simulated> known = predict_pools(fitted_on, catalogues, fit);
  for (const Simulated& s : predict_pools(scored, catalogues, fit)) {
    const Times factor = factors(known, s.point->engine);
    add(*s.point, {s.times.ttft * factor.ttft, s.times.tpot * factor.tpot}, rows);
  }
}

void compare_pools(const Silicon& scored, const Silicon* calibration, const LlmCatalogues& catalogues,
                   Scoreboard& board) {
  auto of_kind = [](Kind kind) { return [kind](const SiliconPoint& p) { return kind_of(p) == kind; }; };
  Rows rows = rows_of(
      "disaggregated",
      calibration
          ? "cost of experts and one factor per engine fitted on the calibration data"
          : "cost of experts and one factor per engine fitted on the other GPU systems; MFU of narrow weights on all",
      scored.skipped_of(Kind::Disaggregated), 0.25, 0.45);
  const Points all = select(scored, of_kind(Kind::Disaggregated));
  if (calibration) {
    score_pools(select(*calibration, of_kind(Kind::Experts)), select(*calibration, of_kind(Kind::Disaggregated)), all,
                catalogues, rows);
  } else {
    for (const std::string& system : names(all, &SiliconPoint::system)) {
      auto elsewhere = [&](Kind kind) {
        return select(scored, [&](const SiliconPoint& p) { return kind_of(p) == kind && p.system != system; });
      };
      auto here = [&](const SiliconPoint& p) { return p.disaggregated && p.system == system; };
      score_pools(elsewhere(Kind::Experts), elsewhere(Kind::Disaggregated), select(scored, here), catalogues, rows);
    }
  }
  publish(std::move(rows), board);
}

}  // namespace

void compare_aiconfigurator(const FidelityData& data, Scoreboard& board) {
  if (files_of(data.scored + "/aiconfigurator", ".csv").empty()) return;
  data.progress("measured LLM servers");
  const LlmCatalogues catalogues;
  const Silicon scored = read_silicon(data.scored, catalogues);
  std::optional<Silicon> calibrated;
  if (!data.calibrated.empty()) calibrated = read_silicon(data.calibrated, catalogues);
  const Silicon* calibration = calibrated ? &*calibrated : nullptr;
  for (const char* engine : {"vllm", "sglang", "trtllm"}) compare_dense(engine, scored, calibration, catalogues, board);
  compare_experts(scored, calibration, catalogues, data, board);
  compare_pools(scored, calibration, catalogues, board);
}

}  // namespace kisim
