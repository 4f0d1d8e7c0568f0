// Metadata, pod templates, namespaces, nodes, pods and services.

#include "io/decimal_time.hpp"
#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>
#include <cctype>

namespace kisim {

namespace {

constexpr int64_t kMaxGpusPerNode = 1024;

// Keys in any case of letters, values of any form.
Labels read_annotations(ObjectReader& metadata) {
  Labels out = metadata.texts_by_key("annotations");
  for (const auto& [name, value] : out) {
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const std::string& problem : check_qualified_name(lower))
      metadata.error("annotations", invalid_value(quote(name), problem));
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
                     "managedFields", "selfLink", "deletionGracePeriodSeconds"});
  metadata.unmodelled("deletionTimestamp");
}

bool is_standard_finalizer(const std::string& name) {
  return name == "kubernetes" || name == "orphan" || name == "foregroundDeletion";
}

std::vector<std::string> read_finalizers(ObjectReader& metadata) {
  std::vector<std::string> out = metadata.texts("finalizers");
  metadata.check_names("finalizers", out, check_qualified_name);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i].find('/') == std::string::npos && !is_standard_finalizer(out[i]))
      metadata.invalid_item("finalizers", i, "name is neither a standard finalizer name nor is it fully qualified");
  auto has = [&](const char* name) { return std::find(out.begin(), out.end(), name) != out.end(); };
  if (has("orphan") && has("foregroundDeletion"))
    metadata.invalid("finalizers", "finalizer orphan and foregroundDeletion cannot be both set");
  return out;
}

// Nothing if it has no effect that could be compared.
std::optional<Taint> read_taint(ObjectReader& object) {
  Taint out;
  out.key = object.text("key");
  object.check_name("key", out.key, check_qualified_name);
  out.value = object.text("value");
  if (NameProblems problems = check_label_value(out.value); !problems.empty())
    object.invalid("value", fmt::format("{}", fmt::join(problems, ";")));
  bool known = object.choice("effect", {"NoSchedule", "PreferNoSchedule", "NoExecute"}, out.effect);
  object.harmless({"timeAdded"});
  object.finish();
  return known ? std::optional(out) : std::nullopt;
}

std::vector<Taint> read_taints(ObjectReader& spec) {
  std::vector<Taint> out;
  for (ObjectReader& object : spec.objects("taints")) {
    std::optional<Taint> taint = read_taint(object);
    if (!taint) continue;
    bool repeats = std::any_of(out.begin(), out.end(), [&](const Taint& other) {
      return other.key == taint->key && other.effect == taint->effect;
    });
    if (repeats) object.duplicate("", object.shown() + ": taints must be unique by key and effect pair");
    out.push_back(std::move(*taint));
  }
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

bool names_any(ObjectReader& status, std::string_view key) {
  const Value* resources = status.find(key);
  return resources && !resources->members.empty();
}

void read_node_status(ObjectReader status, Node& out) {
  out.capacity = read_resource_list(status, "capacity");
  out.allocatable = read_resource_list(status, "allocatable");
  check_gpus(status, "capacity", out.capacity);
  check_gpus(status, "allocatable", out.allocatable);
  if (out.allocatable.empty()) out.allocatable = out.capacity;
  if (out.capacity.empty()) out.capacity = out.allocatable;
  read_images(status, out.images);
  if (!names_any(status, "allocatable") && !names_any(status, "capacity"))
    status.error("allocatable",
                 "missing: add what the node has, for example "
                 "status: {allocatable: {cpu: \"96\", memory: 1Ti, pods: \"110\", nvidia.com/gpu: \"8\"}}");
  else if (std::none_of(out.allocatable.begin(), out.allocatable.end(),
                        [](const auto& resource) { return resource.first == "pods"; }))
    status.context().ignore(status.mark(), status.path("allocatable"),
                            "no pods: nothing can be scheduled there; add pods: \"110\"");
  status.harmless({"conditions", "addresses", "nodeInfo", "daemonEndpoints", "volumesInUse", "volumesAttached",
                   "config", "runtimeHandlers", "features", "phase", "declaredFeatures"});
  status.finish();
}

}  // namespace

ObjectMeta read_metadata(ObjectReader& object, NameRule rule) {
  ObjectMeta out;
  out.mark = object.mark();
  ObjectReader metadata = object.object("metadata");
  out.name = metadata.text("name");
  if (out.name.empty())
    metadata.required("name", "name or generateName is required");
  else
    metadata.check_name("name", out.name, rule);
  if (std::string name = metadata.text("namespace"); !name.empty()) {
    out.namespace_ = name;
    metadata.check_name("namespace", name, check_dns1123_label);
  }
  out.labels = metadata.labels("labels");
  out.annotations = read_annotations(metadata);
  out.finalizers = read_finalizers(metadata);
  read_owner(metadata, out);
  server_side_metadata(metadata);
  metadata.finish();
  return out;
}

PodTemplate read_pod_template(ObjectReader object) {
  PodTemplate out;
  ObjectReader metadata = object.object("metadata");
  out.labels = metadata.labels("labels");
  out.annotations = read_annotations(metadata);
  metadata.harmless({"ownerReferences"});
  metadata.unmodelled("finalizers");
  server_side_metadata(metadata);
  metadata.finish();
  out.spec = read_pod_spec(object.object("spec"), out.labels);
  object.finish();
  return out;
}

void read_namespace(ObjectReader& object, Manifests& out) {
  Namespace namespace_;
  namespace_.meta = read_metadata(object, check_dns1123_label);
  object.harmless({"spec", "status"});
  object.finish();
  out.namespaces.push_back(std::move(namespace_));
}

void read_node(ObjectReader& object, Manifests& out) {
  Node node;
  node.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader spec = object.object("spec");
  node.taints = read_taints(spec);
  node.unschedulable = spec.flag("unschedulable");
  spec.harmless({"podCIDR", "podCIDRs", "providerID", "externalID", "configSource"});
  spec.finish();
  read_node_status(object.object("status"), node);
  object.finish();
  out.nodes.push_back(std::move(node));
}

void read_pod(ObjectReader& object, Manifests& out) {
  Pod pod;
  pod.meta = read_metadata(object, check_dns1123_subdomain);
  pod.spec = read_pod_spec(object.object("spec"), pod.meta.labels);
  ObjectReader status = object.object("status");
  std::string phase = status.text("phase"), start = status.text("startTime");
  object.finish();
  if (std::optional<int64_t> ns = parse_time(start, TimeUnit::Datetime))
    pod.start_time = Time{*ns};
  else if (!start.empty())
    status.error("startTime", fmt::format("found '{}', allowed: a time such as 2026-01-31T12:00:00Z", start));
  if (phase == "Succeeded" || phase == "Failed")
    object.context().ignore(pod.meta.mark, "", "pods that have ended", Severity::Note);
  else
    out.pods.push_back(std::move(pod));
}

void read_service(ObjectReader& object, Manifests& out) {
  Service service;
  service.meta = read_metadata(object, check_dns1035_label);
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

}  // namespace kisim
