#include "traffic/traffic.hpp"

#include "core/hash.hpp"
#include "core/statistics.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>

using namespace kisim;
using Pattern = SourceModel::Pattern;
using Arrivals = SourceModel::Arrivals;

namespace {

constexpr int64_t kSecond = 1000000000;

SourceModel source_named(const std::string& name) {
  SourceModel source;
  source.name = name;
  source.entity = hash_text("Traffic/" + name);
  source.prompt = Distribution::lognormal(1020, 0.9);
  source.output = Distribution::geometric(211);
  return source;
}

SourceModel poisson(double rate, const std::string& name = "chat") {
  SourceModel source = source_named(name);
  source.rate = rate;
  return source;
}

SourceModel diurnal(double mean, double peak, Arrivals arrivals) {
  SourceModel source = source_named("day");
  source.pattern = Pattern::Diurnal;
  source.arrivals = arrivals;
  source.rate = mean;
  source.peak = peak;
  source.period = Duration{100 * kSecond};
  return source;
}

SourceModel trace(std::vector<int64_t> times, double rate_scale = 1, double time_scale = 1) {
  SourceModel source = source_named("trace");
  source.pattern = Pattern::Trace;
  auto columns = std::make_shared<TraceColumns>();
  for (size_t i = 0; i < times.size(); ++i) {
    columns->prompt_tokens.push_back(static_cast<int32_t>(100 + i));
    columns->output_tokens.push_back(static_cast<int32_t>(i));
  }
  columns->time_ns = std::move(times);
  source.trace = columns;
  source.rate_scale = rate_scale;
  source.time_scale = time_scale;
  return source;
}

struct Seen {
  Time at;
  Arrival arrival;
};

// A traffic room with nothing behind it.
class Sender {
 public:
  explicit Sender(std::vector<SourceModel> sources, uint64_t seed = 1) : model_{std::move(sources), seed} {
    room().start();
  }
  // The arrivals up to `until`.
  std::vector<Seen> run(Time until) {
    std::vector<Seen> seen;
    for (Event e; engine.pop(until, e);)
      if (auto arrival = room().on_event(e)) seen.push_back({e.time, *arrival});
    return seen;
  }
  // The same, with every request of a user answered after `service`.
  std::vector<Seen> run_closed(Time until, Duration service) {
    constexpr uint16_t kAnswered = event_kind(Room::Serving, 0);
    std::vector<Seen> seen;
    for (Event e; engine.pop(until, e);) {
      if (e.kind == kAnswered) {
        room().completed({static_cast<uint32_t>(e.payload), e.target});
        continue;
      }
      auto arrival = room().on_event(e);
      if (!arrival) continue;
      seen.push_back({e.time, *arrival});
      const SourceModel& source = model_.sources[arrival->source];
      if (source.pattern != Pattern::Users && !source.session.on) continue;
      engine.schedule(e.time + service, Priority::Completion, kAnswered, arrival->user, arrival->source);
    }
    return seen;
  }
  TrafficState& state() { return state_; }
  Engine engine;

 private:
  Traffic room() { return Traffic(model_, state_, engine); }

  TrafficModel model_;
  TrafficState state_;
};

std::vector<double> gaps_of(const std::vector<Seen>& seen) {
  std::vector<double> gaps;
  Time before;
  for (const Seen& s : seen) {
    gaps.push_back((s.at - before).to_seconds());
    before = s.at;
  }
  return gaps;
}

bool same(const std::vector<Seen>& a, const std::vector<Seen>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Seen& x, const Seen& y) {
    return x.at == y.at && x.arrival.ordinal == y.arrival.ordinal &&
           x.arrival.prompt_tokens == y.arrival.prompt_tokens && x.arrival.output_tokens == y.arrival.output_tokens &&
           x.arrival.user == y.arrival.user;
  });
}

}  // namespace

