#pragma once
// run.h5: everything a run leaves behind, one file per run. Layout, all numbers little-endian:
//
//   /meta                              attributes: format_version, kisim_version, scenario, scenario_hash, seed,
//                                      signature
//   /scenario, /summary                texts: the YAML as read, the summary as JSON
//   /series/<metric>/<labels>/t,value  columns; attributes of the group: metric, unit, labels (JSON)
//   /requests/<column>                 one element per recorded request; `source` and `outcome` have the attribute
//                                      `names`; other attributes: unit
//   /pods/<column>, /scalings/<column>, /gpus/<column>, /starts/<column>
//                                      one element per pod, scaling, GPU, start of a pod's containers
//
// Names of metrics and labels are percent-encoded where they hold anything but letters, digits, '_', '-', '.', '='
// and ','. The file holds nothing measured on the wall clock: equal runs write equal bytes.

#include "core/atomic_file.hpp"
#include "io/h5.hpp"
#include "run/recorder.hpp"
#include "run/scenario.hpp"
#include "run/summary.hpp"

#include <memory>
#include <string>

namespace kisim {

// Written as `<path>.part` and renamed when finished; removed when not. As a RequestSink it streams rows of requests
// while the run goes on (Record::All).
class RunFile : public RequestSink {
 public:
  // Throws IoError.
  explicit RunFile(std::string path);
  ~RunFile() override;

  // Never throws: the simulation goes on, the failure is told by finish().
  void record(const RequestRecord& record) override;

  // Writes the rest and gives the file its name. Throws IoError.
  void finish(const Scenario& scenario, const Summary& summary, const Recorder& recorder);

 private:
  struct RequestColumns;

  void append(const RequestRecord& record);
  void write_meta(const Scenario& scenario, const Summary& summary);
  void write_series(const std::vector<Series>& series);
  void write_requests(const Recorder& recorder);
  void write_pods(const std::vector<PodRecord>& pods);
  void write_gpus(const std::vector<GpuRecord>& gpus);
  void write_starts(const std::vector<StartRecord>& starts);
  void write_scalings(const std::vector<ScalingRecord>& scalings);
  template <class T>
  void write_column(const std::string& path, const std::vector<T>& values, const std::string& unit);

  PartFile part_;
  h5::File file_;  // after part_: closed before the file is removed
  std::unique_ptr<RequestColumns> requests_;
  std::string failure_;  // of record()
};

}  // namespace kisim
