// The order of a whole graph: which task first, and how long is the rest.
#ifndef TASKD_SCHEDULER_ORDER_ORDER_H_
#define TASKD_SCHEDULER_ORDER_ORDER_H_

#include <cstdint>
#include <vector>

#include "scheduler/order/graph.h"

namespace taskd::order {

struct Ranks {
  std::vector<uint32_t> rank;  // a task: 0, 1, 2 ...; smaller runs earlier, inputs before readers
  std::vector<uint32_t> tail;  // a task: ms from its start to the job's end along the longest path,
                               // its own time included; at least 1
};

// Deterministic. Makes a few orders and gives the one with the least live at once when tasks run one
// after another; see README.md for what is live and for the costs. The graph must obey Graph's rules
// (CHECK).
Ranks Order(const Graph& graph);

// The most that is live at once when tasks run by these ranks, one after another, smaller first.
// `rank` must be a topological order (CHECK).
struct Peak {
  uint64_t weight = 0;     // bytes if hints tell any (scaled), else results
  uint64_t transient = 0;  // without results that are only kept for the user
};
Peak PeakOf(const Graph& graph, const std::vector<uint32_t>& rank);

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_ORDER_H_
