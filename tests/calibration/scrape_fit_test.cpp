// The linear law from scrapes: found again in what an engine of kisim would have told, refused where it is not there.

#include "calibration/scrape_fit.hpp"

#include "calibration/calibrate.hpp"
#include "core/error.hpp"
#include "core/random.hpp"
#include "serving/engine_replay.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

using namespace kisim;
using Catch::Contains;

namespace {

constexpr LinearLaw kLaw{7e-3, 1e-4, 7e-3, 3e-5};

// Of vllm:inter_token_latency_seconds.
constexpr std::array<double, 13> kEnds = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5};

struct Totals {
  double itl_sum = 0, itl_count = 0, prefill_sum = 0, prompts = 0, prompt_tokens = 0, running = 0;
  std::array<double, kEnds.size()> buckets{};
};

// What an engine that serves `rate` requests per second for a minute adds to its counters.
void serve(double rate, uint64_t seed, Totals& t) {
  constexpr double kSeconds = 60;
  LlmEngineModel model;
  model.detail = LlmEngineModel::Detail::Linear;
  model.max_num_seqs = 512;
  LlmCost cost;
  cost.kv_blocks = 1 << 20;
  cost.linear = kLaw;
  std::vector<EngineRequest> requests;
  Stream stream(seed, 1, Purpose::Resampling);
  for (double now = 0; now < kSeconds; now += (0.5 + stream.uniform()) / rate)
    requests.push_back({Time{} + Duration::seconds(now), static_cast<int32_t>(200 + stream.below(600)), 200});
  const auto answers = replay(model, cost, requests).answers;
  for (size_t i = 0; i < answers.size(); ++i) {
    const double tokens = requests[i].output_tokens - 1, itl = answers[i].tpot(requests[i]);
    t.itl_sum += itl * tokens;
    t.itl_count += tokens;
    for (size_t b = 0; b < kEnds.size(); ++b) t.buckets[b] += itl <= kEnds[b] ? tokens : 0;
    t.prefill_sum += (answers[i].first_token - answers[i].scheduled).to_seconds();
    t.prompt_tokens += requests[i].prompt_tokens;
    t.prompts += 1;
  }
  t.running = rate;
}

enum class Shape { Sums, Buckets };

std::string text(const Totals& t, double seconds, Shape shape = Shape::Sums) {
  std::string out = "# HELP vllm:inter_token_latency_seconds made\n# TYPE vllm:inter_token_latency_seconds histogram\n";
  auto add = [&](const std::string& name, double value, const std::string& more = "") {
    out += fmt::format("vllm:{}{{engine=\"0\",{}model_name=\"m\"}} {} {:.0f}\n", name, more, value, seconds * 1e3);
  };
  for (size_t b = 0; b < kEnds.size(); ++b)
    add("inter_token_latency_seconds_bucket", t.buckets[b], fmt::format("le=\"{}\",", kEnds[b]));
  add("inter_token_latency_seconds_bucket", t.itl_count, "le=\"+Inf\",");
  add("inter_token_latency_seconds_count", t.itl_count);
  if (shape == Shape::Sums) add("inter_token_latency_seconds_sum", t.itl_sum);
  add("request_prefill_time_seconds_sum", t.prefill_sum);
  add("request_prefill_time_seconds_count", t.prompts);
  add("time_to_first_token_seconds_count", t.prompts);
  add("request_prompt_tokens_sum", t.prompt_tokens);
  add("request_prompt_tokens_count", t.prompts);
  add("num_requests_running", t.running);
  return out;
}

// Scrapes before and after minutes at these rates.
std::vector<std::string> scraped(const std::vector<double>& rates, Shape shape = Shape::Sums) {
  Totals totals;
  std::vector<std::string> out = {text(totals, 0, shape)};
  for (size_t i = 0; i < rates.size(); ++i) {
    serve(rates[i], i, totals);
    totals.running = 0;
    // The last request ends some seconds after its minute: the batch is that of all the time that it took.
    out.push_back(text(totals, 60.0 * static_cast<double>(i + 1), shape));
  }
  return out;
}

LinearCoefficients fitted(const std::vector<std::string>& scrapes) {
  std::vector<std::vector<MetricSample>> samples;
  for (const std::string& scrape : scrapes) samples.push_back(parse_metrics(scrape, "scrape"));
  return fit_scrapes(intervals_of(samples), "scrape", 1);
}

