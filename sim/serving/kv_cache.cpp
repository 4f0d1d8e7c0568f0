#include "serving/kv_cache.hpp"

#include "core/error.hpp"

#include <utility>

namespace kisim {

KvCache::Found KvCache::find(const KvPath& path, int64_t most) const {
  Found found;
  for (uint32_t i = 0; i < path.size() && found.blocks < most; ++i) {
    const KvPath::Part part = path.part(i);
    const int64_t end = std::min(part.end, most);
    for (uint32_t r = first_run(part.stream); r != kNone && found.blocks < end; r = runs_[r].after) {
      const int64_t blocks = std::min(runs_[r].blocks, end - found.blocks);
      found.blocks += blocks;
      if (runs_[r].users == 0) found.unused += blocks;
    }
    if (found.blocks < end) break;
  }
  return found;
}

void KvCache::hold(const KvPath& path, int64_t from, int64_t to) {
  for (uint32_t i = 0; i < path.size(); ++i) {
    const KvPath::Part part = path.part(i);
    const int64_t end = std::min(part.end, to);
    if (part.first >= to) return;
    if (part.end <= from) continue;
    int64_t here = part.first;
    for (uint32_t r = first_run(part.stream); here < end;) {
      if (here + runs_[r].blocks > end) split(r, end - here);
      const uint32_t before = runs_[r].before, after = runs_[r].after;
      here += runs_[r].blocks;
      if (here > from) {
        if (runs_[r].users++ == 0) dequeue(r);
        if (before != kNone) join(before);
      }
      r = after;
    }
  }
}

int64_t KvCache::store(const KvPath& path, int64_t from, int64_t to) {
  int64_t copies = 0;
  for (uint32_t i = 0; i < path.size() && from < to; ++i) {
    const KvPath::Part part = path.part(i);
    const int64_t end = std::min(part.end, to);
    if (end <= from) continue;
    const int64_t here = find(path, end).blocks;
    if (here > from) {
      hold(path, from, here);
      copies += here - from;
    }
    append(part.stream, end - std::max(here, from));
    from = end;
  }
  give(copies);
  return copies;
}

void KvCache::release(const KvPath& path, int64_t blocks) {
  for (uint32_t i = path.size(); i-- > 0;) {
    const KvPath::Part part = path.part(i);
    const int64_t end = std::min(part.end, blocks);
    if (end <= part.first) continue;
    uint32_t last = first_run(part.stream);
    int64_t here = part.first + runs_[last].blocks;
    for (; here < end; here += runs_[last].blocks) last = runs_[last].after;
    KISIM_INVARIANT(here == end, "a request gives back KV blocks up to {} of a run that ends at {}", end, here);
    for (uint32_t r = last; r != kNone;) {
      const uint32_t before = runs_[r].before;
      if (--runs_[r].users == 0) enqueue(r);
      join(r);
      r = before;
    }
  }
}

void KvCache::take(int64_t blocks) {
  KISIM_INVARIANT(blocks <= free_, "{} KV blocks are taken of {} free ones", blocks, free_);
  while (blocks > 0) {
    const uint32_t r = oldest_;
    const int64_t taken = std::min(blocks, runs_[r].blocks);
    KISIM_INVARIANT(runs_[r].after == kNone, "a KV block is taken before the one that follows it");
    runs_[r].blocks -= taken;
    free_ -= taken;
    if (runs_[r].cached) cached_ -= taken;
    blocks -= taken;
    if (runs_[r].blocks > 0) continue;
    dequeue(r);
    forget(r);
  }
}

void KvCache::give(int64_t blocks) {
  if (blocks == 0) return;
  if (newest_ == kNone || runs_[newest_].cached) enqueue(add({}));
  runs_[newest_].blocks += blocks;
  free_ += blocks;
}

void KvCache::keep(const KvPath& path, int64_t blocks) {
  blocks = std::min(blocks, blocks_);
  const int64_t here = find(path, blocks).blocks;
  hold(path, 0, here);
  take(blocks - here);
  store(path, here, blocks);
  release(path, blocks);
}

// ---- runs ----

uint32_t KvCache::first_run(uint64_t stream) const {
  uint32_t r = buckets_[stream & (buckets_.size() - 1)];
  while (r != kNone && runs_[r].stream != stream) r = runs_[r].peer;
  return r;
}

void KvCache::insert(uint32_t r) {
  if (++streams_ > buckets_.size()) {
    std::vector<uint32_t> old(2 * buckets_.size(), kNone);
    old.swap(buckets_);
    for (uint32_t first : old)
      for (uint32_t moved = first; moved != kNone;) {
        const uint32_t next = runs_[moved].peer;
        runs_[moved].peer = std::exchange(bucket(runs_[moved].stream), moved);
        moved = next;
      }
  }
  runs_[r].peer = std::exchange(bucket(runs_[r].stream), r);
}

void KvCache::erase(uint32_t r) {
  --streams_;
  uint32_t* link = &bucket(runs_[r].stream);
  while (*link != r) link = &runs_[*link].peer;
  *link = runs_[r].peer;
}

uint32_t KvCache::add(const Run& run) {
  if (unused_ == kNone) {
    runs_.push_back(run);
    return static_cast<uint32_t>(runs_.size() - 1);
  }
  const uint32_t r = unused_;
  unused_ = runs_[r].newer;
  runs_[r] = run;
  return r;
}

void KvCache::recycle(uint32_t r) {
  runs_[r] = {};
  runs_[r].newer = unused_;
  unused_ = r;
}

void KvCache::enqueue(uint32_t r) {
  runs_[r].older = newest_;
  runs_[r].newer = kNone;
  (newest_ == kNone ? oldest_ : runs_[newest_].newer) = r;
  newest_ = r;
  free_ += runs_[r].blocks;
}

// Runs without content that become neighbours are one.
void KvCache::dequeue(uint32_t r) {
  const uint32_t older = runs_[r].older, newer = runs_[r].newer;
  (older == kNone ? oldest_ : runs_[older].newer) = newer;
  (newer == kNone ? newest_ : runs_[newer].older) = older;
  free_ -= runs_[r].blocks;
  if (older == kNone || newer == kNone || runs_[older].cached || runs_[newer].cached) return;
  runs_[older].blocks += runs_[newer].blocks;
  runs_[older].newer = runs_[newer].newer;
  (runs_[newer].newer == kNone ? newest_ : runs_[runs_[newer].newer].older) = older;
  recycle(newer);
}

// The last of its stream, which is in no queue.
void KvCache::forget(uint32_t r) {
  if (runs_[r].cached) {
    if (runs_[r].before == kNone)
      erase(r);
    else
      runs_[runs_[r].before].after = kNone;
  }
  recycle(r);
}

// Its blocks after the first `blocks` become a run of their own, with the same users, at the same place of the queue.
void KvCache::split(uint32_t r, int64_t blocks) {
  Run rest = runs_[r];
  rest.blocks -= blocks;
  rest.before = r;
  const uint32_t after = add(rest);
  if (rest.after != kNone) runs_[rest.after].before = after;
  runs_[r].blocks = blocks;
  runs_[r].after = after;
  if (rest.users > 0) return;
  // The later blocks are taken first.
  (rest.older == kNone ? oldest_ : runs_[rest.older].newer) = after;
  runs_[after].newer = r;
  runs_[r].older = after;
}

// With the one after it, if the two cannot be told apart any more.
void KvCache::join(uint32_t r) {
  const uint32_t after = runs_[r].after;
  if (after == kNone || runs_[after].users != runs_[r].users) return;
  if (runs_[r].users == 0) {
    if (runs_[r].older != after) return;
    runs_[r].older = runs_[after].older;
    (runs_[after].older == kNone ? oldest_ : runs_[runs_[after].older].newer) = r;
  }
  runs_[r].blocks += runs_[after].blocks;
  runs_[r].after = runs_[after].after;
  if (runs_[r].after != kNone) runs_[runs_[r].after].before = r;
  recycle(after);
}

// At the end of what is here of a stream. Who has all of that is its only user, if there is one only.
void KvCache::append(uint64_t stream, int64_t blocks) {
  if (blocks == 0) return;
  cached_ += blocks;
  uint32_t last = first_run(stream);
  while (last != kNone && runs_[last].after != kNone) last = runs_[last].after;
  if (last != kNone && runs_[last].users == 1) return void(runs_[last].blocks += blocks);
  Run run;
  run.stream = stream;
  run.blocks = blocks;
  run.users = 1;
  run.cached = true;
  run.before = last;
  const uint32_t r = add(run);
  if (last == kNone)
    insert(r);
  else
    runs_[last].after = r;
}

void KvCache::check() const {
  int64_t free = 0, cached = 0;
  for (uint32_t r = oldest_; r != kNone; r = runs_[r].newer) {
    KISIM_INVARIANT(runs_[r].users == 0 && runs_[r].blocks > 0, "a run of {} KV blocks with {} users is free",
                    runs_[r].blocks, runs_[r].users);
    free += runs_[r].blocks;
  }
  for (const Run& run : runs_) {
    if (!run.cached) continue;
    cached += run.blocks;
    const bool nested = run.after == kNone || runs_[run.after].users <= run.users;
    KISIM_INVARIANT(nested, "a KV block has more users than the one before it");
  }
  KISIM_INVARIANT(free == free_ && free <= blocks_ && cached == cached_ && cached <= blocks_,
                  "of {} KV blocks {} are free, in the queue {}; {} are cached, in runs {}", blocks_, free_, free,
                  cached_, cached);
}

}  // namespace kisim
