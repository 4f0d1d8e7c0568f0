#include "cluster/topology.hpp"

#include "core/error.hpp"

#include <fmt/format.h>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/filtered_graph.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <functional>
#include <limits>

namespace kisim {

namespace {

struct Part {
  enum class Kind : uint8_t { Gpu, NvSwitch, PcieSwitch, HostBridge, Socket } kind = Kind::Gpu;
};

struct Link {
  double gbs = 0;       // one direction
  int32_t nvlinks = 0;  // 0: PCIe, or between sockets
};

using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, Part, Link>;
using Vertex = Graph::vertex_descriptor;
using Edge = Graph::edge_descriptor;

double socket_gbs(int32_t gen) { return gen <= 3 ? 10 : gen == 4 ? 16 : 22; }

// Links between the GPUs of a hybrid cube mesh, as `nvidia-smi topo -m` shows them on a DGX-1 with V100.
constexpr uint8_t kCubeMesh[8][8] = {{0, 1, 1, 2, 2, 0, 0, 0}, {1, 0, 2, 1, 0, 2, 0, 0}, {1, 2, 0, 2, 0, 0, 1, 0},
                                     {2, 1, 2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 1, 1, 2}, {0, 2, 0, 0, 1, 0, 2, 1},
                                     {0, 0, 1, 0, 1, 2, 0, 2}, {0, 0, 0, 1, 2, 1, 2, 0}};

class Builder {
 public:
  Builder(const GpuModel& gpu, uint32_t gpus, NvlinkFabric fabric, PcieLayout pcie) : gpu_(gpu), gpus_(gpus) {
    for (uint32_t g = 0; g < gpus; ++g) add(Part::Kind::Gpu);
    pcie_tree(pcie);
    if (gpu.nvlinks > 0) nvlinks(fabric);
  }

  Graph take() { return std::move(graph_); }

 private:
  Vertex add(Part::Kind kind) { return boost::add_vertex(Part{kind}, graph_); }
  Vertex below(Vertex above, Part::Kind kind) {
    Vertex part = add(kind);
    connect(above, part, pcie_gbs(gpu_.pcie_gen));
    return part;
  }
  void connect(Vertex a, Vertex b, double gbs, int32_t nvlinks = 0) {
    boost::add_edge(a, b, Link{gbs, nvlinks}, graph_);
  }
  void connect_nvlinks(Vertex a, Vertex b, int32_t count) {
    if (count > 0) connect(a, b, gpu_.nvlink_gbs / 2 / gpu_.nvlinks * count, count);
  }

  void pcie_tree(PcieLayout layout) {
    std::vector<Vertex> sockets;
    for (uint32_t g = 0; g < gpus_;) {
      Vertex socket = add(Part::Kind::Socket);
      for (uint32_t b = 0; b < layout.bridges_per_socket && g < gpus_; ++b) g = host_bridge(socket, g, layout);
      for (Vertex other : sockets) connect(other, socket, socket_gbs(gpu_.pcie_gen));
      sockets.push_back(socket);
    }
  }

  // The first GPU that is left over.
  uint32_t host_bridge(Vertex socket, uint32_t g, PcieLayout layout) {
    Vertex above = below(socket, Part::Kind::HostBridge);
    bool switches = layout.gpus_per_switch > 1;
    if (switches && layout.switches_per_bridge > 1) above = below(above, Part::Kind::PcieSwitch);
    for (uint32_t s = 0; s < layout.switches_per_bridge && g < gpus_; ++s) {
      Vertex at = switches ? below(above, Part::Kind::PcieSwitch) : above;
      for (uint32_t i = 0; i < layout.gpus_per_switch && g < gpus_; ++i) connect(at, g++, pcie_gbs(gpu_.pcie_gen));
    }
    return g;
  }

  void nvlinks(NvlinkFabric fabric) {
    if (fabric == NvlinkFabric::NvSwitch) {
      Vertex nvswitch = add(Part::Kind::NvSwitch);
      for (uint32_t g = 0; g < gpus_; ++g) connect_nvlinks(g, nvswitch, gpu_.nvlinks);
      return;
    }
    for (uint32_t a = 0; a < gpus_; ++a)
      for (uint32_t b = a + 1; b < gpus_; ++b) connect_nvlinks(a, b, between(fabric, a, b));
  }

  int32_t between(NvlinkFabric fabric, uint32_t a, uint32_t b) const {
    switch (fabric) {
      case NvlinkFabric::Bridge:
        return a / 2 == b / 2 ? gpu_.nvlinks : 0;
      case NvlinkFabric::CubeMesh:
        return b < 8 ? kCubeMesh[a][b] : 0;
      case NvlinkFabric::Direct:
        return gpu_.nvlinks / static_cast<int32_t>(gpus_ - 1);
      case NvlinkFabric::None:
      case NvlinkFabric::NvSwitch:
        return 0;
    }
    return 0;
  }

