#pragma once
// What must hold between the fields of batch servers and of their clients.

#include "io/scenario_fields.hpp"
#include "io/spec_places.hpp"

namespace kisim {

// The models of a batch server: each with a law, for GPUs of the catalogue, queues that exist, sizes that fit.
void check_batch_models(SpecPlaces& places, const ModelSpec& model, const std::vector<std::string>& gpus);

// A source of closed-loop users: how many there are from when on, as steps.
void finish_users(SpecPlaces& places, TrafficSpec& source, const UsersDraft& draft, Duration run);
// A source whose rate changes in steps.
void finish_rates(SpecPlaces& places, TrafficSpec& source, const RatesDraft& draft, Duration run);

}  // namespace kisim
