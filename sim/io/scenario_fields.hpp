#pragma once
// The declaration of the Scenario document: every field that a user may write, once.

#include "io/declare.hpp"
#include "io/input.hpp"

#include <string>
#include <vector>

namespace kisim {

// How the number of a source's users changes, as written.
// Numbers that change in steps: users, or rates in 1/s.
template <class T>
struct StepsDraft {
  enum class Pattern : uint8_t { Constant, Ramp, Spike, Periodic, Random, List } pattern = Pattern::Constant;
  T min = 0, max = 0;
  int32_t steps = 1;
  Duration start;
  std::optional<Duration> duration;  // none: the rest of the run
  Duration every;
  double begin = 0.3, width = 0.4, cycles = 3;
  struct Step {
    Duration at;
    T level = 0;
  };
  std::vector<Step> list;
};
using UsersDraft = StepsDraft<int32_t>;
using RatesDraft = StepsDraft<double>;

// What a traffic source says that its TrafficSpec does not hold as written.
struct SourceDraft {
  UsersDraft users;
  RatesDraft rates;
  Value trace_file;  // Null where it is left out
  TraceFormat trace_format;
  std::string arrivals = "poisson";
};

// What a fault or an action says that its spec does not hold as written.
struct FaultDraft {
  std::string kind;
};
struct ActionDraft {
  std::vector<Value> apply;  // file names and objects
  std::string delete_, scale, restart, cordon, uncordon, drain, reconfigure, cascade = "background";
};

// The document as read, before the files that it names.
struct ScenarioDraft {
  Scenario scenario;
  std::string api_version, kind;
  Value scheduler_configuration;             // a file name or a mapping; Null where it is left out
  std::vector<Value> include, manifests;     // file names; manifests also inline
  std::vector<SourceDraft> sources;          // beside scenario.traffic
  std::vector<FaultDraft> faults;            // beside scenario.faults
  std::vector<ActionDraft> actions;          // beside scenario.actions
  std::vector<Value> group_nodes;            // beside scenario.cluster_autoscaler's groups: file names and mappings
  Value descheduler_policy;                  // a file name or a mapping
  Value mig_configs, device_plugin_configs;  // likewise
  std::map<std::string, Value> price_files;  // file names, beside scenario.prices
  Value carbon_file;                         // of its intensity
};

// Fields of the whole document. They point into `draft` and what they fill may move: read each entry as it is opened.
Fields declare(ScenarioDraft& draft);

// Parts of them, for declare(): what happens to the cluster, how its pods behave and who changes it.
Nested declare_faults(ScenarioDraft& draft);
Nested declare_actions(ScenarioDraft& draft);
Nested declare_pods(Scenario& scenario);
Nested declare_cluster_autoscaler(ScenarioDraft& draft);
Nested declare_descheduler(ScenarioDraft& draft);
Nested declare_mig_policy(ScenarioDraft& draft);
Nested declare_latencies(Scenario& scenario);
Nested declare_startup(ModelSpec::Startup& startup);

}  // namespace kisim
