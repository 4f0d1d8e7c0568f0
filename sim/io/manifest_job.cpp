// Jobs, batch/v1.

#include "io/field_error.hpp"
#include "io/manifest_kinds.hpp"

#include <algorithm>

namespace kisim {

namespace {

constexpr int64_t kMaxParallelism = 1'000'000;

// What an indexed Job may hold in its status (pkg/apis/batch/validation).
constexpr int32_t kMaxIndexedParallelism = 100'000, kMaxFailedIndexes = 100'000;
// Beyond this many completions with a limit per index, fewer may run and fail.
constexpr int32_t kManyCompletions = 100'000, kLimitOfMany = 10'000;

bool is_indexed(const Job& job) { return job.completion_mode == Job::Completion::Indexed; }

void at_most(ObjectReader& spec, std::string_view key, int32_t value, int32_t limit, const std::string& when) {
  if (value > limit) spec.invalid(key, fmt::format("must be less than or equal to {}{}", limit, when));
}

void check_many_completions(ObjectReader& spec, const Job& job) {
  if (!job.completions || *job.completions <= kManyCompletions || !job.backoff_limit_per_index) return;
  if (!job.max_failed_indexes)
    spec.required("maxFailedIndexes", fmt::format("must be specified when completions is above {}", kManyCompletions));
  const std::string when =
      fmt::format(" when completions are above {} and used with backoff limit per index", kManyCompletions);
  at_most(spec, "parallelism", job.parallelism, kLimitOfMany, when);
  at_most(spec, "maxFailedIndexes", job.max_failed_indexes.value_or(0), kLimitOfMany, when);
}

// The names of the pods of an indexed Job end with their index.
void check_pod_names(ObjectReader& object, const Job& job) {
  if (job.completions.value_or(0) == 0) return;
  const std::string last = fmt::format("{}-{}", job.meta.name, *job.completions - 1);
  if (!check_dns1123_label(last).empty())
    object.object("metadata").invalid("name", "will not able to create pod with invalid DNS label: " + last);
}

void check_indexed(ObjectReader& object, ObjectReader& spec, const Job& job) {
  if (!job.completions) spec.required("completions", "when completion mode is Indexed");
  at_most(spec, "parallelism", job.parallelism, kMaxIndexedParallelism, " when completion mode is Indexed");
  if (job.completions && job.max_failed_indexes.value_or(0) > *job.completions)
    spec.invalid("maxFailedIndexes", "must be less than or equal to completions");
  at_most(spec, "maxFailedIndexes", job.max_failed_indexes.value_or(0), kMaxFailedIndexes, "");
  check_many_completions(spec, job);
  check_pod_names(object, job);
}

void check_not_indexed(ObjectReader& spec, const Job& job) {
  constexpr const char* kNeedsIndexed = "requires indexed completion mode";
  if (job.backoff_limit_per_index) spec.invalid("backoffLimitPerIndex", kNeedsIndexed);
  if (job.max_failed_indexes) spec.invalid("maxFailedIndexes", kNeedsIndexed);
  if (spec.find("successPolicy")) spec.invalid("successPolicy", kNeedsIndexed);
}

void read_limits(ObjectReader& spec, Job& out) {
  std::optional<int32_t> parallelism, backoff_limit;
  spec.integer("parallelism", 0, kMaxParallelism, parallelism);
  spec.integer("completions", 0, INT32_MAX, out.completions);
  out.parallelism = parallelism.value_or(1);
  if (!spec.find("parallelism") && !spec.find("completions")) out.completions = 1;
  spec.seconds("activeDeadlineSeconds", 0, INT32_MAX, out.active_deadline);
  spec.seconds("ttlSecondsAfterFinished", 0, INT32_MAX, out.ttl_after_finished);
  spec.integer("backoffLimitPerIndex", 0, INT32_MAX, out.backoff_limit_per_index);
  spec.integer("maxFailedIndexes", 0, INT32_MAX, out.max_failed_indexes);
  if (out.max_failed_indexes && !out.backoff_limit_per_index)
    spec.required("backoffLimitPerIndex", "when maxFailedIndexes is specified");
  // With a limit per index, the indexes count and not the Job.
  spec.integer("backoffLimit", 0, INT32_MAX, backoff_limit);
  out.backoff_limit = backoff_limit.value_or(out.backoff_limit_per_index ? INT32_MAX : out.backoff_limit);
}

void read_replacement(ObjectReader& spec, Job& out) {
  const bool has_policy = spec.find("podFailurePolicy") != nullptr;
  if (has_policy) out.pod_replacement = Job::Replacement::Failed;
  spec.choice("podReplacementPolicy", {"TerminatingOrFailed", "Failed"}, out.pod_replacement, {Absent::Allowed, true});
  if (has_policy && out.pod_replacement == Job::Replacement::TerminatingOrFailed)
    spec.error("podReplacementPolicy", unsupported_value("\"TerminatingOrFailed\"", {"Failed"}));
}

// Pods that never end are no Job's.
void check_restart_policy(ObjectReader pod_spec, bool has_failure_policy, RestartPolicy policy) {
  const Value* written = pod_spec.find("restartPolicy");
  const bool known = !written || written->text.empty() || written->text == "Always";
  if (policy == RestartPolicy::Always && known)
    pod_spec.required("restartPolicy", "valid values: \"OnFailure\", \"Never\"");
  if (policy == RestartPolicy::OnFailure && has_failure_policy)
    pod_spec.invalid("restartPolicy", "only \"Never\" is supported when podFailurePolicy is specified");
}

void set_label(Labels& labels, const std::string& key, const std::string& value) {
  auto place = std::lower_bound(labels.begin(), labels.end(), key,
                                [](const auto& l, const std::string& k) { return l.first < k; });
  if (place == labels.end() || place->first != key) place = labels.insert(place, {key, value});
  place->second = value;
}

// Whose selector the API server generates, that it labels (pkg/registry/batch/job, generateSelector).
void label_pods(Job& job) {
  for (const char* key : {"batch.kubernetes.io/job-name", "job-name"})
    set_label(job.pod_template.labels, key, job.meta.name);
}

void read_selector(ObjectReader& spec, ObjectReader& pod_template, Job& out) {
  ObjectReader selector = spec.object("selector");
  LabelSelector read = read_label_selector(selector);
  if (!spec.flag("manualSelector")) return label_pods(out);
  if (!selector.exists())
    spec.required("selector");
  else if (!read.matches(out.pod_template.labels))
    pod_template.object("metadata").invalid("labels", "`selector` does not match template `labels`");
}

// By another controller than Kubernetes' own.
void read_managed_by(ObjectReader& spec) {
  if (spec.text("managedBy") != "kubernetes.io/job-controller") spec.unmodelled("managedBy");
}

bool has_ended(ObjectReader status) {
  bool ended = false;
  for (ObjectReader& condition : status.objects("conditions")) {
    const std::string type = condition.text("type");
    ended |= (type == "Complete" || type == "Failed") && condition.text("status") == "True";
  }
  return ended;
}

}  // namespace

void read_job(ObjectReader& object, Manifests& out) {
  Job job;
  job.meta = read_metadata(object, check_dns1123_subdomain);
  ObjectReader spec = object.object("spec"), pod_template = spec.object("template");
  job.pod_template = read_pod_template(pod_template);
  read_limits(spec, job);
  spec.choice("completionMode", {"NonIndexed", "Indexed"}, job.completion_mode, kOptional);
  if (is_indexed(job))
    check_indexed(object, spec, job);
  else
    check_not_indexed(spec, job);
  read_replacement(spec, job);
  check_restart_policy(pod_template.object("spec"), spec.find("podFailurePolicy") != nullptr,
                       job.pod_template.spec.restart_policy);
  job.suspend = spec.flag("suspend");
  spec.unmodelled({"podFailurePolicy", "successPolicy"});
  read_managed_by(spec);
  read_selector(spec, pod_template, job);
  spec.finish();
  const bool ended = has_ended(object.object("status"));
  object.finish();
  if (ended)
    object.context().ignore(job.meta.mark, "", "Jobs that have ended", Severity::Note);
  else
    out.jobs.push_back(std::move(job));
}

}  // namespace kisim
