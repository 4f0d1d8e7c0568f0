#include "tensor.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>

namespace kisim::learning {

void use_one_thread() {
  at::set_num_threads(1);
  // Only OpenBLAS has this function, and which BLAS there is shows when the program starts.
  using SetThreads = void (*)(int);
  if (auto set_threads = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set_threads(1);
}

}  // namespace kisim::learning
