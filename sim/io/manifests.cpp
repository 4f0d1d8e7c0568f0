// Documents and lists of Kubernetes objects, and what can only be said when all of them are read.

#include "core/error.hpp"
#include "io/input.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace kisim {

namespace {

struct ModelledKind {
  std::string_view kind, api_version;
  void (*read)(ObjectReader&, Manifests&);
};
constexpr ModelledKind kModelled[] = {
    {"Namespace", "v1", read_namespace},
    {"Node", "v1", read_node},
    {"Pod", "v1", read_pod},
    {"Service", "v1", read_service},
    {"Deployment", "apps/v1", read_deployment},
    {"ReplicaSet", "apps/v1", read_replica_set},
    {"StatefulSet", "apps/v1", read_stateful_set},
    {"DaemonSet", "apps/v1", read_daemon_set},
    {"Job", "batch/v1", read_job},
    {"ResourceQuota", "v1", read_resource_quota},
    {"LimitRange", "v1", read_limit_range},
    {"HorizontalPodAutoscaler", "autoscaling/v2", read_hpa_v2},
    {"HorizontalPodAutoscaler", "autoscaling/v1", read_hpa_v1},
    {"PriorityClass", "scheduling.k8s.io/v1", read_priority_class},
    {"PodDisruptionBudget", "policy/v1", read_pod_disruption_budget},
};

// Kinds of Kubernetes that say nothing kisim acts on. Kinds of other API groups are told by their group.
constexpr std::string_view kOtherKinds[] = {"ServiceAccount",
                                            "ConfigMap",
                                            "Secret",
                                            "PersistentVolume",
                                            "PersistentVolumeClaim",
                                            "Endpoints",
                                            "Event",
                                            "PodTemplate",
                                            "ReplicationController",
                                            "ComponentStatus",
                                            "ControllerRevision",
                                            "CronJob",
                                            "Ingress",
                                            "IngressClass",
                                            "NetworkPolicy",
                                            "ServiceCIDR",
                                            "IPAddress",
                                            "Role",
                                            "RoleBinding",
                                            "ClusterRole",
                                            "ClusterRoleBinding",
                                            "StorageClass",
                                            "VolumeAttributesClass",
                                            "CSINode",
                                            "CSIDriver",
                                            "CSIStorageCapacity",
                                            "VolumeAttachment",
                                            "Lease",
                                            "LeaseCandidate",
                                            "RuntimeClass",
                                            "EndpointSlice",
                                            "CertificateSigningRequest",
                                            "ClusterTrustBundle",
                                            "FlowSchema",
                                            "PriorityLevelConfiguration",
                                            "MutatingWebhookConfiguration",
                                            "ValidatingWebhookConfiguration",
                                            "ValidatingAdmissionPolicy",
                                            "ValidatingAdmissionPolicyBinding",
                                            "MutatingAdmissionPolicy",
                                            "MutatingAdmissionPolicyBinding",
                                            "CustomResourceDefinition",
                                            "APIService",
                                            "PodGroup",
                                            "Workload",
                                            "ResourceClaim",
                                            "ResourceClaimTemplate",
                                            "ResourceSlice",
                                            "DeviceClass",
                                            "DeviceTaintRule"};

std::string_view group_of(std::string_view api_version) {
  size_t slash = api_version.find('/');
  return slash == api_version.npos ? std::string_view() : api_version.substr(0, slash);
}

// Groups of Kubernetes itself: "", apps, policy, scheduling.k8s.io. Others hold custom resources.
bool is_kubernetes_group(std::string_view group) { return group.find('.') == group.npos || group.ends_with(".k8s.io"); }

// A dump is full of kinds that say nothing here. A kind that Kubernetes lacks may be a slip of the pen.
void ignore_kind(ObjectContext& context, const SourceMark& mark, const std::string& kind,
                 const std::string& api_version) {
  bool known = std::find(std::begin(kOtherKinds), std::end(kOtherKinds), kind) != std::end(kOtherKinds);
  if (known) return context.ignore(mark, "", "kind " + kind + " is not modelled", Severity::Note);
  if (!is_kubernetes_group(group_of(api_version)))
    return context.ignore(mark, "", fmt::format("kind {} of {} is not modelled", kind, api_version), Severity::Note);
  std::vector<std::string> kinds(std::begin(kOtherKinds), std::end(kOtherKinds));
  for (const ModelledKind& modelled : kModelled) kinds.emplace_back(modelled.kind);
  std::string near = closest(kind, kinds);
  std::string hint = near.empty() || near == kind ? "" : "; did you mean " + near + "?";
  context.ignore(mark, "", fmt::format("unknown kind {} of apiVersion {}{}", kind, api_version, hint));
}

void read_object(const Value& document, const std::string& kind, const std::string& api_version,
                 Diagnostics& diagnostics, Manifests& out) {
  ObjectContext context{diagnostics, out.ignored};
  std::string versions;
  for (const ModelledKind& modelled : kModelled) {
    if (modelled.kind != kind || group_of(modelled.api_version) != group_of(api_version)) continue;
    if (modelled.api_version == api_version) {
      ObjectReader object(context, document, "");
      object.harmless({"apiVersion", "kind"});
      return modelled.read(object, out);
    }
    versions += (versions.empty() ? "" : ", ") + std::string(modelled.api_version);
  }
  if (!versions.empty())
    return context.error(document.mark(), "apiVersion", fmt::format("found '{}', allowed: {}", api_version, versions));
  ignore_kind(context, document.mark(), kind, api_version);
}

void read_list(const Value& list, const std::string& item_kind, const std::string& item_version,
               Diagnostics& diagnostics, Manifests& out) {
  const Value* items = list.find("items");
  if (!items || items->kind == Value::Kind::Null) return;
  if (items->kind != Value::Kind::Sequence)
    return diagnostics.error(items->mark(), "items", found_allowed(*items, "a list"));
  for (const Value& item : items->items) {
    // The API leaves kind and apiVersion out of the items of a NodeList; kubectl writes them.
    if (item.kind == Value::Kind::Mapping && !item.find("kind") && !item_kind.empty())
      read_object(item, item_kind, item_version, diagnostics, out);
    else
      read_manifest(item, diagnostics, out);
  }
}

template <class Object>
void refuse_duplicates(const std::vector<Object>& objects, const char* kind, Diagnostics& diagnostics) {
  std::map<std::string, const ObjectMeta*> seen;
  for (const Object& object : objects) {
    if (object.meta.name.empty()) continue;
    auto [first, is_new] = seen.emplace(object.meta.full_name(), &object.meta);
    if (is_new) continue;
    const SourceMark& mark = first->second->mark;
    diagnostics.error(object.meta.mark, "metadata.name",
                      fmt::format("found {} '{}' twice, first at {}:{}:{}", kind, object.meta.name, mark.file,
                                  mark.line, mark.column));
  }
}

template <class Object>
std::set<std::string> names(const std::vector<Object>& objects) {
  std::set<std::string> out;
  for (const Object& object : objects) out.insert(object.meta.full_name());
  return out;
}

// The Deployment behind a ReplicaSet that is not in the input: <deployment>-<pod-template-hash>.
std::string deployment_of(const ObjectMeta& pod) {
  const std::string* hash = find_label(pod.labels, "pod-template-hash");
  if (!hash || !pod.owner_name.ends_with("-" + *hash)) return {};
  return pod.namespace_ + "/" + pod.owner_name.substr(0, pod.owner_name.size() - hash->size() - 1);
}

// Whether a workload of the input makes this pod.
class Owners {
 public:
  explicit Owners(const Manifests& manifests) : deployments_(names(manifests.deployments)) {
    workloads_["ReplicaSet"] = names(manifests.replica_sets);
    workloads_["StatefulSet"] = names(manifests.stateful_sets);
    workloads_["DaemonSet"] = names(manifests.daemon_sets);
    workloads_["Job"] = names(manifests.jobs);
  }

