// Makes one order of a graph by walking it: one set of rules, a few choices.
#ifndef TASKD_SCHEDULER_ORDER_WALK_H_
#define TASKD_SCHEDULER_ORDER_WALK_H_

#include <cstdint>
#include <vector>

#include "scheduler/order/estimates.h"
#include "scheduler/order/liveness.h"
#include "scheduler/order/network.h"

namespace taskd::order {

// What to complete when nothing is under way.
enum class Aim : uint8_t {
  kResults,   // the next result that nobody reads, with all below it
  kClimb,     // a reader of the newest live result
  kCheapest,  // of the tasks that have some inputs, the one that the fewest new tasks complete
};
// Which of a target's missing inputs comes first.
enum class Inputs : uint8_t {
  kAscending,
  kDescending,
  kNeediest,  // the one whose subtree needs most memory
};
struct WalkOptions {
  Aim aim = Aim::kResults;
  Inputs inputs = Inputs::kAscending;
  // kCheapest: missing inputs count with the paths below them, not one each.
  bool by_paths = false;
  // kCheapest: among equals the oldest task first, not the one touched last.
  bool by_age = false;
  // kCheapest: only of the tasks that free at least as much as they make.
  bool shrinking = false;
};

// `results` are the nodes that nobody reads, in the order in which they are to be begun.
Liveness Walk(const Network& network, const Estimates& estimates,
              const std::vector<uint32_t>& results, const WalkOptions& options);

// Goes after another order (of tasks), but runs at once what frees memory, and what would only take
// memory when something needs it.
Liveness Follow(const Network& network, const std::vector<uint32_t>& order);

// The same order with each task moved to just before its first reader if that holds less: if what it
// makes weighs more than what it (and what is moved with it) frees.
std::vector<uint32_t> Delay(const Network& network, const std::vector<uint32_t>& order);

// Runs the tasks in the order given.
Liveness Replay(const Network& network, const std::vector<uint32_t>& order);

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_WALK_H_
