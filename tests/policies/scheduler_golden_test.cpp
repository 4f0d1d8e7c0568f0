// The scheduler plugins against decisions of the real kube-scheduler, read in place; see the README beside them for
// the fields. Plugins that do not exist here are left out of the comparison, so their nodes count as feasible. Skipped
// where the records are absent.

#include "core/quantity.hpp"
#include "kube/scheduler_fixture.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <map>
#include <set>

namespace kisim {
namespace {

using namespace test;
using Json = nlohmann::json;
using Amounts = std::map<std::string, int64_t>;

std::vector<Json> read_records(const std::string& path) {
  std::vector<Json> records;
  FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
  REQUIRE(pipe);
  std::string line;
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    records.push_back(Json::parse(line));
    line.clear();
  }
  pclose(pipe);
  return records;
}

const Json& at(const Json& object, const std::string& key) {
  static const Json none;
  return object.is_object() && object.contains(key) ? object[key] : none;
}
std::string text(const Json& object, const std::string& key) { return object.value(key, std::string()); }

// --- objects

Amounts parse_amounts(const Json& list) {
  Amounts out;
  if (!list.is_object()) return out;
  for (const auto& [name, value] : list.items()) {
    Quantity q = Quantity::parse(value.is_string() ? value.get<std::string>() : value.dump()).value();
    out[name] = name == "cpu" ? q.milli_value() : q.value();
  }
  return out;
}

// Requests, and limits where a request is absent, as the API server fills them in.
Amounts requests_of(const Json& object) {
  Amounts out = parse_amounts(at(at(object, "resources"), "requests"));
  out.merge(parse_amounts(at(at(object, "resources"), "limits")));
  return out;
}

void add(Amounts& sum, const Amounts& more) {
  for (const auto& [name, value] : more) sum[name] += value;
}
void raise(Amounts& most, const Amounts& other) {
  for (const auto& [name, value] : other) most[name] = std::max(most[name], value);
}

// The sum over containers and sidecars, or the most that an init container needs; `fill` stands in for an absent cpu
// or memory of a container.
Amounts container_requests(const Json& spec, const Amounts& fill) {
  Amounts sum, sidecars, most;
  for (const Json& c : spec["containers"]) {
    Amounts own = requests_of(c);
    own.insert(fill.begin(), fill.end());
    add(sum, own);
  }
  for (const Json& c : at(spec, "initContainers")) {
    Amounts own = requests_of(c);
    own.insert(fill.begin(), fill.end());
    Amounts peak = sidecars;
    add(peak, own);
    raise(most, peak);
    if (text(c, "restartPolicy") != "Always") continue;
    add(sidecars, own);
    add(sum, own);
  }
  raise(sum, most);
  return sum;
}

const Amounts kFill{{"cpu", 100}, {"memory", 200 * kMiB}};

struct PodRequests {
  Amounts effective, nonzero;
  bool pod_level = false;
};

PodRequests pod_requests(const Json& spec) {
  PodRequests out;
  out.effective = container_requests(spec, {});
  out.nonzero = container_requests(spec, kFill);
  if (Amounts pod_level = requests_of(spec); !pod_level.empty()) {
    out.pod_level = true;
    for (const auto& [name, value] : pod_level) out.effective[name] = value;
    out.nonzero = out.effective;
    out.nonzero.insert(kFill.begin(), kFill.end());
  }
  Amounts overhead = parse_amounts(at(spec, "overhead"));
  add(out.effective, overhead);
  add(out.nonzero, overhead);
  return out;
}

TaintEffect parse_effect(const std::string& name) {
  if (name == "PreferNoSchedule") return TaintEffect::PreferNoSchedule;
  return name == "NoExecute" ? TaintEffect::NoExecute : TaintEffect::NoSchedule;
}

std::vector<SelectorRequirement> parse_requirements(const Json& list) {
  static const std::map<std::string, SelectorOperator> operators{
      {"In", SelectorOperator::In},         {"NotIn", SelectorOperator::NotIn},
      {"Exists", SelectorOperator::Exists}, {"DoesNotExist", SelectorOperator::DoesNotExist},
      {"Gt", SelectorOperator::Gt},         {"Lt", SelectorOperator::Lt}};
  std::vector<SelectorRequirement> out;
  for (const Json& r : list)
    out.push_back({text(r, "key"), operators.at(text(r, "operator")), r.value("values", std::vector<std::string>())});
  return out;
}

NodeSelectorTerm parse_term(const Json& term) {
  return {parse_requirements(at(term, "matchExpressions")), parse_requirements(at(term, "matchFields"))};
}

Node parse_node(const Json& object) {
  Node n;
  n.meta.name = object["metadata"]["name"];
  for (const auto& [key, value] : at(object["metadata"], "labels").items()) n.meta.labels.emplace_back(key, value);
  for (const auto& [name, value] : parse_amounts(object["status"]["allocatable"]))
    n.allocatable.emplace_back(name, value);
  for (const Json& t : at(at(object, "spec"), "taints"))
    n.taints.push_back({text(t, "key"), text(t, "value"), parse_effect(text(t, "effect"))});
  n.unschedulable = at(object, "spec").is_object() && object["spec"].value("unschedulable", false);
  return n;
}

PodSpec parse_pod(const Json& spec) {
  PodSpec out;
  for (const auto& [name, value] : pod_requests(spec).effective) out.overhead.emplace_back(name, value);
  for (const auto& [key, value] : at(spec, "nodeSelector").items()) out.node_selector.emplace_back(key, value);
  for (const Json& t : at(spec, "tolerations")) {
    Toleration toleration{text(t, "key"), TolerationOperator::Equal, text(t, "value"), {}, {}};
    if (text(t, "operator") == "Exists") toleration.op = TolerationOperator::Exists;
    if (std::string effect = text(t, "effect"); !effect.empty()) toleration.effect = parse_effect(effect);
    out.tolerations.push_back(std::move(toleration));
  }
  const Json& affinity = at(at(spec, "affinity"), "nodeAffinity");
  if (const Json& required = at(affinity, "requiredDuringSchedulingIgnoredDuringExecution"); required.is_object()) {
    out.required_node_affinity.emplace();
    for (const Json& t : at(required, "nodeSelectorTerms")) out.required_node_affinity->push_back(parse_term(t));
  }
  for (const Json& t : at(affinity, "preferredDuringSchedulingIgnoredDuringExecution"))
    out.preferred_node_affinity.push_back({t["weight"], parse_term(t["preference"])});
  return out;
}

// --- comparison

const std::set<std::string> kOurs{"NodeUnschedulable", "NodeName",        "TaintToleration",
                                  "NodeAffinity",      "PreFilterResult", "NodeResourcesFit"};
const std::set<std::string> kOurScores{"TaintToleration", "NodeAffinity", "NodeResourcesFit",
                                       "NodeResourcesBalancedAllocation"};

struct Comparison {
  size_t cycles = 0, verdicts = 0, scores = 0;
  std::vector<std::string> differences;

