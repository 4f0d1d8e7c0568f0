#pragma once
// World = const Model + State + Engine: one simulated cluster. Independent of every other World; two Worlds of one
// Model may run on two threads.

#include "kube/cluster_metrics.hpp"
#include "run/model.hpp"
#include "run/recorder.hpp"
#include "run/summary.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace kisim {

// Everything that changes. Copying it copies the run.
struct State {
  Engine engine;
  ClusterState cluster;
  TrafficState traffic;
  ServingState serving;
  KubeState kube;
  AccountsState accounts;
};

class World {
 public:
  // `events` hears of what happens from the start on.
  explicit World(std::shared_ptr<const Model> model, EventSink* events = nullptr);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // An independent copy that continues identically. It shares the Model and has no recorder.
  std::unique_ptr<World> fork() const;

  // Handles the next event at or before `until`; false if there is none.
  bool step(Time until);
  // Runs to `until` or the end of the scenario, whichever is earlier, and moves the clock there.
  void run_until(Time until);
  bool finished() const { return finished_; }
  // Whether an agent waits for its action at this instant; nothing goes on before it has it. Invalid: none does.
  AgentId waiting_agent() const { return state_.kube.waiting; }
  // [action size of the agent that waits]
  void act(AgentId agent, std::span<const float> action) { kube_.act(agent, action); }
  // Shows an agent what there is to see now, without a decision.
  void look(AgentId agent) { kube_.look(agent); }
  // Counts what flows up to now.
  void settle() { serving_.settle(); }

  // Figures up to now. Fills everything but wall_s, events_per_s and peak_rss_bytes. Throws InvariantError where the
  // books do not balance.
  Summary summary() const;

  Time now() const { return state_.engine.now(); }
  const Model& model() const { return *model_; }
  const State& state() const { return state_; }
  void set_recorder(Recorder* recorder);
  // Who hears of the API's events; nullptr: nobody.
  void set_event_sink(EventSink* sink) { kube_.set_event_sink(sink); }

  // For whoever explains decisions.
  Scheduler& scheduler() { return kube_.scheduler(); }
  const Cluster& cluster() const { return cluster_; }

  ClusterMetrics cluster_metrics() const { return {model_->kube, state_.kube, cluster_, serving_}; }
  const Serving& serving() const { return serving_; }
  ReplicaGauges replica_gauges(ReplicaId id) const { return serving_.gauges(id); }
  // What the run has cost and emitted so far, after warm-up.
  AccountsState accounts() const;
  bool energy_known() const { return accounts_.energy_known(); }
  std::string pod_name(PodId id) const { return cluster_.pod_name(id); }

 private:
  enum class Code : uint8_t { WarmupEnd, Sample, End, Tariff };

  World(std::shared_ptr<const Model> model, const State& state, bool finished);
  void dispatch(const Event& event);
  std::vector<std::string> stuck_rollouts() const;
  std::optional<std::string> power_note() const;

  std::shared_ptr<const Model> model_;
  State state_;
  bool finished_ = false;
  // The rooms: views over model_ and state_.
  Cluster cluster_;
  Traffic traffic_;
  Serving serving_;
  Kube kube_;
  Accounts accounts_;
  Recorder* recorder_ = nullptr;
};

struct RunOptions {
  Recorder* recorder = nullptr;
  EventSink* events = nullptr;
  const std::atomic<bool>* stop = nullptr;           // set by a signal handler: finish early, mark as interrupted
  std::function<void(Time now, Time end)> progress;  // called now and then, from the running thread
  // Chooses for agents without a policy of their own: it calls World::act of the one that waits.
  std::function<void(World&, AgentId)> act;
};

// Runs a Model from start to end and fills the whole summary, wall time and memory included.
Summary run(std::shared_ptr<const Model> model, const RunOptions& options = {});

}  // namespace kisim
