#include "conformance/descheduler_record.hpp"

#include <algorithm>
#include <set>

namespace kisim {

using namespace conformance;

namespace {

using Names = std::set<std::string>;
using Counts = std::map<std::string, int64_t>;

constexpr const char *kRemoveDuplicates = "RemoveDuplicates",
                     *kTopologySpread = "RemovePodsViolatingTopologySpreadConstraint";
// With so many different outcomes seen, there may well be others.
constexpr int64_t kManyOutcomes = 100;

Names names_of(const Json& list) {
  Names out;
  for (const std::string& name : texts(list)) out.insert(name);
  return out;
}

std::string show(const Names& names) { return fmt::format("[{}]", fmt::join(names, ", ")); }

struct Range {
  int64_t min = 0, max = 0;
};
Range range_of(const Json& pair) {
  return pair.is_array() && pair.size() == 2 ? Range{pair[0].get<int64_t>(), pair[1].get<int64_t>()} : Range();
}

// What one record says and what kisim did.
struct Outcome {
  Names evicted;
  Counts per_node, per_node_owner;  // of the pods evicted; by "node|namespace/kind/owner"
  int64_t requests = 0;             // accepted
};

Outcome run(DeschedulerRecord& record, const Json& json, const DeschedulerPolicy& policy) {
  Outcome out;
  DeschedulerView view(record.model(), record.snapshot());
  DeschedulerReport report =
      Descheduler(policy).run(view, [&](const DeschedulerEviction& eviction) { return record.evict(eviction.pod); });
  out.requests = report.evicted;
  for (const DeschedulerEviction& eviction : report.evictions) {
    bool is_new =
        eviction.result == DeschedulerResult::Success && out.evicted.insert(record.pod_name(eviction.pod)).second;
    if (!is_new) continue;
    ++out.per_node[record.node_name(eviction.node)];
    const Json& metadata = at(at(json, "pods")[eviction.pod.value], "metadata");
    for (const Json& owner : at(metadata, "ownerReferences"))
      ++out.per_node_owner[fmt::format("{}|{}/{}/{}", record.node_name(eviction.node), text(metadata, "namespace"),
                                       text(owner, "kind"), text(owner, "name"))];
  }
  return out;
}

// Counts that lie outside their ranges; a count that is not there is 0.
std::vector<std::string> outside(const Json& ranges, const Counts& counts) {
  std::vector<std::string> out;
  std::set<std::string> keys;
  for (const auto& [key, range] : ranges.items()) keys.insert(key);
  for (const auto& [key, count] : counts) keys.insert(key);
  for (const std::string& key : keys) {
    auto found = counts.find(key);
    int64_t count = found == counts.end() ? 0 : found->second;
    Range range = range_of(at(ranges, key.c_str()));
    if (count < range.min || count > range.max)
      out.push_back(fmt::format("{} = {}, not {} … {}", key, count, range.min, range.max));
  }
  return out;
}

// Where the outcome depends on orders that upstream leaves open.
void compare_open(const Json& json, const std::string& plugin, const Outcome& ours, Differences& differences) {
  for (const std::string& name : names_of(at(json, "always")))
    if (!ours.evicted.contains(name)) differences.add("always evicted", name, "not evicted");
  Names ever = names_of(at(json, "ever"));
  for (const std::string& name : ours.evicted)
    if (at(json, "distinctOutcomes").get<int64_t>() < kManyOutcomes && !ever.contains(name))
      differences.add("never evicted", name, "evicted");
  Range total = range_of(at(json, "total"));
  int64_t count = static_cast<int64_t>(ours.evicted.size()), slack = plugin == kTopologySpread ? 1 : 0;
  if (count < total.min - slack || count > total.max + slack)
    differences.add("evicted in total", fmt::format("{} … {}", total.min, total.max), std::to_string(count));
  if (plugin == kRemoveDuplicates)
    for (const std::string& text : outside(at(json, "perNodeOwner"), ours.per_node_owner))
      differences.add("evicted per node and owner", "within the range seen", text);
}

// Seen ranges that are no proven bounds.
void advise(const Json& json, const std::string& plugin, const Outcome& ours, std::vector<std::string>& advisories) {
  if (plugin != kRemoveDuplicates)
    for (const std::string& text : outside(at(json, "perNode"), ours.per_node)) advisories.push_back("perNode " + text);
  Range requests = range_of(at(json, "evictionRequests"));
  if (ours.requests < requests.min || ours.requests > requests.max)
    advisories.push_back(fmt::format("evictionRequests = {}, not {} … {}", ours.requests, requests.min, requests.max));
}

// --------------------------------------------------------------------------------- the two forms of a policy

template <class Args>
bool same_args(const std::any& a, const std::any& b, bool& known) {
  const Args *x = std::any_cast<Args>(&a), *y = std::any_cast<Args>(&b);
  known |= x && y;
  return x && y && *x == *y;
}

template <class... Args>
bool same_any(const std::any& a, const std::any& b) {
  bool known = false;
  return (same_args<Args>(a, b, known) || ...);
}

bool same(const DeschedulerPluginConfig& a, const DeschedulerPluginConfig& b) {
  return a.params == b.params &&
         same_any<DefaultEvictorArgs, LowNodeUtilizationArgs, HighNodeUtilizationArgs, RemoveDuplicatesArgs,
                  RemovePodsViolatingNodeAffinityArgs, RemovePodsViolatingTopologySpreadConstraintArgs,
                  RemovePodsViolatingInterPodAntiAffinityArgs, RemovePodsViolatingNodeTaintsArgs,
                  RemovePodsHavingTooManyRestartsArgs, RemoveFailedPodsArgs, PodLifeTimeArgs>(a.args, b.args);
}

bool same(const DeschedulerProfile& a, const DeschedulerProfile& b) {
  return a.deschedule == b.deschedule && a.balance == b.balance && a.filter == b.filter &&
         a.pre_eviction_filter == b.pre_eviction_filter &&
         std::equal(a.plugin_config.begin(), a.plugin_config.end(), b.plugin_config.begin(), b.plugin_config.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
}

// The older form names no profiles, and upstream puts them in any order.
void compare_forms(const DeschedulerPolicy& policy, const DeschedulerPolicy& older, Differences& differences) {
  differences.at("policyV1alpha1");
  bool same_cycle = policy.node_selector == older.node_selector && policy.max_pods_total == older.max_pods_total &&
                    policy.max_pods_per_node == older.max_pods_per_node &&
                    policy.max_pods_per_namespace == older.max_pods_per_namespace;
  if (!same_cycle) differences.add("nodeSelector and limits", "those of policy", "others");
  differences.compare("profiles", static_cast<int64_t>(policy.profiles.size()),
                      static_cast<int64_t>(older.profiles.size()));
  std::vector<const DeschedulerProfile*> left;
  for (const DeschedulerProfile& profile : older.profiles) left.push_back(&profile);
  for (const DeschedulerProfile& profile : policy.profiles) {
    auto found = std::find_if(left.begin(), left.end(), [&](const auto* other) { return same(profile, *other); });
    if (found == left.end())
      differences.add("profile", profile.name, "none with the same plugins and arguments");
    else
      left.erase(found);
  }
}

// How many pods were decided on.
size_t compare(const Json& json, const std::string& plugin, std::vector<std::string>& texts,
               std::vector<std::string>& advisories) {
  Differences differences;
  DeschedulerRecord record(json);
  std::vector<std::string> problems, older_problems;
  std::optional<DeschedulerPolicy> policy = record.policy(json, "policy", problems), older;
  bool has_older = at(json, "policyV1alpha1").is_object(), must_fail = !text(json, "error").empty();
  if (has_older) older = record.policy(json, "policyV1alpha1", older_problems);
  differences.at("policy");
  if (must_fail && policy) differences.add("loading", "an error: " + text(json, "error"), "none");
  if (must_fail && older) differences.add("loading of policyV1alpha1", "an error", "none");
  if (!must_fail && !policy) differences.add("loading", "no error", fmt::format("{}", fmt::join(problems, "; ")));
  if (!must_fail && has_older && !older)
    differences.add("loading of policyV1alpha1", "no error", fmt::format("{}", fmt::join(older_problems, "; ")));
  if (policy && older) compare_forms(*policy, *older, differences);
  if (policy && !must_fail) {
    Outcome ours = run(record, json, *policy);
    differences.at("pods");
    if (at(json, "distinctOutcomes") == 1) {
      Names expected = names_of(at(json, "evicted"));
      if (expected != ours.evicted) differences.add("evicted", show(expected), show(ours.evicted));
    } else {
      compare_open(json, plugin, ours, differences);
    }
    advise(json, plugin, ours, advisories);
  }
  for (const std::string& difference : differences.texts()) texts.push_back(difference);
  return must_fail ? 1 : at(json, "pods").size();
}

}  // namespace

ConformanceReport check_descheduler(const std::vector<std::string>& files, const ConformanceOptions& options) {
  ConformanceReport report;
  for (const std::string& file : files)
    for_each_record(file, [&](const Json& json) {
      std::string plugin = text(json, "plugin"), id = text(json, "id");
      if (plugin.empty())
        throw InputError(Diagnostic{Severity::Error, {file, 0, 0}, "plugin", "found a record that names no plugin"});
      SetAgreement& set = report.sets[plugin];
      ++set.records;
      std::vector<std::string> differences, advisories;
      try {
        set.steps += compare(json, plugin, differences, advisories);
      } catch (const Json::exception& e) {
        throw InputError(Diagnostic{Severity::Error, {file, 0, 0}, id, e.what()});
      }
      if (differences.empty()) ++set.agreed;
      if (!advisories.empty()) ++set.advisories;
      for (const std::string& difference : differences)
        if (report.disagreements.size() < options.disagreements)
          report.disagreements.push_back(fmt::format("{} {} {}", plugin, id, difference));
      for (const std::string& advisory : advisories)
        if (report.advisories.size() < options.disagreements)
          report.advisories.push_back(fmt::format("{} {} {}", plugin, id, advisory));
    });
  return report;
}

}  // namespace kisim