  bool have_made(const ObjectMeta& pod) const {
    auto owners = workloads_.find(pod.owner_kind);
    if (owners == workloads_.end()) return false;
    return owners->second.contains(pod.namespace_ + "/" + pod.owner_name) ||
           (pod.owner_kind == "ReplicaSet" && deployments_.contains(deployment_of(pod)));
  }
  bool have_made_replica_set(const ObjectMeta& meta) const {
    return meta.owner_kind == "Deployment" && deployments_.contains(meta.namespace_ + "/" + meta.owner_name);
  }

 private:
  std::set<std::string> deployments_;
  std::map<std::string, std::set<std::string>> workloads_;  // by kind
};

// A dump holds what its workloads made. The simulated workloads make their own.
void drop_owned(Manifests& manifests) {
  const Owners owners(manifests);
  auto drop = [&](auto& objects, const char* what, auto&& is_owned) {
    auto kept = std::stable_partition(objects.begin(), objects.end(), [&](auto& o) { return !is_owned(o.meta); });
    if (kept == objects.end()) return;
    manifests.ignored.push_back({fmt::format("{} that a workload of this input creates itself", what), "",
                                 kept->meta.mark, static_cast<int32_t>(objects.end() - kept), Severity::Note});
    objects.erase(kept, objects.end());
  };
  drop(manifests.pods, "Pods", [&](const ObjectMeta& meta) { return owners.have_made(meta); });
  drop(manifests.replica_sets, "ReplicaSets",
       [&](const ObjectMeta& meta) { return owners.have_made_replica_set(meta); });
}

// Calls back with each list of objects of `manifests` and the same list of `other`.
template <class A, class B, class F>
void for_each_kind(A& manifests, B& other, F&& f) {
  f("Namespace", manifests.namespaces, other.namespaces);
  f("Node", manifests.nodes, other.nodes);
  f("Pod", manifests.pods, other.pods);
  f("Deployment", manifests.deployments, other.deployments);
  f("ReplicaSet", manifests.replica_sets, other.replica_sets);
  f("StatefulSet", manifests.stateful_sets, other.stateful_sets);
  f("DaemonSet", manifests.daemon_sets, other.daemon_sets);
  f("Job", manifests.jobs, other.jobs);
  f("ResourceQuota", manifests.resource_quotas, other.resource_quotas);
  f("LimitRange", manifests.limit_ranges, other.limit_ranges);
  f("Service", manifests.services, other.services);
  f("HorizontalPodAutoscaler", manifests.hpas, other.hpas);
  f("PriorityClass", manifests.priority_classes, other.priority_classes);
  f("PodDisruptionBudget", manifests.pod_disruption_budgets, other.pod_disruption_budgets);
}

// Those that a new state of a workload leaves out are as they were.
template <class Workload>
void keep_replicas(const std::vector<Workload>& cluster, std::vector<Workload>& applied) {
  for (Workload& workload : applied)
    for (const Workload& known : cluster)
      if (!workload.has_replicas && known.meta.full_name() == workload.meta.full_name())
        workload.replicas = known.replicas;
}

}  // namespace

