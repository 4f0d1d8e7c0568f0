#pragma once
// What a scenario takes from coefficient files, put in its place before the fields are read:
//
//   latency: {coefficients: resnet.yaml, key: a100}                              a table, with its range
//   latency: {coefficients: llama.yaml}                                          a line, of an LLM at detail linear
//   iterations: {coefficients: vllm.yaml, key: h100-80gb}                        of an LLM engine, with their range
//   startup: {container: {coefficients: starts.yaml, key: node-1}}               a lognormal distribution
//   interference: {mps: {name: table, coefficients: pairs.yaml, key: resnet}}    the speed of a job beside itself
//
// The key may be left out where the file has one entry of the kind.

#include "io/value.hpp"

namespace kisim {

// Complains at the place of the reference about files and keys that do not exist, and at the place in the file about
// what is wrong there.
void resolve_coefficients(Value& scenario, Diagnostics& diagnostics);

}  // namespace kisim
