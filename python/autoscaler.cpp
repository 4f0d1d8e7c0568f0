#include "autoscaler.hpp"

#include "core/names.hpp"

namespace kisim::python {
namespace {

double from_milli(int64_t value) { return static_cast<double>(value) * 1e-3; }

MetricSpec metric_named(const std::string& name) {
  MetricSpec spec;
  spec.source = name == "cpu" || name == "memory" ? MetricSpec::Source::Resource : MetricSpec::Source::Pods;
  spec.name = name;
  return spec;
}

// The object that decides, of one workload in one run.
class PythonMemory : public PolicyMemory {
 public:
  explicit PythonMemory(SharedObject object) : object_(std::move(object)) {}
  const SharedObject& object() const { return object_; }

  std::unique_ptr<PolicyMemory> clone() const override {
    py::gil_scoped_acquire gil;
    if (!py::hasattr(*object_, "__deepcopy__"))
      throw UsageError(fmt::format("{} has no __deepcopy__, which a fork of the run needs",
                                   py::str(py::type::of(*object_)).cast<std::string>()));
    return std::make_unique<PythonMemory>(SharedObject(py::module_::import("copy").attr("deepcopy")(*object_)));
  }

 private:
  SharedObject object_;
};

class PythonAutoscaler : public Autoscaler {
 public:
  explicit PythonAutoscaler(SharedObject factory) : factory_(std::move(factory)) {
    for (py::handle name : py::getattr(*factory_, "metrics", py::tuple()))
      required_.push_back(metric_named(name.cast<std::string>()));
  }

  std::span<const MetricSpec> required_metrics(const HorizontalPodAutoscaler*) const override { return required_; }

  std::unique_ptr<PolicyMemory> make_memory() const override {
    py::gil_scoped_acquire gil;
    return std::make_unique<PythonMemory>(SharedObject((*factory_)()));
  }

  void decide(const Observation& seen, PolicyMemory& memory, Stream&, Decision& decision) const override {
    py::gil_scoped_acquire gil;
    const SharedObject& object = static_cast<PythonMemory&>(memory).object();
    decision.desired = object->attr("decide")(shown(seen)).cast<int32_t>();
    decision.desired = std::clamp(decision.desired, seen.min_replicas, seen.max_replicas);
    if (decision.desired != seen.replicas) decision.reason = "python";
  }

 private:
  static py::dict shown(const Observation& seen) {
    py::list pods;
    for (const ObservedPod& pod : seen.pods) {
      py::dict p;
      p["phase"] = std::string(to_string(pod.phase));
      p["ready"] = pod.ready == ObservedPod::Ready::True;
      p["deleting"] = pod.deleting;
      p["start"] = pod.start ? py::object(py::float_(pod.start->to_seconds())) : py::none();
      pods.append(p);
    }
    py::dict metrics;
    for (size_t m = 0; m < seen.required.size(); ++m) {
      py::list values;
      for (const std::optional<MetricSample>& sample : seen.metrics[m].samples)
        values.append(sample ? py::object(py::float_(from_milli(sample->milli))) : py::none());
      metrics[py::str(seen.required[m].name)] = values;
    }
    py::dict out;
    out["now"] = seen.now.to_seconds();
    out["replicas"] = seen.replicas;
    out["min_replicas"] = seen.min_replicas;
    out["max_replicas"] = seen.max_replicas;
    out["pods"] = pods;
    out["metrics"] = metrics;
    return out;
  }

  SharedObject factory_;
  std::vector<MetricSpec> required_;
};

WorkloadId find_workload(const Model& model, const std::string& name) {
  std::vector<std::string> names;
  for (size_t w = 0; w < model.cluster.workloads.size(); ++w) {
    const WorkloadModel& workload = model.cluster.workloads[WorkloadId(w)];
    if (workload.full_name() == name || workload.name == name) return WorkloadId(w);
    names.push_back(workload.full_name());
  }
  throw UsageError("autoscalers: " + not_allowed(name, names));
}

}  // namespace

void set_autoscalers(Model& model, const Autoscalers& autoscalers) {
  for (const auto& entry : autoscalers) {
    const WorkloadId workload = find_workload(model, entry.first);
    for (const AgentModel& agent : model.kube.agents)
      for (const AgentModel::Target& target : agent.targets)
        if (target.workload == workload)
          throw UsageError(fmt::format("autoscalers: found {}, which the agent {} scales", entry.first, agent.name));
    std::shared_ptr<const Autoscaler> policy;
    {
      py::gil_scoped_acquire gil;
      policy = std::make_shared<PythonAutoscaler>(entry.second);
    }
    bool any = false;
    for (AutoscalerBinding& binding : model.kube.autoscalers) {
      if (binding.workload != workload) continue;
      binding.policy = policy;
      any = true;
    }
    if (any) continue;
    AutoscalerBinding binding;
    binding.workload = workload;
    binding.policy = policy;
    model.kube.autoscalers.push_back(std::move(binding));
  }
}

}  // namespace kisim::python
