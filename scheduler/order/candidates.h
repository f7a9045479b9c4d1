// Tasks that have some of their inputs, cheapest to complete first.
#ifndef TASKD_SCHEDULER_ORDER_CANDIDATES_H_
#define TASKD_SCHEDULER_ORDER_CANDIDATES_H_

#include <cstdint>
#include <vector>

#include "common/base/heap.h"
#include "scheduler/order/estimates.h"
#include "scheduler/order/liveness.h"
#include "scheduler/order/network.h"
#include "scheduler/order/walk.h"

namespace taskd::order {

// An input is *cold* while even the inputs of its task are missing; a *warm* one can be made at once.
// The cost of a task is what is cold, then how many inputs are missing. Among equals, the one touched
// last (or the oldest).
//
// If only those that shrink what is live are candidates, a reducer that has some of its inputs comes
// before yet another product of what is there, though that needs less; and there are few of them.
class Candidates {
 public:
  Candidates(const Network& network, const Estimates& estimates, const WalkOptions& options);

  // Takes in what the last run changed; called after every one.
  void Update(const Liveness& live, uint32_t ran);

  bool empty() const { return heap_.empty(); }
  // Whether the best one needs nothing but warm inputs.
  bool best_is_warm() const { return cold_[heap_.top()] == 0; }
  // The best one, no longer a candidate until one more of its inputs is made.
  uint32_t Pop() { return heap_.Pop(*this); }

 private:
  struct Traits {
    static bool Less(const Candidates& c, uint32_t a, uint32_t b);
    static void SetPosition(Candidates& c, uint32_t node, uint32_t at) { c.position_[node] = at; }
  };

  void Warm(uint32_t node);
  void Touch(const Liveness& live, uint32_t node);

  const Network& n_;
  const std::vector<uint32_t>* paths_;  // null: each input counts one
  const bool by_age_, shrinking_;
  uint32_t clock_ = 0;
  std::vector<uint64_t> cold_;     // a node
  std::vector<bool> warm_;         // a node
  std::vector<uint32_t> missing_;  // a node: inputs, when it was touched last
  std::vector<uint32_t> touched_;  // a node: when
  std::vector<uint32_t> position_;
  std::vector<uint32_t> warming_;  // worklist
  IndexedHeap<uint32_t, Candidates, Traits> heap_;
};

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_CANDIDATES_H_
