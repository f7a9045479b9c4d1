// The part of a walk that all aims share: a stack of nodes under way, and what runs at once.
#ifndef TASKD_SCHEDULER_ORDER_PATH_H_
#define TASKD_SCHEDULER_ORDER_PATH_H_

#include <cstdint>
#include <vector>

#include "scheduler/order/liveness.h"
#include "scheduler/order/network.h"

namespace taskd::order {

// Depth first, without recursion: the top of the stack runs if it can, else its missing inputs go on
// top of it. A node is opened at most once while it is missing inputs, so all this is linear. Before
// anything else, tasks run that leave no more live than there was.
//
// Hooks supply:  void Ran(uint32_t node)                 after each run; Liveness tells what changed
//                void Arrange(uint32_t* begin, uint32_t* end)  the last one runs first
template <typename Hooks>
class Path {
 public:
  Path(const Network& network, Hooks& hooks) : n_(network), live_(network), hooks_(hooks) {}

  Liveness& live() { return live_; }
  bool empty() const { return stack_.empty(); }
  uint64_t depth() const { return stack_.size(); }
  void Push(uint32_t node) { stack_.push_back(node); }

  // Runs what frees memory; false if there is no such task.
  bool RunFree() {
    for (std::vector<uint32_t>* ready : {&vanishing_, &shrinking_, &neutral_}) {
      while (!ready->empty()) {
        uint32_t node = ready->back();
        ready->pop_back();
        if (live_.done(node)) continue;
        Run(node);
        return true;
      }
    }
    return false;
  }

  // One step with the top of the stack.
  void Advance() {
    const uint32_t node = stack_.back();
    if (live_.done(node)) {
      stack_.pop_back();
    } else if (live_.missing(node) == 0) {
      stack_.pop_back();
      Run(node);
    } else {
      Open(node);
    }
  }

  // The input of a node that Advance would turn to first.
  uint32_t FirstInput(uint32_t node) {
    const uint64_t base = stack_.size();
    Open(node);
    const uint32_t first = stack_.back();
    stack_.resize(base);
    return first;
  }

 private:
  void Open(uint32_t node) {
    const uint64_t base = stack_.size();
    for (uint32_t s : n_.inputs(node)) {
      if (!live_.done(n_.producer[s])) stack_.push_back(n_.producer[s]);
    }
    hooks_.Arrange(stack_.data() + base, stack_.data() + stack_.size());
  }

  void Run(uint32_t node) {
    live_.Run(node);
    for (uint32_t changed : live_.changed()) {
      if (live_.done(changed)) continue;
      int64_t growth = live_.growth(changed);
      // A task that makes nothing needs no room while it runs.
      if (growth < 0) (live_.makes(changed) == 0 ? vanishing_ : shrinking_).push_back(changed);
      if (growth == 0) neutral_.push_back(changed);
    }
    hooks_.Ran(node);
  }

  const Network& n_;
  Liveness live_;
  Hooks& hooks_;
  std::vector<uint32_t> stack_, vanishing_, shrinking_, neutral_;
};

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_PATH_H_
