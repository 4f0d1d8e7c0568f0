#include "policy/registry.hpp"
#include "policy/scheduler.hpp"

namespace kisim {
namespace {

bool conflict(const std::vector<HostPort>& wanted, const std::vector<HostPort>& used) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const HostPort& w) {
    return std::any_of(used.begin(), used.end(), [&](const HostPort& u) { return w.conflicts(u); });
  });
}

std::string port_text(const HostPort& port) {
  const char* protocol = port.protocol == HostPort::Protocol::TCP   ? "TCP"
                         : port.protocol == HostPort::Protocol::UDP ? "UDP"
                                                                    : "SCTP";
  return fmt::format("{} {}", protocol, port.port);
}

// Of each template with host ports: how many pods on a node hold one that it wants.
struct PortData : PluginData {
  TopologyKeyId node_key;
  IdVector<TemplateId, CounterId> holders;
};

// plugins/nodeports/node_ports.go
class NodePorts : public SchedulerPlugin {
 public:
  ExtensionPoints points() const override { return {ExtensionPoint::PreFilter, ExtensionPoint::Filter}; }
  Reads filter_reads() const override { return Reads::NodePods; }

  std::unique_ptr<const PluginData> prepare(Preparation& p) const override {
    auto data = std::make_unique<PortData>();
    data->node_key = p.counters.key("");
    std::vector<TemplateId> with_ports;
    for (size_t t = 0; t < p.model.templates.size(); ++t)
      if (!p.model.templates[TemplateId(t)].host_ports.empty()) with_ports.push_back(TemplateId(t));
    data->holders.resize(p.model.templates.size());
    for (TemplateId wanting : with_ports) {
      DomainCounter counter;
      counter.key = data->node_key;
      for (TemplateId holding : with_ports)
        if (conflict(p.model.templates[wanting].host_ports, p.model.templates[holding].host_ports))
          counter.weights.emplace_back(holding, 1);
      data->holders[wanting] = p.counters.add(std::move(counter));
    }
    return data;
  }

  StatusCode pre_filter(PluginContext& c, NodeSet&) const override {
    return c.model.host_ports.empty() ? StatusCode::Skip : StatusCode::Success;
  }

  void filter(PluginContext& c, std::span<const NodeId> nodes, std::span<StatusCode> codes) const override {
    const PortData& data = c.data_as<PortData>();
    CounterId holders = data.holders[c.pod_template];
    for (size_t i = 0; i < nodes.size(); ++i)
      if (c.cluster.count(holders, c.cluster.domain(data.node_key, nodes[i])) > 0) codes[i] = StatusCode::Unschedulable;
  }

  ClusterEvents events() const override { return {ClusterEvent::Kind::AssignedPodDelete, ClusterEvent::Kind::NodeAdd}; }
  bool queueing_hint(PluginContext& c, const ClusterEvent& event) const override {
    return event.kind == ClusterEvent::Kind::NodeAdd ||
           conflict(c.model.host_ports, c.cluster.pod_template(event.pod_template).host_ports);
  }

  std::vector<std::string> reasons(const ClusterModel&, int) const override {
    return {"node(s) didn't have free ports for the requested pod ports"};
  }
  void remedies(PluginContext& c, NodeId node, std::vector<Remedy>& out) const override {
    for (const HostPort& port : c.model.host_ports) {
      bool taken = std::any_of(c.cluster.pods_on(node).begin(), c.cluster.pods_on(node).end(),
                               [&](PodId pod) { return conflict({port}, c.cluster.template_of(pod).host_ports); });
      if (!taken) continue;
      out.push_back({"give up host port " + port_text(port), [port](PodTemplate& pod) {
                       for (auto* list : {&pod.spec.containers, &pod.spec.init_containers})
                         for (Container& container : *list) std::erase(container.host_ports, port);
                     }});
    }
  }
};

KISIM_POLICY(SchedulerPlugin, "NodePorts", "no node where another pod holds a host port that the pod wants", {},
             [](const Params&) -> std::unique_ptr<const SchedulerPlugin> { return std::make_unique<NodePorts>(); });

}  // namespace
}  // namespace kisim
