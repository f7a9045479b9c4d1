// The shell of the scheduler core, simulated: an event queue in front, actions carried out behind.
#ifndef TASKD_TESTS_SIM_SCHEDULER_H_
#define TASKD_TESTS_SIM_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/scheduler_core.h"

namespace taskd::sim {

class World;

class SimScheduler {
 public:
  using ReplyHandler = std::function<void(const scheduler::action::Reply&)>;

  explicit SimScheduler(World& world);

  void Post(scheduler::Event event);
  // A token whose reply goes to `handler`, exactly once.
  scheduler::Token Expect(ReplyHandler handler);

  const scheduler::SchedulerCore& core() const { return core_; }
  bool idle() const { return inbox_.empty() && !work_left_; }
  uint64_t replies_due() const { return expected_.size(); }

 private:
  void StepAt(uint64_t time);
  void Step();
  void Carry(scheduler::Action& action);
  void Carry(scheduler::action::Assign& assign);

  World& world_;
  scheduler::SchedulerCore core_;
  Prng rng_;
  std::deque<scheduler::Event> inbox_;
  bool work_left_ = false;
  uint64_t next_step_ = scheduler::kNever;  // of the newest callback; older ones do nothing
  uint64_t steps_ = 0;
  scheduler::Token last_token_ = 0;
  std::map<scheduler::Token, ReplyHandler> expected_;
  std::vector<scheduler::Action> actions_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_SCHEDULER_H_
