#include "serving/llm_engine.hpp"

#include "core/distribution.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>

using namespace kisim;

namespace {

LlmCost cost_of(int64_t kv_blocks) {
  LlmCost cost;
  cost.step_ps = 6'700'123'457;  // about an 8B model on an H100; odd, so that remainders matter
  cost.per_sequence_ps = 64'400'321;
  cost.per_kv_token_ps = 49'691;
  cost.per_prefill_token_ps = 27'064'007;
  cost.per_attention_ps = 883.7;
  cost.kv_blocks = kv_blocks;
  cost.linear = {6.7e-3, 0.1e-3, 6.7e-3, 27e-6};
  return cost;
}

struct Sent {
  Time at;
  int32_t prompt, output;
  Time abort = Time::max();
  PromptIdentity identity = {};
};

struct Result {
  Time scheduled, first_token, finished;
  int32_t generated = 0;
  bool operator==(const Result&) const = default;
};

// Drives one engine without the rest of the simulator: arrivals and aborts in order of time, timers before them.
struct Bench {
  LlmEngineModel model;
  LlmCost cost;
  LlmEngineState state;
  RequestSlab slab;
  LlmEngine engine{model, cost, state, slab};
  uint64_t calls = 0;
  std::vector<std::pair<Time, double>> speeds;  // from when on, in order of time

  Bench(LlmEngineModel m, LlmCost c) : model(m), cost(c) { engine.start(); }

  std::vector<Result> run(const std::vector<Sent>& sent) {
    std::vector<Result> results(sent.size());
    std::map<RequestId, size_t> index;
    std::vector<std::pair<Time, size_t>> outside;  // arrivals as 2i, aborts as 2i + 1
    for (size_t i = 0; i < sent.size(); ++i) {
      outside.push_back({sent[i].at, 2 * i});
      if (sent[i].abort != Time::max()) outside.push_back({sent[i].abort, 2 * i + 1});
    }
    std::sort(outside.begin(), outside.end());
    size_t next = 0, next_speed = 0;
    for (;;) {
      Time outer = next < outside.size() ? outside[next].first : Time::max();
      Time timer = engine.timer();
      if (next_speed < speeds.size() && speeds[next_speed].first < std::min(outer, timer)) {
        engine.set_speed(speeds[next_speed].second, speeds[next_speed].first);
        ++next_speed;
        continue;
      }
      if (timer == Time::max() && outer == Time::max()) break;
      if (timer <= outer) {
        ++calls;
        engine.on_timer(timer);
        for (RequestId id : state.finished) {
          Request& r = slab[id];
          results[index.at(id)] = {r.scheduled, r.first_token, timer, r.generated};
          index.erase(id);
          slab.give_back(id);
        }
        state.finished.clear();
      } else {
        size_t i = outside[next].second / 2;
        bool abort = outside[next].second % 2 == 1;
        ++next;
        if (!abort) {
          RequestId id = slab.take();
          slab[id].prompt_tokens = sent[i].prompt;
          slab[id].output_tokens = sent[i].output;
          slab[id].scheduled = slab[id].first_token = Time::max();
          slab[id].identity = sent[i].identity;
          slab[id].entity = i;
          slab[id].priority = i % 3;  // means something by priority only, as adapters where there are any
          slab[id].adapter = i % 7;
          index[id] = i;
          engine.enqueue(id, outer);
        } else {
          auto at = std::find_if(index.begin(), index.end(), [&](const auto& e) { return e.second == i; });
          if (at == index.end()) continue;
          engine.abort(at->first, outer);
          Request& r = slab[at->first];
          results[i] = {r.scheduled, r.first_token, outer, r.generated};
          slab.give_back(at->first);
          index.erase(at);
        }
      }
    }
    CHECK(index.empty());
    return results;
  }
};

std::vector<Sent> random_load(uint64_t seed, int n, double rate, double abort_share) {
  Stream stream(seed, 1, Purpose::Arrivals);
  std::vector<Sent> sent;
  double t = 0;
  for (int i = 0; i < n; ++i) {
    t += draw_exponential(stream, 1 / rate);
    Sent s{Time{} + Duration::seconds(t), static_cast<int32_t>(stream.below(1500)) + 1,
           static_cast<int32_t>(stream.below(300)) + 1};
    if (stream.uniform() < abort_share) s.abort = s.at + Duration::seconds(draw_exponential(stream, 1.0));
    // Three of four begin with the 250 tokens of a group; every tenth is a question that was asked before.
    static constexpr uint32_t kGroups[] = {0, 1, 2};
    const uint32_t group = stream.below(4);
    if (group < 3) s.identity = {&kGroups[group], 1, 250, 5};
    const bool again = i >= 10 && stream.below(10) == 0;
    if (again) s.prompt = sent[sent.size() - 10].prompt, s.identity = sent[sent.size() - 10].identity;
    if (!again) s.identity.own = 100 + static_cast<uint64_t>(i);
    sent.push_back(s);
  }
  return sent;
}

}  // namespace

