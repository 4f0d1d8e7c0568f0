#pragma once
// The events of a run as the API keeps them: repeated ones as one with a count (client-go tools/events correlation: the
// same component says the same of the same object).

#include "kube/events.hpp"

#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace kisim {

class EventLog : public EventSink {
 public:
  static constexpr size_t kMost = 200'000;

  struct Entry {
    KubeEvent event;  // `at` is when it was last seen
    Time first;
    uint64_t count = 1;
  };

  void record(KubeEvent event) override;

  // In the order in which they were first seen.
  const std::vector<Entry>& entries() const { return entries_; }
  // New ones beyond kMost, which are only counted.
  uint64_t dropped() const { return dropped_; }

 private:
  using Key = std::tuple<std::string, std::string, std::string, uint64_t, std::string, std::string>;

  std::vector<Entry> entries_;
  std::map<Key, size_t> known_;
  uint64_t dropped_ = 0;
};

}  // namespace kisim
