#pragma once
// A request: who sent it, what it asks for, how far it is. Requests live in a slab whose size follows the requests in
// flight, not those served.

#include "cluster/cluster.hpp"
#include "core/event.hpp"
#include "core/id.hpp"
#include "core/time.hpp"
#include "traffic/arrival.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace kisim {

using RequestId = Id<struct RequestTag>;

// Which list of intrusive links: the place where the request waits or runs, its client's deadlines, and the replica
// that keeps its KV for another one.
enum class Link : uint8_t { Place = 0, Deadline = 1, Kept = 2 };

struct Request {
  // Where the current attempt is.
  enum class Place : uint8_t {
    Held,        // at the service: no endpoint is ready
    Travelling,  // API and tokeniser of the replica, before its queue
    Waiting,     // in the replica's queue
    Loading,     // there, while KV of its prompt is read from DRAM, disk or another replica
    Formed,      // in a batch that waits for an instance
    Running,     // in a batch
    Backoff,     // at the client, before the next attempt
    Preparing,   // at the client: it waits for its program's thread or has it, and its clock does not run yet
    Connecting,  // at the client, until a connection is free
    Sending,     // as Preparing, with its clock running
    Receiving,
    Network,    // on the way to the gateway, or back
    SecondOnly  // its own attempt has failed, the gateway's second one is under way
  };

  uint64_t ordinal = 0;
  uint64_t entity = 0;  // hash of (source's name, ordinal): the address of its random streams
  uint32_t source = 0, user = 0;
  int32_t prompt_tokens = 0, output_tokens = 1;
  Time arrival;       // the client's first send
  Time deadline;      // of this attempt
  Time queued;        // when it entered the replica's queue
  Time scheduled;     // first time in a batch of this attempt; max() = not yet
  Time first_token;   // max() = not yet
  EventHandle timer;  // the end of Travelling, Backoff, Network or of the transfer of its KV
  ReplicaId replica;
  Place place = Place::Held;
  bool admitted = false;
  uint32_t attempts = 0;

  uint16_t task = 0;       // kind, of its source's
  int16_t turns = 0;       // of the client's thread that it still needs, Sending or Receiving
  uint8_t turn_list = 0;   // where it waits for one
  bool connected = false;  // holds one of its client's connections
  bool answered = false;   // by the replica, at answered_at
  bool second = false;     // sent by a gateway that waited too long for the answer to `twin`
  RequestId twin;          // the other of the two
  Time answered_at;
  EventHandle hedge_timer;

  // A batch server's part.
  int32_t samples = 1;
  uint16_t model = 0;    // that it asks
  uint16_t serving = 0;  // that it waits for or runs on: `model`, or the present step of that ensemble
  uint16_t step = 0;
  bool deferred = false;  // its time-out in the queue has passed
  uint32_t priority = 0, level = 0;
  Duration queue_timeout;  // its own; 0 = none
  Time expires;            // its time-out in the queue; max() = none
  uint32_t instance = 0;   // that it runs on, or number of its formed batch

  // The LLM engine's part. While decoding, the tokens generated are counted by the engine's iterations.
  int32_t prefilled = 0;       // tokens whose KV is computed, while prefilling
  int32_t prefill_target = 0;  // prompt, plus what was generated before a preemption
  int32_t generated = 0;       // tokens sent, as of decode_start
  uint64_t decode_start = 0;   // engine iteration at which it joined the decoding
  bool decoding = false;
  uint32_t adapter = 0;  // LoRA adapter, from 1; 0: none
  int32_t blocks = 0;    // KV blocks held, while prefilling (linear level and with drafts: for good)
  int32_t known = 0;     // of them, the first ones that the prefix cache knows
  int32_t cached = 0;    // tokens of its prompt that this attempt did not compute at first, from the cache or behind it
  bool looked_up = false;  // in the prefix cache here, at its first admission
  Time loaded;  // when what is read for it from behind the cache is there; max() = whoever sends it will tell
  // Prefill and decoding on two replicas: this is the first half, and who keeps the KV of the prompt for the second.
  bool prefill_half = false;
  ReplicaId kept_by;
  int32_t kept_blocks = 0, kept_known = 0;  // there, as blocks and known
  PromptIdentity identity;

