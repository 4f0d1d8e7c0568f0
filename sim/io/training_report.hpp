#pragma once
// The report of a training: its learning curves on one HTML page (io/report_page.hpp), from the files that it left.

#include <string>

namespace kisim {

// Reads training.json of the directory and, of each seed that has begun, seed-<s>/curves.csv with the scores in its
// best and last policy; writes report.html beside them, whole or not at all. Returns its path. Holds nothing measured
// on the wall clock: equal trainings give equal pages. Throws InputError, IoError.
std::string write_training_report(const std::string& directory);

}  // namespace kisim
