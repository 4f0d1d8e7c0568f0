// Metadata, nodes, workloads, services and priority classes.

#include "io/kube_names.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr NameRule kSubdomain{is_dns1123_subdomain,
                              "a lowercase RFC 1123 subdomain: a-z, 0-9, '-' and '.', alphanumeric at both ends"};
constexpr NameRule kService{is_dns1035_label, "a lowercase RFC 1035 label: a-z, 0-9 and '-', a letter first"};

constexpr int64_t kMaxReplicas = 1'000'000, kMaxGpusPerNode = 1024;

Labels read_labels(ObjectReader& metadata, std::string_view key, bool check_values) {
  Labels out = metadata.texts_by_key(key);
  for (const auto& [name, value] : out) {
    if (!is_qualified_name(name))
      metadata.error(key, fmt::format("found '{}', allowed: keys such as app or example.com/app", name));
    if (check_values && !is_label_value(value))
      metadata.error(key, fmt::format("found '{}: {}', allowed: at most 63 of a-z, A-Z, 0-9, '-', '_' and '.', "
                                      "alphanumeric at both ends",
                                      name, value));
  }
  return out;
}

void read_owner(ObjectReader& metadata, ObjectMeta& out) {
  for (ObjectReader& owner : metadata.objects("ownerReferences")) {
    if (owner.flag("controller")) {
      out.owner_kind = owner.text("kind");
      out.owner_name = owner.text("name");
    }
    owner.harmless({"apiVersion", "kind", "name", "uid", "blockOwnerDeletion"});
    owner.finish();
  }
}

void server_side_metadata(ObjectReader& metadata) {
  metadata.harmless({"name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
                     "finalizers", "managedFields", "selfLink", "deletionGracePeriodSeconds"});
  metadata.unmodelled("deletionTimestamp");
}

PodTemplate read_template(ObjectReader object) {
  PodTemplate out;
  ObjectReader metadata = object.object("metadata");
  out.labels = read_labels(metadata, "labels", true);
  out.annotations = read_labels(metadata, "annotations", false);
  metadata.harmless({"ownerReferences"});
  server_side_metadata(metadata);
  metadata.finish();
  out.spec = read_pod_spec(object.object("spec"));
  object.finish();
  return out;
}

// What Deployments and ReplicaSets have in common.
template <class Workload>
Workload read_workload(ObjectReader& object, ObjectReader& spec) {
  Workload out;
  out.meta = read_metadata(object, kSubdomain);
  spec.integer("replicas", 0, kMaxReplicas, out.replicas);
  ObjectReader selector = spec.object("selector");
  out.selector = read_label_selector(selector);
  out.pod_template = read_template(spec.object("template"));
  if (!selector.exists())
    spec.required("selector");
  else if (out.selector.requirements.empty())
    spec.error("selector", "empty: it would match every pod");
  else if (!out.selector.matches(out.pod_template.labels))
    spec.error("selector", "`selector` does not match template `labels`");
  spec.unmodelled("minReadySeconds");
  object.harmless({"status"});
  return out;
}

Taint read_taint(ObjectReader& object) {
  Taint out;
  out.key = object.text("key");
  if (!is_qualified_name(out.key))
    object.error("key", fmt::format("found '{}', allowed: a qualified name such as nvidia.com/gpu", out.key));
  out.value = object.text("value");
  object.choice("effect", {"NoSchedule", "PreferNoSchedule", "NoExecute"}, out.effect);
  object.harmless({"timeAdded"});
  object.finish();
  return out;
}

void read_images(ObjectReader& status, std::vector<ContainerImage>& out) {
  for (ObjectReader& image : status.objects("images")) {
    int64_t size = image.integer("sizeBytes", 0, INT64_MAX).value_or(0);
    for (const std::string& name : image.texts("names")) out.push_back({name, size});
    image.finish();
  }
}

void check_gpus(ObjectReader& status, std::string_view key, const ResourceList& resources) {
  for (const auto& [name, amount] : resources)
    if (name == "nvidia.com/gpu" && amount > kMaxGpusPerNode)
      status.error(key, fmt::format("found {} of {}, allowed: at most {}", amount, name, kMaxGpusPerNode));
}

