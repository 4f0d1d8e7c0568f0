#pragma once
// The formats of the catalogues. Every figure names one of the file's `sources`; a figure that is missing, unknown or
// without a source is an InputError with file:line:col.

#include "cluster/gpu.hpp"
#include "serving/catalog.hpp"

#include <string>
#include <vector>

namespace kisim {

std::vector<GpuModel> parse_gpu_catalogue(const std::string& text, const std::string& file);
// Fills GpuModel::mig of those that it names.
void parse_mig_catalogue(const std::string& text, const std::string& file, std::vector<GpuModel>& gpus);
std::vector<LlmModel> parse_llm_catalogue(const std::string& text, const std::string& file);
// An engine is measured on GPUs of the catalogue.
std::vector<EngineProfile> parse_engine_catalogue(const std::string& text, const std::string& file,
                                                  const std::vector<GpuModel>& gpus);

}  // namespace kisim
