#include "kube/job_controller.hpp"

#include "kube_world.hpp"

#include <catch2/catch.hpp>

namespace kisim::test {
namespace {

struct Batch {
  Batch(const Job& object, double run_seconds, double failure = 0) {
    setup.add_node("a", 64000);
    PodSpec spec = setup.pod();
    spec.restart_policy = RestartPolicy::Never;
    id = setup.add_object("batch", object, spec);
    setup.kube.workloads[id].behaviour.run = Distribution::constant(run_seconds);
    setup.kube.workloads[id].behaviour.failure = failure;
  }
  KubeSetup setup;
  WorkloadId id;
};

std::string condition(KubeRun& run, WorkloadId id) {
  for (const Condition& c : run.state().workloads[id].conditions) return fmt::format("{} {}", c.type, c.reason);
  return "";
}

TEST_CASE("a Job runs parallelism pods at a time until completions have succeeded", "[job]") {
  Job job;
  job.parallelism = 2;
  job.completions = 5;
  Batch b(job, 10);
  KubeRun run(b.setup);
  run.run_until(at(5));
  CHECK(run.cluster().state.counts[TemplateId(0u)].active == 2);
  run.run_until(at(29));
  CHECK(condition(run, b.id).empty());
  run.run_until(at(31));  // 2 + 2 + 1
  CHECK(run.pods_in(PodPhase::Succeeded) == 5);
  CHECK(condition(run, b.id) == "Complete CompletionsReached");
  CHECK(run.state().workloads[b.id].job.ended == at(30));
  CHECK(run.decided("Completed") == 1);
}

TEST_CASE("an indexed Job gives every index a pod", "[job]") {
  Job job;
  job.parallelism = 3;
  job.completions = 3;
  job.completion_mode = Job::Completion::Indexed;
  Batch b(job, 10);
  KubeRun run(b.setup);
  run.run_until(at(1));
  std::vector<uint32_t> indexes;
  for (PodId pod : run.cluster().state.workload_pods[b.id.value])
    indexes.push_back(run.cluster().state.pods[pod].index);
  CHECK(indexes == std::vector<uint32_t>{0, 1, 2});
  run.run_until(at(20));
  CHECK(condition(run, b.id) == "Complete CompletionsReached");
}

TEST_CASE("pods that fail are made again after 10 s, 20 s, 40 s, until backoffLimit", "[job]") {
  Job job;
  job.completions = 1;
  job.backoff_limit = 2;
  Batch b(job, 1, 1.0);
  KubeRun run(b.setup);
  run.run_until(at(1000));
  REQUIRE(run.cluster().state.pods.size() == 3);
  CHECK(run.pod(1).created == at(11));  // the first ended at 1 s
  CHECK(run.pod(2).created == at(32));  // the second at 12 s
  CHECK(condition(run, b.id) == "Failed BackoffLimitExceeded");
}

TEST_CASE("activeDeadlineSeconds ends a Job and its pods", "[job]") {
  Job job;
  job.active_deadline = 60_s;
  Batch b(job, 1000);
  KubeRun run(b.setup);
  run.run_until(at(59));
  CHECK(condition(run, b.id).empty());
  run.run_until(at(61));
  CHECK(condition(run, b.id) == "Failed DeadlineExceeded");
  CHECK(run.cluster().state.counts[TemplateId(0u)].active == 0);
}

TEST_CASE("a finished Job goes with its pods after its TTL", "[job]") {
  Job job;
  job.ttl_after_finished = 100_s;
  Batch b(job, 10);
  KubeRun run(b.setup);
  run.run_until(at(109));
  CHECK(run.cluster().state.workload_pods[b.id.value].size() == 1);
  run.run_until(at(111));
  CHECK(run.cluster().state.workload_pods[b.id.value].empty());
}

TEST_CASE("a suspended Job has no pods", "[job]") {
  Job job;
  Batch b(job, 1000);
  job.suspend = true;
  b.setup.kube.specs.push_back({job, TemplateId(0u), std::nullopt});
  b.setup.apply(50, b.id, SpecId(1u));
  KubeRun run(b.setup);
  run.run_until(at(49));
  CHECK(run.cluster().state.counts[TemplateId(0u)].active == 1);
  run.run_until(at(51));
  CHECK(run.cluster().state.counts[TemplateId(0u)].active == 0);
  CHECK(run.decided("Suspended") == 1);
}

TEST_CASE("with backoffLimitPerIndex each index waits for itself", "[job]") {
  Job job;
  job.completion_mode = Job::Completion::Indexed;
  job.completions = job.parallelism = 2;
  job.backoff_limit = 100;
  job.backoff_limit_per_index = 2;
  Batch b(job, 1, 1.0);
  KubeRun run(b.setup);
  run.run_until(at(1000));
  REQUIRE(run.cluster().state.pods.size() == 6);
  for (uint32_t p : {2u, 3u}) CHECK(run.pod(p).created == at(11));  // the first of each ended at 1 s
  for (uint32_t p : {4u, 5u}) CHECK(run.pod(p).created == at(32));  // the second at 12 s
  CHECK(condition(run, b.id) == "Failed FailedIndexes");
}

TEST_CASE("a pod that others delete has failed: at once, or at its end with podReplacementPolicy Failed", "[job]") {
  Job job;
  Action drain;
  drain.kind = Action::Kind::Drain;
  drain.at = at(5);
  drain.node = NodeId(0u);
  auto replaced = [&](const Job& object) {
    Batch b(object, 1000);
    b.setup.kube.actions.push_back(drain);
    KubeRun run(b.setup);
    run.run_until(at(100));
    CHECK(run.state().workloads[b.id].job.gone.size() == 1);
    return run.pod(1).created;
  };
  CHECK(replaced(job) == at(15));
  job.pod_replacement = Job::Replacement::Failed;
  CHECK(replaced(job) == at(45));  // after its grace period of 30 s
}

TEST_CASE("a Job remembers the pods that go with their node", "[job]") {
  Job job;
  job.completions = 2;
  Batch b(job, 10);
  b.setup.add_node("b", 2000);
  Action remove;
  remove.kind = Action::Kind::DeleteNode;
  remove.at = at(15);
  remove.node = NodeId(0u);
  b.setup.kube.actions.push_back(remove);
  KubeRun run(b.setup);
  run.run_until(at(16));
  CHECK(run.cluster().state.workload_pods[b.id.value].empty());
  const std::vector<JobState::Gone>& gone = run.state().workloads[b.id].job.gone;
  REQUIRE(gone.size() == 2);
  CHECK(gone[0].succeeded != gone[1].succeeded);
  run.run_until(at(34));
  CHECK(condition(run, b.id).empty());
  run.run_until(at(36));  // failed at 15 s, 10 s of back-off, 10 s of work
  CHECK(condition(run, b.id) == "Complete CompletionsReached");
}

}  // namespace
}  // namespace kisim::test