TEST_CASE("a single request takes its prefill and one iteration per further token") {
  Bench bench({}, cost_of(1000));
  LlmCost c = bench.cost;
  auto results = bench.run({{Time{1000}, 100, 3}});
  int64_t prefill = c.step_ps + c.per_sequence_ps + 100 * c.per_prefill_token_ps +
                    static_cast<int64_t>(std::nearbyint(c.per_attention_ps * 5000));
  int64_t first = prefill, second = c.step_ps + c.per_sequence_ps + 100 * c.per_kv_token_ps;
  int64_t third = c.step_ps + c.per_sequence_ps + 101 * c.per_kv_token_ps;
  CHECK(results[0].scheduled.ns == 1000);
  CHECK(results[0].first_token.ns == 1000 + first / 1000);
  CHECK(results[0].finished.ns == 1000 + (first + second + third) / 1000);
  CHECK(results[0].generated == 3);
}

TEST_CASE("jumps end at the same nanosecond as single iterations") {
  struct Case {
    const char* name;
    int64_t blocks;
    int32_t seqs, tokens;
    double rate, aborts;
  };
  Case c = GENERATE(Case{"light", 30000, 256, 8192, 2, 0}, Case{"busy", 30000, 256, 2048, 25, 0.1},
                    Case{"few sequences", 30000, 8, 8192, 10, 0.1}, Case{"short of memory", 400, 256, 2048, 20, 0.3},
                    Case{"small budget", 3000, 64, 128, 10, 0.2});
  const std::string how = GENERATE("", "asynchronous scheduling", "prompts first", "no prefix caching", "offload",
                                   "prompts first, offload", "priority", "priority, asynchronous", "adapters");
  INFO(c.name << ", " << how);
  const bool offload = how.ends_with("offload");
  const bool async = how.find("asynchronous") != how.npos;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    auto sent = random_load(seed, 400, c.rate, c.aborts);
    LlmEngineModel model{LlmEngineModel::Detail::Iteration, c.seqs, c.tokens, 16, true};
    model.async_scheduling = model.scheduler_reserve_full_isl = async;
    model.prefix_caching = how != "no prefix caching";
    model.llm.layers = 32, model.llm.kv_heads = 8, model.llm.head_dim = 128;  // 2 MiB per block
    if (offload) model.kv_offload = {{"dram", 1ll << 30, 2e9, 1_us}, {"nvme4", 8ll << 30, 1e9, 80_us}};
    model.profile.prefill_first = how.starts_with("prompts first");
    model.by_priority = how.starts_with("priority");
    if (how == "adapters") model.lora = {2, 4, 16};
    LlmCost cost = cost_of(c.blocks);
    cost.per_adapter_ps = 1'000'003, cost.adapter_load_ps = 7'000'000'013, cost.adapter_read_ps = 90'000'000'001;
    Bench jumping(model, cost);
    model.jump = false;
    Bench stepping(model, cost);
    auto a = jumping.run(sent), b = stepping.run(sent);
    CHECK(a == b);
    CHECK(jumping.state.generated_tokens == stepping.state.generated_tokens);
    CHECK(jumping.state.preemptions == stepping.state.preemptions);
    CHECK(jumping.state.steps == stepping.state.steps);
    CHECK(jumping.calls < stepping.calls);
    if (c.blocks == 400) CHECK(jumping.state.preemptions > 0);
    // Books: all memory is back, every token the engine made was sent to somebody.
    uint64_t sent_tokens = 0;
    for (const Result& r : a) sent_tokens += r.generated;
    CHECK(sent_tokens == jumping.state.generated_tokens);
    jumping.engine.check();
    CHECK(jumping.state.kv.free_blocks() == c.blocks);
    CHECK((jumping.state.prefix_hits > 0) == model.prefix_caching);
    if (c.blocks == 400 || !offload) CHECK((jumping.state.tier_hits > 0) == offload);
    CHECK((jumping.state.adapter_loads > 4) == (how == "adapters"));
    CHECK(jumping.state.adapter_loads == stepping.state.adapter_loads);
    CHECK(jumping.state.prefix_hits == stepping.state.prefix_hits);
    CHECK(jumping.state.prefix_hits <= jumping.state.prefix_queries);
    CHECK(jumping.state.kv.cached_blocks() == stepping.state.kv.cached_blocks());
    CHECK(jumping.state.context == 0);
    CHECK(jumping.state.decoding == 0);
    CHECK(std::all_of(jumping.state.phase.begin(), jumping.state.phase.end(), [](int32_t n) { return n == 0; }));
  }
}

