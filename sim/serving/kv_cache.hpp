#pragma once
// The paged KV memory of one replica with automatic prefix caching, as vLLM V1's block pool does it (vllm/v1/core/
// block_pool.py, kv_cache_manager.py). Only full blocks are cached. A block is known by its whole prefix. Blocks in use
// are counted and shared; a block that nobody uses any more goes to the tail of the queue of free blocks, of one
// request the last block first, and keeps its content until it is taken from the head.
//
// Differs from vLLM in one point: of a block that two requests have computed at the same time, vLLM keeps both copies,
// this keeps one.
//
// Nobody needs single blocks: what is stored is runs of blocks of one prefix that have the same users and were freed
// together, and runs of free blocks without content. So a prompt of its own costs as much as one block, and the memory
// of the cache is at most proportional to its blocks. As whoever uses a block uses all before it, what is cached of a
// stream of tokens is always its beginning.

#include "traffic/arrival.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace kisim {

// The KV blocks of a prompt and its answer as parts of streams of tokens: one for each id of the prompt's identity,
// then its own. A block belongs to the part in which it ends.
class KvPath {
 public:
  struct Part {
    uint64_t stream;
    int64_t first, end;  // its blocks, counted from the start of the prompt
  };

  KvPath(const PromptIdentity& identity, int64_t prompt_tokens, int64_t block_size)
      : identity_(identity), prompt_tokens_(prompt_tokens), block_size_(block_size) {}

  uint32_t size() const { return identity_.ids + 1; }
  Part part(uint32_t i) const {
    if (i == identity_.ids) return {identity_.own, blocks_before(i), INT64_MAX};
    return {identity_.stream(i), blocks_before(i), blocks_before(i + 1)};
  }

 private:
  int64_t blocks_before(uint32_t part) const {
    return std::min(int64_t{part} * identity_.id_tokens, prompt_tokens_) / block_size_;
  }

  const PromptIdentity& identity_;
  int64_t prompt_tokens_, block_size_;
};

class KvCache {
 public:
  KvCache() = default;
  explicit KvCache(int64_t blocks) : blocks_(blocks) { give(blocks); }

  int64_t blocks() const { return blocks_; }
  // Nobody uses them; some have content.
  int64_t free_blocks() const { return free_; }
  int64_t cached_blocks() const { return cached_; }

  struct Found {
    int64_t blocks = 0, unused = 0;  // unused: of them, by nobody now
  };
  // Of the first `most` blocks of the path, those from its start that are here.
  Found find(const KvPath& path, int64_t most) const;
  // One more uses its blocks [from, to), which are here, and uses all before them already.
  void hold(const KvPath& path, int64_t from, int64_t to);
  // Who uses the blocks before `from` and has taken and filled those up to `to` makes them known. Those that are here
  // already are held instead, and the copies given back: returns how many.
  int64_t store(const KvPath& path, int64_t from, int64_t to);
  // One less uses the first `blocks` of the path.
  void release(const KvPath& path, int64_t blocks);
  // Blocks without content. Precondition: so many are free.
  void take(int64_t blocks);
  void give(int64_t blocks);

  // As a tier behind another cache, with no users: keeps the first `blocks` of the path as the latest it has seen.
  void keep(const KvPath& path, int64_t blocks);

  // Throws InvariantError.
  void check() const;

 private:
  static constexpr uint32_t kNone = 0xffffffffu;
  static constexpr size_t kFewestBuckets = 64;
  struct Run {
    uint64_t stream = 0;
    int64_t blocks = 0;
    int32_t users = 0;
    bool cached = false;                     // of its stream; else without content
    uint32_t before = kNone, after = kNone;  // in its stream
    uint32_t older = kNone, newer = kNone;   // in the queue of free blocks; links of unused slots, too
    uint32_t peer = kNone;                   // next of the first runs in one bucket
  };

  uint32_t first_run(uint64_t stream) const;
  uint32_t& bucket(uint64_t stream) { return buckets_[stream & (buckets_.size() - 1)]; }
  void insert(uint32_t run);
  void erase(uint32_t run);
  uint32_t add(const Run& run);
  void recycle(uint32_t run);
  void enqueue(uint32_t run);
  void dequeue(uint32_t run);
  void forget(uint32_t run);
  void split(uint32_t run, int64_t blocks);
  void join(uint32_t run);
  void append(uint64_t stream, int64_t blocks);

  std::vector<Run> runs_;
  uint32_t unused_ = kNone, oldest_ = kNone, newest_ = kNone;
  std::vector<uint32_t> buckets_ = std::vector<uint32_t>(kFewestBuckets, kNone);  // of streams' first runs, by hash
  size_t streams_ = 0;
  int64_t blocks_ = 0, free_ = 0, cached_ = 0;
};

}  // namespace kisim