  const GpuModel& gpu_;
  uint32_t gpus_;
  Graph graph_;
};

// The widest path between two GPUs over links of one kind, without other GPUs: its parts between them, and its
// bandwidth; 0: there is none.
struct Path {
  std::vector<Vertex> parts;
  int32_t nvlinks = std::numeric_limits<int32_t>::max();  // at the narrowest place
  double gbs = 0;
};

Path widest_path(const Graph& graph, Vertex from, Vertex to, bool nvlink) {
  std::function<bool(Edge)> of_kind = [&](Edge e) { return (graph[e].nvlinks > 0) == nvlink; };
  std::function<bool(Vertex)> may_pass = [&](Vertex v) {
    return v == from || v == to || graph[v].kind != Part::Kind::Gpu;
  };
  boost::filtered_graph links(graph, of_kind, may_pass);
  std::vector<double> width(boost::num_vertices(graph));
  std::vector<Vertex> before(boost::num_vertices(graph));
  constexpr double kAny = std::numeric_limits<double>::infinity();
  boost::dijkstra_shortest_paths(
      links, from,
      boost::weight_map(boost::get(&Link::gbs, graph))
          .distance_map(boost::make_iterator_property_map(width.begin(), boost::get(boost::vertex_index, graph)))
          .predecessor_map(boost::make_iterator_property_map(before.begin(), boost::get(boost::vertex_index, graph)))
          .distance_compare(std::greater<>())
          .distance_combine([](double a, double b) { return std::min(a, b); })
          .distance_inf(0.0)
          .distance_zero(kAny));
  Path path{.gbs = width[to]};
  if (path.gbs == 0) return path;
  for (Vertex v = to; v != from; v = before[v]) {
    if (v != to) path.parts.push_back(v);
    path.nvlinks = std::min(path.nvlinks, graph[boost::edge(before[v], v, graph).first].nvlinks);
  }
  return path;
}

GpuTopology::Level level_of(const Graph& graph, const Path& path) {
  auto count = [&](Part::Kind kind) {
    return std::count_if(path.parts.begin(), path.parts.end(), [&](Vertex v) { return graph[v].kind == kind; });
  };
  using Level = GpuTopology::Level;
  if (count(Part::Kind::Socket) > 1) return Level::Sys;
  if (count(Part::Kind::HostBridge) > 1) return Level::Node;
  if (count(Part::Kind::HostBridge) == 1) return Level::Phb;
  return count(Part::Kind::PcieSwitch) > 1 ? Level::Pxb : Level::Pix;
}

constexpr std::array<const char*, 5> kLevels{"PIX", "PXB", "PHB", "NODE", "SYS"};

constexpr GpuSet bit(uint32_t gpu) { return GpuSet{1} << gpu; }

// Calls back with every set of `count` of these in lexicographic order of their indices, the lower bits first.
template <class Callback>
void for_each_subset(GpuSet of, uint32_t count, GpuSet chosen, const Callback& callback) {
  if (count == 0) return callback(chosen);
  for (; static_cast<uint32_t>(std::popcount(of)) >= count; of &= of - 1)
    for_each_subset(of & (of - 1), count - 1, chosen | (of & -of), callback);
}

}  // namespace

double pcie_gbs(int32_t gen) { return gen == 0 ? 0 : 8.0 * (1 << (gen - 3)) * 16 * 128 / 130 / 8; }

std::optional<NvlinkFabric> nvlink_fabric(std::string_view name) {
  auto at = std::find(kNvlinkFabrics.begin(), kNvlinkFabrics.end(), name);
  if (at == kNvlinkFabrics.end()) return std::nullopt;
  return static_cast<NvlinkFabric>(at - kNvlinkFabrics.begin());
}

std::optional<PcieLayout> pcie_layout(std::string_view text) {
  PcieLayout layout;
  const char *at = text.data(), *end = at + text.size();
  uint32_t* fields[] = {&layout.gpus_per_switch, &layout.switches_per_bridge, &layout.bridges_per_socket};
  for (uint32_t* field : fields) {
    if (field != fields[0] && (at == end || *at++ != '/')) return std::nullopt;
    auto [stop, error] = std::from_chars(at, end, *field);
    if (error != std::errc{} || *field == 0) return std::nullopt;
    at = stop;
  }
  return at == end ? std::optional(layout) : std::nullopt;
}

GpuTopology::GpuTopology(const GpuModel& gpu, uint32_t gpus, NvlinkFabric fabric, PcieLayout pcie)
    : gpus_(gpus), pairs_(gpus * gpus) {
  KISIM_INVARIANT(gpus <= kMaxGpus, "a topology of {} GPUs", gpus);
  const Graph graph = Builder(gpu, gpus, fabric, pcie).take();
  for (uint32_t a = 0; a < gpus; ++a) {
    numa_.push_back(a / (pcie.gpus_per_switch * pcie.switches_per_bridge * pcie.bridges_per_socket));
    for (uint32_t b = 0; b < gpus; ++b) {
      if (a == b) continue;
      Pair& pair = pairs_[a * gpus + b];
      Path bus = widest_path(graph, a, b, false), nvlink = widest_path(graph, a, b, true);
      pair.level = level_of(graph, bus);
      pair.pcie_gbs = bus.gbs;
      pair.nvlink_gbs = nvlink.gbs;
      pair.nvlinks = nvlink.gbs > 0 ? nvlink.nvlinks : 0;
      pair.switched = !nvlink.parts.empty();
    }
  }
}

std::string GpuTopology::connection(uint32_t a, uint32_t b, GpuSet down) const {
  if (a == b) return "X";
  if (by_nvlink(a, b, down)) return fmt::format("NV{}", pair(a, b).nvlinks);
  return kLevels[static_cast<size_t>(pair(a, b).level)];
}

double GpuTopology::bandwidth(uint32_t a, uint32_t b, GpuSet down) const {
  const Pair& p = pair(a, b);
  return by_nvlink(a, b, down) ? std::max(p.nvlink_gbs, p.pcie_gbs) : p.pcie_gbs;
}

// Rings begin at the first GPU; by the GPUs that they have passed and the last of these, the widest.
double GpuTopology::all_reduce_bandwidth(GpuSet set, GpuSet down) const {
  if (std::popcount(set) < 2) return 0;
  auto first = static_cast<uint32_t>(std::countr_zero(set));
  std::vector<double> widest((size_t{1} << gpus_) * gpus_, 0);
  auto at = [&](GpuSet passed, uint32_t last) -> double& { return widest[passed * gpus_ + last]; };
  at(bit(first), first) = std::numeric_limits<double>::infinity();
  double best = 0;
  for (GpuSet passed = bit(first); passed <= set; ++passed) {
    if ((passed & ~set) != 0 || (passed & bit(first)) == 0) continue;
    for (uint32_t last = first; last < gpus_; ++last) {
      double so_far = at(passed, last);
      if (so_far == 0) continue;
      if (passed == set) best = std::max(best, last == first ? 0 : std::min(so_far, bandwidth(last, first, down)));
      for (GpuSet left = set & ~passed; left != 0; left &= left - 1) {
        auto next = static_cast<uint32_t>(std::countr_zero(left));
        double& with = at(passed | bit(next), next);
        with = std::max(with, std::min(so_far, bandwidth(last, next, down)));
      }
    }
  }
  return best;
}

int32_t GpuTopology::score(GpuSet set, GpuSet down) const {
  int32_t sum = 0;
  for (GpuSet as = set; as != 0; as &= as - 1)
    for (GpuSet bs = as & (as - 1); bs != 0; bs &= bs - 1) {
      auto a = static_cast<uint32_t>(std::countr_zero(as)), b = static_cast<uint32_t>(std::countr_zero(bs));
      const Pair& p = pair(a, b);
      sum += 10 * (5 - static_cast<int32_t>(p.level));
      if (!p.switched && by_nvlink(a, b, down)) sum += 100 * p.nvlinks;
    }
  return sum;
}

// The policy's partitions, found from their ends: by the GPUs that are left, what these come to at best, and the first
// set of that. The one set that is short, where the number of GPUs is no multiple, takes the rest.
GpuSet GpuTopology::preferred(GpuSet free, uint32_t count, GpuSet down) const {
  auto size = static_cast<uint32_t>(std::popcount(free));
  KISIM_INVARIANT(count <= size, "{} GPUs wanted of {} free ones", count, size);
  if (count == size) return free;
  if (count == 1) return free & -free;
  struct Best {
    int32_t score = -1;
    GpuSet set = 0;
  };
  std::vector<Best> best(size_t{1} << gpus_);
  best[0].score = 0;
  auto solve = [&](auto&& self, GpuSet left) -> int32_t {
    Best& b = best[left];
    if (b.score >= 0) return b.score;
    auto take = [&](GpuSet set) {
      int32_t sum = score(set, down) + self(self, left & ~set);
      if (sum > b.score) b = {sum, set};
    };
    GpuSet first = left & -left, others = left & ~first;
    uint32_t rest = static_cast<uint32_t>(std::popcount(left)) % count;
    if (static_cast<uint32_t>(std::popcount(left)) >= count) for_each_subset(others, count - 1, first, take);
    if (rest > 0) for_each_subset(others, rest - 1, first, take);
    return b.score;
  };
  solve(solve, free);
  Best chosen;
  for (GpuSet left = free; left != 0; left &= ~best[left].set)
    if (GpuSet set = best[left].set;
        static_cast<uint32_t>(std::popcount(set)) == count && score(set, down) > chosen.score)
      chosen = {score(set, down), set};
  return chosen.set;
}

}  // namespace kisim
