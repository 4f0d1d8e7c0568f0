// Disaggregated serving: a prompt is computed by one replica of a Service, and another one reads its KV and answers.
//
// As vLLM's proxy and Dynamo do it: the prefill replica is asked first, for one token that nobody is sent; then the
// request is routed again. The decode replica takes KV blocks for the prompt when it is the first in the queue, reads
// what its own prefix cache lacks, and admits it again when that is there. The prefill replica keeps its blocks until
// then, or until the request is given up. KV that is lost with its replica is computed again where it is needed.
//
// A replica sends to one other at a time and receives from one, first come, first served.

#include "serving/serving.hpp"

#include <algorithm>

namespace kisim {

bool Serving::prefilled_apart(RequestId id) const {
  const Request& request = state.requests[id];
  const ServiceId service = model.clients[request.source].service;
  const ServiceState& s = state.services[service];
  if (s.prefill.endpoints.empty() || request.kept_by.valid() || task_of(id).frontend) return false;
  const int64_t most = model.services[service].max_local_prefill_length;
  if (most == 0 || s.serving.endpoints.empty()) return true;
  int64_t cached = 0;
  for (ReplicaId replica : s.serving.endpoints)
    cached = std::max(cached, engine(state.replicas[replica]).cached_tokens(request));
  return request.prompt_tokens - cached > most;
}

void Serving::hand_over(ReplicaId from, RequestId id) {
  Request& request = state.requests[id];
  request.prefill_half = false;
  request.kept_by = from;
  state.replicas[from].kept.push_back(state.requests, id);
  left_replica(from, request);
  route(id);
}

void Serving::pull(RequestId id) {
  Request& request = state.requests[id];
  ReplicaState &to = state.replicas[request.replica], &from = state.replicas[request.kept_by];
  if (from.lost) return;
  const double bytes = (request.blocks - request.known) * model.models[to.model].engine.block_bytes();
  const KvLink link = kv_link(from, to);
  const Time begin = std::max({engine_.now(), from.sends_until, to.receives_until});
  from.sends_until = to.receives_until = after(begin, bytes / link.bytes_per_s);
  request.timer = engine_.schedule(from.sends_until + link.latency, Priority::Completion, kind(Code::Pulled), id.value);
}

// Each GPU of the replica that has fewer sends or receives its part. What no link of the node's GPUs carries, two parts
// of one GPU among it, takes the way of other nodes.
Serving::KvLink Serving::kv_link(const ReplicaState& from, const ReplicaState& to) const {
  const KvTransferModel& transfer = model.models[to.model].engine.kv_transfer;
  const PodState &source = cluster_.state.pods[from.pod], &target = cluster_.state.pods[to.pod];
  const size_t pairs = std::min(source.devices.size(), target.devices.size());
  const GpuTopology* links = source.node == target.node ? cluster_.topology(source.node) : nullptr;
  double gbs = 0;
  for (size_t i = 0; links && i < pairs; ++i) {
    const std::vector<GpuDevice>& devices = cluster_.devices(source.node);
    gbs += links->bandwidth(devices[source.devices[i]].gpu, devices[target.devices[i]].gpu,
                            cluster_.nvlinks_down(source.node));
  }
  if (gbs > 0) return {transfer.efficiency * gbs * 1e9, transfer.link_latency};
  const auto ports = static_cast<double>(std::max<size_t>(1, pairs));
  return {transfer.efficiency * transfer.network_gbs * 1e9 * ports, transfer.network_latency};
}

void Serving::on_pulled(RequestId id) {
  ReplicaId to = state.requests[id].replica;
  ++state.kv_transfers.count;
  let_go(id);
  engine(state.replicas[to]).pulled(id, engine_.now());
  after_engine(to);
}

// Nobody needs its KV at the first replica any more.
void Serving::let_go(RequestId id) {
  Request& request = state.requests[id];
  ReplicaId from = request.kept_by;
  ReplicaState& replica = state.replicas[from];
  replica.kept.remove(state.requests, id);
  request.kept_by = {};
  engine(replica).release_kept(request, engine_.now());
  if (!replica.lost) after_engine(from);
  tell_if_drained(replica);
}

// The replica has gone with what it kept.
void Serving::lose_kept(ReplicaState& replica) {
  while (!replica.kept.empty()) {
    RequestId id = replica.kept.front();
    Request& request = state.requests[id];
    replica.kept.remove(state.requests, id);
    request.kept_by = {};
    request.kept_blocks = request.kept_known = 0;
    ++state.kv_transfers.lost;
    if (request.place != Request::Place::Loading) continue;
    engine_.cancel(request.timer);
    engine(state.replicas[request.replica]).not_pulled(id, engine_.now());
    after_engine(request.replica);
  }
}

}  // namespace kisim
