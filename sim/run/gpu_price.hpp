#pragma once
// What GPUs cost that a workload's pods may be on.

#include "run/model.hpp"

namespace kisim {

// Of a GPU of this model, per hour; 1 where nobody names prices, 0 without a model.
double gpu_price(const Model& model, GpuModelId gpu, Time at);

// Over all nodes with GPUs that the pods' node selector admits; 0 if there is none.
struct PriceRange {
  double least = 0, most = 0;
};
PriceRange gpu_prices(const Model& model, WorkloadId workload, Time at);

}  // namespace kisim
