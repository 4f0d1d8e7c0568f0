#pragma once
// A trained policy as one file: weights, normaliser, actions, where it comes from and where it holds. The container is
// safetensors (a JSON header, then the tensors as they lie in memory), so that any tool reads it; what is no tensor
// stands in its __metadata__.

#include "rl/actor.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kisim {

struct PolicyFile {
  std::string name;       // "kiscaler"
  std::string algorithm;  // "ppo"
  std::vector<Feature> observation;
  bool masked = false;  // it was trained with masks and wants them
  PolicyNetwork network;
  // How observations are made and actions carried out, as a JSON object: the coding's name and its parameters.
  std::string coding = "{}";
  // Where training has been, by element of the observation: its smallest and largest values. Empty: not known.
  std::vector<float> seen_low, seen_high;
  // version of kisim, environment, seed, steps, score, hash of the training file …
  std::map<std::string, std::string> provenance;
};

// Writes all of it or nothing. Throws IoError.
void write_policy_file(const std::string& path, const PolicyFile& policy);
// Throws IoError, or InputError where it is damaged or of another kind, naming what is wrong.
PolicyFile read_policy_file(const std::string& path);

// The bytes of the file. Equal policies have equal bytes.
std::string policy_file_bytes(const PolicyFile& policy);
PolicyFile parse_policy_file(std::string_view bytes, const std::string& path);

// The policy as an ONNX model (opset 17, IR version 8), normaliser and choice of the likeliest action included. Inputs:
// observation [batch, n]; of a masked policy mask [batch, outputs] of bool; of the LSTM layers hidden_0, cell_0, … of
// the last step, [batch, hidden], zeros at first. Outputs: action [batch, components], int64 or, of a Box, float;
// logits [batch, outputs], −∞ where not allowed, or of a Box mean; next_hidden_0, next_cell_0, …  Throws IoError.
void write_onnx(const std::string& path, const PolicyFile& policy);
std::string onnx_bytes(const PolicyFile& policy);

}  // namespace kisim