  void expect(const std::string& what, const std::string& expected, const std::string& found) {
    if (expected != found) differences.push_back(what + ": expected " + expected + ", found " + found);
  }
};

std::string joined(std::vector<std::string> reasons) {
  std::sort(reasons.begin(), reasons.end());
  return fmt::format("{}", fmt::join(reasons, "|"));
}

class Record {
 public:
  Record(const Json& record, int kubernetes_minor, Comparison& out)
      : record_(record), out_(out), fixture_(nodes(record), specs(record), config(kubernetes_minor)) {
    for (size_t n = 0; n < fixture_.model.nodes.size(); ++n)
      node_ids_[fixture_.model.nodes[NodeId(n)].object.meta.name] = NodeId(n);
    size_t t = 0;
    for (const Json* pod : pods(record)) {
      PodTemplateModel& model = fixture_.model.templates[TemplateId(t++)];
      PodRequests requests = pod_requests((*pod)["spec"]);
      model.nonzero_cpu = requests.nonzero["cpu"];
      model.nonzero_memory = requests.nonzero["memory"];
      pod_level_.push_back(requests.pod_level);
    }
  }

  void compare() {
    size_t t = 0;
    for (const Json& object : record_["objects"])
      if (object["kind"] == "Pod")
        placed_[name_of(object)] = fixture_.place(t++, node_ids_.at(object["spec"]["nodeName"]).value);
    for (const Json& step : record_["steps"]) {
      if (step["op"] == "schedule") schedule(step, t++);
      if (step["op"] == "delete")
        for (const Json& name : step["names"]) fixture_.remove(placed_.at(name));
    }
  }