std::string complaint(const std::vector<std::string>& scrapes) {
  try {
    fitted(scrapes);
  } catch (const InputError& e) {
    return e.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("scrapes of an engine that follows the linear law give it back") {
  const LinearCoefficients found = fitted(scraped({2, 4, 8, 12, 16, 20}));
  CHECK(found.law.base == Approx(kLaw.base).epsilon(0.03));
  CHECK(found.law.per_sequence == Approx(kLaw.per_sequence).epsilon(0.08));
  CHECK(found.law.prefill_per_token == Approx(kLaw.prefill_per_token).epsilon(0.08));
  CHECK(found.law.prefill_base == found.law.base);
  CHECK(found.fit_error < 0.02);
  CHECK(found.left_out_error < 0.03);
  CHECK(found.base.low <= found.law.base);
  CHECK(found.base.high >= found.law.base);
  CHECK(found.max_batch > 4 * found.min_batch);
}

TEST_CASE("without sums a law is known as far as its buckets are narrow") {
  const LinearCoefficients sums = fitted(scraped({2, 4, 8, 12, 16, 20}));
  const LinearCoefficients buckets = fitted(scraped({2, 4, 8, 12, 16, 20}, Shape::Buckets));
  CHECK(buckets.base.low <= sums.law.base);
  CHECK(buckets.base.high >= sums.law.base);
  CHECK(buckets.base.high - buckets.base.low > 3 * (sums.base.high - sums.base.low));
}

TEST_CASE("scrapes that do not tell a law are refused, with what is missing") {
  CHECK_THAT(complaint(scraped({8, 8, 8, 8, 8})), Contains("base and perItem"));
  CHECK_THAT(complaint(scraped({4, 8})), Contains("found 2 intervals"));
  std::vector<std::string> restarted = scraped({2, 4, 8, 12});
  restarted.push_back(restarted[1]);
  std::vector<std::vector<MetricSample>> samples;
  for (size_t i = 0; i < restarted.size(); ++i) {
    samples.push_back(parse_metrics(restarted[i], "scrape"));
    for (MetricSample& sample : samples.back()) sample.time = 60.0 * static_cast<double>(i);
  }
  CHECK(intervals_of(samples).restarts == 1);
  CHECK(intervals_of(samples).intervals.size() == 4);
}

TEST_CASE("a range query of Prometheus tells what its scrapes did") {
  const std::vector<std::string> scrapes = scraped({2, 4, 8, 12, 16});
  std::string result;
  for (const std::string& scrape : scrapes)
    for (const MetricSample& s : parse_metrics(scrape, "scrape")) {
      std::string labels = fmt::format(R"("__name__": "{}")", s.name);
      for (const auto& [name, value] : s.labels) labels += fmt::format(R"(, "{}": "{}")", name, value);
      result += fmt::format(R"({}{{"metric": {{{}}}, "values": [[{}, "{}"]]}})", result.empty() ? "" : ",", labels,
                            *s.time, s.value);
    }
  const std::string query = R"({"status": "success", "data": {"resultType": "matrix", "result": [)" + result + "]}}";
  const LinearCoefficients a = fitted(scrapes);
  const LinearCoefficients b = fit_scrapes(intervals_of({parse_query_result(query, "query")}), "query", 1);
  CHECK(a.law.base == Approx(b.law.base));
  CHECK(a.law.per_sequence == Approx(b.law.per_sequence));
}

TEST_CASE("the sample scrapes become a line of a coefficient file, which is read again") {
  CalibrationRequest request;
  request.kind = "scrapes";
  const std::string directory = std::string(KISIM_ROOT) + "/tests/calibration/scrapes/";
  request.file = directory + "0.prom";
  for (int i = 1; i <= 7; ++i) request.more_files.push_back(fmt::format("{}{}.prom", directory, i));
  const Coefficients found = calibrate(request);
  REQUIRE(found.linear.size() == 1);
  CHECK(found.linear[0].law.base == Approx(8e-3).epsilon(0.02));
  CHECK(found.linear[0].law.per_sequence == Approx(9e-5).epsilon(0.02));
  CHECK(found.linear[0].law.prefill_per_token == Approx(4e-5).epsilon(0.02));
  const auto file = std::filesystem::temp_directory_path() / "kisim_scrape_fit_test.yaml";
  std::ofstream(file) << coefficients_yaml(found);
  const Coefficients read = read_coefficients(file.string());
  REQUIRE(read.linear.size() == 1);
  CHECK(read.linear[0].law.per_sequence == Approx(found.linear[0].law.per_sequence).epsilon(1e-4));
  CHECK(read.linear[0].per_sequence.high == Approx(found.linear[0].per_sequence.high).epsilon(1e-4));
  std::filesystem::remove(file);
}
