#include "serving/kv_cache.hpp"

#include "core/error.hpp"
#include "core/random.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

using namespace kisim;

namespace {

constexpr int64_t kBlock = 16;

// Block by block, as vLLM's block pool does it: a queue of free blocks, counts of users, hashes of prefixes.
class SlowCache {
 public:
  using Hash = std::pair<uint64_t, int64_t>;  // the stream in which the block ends, its place in the prompt

  explicit SlowCache(int64_t blocks) : blocks_(static_cast<size_t>(blocks)) {
    for (size_t b = 0; b < blocks_.size(); ++b) free_.push_back(b);
  }

  static std::vector<Hash> hashes(const KvPath& path, int64_t blocks) {
    std::vector<Hash> out;
    for (uint32_t i = 0; i < path.size(); ++i)
      for (int64_t b = path.part(i).first; b < std::min(path.part(i).end, blocks); ++b)
        out.push_back({path.part(i).stream, b});
    return out;
  }

  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  int64_t cached_blocks() const { return static_cast<int64_t>(known_.size()); }
  int64_t find(const std::vector<Hash>& prompt) const {
    int64_t n = 0;
    for (; n < static_cast<int64_t>(prompt.size()); ++n)
      if (!known_.contains(prompt[static_cast<size_t>(n)])) break;
    return n;
  }
  void hold(const Hash& hash, std::vector<size_t>& held) {
    size_t b = known_.at(hash);
    if (blocks_[b].users++ == 0) free_.erase(std::find(free_.begin(), free_.end(), b));
    held.push_back(b);
  }
  size_t take() {
    size_t b = free_.front();
    free_.pop_front();
    if (blocks_[b].known) known_.erase(blocks_[b].hash);
    blocks_[b] = {{}, false, 1};
    return b;
  }
  // The block of a request becomes known, or is given back for the one that is.
  void store(const Hash& hash, size_t& block) {
    if (auto known = known_.find(hash); known != known_.end()) {
      std::vector<size_t> held;
      hold(hash, held);
      drop(block);
      block = held.front();
      return;
    }
    blocks_[block].hash = hash;
    blocks_[block].known = true;
    known_[hash] = block;
  }
  void drop(size_t block) {
    if (--blocks_[block].users == 0) free_.push_back(block);
  }

 private:
  struct Block {
    Hash hash;
    bool known = false;
    int32_t users = 0;
  };
  std::vector<Block> blocks_;
  std::deque<size_t> free_;
  std::map<Hash, size_t> known_;
};

struct Prompt {
  std::vector<uint32_t> ids;
  PromptIdentity identity;
  int64_t tokens = 0;
  KvPath path() const { return KvPath(identity, tokens, kBlock); }
};

struct User {
  Prompt prompt;
  int64_t computed = 0;  // blocks that are known or held as such
  std::vector<size_t> slow;
};

PromptIdentity identity_of(const std::vector<uint32_t>& ids, int32_t id_tokens, uint64_t own) {
  return {ids.data(), static_cast<uint32_t>(ids.size()), id_tokens, 77, own};
}

}  // namespace

TEST_CASE("a KV block belongs to the stream in which it ends", "[kv_cache]") {
  std::vector<uint32_t> ids{1, 2};
  PromptIdentity identity = identity_of(ids, 24, 9);
  KvPath path(identity, 40, kBlock);
  CHECK(path.part(0).first == 0);
  CHECK(path.part(0).end == 1);  // 24 tokens
  CHECK(path.part(1).first == 1);
  CHECK(path.part(1).end == 2);  // 40: the prompt is shorter than its ids
  CHECK(path.part(2).first == 2);
  CHECK(path.part(2).stream == 9);
}

TEST_CASE("what a request leaves is found by the next, its last blocks are taken first", "[kv_cache]") {
  KvCache cache(10);
  PromptIdentity first{nullptr, 0, 0, 0, 1}, other{nullptr, 0, 0, 0, 2};
  KvPath path(first, 96, kBlock);
  cache.take(6);
  CHECK(cache.store(path, 0, 6) == 0);
  CHECK(cache.free_blocks() == 4);
  cache.release(path, 6);
  CHECK(cache.free_blocks() == 10);
  CHECK(cache.find(path, 6).blocks == 6);
  CHECK(cache.find(path, 3).blocks == 3);
  CHECK(cache.find(KvPath(other, 96, kBlock), 6).blocks == 0);
  cache.take(6);  // four that hold nothing, and two of the first
  CHECK(cache.find(path, 6).blocks == 4);
  cache.hold(path, 0, 3);
  CHECK(cache.free_blocks() == 1);
  cache.take(1);
  CHECK(cache.find(path, 6).blocks == 3);
  CHECK_THROWS_AS(cache.take(1), InvariantError);
  cache.check();
}

TEST_CASE("a copy of a known block is given back", "[kv_cache]") {
  KvCache cache(10);
  PromptIdentity same{nullptr, 0, 0, 0, 1};
  KvPath path(same, 64, kBlock);
  cache.take(8);
  CHECK(cache.store(path, 0, 4) == 0);
  CHECK(cache.store(path, 0, 4) == 4);
  CHECK(cache.free_blocks() == 6);
  cache.release(path, 4);
  CHECK(cache.free_blocks() == 6);
  cache.release(path, 4);
  CHECK(cache.free_blocks() == 10);
  CHECK(cache.cached_blocks() == 4);
}

