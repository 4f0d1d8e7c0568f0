#pragma once
// libtorch, as far as learning needs it: tensors and their gradients. Networks, optimisers and random numbers are our
// own, so that equal seeds give equal bits whatever libtorch's version.

#include <torch/types.h>

namespace kisim::learning {

using torch::Tensor;

// libtorch and the BLAS below it on one thread, for the thread that calls. Their own threads spin while they wait,
// which costs more than they bring at these sizes, and sums would depend on their number.
void use_one_thread();

// False where threads that multiply at the same time spoil each other's products: OpenBLAS built without threads does
// not lock its buffers, unless it was built with USE_LOCKING (OpenBLAS' FAQ, "multi-threaded applications").
bool threads_may_multiply();

}  // namespace kisim::learning