TEST_CASE("Poisson arrivals: rate, exponential gaps, one event each", "[traffic]") {
  Sender sender({poisson(20)});
  auto seen = sender.run(Time{5000 * kSecond});
  double expected = 20 * 5000;
  CHECK(std::fabs(static_cast<double>(seen.size()) - expected) < kNormalLimit * std::sqrt(expected));
  CHECK(sender.engine.events() == seen.size());
  auto gaps = gaps_of(seen);
  CHECK(kolmogorov(gaps, [](double x) { return 1 - std::exp(-20 * x); }) < kKolmogorovLimit);
  double sum = 0, squares = 0;
  for (double gap : gaps) {
    sum += gap;
    squares += gap * gap;
  }
  double n = static_cast<double>(gaps.size()), mean = sum / n;
  CHECK(std::sqrt(squares / n - mean * mean) / mean == Approx(1).epsilon(0.02));
  for (size_t i = 0; i < seen.size(); ++i) REQUIRE(seen[i].arrival.ordinal == i);
}

TEST_CASE("constant arrivals come exactly every 1/rate", "[traffic]") {
  SourceModel source = poisson(3);
  source.arrivals = Arrivals::Constant;
  auto seen = Sender({source}).run(Time{1000 * kSecond});
  REQUIRE(seen.size() == 3000);
  for (size_t i = 0; i < seen.size(); ++i) REQUIRE(seen[i].at.ns == std::llround(static_cast<double>(i + 1) * 1e9 / 3));
}

TEST_CASE("a rate of 0 sends nothing, a tiny one nothing within the clock", "[traffic]") {
  for (double rate : {0.0, 1e-12})
    for (Arrivals arrivals : {Arrivals::Poisson, Arrivals::Constant}) {
      SourceModel flat = poisson(rate);
      flat.arrivals = arrivals;
      CHECK(Sender({flat, diurnal(0, 0, arrivals)}).run(Time::max()).empty());
    }
  CHECK(Sender({trace({})}).run(Time::max()).empty());
  CHECK(Sender({trace({0, 1}, 0)}).run(Time::max()).empty());
}

TEST_CASE("the diurnal rate integrates to its counts", "[traffic]") {
  // Mean over whole periods, and over the first half where the sine adds its share.
  auto seen = Sender({diurnal(20, 35, Arrivals::Constant)}).run(Time{1000 * kSecond});
  CHECK(seen.size() == 20000);
  auto first_half = std::count_if(seen.begin(), seen.end(), [](const Seen& s) { return s.at.ns <= 50 * kSecond; });
  CHECK(std::fabs(static_cast<double>(first_half) - (20 * 50 + 15 * 100 / M_PI)) <= 1);

  auto random = Sender({diurnal(20, 35, Arrivals::Poisson)}).run(Time{1000 * kSecond});
  CHECK(std::fabs(static_cast<double>(random.size()) - 20000) < kNormalLimit * std::sqrt(20000));
  // By phase of the day: each twentieth against its integral.
  std::vector<uint64_t> counts(20);
  std::vector<double> expected;
  for (const Seen& s : random) ++counts[static_cast<size_t>(s.at.ns % (100 * kSecond) / (5 * kSecond))];
  for (int i = 0; i < 20; ++i) {
    double from = 2 * M_PI * i / 20, to = 2 * M_PI * (i + 1) / 20;
    expected.push_back(10 * (20 * 5 + 15 * 100 / (2 * M_PI) * (std::cos(from) - std::cos(to))));
  }
  CHECK(chi_square_deviate(counts, expected) < kNormalLimit);
}

