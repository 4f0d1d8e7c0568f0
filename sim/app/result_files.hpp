#pragma once
// The files of a run: run.h5 and report.html. A failure is kept and told at the end, so that it costs no other result.

#include "io/run_file.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kisim::app {

class ResultFiles {
 public:
  // Empty paths: no such file. Opens run.h5, and makes its folder.
  ResultFiles(std::string directory, std::string report_path);

  bool wanted() const { return !directory_.empty() || !report_path_.empty(); }
  // Where rows of requests go while the run goes on; nullptr if nowhere.
  RequestSink* rows() { return run_file_ ? &*run_file_ : nullptr; }

  void write(const Scenario& scenario, const Summary& summary, const Recorder& recorder);

  const std::vector<std::string>& written() const { return written_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  void attempt(const std::function<void()>& action);

  std::string directory_, report_path_;
  std::optional<RunFile> run_file_;
  std::vector<std::string> written_, failures_;
};

// "<scenario>.run", with anything unfit for a file name replaced.
std::string default_directory(const std::string& scenario);

}  // namespace kisim::app
