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

// Whether two names are one to a reader: "RTX PRO 6000", "RTXPRO6000" and "rtx-pro-6000" differ in nothing but case and
// punctuation.
bool alike(const std::string& a, const std::string& b);
// The entry with such a name; null: none.
template <class Entry>
const Entry* find_alike(const std::vector<Entry>& entries, const std::string& name) {
  for (const Entry& entry : entries)
    if (alike(entry.name, name)) return &entry;
  return nullptr;
}

}  // namespace kisim
