#pragma once
// The readers of the single kinds, for manifests.cpp. Each reads one whole object and complains through its context.

#include "io/object_reader.hpp"

namespace kisim {

// Which names a kind allows, and how to say so.
struct NameRule {
  bool (*accepts)(std::string_view);
  const char* text;
};
ObjectMeta read_metadata(ObjectReader& object, const NameRule& rule);

LabelSelector read_label_selector(ObjectReader selector);
PodSpec read_pod_spec(ObjectReader spec);
// With Kubernetes' checks for names and, for containers, of whole numbers.
ResourceList read_resource_list(ObjectReader& parent, std::string_view key);

void read_node(ObjectReader& object, Manifests& out);
void read_pod(ObjectReader& object, Manifests& out);
void read_deployment(ObjectReader& object, Manifests& out);
void read_replica_set(ObjectReader& object, Manifests& out);
void read_service(ObjectReader& object, Manifests& out);
void read_priority_class(ObjectReader& object, Manifests& out);
void read_hpa_v1(ObjectReader& object, Manifests& out);
void read_hpa_v2(ObjectReader& object, Manifests& out);

}  // namespace kisim
