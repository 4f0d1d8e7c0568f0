// Runs, one or several side by side, and what they leave behind as columns.

#include "action.hpp"
#include "autoscaler.hpp"
#include "bind.hpp"
#include "core/names.hpp"
#include "core/parallel.hpp"
#include "io/input.hpp"
#include "io/output.hpp"
#include "io/report.hpp"
#include "io/run_file.hpp"
#include "run/event_log.hpp"
#include "run/world.hpp"

#include <atomic>
#include <chrono>
#include <future>

namespace kisim::python {
namespace {

struct Rows : RequestSink {
  std::vector<RequestRecord> all;
  void record(const RequestRecord& row) override { all.push_back(row); }
};

struct RunResult {
  RunResult(std::shared_ptr<const Scenario> s, Record mode) : scenario(std::move(s)), record(mode) {}

  std::shared_ptr<const Scenario> scenario;
  Record record;
  Rows rows;
  Recorder recorder{record, &rows};
  EventLog events;
  Summary summary;

  const std::vector<RequestRecord>& requests() const { return record == Record::All ? rows.all : recorder.requests; }
};

// What all runs of one call share.
struct RunRequest {
  Record record = Record::Sample;
  bool events = false;
  std::vector<std::pair<std::string, SharedObject>> agents;  // callables by name; an empty name: the only agent
  Autoscalers autoscalers;
};

struct Job {
  std::shared_ptr<Scenario> scenario;
  std::optional<uint64_t> seed;
};

Record record_mode(const std::string& name) {
  if (name == "none") return Record::None;
  if (name == "sample") return Record::Sample;
  if (name == "all") return Record::All;
  throw UsageError("record: " + not_allowed(name, {"none", "sample", "all"}));
}

// Ctrl-C ends what takes long: Python's signal handlers run now and then, and what they raise goes up from here.
class Interrupts {
 public:
  void look() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(50);
    py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

 private:
  std::chrono::steady_clock::time_point next_;
};

// Who chooses, by agent; those with a policy of their own have nobody.
std::vector<const SharedObject*> who_acts(const Model& model, const RunRequest& request) {
  std::vector<const SharedObject*> out(model.kube.agents.size());
  std::vector<std::string> names;
  for (const AgentModel& agent : model.kube.agents)
    if (!agent.policy) names.push_back(agent.name);
  for (const auto& entry : request.agents) {
    const bool only = entry.first.empty() && names.size() == 1;
    bool found = false;
    for (size_t a = 0; a < out.size(); ++a) {
      const AgentModel& agent = model.kube.agents[AgentId(a)];
      if (agent.policy || (!only && agent.name != entry.first)) continue;
      out[a] = &entry.second;
      found = true;
    }
    if (!found) throw UsageError("agent: " + not_allowed(entry.first, names));
  }
  for (size_t a = 0; a < out.size(); ++a) {
    const AgentModel& agent = model.kube.agents[AgentId(a)];
    if (!agent.policy && !out[a])
      throw InputError({Severity::Error,
                        {},
                        "spec.policies.agents." + agent.name + ".policy",
                        "missing, needed: the file of a trained policy, or an agent that is given to the run"});
  }
  return out;
}

void act(World& world, AgentId id, const SharedObject& agent) {
  py::gil_scoped_acquire gil;
  const AgentState& state = world.state().kube.agents[id];
  const py::array_t<float> observation(static_cast<py::ssize_t>(state.observation.size()), state.observation.data());
  std::vector<float> action;
  append_action(world.model().kube.agents[id].actions, (*agent)(observation, bools(state.mask)), action);
  world.act(id, action);
}

// With another seed, as if it had been read so.
std::shared_ptr<const Scenario> scenario_of(const Job& job) {
  if (!job.seed || *job.seed == job.scenario->seed) return job.scenario;
  auto reseeded = std::make_shared<Scenario>(*job.scenario);
  reseeded->seed = *job.seed;
  return reseeded;
}

std::shared_ptr<const Model> compile(const Scenario& scenario, const RunRequest& request) {
  auto model = std::make_shared<Model>(*kisim::compile(scenario));
  set_autoscalers(*model, request.autoscalers);
  return model;
}

std::shared_ptr<RunResult> simulate(const Job& job, const RunRequest& request, RunOptions options) {
  auto result = std::make_shared<RunResult>(scenario_of(job), request.record);
  const std::shared_ptr<const Model> model = compile(*result->scenario, request);
  const std::vector<const SharedObject*> agents = who_acts(*model, request);
  options.recorder = &result->recorder;
  if (request.events) options.events = &result->events;
  options.act = [&agents](World& world, AgentId id) { act(world, id, *agents[id.value]); };
  result->summary = run(model, options);
  return result;
}

std::shared_ptr<RunResult> run_one(const Job& job, const RunRequest& request) {
  Interrupts interrupts;
  RunOptions options;
  options.progress = [&](Time, Time) { interrupts.look(); };
  return simulate(job, request, options);
}

// Several side by side, each on one thread; results are in the order of the jobs.
std::vector<std::shared_ptr<RunResult>> run_many(const std::vector<Job>& jobs, const RunRequest& request,
                                                 size_t threads) {
  std::vector<std::shared_ptr<RunResult>> results(jobs.size());
  std::atomic<bool> stop = false;
  std::future<void> all = std::async(std::launch::async, [&] {
    parallel_for(jobs.size(), threads, [&](size_t i) {
      if (stop) return;
      RunOptions options;
      options.stop = &stop;
      results[i] = simulate(jobs[i], request, options);
    });
  });
  Interrupts interrupts;
  try {
    while (all.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) interrupts.look();
  } catch (...) {
    stop = true;
    throw;
  }
  all.get();
  return results;
}

// A run that halts where it is told to, and that can be copied there.
class HaltedRun {
 public:
  HaltedRun(const Job& job, std::shared_ptr<const RunRequest> request)
      : request_(std::move(request)), world_(std::make_unique<World>(compile(*scenario_of(job), *request_))) {
    agents_ = who_acts(world_->model(), *request_);
  }

