// Why tasks wait. A listing of ten thousand tasks does not ask ten thousand workers about each: how
// those answer to a shape is found once for all that a query shows.
#ifndef TASKD_SCHEDULER_CORE_EXPLAIN_H_
#define TASKD_SCHEDULER_CORE_EXPLAIN_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

// Answers of the connected workers to tasks of one shape, their stores aside.
struct ShapeFits {
  bool any = false;   // is connected
  bool idle = false;  // could run it when idle
  bool pool = false, refused = false, busy = false, leaving = false;
  std::vector<uint16_t> able;  // slots of those that could start one now
};

// Of one query: the state does not change meanwhile.
class Reasons {
 public:
  explicit Reasons(const State& state) : state_(state) {}

  // Of a ready task in a queue.
  WaitReason InQueue(const Job& job, Ordinal ordinal);

 private:
  const ShapeFits& FitsOf(uint16_t shape);

  const State& state_;
  absl::flat_hash_map<uint16_t, ShapeFits> fits_;  // looked up, never iterated
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_EXPLAIN_H_
