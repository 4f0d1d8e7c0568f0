#include "serving/catalog.hpp"

#include "core/math.hpp"

#include <algorithm>

namespace kisim {

namespace {

// "nvidia/Qwen3-32B-NVFP4" → "qwen3-32b"
std::string bare_name(std::string_view repository) {
  repository.remove_prefix(repository.find('/') == repository.npos ? 0 : repository.find('/') + 1);
  std::string name(repository);
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (std::string_view weights : {"-fp8", "-nvfp4", "-fp4", "-bf16"})
    if (name.ends_with(weights)) name.resize(name.size() - weights.size());
  return name;
}

}  // namespace

double RoutedExperts::share_read(double tokens) const {
  if (count == 0) return 0;
  return 1 - math::pow(1 - static_cast<double>(per_token) / count, tokens);
}

const LlmModel* find_llm(const std::vector<LlmModel>& models, std::string_view repository) {
  const std::string name = bare_name(repository);
  auto means = [&](const LlmModel& model) {
    return model.name == name || std::any_of(model.repositories.begin(), model.repositories.end(),
                                             [&](const std::string& known) { return bare_name(known) == name; });
  };
  auto found = std::find_if(models.begin(), models.end(), means);
  return found == models.end() ? nullptr : &*found;
}

}  // namespace kisim
