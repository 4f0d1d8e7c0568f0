#include "io/report.hpp"

#include "core/error.hpp"
#include "io/report_page.hpp"
#include "sample_run.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

using namespace kisim;

namespace {

Series wave(size_t n) {
  Series s{"m", "1", {}, {}, {}};
  for (size_t i = 0; i < n; ++i)
    s.add(Time{static_cast<int64_t>(i) * 1'000'000'000}, std::sin(0.01 * static_cast<double>(i)));
  return s;
}

nlohmann::json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  size_t from = page.find(open) + open.size();
  return nlohmann::json::parse(page.substr(from, page.find("</script>", from) - from));
}

}  // namespace

TEST_CASE("report: thinning keeps peaks, order and short series") {
  Series s = wave(100'000);
  s.value[54'321] = 99;
  s.value[77'777] = -99;
  const Series thinned = thin(s, 2000);
  CHECK(thinned.t.size() <= 2000);
  CHECK(thinned.t.size() > 1000);
  CHECK(std::count(thinned.value.begin(), thinned.value.end(), 99) == 1);
  CHECK(std::count(thinned.value.begin(), thinned.value.end(), -99) == 1);
  CHECK(std::is_sorted(thinned.t.begin(), thinned.t.end()));
  CHECK(thin(wave(2000), 2000).t.size() == 2000);
}

TEST_CASE("report: thinning keeps long gaps") {
  Series s = wave(10'000);
  std::fill(s.value.begin() + 4000, s.value.begin() + 6000, std::numeric_limits<double>::quiet_NaN());
  const Series thinned = thin(s, 100);
  CHECK(std::count_if(thinned.value.begin(), thinned.value.end(), [](double v) { return std::isnan(v); }) >= 9);
}

TEST_CASE("report: the page starts with the finding and stands alone") {
  const std::string page = render_report(sample_scenario(), sample_summary(), sample_recorder());
  CHECK(page.find("<h1>98.7\u00a0% of requests met the SLO") != std::string::npos);
  CHECK(page.find("default/llama ran on 1–3 ready replicas") != std::string::npos);
  for (const char* outside : {"src=", "href=", "@import", "url(http", "https://"})
    CHECK(page.find(outside) == std::string::npos);
  CHECK(page.find("{{") == std::string::npos);
  CHECK(page.find("0123456789abcdef") != std::string::npos);
  CHECK(page == render_report(sample_scenario(), sample_summary(), sample_recorder()));
}

TEST_CASE("report: nothing measured on the wall clock") {
  Summary slow = sample_summary();
  slow.wall_s *= 10;
  slow.events_per_s /= 10;
  slow.peak_rss_bytes *= 3;
  CHECK(render_report(sample_scenario(), slow, sample_recorder()) ==
        render_report(sample_scenario(), sample_summary(), sample_recorder()));
}

TEST_CASE("report: charts carry the series") {
  const auto data = data_of(render_report(sample_scenario(), sample_summary(), sample_recorder()));
  REQUIRE(data["charts"].size() == 8);
  const auto& load = data["charts"][0];
  CHECK(load["title"] == "Load");
  CHECK(load["lines"].size() == 2);
  CHECK(load["lines"][0]["t"].size() == 480);
  const auto& ttft = data["charts"][3];
  CHECK(ttft["title"] == "Time to first token");
  CHECK(ttft["lines"].size() == 3);
  CHECK(ttft["marks"][0]["y"] == 2.0);
  CHECK(std::any_of(ttft["lines"][0]["v"].begin(), ttft["lines"][0]["v"].end(),
                    [](const auto& v) { return v.is_null(); }));
  CHECK(data["warmup"] == 300.0);
}

TEST_CASE("report: intervals without a sample are gaps, not bridges") {
  Recorder recorder(Record::None, nullptr);
  Series s{"kisim_e2e_seconds", "s", {{"quantile", "0.5"}, {"source", "chat"}}, {}, {}};
  for (int64_t t : {15, 30, 45, 90, 105}) s.add(Time{t * 1'000'000'000}, 1);
  recorder.series.push_back(s);
  const auto line = data_of(render_report(sample_scenario(), sample_summary(), recorder))["charts"][0]["lines"][0];
  CHECK(line["t"] == nlohmann::json({15.0, 30.0, 45.0, 60.0, 90.0, 105.0}));
  CHECK(line["v"][3].is_null());
  CHECK(line["v"].size() == 6);
}

TEST_CASE("report: everything from outside is escaped") {
  const std::string attack = "</script><script>alert('x')</script>{{css}}&\"";
  Scenario scenario = sample_scenario();
  Summary summary = sample_summary();
  Recorder recorder = sample_recorder();
  const std::string clean = render_report(scenario, summary, recorder);
  summary.scenario = attack;
  summary.warnings = {attack};
  summary.decisions[attack] = 1;
  summary.replicas[attack] = {};
  recorder.pods[0].name = attack;
  recorder.scalings[0].reason = attack;
  for (Series& s : recorder.series)
    for (auto& [label, value] : s.labels) value += label == "quantile" ? "" : attack;
  recorder.series.push_back({"kisim_requests_waiting", "1", {{"service", attack}}, {15}, {1}});
  const std::string page = render_report(scenario, summary, recorder);
  CHECK(page.find("<script>alert") == std::string::npos);
  auto count = [](const std::string& text, const std::string& what) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++n;
    return n;
  };
  CHECK(count(page, "<script") == count(clean, "<script"));
  CHECK(count(page, "</script") == count(clean, "</script"));
  CHECK(data_of(page)["charts"].size() == 8);
}

TEST_CASE("report: below 1 MB however much there is") {
  Scenario scenario = sample_scenario();
  Summary summary = sample_summary();
  Recorder recorder(Record::None, nullptr);
  for (const Series& original : sample_recorder().series) {
    for (int copy = 0; copy < 20; ++copy) {
      Series s = wave(50'000);
      s.metric = original.metric;
      s.labels = original.labels;
      for (auto& [label, value] : s.labels)
        if (label != "quantile" && label != "phase") value += std::to_string(copy);
      recorder.series.push_back(std::move(s));
    }
  }
  for (int i = 0; i < 100'000; ++i) {
    recorder.pods.push_back({"pod", "default/llama", "node", "Gone", 1, 2, 3, 4, 5});
    recorder.scalings.push_back({1, "default/llama", 1, 2, std::string(2000, 'r')});
    summary.warnings.emplace_back(2000, 'w');
  }
  const std::string page = render_report(scenario, summary, recorder);
  CHECK(page.size() < 1'000'000);
  CHECK(page.find("The first 200 of 100,000") != std::string::npos);
}

TEST_CASE("report: a run that recorded nothing still has one") {
  const std::string page = render_report(Scenario{}, Summary{}, Recorder(Record::None, nullptr));
  CHECK(page.find("<h1>No requests</h1>") != std::string::npos);
}

TEST_CASE("report: an unwritable place is an error with its reason") {
  const std::string path = "/proc/kisim/report.html";
  CHECK_THROWS_WITH(write_report(path, sample_scenario(), sample_summary(), sample_recorder()),
                    Catch::Contains(path) && Catch::Contains("No such file or directory"));
}

TEST_CASE("report: nodes are drawn where they come or go") {
  Recorder recorder = sample_recorder();
  auto drawn = [&] {
    const nlohmann::json data = data_of(render_report(sample_scenario(), sample_summary(), recorder));
    return std::count_if(data["charts"].begin(), data["charts"].end(),
                         [](const nlohmann::json& chart) { return chart["title"] == "Nodes"; });
  };
  Series nodes{"kisim_nodes", "1", {}, {}, {}};
  for (int64_t i = 0; i < 10; ++i) nodes.add(Time{i * 1'000'000'000}, 3);
  recorder.series.push_back(nodes);
  CHECK(drawn() == 0);
  recorder.series.back().value[7] = 4;
  CHECK(drawn() == 1);
  Summary steady = sample_summary();
  CHECK(render_report(sample_scenario(), steady, recorder).find("Node-hours") != std::string::npos);
  steady.nodes = {3, 3, 6};
  CHECK(render_report(sample_scenario(), steady, recorder).find("Node-hours") == std::string::npos);
}
