#pragma once
// What a policy remembers between decisions. It lives in the State, so that fork() copies it with everything else.

#include <memory>
#include <utility>

namespace kisim {

// A policy derives its own memory from this; clone() must copy everything the next decision depends on.
struct PolicyMemory {
  virtual ~PolicyMemory() = default;
  virtual std::unique_ptr<PolicyMemory> clone() const = 0;
};

// For a policy whose memory is a copyable struct.
template <class Derived>
struct CopyableMemory : PolicyMemory {
  std::unique_ptr<PolicyMemory> clone() const override {
    return std::make_unique<Derived>(static_cast<const Derived&>(*this));
  }
};

// Holds a PolicyMemory as a value: copying it copies what is inside. May be empty.
class PolicyMemoryBox {
 public:
  PolicyMemoryBox() = default;
  explicit PolicyMemoryBox(std::unique_ptr<PolicyMemory> memory) : memory_(std::move(memory)) {}
  PolicyMemoryBox(const PolicyMemoryBox& other) : memory_(other.memory_ ? other.memory_->clone() : nullptr) {}
  PolicyMemoryBox(PolicyMemoryBox&&) = default;
  PolicyMemoryBox& operator=(PolicyMemoryBox other) {
    memory_ = std::move(other.memory_);
    return *this;
  }

  bool empty() const { return !memory_; }
  PolicyMemory& operator*() { return *memory_; }

 private:
  std::unique_ptr<PolicyMemory> memory_;
};

}  // namespace kisim