TEST_CASE("a peak beyond twice the mean keeps both, and is silent in between", "[traffic]") {
  SourceModel source = diurnal(20, 60, Arrivals::Constant);
  DiurnalRate rate(20, 60, source.period, {});
  CHECK(rate.rate(Time{75 * kSecond}) == 0);
  CHECK(rate.rate(Time{25 * kSecond}) == Approx(60));
  CHECK(rate.integral(Time{100 * kSecond}) == Approx(100 * 20));
  // Against the midpoint rule.
  for (int64_t end : {10, 50, 59, 75, 92, 100, 130, 500}) {
    double sum = 0;
    int64_t step = kSecond / 1000;
    for (int64_t t = 0; t < end * kSecond; t += step) sum += rate.rate(Time{t + step / 2}) * 1e-3;
    CHECK(rate.integral(Time{end * kSecond}) == Approx(sum).epsilon(1e-6));
  }
  auto seen = Sender({source}).run(Time{500 * kSecond});
  CHECK(static_cast<double>(seen.size()) == std::floor(rate.integral(Time{500 * kSecond})));
  auto silent = std::count_if(seen.begin(), seen.end(), [](const Seen& s) {
    int64_t t = s.at.ns % (100 * kSecond);
    return t > 58.4 * kSecond && t < 91.6 * kSecond;
  });
  CHECK(silent == 0);
}

TEST_CASE("the phase shifts the day, and a peak below the mean turns it round", "[traffic]") {
  Duration period{100 * kSecond};
  DiurnalRate plain(20, 30, period, {}), shifted(20, 30, period, Duration{25 * kSecond});
  DiurnalRate back(20, 30, period, Duration{-75 * kSecond}), inverse(20, 10, period, {});
  for (int64_t t : {0, 7, 25, 60, 99, 1234}) {
    Time at{t * kSecond}, later{(t + 25) * kSecond};
    CHECK(shifted.rate(at) == Approx(plain.rate(later)));
    CHECK(back.rate(at) == Approx(plain.rate(later)));
    CHECK(inverse.rate(at) == Approx(40 - plain.rate(at)));
    CHECK(shifted.integral(at) == Approx(plain.integral(later) - plain.integral(Time{25 * kSecond})).margin(1e-9));
  }
}

TEST_CASE("a trace is sent row by row", "[traffic]") {
  auto seen = Sender({trace({0, 5, 5, 1000})}).run(Time::max());
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].at == Time{0});
  CHECK(seen[2].at == Time{5});
  CHECK(seen[3].at == Time{1000});
  CHECK(seen[3].arrival.prompt_tokens == 103);
  CHECK(seen[3].arrival.output_tokens == 3);
  CHECK(seen[0].arrival.output_tokens == 1);
}

TEST_CASE("a trace stretches and thickens", "[traffic]") {
  auto stretched = Sender({trace({0, 10, 40}, 1, 2.5)}).run(Time::max());
  REQUIRE(stretched.size() == 3);
  CHECK(stretched[1].at == Time{25});
  CHECK(stretched[2].at == Time{100});

  auto tripled = Sender({trace({0, 10}, 3)}).run(Time::max());
  REQUIRE(tripled.size() == 6);
  for (size_t i = 0; i < 6; ++i) {
    CHECK(tripled[i].at == Time{i < 3 ? 0 : 10});
    CHECK(tripled[i].arrival.ordinal == i);
    CHECK(tripled[i].arrival.prompt_tokens == (i < 3 ? 100 : 101));
  }

  std::vector<int64_t> times;
  for (int64_t i = 0; i < 20000; ++i) times.push_back(i * 1000);
  for (double scale : {0.3, 1.6}) {
    double rows = 20000, expected = rows * scale, share = scale - std::floor(scale);
    auto seen = Sender({trace(times, scale)}).run(Time::max());
    CHECK(std::fabs(static_cast<double>(seen.size()) - expected) <
          kNormalLimit * std::sqrt(rows * share * (1 - share)));
  }
}

