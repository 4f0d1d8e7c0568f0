#include "serving/catalog.hpp"

#include "core/math.hpp"

#include <algorithm>

namespace kisim {

namespace {

// Parts of a repository's name that tell how a model was tuned or stored: "2507" is a date, "v0.3" a version.
bool changes_nothing(std::string_view part) {
  constexpr std::string_view kTunings[] = {"instruct", "chat", "it",   "hf",    "base", "thinking", "meta",
                                           "fp8",      "bf16", "fp16", "nvfp4", "fp4",  "awq",      "dynamic"};
  if (std::find(std::begin(kTunings), std::end(kTunings), part) != std::end(kTunings)) return true;
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (part.size() > 1 && part[0] == 'v' && digit(part[1]) && part.find('.') != part.npos) return true;
  return part.size() == 4 && std::all_of(part.begin(), part.end(), digit);
}

// "nvidia/Qwen3-32B-NVFP4" → "qwen3-32b"
std::string bare_name(std::string_view repository) {
  repository.remove_prefix(repository.find('/') == repository.npos ? 0 : repository.find('/') + 1);
  std::string name(repository), out;
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('-', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (!changes_nothing(part)) out += (out.empty() ? "" : "-") + part;
    begin = end + 1;
  }
  return out;
}

}  // namespace

LlmModel draft_head(const LlmModel& model) {
  LlmModel head = model;
  head.name += " (draft head)";
  head.layers = 1;
  head.experts.layers = std::min(1, model.experts.layers);
  head.window_layers = head.linear_layers = 0;
  head.state_bytes = 0;
  head.parameters = model.layer_parameters() / model.layers + head.expert_parameters() +
                    model.embedding_parameters() * (model.tied_embeddings ? 1 : 2);
  return head;
}

double RoutedExperts::share_read(double tokens) const {
  if (count == 0) return 0;
  return 1 - math::pow(1 - static_cast<double>(per_token) / count, tokens);
}

const LlmModel* find_llm(const std::vector<LlmModel>& models, std::string_view repository) {
  const std::string name = bare_name(repository);
  auto means = [&](const LlmModel& model) {
    return bare_name(model.name) == name ||
           std::any_of(model.repositories.begin(), model.repositories.end(),
                       [&](const std::string& known) { return bare_name(known) == name; });
  };
  auto found = std::find_if(models.begin(), models.end(), means);
  return found == models.end() ? nullptr : &*found;
}

}  // namespace kisim
