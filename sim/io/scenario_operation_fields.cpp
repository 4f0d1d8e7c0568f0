// Fields of what happens to the cluster beside its load: faults, actions, how its pods behave, who adds nodes and who
// evicts.

#include "io/scenario_fields.hpp"
#include "kube/cluster_autoscaler_expander.hpp"

namespace kisim {

namespace {

using Shape = Nested::Shape;
using OpenByMark = std::function<Fields(const SourceMark&)>;

Nested one(OpenByMark open) {
  return {Shape::One, [=](const std::string&, const SourceMark& mark) { return open(mark); }, ""};
}

Nested list(OpenByMark open) {
  return {Shape::List, [=](const std::string&, const SourceMark& mark) { return open(mark); }, ""};
}

// ------------------------------------------------------------------------------------------------------------ faults

Fields declare(FaultSpec& fault, FaultDraft& draft) {
  Fields f;
  f.add("kind", &draft.kind, "what happens")
      .one_of({"node-loss", "zone-outage", "gpu-failure", "registry-failure", "registry-slow", "crash-loop", "oom-kill",
               "metrics-outage", "nvlink-failure"})
      .required();
  f.add("at", &fault.at, "when it begins; left out, the first one comes after `every`").in(Unit::Seconds);
  f.add("every", &fault.every, "from the end of one to the begin of the next; left out, it happens once")
      .in(Unit::Seconds)
      .above(0);
  f.add("for", &fault.for_, "how long it lasts; 0 = for good").in(Unit::Seconds);
  f.add("node", &fault.node, "node-loss, gpu-failure, nvlink-failure: the node that breaks");
  f.add("nodeSelector", &fault.node_selector, "instead of node: every node with these labels breaks by itself");
  f.add("zone", &fault.zone, "zone-outage: topology.kubernetes.io/zone of the nodes that stop");
  f.add("workload", &fault.workload, "crash-loop, oom-kill: whose pods fail");
  f.add("gpus", &fault.gpus,
        "gpu-failure: GPUs that become unhealthy; nvlink-failure: GPUs whose NVLinks go down, which the device plugin "
        "minds when it chooses; engines' times do not")
      .min(1)
      .max(1024);
  f.add("factor", &fault.factor, "registry-slow: how many times as long pulls take").min(1).max(1e6);
  return f;
}

// ----------------------------------------------------------------------------------------------------------- actions

Fields declare_reconfigure(ActionSpec& action, ActionDraft& draft) {
  Fields f;
  f.add("node", &draft.reconfigure, "node").required();
  f.add("migConfig", &action.mig_config, "its new label nvidia.com/mig.config").required();
  f.add("takes", &action.takes, "from the last pod's end until the node has its new devices")
      .in(Unit::Seconds)
      .required();
  f.add("gracePeriod", &action.grace_period, "for pods to end; left out, their own");
  f.add("timeout", &action.timeout, "when evicting is given up, and the GPUs stay as they are; left out, never")
      .above(0);
  return f;
}

Fields declare(ActionSpec& action, ActionDraft& draft) {
  Fields f;
  f.add("at", &action.at, "when").required();
  f.add("apply", &draft.apply, "files, directories and inline objects: new objects, and new states of known ones")
      .or_mapping();
  f.add("delete", &draft.delete_, "KIND/NAME");
  f.add("cascade", &draft.cascade, "delete: what happens to the pods").one_of({"background", "foreground", "orphan"});
  f.add("scale", &draft.scale, "KIND/NAME");
  f.add("replicas", &action.replicas, "scale: pods wanted").max(1e6);
  f.add("restart", &draft.restart, "KIND/NAME, as kubectl rollout restart");
  f.add("cordon", &draft.cordon, "node");
  f.add("uncordon", &draft.uncordon, "node");
  f.add("drain", &draft.drain, "node");
  f.add("force", &action.force, "drain: evict pods that no controller brings back, too");
  f.add("ignoreDaemonSets", &action.ignore_daemon_sets, "drain: leave the pods of DaemonSets where they are");
  f.add("deleteEmptyDirData", &action.delete_empty_dir_data, "drain: evict pods with emptyDir volumes, too");
  f.add("gracePeriod", &action.grace_period, "drain: for pods to end; left out, their own");
  f.add("timeout", &action.timeout, "drain: when it gives up; left out, never").above(0);
  f.add("reconfigure", one([&](const SourceMark&) { return declare_reconfigure(action, draft); }),
        "cuts GPUs of a node anew, as mig-manager does: pods that hold one of them are evicted first");
  return f;
}

// -------------------------------------------------------------------------------------------------------------- pods

Fields declare(ModelSpec::Startup& startup) {
  Fields f;
  f.add("image", &startup.image, "container image to pull where the node lacks it").in(Unit::Bytes);
  f.add("weights", &startup.weights, "weights to load").in(Unit::Bytes);
  f.add("imageBandwidth", &startup.image_bandwidth, "registry to node").in(Unit::BytesPerSecond).min(1);
  f.add("weightsBandwidth", &startup.weights_bandwidth, "storage to GPU").in(Unit::BytesPerSecond).min(1);
  f.add("container", &startup.container, "sandbox, container and CUDA start").in(Unit::Seconds).or_fitted();
  f.add("engine", &startup.engine, "compilation, graph capture and warm-up as one figure, beside those below")
      .in(Unit::Seconds)
      .or_fitted();
  f.add("weightsFrom", &startup.weights_from,
        "where a node gets weights that it has never had, and then keeps: its disk has them, the registry, or a node "
        "with a ready replica and else the registry")
      .one_of({"disk", "registry", "peer"});
  f.add("weightsRegistryBandwidth", &startup.registry_bandwidth, "registry to node").in(Unit::BytesPerSecond).min(1);
  f.add("peerBandwidth", &startup.peer_bandwidth, "node to node; the default is one 200 Gbit/s link")
      .in(Unit::BytesPerSecond)
      .min(1);
  f.add("compile", &startup.compile, "of the model's code; nothing where the node has kept it")
      .in(Unit::Seconds)
      .or_fitted();
  f.add("graphCapture", &startup.graph_capture, "of CUDA graphs").in(Unit::Seconds).or_fitted();
  f.add("warmup", &startup.warmup, "profiling, KV cache and first requests").in(Unit::Seconds).or_fitted();
  f.add("engineDefaults", &startup.engine_defaults,
        "compile, graphCapture and warmup that are left out are those published of the engine");
  return f;
}

Fields declare(PodBehaviourSpec& pods) {
  Fields f;
  f.add("selector", &pods.selector, "labels of the pods; without it, pods annotated kisim.dev/pods");
  f.add("run", &pods.run, "how long the containers run before they exit; left out, for ever").in(Unit::Seconds);
  f.add("failure", &pods.failure, "probability that such a run ends with a failure").min(0).max(1);
  f.add("cpu", &pods.cpu, "what a pod uses without requests").in(Unit::Cores);
  f.add("memory", &pods.memory, "what a pod uses without requests").in(Unit::Bytes);
  f.add("cpuPerRequest", &pods.cpu_per_request, "more for each request that it serves").in(Unit::Cores);
  f.add("memoryPerRequest", &pods.memory_per_request, "more for each request that it serves").in(Unit::Bytes);
  f.add("startup", one([&pods](const SourceMark&) { return declare(*(pods.startup = ModelSpec::Startup())); }),
        "cold start of pods without a model, drawn per pod");
  return f;
}

// ---------------------------------------------------------------------------------------------------- who adds nodes

Fields declare(NodeGroupSpec& group, Value& node) {
  Fields f;
  f.add("node", &node, "what a new node is like: a Node, or a file that holds it").or_mapping().required();
  f.add("min", &group.min, "nodes that stay");
  f.add("max", &group.max, "nodes at most").max(100'000).required();
  f.add("initial", &group.initial, "nodes at the start");
  f.add("provision", &group.provision, "from the request for a node until it is ready").in(Unit::Seconds);
  f.add("failure", &group.failure, "share of the requests that fail").min(0).max(1);
  f.add("price", &group.price, "of a node, for the expander price").in(Unit::PerHour);
  f.add("priority", &group.priority, "for the expander priority");
  return f;
}

Nested declare_node_groups(ScenarioDraft& draft, ClusterAutoscalerSpec& autoscaler) {
  return {Shape::ByName,
          [&draft, &autoscaler](const std::string& name, const SourceMark& mark) {
            NodeGroupSpec& group = autoscaler.node_groups.emplace_back();
            group.name = name;
            group.mark = mark;
            return declare(group, draft.group_nodes.emplace_back());
          },
          ""};
}

void declare_scale_down(ClusterAutoscalerSpec& a, Fields& f) {
  f.add("scaleDownEnabled", &a.scale_down_enabled, "whether nodes go that are not needed");
  f.add("scaleDownUtilizationThreshold", &a.scale_down_utilization_threshold,
        "share requested below which nodes may go")
      .min(0)
      .max(1);
  f.add("scaleDownUnneededTime", &a.scale_down_unneeded_time, "how long a node is not needed before it goes");
  f.add("scaleDownUnreadyTime", &a.scale_down_unready_time, "the same for a node that is not ready");
  f.add("scaleDownDelayAfterAdd", &a.scale_down_delay_after_add, "from a new node until nodes may go again");
  f.add("scaleDownDelayAfterDelete", &a.scale_down_delay_after_delete,
        "from a removed node until nodes may go again; left out, scanInterval");
  f.add("scaleDownDelayAfterFailure", &a.scale_down_delay_after_failure,
        "from a failed removal until nodes may go again");
  f.add("maxGracefulTermination", &a.max_graceful_termination, "for the pods of a node to end");
  f.add("skipNodesWithSystemPods", &a.skip_nodes_with_system_pods, "nodes with pods of kube-system stay");
  f.add("skipNodesWithLocalStorage", &a.skip_nodes_with_local_storage, "nodes with pods that hold local data stay");
}

Fields declare(ScenarioDraft& draft, ClusterAutoscalerSpec& a) {
  std::vector<std::string> expanders;
  for (const ExpanderDoc& expander : expander_docs()) expanders.push_back(expander.name);
  Fields f;
  f.add("nodeGroups", declare_node_groups(draft, a), "groups of equal nodes, by name").required();
  f.add("expander", &a.expander, "which group grows: each narrows what the one before left").one_of(expanders);
  f.add("scanInterval", &a.scan_interval, "from look to look at the cluster").min(1e-3);
  f.add("newPodScaleUpDelay", &a.new_pod_scale_up_delay, "younger pods call for no node");
  f.add("maxNodeProvisionTime", &a.max_node_provision_time, "when a request for a node has failed");
  f.add("maxNodesTotal", &a.max_nodes_total, "of the cluster; 0 = no limit");
  declare_scale_down(a, f);
  return f;
}

// --------------------------------------------------------------------------------------------------------- latencies

Nested client_limit(ClientLimit& limit) {
  return one([&limit](const SourceMark&) {
    Fields f;
    f.add("qps", &limit.qps, "calls a second; 0 = no limit").min(0);
    f.add("burst", &limit.burst, "calls at once").min(0);
    return f;
  });
}

Fields declare(Latencies& latencies) {
  Fields f;
  f.add("watch", &latencies.watch, "from a change until controllers and kubelets see it");
  f.add("bind", &latencies.bind, "of the scheduler's binding call");
  f.add("pleg", &latencies.pleg, "from look to look of a kubelet at its containers");
  f.add("controllerManager", client_limit(latencies.controller_manager), "its client's limit");
  f.add("scheduler", client_limit(latencies.scheduler), "its client's limit");
  f.add("descheduler", client_limit(latencies.descheduler), "its client's limit");
  return f;
}

}  // namespace

Nested declare_faults(ScenarioDraft& draft) {
  return list([&draft](const SourceMark& mark) {
    FaultSpec& fault = draft.scenario.faults.emplace_back();
    fault.mark = mark;
    return declare(fault, draft.faults.emplace_back());
  });
}

Nested declare_actions(ScenarioDraft& draft) {
  return list([&draft](const SourceMark& mark) {
    ActionSpec& action = draft.scenario.actions.emplace_back();
    action.mark = mark;
    return declare(action, draft.actions.emplace_back());
  });
}

Nested declare_pods(Scenario& scenario) {
  return {Shape::ByName,
          [&scenario](const std::string& name, const SourceMark& mark) {
            PodBehaviourSpec& pods = scenario.pods.emplace_back();
            pods.name = name;
            pods.mark = mark;
            return declare(pods);
          },
          ""};
}

Nested declare_cluster_autoscaler(ScenarioDraft& draft) {
  return one([&draft](const SourceMark& mark) {
    ClusterAutoscalerSpec& autoscaler = draft.scenario.cluster_autoscaler.emplace();
    autoscaler.mark = mark;
    return declare(draft, autoscaler);
  });
}

Nested declare_descheduler(ScenarioDraft& draft) {
  return one([&draft](const SourceMark& mark) {
    DeschedulerSpec& descheduler = draft.scenario.descheduler.emplace();
    descheduler.mark = mark;
    Fields f;
    f.add("policy", &draft.descheduler_policy, "DeschedulerPolicy, or a file that holds it").or_mapping().required();
    f.add("interval", &descheduler.interval, "from cycle to cycle; 0 = one cycle, at `at`");
    f.add("at", &descheduler.at, "of the first cycle");
    f.add("dryRun", &descheduler.dry_run, "count what it would evict, and evict nothing");
    return f;
  });
}

Nested declare_mig_policy(ScenarioDraft& draft) {
  return one([&draft](const SourceMark& mark) {
    MigPolicySpec& mig = draft.scenario.mig_policy.emplace();
    mig.mark = mig.policy.mark = mark;
    Fields f;
    f.add("name", &mig.policy.name, "see `kisim list policies`; further fields are its parameters").required();
    f.add("configs", &mig.configs, "values of the label nvidia.com/mig.config that it may choose").required();
    f.add("nodeSelector", &mig.node_selector, "labels of the nodes that it looks after; left out, all with MIG");
    f.add("interval", &mig.interval, "from look to look at the cluster").min(1e-3);
    f.add("takes", &mig.takes, "from the last pod's end until a node has its new devices").in(Unit::Seconds).required();
    f.add("gracePeriod", &mig.grace_period, "for pods to end; left out, their own");
    f.add("timeout", &mig.timeout, "when evicting is given up, and the GPUs stay as they are; left out, never")
        .above(0);
    f.others = &mig.policy.params;
    return f;
  });
}

Nested declare_latencies(Scenario& scenario) {
  auto open = [&scenario](const std::string& word, const SourceMark&) {
    scenario.latencies = word == "upstream" ? Latencies::upstream() : Latencies();
    return declare(scenario.latencies);
  };
  return {Shape::One, open, "", {"none", "upstream"}};
}

Nested declare_startup(ModelSpec::Startup& startup) {
  return one([&startup](const SourceMark&) { return declare(startup); });
}

}  // namespace kisim