TEST_CASE("which rows a share keeps belongs to the row", "[traffic]") {
  std::vector<int64_t> times;
  for (int64_t i = 0; i < 1000; ++i) times.push_back(i * 1000);
  auto whole = Sender({trace(times, 0.5)}).run(Time::max());
  auto beside_another = Sender({poisson(1000), trace(times, 0.5)}).run(Time{1000000});
  std::vector<Seen> again;
  for (const Seen& s : beside_another)
    if (s.arrival.source == 1) again.push_back(s);
  CHECK(same(whole, again));
  // More of the rows contain what fewer of them had.
  std::set<int32_t> more;
  for (const Seen& s : Sender({trace(times, 0.8)}).run(Time::max())) more.insert(s.arrival.prompt_tokens);
  for (const Seen& s : whole) CHECK(more.count(s.arrival.prompt_tokens) == 1);
}

TEST_CASE("rows beyond the clock are left out", "[traffic]") {
  CHECK(Sender({trace({0, INT64_MAX / 2}, 1, 3)}).run(Time::max()).size() == 1);
}

TEST_CASE("closed-loop users think, send and wait for the answer", "[traffic]") {
  SourceModel source = source_named("users");
  source.pattern = Pattern::Users;
  source.users = 10;
  source.think = Distribution::constant(4);
  auto seen = Sender({source}).run_closed(Time{50 * kSecond}, Duration{kSecond});
  // A cycle takes 5 s: every user sends at 4, 9, … 49.
  CHECK(seen.size() == 100);
  std::map<uint32_t, int64_t> last;
  std::set<uint64_t> ordinals;
  for (const Seen& s : seen) {
    CHECK(s.at.ns == (last.count(s.arrival.user) ? last[s.arrival.user] + 5 * kSecond : 4 * kSecond));
    last[s.arrival.user] = s.at.ns;
    ordinals.insert(s.arrival.ordinal);
  }
  CHECK(last.size() == 10);
  CHECK(ordinals.size() == 100);
}

TEST_CASE("users come and go, and whoever goes has their answer first", "[traffic]") {
  SourceModel source = source_named("users");
  source.pattern = Pattern::Users;
  source.users = 4;
  source.think = Distribution::constant(4);
  auto at = [](int64_t s) { return Time{s * kSecond}; };
  source.steps = {{at(0), 2}, {at(10), 4}, {at(20), 1}, {at(31), 2}};
  std::map<uint32_t, std::vector<int64_t>> sent;
  for (const Seen& s : Sender({source}).run_closed(at(45), Duration{kSecond}))
    sent[s.arrival.user].push_back(s.at.ns / kSecond);
  // A cycle takes 5 s. The second user thinks when it goes at 20 and comes back at 31; the others came at 10.
  CHECK(sent[0] == std::vector<int64_t>{4, 9, 14, 19, 24, 29, 34, 39, 44});
  CHECK(sent[1] == std::vector<int64_t>{4, 9, 14, 19, 35, 40, 45});
  CHECK(sent[2] == std::vector<int64_t>{14, 19});
  CHECK(sent[3] == sent[2]);
}

TEST_CASE("kinds of requests come as often as their weights say, and belong to the ordinal", "[traffic]") {
  SourceModel source = poisson(100);
  source.task_weights = {1, 2, 3, 8};
  std::vector<uint64_t> counts(4);
  auto seen = Sender({source}).run(Time{400 * kSecond});
  for (const Seen& s : seen) ++counts[s.arrival.task];
  double n = static_cast<double>(seen.size());
  CHECK(chi_square_deviate(counts, {n / 8, n / 8, n / 8, n * 5 / 8}) < kNormalLimit);
  source.rate = 50;
  auto slower = Sender({source}).run(Time{400 * kSecond});
  for (size_t i = 0; i < slower.size(); ++i) REQUIRE(slower[i].arrival.task == seen[i].arrival.task);
}

TEST_CASE("a closed loop keeps Little's law", "[traffic]") {
  SourceModel source = source_named("users");
  source.pattern = Pattern::Users;
  source.users = 50;
  source.think = Distribution::exponential(9);
  auto seen = Sender({source}).run_closed(Time{10000 * kSecond}, Duration{kSecond});
  CHECK(static_cast<double>(seen.size()) == Approx(50 * 10000 / 10.0).epsilon(0.02));
}

