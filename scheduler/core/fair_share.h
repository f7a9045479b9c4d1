// Weighted fair shares between jobs, and between owners: start-time fair queueing (Goyal, Vin and
// Cheng, SIGCOMM 1996) over cpu time.
//
// Every job has a virtual time, which runs as fast as the job uses cpus, divided by its share. Of
// jobs of one user priority the one whose virtual time is least goes first. A job that had nothing
// ready and has something again starts at the clock of its priority, which is the start time of the
// last task of that priority that was given out: unused share is not saved up, and a newcomer is
// not behind what others did before it came. Owners have equal shares; an owner's share is divided
// among its busy jobs by their weights.
//
// A task is charged what it is expected to use when it is given out, and the difference when it
// ends. Virtual times never decrease (ReadyQueue relies on it): what was charged too much is credit
// against the next charges.
#ifndef TASKD_SCHEDULER_CORE_FAIR_SHARE_H_
#define TASKD_SCHEDULER_CORE_FAIR_SHARE_H_

#include <cstdint>

#include "absl/container/btree_map.h"

namespace taskd::scheduler {

// A job's part in it.
struct Share {
  uint32_t owner = 0;
  uint32_t weight = 100;      // above 0
  int32_t priority = 0;       // of the job
  uint32_t max_attempts = 0;  // 0: no limit
  uint32_t ready = 0;         // tasks in queues
  uint32_t attempts = 0;      // with workers
  uint64_t virtual_us = 0;
  uint64_t credit_us = 0;  // cpu time that was charged too much

  bool at_limit() const { return max_attempts != 0 && attempts >= max_attempts; }
};

class FairShare {
 public:
  FairShare() = default;
  FairShare(const FairShare&) = delete;
  FairShare& operator=(const FairShare&) = delete;

  // A task of the job came into a queue, or left it.
  void TaskReady(Share& share);
  void TaskUnready(Share& share);
  // An attempt counts, or does not count any more: it is over, or its worker is away.
  void AttemptCounts(Share& share);
  void AttemptCountsNot(Share& share);
  // An attempt was given to a worker: it is expected to use `cpu_us`.
  void Charge(Share& share, uint64_t cpu_us);
  // It is over, and used `more_us` or `less_us` than that.
  void Correct(Share& share, uint64_t more_us, uint64_t less_us);

 private:
  void BecomeBusy(const Share& share);
  void BecomeIdle(const Share& share);
  void Advance(Share& share, uint64_t cpu_us);
  uint64_t& WeightOf(uint32_t owner);
  uint64_t& ClockOf(int32_t priority);

  absl::btree_map<uint32_t, uint64_t> busy_weight_;  // of an owner's busy jobs
  absl::btree_map<int32_t, uint64_t> clock_us_;      // by priority
  // What was asked for last, in the maps above: nearly always it is the same again. Null: not known.
  uint32_t last_owner_ = 0;
  int32_t last_priority_ = 0;
  uint64_t* last_weight_ = nullptr;
  uint64_t* last_clock_ = nullptr;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_FAIR_SHARE_H_
