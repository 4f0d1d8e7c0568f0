// Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs.
#include "io/manifest_text.hpp"

using namespace kisim;
using namespace kisim::test;
using Catch::Matchers::Contains;

namespace {

// An object of apps/v1 or batch/v1 whose pods are labelled app: llama.
std::string workload(const std::string& kind, const std::string& spec, const std::string& pod_spec = "") {
  return "apiVersion: " + std::string(kind == "Job" ? "batch" : "apps") + "/v1\nkind: " + kind +
         "\nmetadata: {name: llama}\nspec:\n" + (kind == "Job" ? "" : "  selector: {matchLabels: {app: llama}}\n") +
         indented(spec, 2) + "  template:\n    metadata: {labels: {app: llama}}\n    spec: {" + pod_spec +
         "containers: [{name: main, image: i}]}\n";
}

Deployment deployment_of(const std::string& spec) { return good(workload("Deployment", spec)).deployments.at(0); }
StatefulSet stateful_set(const std::string& spec) { return good(workload("StatefulSet", spec)).stateful_sets.at(0); }
DaemonSet daemon_set(const std::string& spec) { return good(workload("DaemonSet", spec)).daemon_sets.at(0); }
Job job(const std::string& spec) { return good(workload("Job", spec, "restartPolicy: Never, ")).jobs.at(0); }

bool is(const IntOrPercent& amount, int32_t value, bool percent) {
  return amount.value == value && amount.percent == percent;
}

}  // namespace

TEST_CASE("a deployment's rollout, and its defaults") {
  Deployment d = deployment_of("replicas: 4");
  CHECK(d.replicas == 4);
  CHECK(d.has_replicas);
  CHECK(d.strategy == Deployment::Strategy::RollingUpdate);
  CHECK(is(d.rolling_update.max_surge, 25, true));
  CHECK(is(d.rolling_update.max_unavailable, 25, true));
  CHECK(d.min_ready == Duration{});
  CHECK(d.progress_deadline == Duration::seconds(600));
  CHECK(d.revision_history_limit == 10);
  CHECK_FALSE(d.paused);

  d = deployment_of(R"(strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 150%, maxUnavailable: 0}}
minReadySeconds: 5
progressDeadlineSeconds: 6
revisionHistoryLimit: 0
paused: true)");
  CHECK(is(d.rolling_update.max_surge, 150, true));
  CHECK(is(d.rolling_update.max_unavailable, 0, false));
  CHECK(d.min_ready == Duration::seconds(5));
  CHECK(d.progress_deadline == Duration::seconds(6));
  CHECK(d.revision_history_limit == 0);
  CHECK(d.paused);
  CHECK_FALSE(d.has_replicas);
  CHECK(deployment_of("strategy: {type: Recreate, rollingUpdate: null}").strategy == Deployment::Strategy::Recreate);
  CHECK(good(workload("ReplicaSet", "minReadySeconds: 7")).replica_sets[0].min_ready == Duration::seconds(7));
}

TEST_CASE("finalizers are read") {
  Manifests m = good(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p, finalizers: [example.com/hold, foregroundDeletion]}\n"
      "spec: {containers: [{name: m, image: i}]}\n");
  CHECK(m.pods[0].meta.finalizers == std::vector<std::string>{"example.com/hold", "foregroundDeletion"});
}

TEST_CASE("a stateful set, and its defaults") {
  StatefulSet s = stateful_set("serviceName: llama");
  CHECK(s.replicas == 1);
  CHECK(s.pod_management == StatefulSet::PodManagement::OrderedReady);
  CHECK(s.update == StatefulSet::Update::RollingUpdate);
  CHECK(s.partition == 0);
  CHECK(s.first_ordinal == 0);

  s = stateful_set(R"(replicas: 3
podManagementPolicy: Parallel
updateStrategy: {rollingUpdate: {partition: 2, maxUnavailable: 1}}
ordinals: {start: 5}
minReadySeconds: 4
revisionHistoryLimit: 3)");
  CHECK(s.replicas == 3);
  CHECK(s.pod_management == StatefulSet::PodManagement::Parallel);
  CHECK(s.partition == 2);
  CHECK(s.first_ordinal == 5);
  CHECK(s.min_ready == Duration::seconds(4));
  CHECK(stateful_set("updateStrategy: {type: OnDelete}").update == StatefulSet::Update::OnDelete);

  Read more = read(workload("StatefulSet",
                            "updateStrategy: {rollingUpdate: {maxUnavailable: 2}}\n"
                            "volumeClaimTemplates: [{metadata: {name: data}}]"));
  REQUIRE(more.warnings().size() == 2);
  CHECK_THAT(more.warnings()[0], Contains("spec.updateStrategy.rollingUpdate.maxUnavailable: not modelled"));
  CHECK_THAT(more.warnings()[1], Contains("spec.volumeClaimTemplates: not modelled"));
}

TEST_CASE("a daemon set, and its defaults") {
  DaemonSet d = daemon_set("minReadySeconds: 3");
  CHECK(d.update == DaemonSet::Update::RollingUpdate);
  CHECK(is(d.rolling_update.max_surge, 0, false));
  CHECK(is(d.rolling_update.max_unavailable, 1, false));
  CHECK(d.min_ready == Duration::seconds(3));
  d = daemon_set("updateStrategy: {rollingUpdate: {maxSurge: 10%, maxUnavailable: 0}}");
  CHECK(is(d.rolling_update.max_surge, 10, true));
  CHECK(is(d.rolling_update.max_unavailable, 0, false));
  CHECK(daemon_set("updateStrategy: {type: OnDelete}").update == DaemonSet::Update::OnDelete);
}

