#pragma once
// Between which values a figure is.

namespace kisim {

struct Interval {
  double low = 0, high = 0;
};

}  // namespace kisim
