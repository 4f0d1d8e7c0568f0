// Which plugins a profile runs, in which order and with which weights; also against what the real kube-scheduler listed
// (skipped where the records are absent).
#include "kube/scheduler_configuration.hpp"

#include "policy/registry.hpp"
#include "shared_data.hpp"

#include <fmt/ranges.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <functional>

using namespace kisim;
using Json = nlohmann::json;
using Point = ExtensionPoint;

namespace {

using Names = std::vector<std::string>;

// A plugin that Kubernetes lacks.
class Lottery final : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {Point::Filter, Point::Score}; }
};
KISIM_POLICY(SchedulerPlugin, "TestLottery", "of this test", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<Lottery>(); });

PluginSet& at(SchedulerProfile& profile, Point point) { return profile.points[static_cast<size_t>(point)]; }

// "NodeAffinity" or, where plugins score, "NodeAffinity:2".
Names listed(const SchedulerProfile& profile, Point point, int minor = 36) {
  Names out;
  const auto points = expand_profile(profile, minor);
  for (const WeightedPlugin& p : points[static_cast<size_t>(point)])
    out.push_back(point == Point::Score ? fmt::format("{}:{}", p.name, p.weight) : p.name);
  return out;
}

std::string complaint(const SchedulerProfile& profile, int minor = 36) {
  try {
    expand_profile(profile, minor);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("the default profile of each version") {
  SchedulerProfile profile;
  Names filters{"NodeUnschedulable", "NodeName",           "TaintToleration",  "NodeAffinity",  "NodePorts",
                "NodeResourcesFit",  "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone",
                "PodTopologySpread", "InterPodAffinity",   "DynamicResources"};
  CHECK(listed(profile, Point::Filter, 34) == filters);
  CHECK(listed(profile, Point::Filter, 35) == filters);
  filters.push_back("NodeDeclaredFeatures");
  CHECK(listed(profile, Point::Filter, 36) == filters);

  Names scores{"TaintToleration:3",
               "NodeAffinity:2",
               "NodeResourcesFit:1",
               "VolumeBinding:1",
               "PodTopologySpread:2",
               "InterPodAffinity:2",
               "NodeResourcesBalancedAllocation:1",
               "ImageLocality:1"};
  CHECK(listed(profile, Point::Score, 34) == scores);
  scores.insert(scores.begin() + 6, "DynamicResources:2");
  CHECK(listed(profile, Point::Score, 35) == scores);
  CHECK(listed(profile, Point::PreEnqueue) == Names{"SchedulingGates", "DynamicResources", "DefaultPreemption"});
  CHECK(listed(profile, Point::QueueSort) == Names{"PrioritySort"});
  CHECK(listed(profile, Point::PostFilter) == Names{"DynamicResources", "DefaultPreemption"});
  CHECK(listed(profile, Point::Bind) == Names{"DefaultBinder"});
  CHECK(listed(profile, Point::Permit).empty());
}

TEST_CASE("a point's own list comes first, then multiPoint, then what only the list has") {
  SchedulerProfile profile;
  at(profile, Point::Filter).enabled = {{"TestLottery"}, {"NodeResourcesFit"}, {"NodeName"}};
  Names filters = listed(profile, Point::Filter, 34);
  REQUIRE(filters.size() == 14);
  CHECK(filters[0] == "NodeResourcesFit");
  CHECK(filters[1] == "NodeName");
  CHECK(filters[2] == "NodeUnschedulable");
  CHECK(filters[13] == "TestLottery");
}

TEST_CASE("weights: of the list, else of multiPoint; left out they are 1") {
  SchedulerProfile profile;
  at(profile, Point::Score).enabled = {{"NodeAffinity"}, {"TestLottery", 7}};
  profile.multi_point.enabled = {{"TaintToleration", 9}, {"ImageLocality"}};
  CHECK(listed(profile, Point::Score, 34) ==
        Names{"NodeAffinity:1", "TaintToleration:9", "NodeResourcesFit:1", "VolumeBinding:1", "PodTopologySpread:2",
              "InterPodAffinity:2", "NodeResourcesBalancedAllocation:1", "ImageLocality:1", "TestLottery:7"});
}

TEST_CASE("what is disabled") {
  SchedulerProfile profile;
  at(profile, Point::Score).disabled = {{"NodeAffinity"}, {"ImageLocality"}};
  profile.multi_point.disabled = {{"PodTopologySpread"}};
  CHECK(listed(profile, Point::Score, 34) == Names{"TaintToleration:3", "NodeResourcesFit:1", "VolumeBinding:1",
                                                   "InterPodAffinity:2", "NodeResourcesBalancedAllocation:1"});
  Names filters = listed(profile, Point::Filter);
  CHECK(std::find(filters.begin(), filters.end(), "NodeAffinity") != filters.end());
  CHECK(std::find(filters.begin(), filters.end(), "PodTopologySpread") == filters.end());

  at(profile, Point::Score) = {{{"TestLottery", 2}}, {{"*"}}};
  CHECK(listed(profile, Point::Score) == Names{"TestLottery:2"});

  SchedulerProfile bare;
  bare.multi_point = {{{"PrioritySort"}, {"DefaultBinder"}, {"NodeName"}}, {{"*"}}};
  CHECK(listed(bare, Point::Filter) == Names{"NodeName"});
  CHECK(listed(bare, Point::Score).empty());
}

TEST_CASE("plugins that cannot be where they are listed") {
  struct Row {
    std::function<void(SchedulerProfile&)> change;
    const char* complaint;
    int minor = 36;
  };
  const SourceMark mark{"s.yaml", 7, 3};
  const Row rows[] = {
      {[&](auto& p) {
         at(p, Point::Filter).enabled = {{"NodeNmae", 0, mark}};
       },
       "s.yaml:7:3: plugins.filter: FilterPlugin \"NodeNmae\" does not exist"},
      {[&](auto& p) {
         p.multi_point.enabled = {{"NodeNmae", 0, mark}};
       },
       "s.yaml:7:3: plugins.multiPoint: PreFilterPlugin \"NodeNmae\" does not exist"},
      {[&](auto& p) {
         at(p, Point::Score).enabled = {{"NodeName", 0, mark}};
       },
       "s.yaml:7:3: plugins.score: plugin \"NodeName\" does not extend ScorePlugin plugin"},
      {[&](auto& p) {
         at(p, Point::Filter).enabled = {{"NodeName"}, {"NodeName", 0, mark}};
       },
       "s.yaml:7:3: plugins.filter: plugin \"NodeName\" already registered as \"FilterPlugin\""},
      {[&](auto& p) {
         p.multi_point.enabled = {{"TestLottery"}, {"TestLottery", 0, mark}};
       },
       "s.yaml:7:3: plugins.multiPoint: plugin \"TestLottery\" already registered as \"FilterPlugin\""},
      {[&](auto& p) { at(p, Point::QueueSort).disabled = {{"PrioritySort"}}; },
       "plugins.queueSort: only one queue sort plugin required for profile with scheduler name \"default-scheduler\", "
       "but got 0"},
      {[&](auto& p) { at(p, Point::Bind).disabled = {{"*"}}; },
       "plugins.bind: at least one bind plugin is needed for profile with scheduler name \"default-scheduler\""},
      {[&](auto& p) {
         p.multi_point.enabled = {{"NodeDeclaredFeatures", 0, mark}};
       },
       "s.yaml:7:3: plugins.multiPoint: PreFilterPlugin \"NodeDeclaredFeatures\" does not exist", 34},
      {[&](auto& p) {
         at(p, Point::Score).enabled = {{"DynamicResources", 0, mark}};
       },
       "s.yaml:7:3: plugins.score: plugin \"DynamicResources\" does not extend ScorePlugin plugin", 34},
  };
  for (const Row& row : rows) {
    SchedulerProfile profile;
    row.change(profile);
    CHECK(complaint(profile, row.minor) == row.complaint);
  }
}

// ---------------------------------------------------------------------------------------------------------- records

namespace {

constexpr std::pair<const char*, Point> kPoints[] = {{"preEnqueue", Point::PreEnqueue},
                                                     {"queueSort", Point::QueueSort},
                                                     {"preFilter", Point::PreFilter},
                                                     {"filter", Point::Filter},
                                                     {"postFilter", Point::PostFilter},
                                                     {"preScore", Point::PreScore},
                                                     {"score", Point::Score},
                                                     {"reserve", Point::Reserve},
                                                     {"permit", Point::Permit},
                                                     {"preBind", Point::PreBind},
                                                     {"bind", Point::Bind}};

PluginSet parse_set(const Json& set) {
  PluginSet out;
  if (set.contains("enabled"))
    for (const Json& p : set["enabled"]) out.enabled.push_back({p["name"], p.value("weight", 0), {}});
  if (set.contains("disabled"))
    for (const Json& p : set["disabled"]) out.disabled.push_back({p["name"], 0, {}});
  return out;
}

SchedulerProfile parse_profile(const Json& object) {
  SchedulerProfile out;
  out.scheduler_name = object.value("schedulerName", out.scheduler_name);
  const Json plugins = object.value("plugins", Json::object());
  for (const auto& [name, point] : kPoints) at(out, point) = parse_set(plugins.value(name, Json::object()));
  out.multi_point = parse_set(plugins.value("multiPoint", Json::object()));
  return out;
}

Names expected(const Json& list) {
  Names out;
  for (const Json& p : list)
    out.push_back(p.is_string() ? p.get<std::string>()
                                : fmt::format("{}:{}", p["name"].get<std::string>(), p["weight"].get<int>()));
  return out;
}

// Checks every list of a file's records; returns how many there were.
size_t check_lists(const std::string& path, int minor) {
  FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
  REQUIRE(pipe);
  size_t count = 0;
  std::string line;
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    Json record = Json::parse(line);
    line.clear();
    INFO(record["id"].get<std::string>());
    for (const Json& object : record["config"]["profiles"]) {
      SchedulerProfile profile = parse_profile(object);
      const Json& lists = record["expect"]["profiles"][profile.scheduler_name];
      for (const auto& [name, point] : kPoints) {
        if (!lists.contains(name)) continue;
        CHECK(listed(profile, point, minor) == expected(lists[name]));
        ++count;
      }
    }
  }
  pclose(pipe);
  return count;
}

}  // namespace

TEST_CASE("plugins of profiles as kube-scheduler lists them") {
  for (auto [file, minor] : {std::pair{"goldens/kube-scheduler/strategies.jsonl.gz", 34},
                             {"goldens/kube-scheduler-1.36/strategies.jsonl.gz", 36}}) {
    std::string path = shared_file(file);
    if (path.empty()) return;
    CHECK(check_lists(path, minor) > 0);
  }
}
