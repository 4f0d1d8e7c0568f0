#include "run/compile_agents.hpp"

#include "core/hash.hpp"
#include "policy/registry.hpp"
#include "rl/policy_file.hpp"

#include <algorithm>

namespace kisim {

namespace {

MetricSpec pods_metric(const char* name) {
  MetricSpec spec;
  spec.source = MetricSpec::Source::Pods;
  spec.name = name;
  return spec;
}

MetricSpec resource_metric(const char* name) {
  MetricSpec spec;
  spec.source = MetricSpec::Source::Resource;
  spec.name = name;
  spec.target.type = MetricTarget::Type::Utilization;
  return spec;
}

class AgentCompiler {
 public:
  AgentCompiler(const Scenario& scenario, const ClusterCompiler& cluster, Model& model,
                std::vector<Diagnostic>& diagnostics)
      : scenario_(scenario), cluster_(cluster), model_(model), diagnostics_(diagnostics) {}

  void compile(const AgentSpec& spec) {
    spec_ = &spec;
    AgentModel out;
    out.name = spec.name;
    out.reason = "agent " + spec.name;
    out.entity = hash_text("Agent/" + spec.name);
    out.interval = spec.interval;
    out.start = Time{} + spec.start.value_or(spec.interval);
    out.end = model_.end;
    if (out.start >= out.end)
      return error("start", fmt::format("found {:.6g}s, allowed: before the run ends at {:.6g}s",
                                        out.start.to_seconds(), out.end.to_seconds()));
    out.policy = spec.file;
    if (auto shield = scenario_.shields.find(spec.name); shield != scenario_.shields.end()) {
      out.shield = shield->second.limits;
      out.shield.falls_back = shield->second.fallback == "hpa";
    }
    coding(out);
    std::vector<std::string> names;
    for (const std::string& name : spec.workloads) target(name, out, names);
    check_shield(out);
    if (!out.coding || out.targets.empty()) return;
    if (auto complaint = out.coding->complaint(out.targets.size())) return error("coding", *complaint);
    out.observation = out.coding->observation(names);
    out.actions = out.coding->actions(out.targets.size());
    if (out.policy)
      check_policy(out);
    else if (!scenario_.trains_agents)
      error("policy", "missing, needed: the file of a trained policy (`kisim train` makes one)");
    for (uint32_t c = 0; c < model_.serving.clients.size(); ++c)
      if (contains(out.services, model_.serving.clients[c].service)) out.clients.push_back(c);
    model_.kube.agents.push_back(std::move(out));
  }

  // Of a workload whose autoscaler is no agent.
  void shield(const std::string& name, const ShieldSpec& spec) {
    for (const AgentSpec& agent : scenario_.agents)
      if (agent.name == name) return;
    const WorkloadId workload = cluster_.find_workload(name);
    bool any = false;
    for (AutoscalerBinding& binding : model_.kube.autoscalers) {
      if (!workload.valid() || binding.workload != workload || binding.agent.valid()) continue;
      binding.shield = spec.limits;
      any = true;
    }
    if (!any) shield_error(name, "found no agent and no workload with an autoscaler of this name");
    auto refuse = [&](bool given, const char* field) {
      if (given) shield_error(name, fmt::format("found {}, allowed: for agents", field));
    };
    if (!any) return;
    refuse(spec.limits.max_age.has_value(), "maxAge");
    refuse(spec.limits.outside.has_value(), "outside");
    refuse(!spec.fallback.empty(), "fallback");
  }

 private:
  template <class T>
  static bool contains(const std::vector<T>& list, const T& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
  }

  void error(const std::string& field, const std::string& message) {
    diagnostics_.push_back(
        {Severity::Error, spec_->mark, "spec.policies.agents." + spec_->name + "." + field, message});
  }

  void shield_error(const std::string& name, const std::string& message) {
    diagnostics_.push_back({Severity::Error, scenario_.shields.at(name).mark, "spec.policies.shield." + name, message});
  }

  void check_shield(const AgentModel& out) {
    int32_t least = 0;
    for (const AgentModel::Target& target : out.targets) least += target.min_replicas;
    if (out.shield.max_replicas > 0 && out.shield.max_replicas < least)
      shield_error(out.name, fmt::format("found maxReplicas {}, allowed: at least minReplicas of its workloads ({})",
                                         out.shield.max_replicas, least));
  }

  void coding(AgentModel& out) {
    const auto& registry = Registry<AgentCoding>::instance();
    const PolicyChoice& choice = spec_->coding;
    const auto* entry = registry.find(choice.name);
    if (!entry) {
      std::string names;
      for (const auto& [name, e] : registry.entries()) names += (names.empty() ? "" : ", ") + name;
      return error("coding", fmt::format("found '{}', allowed: {}", choice.name, names));
    }
    Params params;
    if (auto complaint = fill_params(entry->params, choice.params, params))
      return error("coding", fmt::format("{}: {}", choice.name, *complaint));
    out.coding = entry->make(params);
  }