TEST_CASE("by priority the more important go first, and others make room for them") {
  LlmEngineModel model;
  model.by_priority = true;
  model.max_num_seqs = 1;
  // Request i has the priority i mod 3: the third and the second to come after the first wait for it, then go by it.
  Bench one({model}, cost_of(1000));
  auto results = one.run({{Time{0}, 100, 50}, {Time{1}, 100, 50}, {Time{2}, 100, 50}, {Time{3}, 100, 50}});
  CHECK(results[3].scheduled == results[0].finished);
  CHECK(results[1].scheduled == results[3].finished);
  CHECK(results[2].scheduled == results[1].finished);

  // Eight blocks: the answers need ten. Request 0, the most important, came first, and is not the one that goes.
  model.max_num_seqs = 8;
  Bench full({model}, cost_of(8));
  results = full.run({{Time{0}, 40, 40}, {Time{1}, 40, 40}});
  CHECK(full.state.preemptions == 1);
  CHECK(results[0].finished < results[1].finished);
  std::swap(model.by_priority, model.prefix_caching);  // fcfs: the latest goes
  Bench reversed({model}, cost_of(8));
  CHECK(reversed.run({{Time{0}, 40, 40}, {Time{1}, 40, 40}})[0].finished < results[1].finished);
}

TEST_CASE("drafts that are accepted come on top of an iteration's token") {
  LlmEngineModel model;
  model.speculation.tokens = 3;
  model.speculation.accepted = {0.7, 0.5, 0.2};
  model.speculation.seed = 1;
  LlmCost cost = cost_of(30000);
  cost.drafts = 3;
  Bench bench(model, cost);
  auto results = bench.run(random_load(1, 400, 10, 0.1));
  uint64_t sent_tokens = 0;
  for (const Result& r : results) sent_tokens += r.generated;
  CHECK(sent_tokens == bench.state.generated_tokens);
  // 1.4 on average, less what the ends of answers cut off.
  const double mean = static_cast<double>(bench.state.accepted_tokens) / static_cast<double>(bench.state.drafts);
  CHECK(mean > 1.37);
  CHECK(mean < 1.41);
  bench.engine.check();
  CHECK(bench.state.kv.free_blocks() == 30000);
  CHECK(bench.state.context == 0);
  CHECK(std::all_of(bench.state.phase.begin(), bench.state.phase.end(), [](int32_t n) { return n == 0; }));

  // Short of memory, and everybody gets there with all tokens.
  Bench full(model, [&] {
    LlmCost c = cost;
    c.kv_blocks = 400;
    return c;
  }());
  auto load = random_load(2, 300, 20, 0);
  results = full.run(load);
  CHECK(full.state.preemptions > 0);
  for (size_t i = 0; i < load.size(); ++i) CHECK(results[i].generated == load[i].output);
  CHECK(full.state.kv.free_blocks() == 400);
}

TEST_CASE("an iteration of all accepted drafts gives one more token than were drafted") {
  LlmEngineModel model;
  model.speculation.tokens = 3;
  model.speculation.accepted = {1, 1, 1};
  LlmCost cost = cost_of(1000);
  cost.drafts = 3;
  Bench bench(model, cost);
  auto results = bench.run({{Time{0}, 100, 9}});
  CHECK(bench.state.steps == 3);  // the prompt, and twice four tokens
  // Each sequence takes four times the work of a token, and reads its context once.
  const int64_t first = cost.step_ps + 4 * cost.per_sequence_ps + 100 * cost.per_kv_token_ps;
  const int64_t second = first + 4 * cost.per_kv_token_ps;
  const int64_t prefill = cost.step_ps + cost.per_sequence_ps + 100 * cost.per_prefill_token_ps +
                          static_cast<int64_t>(std::nearbyint(cost.per_attention_ps * 5000));
  CHECK(results[0].finished.ns == (prefill + first + second) / 1000);
  CHECK(results[0].generated == 9);
}

TEST_CASE("who asks for one adapter too many waits, those behind may pass, and loads take their time") {
  LlmEngineModel model;
  model.lora = {1, 1, 16};
  LlmCost cost = cost_of(1000);
  cost.adapter_load_ps = 10'000'000'000, cost.adapter_read_ps = 500'000'000'000;
  Bench bench(model, cost);
  // Request i asks for adapter i mod 7: none, 1, 2, …, 6, none, 1.
  std::vector<Sent> sent(9, {Time{0}, 100, 50});
  for (size_t i = 0; i < sent.size(); ++i) sent[i].at = Time{static_cast<int64_t>(i)};
  auto results = bench.run(sent);
  CHECK(results[0].scheduled == Time{0});
  CHECK(results[8].scheduled == results[1].scheduled);
  CHECK(results[7].scheduled == results[1].scheduled);
  CHECK(results[2].scheduled >= results[1].finished);
  CHECK(bench.state.adapter_loads == 6);
  CHECK(results[1].first_token - results[1].scheduled > 510_ms);
  CHECK(results[2].first_token - results[2].scheduled > 510_ms);
}

