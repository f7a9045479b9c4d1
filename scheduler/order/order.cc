#include "scheduler/order/order.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "scheduler/order/estimates.h"
#include "scheduler/order/network.h"
#include "scheduler/order/walk.h"

namespace taskd::order {
namespace {

// In the order in which they win ties, and in which large graphs get by with the first few.
constexpr WalkOptions kWalks[] = {
    {.aim = Aim::kResults, .inputs = Inputs::kAscending},
    {.aim = Aim::kClimb, .inputs = Inputs::kDescending},
    {.aim = Aim::kCheapest, .inputs = Inputs::kNeediest, .shrinking = true},
    {.aim = Aim::kClimb, .inputs = Inputs::kNeediest},
    {.aim = Aim::kCheapest, .inputs = Inputs::kDescending, .by_paths = true, .by_age = true},
    {.aim = Aim::kCheapest, .inputs = Inputs::kAscending},
    {.aim = Aim::kResults, .inputs = Inputs::kDescending},
    {.aim = Aim::kCheapest, .inputs = Inputs::kNeediest, .by_paths = true, .by_age = true},
};

// How much is tried on a graph, by its nodes and edges: small graphs are cheap, large ones must not
// keep the user waiting.
struct Effort {
  uint64_t up_to;
  uint32_t walks;
  uint32_t rounds;  // of delaying and following
};
constexpr Effort kEfforts[] = {{300'000, 8, 4}, {3'000'000, 4, 2}, {~uint64_t{0}, 3, 1}};

// What nobody reads: longest path first, so that the job's critical path moves and independent tasks
// come longest first.
std::vector<uint32_t> Results(const Network& network) {
  std::vector<uint32_t> results;
  for (uint32_t node = 0; node < network.node_count(); ++node) {
    if (network.readers(node).empty()) results.push_back(node);
  }
  const std::vector<uint64_t> heads = Heads(network);
  std::stable_sort(results.begin(), results.end(),
                   [&](uint32_t a, uint32_t b) { return heads[a] > heads[b]; });
  return results;
}

class Best {
 public:
  void Offer(Liveness live) {
    TASKD_CHECK(!live.order().empty());
    auto cost = std::pair(live.peak(), live.transient_peak());
    if (!order_.empty() && cost >= cost_) return;
    cost_ = cost;
    order_ = std::move(live.order());
  }
  const std::vector<uint32_t>& order() const { return order_; }

 private:
  std::pair<uint64_t, uint64_t> cost_;
  std::vector<uint32_t> order_;
};

std::vector<uint32_t> FindOrder(const Network& network) {
  const uint64_t size = uint64_t{network.node_count()} + network.input.size();
  const Effort* effort = kEfforts;
  while (size > effort->up_to) ++effort;
  const Estimates estimates = Estimate(network);
  const std::vector<uint32_t> results = Results(network);
  Best best;
  for (const WalkOptions& options : std::span(kWalks).first(effort->walks))
    best.Offer(Walk(network, estimates, results, options));
  std::vector<uint32_t> order = best.order();
  for (uint32_t round = 0; round < effort->rounds; ++round) {
    order = Delay(network, order);
    best.Offer(Replay(network, order));
    Liveness followed = Follow(network, order);
    order = followed.order();
    best.Offer(std::move(followed));
  }
  best.Offer(Follow(network, best.order()));
  std::iota(order.begin(), order.end(), 0);
  best.Offer(Replay(network, order));  // never worse than as the tasks came
  return best.order();
}

}  // namespace

Ranks Order(const Graph& graph) {
  const Network network = BuildNetwork(graph);
  Ranks ranks;
  ranks.tail = Tails(network);
  ranks.rank.resize(graph.task_count());
  if (graph.task_count() == 0) return ranks;
  const std::vector<uint32_t> order = FindOrder(network);
  TASKD_CHECK(order.size() == ranks.rank.size());
  for (uint32_t i = 0; i < order.size(); ++i) ranks.rank[order[i]] = i;
  return ranks;
}

Peak PeakOf(const Graph& graph, const std::vector<uint32_t>& rank) {
  std::vector<uint32_t> order(rank.size());
  for (uint32_t task = 0; task < rank.size(); ++task) order[rank[task]] = task;
  const Liveness live = Replay(BuildNetwork(graph), order);
  return {live.peak(), live.transient_peak()};
}

}  // namespace taskd::order
