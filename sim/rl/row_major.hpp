#pragma once

#include <Eigen/Core>

namespace kisim {

// A matrix row by row, as it lies in files and in libtorch's tensors.
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace kisim
