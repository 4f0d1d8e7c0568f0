// A client whose one thread runs an event loop, against one that takes turns in order of asking: by hand.

#include "core/hash.hpp"
#include "serving/serving_rig.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace kisim;

namespace {

class Latencies final : public RequestSink {
 public:
  std::vector<double> seconds;
  void record(const RequestRecord& record) override { seconds.push_back(record.e2e_s); }
};

// Two users who think for 1 s; a request takes 100 ms to send, 1 ms to serve and 10 ms to read.
std::vector<double> two_users(bool event_loop, double until) {
  ServingRigModel rig;
  rig.server.batch.models[0].laws[0].base = Distribution::constant(0.001);
  ClientModel client;
  client.entity = hash_text("Traffic/users");
  client.closed_loop = client.process = true;
  client.event_loop = event_loop;
  client.tasks[0].send = Distribution::constant(0.1);
  client.tasks[0].receive = Distribution::constant(0.01);
  client.tasks[0].send_turns = client.tasks[0].receive_turns = 1;
  SourceModel source;
  source.entity = client.entity;
  source.pattern = SourceModel::Pattern::Users;
  source.users = 2;
  source.think = Distribution::constant(1);
  rig.clients = {client};
  rig.traffic.sources = {source};
  ServingRig world(std::move(rig));
  Latencies latencies;
  world.serving().sink = &latencies;
  world.run_until(Time{} + Duration::seconds(until));
  world.serving().check_conservation();
  return latencies.seconds;
}

}  // namespace

TEST_CASE("Turns in order of asking: the clock runs while a user waits for the thread") {
  // Both send at 1 s; the thread sends for the one, for the other, and reads for both.
  const std::vector<double> seconds = two_users(false, 2);
  REQUIRE(seconds.size() == 2);
  CHECK(seconds[0] == Approx(0.21));
  CHECK(seconds[1] == Approx(0.22));
}

TEST_CASE("An event loop: the clock starts when the user's code runs, and answers wait for the next pass") {
  // Both wake at 1 s. Pass 1: the first sends from 1.0 to 1.1 s, the second from 1.1 to 1.2 s. Pass 2: both are read.
  const std::vector<double> seconds = two_users(true, 2);
  REQUIRE(seconds.size() == 2);
  CHECK(seconds[0] == Approx(0.21));
  CHECK(seconds[1] == Approx(0.12));
}

TEST_CASE("An event loop: woken users come before answers that were there first") {
  // The first wakes at 2.21 s and sends until 2.31 s; the second, awake since 2.22 s, sends before the answer is read.
  const std::vector<double> seconds = two_users(true, 3);
  REQUIRE(seconds.size() == 4);
  CHECK(seconds[2] == Approx(0.21));
  CHECK(seconds[3] == Approx(0.12));
}
