// The reproduction of FGD on small made-up data: how pods arrive, what is reported, what is refused.

#include "fgd.hpp"

#include "core/error.hpp"
#include "fgd_run.hpp"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace kisim {
namespace {

namespace fs = std::filesystem;

// A directory with these files, gone with the object.
class DataDirectory {
 public:
  explicit DataDirectory(const std::map<std::string, std::string>& files) {
    fs::create_directories(path_);
    for (const auto& [name, text] : files) std::ofstream(path_ / name) << text;
  }
  ~DataDirectory() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_ = fs::temp_directory_path() / ("kisim-fgd-" + std::to_string(getpid()));
};

FgdTrace trace_of(std::vector<FgdPod> pods) { return {"t", std::move(pods)}; }
FgdPod pod(const std::string& name, int64_t gpus, int64_t milli) { return {name, "", 1000, 1, gpus, milli}; }

std::vector<std::string> names(const std::vector<const FgdPod*>& pods) {
  std::vector<std::string> out;
  for (const FgdPod* p : pods) out.push_back(p->name);
  return out;
}

const std::string kNodes = "sn,cpu_milli,memory_mib,gpu,model\na,8000,8192,1,T4\nb,8000,8192,1,T4\n";
const std::string kPods =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np0,1000,1024,1,500,\np1,1000,1024,1,500,T4|P100\n";

// Published rows that say the same at every arrival.
std::string published(const std::map<std::string, double>& by_policy) {
  std::string text = "workload,sc_policy,tune,seed,total_gpus";
  for (size_t i = 0; i < kFgdColumns; ++i) text += "," + std::to_string(i);
  for (const auto& [policy, value] : by_policy) {
    text += "\nopenb_pod_list_tiny," + policy + ",1.3,42,2";
    for (size_t i = 0; i < kFgdColumns; ++i) text += "," + std::to_string(value);
  }
  return text + "\n";
}

TEST_CASE("arrivals are all pods in an order of the seed, then draws until one GPU more would exceed 130 %") {
  // The check counts one GPU of a pod: at 13 of 13 a pod of 4 GPUs is refused, at 12 it comes.
  FgdTrace fours = trace_of({pod("p", 4, 1000)});
  CHECK(fgd_arrivals(fours, 10'000, 42).size() == 4);

  std::vector<FgdPod> many;
  for (int i = 0; i < 20; ++i) many.push_back(pod("p" + std::to_string(i), 1, 500));
  FgdTrace trace = trace_of(many);
  std::vector<std::string> first = names(fgd_arrivals(trace, 10'000, 42));
  REQUIRE(first.size() == 26);
  CHECK(first == names(fgd_arrivals(trace, 10'000, 42)));
  CHECK(first != names(fgd_arrivals(trace, 10'000, 43)));
  std::vector<std::string> whole(first.begin(), first.begin() + 20), sorted = names(fgd_arrivals(trace, 10'000, 7));
  std::sort(whole.begin(), whole.end());
  sorted.resize(20);
  std::sort(sorted.begin(), sorted.end());
  CHECK(whole == sorted);

  std::reverse(many.begin(), many.end());
  CHECK(first == names(fgd_arrivals(trace_of(many), 10'000, 42)));  // how the file is sorted means nothing
}

TEST_CASE("arrivals beyond 130 % are dropped") {
  std::vector<FgdPod> many;
  for (int i = 0; i < 20; ++i) many.push_back(pod("p" + std::to_string(i), 2, 1000));
  CHECK(fgd_arrivals(trace_of(many), 10'000, 42).size() == 6);
}

TEST_CASE("a run fills the GPUs and stops at what fits") {
  DataDirectory directory({{"openb_node_list_gpu_node.csv", kNodes}, {"openb_pod_list_tiny.csv", kPods}});
  FgdData data = read_fgd_data(directory.path());
  REQUIRE(data.traces.size() == 1);
  CHECK(data.traces[0].pods[1].gpu_models == "T4|P100");
  for (const FgdPolicy& policy : kFgdPolicies) {
    INFO(policy.name);
    FgdRun run = run_fgd_once(data.nodes, data.traces[0], policy, 42);
    CHECK(run.pods == 5);  // 2.5 of 2.6 GPUs
    CHECK(run.allocated[25] == 25);
    CHECK(run.allocated[100] == 100);
    CHECK(run.allocated[130] == 100);
    CHECK(run.fragmented[130] == 0);
  }
}

TEST_CASE("the report judges what was published, and draws it") {
  std::map<std::string, std::string> files{{"openb_node_list_gpu_node.csv", kNodes},
                                           {"openb_pod_list_tiny.csv", kPods},
                                           {"expected_allo.csv", published({{"06-FGD", 100}, {"01-Random", 99.3}})}};
  DataDirectory directory(files);
  FgdOptions options{directory.path(), 2, directory.file("figure.svg"), 1};
  std::ostringstream out;
  CHECK(run_fgd(options, out) == 1);
  CHECK(out.str().ends_with("fgd: MISS, 1 of 2 means within their marks, order not judged\n"));
  CHECK(out.str().find("99.30 ± 0.00  100.00 ± 0.00  +0.70   0.6  MISS") != std::string::npos);

  std::ostringstream figure;
  figure << std::ifstream(directory.file("figure.svg")).rdbuf();
  CHECK(figure.str().starts_with("<svg "));
  CHECK(figure.str().ends_with("</svg>\n"));
}

TEST_CASE("a bad cell is named by file, line and column, a missing file by the directory") {
  DataDirectory directory(
      {{"openb_node_list_gpu_node.csv", kNodes},
       {"openb_pod_list_tiny.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,1000,x,1,500\n"}});
  std::string list = directory.file("openb_pod_list_tiny.csv");
  CHECK_THROWS_WITH(read_fgd_data(directory.path()), list + ":2:9: memory_mib: found 'x', allowed: a number");
  std::ofstream(list) << "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,1000,1,1\n";
  CHECK_THROWS_WITH(read_fgd_data(directory.path()), list + ":2:1: found 4 cells, the header has 5");
  std::ofstream(list) << "name,cpu_milli,memory_mib,num_gpu\n";
  CHECK_THROWS_WITH(read_fgd_data(directory.path()), list + ":1:1: gpu_milli: no such column");
  fs::remove(list);
  CHECK_THROWS_AS(read_fgd_data(directory.path()), IoError);
}

}  // namespace
}  // namespace kisim
