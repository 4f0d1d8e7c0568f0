#pragma once
// The compiled scenario: constant, shared by every run and thread.

#include "cluster/cluster.hpp"
#include "kube/kube.hpp"
#include "run/accounts.hpp"
#include "run/scenario.hpp"
#include "serving/serving.hpp"
#include "traffic/traffic.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kisim {

struct Model {
  std::string name;
  uint64_t seed = 0;
  Time end, warmup_end;
  ClusterModel cluster;
  TrafficModel traffic;
  ServingModel serving;
  KubeModel kube;
  Duration sample_interval;
  AccountsModel accounts;
  std::vector<std::string> warnings;  // of reading and compiling, as text

  // That all rooms draw from; steps of sources that are drawn are drawn for it.
  void set_seed(uint64_t to);
};

// Scenario to Model. Collects every complaint; throws InputError if any is an error.
std::shared_ptr<const Model> compile(const Scenario& scenario);

}  // namespace kisim
