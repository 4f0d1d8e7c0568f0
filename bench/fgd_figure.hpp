#pragma once
// The figure of the FGD reproduction, as the paper's Figure 9a: allocated over requested GPU, one line per policy.

#include "fgd_data.hpp"

#include <optional>
#include <string>
#include <vector>

namespace kisim {

struct FgdLine {
  std::string policy;
  FgdCurve ours{};
  std::optional<FgdCurve> published;
};

// A whole SVG document. `lines` from the policy that allocates the least.
std::string fgd_figure(const std::string& trace, const std::vector<FgdLine>& lines);

}  // namespace kisim
