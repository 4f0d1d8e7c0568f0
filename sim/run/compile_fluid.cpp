#include "run/compile_fluid.hpp"

#include "run/compile_cluster.hpp"

#include <algorithm>

namespace kisim {

namespace {

class FlowCompiler {
 public:
  FlowCompiler(const Scenario& scenario, Model& model, std::vector<Diagnostic>& diagnostics)
      : scenario_(scenario), model_(model), diagnostics_(diagnostics) {}

  void compile(ServiceId id, const ChosenRouter& router) {
    const ModelSpec* fluid = nullptr;
    const ModelSpec* other = nullptr;
    for (size_t w = 0; w < model_.cluster.workloads.size(); ++w) {
      const WorkloadModel& workload = model_.cluster.workloads[WorkloadId(w)];
      if (!workload.serving.valid() || model_.kube.workloads[WorkloadId(w)].service != id) continue;
      const ModelSpec& spec = scenario_.models[workload.serving.value];
      (spec.detail == "fluid" ? fluid : other) = &spec;
      if (spec.detail == "fluid") check_devices(spec, model_.cluster.templates[workload.pod_template]);
    }
    if (!fluid) return;
    ServiceModel& service = model_.serving.services[id];
    if (other)
      return error(other->mark, "spec.models." + other->name + ".detail",
                   fmt::format("found {} behind service {}, whose model {} is fluid, allowed: fluid", other->detail,
                               service.name, fluid->name));
    const bool even = router.name == "random" || router.name == "round-robin";
    service.fluid.on = true;
    service.fluid.fewest = router.name == "least-requests" || router.name == "power-of-two";
    if (!even && !service.fluid.fewest)
      error(
          router.mark, "spec.policies.router." + router.key,
          fmt::format("found {} with detail fluid, allowed: least-requests, power-of-two, random, round-robin; others "
                      "look at single requests: use detail linear",
                      router.name));
    for (uint32_t c = 0; c < model_.serving.clients.size(); ++c)
      if (model_.serving.clients[c].service == id) add_source(service, *fluid, c);
  }

  void check(const ModelSpec& spec) {
    const bool llm = model_.serving.models[ServingModelId(static_cast<size_t>(&spec - scenario_.models.data()))].llm;
    auto refuse = [&](bool given, const char* field) {
      if (!given) return;
      error(spec.mark, fmt::format("spec.models.{}.{}", spec.name, field),
            fmt::format("found with detail fluid, which follows no single request, allowed: with {}",
                        llm ? "detail iteration, linear or tables" : "another detail"));
    };
    refuse(spec.max_queue_size > 0, "maxQueueSize");
    if (llm) return;
    refuse(!spec.served.empty(), "serves");
    refuse(!spec.preferred_batch_sizes.empty(), "preferredBatchSizes");
    refuse(spec.max_queue_delay.ns > 0, "maxQueueDelay");
    refuse(spec.prefetched_batches > 0, "prefetchedBatches");
    refuse(spec.priority_levels > 1 || !spec.priority_queue_policy.empty(), "priorityLevels");
    const QueuePolicySpec& policy = spec.default_queue_policy;
    refuse(policy.default_timeout.ns > 0 || policy.allow_timeout_override || policy.max_queue_size > 0,
           "defaultQueuePolicy");
  }

 private:
  void error(const SourceMark& mark, const std::string& field, const std::string& message) {
    diagnostics_.push_back({Severity::Error, mark, field, message});
  }

  // Who shares a GPU is slowed by what single requests of others do.
  void check_devices(const ModelSpec& spec, const PodTemplateModel& pods) {
    bool shared = pods.gpu_milli > 0;
    for (const NodeModel& node : model_.cluster.nodes)
      for (const GpuDevice& device : node.devices)
        for (const PodTemplateModel::DeviceRequest& request : pods.devices)
          shared |= device.replicas > 1 && model_.cluster.resources[request.resource.value] == device.resource;
    if (shared)
      error(spec.mark, "spec.models." + spec.name + ".detail",
            "found fluid on GPUs that pods share, allowed: iteration, linear, tables, or GPUs and MIG instances of its "
            "own");
  }

  void add_source(ServiceModel& service, const ModelSpec& spec, uint32_t client) {
    const TrafficSpec& t = scenario_.traffic[client];
    check_source(t, spec);
    if (t.pattern == TrafficSpec::Pattern::Users || t.session.on) return;
    SourceModel& source = model_.traffic.sources[client];
    source.as_rate = true;
    std::vector<RequestSize> typical = typical_requests(source);
    FluidServiceModel::Source out{
        client, ArrivalRate(source), std::move(typical), {}, t.tasks.empty() ? 1 : t.tasks[0].samples};
    out.mix = mix_of(out.typical);
    if (!service.fluid.sources.empty() && service.fluid.sources.front().samples != out.samples)
      error(t.mark, "spec.traffic." + t.name + ".tasks",
            fmt::format("found requests of {} samples beside others of {} at one service with detail fluid, allowed: "
                        "all of one size",
                        out.samples, service.fluid.sources.front().samples));
    service.fluid.sources.push_back(std::move(out));
  }

  void check_source(const TrafficSpec& t, const ModelSpec& model) {
    const bool llm = !model.model.empty();
    auto refuse = [&](bool given, const char* field, const char* what) {
      if (!given) return;
      error(t.mark, fmt::format("spec.traffic.{}.{}", t.name, field),
            fmt::format("found {} to model {} with detail fluid, which follows no single request, allowed: with {}",
                        what, model.name, llm ? "detail iteration, linear or tables" : "another detail"));
    };
    refuse(t.pattern == TrafficSpec::Pattern::Users, "pattern", "users who wait for their answers");
    refuse(t.session.on, "session", "sessions");
    refuse(t.timeout.ns > 0, "timeout", "a time-out");
    refuse(t.retries > 0, "retries", "retries");
    refuse(t.hedge_delay.ns > 0, "hedge", "hedging");
    refuse(t.connections > 0, "connections", "a limit of connections");
    refuse(t.client != "concurrent", "client", "a client's program");
    refuse(!t.network_out.is_zero() || !t.network_back.is_zero(), "network", "a network");
    const AdmissionModel& a = t.admission;
    refuse(a.rate > 0 || a.max_outstanding > 0 || a.ttft.ns > 0 || a.shed_queue_depth > 0, "admission",
           "a limit of admission");
    refuse(model.prefix_caching && t.prefix.tokens > 0, "request.prefix", "common prefixes");
    refuse(model.prefix_caching && t.trace && !t.trace->first_id.empty(), "trace",
           "prompts that begin alike (or set the model's prefixCaching: false)");
    bool plain = t.tasks.size() < 2;
    for (const TaskSpec& task : t.tasks)
      plain &= !task.frontend && task.model.empty() && task.priority == 0 && task.queue_timeout.ns == 0 &&
               task.untimed.is_zero() && task.send_turns == 0 && task.receive_turns == 0;
    refuse(!plain, "tasks", "more than the samples of one task");
  }

  const Scenario& scenario_;
  Model& model_;
  std::vector<Diagnostic>& diagnostics_;
};

}  // namespace

void compile_flows(const Scenario& scenario, const std::vector<ChosenRouter>& routers, Model& model,
                   std::vector<Diagnostic>& diagnostics) {
  FlowCompiler flows(scenario, model, diagnostics);
  model.serving.fluid_step = scenario.fluid_step;
  for (const ModelSpec& spec : scenario.models)
    if (spec.detail == "fluid") flows.check(spec);
  for (size_t s = 0; s < routers.size(); ++s) flows.compile(ServiceId(s), routers[s]);
}

}  // namespace kisim