TEST_CASE("runs of blocks are what single blocks would be", "[kv_cache][property]") {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Stream dice(seed, 0, Purpose::Field);
    const int64_t capacity = 5 + dice.below(60);
    KvCache cache(capacity);
    SlowCache slow(capacity);
    std::vector<User> users;
    auto any_prompt = [&] {
      Prompt p;
      // Ids stand for all that is before them: a tree with three children at each place.
      uint32_t id = 0;
      for (uint32_t n = dice.below(4); n > 0; --n) p.ids.push_back(id = id * 3 + 1 + dice.below(3));
      p.tokens = 1 + dice.below(160);
      // One own stream goes on from one list of ids and one length of them only.
      const auto id_tokens = static_cast<int32_t>(seed % 2 ? 32 : 24);
      uint64_t own = 1000 + dice.below(4);
      for (uint32_t i : p.ids) own = hash_combine(own, i);
      const int64_t in_ids = std::min(p.tokens, int64_t{id_tokens} * static_cast<int64_t>(p.ids.size()));
      p.identity = identity_of(p.ids, id_tokens, hash_combine(own, static_cast<uint64_t>(in_ids)));
      return p;
    };
    auto leave = [&](size_t u) {
      User& user = users[u];
      const auto known = static_cast<size_t>(user.computed);
      for (size_t b = user.slow.size(); b-- > 0;) slow.drop(user.slow[b]);
      cache.give(static_cast<int64_t>(user.slow.size() - known));
      cache.release(user.prompt.path(), user.computed);
      users.erase(users.begin() + static_cast<ptrdiff_t>(u));
    };
    for (int step = 0; step < 2000; ++step) {
      const uint32_t kind = dice.below(10);
      if (kind < 4) {  // a request comes: what is here is held, the rest is taken
        User user;
        user.prompt = any_prompt();
        user.prompt.identity.id = user.prompt.ids.data();
        const KvPath path = user.prompt.path();
        const int64_t most = user.prompt.tokens / kBlock;
        const auto hashes = SlowCache::hashes(path, most);
        user.computed = cache.find(path, most).blocks;
        REQUIRE(user.computed == slow.find(hashes));
        cache.hold(path, 0, user.computed);
        for (int64_t b = 0; b < user.computed; ++b) slow.hold(hashes[static_cast<size_t>(b)], user.slow);
        users.push_back(user);
        users.back().prompt.identity.id = users.back().prompt.ids.data();
      } else if (kind < 8 && !users.empty()) {  // it computes some more
        User& user = users[dice.below(static_cast<uint32_t>(users.size()))];
        const KvPath path = user.prompt.path();
        const auto hashes = SlowCache::hashes(path, user.computed + 4);
        if (static_cast<size_t>(user.computed) < user.slow.size()) continue;
        const int64_t more = 1 + dice.below(4);
        if (more > cache.free_blocks()) continue;
        cache.take(more);
        for (int64_t b = 0; b < more; ++b) user.slow.push_back(slow.take());
        const int64_t known = dice.below(4) == 0 ? more - 1 : more;
        cache.store(path, user.computed, user.computed + known);
        for (int64_t b = user.computed; b < user.computed + known; ++b)
          slow.store(hashes[static_cast<size_t>(b)], user.slow[static_cast<size_t>(b)]);
        user.computed += known;
      } else if (!users.empty()) {
        leave(dice.below(static_cast<uint32_t>(users.size())));
      }
      for (User& user : users) user.prompt.identity.id = user.prompt.ids.data();
      cache.check();
      REQUIRE(cache.free_blocks() == slow.free_blocks());
      REQUIRE(cache.cached_blocks() == slow.cached_blocks());
      const Prompt asked = any_prompt();
      PromptIdentity identity = asked.identity;
      identity.id = asked.ids.data();
      const KvPath path(identity, asked.tokens, kBlock);
      REQUIRE(cache.find(path, asked.tokens / kBlock).blocks ==
              slow.find(SlowCache::hashes(path, asked.tokens / kBlock)));
    }
    while (!users.empty()) leave(0);
    REQUIRE(cache.free_blocks() == capacity);
    KvCache copy = cache;
    copy.take(capacity);
    CHECK(copy.cached_blocks() == 0);
    copy.check();
    cache.check();
  }
}

TEST_CASE("a tier keeps the latest that it has seen", "[kv_cache]") {
  KvCache tier(8);
  PromptIdentity a{nullptr, 0, 0, 0, 1}, b{nullptr, 0, 0, 0, 2};
  KvPath first(a, 80, kBlock), second(b, 80, kBlock);
  tier.keep(first, 5);
  tier.keep(second, 3);
  tier.keep(first, 5);
  CHECK(tier.free_blocks() == 8);
  tier.keep(KvPath(b, 80, kBlock), 5);
  CHECK(tier.find(second, 5).blocks == 5);
  CHECK(tier.find(first, 5).blocks == 3);
  tier.keep(first, 50);  // more than it holds
  CHECK(tier.find(first, 50).blocks == 8);
  tier.check();
}
