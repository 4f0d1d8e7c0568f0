#include "policy/descheduler_args.hpp"

#include <algorithm>

namespace kisim {

namespace {

template <class T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

bool SelectorArgument::operator==(const SelectorArgument& other) const {
  return std::equal(requirements.begin(), requirements.end(), other.requirements.begin(), other.requirements.end(),
                    [](const SelectorRequirement& a, const SelectorRequirement& b) {
                      return a.key == b.key && a.op == b.op && a.values == b.values;
                    });
}

bool NamespacesArgument::admits(const std::string& name) const {
  return (include.empty() || contains(include, name)) && !contains(exclude, name);
}

bool DefaultEvictorArgs::protects(PodProtection protection) const { return contains(protections, protection); }

}  // namespace kisim
