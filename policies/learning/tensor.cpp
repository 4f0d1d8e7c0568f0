#include "tensor.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <string_view>

namespace kisim::learning {

namespace {

// Which BLAS there is shows when the program starts; null for a function that it lacks.
template <typename Function>
Function* blas_function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

void use_one_thread() {
  at::set_num_threads(1);
  if (auto* set_threads = blas_function<void(int)>("openblas_set_num_threads")) set_threads(1);
}

bool threads_may_multiply() {
  auto* config = blas_function<const char*()>("openblas_get_config");
  const std::string_view built_with = config ? config() : "";
  return built_with.find("SINGLE_THREADED") == std::string_view::npos ||
         built_with.find("USE_LOCKING") != std::string_view::npos;
}

}  // namespace kisim::learning
