#include "conformance/hpa_record.hpp"

#include "core/quantity.hpp"
#include "io/input.hpp"
#include "policy/registry.hpp"

namespace kisim::conformance {

namespace {

Manifests read(const Json& object, const std::string& id) {
  Manifests out;
  Diagnostics diagnostics;
  read_manifest(to_value(object, id), diagnostics, out);
  diagnostics.throw_if_errors();
  return out;
}

// The requests of a container or of a whole pod. No manifest would be admitted with some of the records' pods, whose
// own requests are smaller than those of their containers.
ResourceList read_requests(const Json& holder, const std::string& id) {
  ResourceList out;
  for (const auto& [resource, amount] : at(at(holder, "resources"), "requests").items()) {
    std::optional<Quantity> quantity = Quantity::parse(amount.is_string() ? amount.get<std::string>() : amount.dump());
    if (!quantity)
      throw InputError(Diagnostic{Severity::Error, {}, id, "found '" + amount.dump() + "', allowed: a quantity"});
    out.emplace_back(resource, resource == "cpu" ? quantity->milli_value() : quantity->value());
  }
  return out;
}

Container read_container(const Json& object, const std::string& id) {
  Container out;
  out.name = text(object, "name");
  out.requests = read_requests(object, id);
  return out;
}

std::string seconds(const Json& number) { return number.dump() + "s"; }

}  // namespace

int32_t hpa_minor(const Json& record) {
  std::string version = text(record, "kubernetesVersion");
  size_t dot = version.find('.');
  return dot == version.npos ? 34 : std::stoi(version.substr(dot + 1));
}

std::shared_ptr<const Autoscaler> make_hpa(const std::map<std::string, std::string>& params) {
  const auto* entry = Registry<Autoscaler>::instance().find("hpa");
  KISIM_INVARIANT(entry, "no policy is named hpa");
  Params filled;
  std::optional<std::string> complaint = fill_params(entry->params, params, filled);
  if (complaint) throw InputError(Diagnostic{Severity::Error, {}, "controller", *complaint});
  return entry->make(filled);
}

std::map<std::string, std::string> hpa_params(const Json& record) {
  const Json& flags = at(record, "controller");
  std::string gates;
  for (const auto& [name, on] : at(record, "featureGates").items())
    gates += fmt::format("{}{}={}", gates.empty() ? "" : ",", name, on.get<bool>());
  return {{"tolerance", flags.at("tolerance").dump()},
          {"downscaleStabilization", seconds(flags.at("downscaleStabilizationSeconds"))},
          {"cpuInitializationPeriod", seconds(flags.at("cpuInitializationPeriodSeconds"))},
          {"initialReadinessDelay", seconds(flags.at("initialReadinessDelaySeconds"))},
          {"featureGates", gates}};
}

HorizontalPodAutoscaler read_hpa(const Json& object, const std::string& id) {
  Manifests read_objects = read(object, id);
  if (read_objects.hpas.size() != 1)
    throw InputError(Diagnostic{Severity::Error, {}, id, "found no HorizontalPodAutoscaler, allowed: one"});
  return std::move(read_objects.hpas[0]);
}

IdVector<TemplateId, PodTemplateModel> read_pod_templates(const std::vector<Json>& pods, const std::string& id) {
  ClusterBuilder builder{std::vector<GpuModel>{}};
  for (const Json& pod : pods) {
    PodTemplate pod_template;
    const Json& spec = at(pod, "spec");
    for (const Json& c : at(spec, "containers")) pod_template.spec.containers.push_back(read_container(c, id));
    for (const Json& c : at(spec, "initContainers")) {
      pod_template.spec.init_containers.push_back(read_container(c, id));
      pod_template.spec.init_containers.back().sidecar = text(c, "restartPolicy") == "Always";
    }
    ResourceList requests = read_requests(spec, id);
    if (!requests.empty()) pod_template.spec.pod_requests = requests;
    builder.add_template("ns", pod_template);
  }
  return std::move(builder).build().templates;
}

ObservedPod::Phase pod_phase(const std::string& text) {
  if (text == "Pending") return ObservedPod::Phase::Pending;
  if (text == "Running") return ObservedPod::Phase::Running;
  if (text == "Succeeded") return ObservedPod::Phase::Succeeded;
  return text == "Failed" ? ObservedPod::Phase::Failed : ObservedPod::Phase::Unknown;
}

ObservedPod::Ready pod_ready(const std::string& text) {
  if (text == "True") return ObservedPod::Ready::True;
  return text == "False" ? ObservedPod::Ready::False : ObservedPod::Ready::Unknown;
}

std::string shown(const MetricStatus& status) {
  if (status.failure != MetricFailure::None) return "invalid";
  Json out = Json::object();
  if (status.average_utilization) out["averageUtilization"] = *status.average_utilization;
  if (status.average_milli_value) out["averageMilliValue"] = *status.average_milli_value;
  if (status.milli_value) out["milliValue"] = *status.milli_value;
  return out.dump();
}

std::string shown_status(const Json& status) {
  if (status.is_null()) return "invalid";
  Json out = Json::object();
  for (const char* field : {"averageUtilization", "averageMilliValue", "milliValue"})
    if (status.contains(field)) out[field] = status[field];
  return out.dump();
}

}  // namespace kisim::conformance