void read_node_status(ObjectReader status, Node& out) {
  out.capacity = read_resource_list(status, "capacity");
  out.allocatable = read_resource_list(status, "allocatable");
  check_gpus(status, "capacity", out.capacity);
  check_gpus(status, "allocatable", out.allocatable);
  if (out.allocatable.empty()) out.allocatable = out.capacity;
  if (out.capacity.empty()) out.capacity = out.allocatable;
  read_images(status, out.images);
  if (out.allocatable.empty()) {
    status.error("allocatable",
                 "missing: add what the node has, for example "
                 "status: {allocatable: {cpu: \"96\", memory: 1Ti, pods: \"110\", nvidia.com/gpu: \"8\"}}");
  } else if (std::none_of(out.allocatable.begin(), out.allocatable.end(),
                          [](const auto& resource) { return resource.first == "pods"; })) {
    status.context().ignore(status.mark(), status.path("allocatable"),
                            "no pods: nothing can be scheduled there; add pods: \"110\"");
  }
  status.harmless({"conditions", "addresses", "nodeInfo", "daemonEndpoints", "volumesInUse", "volumesAttached",
                   "config", "runtimeHandlers", "features", "phase", "declaredFeatures"});
  status.finish();
}

}  // namespace

ObjectMeta read_metadata(ObjectReader& object, const NameRule& rule) {
  ObjectMeta out;
  out.mark = object.mark();
  ObjectReader metadata = object.object("metadata");
  out.name = metadata.text("name");
  if (out.name.empty())
    metadata.required("name");
  else if (!rule.accepts(out.name))
    metadata.error("name", fmt::format("found '{}', allowed: {}", out.name, rule.text));
  if (std::string name = metadata.text("namespace"); !name.empty()) {
    out.namespace_ = name;
    if (!is_dns1123_label(name))
      metadata.error("namespace", fmt::format("found '{}', allowed: a lowercase RFC 1123 label", name));
  }
  out.labels = read_labels(metadata, "labels", true);
  out.annotations = read_labels(metadata, "annotations", false);
  read_owner(metadata, out);
  server_side_metadata(metadata);
  metadata.finish();
  return out;
}

void read_node(ObjectReader& object, Manifests& out) {
  Node node;
  node.meta = read_metadata(object, kSubdomain);
  ObjectReader spec = object.object("spec");
  for (ObjectReader& taint : spec.objects("taints")) node.taints.push_back(read_taint(taint));
  node.unschedulable = spec.flag("unschedulable");
  spec.harmless({"podCIDR", "podCIDRs", "providerID", "externalID", "configSource"});
  spec.finish();
  read_node_status(object.object("status"), node);
  object.finish();
  out.nodes.push_back(std::move(node));
}

void read_pod(ObjectReader& object, Manifests& out) {
  Pod pod;
  pod.meta = read_metadata(object, kSubdomain);
  pod.spec = read_pod_spec(object.object("spec"));
  std::string phase = object.object("status").text("phase");
  object.finish();
  if (phase == "Succeeded" || phase == "Failed")
    object.context().ignore(pod.meta.mark, "", "pods that have ended");
  else
    out.pods.push_back(std::move(pod));
}

void read_deployment(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  Deployment deployment = read_workload<Deployment>(object, spec);
  // A rollout needs a changed template, which one manifest cannot hold.
  spec.harmless({"strategy", "revisionHistoryLimit", "progressDeadlineSeconds"});
  spec.unmodelled("paused");
  spec.finish();
  object.finish();
  out.deployments.push_back(std::move(deployment));
}

void read_replica_set(ObjectReader& object, Manifests& out) {
  ObjectReader spec = object.object("spec");
  ReplicaSet replica_set = read_workload<ReplicaSet>(object, spec);
  spec.finish();
  object.finish();
  out.replica_sets.push_back(std::move(replica_set));
}

void read_service(ObjectReader& object, Manifests& out) {
  Service service;
  service.meta = read_metadata(object, kService);
  ObjectReader spec = object.object("spec");
  service.selector = spec.texts_by_key("selector");
  if (spec.text("sessionAffinity") == "ClientIP") spec.unmodelled("sessionAffinity");
  spec.harmless({"ports", "clusterIP", "clusterIPs", "type", "externalIPs", "loadBalancerIP",
                 "loadBalancerSourceRanges", "externalName", "externalTrafficPolicy", "internalTrafficPolicy",
                 "healthCheckNodePort", "publishNotReadyAddresses", "sessionAffinityConfig", "ipFamilies",
                 "ipFamilyPolicy", "allocateLoadBalancerNodePorts", "loadBalancerClass", "trafficDistribution"});
  spec.finish();
  object.harmless({"status"});
  object.finish();
  out.services.push_back(std::move(service));
}

void read_priority_class(ObjectReader& object, Manifests& out) {
  PriorityClass priority;
  priority.meta = read_metadata(object, kSubdomain);
  if (!object.find("value")) object.required("value");
  object.integer("value", INT32_MIN, INT32_MAX, priority.value);
  priority.global_default = object.flag("globalDefault");
  if (object.text("preemptionPolicy") == "Never") object.unmodelled("preemptionPolicy");
  object.harmless({"description"});
  object.finish();
  out.priority_classes.push_back(std::move(priority));
}

}  // namespace kisim
