// The batcher's decisions, one at a time, on a server without a cluster.

#include "serving/batch_server.hpp"

#include <catch2/catch.hpp>

using namespace kisim;

namespace {

class Server {
 public:
  explicit Server(BatchModel m = {}) : model{{std::move(m)}} { server().start({}); }
  explicit Server(BatchServerModel m) : model(std::move(m)) { server().start({}); }
  BatchServer server() { return BatchServer(model, state, requests); }

  RequestId add(int64_t ms, int32_t samples = 1, uint32_t priority = 0, Duration timeout = {}) {
    RequestId id = requests.take();
    Request& r = requests[id];
    r.samples = samples;
    r.priority = priority;
    r.queue_timeout = timeout;
    r.scheduled = Time::max();
    r.entity = id.value;
    if (!server().enqueue(id, at(ms))) return {};
    return id;
  }
  // Sizes in samples of the batches that begin at that time.
  std::vector<int64_t> form(int64_t ms, uint32_t m = 0) {
    again = server().form(m, at(ms));
    std::vector<int64_t> sizes;
    for (const auto& s : state.started) {
      sizes.push_back(0);
      const BatchInstance& instance = state.models[s.model].instances[s.instance];
      for (RequestId id = instance.batch.front(); id.valid(); id = requests[id].next())
        sizes.back() += requests[id].samples;
    }
    state.started.clear();
    server().check();
    return sizes;
  }
  void end(uint32_t instance, uint32_t m = 0) {
    RequestList& batch = state.models[m].instances[instance].batch;
    server().end(m, instance);
    while (!batch.empty()) requests.give_back(batch.pop_front(requests));
  }
  static Time at(int64_t ms) { return Time{ms * 1'000'000}; }

  BatchServerModel model;
  BatchServerState state;
  RequestSlab requests;
  Time again;
};

BatchModel model(int32_t max, std::vector<int32_t> preferred = {}, int64_t delay_ms = 0) {
  BatchModel m;
  m.max_batch_size = max;
  m.preferred = std::move(preferred);
  m.max_queue_delay = Duration{delay_ms * 1'000'000};
  return m;
}

using Sizes = std::vector<int64_t>;

}  // namespace

TEST_CASE("without a delay all that fit are sent, or the longest prefix of a preferred size", "[batch]") {
  Server all(model(8));
  for (int i = 0; i < 5; ++i) all.add(0);
  CHECK(all.form(0) == Sizes{5});

  Server preferred(model(8, {2, 4}));
  for (int i = 0; i < 7; ++i) preferred.add(0);
  CHECK(preferred.form(0) == Sizes{4});
  preferred.end(0);
  CHECK(preferred.form(0) == Sizes{2});
  preferred.end(0);
  CHECK(preferred.form(0) == Sizes{1});

  Server more_than_full(model(8, {4}));
  for (int i = 0; i < 10; ++i) more_than_full.add(0);
  CHECK(more_than_full.form(0) == Sizes{4});
}

TEST_CASE("with a delay a batch waits for a preferred size, and what has waited long enough goes whole", "[batch]") {
  Server s(model(8, {4}, 10));
  for (int i = 0; i < 3; ++i) s.add(i);
  CHECK(s.form(2).empty());
  CHECK(s.again == Server::at(10));
  CHECK_FALSE(s.server().must_look(0));
  s.add(3);
  CHECK(s.server().must_look(0));
  CHECK(s.form(3) == Sizes{4});
  // While the only instance is busy six come; the first has waited for longer than the delay when it is free.
  for (int i = 0; i < 6; ++i) s.add(20);
  CHECK(s.form(20).empty());
  s.end(0);
  CHECK(s.form(31) == Sizes{6});
}

TEST_CASE("samples of requests fill the batch, and the next one that has no room sends it", "[batch]") {
  Server s(model(8, {}, 10));
  s.add(0, 3);
  s.add(0, 3);
  CHECK(s.form(0).empty());
  s.add(1, 3);
  CHECK(s.form(1) == Sizes{6});
  s.end(0);
  CHECK(s.form(1).empty());
  CHECK(s.again == Server::at(11));

  // Prefixes 3 and 6 of a preferred size of 4: the last before it is passed.
  Server odd(model(16, {4}, 10));
  odd.add(0, 3);
  odd.add(0, 3);
  CHECK(odd.form(0) == Sizes{3});

  Request too_large;
  too_large.samples = 17;
  CHECK_FALSE(odd.server().fits(too_large));
}

TEST_CASE("formed batches wait for an instance and do not grow", "[batch]") {
  BatchModel m = model(8);
  m.prefetched = 2;
  Server s(m);
  s.add(0);
  CHECK(s.form(0) == Sizes{1});
  s.add(1);
  CHECK(s.form(1).empty());
  RequestId gone = s.add(2);
  s.add(2);
  CHECK(s.form(2).empty());
  for (int i = 0; i < 5; ++i) s.add(3);
  CHECK(s.form(3).empty());
  CHECK(s.server().waiting() == 8);
  s.server().withdraw(gone);
  s.requests.give_back(gone);
  for (int64_t size : {1, 1, 5}) {
    s.end(0);
    CHECK(s.form(4) == Sizes{size});
  }
  s.end(0);
  CHECK(s.form(5).empty());
  CHECK(s.server().waiting() == 0);
}