TEST_CASE("a prefill replica keeps what it has computed, and a decode replica computes the last token alone") {
  LlmEngineModel model;
  model.role = LlmEngineModel::Role::Prefill;
  Bench first(model, cost_of(100));
  RequestId id = first.slab.take();
  Request& request = first.slab[id];
  request.prompt_tokens = 100;
  request.output_tokens = 20;
  request.scheduled = request.first_token = Time::max();
  request.identity.own = 7;
  first.engine.enqueue(id, Time{0});
  first.engine.on_timer(first.engine.timer());
  REQUIRE(first.state.finished == std::vector{id});
  CHECK(request.first_token == Time::max());
  CHECK(request.kept_blocks == 7);
  CHECK(first.state.kv.free_blocks() == 93);
  CHECK_FALSE(first.engine.busy());

  model.role = LlmEngineModel::Role::Decode;
  LlmCost cost = cost_of(100);
  LlmEngineState state;
  LlmEngine second(model, cost, state, first.slab);
  second.start();
  request.kept_by = ReplicaId(0);
  second.enqueue(id, Time{1000});
  CHECK(state.to_pull == std::vector{id});
  CHECK(state.prefix_queries == 100);
  CHECK(state.prefix_hits + state.tier_hits == 0);
  CHECK(request.place == Request::Place::Loading);
  CHECK(second.timer() == Time::max());
  CHECK(state.kv.free_blocks() == 93);
  request.kept_by = {};
  second.pulled(id, Time{5000});
  first.engine.release_kept(request, Time{5000});
  first.engine.check();
  CHECK(first.state.kv.free_blocks() == 100);
  const int64_t last_token = cost.step_ps + cost.per_sequence_ps + cost.per_prefill_token_ps +
                             99 * cost.per_kv_token_ps +
                             static_cast<int64_t>(std::nearbyint(cost.per_attention_ps * 99.5));
  CHECK(second.timer().ns == 5000 + last_token / 1000);
  while (second.timer() != Time::max()) second.on_timer(second.timer());
  CHECK(request.generated == 20);
  second.check();
  CHECK(state.kv.free_blocks() == 100);
}

TEST_CASE("what a prompt has in the cache is not computed again, only read") {
  Bench bench({}, cost_of(1000));
  const LlmCost& c = bench.cost;
  PromptIdentity same{nullptr, 0, 0, 0, 7};
  // A session: the second prompt is the first one, its answer of 33 tokens and 67 new ones.
  auto results = bench.run({{Time{0}, 400, 33, Time::max(), same}, {Time{} + 10_s, 500, 1, Time::max(), same}});
  const int64_t hit = 432;  // 400 and 32 tokens of the answer are full blocks; the KV of the last one was never there
  CHECK(bench.state.prefix_hits == hit);
  CHECK(bench.state.prefix_queries == 900);
  CHECK(bench.state.prefilled_tokens == 400 + 68);
  const int64_t p = 500 - hit;
  const int64_t prefill = c.step_ps + c.per_sequence_ps + p * c.per_prefill_token_ps + hit * c.per_kv_token_ps +
                          static_cast<int64_t>(std::nearbyint(c.per_attention_ps * (p * (hit + 0.5 * p))));
  CHECK((results[1].first_token - (Time{} + 10_s)).ns == prefill / 1000);
}

TEST_CASE("of a prompt that is known whole, the last block is computed") {
  Bench bench({}, cost_of(1000));
  PromptIdentity same{nullptr, 0, 0, 0, 7};
  bench.run({{Time{0}, 320, 1, Time::max(), same}, {Time{} + 10_s, 320, 1, Time::max(), same}});
  CHECK(bench.state.prefix_hits == 304);
  CHECK(bench.state.kv.cached_blocks() == 20);
}

TEST_CASE("a preempted request finds what the cache still has of it") {
  LlmEngineModel model;
  std::vector<Sent> sent{{Time{0}, 80, 200, Time::max(), {nullptr, 0, 0, 0, 1}},
                         {Time{0}, 80, 200, Time::max(), {nullptr, 0, 0, 0, 2}}};
  Bench caching(model, cost_of(20));
  model.prefix_caching = false;
  Bench computing(model, cost_of(20));
  auto a = caching.run(sent), b = computing.run(sent);
  CHECK(caching.state.preemptions == 1);
  CHECK(computing.state.preemptions == 1);
  CHECK(caching.state.prefilled_tokens < computing.state.prefilled_tokens);
  CHECK(a[1].finished < b[1].finished);
  CHECK(caching.state.prefix_hits == 0);  // of first admissions
}

