#pragma once
// What-if: pods of a template with another spec.

#include "cluster/cluster.hpp"

namespace kisim {

// The labels, the annotations that the model reads, and the spec of a template, to be changed.
PodTemplate pod_template_of(const PodTemplateModel& pods);

// Adds a template for pods of the same workload as `from`'s, with the annotations and the spec of `pods`. It may ask
// for nothing that the model does not know yet.
TemplateId add_changed_template(ClusterModel& model, TemplateId from, const PodTemplate& pods);

}  // namespace kisim