TEST_CASE("levels are served in order of priority, first come first served within one", "[batch]") {
  BatchModel m = model(2);
  m.levels.resize(3);
  m.default_level = 1;
  Server s(m);
  RequestId low = s.add(0, 1, 3), usual = s.add(1), high = s.add(2, 1, 1), beyond = s.add(3, 1, 9);
  CHECK(s.requests[beyond].level == 2);
  CHECK(s.form(3) == Sizes{2});
  CHECK(s.requests[high].place == Request::Place::Running);
  CHECK(s.requests[usual].place == Request::Place::Running);
  CHECK(s.requests[low].place == Request::Place::Waiting);
}

TEST_CASE("queue policies: size, time-out with rejection or delay, a shorter one of the request", "[batch]") {
  BatchModel m = model(4);
  m.levels[0].max_queue_size = 3;
  m.levels[0].default_timeout = Duration{10'000'000};
  Server rejects(m);
  for (int i = 0; i < 3; ++i) CHECK(rejects.add(i).valid());
  CHECK_FALSE(rejects.add(3).valid());
  CHECK(rejects.form(11) == Sizes{1});  // the first two have waited for 10 ms
  CHECK(rejects.state.refused.size() == 2);

  m.levels[0].timeout_delays = true;
  m.max_batch_size = 1;
  Server delays(m);
  RequestId old = delays.add(0), young = delays.add(9);
  CHECK(delays.form(12) == Sizes{1});
  CHECK(delays.requests[young].place == Request::Place::Running);
  CHECK(delays.requests[old].place == Request::Place::Waiting);
  delays.end(0);
  CHECK(delays.form(50) == Sizes{1});  // delayed once, refused never
  CHECK(delays.state.refused.empty());

  m = model(4);
  m.levels[0].default_timeout = Duration{10'000'000};
  m.levels[0].allow_timeout_override = true;
  Server shorter(m);
  RequestId hasty = shorter.add(0, 1, 0, Duration{5'000'000}), patient = shorter.add(0, 1, 0, Duration{50'000'000});
  CHECK(shorter.requests[hasty].expires == Server::at(5));
  CHECK(shorter.requests[patient].expires == Server::at(10));
}

TEST_CASE("a batch that waits for more wakes when a time-out passes", "[batch]") {
  BatchModel m = model(4, {}, 100);
  m.levels[0].default_timeout = Duration{10'000'000};
  Server s(m);
  s.add(0);
  s.add(5);
  CHECK(s.form(5).empty());
  CHECK(s.again == Server::at(10));
  CHECK(s.form(10).empty());
  CHECK(s.state.refused.size() == 1);
  CHECK(s.again == Server::at(15));
}

TEST_CASE("instances share the speed 1 + overlap (k - 1)", "[batch]") {
  BatchModel m = model(1);
  m.instances = 2;
  m.laws[0].base = Distribution::constant(1);
  for (double overlap : {1.0, 0.5, 0.0, -0.5}) {
    BatchServerModel both{{m}, overlap};
    Server s(both);
    CHECK(s.server().own_speed() == 1);
    s.add(0);
    s.form(0);
    CHECK(s.server().own_speed() == 1);
    s.add(500);
    s.form(500);
    double speed = s.server().own_speed();
    CHECK(speed == (1 + overlap) / 2);
    s.server().set_speed(speed, Server::at(500));
    CHECK(s.state.models[0].instances[0].left == Approx(0.5));
    s.server().set_speed(1, Server::at(900));
    CHECK(s.state.models[0].instances[0].left == Approx(0.5 - 0.4 * speed));
    CHECK(s.state.models[0].instances[1].left == Approx(1 - 0.4 * speed));
  }
}

TEST_CASE("an ensemble's request waits for each of its models in turn", "[batch]") {
  BatchModel first = model(4), second = model(4), chain;
  chain.steps = {0, 1};
  Server s(BatchServerModel{{first, second, chain}});
  RequestId id = s.requests.take();
  s.requests[id].model = 2;
  s.requests[id].scheduled = Time::max();
  REQUIRE(s.server().enqueue(id, Server::at(0)));
  CHECK(s.form(0, 0) == Sizes{1});
  CHECK(s.requests[id].serving == 0);
  s.state.models[0].instances[0].batch.pop_front(s.requests);
  s.server().end(0, 0);
  s.requests[id].step = 1;
  REQUIRE(s.server().enqueue(id, Server::at(7)));
  CHECK(s.form(7, 1) == Sizes{1});
  CHECK(s.requests[id].serving == 1);
  CHECK(s.requests[id].scheduled == Server::at(0));
}
