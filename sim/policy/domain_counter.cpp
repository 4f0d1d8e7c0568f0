#include "policy/domain_counter.hpp"

namespace kisim {

TopologyKeyId DomainCounters::key(const std::string& name) {
  auto [known, added] = key_names_.try_emplace(name, TopologyKeyId(keys_.size()));
  if (!added) return known->second;
  TopologyKey key;
  key.name = name;
  std::map<std::string, int32_t> values;
  for (const NodeModel& node : model_->nodes) {
    const std::string* value = name.empty() ? &node.object.meta.name : find_label(node.object.meta.labels, name);
    int32_t next = static_cast<int32_t>(values.size());
    key.domain.push_back(value ? values.try_emplace(*value, next).first->second : TopologyKey::kAbsent);
  }
  key.domains = values.size();
  return keys_.push_back(std::move(key));
}

CounterId DomainCounters::add(DomainCounter counter) {
  std::vector<int64_t> identity{counter.key.value, counter.terminating, counter.dry_runs_only,
                                counter.refused_conditions};
  for (const auto& [id, weight] : counter.weights) identity.insert(identity.end(), {id.value, weight});
  identity.push_back(-1);
  identity.insert(identity.end(), counter.eligible.begin(), counter.eligible.end());
  auto [known, added] = known_.try_emplace(std::move(identity), CounterId(counters_.size()));
  if (!added) return known->second;
  counter.first = domains_;
  domains_ += keys_[counter.key].domains;
  return counters_.push_back(std::move(counter));
}

void DomainCounters::finish() {
  known_.clear();
  counting_.resize(model_->templates.size());
  for (size_t c = 0; c < counters_.size(); ++c)
    for (const auto& [id, weight] : counters_[CounterId(c)].weights) counting_[id].emplace_back(CounterId(c), weight);
  model_ = nullptr;
}

}  // namespace kisim
