// What each node needs, seen before anything runs.
#ifndef TASKD_SCHEDULER_ORDER_ESTIMATES_H_
#define TASKD_SCHEDULER_ORDER_ESTIMATES_H_

#include <cstdint>
#include <vector>

#include "scheduler/order/network.h"

namespace taskd::order {

struct Estimates {
  // Memory to compute a node from nothing, as if all below it were a tree (Sethi and Ullman, "The
  // generation of optimal code for arithmetic expressions", 1970; Liu, 1987, for weights). Saturates.
  std::vector<uint64_t> need;
  // Tasks below and at it, one for every path: doubles with each diamond, saturates at kMaxPaths.
  std::vector<uint32_t> paths;
};
inline constexpr uint32_t kMaxPaths = 1u << 30;

Estimates Estimate(const Network& network);

// Milliseconds from a task's start to the end of the job along the longest path, its own time
// included, one a task: at least 1 (0 says "not known"), saturating.
std::vector<uint32_t> Tails(const Network& network);

// Nanoseconds of the longest path that ends with the node, its own time included; saturating.
std::vector<uint64_t> Heads(const Network& network);

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_ESTIMATES_H_
