// The queue against scripts run on kube-scheduler's own: those without cluster events, whose outcome depends on the
// queue alone. See the README beside them for the fields. Skipped where they are absent.

#include "kube/scheduling_queue.hpp"
#include "shared_data.hpp"

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <cstdio>
#include <map>

namespace kisim {
namespace {

using Json = nlohmann::json;
using Place = QueuedPod::Place;

struct PrioritySortPolicy : QueueingPolicy {
  bool less(const QueueEntry& a, const QueueEntry& b) const override {
    return a.priority != b.priority ? a.priority > b.priority : a.timestamp < b.timestamp;
  }
  bool hint(PodId, uint64_t plugins, const ClusterEvent&) override { return plugins != 0; }
};

class Script {
 public:
  explicit Script(const Json& record) : record_(record), start_(record["startOffsetMs"]), now_(Time{start_ * kMs}) {
    for (const Json& object : record["objects"])
      if (object["kind"] == "PriorityClass") priorities_[object["metadata"]["name"]] = object["value"];
  }

  // The script's left-over check runs every 30 s from its start, the queue's at multiples of 30 s.
  bool comparable() const {
    bool leftovers = record_["steps"].back()["expect"]["nowMs"].get<int64_t>() - start_ > 300'000;
    return record_["mix"] == "backoff-only" && (start_ % 30'000 == 0 || !leftovers);
  }

  void run() {
    size_t number = 0;
    for (const Json& step : record_["steps"]) {
      INFO(record_["id"] << " step " << number++ << ": " << step.dump().substr(0, 200));
      apply(step);
      compare(step["expect"]);
    }
  }

 private:
  static constexpr int64_t kMs = 1'000'000, kSecond = 1000 * kMs;

  void advance(int64_t ms) {
    Time until = now_ + Duration{ms * kMs};
    for (Time tick{(now_.ns / kSecond + 1) * kSecond}; tick <= until; tick = tick + 1_s) queue_.flush(tick);
    now_ = until;
  }

  void add(const Json& pod) {
    const Json& spec = pod["spec"];
    PodId id(ids_.size());
    ids_["default/" + pod["metadata"]["name"].get<std::string>()] = id;
    auto priority = priorities_.find(spec.value("priorityClassName", std::string()));
    queue_.add(id, priority == priorities_.end() ? 0 : priority->second, spec.contains("schedulingGates"), now_);
  }

  void apply(const Json& step) {
    std::string op = step["op"];
    if (op == "advance") return advance(step["ms"]);
    if (op == "add") return add(step["pod"]);
    if (op == "pop") return void(popped_ = queue_.pop());
    PodId id = ids_.at(step["name"]);
    if (op == "fail") return queue_.fail(id, (1u << step["plugins"].size()) - 1, 0, now_);
    if (op == "error") return queue_.error(id, now_);
    if (op == "bind") return queue_.done(id);
    if (op == "ungate") return queue_.ungate(id, now_);
    FAIL("unknown op " << op);
  }

  std::vector<std::string> names_at(std::initializer_list<Place> places) const {
    std::vector<std::string> names;
    for (const auto& [name, id] : ids_)
      if (std::find(places.begin(), places.end(), queue_.place(id)) != places.end()) names.push_back(name);
    return names;
  }

  void compare(const Json& expect) const {
    REQUIRE(now_.ns / kMs == expect["nowMs"].get<int64_t>());
    if (expect.contains("popped")) REQUIRE(popped_ == ids_.at(expect["popped"]));
    if (expect.contains("empty")) REQUIRE_FALSE(popped_.valid());
    REQUIRE(names_at({Place::Active}) == expect["active"].get<std::vector<std::string>>());
    REQUIRE(names_at({Place::Unschedulable, Place::Gated}) == expect["unschedulable"].get<std::vector<std::string>>());
    REQUIRE(names_at({Place::Backoff, Place::ErrorBackoff}).size() == expect["backoff"].size());
    for (const Json& entry : expect["backoff"]) {
      PodId id = ids_.at(entry["pod"]);
      REQUIRE(state_.pods[id].backoff_expiry.ns / kMs == entry["expiresMs"].get<int64_t>());
      REQUIRE((queue_.place(id) == Place::ErrorBackoff) == entry.value("errorQueue", false));
    }
  }

  const Json& record_;
  int64_t start_;
  Time now_;
  std::map<std::string, int32_t> priorities_;
  std::map<std::string, PodId> ids_;
  PodId popped_;
  SchedulingQueueModel model_;
  SchedulingQueueState state_;
  PrioritySortPolicy policy_;
  SchedulingQueue queue_{model_, state_, policy_};
};

TEST_CASE("the queue follows kube-scheduler's step by step") {
  size_t scripts = 0;
  for (const char* set : {"kube-scheduler", "kube-scheduler-1.36"}) {
    std::string file = shared_file("goldens/" + std::string(set) + "/queue.jsonl.gz");
    if (file.empty()) return;
    FILE* pipe = popen(("gzip -dc '" + file + "'").c_str(), "r");
    REQUIRE(pipe);
    std::string line;
    for (int c; (c = std::fgetc(pipe)) != EOF;) {
      if (c != '\n') {
        line += static_cast<char>(c);
        continue;
      }
      Json record = Json::parse(line);
      line.clear();
      Script script(record);
      if (!script.comparable()) continue;
      script.run();
      ++scripts;
    }
    pclose(pipe);
  }
  CHECK(scripts > 10);
}

}  // namespace
}  // namespace kisim