 private:
  static std::vector<const Json*> pods(const Json& record) {
    std::vector<const Json*> out;
    for (const Json& object : record["objects"])
      if (object["kind"] == "Pod") out.push_back(&object);
    for (const Json& step : record["steps"])
      if (step["op"] == "schedule") out.push_back(&step["pod"]);
    return out;
  }
  static std::vector<Node> nodes(const Json& record) {
    std::vector<Node> out;
    for (const Json& object : record["objects"])
      if (object["kind"] == "Node") out.push_back(parse_node(object));
    return out;
  }
  static std::vector<PodSpec> specs(const Json& record) {
    std::vector<PodSpec> out;
    for (const Json* pod : pods(record)) out.push_back(parse_pod((*pod)["spec"]));
    return out;
  }
  static SchedulerConfig config(int kubernetes_minor) {
    SchedulerConfig config = default_config();
    config.kubernetes_minor = kubernetes_minor;
    return config;
  }
  static std::string name_of(const Json& pod) {
    return pod["metadata"].value("namespace", std::string("default")) + "/" +
           pod["metadata"]["name"].get<std::string>();
  }

  void schedule(const Json& step, size_t t) {
    const Json& expect = step["expect"];
    if (expect["result"] == "Ignored") return;
    PodId pod = fixture_.create(t);
    CycleProbe probe(fixture_, pod);
    where_ = record_["id"].get<std::string>() + " " + name_of(step["pod"]);
    ++out_.cycles;
    if (at(expect, "preFilter").is_object()) {
      out_.expect(where_, joined(expect["preFilter"]["reasons"]),
                  fixture_.scheduler_model.reasons[probe.cycle.pod_reason()]);
    } else {
      compare_verdicts(expect, probe);
      compare_scores(expect, probe, pod, t);
    }
    if (expect["result"] != "Scheduled") return;
    NodeId node = node_ids_.at(expect["node"]);
    fixture_.cluster.bind(pod, node, Time{});
    placed_[name_of(step["pod"])] = pod;
  }

  void compare_verdicts(const Json& expect, CycleProbe& probe) {
    for (const Json& name : at(expect, "feasible")) compare_verdict(probe, name, "", "");
    for (const Json& group : at(expect, "rejected")) {
      std::string plugin = group["plugin"];
      bool ours = kOurs.count(plugin) > 0;
      for (const Json& name : group["nodes"]) {
        // NodePorts comes before NodeResourcesFit, so what that would say is not known.
        if (plugin == "NodePorts" && probe.verdict(node_ids_.at(name).value).starts_with("NodeResourcesFit")) continue;
        compare_verdict(probe, name, ours ? plugin + " " + text(group, "code") : "",
                        ours ? joined(group["reasons"]) : "");
      }
    }
  }

