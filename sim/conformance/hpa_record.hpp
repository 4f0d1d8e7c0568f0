#pragma once
// Records of the HorizontalPodAutoscaler controller: how their parts are read, and the comparisons of each set.

#include "cluster/cluster.hpp"
#include "conformance/records.hpp"
#include "policy/autoscaler.hpp"
#include "policy/recorded_target.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kisim::conformance {

// "v1.36.2" -> 36; without a version, the records are of 1.34.
int32_t hpa_minor(const Json& record);

// The policy with the flags and gates of a record; what `params` does not name has its default.
std::shared_ptr<const Autoscaler> make_hpa(const std::map<std::string, std::string>& params);
// The parameters of a record of a sequence: its `controller` and `featureGates`.
std::map<std::string, std::string> hpa_params(const Json& record);

// Read as a manifest is. Throws InputError where it is none.
HorizontalPodAutoscaler read_hpa(const Json& object, const std::string& id);
// One template per pod, each a core/v1 Pod or what has its spec: names and requests of its containers.
IdVector<TemplateId, PodTemplateModel> read_pod_templates(const std::vector<Json>& pods, const std::string& id);

ObservedPod::Phase pod_phase(const std::string& text);
ObservedPod::Ready pod_ready(const std::string& text);

// The present value of a metric as the status of the object has it.
std::string shown(const MetricStatus& status);
std::string shown_status(const Json& status);  // null: an invalid metric

// Each returns the number of decisions compared and fills in what differs.
size_t compare_hpa_calc(const Json& record, std::vector<std::string>& differences);
size_t compare_hpa_behavior(const Json& record, std::vector<std::string>& differences);
size_t compare_hpa_sequence(const Json& record, std::vector<std::string>& differences);

}  // namespace kisim::conformance
