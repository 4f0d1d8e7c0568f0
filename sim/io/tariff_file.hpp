#pragma once
// A figure that changes in time, as CSV.

#include "run/scenario.hpp"

namespace kisim {

// Plain or gzip; the columns `at` (seconds from the start, the first 0; or dates, which count from the first) and
// `figure`, among others. `mark` is where the file was named. Throws IoError, InputError.
std::vector<TariffSpec::Step> read_tariff(const std::string& path, const std::string& figure, const SourceMark& mark);

}  // namespace kisim
