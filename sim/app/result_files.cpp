#include "result_files.hpp"

#include "core/error.hpp"
#include "io/report.hpp"

#include <cctype>

namespace kisim::app {

ResultFiles::ResultFiles(std::string directory, std::string report_path)
    : directory_(std::move(directory)), report_path_(std::move(report_path)) {
  if (directory_.empty()) return;
  if (report_path_.empty()) report_path_ = directory_ + "/report.html";
  attempt([&] {
    make_directories(directory_);
    run_file_.emplace(directory_ + "/run.h5");
  });
}

void ResultFiles::attempt(const std::function<void()>& action) {
  try {
    action();
  } catch (const IoError& error) {
    failures_.push_back(error.what());
  }
}

void ResultFiles::write(const Scenario& scenario, const Summary& summary, const Recorder& recorder) {
  attempt([&] {
    if (report_path_.empty()) return;
    write_report(report_path_, scenario, summary, recorder);
    written_.push_back(report_path_);
  });
  attempt([&] {
    if (!run_file_) return;
    run_file_->finish(scenario, summary, recorder);
    written_.push_back(directory_ + "/run.h5");
  });
  run_file_.reset();
}

std::string default_directory(const std::string& scenario) {
  std::string name;
  for (unsigned char c : scenario)
    name += std::isalnum(c) || c == '-' || c == '_' || c == '.' ? static_cast<char>(c) : '-';
  if (name.empty() || name[0] == '.') name.insert(0, 1, '-');
  return name + ".run";
}

}  // namespace kisim::app