TEST_CASE("a job, and its defaults") {
  Job j = job("suspend: false");
  CHECK(j.parallelism == 1);
  CHECK(j.completions == 1);
  CHECK(j.completion_mode == Job::Completion::NonIndexed);
  CHECK(j.backoff_limit == 6);
  CHECK(j.pod_replacement == Job::Replacement::TerminatingOrFailed);
  CHECK_FALSE(j.active_deadline);
  CHECK_FALSE(j.ttl_after_finished);
  CHECK_FALSE(j.suspend);
  CHECK(j.pod_template.spec.restart_policy == RestartPolicy::Never);

  CHECK_FALSE(job("parallelism: 3").completions);  // done when one has succeeded
  CHECK(job("completions: 5").parallelism == 1);

  j = job(R"(completionMode: Indexed
completions: 8
parallelism: 0
backoffLimitPerIndex: 1
maxFailedIndexes: 2
activeDeadlineSeconds: 60
ttlSecondsAfterFinished: 0
podReplacementPolicy: Failed
suspend: true
managedBy: kubernetes.io/job-controller)");
  CHECK(j.completion_mode == Job::Completion::Indexed);
  CHECK(j.completions == 8);
  CHECK(j.parallelism == 0);
  CHECK(j.backoff_limit == INT32_MAX);
  CHECK(j.backoff_limit_per_index == 1);
  CHECK(j.max_failed_indexes == 2);
  CHECK(j.active_deadline == Duration::seconds(60));
  CHECK(j.ttl_after_finished == Duration{});
  CHECK(j.pod_replacement == Job::Replacement::Failed);
  CHECK(j.suspend);
}

TEST_CASE("the pods of a job carry its name, unless their labels are the user's") {
  CHECK(job("suspend: false").pod_template.labels ==
        Labels{{"app", "llama"}, {"batch.kubernetes.io/job-name", "llama"}, {"job-name", "llama"}});
  CHECK(job("manualSelector: true\nselector: {matchLabels: {app: llama}}").pod_template.labels ==
        Labels{{"app", "llama"}});
}

TEST_CASE("policies of jobs that are not modelled are told") {
  Read r = read(workload("Job",
                         "completionMode: Indexed\ncompletions: 2\npodFailurePolicy: {rules: [{action: Ignore}]}\n"
                         "successPolicy: {rules: [{succeededCount: 1}]}\nmanagedBy: kueue.x-k8s.io/multikueue",
                         "restartPolicy: Never, "));
  CHECK(r.errors().empty());
  REQUIRE(r.warnings().size() == 3);
  CHECK_THAT(r.warnings()[0], Contains("spec.podFailurePolicy: not modelled"));
  CHECK_THAT(r.warnings()[1], Contains("spec.successPolicy: not modelled"));
  CHECK_THAT(r.warnings()[2], Contains("spec.managedBy: not modelled"));
  CHECK(r.objects.jobs[0].pod_replacement == Job::Replacement::Failed);
}

TEST_CASE("of a dump, what workloads have made goes, and jobs that have ended") {
  auto pod_of = [](const std::string& kind, const std::string& name) {
    return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "-x, ownerReferences: [{kind: " + kind +
           ", name: " + name + ", controller: true}]}\nspec: {containers: [{name: m, image: i}]}\n";
  };
  Read r = read(workload("StatefulSet", "replicas: 2") + "---\n" + workload("DaemonSet", "minReadySeconds: 1") +
                "---\n" + workload("Job", "suspend: false", "restartPolicy: Never, ") + pod_of("StatefulSet", "llama") +
                pod_of("DaemonSet", "llama") + pod_of("Job", "llama") + pod_of("Job", "other"));
  CHECK(r.warnings().empty());
  REQUIRE(r.objects.pods.size() == 1);
  CHECK(r.objects.pods[0].meta.owner_name == "other");
  REQUIRE(r.notes().size() == 1);
  CHECK_THAT(r.notes()[0], Contains("Pods that a workload of this input creates itself: 3 objects ignored"));

  for (const char* type : {"Complete", "Failed"}) {
    Read ended = read(workload("Job", "suspend: false", "restartPolicy: Never, ") +
                      "status: {conditions: [{type: " + type + ", status: \"True\"}]}\n");
    CHECK(ended.objects.jobs.empty());
    CHECK(ended.notes() == std::vector<std::string>{"m.yaml:1:1: Jobs that have ended: 1 object ignored"});
  }
  CHECK(read(workload("Job", "suspend: true", "restartPolicy: Never, ") +
             "status: {conditions: [{type: Suspended, status: \"True\"}, {type: Failed, status: \"False\"}]}\n")
            .objects.jobs.size() == 1);
}

TEST_CASE("cron jobs are noted") {
  Read r = read("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\n");
  CHECK(r.notes() == std::vector<std::string>{"m.yaml:1:1: kind CronJob is not modelled: 1 object ignored"});
}
