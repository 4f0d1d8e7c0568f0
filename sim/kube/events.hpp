#pragma once
// Events of the API (core/v1 Event), as the components of the control plane record them.

#include "core/time.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace kisim {

struct KubeEvent {
  enum class Type : uint8_t { Normal, Warning } type = Type::Normal;
  Time at;
  std::string reason;      // "FailedScheduling"
  std::string_view kind;   // of the object: "Pod"; lives as long as the program
  std::string namespace_;  // empty: the object has none
  std::string name;        // of the object
  std::string message;
  std::string_view component;  // that recorded it: "kubelet"; likewise
  uint64_t uid = 0;            // tells apart objects that have the same name one after the other
};

// Who wants to hear of them. A run without one forms no text.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void record(KubeEvent event) = 0;
};

}  // namespace kisim