void read_manifest(const Value& document, Diagnostics& diagnostics, Manifests& out) {
  if (document.kind == Value::Kind::Null) return;
  if (document.kind != Value::Kind::Mapping)
    return diagnostics.error(document.mark(), "", found_allowed(document, "a Kubernetes object"));

  ObjectContext context{diagnostics, out.ignored};
  ObjectReader object(context, document, "");
  std::string kind = object.text("kind"), api_version = object.text("apiVersion");
  if (kind.empty()) return object.required("kind");
  if (api_version.empty()) return object.required("apiVersion");
  if (api_version.starts_with("kisim.dev/"))
    return object.error("kind", fmt::format("found a {}, allowed: Kubernetes objects; name the scenario itself on the "
                                            "command line",
                                            kind));
  if (kind.ends_with("List"))
    return read_list(document, kind.substr(0, kind.size() - 4), api_version, diagnostics, out);
  read_object(document, kind, api_version, diagnostics, out);
}

std::vector<Value> read_manifest_files(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return read_yaml(path);
  std::vector<std::string> files;
  for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    std::string extension = at->path().extension().string();
    if (extension == ".yaml" || extension == ".yml" || extension == ".json") files.push_back(at->path().string());
  }
  if (error) throw IoError(fmt::format("cannot read directory '{}': {}", path, error.message()));
  std::sort(files.begin(), files.end());
  std::vector<Value> documents;
  for (const std::string& file : files)
    for (Value& document : read_yaml(file)) documents.push_back(std::move(document));
  return documents;
}

void finish_manifests(Diagnostics& diagnostics, Manifests& manifests) {
  finish_applied_manifests(diagnostics, Manifests(), manifests);
}

void finish_applied_manifests(Diagnostics& diagnostics, const Manifests& cluster, Manifests& manifests) {
  for_each_kind(manifests, manifests, [&](const char* kind, const auto& objects, const auto&) {
    refuse_duplicates(objects, kind, diagnostics);
  });
  drop_owned(manifests);
  keep_replicas(cluster.deployments, manifests.deployments);
  keep_replicas(cluster.replica_sets, manifests.replica_sets);
  keep_replicas(cluster.stateful_sets, manifests.stateful_sets);
  admit(diagnostics, cluster, manifests);
  check_budgets(diagnostics, cluster, manifests);
  tell_ignored(diagnostics, manifests.ignored);
}

void merge_manifests(Manifests& cluster, const Manifests& applied) {
  for_each_kind(cluster, applied, [](const char*, auto& objects, const auto& added) {
    for (const auto& object : added) {
      auto known = std::find_if(objects.begin(), objects.end(),
                                [&](const auto& o) { return o.meta.full_name() == object.meta.full_name(); });
      if (known == objects.end())
        objects.push_back(object);
      else
        *known = object;
    }
  });
}

}  // namespace kisim