TEST_CASE("what was evicted is read back from the tier that has it") {
  LlmEngineModel model;
  model.llm.layers = 32, model.llm.kv_heads = 8, model.llm.head_dim = 128;
  model.kv_offload = {{"dram", 1ll << 30, 1e9, 5_us}};
  PromptIdentity first{nullptr, 0, 0, 0, 1}, other{nullptr, 0, 0, 0, 2};
  Bench bench(model, cost_of(20));
  bench.cost.host_bytes_per_s = 0.5e9;  // slower than the tier
  auto results = bench.run({{Time{0}, 300, 1, Time::max(), first},
                            {Time{} + 1_s, 300, 1, Time::max(), other},
                            {Time{} + 2_s, 300, 1, Time::max(), first}});
  // Of the 18 full blocks that the first left, the other one took 17: it needs 19, and two held nothing.
  const int64_t kept = 1, loaded = 17;
  CHECK(bench.state.prefix_hits == static_cast<uint64_t>(kept * 16));
  CHECK(bench.state.tier_hits == static_cast<uint64_t>(loaded * 16));
  CHECK(bench.state.prefilled_tokens == 300 + 300 + 300 - 18 * 16);
  const double read = static_cast<double>(loaded) * model.block_bytes() / 0.5e9 + 5e-6;
  CHECK((results[2].scheduled - (Time{} + 2_s)).to_seconds() == Approx(read));
}

TEST_CASE("with asynchronous scheduling who comes during a step is in the one after the next") {
  LlmEngineModel model;
  Bench soon(model, cost_of(1000));
  model.async_scheduling = true;
  Bench late(model, cost_of(1000));
  // The second comes while the first decodes.
  std::vector<Sent> sent{{Time{0}, 100, 50}, {Time{} + Duration::seconds(0.1), 200, 50}};
  auto a = soon.run(sent), b = late.run(sent);
  CHECK(b[0].first_token == a[0].first_token);
  CHECK(b[1].scheduled == a[1].scheduled);
  int64_t decode = late.cost.step_ps + late.cost.per_sequence_ps + 110 * late.cost.per_kv_token_ps;
  CHECK(static_cast<double>((b[1].first_token - a[1].first_token).ns) == Approx(decode / 1000).epsilon(0.01));
}

TEST_CASE("where prompts come first, who decodes waits for them") {
  std::vector<Sent> sent{{Time{0}, 100, 50}, {Time{} + Duration::seconds(0.1), 4000, 2}};
  LlmEngineModel model;
  Bench mixed(model, cost_of(1000));
  model.profile.prefill_first = true;
  Bench first(model, cost_of(1000));
  auto a = mixed.run(sent), b = first.run(sent);
  // The prompt of 4000 is one step in both; only in the first does the other get a token from it.
  CHECK(first.state.steps == mixed.state.steps + 1);
  CHECK(b[1].first_token < a[1].first_token);
  CHECK(b[0].finished > a[0].finished);
  const LlmCost& c = first.cost;
  const double alone = static_cast<double>(c.step_ps + c.per_sequence_ps + 130 * c.per_kv_token_ps);
  CHECK(static_cast<double>((b[0].finished - a[0].finished).ns) == Approx(alone / 1000).epsilon(0.03));
  CHECK(b[0].generated == 50);
}

TEST_CASE("where prompts come first and memory is short, everybody gets there all the same") {
  LlmEngineModel model;
  model.profile.prefill_first = true;
  Bench bench(model, cost_of(20));
  auto results = bench.run({{Time{0}, 100, 120}, {Time{0}, 100, 120}, {Time{0}, 150, 20}});
  CHECK(bench.state.preemptions >= 1);
  for (const Result& r : results) CHECK(r.generated >= 20);
  CHECK(bench.state.kv.free_blocks() == 20);
}

TEST_CASE("a prompt whose blocks must all be free waits for them, and chunks keep to their threshold") {
  LlmEngineModel model;
  model.max_num_batched_tokens = 64;
  std::vector<Sent> sent{{Time{0}, 160, 40}, {Time{} + Duration::seconds(0.1), 160, 10}};
  Bench by_chunk(model, cost_of(20));
  model.scheduler_reserve_full_isl = true;
  Bench whole(model, cost_of(20));
  auto a = by_chunk.run(sent), b = whole.run(sent);
  CHECK(a[1].scheduled < a[0].finished);
  CHECK(b[1].scheduled == b[0].finished);
  CHECK(whole.state.preemptions == 0);

  model.long_prefill_token_threshold = 16;
  Bench small(model, cost_of(20));
  small.run({{Time{0}, 160, 1}});
  CHECK(small.state.steps == 10);
}

