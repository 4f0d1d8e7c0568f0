#include "policy/feature_gates.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace kisim {

namespace {

// What kisim does about a gate.
enum class Acts : uint8_t {
  Follows,  // whatever its value says
  AsOn,     // always as if it were on
  AsOff     // always as if it were off
};

constexpr int kFirstMinor = 34, kLastMinor = 36;

struct Gate {
  std::string_view name;
  // Per version, 1.34 first: '1' on, '0' off, 'L' on and locked, '-' absent.
  std::string_view states;
  Acts acts;

  char state(int minor) const {
    return states[static_cast<size_t>(std::clamp(minor, kFirstMinor, kLastMinor) - kFirstMinor)];
  }
};

// By name.
constexpr Gate kGates[] = {
    {"ClearingNominatedNodeNameAfterBinding", "011", Acts::AsOn},
    {"DRAAdminAccess", "11L", Acts::AsOff},
    {"DRAConsumableCapacity", "001", Acts::AsOff},
    {"DRADeviceBindingConditions", "001", Acts::AsOff},
    {"DRADeviceTaintRules", "-00", Acts::AsOff},
    {"DRADeviceTaints", "001", Acts::AsOff},
    {"DRAExtendedResource", "001", Acts::AsOff},
    {"DRAListTypeAttributes", "--0", Acts::AsOff},
    {"DRANodeAllocatableResources", "--0", Acts::AsOff},
    {"DRAPartitionableDevices", "001", Acts::AsOff},
    {"DRAPrioritizedList", "111", Acts::AsOff},
    {"DRAResourceClaimDeviceStatus", "111", Acts::AsOff},
    {"DRAResourcePoolStatus", "--0", Acts::AsOff},
    {"DRASchedulerFilterTimeout", "111", Acts::AsOff},
    {"DRAWorkloadResourceClaims", "--0", Acts::AsOff},
    {"DynamicResourceAllocation", "1LL", Acts::AsOff},
    {"GangScheduling", "-00", Acts::AsOff},
    {"GenericWorkload", "-00", Acts::AsOff},
    {"HPAConfigurableTolerance", "011", Acts::Follows},
    {"HPAScaleToZero", "000", Acts::Follows},
    {"ImageVolume", "01L", Acts::AsOff},
    {"InPlacePodLevelResourcesVerticalScaling", "-01", Acts::AsOff},
    {"InPlacePodVerticalScaling", "1LL", Acts::AsOff},
    {"MatchLabelKeysInPodAffinity", "LLL", Acts::AsOn},
    {"MatchLabelKeysInPodTopologySpread", "111", Acts::AsOn},
    {"MatchLabelKeysInPodTopologySpreadSelectorMerge", "111", Acts::AsOn},
    {"NodeDeclaredFeatures", "-01", Acts::AsOff},
    {"NodeInclusionPolicyInPodTopologySpread", "LLL", Acts::AsOn},
    {"NominatedNodeNameForExpectation", "011", Acts::AsOff},
    {"OpportunisticBatching", "-11", Acts::AsOff},
    {"PodLevelResources", "111", Acts::AsOn},
    {"PodSchedulingReadiness", "LLL", Acts::AsOn},
    {"PodTopologyLabelsAdmission", "011", Acts::AsOff},
    {"RestartAllContainersOnContainerExits", "-01", Acts::AsOff},
    {"SchedulerAsyncAPICalls", "100", Acts::AsOff},
    {"SchedulerAsyncPreemption", "111", Acts::AsOn},
    {"SchedulerPopFromBackoffQ", "111", Acts::AsOn},
    {"SchedulerQueueingHints", "LLL", Acts::AsOn},
    {"SidecarContainers", "LLL", Acts::AsOn},
    {"StorageCapacityScoring", "000", Acts::AsOff},
    {"TaintTolerationComparisonOperators", "-00", Acts::AsOff},
    {"TopologyAwareWorkloadScheduling", "--0", Acts::AsOff},
    {"WorkloadAwarePreemption", "--0", Acts::AsOff},
    {"WorkloadWithJob", "--0", Acts::AsOff},
};

const Gate* find_gate(std::string_view name) {
  auto at = std::find_if(std::begin(kGates), std::end(kGates), [&](const Gate& gate) { return gate.name == name; });
  return at == std::end(kGates) ? nullptr : at;
}

}  // namespace

FeatureGates::FeatureGates(int minor) : minor_(minor) {
  for (const Gate& gate : kGates) {
    char state = gate.state(minor);
    values_[std::string(gate.name)] = state == '1' || state == 'L';
  }
}

std::optional<std::string> FeatureGates::set(const std::string& name, bool on) {
  const Gate* gate = find_gate(name);
  if (!gate || gate->state(minor_) == '-')
    return fmt::format("unrecognized feature gate: {}, allowed: {}", name, fmt::join(names(), ", "));
  if (gate->state(minor_) == 'L' && !on)
    return fmt::format("cannot set feature gate {} to false, feature is locked to true", name);
  values_[name] = on;
  return std::nullopt;
}

bool FeatureGates::modelled(const std::string& name) const {
  Acts acts = find_gate(name)->acts;
  return acts == Acts::Follows || (acts == Acts::AsOn) == enabled(name);
}

std::vector<std::string> FeatureGates::names() const {
  std::vector<std::string> out;
  for (const Gate& gate : kGates)
    if (gate.state(minor_) != '-') out.emplace_back(gate.name);
  return out;
}

}  // namespace kisim
