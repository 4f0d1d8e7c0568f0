#pragma once
// `kisim bench fgd`: the comparison of placement policies for shared GPUs of Weng et al., "Beware of Fragmentation:
// Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent" (ATC'23), run through kisim's scheduler and
// held against the results published with it.

#include <ostream>
#include <string>

namespace kisim {

struct FgdOptions {
  std::string data;    // a directory as read_fgd_data() takes it
  int seeds = 10;      // from 42 on, as published; >= 1; the marks are for means of ten
  std::string figure;  // path of an SVG like the paper's Figure 9a; empty: none
  int threads = 0;     // 0: as many as the machine has cores
};

// Prints a table per trace, the order of the policies, the speed and, as the last line, the verdict. Returns 0, or 1 if
// a published mean is missed by more than its mark or the order on the default trace is not the published one. Throws
// IoError and InputError as read_fgd_data().
int run_fgd(const FgdOptions& options, std::ostream& out);

}  // namespace kisim