  struct Links {
    uint32_t previous = RequestId::kNone, next = RequestId::kNone;
  };
  std::array<Links, 3> links;

  RequestId next(Link link = Link::Place) const { return RequestId(links[static_cast<int>(link)].next); }
  RequestId previous() const { return RequestId(links[static_cast<int>(Link::Place)].previous); }
};

class RequestSlab {
 public:
  Request& operator[](RequestId id) { return items_[id.value]; }
  const Request& operator[](RequestId id) const { return items_[id.value]; }
  size_t in_use() const { return items_.size() - free_count_; }

  RequestId take() {
    if (free_ == RequestId::kNone) {
      items_.emplace_back();
      return RequestId(items_.size() - 1);
    }
    RequestId id(free_);
    free_ = items_[id.value].links[0].next;
    --free_count_;
    items_[id.value] = {};
    return id;
  }
  void give_back(RequestId id) {
    items_[id.value].links[0].next = free_;
    free_ = id.value;
    ++free_count_;
  }

 private:
  std::vector<Request> items_;
  uint32_t free_ = RequestId::kNone;
  size_t free_count_ = 0;
};

// A doubly linked list through the slab: O(1) everywhere, no memory of its own.
template <Link kLink>
struct LinkedRequests {
  uint32_t head = RequestId::kNone, tail = RequestId::kNone, size = 0;

  bool empty() const { return size == 0; }
  RequestId front() const { return RequestId(head); }
  RequestId back() const { return RequestId(tail); }

  void push_back(RequestSlab& slab, RequestId id) {
    links(slab, id.value) = {tail, RequestId::kNone};
    (tail == RequestId::kNone ? head : links(slab, tail).next) = id.value;
    tail = id.value;
    ++size;
  }
  void push_front(RequestSlab& slab, RequestId id) {
    links(slab, id.value) = {RequestId::kNone, head};
    (head == RequestId::kNone ? tail : links(slab, head).previous) = id.value;
    head = id.value;
    ++size;
  }
  void insert_before(RequestSlab& slab, RequestId id, RequestId next) {
    if (!next.valid()) return push_back(slab, id);
    const uint32_t previous = links(slab, next.value).previous;
    links(slab, id.value) = {previous, next.value};
    (previous == RequestId::kNone ? head : links(slab, previous).next) = id.value;
    links(slab, next.value).previous = id.value;
    ++size;
  }
  void remove(RequestSlab& slab, RequestId id) {
    Request::Links l = links(slab, id.value);
    (l.previous == RequestId::kNone ? head : links(slab, l.previous).next) = l.next;
    (l.next == RequestId::kNone ? tail : links(slab, l.next).previous) = l.previous;
    --size;
  }
  RequestId pop_front(RequestSlab& slab) {
    RequestId id = front();
    remove(slab, id);
    return id;
  }

 private:
  static Request::Links& links(RequestSlab& slab, uint32_t i) {
    return slab[RequestId(i)].links[static_cast<int>(kLink)];
  }
};

using RequestList = LinkedRequests<Link::Place>;
using DeadlineList = LinkedRequests<Link::Deadline>;
using KeptList = LinkedRequests<Link::Kept>;

enum class Outcome : uint8_t { Completed = 0, Failed = 1, Dropped = 2, TimedOut = 3 };

// What is known of a request when it leaves; a row of /requests in run.h5. Times in seconds of simulated time;
// NaN = did not get that far.
struct RequestRecord {
  uint64_t entity = 0;  // hash of (source's name, ordinal)
  uint32_t source = 0;
  uint64_t ordinal = 0;
  Outcome outcome = Outcome::Completed;
  uint32_t attempts = 1;
  uint32_t replica_pod = 0xffffffffu;  // PodId of the last attempt
  int32_t prompt_tokens = 0, output_tokens = 0;
  double arrival_s = 0, queue_s = 0, ttft_s = 0, tpot_s = 0, e2e_s = 0;
};

class RequestSink {
 public:
  virtual ~RequestSink() = default;
  virtual void record(const RequestRecord& record) = 0;
  // So many completed requests of a flow at once, all like this one.
  virtual void record_flow(const RequestRecord& record, uint64_t requests) {
    (void)record;
    (void)requests;
  }
};

}  // namespace kisim