TEST_CASE("a user's requests do not depend on how fast others are served", "[traffic]") {
  SourceModel source = source_named("users");
  source.pattern = Pattern::Users;
  source.users = 5;
  source.think = Distribution::exponential(1);
  std::map<uint64_t, std::pair<int32_t, uint32_t>> slow;
  for (const Seen& s : Sender({source}).run_closed(Time{500 * kSecond}, Duration{kSecond}))
    slow[s.arrival.ordinal] = {s.arrival.prompt_tokens, s.arrival.user};
  size_t shared = 0;
  for (const Seen& s : Sender({source}).run_closed(Time{500 * kSecond}, Duration{kSecond / 10})) {
    auto it = slow.find(s.arrival.ordinal);
    if (it == slow.end()) continue;
    ++shared;
    REQUIRE(it->second == std::make_pair(s.arrival.prompt_tokens, s.arrival.user));
  }
  CHECK(shared > 1000);
}

TEST_CASE("sizes belong to the ordinal, arrivals to the source", "[traffic]") {
  auto slow = Sender({poisson(5)}).run(Time{200 * kSecond});
  SourceModel regular = poisson(50);
  regular.arrivals = Arrivals::Constant;
  auto fast = Sender({regular}).run(Time{200 * kSecond});
  for (size_t i = 0; i < slow.size(); ++i) {
    REQUIRE(slow[i].arrival.prompt_tokens == fast[i].arrival.prompt_tokens);
    REQUIRE(slow[i].arrival.output_tokens == fast[i].arrival.output_tokens);
  }
  // Another source before it moves nothing; another seed or name moves everything.
  std::vector<Seen> second;
  for (const Seen& s : Sender({poisson(9, "other"), poisson(5)}).run(Time{200 * kSecond}))
    if (s.arrival.source == 1) second.push_back(s);
  CHECK(same(slow, second));
  CHECK_FALSE(same(slow, Sender({poisson(5)}, 2).run(Time{200 * kSecond})));
  CHECK_FALSE(same(slow, Sender({poisson(5, "other")}).run(Time{200 * kSecond})));
}

TEST_CASE("sizes follow their distributions, rounded and bounded", "[traffic]") {
  auto seen = Sender({poisson(100)}).run(Time{1000 * kSecond});
  double prompt = 0, output = 0;
  for (const Seen& s : seen) {
    prompt += s.arrival.prompt_tokens;
    output += s.arrival.output_tokens;
    REQUIRE(s.arrival.output_tokens >= 1);
  }
  double n = static_cast<double>(seen.size());
  CHECK(prompt / n == Approx(Distribution::lognormal(1020, 0.9).mean()).epsilon(0.02));
  CHECK(output / n == Approx(211).epsilon(0.02));

  SourceModel odd = poisson(100);
  odd.prompt = Distribution::normal(0, 10);
  odd.output = Distribution::constant(1e30);
  for (const Seen& s : Sender({odd}).run(Time{kSecond})) {
    CHECK(s.arrival.prompt_tokens >= 0);
    CHECK(s.arrival.output_tokens == INT32_MAX);
  }
}

TEST_CASE("a copy of the state continues identically", "[traffic]") {
  SourceModel users = source_named("users");
  users.pattern = Pattern::Users;
  users.users = 7;
  users.think = Distribution::gamma(2, 0.5);
  std::vector<int64_t> times;
  for (int64_t i = 0; i < 500; ++i) times.push_back(i * kSecond / 3);
  Sender sender(
      {poisson(5), diurnal(5, 12, Arrivals::Poisson), diurnal(5, 9, Arrivals::Constant), trace(times, 1.5), users});
  sender.run_closed(Time{50 * kSecond}, Duration{kSecond});
  Sender copy = sender;
  CHECK(same(sender.run_closed(Time{150 * kSecond}, Duration{kSecond}),
             copy.run_closed(Time{150 * kSecond}, Duration{kSecond})));
  CHECK(copy.engine.signature() == sender.engine.signature());
}