  void target(const std::string& name, AgentModel& out, std::vector<std::string>& names) {
    AgentModel::Target target;
    target.workload = cluster_.find_workload(name);
    if (!target.workload.valid())
      return error("workloads", fmt::format("found '{}', which no workload is named", name));
    for (const AgentModel& other : model_.kube.agents)
      for (const AgentModel::Target& taken : other.targets)
        if (taken.workload == target.workload)
          return error("workloads", fmt::format("found {}, which agent {} scales", name, other.name));
    for (const AgentModel::Target& taken : out.targets)
      if (taken.workload == target.workload) return error("workloads", fmt::format("found {} twice", name));
    const WorkloadModel& workload = model_.cluster.workloads[target.workload];
    const KubeWorkload& kube = model_.kube.workloads[target.workload];
    if (!workload.serving.valid())
      return error("workloads", fmt::format("found {}, which serves no model of spec.models", name));
    limits(target, out);
    target.gpus = static_cast<int32_t>(model_.cluster.templates[workload.pod_template].gpus);
    const bool llm = model_.serving.models[workload.serving].llm;
    if (llm) target.running = pods_metric("vllm:num_requests_running");
    target.waiting = pods_metric(llm ? "vllm:num_requests_waiting" : "nv_inference_pending_request_count");
    target.usage = pods_metric(llm ? "vllm:kv_cache_usage_perc" : "nv_gpu_utilization");
    if (out.coding && out.coding->wants_resources()) {
      target.gpu_busy = pods_metric("DCGM_FI_DEV_GPU_UTIL");
      target.cpu = resource_metric("cpu");
      target.memory = resource_metric("memory");
    }
    if (kube.service.valid() && !contains(out.services, kube.service)) out.services.push_back(kube.service);
    names.push_back(workload.name);
    out.targets.push_back(std::move(target));
  }

  // Its own, or those of the HorizontalPodAutoscaler in whose place it is.
  void limits(AgentModel::Target& target, const AgentModel& out) {
    int32_t min = spec_->min_replicas, max = spec_->max_replicas;
    auto& autoscalers = model_.kube.autoscalers;
    IdVector<AutoscalerId, AutoscalerBinding> kept;
    bool has_hpa = false;
    for (AutoscalerBinding& binding : autoscalers) {
      const bool other = binding.workload != target.workload;
      const bool falls_back = out.shield.falls_back && binding.object;
      if (!other && falls_back) {
        binding.agent = AgentId(model_.kube.agents.size());
        binding.shield = out.shield;
        has_hpa = true;
      }
      if (other || falls_back) kept.push_back(binding);
      if (other) continue;
      if (min == 0) min = std::max(1, binding.min_replicas);
      if (max == 0) max = binding.max_replicas;
    }
    autoscalers = std::move(kept);
    if (out.shield.falls_back && !has_hpa)
      shield_error(out.name, fmt::format("found fallback hpa, but {} has no HorizontalPodAutoscaler",
                                         model_.cluster.workloads[target.workload].full_name()));
    if (max == 0) return error("maxReplicas", "missing, needed: the most replicas of each of its workloads");
    target.min_replicas = std::max(1, min);
    target.max_replicas = max;
    if (target.min_replicas > target.max_replicas)
      error("maxReplicas", fmt::format("found {}, allowed: at least minReplicas ({})", max, target.min_replicas));
  }

  void check_policy(const AgentModel& out) {
    const PolicyFile& policy = *out.policy;
    if (policy.observation != out.observation) {
      const auto [trained, sees] = std::mismatch(policy.observation.begin(), policy.observation.end(),
                                                 out.observation.begin(), out.observation.end());
      auto name = [](auto at, const std::vector<Feature>& all) { return at == all.end() ? "nothing" : at->name; };
      error("policy", fmt::format("{} was trained on other observations: {}, the first that differs '{}'; this agent "
                                  "sees {}, there '{}'",
                                  spec_->policy, policy.observation.size(), name(trained, policy.observation),
                                  out.observation.size(), name(sees, out.observation)));
    }
    const auto interval = policy.provenance.find(kPolicyInterval);
    if (interval != policy.provenance.end() && interval->second != fmt::format("{:.9g}", out.interval.to_seconds()))
      diagnostics_.push_back({Severity::Warning, spec_->mark, "spec.policies.agents." + spec_->name + ".interval",
                              fmt::format("found {:.9g}s, {} was trained with {}s", out.interval.to_seconds(),
                                          spec_->policy, interval->second)});
    if (!(policy.network.actions == out.actions))
      error("policy", fmt::format("{} was trained with other actions", spec_->policy));
  }

  const Scenario& scenario_;
  const ClusterCompiler& cluster_;
  Model& model_;
  std::vector<Diagnostic>& diagnostics_;
  const AgentSpec* spec_ = nullptr;
};

}  // namespace

void compile_agents(const Scenario& scenario, const ClusterCompiler& cluster, Model& model,
                    std::vector<Diagnostic>& diagnostics) {
  AgentCompiler agents(scenario, cluster, model, diagnostics);
  for (const AgentSpec& spec : scenario.agents) agents.compile(spec);
  for (const auto& [name, spec] : scenario.shields) agents.shield(name, spec);
}

}  // namespace kisim