TEST_CASE("a step that preempts admits nobody and the preempted comes first") {
  // Two requests that fit together at first and outgrow 20 blocks of 16.
  Bench bench({}, cost_of(20));
  auto results = bench.run({{Time{0}, 100, 120}, {Time{0}, 100, 120}, {Time{1}, 10, 5}});
  CHECK(bench.state.preemptions >= 1);
  CHECK(results[0].finished < results[1].finished);
  CHECK(results[1].finished > results[2].scheduled);
  for (const Result& r : results) CHECK(r.generated > 0);
}

TEST_CASE("who waits behind a head that gives up enters at the next iteration") {
  auto detail = GENERATE(LlmEngineModel::Detail::Iteration, LlmEngineModel::Detail::Linear);
  LlmEngineModel model;
  model.detail = detail;
  Bench bench(model, cost_of(100));
  // The second needs 88 of 100 blocks while the first holds 50 to 81; it gives up at 1.2 s.
  auto results = bench.run({{Time{0}, 800, 500}, {Time{1000}, 1400, 5, Time{1'200'000'000}}, {Time{2000}, 16, 5}});
  CHECK(results[2].scheduled >= Time{1'200'000'000});
  CHECK(results[2].scheduled < Time{1'220'000'000});
}

TEST_CASE("a request larger than the KV memory does not fit") {
  Bench bench({}, cost_of(10));
  Request request;
  request.prompt_tokens = 100;
  request.output_tokens = 60;
  CHECK(bench.engine.fits(request));
  request.output_tokens = 61;
  CHECK_FALSE(bench.engine.fits(request));
}

TEST_CASE("chunked prefill: no iteration computes more tokens than its budget") {
  LlmEngineModel model{LlmEngineModel::Detail::Iteration, 256, 512, 16, true};
  Bench bench(model, cost_of(30000));
  auto results = bench.run({{Time{0}, 2000, 2}});
  // 512 + 512 + 512 + 464 tokens, then one iteration.
  CHECK(bench.state.steps == 5);
  CHECK(bench.state.prefilled_tokens == 2000);
  CHECK(results[0].generated == 2);
}

TEST_CASE("linear level: a batch of n decodes at base + n·slope and a prompt stalls it") {
  LlmEngineModel model;
  model.detail = LlmEngineModel::Detail::Linear;
  Bench bench(model, cost_of(30000));
  auto alone = bench.run({{Time{0}, 1000, 101}});
  CHECK(alone[0].first_token.to_seconds() == Approx(6.7e-3 + 27e-3));
  CHECK((alone[0].finished - alone[0].first_token).to_seconds() == Approx(100 * 6.8e-3));

  Bench pair(model, cost_of(30000));
  auto two = pair.run({{Time{0}, 1000, 101}, {Time{0}, 1000, 101}});
  CHECK(two[1].first_token.to_seconds() == Approx(2 * (6.7e-3 + 27e-3)));
  CHECK(two[0].finished.to_seconds() == Approx(2 * (6.7e-3 + 27e-3) + 100 * 6.9e-3));
  CHECK(pair.state.kv.free_blocks() == 30000);
}

TEST_CASE("linear level: one timer per change of the batch") {
  LlmEngineModel model;
  model.detail = LlmEngineModel::Detail::Linear;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Bench bench(model, cost_of(2000));
    auto sent = random_load(seed, 500, 20, 0.1);
    auto results = bench.run(sent);
    CHECK(bench.calls <= sent.size());
    CHECK(bench.state.kv.free_blocks() == 2000);
    for (size_t i = 0; i < sent.size(); ++i)
      if (sent[i].abort == Time::max()) CHECK(results[i].generated == sent[i].output);
  }
}

TEST_CASE("experts are read as far as the tokens of an iteration need them") {
  // Mixtral 8x7B: with one token 2 of 8 experts of a layer, with many all of them.
  LlmEngineModel model;
  model.llm = {"mixtral-8x7b", 46.7e9, 32, 4096, 32, 8, 128};
  model.llm.experts = {8, 2, 14336, 32};
  model.profile.steps.resize(1);
  model.profile.steps[0].weight_factor = 1;
  CHECK(model.llm.expert_parameters() == Approx(45.1e9).epsilon(1e-3));
  CHECK(model.llm.active_parameters() == Approx(12.9e9).epsilon(5e-3));
  CHECK(model.llm.experts.share_read(1) == Approx(0.25));
  CHECK(model.llm.experts.share_read(2) == Approx(1 - 0.75 * 0.75));
  CHECK(model.llm.experts.share_read(1000) == Approx(1));
  GpuModel gpu;
  gpu.fp16_tflops = 989;
  gpu.bandwidth_gbs = 3350;
  Accelerator on;
  on.memory_bytes = 160ll << 30;
  model.tensor_parallel = 2;
  const LlmCost cost = llm_cost(model, gpu, on);
  StepWork one, many;
  one.decoding = 1;
  many.decoding = 1000;
  const double each = static_cast<double>(cost.line(one).first_ps), all = static_cast<double>(cost.line(many).first_ps);
  const double computed = 999 * 2 * model.llm.active_expert_parameters() / (2 * 989e12);
  CHECK((all - each) * 1e-12 == Approx(0.75 * 2 * 45.1e9 / 6.7e12 + computed).epsilon(2e-3));
  CHECK(static_cast<double>(cost.per_prefill_token_ps) * 1e-12 == Approx(2 * 12.9e9 / (2 * 989e12)).epsilon(5e-3));

  // Copies of the attention read their weights each; the experts are there once.
  model.tensor_parallel = 1;
  model.data_parallel = 2;
  const LlmCost copies = llm_cost(model, gpu, on);
  const double dense = model.llm.dense_bytes();
  CHECK(static_cast<double>(copies.step_ps - cost.step_ps) * 1e-12 == Approx(dense / 6.7e12).epsilon(1e-4));
  CHECK(copies.experts_ps == cost.experts_ps);
  CHECK(copies.kv_blocks < cost.kv_blocks);
}

TEST_CASE("what a token adds to the KV cache follows the kind of attention") {
  LlmModel deepseek{"deepseek-v3", 671e9, 61, 7168, 128, 128, 128};
  deepseek.latent_rank = 512;
  deepseek.latent_rope = 64;
  CHECK(deepseek.kv_bytes_per_token() == 61 * 576 * 2);
  CHECK(deepseek.kv_copies(8) == 8);
  LlmModel oss{"gpt-oss-20b", 20.9e9, 24, 2880, 64, 8, 64};
  oss.window = 128;
  oss.window_layers = 12;
  CHECK(oss.kv_bytes_per_token() == 12 * 2 * 8 * 64 * 2);
  CHECK(oss.window_bytes_per_token() == 12 * 2 * 8 * 64 * 2);
  CHECK(oss.kv_copies(8) == 1);
  CHECK(oss.kv_copies(16) == 2);
  LlmModel linear{"qwen3-next", 80e9, 48, 2048, 16, 2, 256};
  linear.linear_layers = 36;
  CHECK(linear.kv_bytes_per_token() == 12 * 2 * 2 * 256 * 2);
}

TEST_CASE("weights of 8 and 4 bits compute at their own peak, where the GPU has it") {
  LlmEngineModel model;
  model.llm = {"llama-3.1-8b", 8e9, 32, 4096, 32, 8, 128, 1};
  model.profile.steps.resize(1);
  model.profile.prefill_mfu = 0.5;
  model.profile.prefill_mfu_fp8 = 0.4;
  GpuModel gpu;
  gpu.fp16_tflops = 100;
  gpu.bandwidth_gbs = 1000;
  Accelerator on;
  on.memory_bytes = 80ll << 30;
  CHECK(llm_cost(model, gpu, on).per_prefill_token_ps == Approx(16e9 / 50e12 * 1e12));
  gpu.fp8_tflops = 200;
  CHECK(llm_cost(model, gpu, on).per_prefill_token_ps == Approx(16e9 / 80e12 * 1e12));
}

TEST_CASE("neighbours stretch what is left of a step, to the nanosecond") {
  // One token of prompt and ten more: each iteration takes a millisecond.
  LlmCost cost;
  cost.step_ps = 1'000'000'000;
  cost.kv_blocks = 100;
  cost.linear = {1e-3, 0, 1e-3, 0};
  auto ends = [&](LlmEngineModel::Detail detail, std::vector<std::pair<double, double>> speeds) {
    LlmEngineModel model;
    model.detail = detail;
    Bench bench(model, cost);
    for (auto [at_ms, speed] : speeds) bench.speeds.push_back({Time{} + Duration::seconds(at_ms * 1e-3), speed});
    return bench.run({{Time{}, 1, 11}})[0].finished.ns;
  };
  for (auto detail : {LlmEngineModel::Detail::Iteration, LlmEngineModel::Detail::Linear}) {
    CHECK(ends(detail, {}) == 11'000'000);
    CHECK(ends(detail, {{0, 0.5}}) == 22'000'000);
    CHECK(ends(detail, {{5.5, 0.25}}) == 5'500'000 + 22'000'000);
    CHECK(ends(detail, {{0.5, 0.5}, {9.5, 1}}) == 9'500'000 + 6'000'000);
    // There and back again at one instant changes nothing.
    CHECK(ends(detail, {{3.3, 0.5}, {3.3, 1}}) == 11'000'000);
  }
}

TEST_CASE("a jump ends at the nanosecond of its single steps at any speed", "[property]") {
  uint64_t seed = GENERATE(range(uint64_t{1}, uint64_t{11}));
  Stream stream(seed, 2, Purpose::Policy);
  std::vector<std::pair<Time, double>> speeds;
  for (double t = 0; t < 40; t += draw_exponential(stream, 0.2))
    speeds.push_back({Time{} + Duration::seconds(t), 0.1 + 0.9 * stream.uniform()});
  auto results = [&](bool jump) {
    LlmEngineModel model;
    model.jump = jump;
    Bench bench(model, cost_of(2000));
    bench.speeds = speeds;
    auto out = bench.run(random_load(seed, 200, 10, 0.1));
    CHECK(bench.state.kv.free_blocks() == 2000);
    return out;
  };
  CHECK(results(true) == results(false));
}

TEST_CASE("what a step takes of the GPUs is its bytes and FLOPs over its time, jumped or not") {
  LlmCost cost = cost_of(1'000'000);
  cost.ideal.weights = 4.8e-3;
  cost.ideal.kv_token = 39e-9;
  cost.ideal.token = 16.2e-6;
  cost.ideal.attention = 0.5e-9;
  auto taken = [&](bool jump) {
    LlmEngineModel model;
    model.jump = jump;
    Bench bench(model, cost);
    for (int i = 0; i < 3; ++i) {
      RequestId id = bench.slab.take();
      bench.slab[id].prompt_tokens = 700;
      bench.slab[id].output_tokens = 400 + 100 * i;
      bench.slab[id].scheduled = bench.slab[id].first_token = Time::max();
      bench.engine.enqueue(id, Time{});
    }
    double bandwidth = 0, compute = 0;  // peak seconds
    Time now;
    while (bench.engine.timer() != Time::max()) {
      Time next = bench.engine.timer();
      GpuLoad load = bench.engine.load(now);
      bandwidth += static_cast<double>(load.bandwidth) * 1e-6 * (next - now).to_seconds();
      compute += static_cast<double>(load.compute) * 1e-6 * (next - now).to_seconds();
      bench.engine.on_timer(now = next);
      for (RequestId id : bench.state.finished) bench.slab.give_back(id);
      bench.state.finished.clear();
    }
    CHECK(bench.engine.load(now) == GpuLoad{});
    return std::pair(bandwidth, compute);
  };
  auto [bandwidth, compute] = taken(true);
  auto [each_bandwidth, each_compute] = taken(false);
  CHECK(bandwidth == Approx(each_bandwidth).epsilon(1e-4));
  CHECK(compute == Approx(each_compute).epsilon(1e-3));
  // The weights are read 601 times: the first prompt in a step of its own, the two others in the next, and the last of
  // them makes 599 tokens more.
  double context = 0;
  for (int output : {400, 500, 600})
    for (int k = 0; k < output - 1; ++k) context += 700 + k + 1;
  CHECK(bandwidth == Approx(601 * 4.8e-3 + context * 39e-9).epsilon(1e-4));
  double attention = context + 3 * 0.5 * 700 * 700;
  CHECK(compute == Approx(16.2e-6 * (2100 + 399 + 499 + 599) + 0.5e-9 * attention).epsilon(2e-3));
}

TEST_CASE("the linear level takes as much of the GPUs as its steady decoding") {
  LlmEngineModel model;
  model.detail = LlmEngineModel::Detail::Linear;
  LlmCost cost = cost_of(1'000'000);
  cost.ideal.weights = 4.8e-3;
  cost.ideal.kv_token = 39e-9;
  cost.ideal.token = 16.2e-6;
  cost.ideal.attention = 0.5e-9;
  Bench bench(model, cost);
  RequestId id = bench.slab.take();
  bench.slab[id].prompt_tokens = 10;
  bench.slab[id].output_tokens = 1000;
  bench.slab[id].scheduled = bench.slab[id].first_token = Time::max();
  bench.engine.enqueue(id, Time{});
  double itl = cost.linear.base + cost.linear.per_sequence;
  CHECK(bench.engine.load(Time{}).bandwidth * 1e-6 == Approx((4.8e-3 + 1024 * 39e-9) / itl).epsilon(0.01));
  bench.engine.on_timer(bench.engine.timer());
  CHECK(bench.engine.load(Time{}) == GpuLoad{});
}