TEST_CASE("thinning a long night is bounded work per event", "[traffic]") {
  // A bump of 2 s in 100, from 74 s on: thousands of candidates before it are refused.
  SourceModel source = diurnal(1, 100, Arrivals::Poisson);
  source.phase = Duration{50 * kSecond};
  Sender sender({source});
  auto seen = sender.run(Time{73 * kSecond});
  CHECK(seen.empty());
  CHECK(sender.engine.events() > 3);
  CHECK(sender.run(Time{100 * kSecond}).size() > 60);
}

TEST_CASE("a session's prompts are all that was said before and new tokens, on one stream", "[traffic]") {
  SourceModel source;
  source.name = "chat";
  source.entity = hash_text("Traffic/chat");
  source.rate = 2;
  source.prompt = Distribution::uniform(10, 50);
  source.output = Distribution::uniform(5, 90);
  source.prefix = {{0, 1, 2}, 100, 0.5};
  source.session = {true, Distribution::geometric(4), Distribution::constant(3), 0};
  const bool closed = GENERATE(false, true);
  if (closed) {
    source.pattern = Pattern::Users;
    source.users = 5;
    source.think = Distribution::constant(20);
  }
  Sender sender({source});
  struct Last {
    uint64_t turns = 0;
    int32_t said = 0;
    Time at;
    const uint32_t* group = nullptr;
  };
  std::map<uint64_t, Last> sessions;  // by stream
  std::map<uint32_t, uint64_t> groups;
  for (const Seen& seen : sender.run_closed(Time{} + 2000_s, 1_s)) {
    const Arrival& a = seen.arrival;
    Last& last = sessions[a.identity.own];
    CHECK(a.ordinal % SessionModel::kMostTurns == last.turns);
    CHECK(a.identity.own == hash_combine(source.entity, a.ordinal - last.turns));
    const int32_t fresh = a.prompt_tokens - (last.turns == 0 ? 100 : last.said);
    CHECK(fresh >= 10);
    CHECK(fresh <= 50);
    REQUIRE(a.identity.ids == 1);
    CHECK(a.identity.id_tokens == 100);
    if (last.turns == 0)
      ++groups[*a.identity.id];
    else
      CHECK((a.identity.id == last.group && seen.at == last.at + 4_s));
    last = {last.turns + 1, a.prompt_tokens + a.output_tokens, seen.at, a.identity.id};
  }
  double turns = 0;
  for (const auto& [stream, last] : sessions)
    turns += static_cast<double>(last.turns) / static_cast<double>(sessions.size());
  CHECK(turns == Approx(4).epsilon(0.15));
  CHECK(groups.size() == 3);
  CHECK(groups[0] > groups[2]);
}

TEST_CASE("a session ends with a turn without an answer, and before one that would be too long", "[traffic]") {
  SourceModel source;
  source.entity = 1;
  source.arrivals = SourceModel::Arrivals::Constant;
  source.rate = 0.01;
  source.prompt = Distribution::constant(60);
  source.output = Distribution::constant(40);
  source.session = {true, Distribution::constant(100), Distribution::constant(1), 450};
  Sender sender({source});
  CHECK(sender.run_closed(Time{} + 199_s, 1_s).size() == 4);  // 100, 200, 300, 400 tokens
  CHECK(sender.state().sources[0].free_users.size() == 1);

  TrafficModel model{{source}, 1};
  TrafficState state;
  Engine engine;
  Traffic traffic(model, state, engine);
  traffic.start();
  Event event;
  REQUIRE(engine.pop(Time{} + 150_s, event));
  REQUIRE(traffic.on_event(event));
  traffic.completed({0, 0, false});
  CHECK_FALSE(engine.pop(Time{} + 150_s, event));
}
