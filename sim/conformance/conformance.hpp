#pragma once
// Records of the real Kubernetes code, replayed against this one. A record is a line of a JSON Lines file, plain or
// gzip; it says of itself which set it belongs to.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace kisim {

struct SetAgreement {
  size_t records = 0, agreed = 0;
  size_t steps = 0;       // decisions compared, in all records together
  bool supported = true;  // false: kisim has no part that could answer, and nothing was compared
  size_t advisories = 0;  // records outside a range that was seen but is no bound: told, not failed
};

struct ConformanceReport {
  std::map<std::string, SetAgreement> sets;
  std::vector<std::string> disagreements;  // the first ones, in full
  std::vector<std::string> advisories;     // likewise

  // True if there are records and every one of them agreed.
  bool agreed() const;
};

struct ConformanceOptions {
  size_t disagreements = 10;  // told in full
};

// kube-scheduler: sets decisions, strategies, sampling, preemption and queue. Throws InputError on a line that is no
// record, IoError on a file that cannot be read.
ConformanceReport check_kube_scheduler(const std::vector<std::string>& files, const ConformanceOptions& options = {});

// descheduler: one cycle per record; sets by plugin. Throws as above.
ConformanceReport check_descheduler(const std::vector<std::string>& files, const ConformanceOptions& options = {});

// hpa: sets calc, behavior and sequence, told apart by their fields. A sequence is replayed twice: step by step against
// the policy, and as a whole run of a cluster whose autoscaler is shown what the record says. Throws as above.
ConformanceReport check_hpa(const std::vector<std::string>& files, const ConformanceOptions& options = {});

}  // namespace kisim