  void run_until(double seconds) {
    const Time until = std::min(world_->model().end, Time{} + Duration::seconds(seconds));
    Interrupts interrupts;
    for (uint64_t events = 0; world_->step(until); ++events) {
      const AgentId waiting = world_->waiting_agent();
      if (waiting.valid()) act(*world_, waiting, *agents_[waiting.value]);
      if (events % 4096 == 0) interrupts.look();
    }
    world_->run_until(until);
  }

  std::unique_ptr<HaltedRun> fork() const {
    return std::unique_ptr<HaltedRun>(new HaltedRun(request_, world_->fork(), agents_));
  }

  const World& world() const { return *world_; }

 private:
  HaltedRun(std::shared_ptr<const RunRequest> request, std::unique_ptr<World> world,
            std::vector<const SharedObject*> agents)
      : request_(std::move(request)), world_(std::move(world)), agents_(std::move(agents)) {}

  std::shared_ptr<const RunRequest> request_;
  std::unique_ptr<World> world_;
  std::vector<const SharedObject*> agents_;
};

template <class Row, class Field>
py::array column(const std::vector<Row>& rows, Field Row::*field, const py::object& owner) {
  using T = std::conditional_t<std::is_enum_v<Field>, uint8_t, Field>;
  if (rows.empty()) return py::array_t<T>(0);
  return view(reinterpret_cast<const T*>(&(rows.front().*field)), {rows.size()}, {sizeof(Row)}, owner);
}

template <class Row>
py::list texts(const std::vector<Row>& rows, std::string Row::*field) {
  py::list out;
  for (const Row& row : rows) out.append(row.*field);
  return out;
}

py::dict request_columns(const py::object& self) {
  const auto& rows = self.cast<const RunResult&>().requests();
  py::dict out;
  out["source"] = column(rows, &RequestRecord::source, self);
  out["ordinal"] = column(rows, &RequestRecord::ordinal, self);
  out["outcome"] = column(rows, &RequestRecord::outcome, self);
  out["attempts"] = column(rows, &RequestRecord::attempts, self);
  out["replica_pod"] = column(rows, &RequestRecord::replica_pod, self);
  out["prompt_tokens"] = column(rows, &RequestRecord::prompt_tokens, self);
  out["output_tokens"] = column(rows, &RequestRecord::output_tokens, self);
  out["arrival_s"] = column(rows, &RequestRecord::arrival_s, self);
  out["queue_s"] = column(rows, &RequestRecord::queue_s, self);
  out["ttft_s"] = column(rows, &RequestRecord::ttft_s, self);
  out["tpot_s"] = column(rows, &RequestRecord::tpot_s, self);
  out["e2e_s"] = column(rows, &RequestRecord::e2e_s, self);
  return out;
}

// (metric, unit, labels, t, value) of each series.
py::list series(const py::object& self) {
  py::list out;
  for (const Series& s : self.cast<const RunResult&>().recorder.series) {
    py::dict labels;
    for (const auto& label : s.labels) labels[py::str(label.first)] = label.second;
    auto values = [&self](const std::vector<double>& v) { return view(v.data(), {v.size()}, {sizeof(double)}, self); };
    out.append(py::make_tuple(s.metric, s.unit, labels, values(s.t), values(s.value)));
  }
  return out;
}

py::dict pod_columns(const py::object& self) {
  const auto& rows = self.cast<const RunResult&>().recorder.pods;
  py::dict out;
  out["name"] = texts(rows, &PodRecord::name);
  out["workload"] = texts(rows, &PodRecord::workload);
  out["node"] = texts(rows, &PodRecord::node);
  out["phase"] = texts(rows, &PodRecord::phase);
  out["created"] = column(rows, &PodRecord::created, self);
  out["scheduled"] = column(rows, &PodRecord::scheduled, self);
  out["started"] = column(rows, &PodRecord::started, self);
  out["ready"] = column(rows, &PodRecord::ready, self);
  out["deleted"] = column(rows, &PodRecord::deleted, self);
  return out;
}

py::dict scaling_columns(const py::object& self) {
  const auto& rows = self.cast<const RunResult&>().recorder.scalings;
  py::dict out;
  out["t"] = column(rows, &ScalingRecord::t, self);
  out["workload"] = texts(rows, &ScalingRecord::workload);
  out["from"] = column(rows, &ScalingRecord::from, self);
  out["to"] = column(rows, &ScalingRecord::to, self);
  out["reason"] = texts(rows, &ScalingRecord::reason);
  return out;
}

py::dict gpu_columns(const py::object& self) {
  const auto& rows = self.cast<const RunResult&>().recorder.gpus;
  py::dict out;
  out["node"] = texts(rows, &GpuRecord::node);
  out["model"] = texts(rows, &GpuRecord::model);
  out["index"] = column(rows, &GpuRecord::index, self);
  out["hours_allocated"] = column(rows, &GpuRecord::hours_allocated, self);
  out["hours_busy"] = column(rows, &GpuRecord::hours_busy, self);
  out["energy_kwh"] = column(rows, &GpuRecord::energy_kwh, self);
  return out;
}

py::dict start_columns(const py::object& self) {
  const auto& rows = self.cast<const RunResult&>().recorder.starts;
  py::dict out;
  out["pod"] = texts(rows, &StartRecord::pod);
  out["workload"] = texts(rows, &StartRecord::workload);
  out["weights_from"] = texts(rows, &StartRecord::weights_from);
  out["restarts"] = column(rows, &StartRecord::restarts, self);
  out["began"] = column(rows, &StartRecord::began, self);
  for (size_t p = 0; p < kStartPhases; ++p) {
    std::vector<double> seconds;
    for (const StartRecord& start : rows) seconds.push_back(start.seconds[p]);
    out[py::str(std::string(to_string(static_cast<StartPhase>(p))))] = py::array_t<double>(py::cast(seconds));
  }
  return out;
}

py::dict event_columns(const RunResult& result) {
  py::list first, last, count, type, reason, kind, namespace_, name, message, component;
  for (const EventLog::Entry& entry : result.events.entries()) {
    const KubeEvent& event = entry.event;
    first.append(entry.first.to_seconds());
    last.append(event.at.to_seconds());
    count.append(entry.count);
    type.append(event.type == KubeEvent::Type::Normal ? "Normal" : "Warning");
    reason.append(event.reason);
    kind.append(std::string(event.kind));
    namespace_.append(event.namespace_);
    name.append(event.name);
    message.append(event.message);
    component.append(std::string(event.component));
  }
  py::dict out;
  out["first"] = first;
  out["last"] = last;
  out["count"] = count;
  out["type"] = type;
  out["reason"] = reason;
  out["kind"] = kind;
  out["namespace"] = namespace_;
  out["name"] = name;
  out["message"] = message;
  out["component"] = component;
  return out;
}

// As `kisim run --output-dir`: the seed of the run stands in the scenario that the file keeps.
void save(RunResult& result, const std::string& directory) {
  Scenario scenario = *result.scenario;
  ReadOptions options;
  options.seed = scenario.seed;
  options.files = false;
  scenario.text = read_scenario_text(scenario.text, scenario.name, options).text;
  make_directories(directory);
  RunFile file(directory + "/run.h5");
  for (const RequestRecord& row : result.rows.all) file.record(row);
  file.finish(scenario, result.summary, result.recorder);
  write_report(directory + "/report.html", scenario, result.summary, result.recorder);
}

using Named = std::vector<std::pair<std::string, py::object>>;

std::vector<std::pair<std::string, SharedObject>> shared(const Named& objects) {
  std::vector<std::pair<std::string, SharedObject>> out;
  for (const auto& entry : objects) out.emplace_back(entry.first, SharedObject(entry.second));
  return out;
}

}  // namespace

void bind_run(py::module_& m) {
  py::class_<RunResult, std::shared_ptr<RunResult>>(m, "RunResult")
      .def_property_readonly("seed", [](const RunResult& r) { return r.summary.seed; })
      .def("summary_json", [](const RunResult& r) { return summary_json(r.summary); })
      .def("table", [](const RunResult& r, bool wide) { return summary_table(r.summary, wide, TextStyle{}); })
      .def("sources", [](const RunResult& r) { return r.recorder.sources; })
      .def("requests", &request_columns)
      .def("series", &series)
      .def("pods", &pod_columns)
      .def("scalings", &scaling_columns)
      .def("gpus", &gpu_columns)
      .def("starts", &start_columns)
      .def("events", &event_columns)
      .def("save", &save, py::call_guard<py::gil_scoped_release>());

  py::class_<HaltedRun>(m, "World")
      .def(py::init([](const std::shared_ptr<Scenario>& scenario, std::optional<uint64_t> seed, const Named& agents,
                       const Named& autoscalers) {
        return std::make_unique<HaltedRun>(
            Job{scenario, seed},
            std::make_shared<const RunRequest>(RunRequest{Record::None, false, shared(agents), shared(autoscalers)}));
      }))
      .def_property_readonly("now", [](const HaltedRun& r) { return r.world().now().to_seconds(); })
      .def_property_readonly("finished", [](const HaltedRun& r) { return r.world().finished(); })
      .def("summary_json", [](const HaltedRun& r) { return summary_json(r.world().summary(), Measured::Without); })
      .def("run_until", &HaltedRun::run_until, py::call_guard<py::gil_scoped_release>())
      .def("fork", &HaltedRun::fork, py::call_guard<py::gil_scoped_release>());

  m.def("run", [](const std::shared_ptr<Scenario>& scenario, std::optional<uint64_t> seed, const std::string& record,
                  bool events, const Named& agents, const Named& autoscalers) {
    const RunRequest request{record_mode(record), events, shared(agents), shared(autoscalers)};
    py::gil_scoped_release released;
    return run_one({scenario, seed}, request);
  });
  m.def("run_many",
        [](const std::vector<std::pair<std::shared_ptr<Scenario>, std::optional<uint64_t>>>& runs,
           const std::string& record, bool events, const Named& agents, const Named& autoscalers, size_t threads) {
          const RunRequest request{record_mode(record), events, shared(agents), shared(autoscalers)};
          std::vector<Job> jobs;
          for (const auto& entry : runs) jobs.push_back({entry.first, entry.second});
          py::gil_scoped_release released;
          return run_many(jobs, request, threads);
        });
}

}  // namespace kisim::python
