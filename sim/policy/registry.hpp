#pragma once
// Policies by role and name. A policy is one file in policies/<role>/ that ends with one registration line:
//
//   KISIM_POLICY(Router, "random", "any endpoint, each equally likely", {}, [](const Params&) { … });
//
// Folders of policies are CMake OBJECT libraries, so the registering object cannot be dropped by the linker.

#include "core/error.hpp"
#include "policy/param.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace kisim {

template <class Role>
class Registry {
 public:
  using Factory = std::unique_ptr<const Role> (*)(const Params&);
  struct Entry {
    std::string name, doc;
    std::vector<ParamSpec> params;
    Factory make;
  };

  static Registry& instance() {
    static Registry registry;
    return registry;
  }
  bool add(Entry entry) {
    std::string name = entry.name;
    bool added = entries_.emplace(name, std::move(entry)).second;
    KISIM_INVARIANT(added, "two policies of one role are named {}", name);
    return added;
  }
  const Entry* find(const std::string& name) const {
    auto it = entries_.find(name);
    return it == entries_.end() ? nullptr : &it->second;
  }
  // By name, in alphabetical order: the order of registration is the linker's and means nothing.
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry> entries_;
};

}  // namespace kisim

#define KISIM_CONCAT_(a, b) a##b
#define KISIM_CONCAT(a, b) KISIM_CONCAT_(a, b)
#define KISIM_POLICY(Role, ...)                                                  \
  [[maybe_unused]] static const bool KISIM_CONCAT(kisim_registered_, __LINE__) = \
      ::kisim::Registry<Role>::instance().add({__VA_ARGS__})