  void compare_verdict(CycleProbe& probe, const std::string& name, const std::string& verdict,
                       const std::string& reasons) {
    ++out_.verdicts;
    NodeId node = node_ids_.at(name);
    out_.expect(where_ + " on " + name, verdict, probe.verdict(node.value));
    if (probe.verdict(node.value) != verdict || verdict.empty()) return;
    out_.expect(where_ + " on " + name, reasons, joined(reasons_of(probe, node)));
  }

  std::vector<std::string> reasons_of(CycleProbe& probe, NodeId node) {
    const NodeVerdict& verdict = probe.cycle.verdict(node);
    const SchedulerModel& model = fixture_.scheduler_model;
    const SchedulerModel::Plugin& p = model.plugins[verdict.plugin];
    if (verdict.narrowed) return {model.reasons[p.narrowed_reason]};
    PluginContext c = probe.cycle.context(verdict.plugin, PodId(fixture_.cluster_state.pods.size() - 1));
    std::vector<uint32_t> indices;
    p.plugin->node_reasons(c, node, indices);
    std::vector<std::string> out;
    for (uint32_t i : indices) out.push_back(model.reasons[p.first_reason + i]);
    return out;
  }

  void compare_scores(const Json& expect, CycleProbe& probe, PodId pod, size_t t) {
    if (!expect.contains("scores")) return;
    std::vector<NodeId> feasible;
    for (const Json& name : expect["feasible"]) feasible.push_back(node_ids_.at(name));
    for (const std::string& name : kOurScores) {
      if (name == "NodeResourcesFit" && pod_level_[t]) continue;  // scores such pods by their containers
      std::vector<int64_t> found = scores_of(name, feasible, probe, pod);
      for (size_t i = 0; i < feasible.size(); ++i) {
        const Json& wanted = at(expect["scores"], name);
        out_.expect(where_ + " " + name + " of " + expect["feasible"][i].get<std::string>(),
                    wanted.is_null() ? "none" : wanted[i].dump(), found.empty() ? "none" : std::to_string(found[i]));
        ++out_.scores;
      }
    }
  }

  std::vector<int64_t> scores_of(const std::string& name, const std::vector<NodeId>& nodes, CycleProbe& probe,
                                 PodId pod) {
    size_t i = fixture_.plugin(name);
    const SchedulerModel::Plugin& p = fixture_.scheduler_model.plugins[i];
    PluginContext c = probe.cycle.context(i, pod);
    if (p.plugin->pre_score(c, nodes) == StatusCode::Skip) return {};
    std::vector<int64_t> scores(nodes.size());
    p.plugin->score(c, nodes, scores);
    p.plugin->normalize(c, nodes, scores);
    for (int64_t& score : scores) score *= p.weight;
    return scores;
  }

  const Json& record_;
  Comparison& out_;
  SchedulerFixture fixture_;
  std::map<std::string, NodeId> node_ids_;
  std::map<std::string, PodId> placed_;
  std::vector<bool> pod_level_;
  std::string where_;
};

void compare_set(const std::string& path, int kubernetes_minor) {
  std::string file = shared_file(path);
  if (file.empty()) return;
  Comparison out;
  for (const Json& record : read_records(file)) Record(record, kubernetes_minor, out).compare();
  for (size_t i = 0; i < std::min<size_t>(out.differences.size(), 5); ++i) UNSCOPED_INFO(out.differences[i]);
  UNSCOPED_INFO(out.cycles << " cycles, " << out.verdicts << " verdicts, " << out.scores << " scores");
  CHECK(out.differences.size() == 0);
  CHECK(out.cycles > 0);
  CHECK(out.scores > 0);
}

TEST_CASE("verdicts, reasons and scores of kube-scheduler 1.36") {
  compare_set("goldens/kube-scheduler-1.36/decisions.jsonl.gz", 36);
}
TEST_CASE("verdicts, reasons and scores of kube-scheduler 1.34") {
  compare_set("goldens/kube-scheduler/decisions.jsonl.gz", 34);
}

}  // namespace
}  // namespace kisim
