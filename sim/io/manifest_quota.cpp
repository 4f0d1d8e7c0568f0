// ResourceQuotas and LimitRanges.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"
#include "io/manifest_resources.hpp"

#include <algorithm>
#include <set>

namespace kisim {

namespace {

// ------------------------------------------------------------------------------------------------------------ quotas

// In the order of ResourceQuota::Scope, but for the last one, which looks at volumes.
constexpr std::string_view kScopes[] = {"BestEffort",           "NotBestEffort", "Terminating",
                                        "NotTerminating",       "PriorityClass", "CrossNamespacePodAffinity",
                                        "VolumeAttributesClass"};
constexpr size_t kVolumes = 6, kUnknown = std::size(kScopes);

size_t find_scope(std::string_view name) {
  return static_cast<size_t>(std::find(std::begin(kScopes), std::end(kScopes), name) - std::begin(kScopes));
}

// Whether a standard resource can be counted by scope (IsResourceQuotaScopeValidForResource).
bool fits_scope(size_t scope, std::string_view resource) {
  constexpr std::string_view kCompute[] = {"pods",          "cpu",          "memory",         "limits.cpu",
                                           "limits.memory", "requests.cpu", "requests.memory"};
  if (scope == kUnknown) return true;
  if (scope == kVolumes) return resource == "persistentvolumeclaims" || resource == "requests.storage";
  if (kScopes[scope] == "BestEffort") return resource == "pods";
  return std::find(std::begin(kCompute), std::end(kCompute), resource) != std::end(kCompute);
}

// Names with a domain are no standard ones.
bool fits_scope(size_t scope, const NamedQuantities& hard) {
  return std::all_of(hard.begin(), hard.end(), [&](const NamedQuantity& q) {
    return q.name.find('/') != q.name.npos || fits_scope(scope, q.name);
  });
}

// What a pod uses up (quota/v1/evaluator/core, MatchingResources); the rest counts other objects.
bool is_of_pods(std::string_view name) {
  constexpr std::string_view kCompute[] = {"cpu", "memory", "ephemeral-storage"};
  auto is_compute = [&](std::string_view resource) {
    return std::find(std::begin(kCompute), std::end(kCompute), resource) != std::end(kCompute);
  };
  if (name == "pods" || name == "count/pods" || is_compute(name) || name.starts_with("hugepages-")) return true;
  if (name.starts_with("limits.")) return is_compute(name.substr(7));
  if (!name.starts_with("requests.")) return false;
  name.remove_prefix(9);
  return is_compute(name) || name.starts_with("hugepages-") || is_extended(std::string(name));
}

void read_hard(ObjectReader& spec, const NamedQuantities& hard, ResourceList& out) {
  check_resource_names(spec, "hard", hard, check_quota_resource);
  for (const auto& [name, amount] : amounts_at_most(hard)) {
    if (is_of_pods(name))
      out.emplace_back(name, amount);
    else
      spec.context().ignore(find_quantity(hard, name)->value->mark(), key_path(spec, "hard", name),
                            "counts no pods, ignored", Severity::Note);
  }
}

struct Scopes {
  std::vector<ResourceQuota::ScopeRequirement> of_pods;
  std::set<size_t> seen;
};

void add_scope(size_t scope, SelectorRequirement requirement, Scopes& out) {
  out.seen.insert(scope);
  if (scope < kVolumes) out.of_pods.push_back({static_cast<ResourceQuota::Scope>(scope), std::move(requirement)});
}

void read_scope_list(ObjectReader& spec, const NamedQuantities& hard, Scopes& out) {
  for (const std::string& name : spec.texts("scopes")) {
    const size_t scope = find_scope(name);
    if (scope == kUnknown) spec.invalid("scopes", "unsupported scope");
    if (!fits_scope(scope, hard)) spec.invalid("scopes", "unsupported scope applied to resource");
    add_scope(scope, {"PriorityClass", SelectorOperator::Exists, {}}, out);
  }
}

void check_values(ObjectReader& expression, const SelectorRequirement& requirement) {
  const bool needs_values = requirement.op == SelectorOperator::In || requirement.op == SelectorOperator::NotIn;
  if (needs_values && requirement.values.empty())
    expression.required("values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
  if (!needs_values && !requirement.values.empty())
    expression.invalid("values", "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
}

void read_scope_expression(ObjectReader& expression, ObjectReader& selector, const NamedQuantities& hard, Scopes& out) {
  const size_t scope = find_scope(expression.text("scopeName"));
  const std::string op = expression.text("operator");
  SelectorRequirement requirement{"PriorityClass", SelectorOperator::In, expression.texts("values")};
  expression.finish();
  if (scope == kUnknown) expression.invalid("scopeName", "unsupported scope");
  if (!fits_scope(scope, hard))
    selector.error("matchExpressions", invalid_value(selector.shown(), "unsupported scope applied to resource"));
  const bool has_names = scope == kUnknown || scope == kVolumes || kScopes[scope] == "PriorityClass";
  if (!has_names && op != "Exists")
    expression.invalid("operator",
                       "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                       "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                       "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
  constexpr std::string_view kOperators[] = {"In", "NotIn", "Exists", "DoesNotExist"};
  const auto place = std::find(std::begin(kOperators), std::end(kOperators), op);
  if (place == std::end(kOperators)) return expression.invalid("operator", "not a valid selector operator");
  requirement.op = static_cast<SelectorOperator>(place - std::begin(kOperators));
  check_values(expression, requirement);
  add_scope(scope, std::move(requirement), out);
}

void check_conflicts(ObjectReader& holder, std::string_view key, const Scopes& scopes) {
  for (const auto& [one, other] : {std::pair{"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}})
    if (scopes.seen.contains(find_scope(one)) && scopes.seen.contains(find_scope(other)))
      holder.invalid(key, "conflicting scopes");
}

Scopes read_scopes(ObjectReader& spec, const NamedQuantities& hard) {
  Scopes out, selected;
  read_scope_list(spec, hard, out);
  check_conflicts(spec, "scopes", out);
  ObjectReader selector = spec.object("scopeSelector");
  for (ObjectReader& expression : selector.objects("matchExpressions"))
    read_scope_expression(expression, selector, hard, selected);
  check_conflicts(selector, "matchExpressions", selected);
  selector.finish();
  out.of_pods.insert(out.of_pods.end(), selected.of_pods.begin(), selected.of_pods.end());
  out.seen.merge(selected.seen);
  return out;
}

// ------------------------------------------------------------------------------------------------------ limit ranges

// The lists of one item, with the API server's defaults.
struct LimitLists {
  NamedQuantities max, min, default_limit, default_request, ratio;
};

void fill_absent(const NamedQuantities& from, NamedQuantities& list) {
  for (const NamedQuantity& q : from)
    if (!find_quantity(list, q.name)) list.push_back(q);
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

// apis/core/v1, SetDefaults_LimitRangeItem
void set_defaults(LimitLists& lists) {
  fill_absent(lists.max, lists.default_limit);
  fill_absent(lists.default_limit, lists.default_request);
  fill_absent(lists.min, lists.default_request);
}

// The checks of one resource between the lists of an item (apis/core/validation, ValidateLimitRange).
class LimitChecker {
 public:
  LimitChecker(ObjectReader& item, const LimitLists& lists, const std::string& resource)
      : item_(item),
        resource_(resource),
        max_(find_quantity(lists.max, resource)),
        min_(find_quantity(lists.min, resource)),
        default_limit_(find_quantity(lists.default_limit, resource)),
        default_request_(find_quantity(lists.default_request, resource)),
        ratio_(find_quantity(lists.ratio, resource)) {}

  void check() {
    in_order(min_, max_, "min", min_, "min value {} is greater than max value {}");
    in_order(min_, default_request_, "defaultRequest", default_request_,
             "min value {} is greater than default request value {}");
    in_order(default_request_, max_, "defaultRequest", default_request_,
             "default request value {} is greater than max value {}");
    in_order(default_request_, default_limit_, "defaultRequest", default_request_,
             "default request value {} is greater than default limit value {}");
    in_order(min_, default_limit_, "default", min_, "min value {} is greater than default value {}");
    in_order(default_limit_, max_, "default", max_, "default value {} is greater than max value {}");
    check_ratio();
    check_equal_defaults();
  }

 private:
  static const std::string& text(const NamedQuantity* q) { return q->value->text; }

  void complain(std::string_view list, const NamedQuantity* shown, const std::string& detail) {
    item_.context().error(shown->value->mark(), key_path(item_, list, resource_),
                          invalid_value(quote(text(shown)), detail));
  }

  void in_order(const NamedQuantity* low, const NamedQuantity* high, std::string_view list, const NamedQuantity* shown,
                const char* detail) {
    if (low && high && low->quantity > high->quantity)
      complain(list, shown, fmt::format(fmt::runtime(detail), text(low), text(high)));
  }

  void check_ratio() {
    if (!ratio_) return;
    if (ratio_->quantity < Quantity::units(1))
      complain("maxLimitRequestRatio", ratio_, fmt::format("ratio {} is less than 1", text(ratio_)));
    if (!min_ || !max_) return;
    const double most =
        static_cast<double>(max_->quantity.milli_value()) / static_cast<double>(min_->quantity.milli_value());
    if (static_cast<double>(ratio_->quantity.milli_value()) / 1000 > most)
      complain("maxLimitRequestRatio", ratio_,
               fmt::format("ratio {} is greater than max/min = {:f}", text(ratio_), most));
  }

  void check_equal_defaults() {
    if (may_overcommit(resource_) || !default_limit_ || !default_request_) return;
    if (default_limit_->quantity != default_request_->quantity)
      complain("defaultRequest", default_request_,
               fmt::format("default value {} must equal to defaultRequest value {} in {}", text(default_limit_),
                           text(default_request_), resource_));
  }

  ObjectReader& item_;
  const std::string& resource_;
  const NamedQuantity *max_, *min_, *default_limit_, *default_request_, *ratio_;
};

void check_lists(ObjectReader& item, const LimitLists& lists) {
  std::set<std::string> resources;
  for (const NamedQuantities* list :
       {&lists.max, &lists.min, &lists.default_limit, &lists.default_request, &lists.ratio})
    for (const NamedQuantity& q : *list) resources.insert(q.name);
  for (const std::string& resource : resources) LimitChecker(item, lists, resource).check();
}

LimitLists read_lists(ObjectReader& item, bool of_containers) {
  LimitLists out;
  auto read = [&](std::string_view key, NamedQuantities& list) {
    list = read_quantities(item, key);
    check_resource_names(item, key, list, check_container_resource);
  };
  read("max", out.max);
  read("min", out.min);
  for (const char* key : {"default", "defaultRequest"})
    if (const Value* value = item.find(key); !of_containers && value && !value->members.empty())
      item.forbidden(key, "may not be specified when `type` is 'Pod'");
  if (of_containers) {
    read("default", out.default_limit);
    read("defaultRequest", out.default_request);
    set_defaults(out);
  }
  read("maxLimitRequestRatio", out.ratio);
  return out;
}

LimitRange::Item read_limits(ObjectReader& item, LimitRange::Item::Type type) {
  LimitLists lists = read_lists(item, type == LimitRange::Item::Type::Container);
  check_lists(item, lists);
  item.finish();
  LimitRange::Item out{type,
                       amounts_at_most(lists.max),
                       amounts(lists.min),
                       amounts(lists.default_limit),
                       amounts(lists.default_request),
                       {}};
  for (const NamedQuantity& q : lists.ratio)
    out.max_limit_request_ratio.emplace_back(q.name, static_cast<double>(q.quantity.milli_value()) / 1000);
  return out;
}

// Claims of volumes and kinds of other domains say nothing about pods.
void read_other_limits(ObjectReader& item, const std::string& type) {
  auto sets = [&](const char* list) {
    const Value* value = item.find(list);
    return value && value->find("storage");
  };
  if (type == "PersistentVolumeClaim" && !sets("min") && !sets("max"))
    item.required("limits", "either minimum or maximum storage value is required, but neither was provided");
  if (type != "PersistentVolumeClaim" && type.find('/') == type.npos)
    item.invalid("type", "must be a standard limit type or fully qualified");
}

}  // namespace

void read_resource_quota(ObjectReader& object, Manifests& out) {
  ResourceQuota quota;
  quota.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader spec = object.object("spec");
  const NamedQuantities hard = read_quantities(spec, "hard");
  read_hard(spec, hard, quota.hard);
  Scopes scopes = read_scopes(spec, hard);
  quota.scopes = std::move(scopes.of_pods);
  object.harmless({"status"});
  spec.finish();
  object.finish();
  if (scopes.seen.contains(kVolumes)) return;
  out.resource_quotas.push_back(std::move(quota));
}

void read_limit_range(ObjectReader& object, Manifests& out) {
  LimitRange range;
  range.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader spec = object.object("spec");
  std::set<std::string> types;
  for (ObjectReader& item : spec.objects("limits")) {
    const std::string type = item.text("type");
    if (!types.insert(type).second) item.duplicate("type", quote(type));
    if (type == "Container")
      range.limits.push_back(read_limits(item, LimitRange::Item::Type::Container));
    else if (type == "Pod")
      range.limits.push_back(read_limits(item, LimitRange::Item::Type::Pod));
    else
      read_other_limits(item, type);
  }
  spec.finish();
  object.finish();
  out.limit_ranges.push_back(std::move(range));
}

}  // namespace kisim
