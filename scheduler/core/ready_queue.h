// Ready tasks that wait for the same thing: any worker that can run their shape, or one worker.
//
// A lane a job. Which lane comes first: the larger user priority of its head, then the job whose
// virtual time is less (see fair_share.h), then the older job. In a lane: user priority, then
// *urgent* tasks by the longest remaining path, then rank. A task is urgent when the path from it
// to the job's end takes as long as all that is left of the job would take on the whole cluster:
// if it waits longer, the job ends later. Others go by rank, which keeps few results alive.
//
// Costs O(log tasks + log lanes). Virtual times only grow, so a lane's place is brought up to date
// when it comes to the front, and not in each of the many queues of a cluster when a job's time
// moves on.
#ifndef TASKD_SCHEDULER_CORE_READY_QUEUE_H_
#define TASKD_SCHEDULER_CORE_READY_QUEUE_H_

#include <compare>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/heap.h"
#include "common/base/ids.h"
#include "common/base/run_heap.h"

namespace taskd::scheduler {

class State;
struct Job;
struct QueueStanding;
struct TaskRec;

// A task in a lane's heap. A total order inside a job.
struct ReadyItem {
  uint32_t inverted_priority = 0;
  uint32_t rank = 0;  // in the heap by tail: ~tail
  Ordinal ordinal = 0;
  JobId job = 0;
  auto operator<=>(const ReadyItem&) const = default;
};

struct ReadyItemTraits {
  static bool Less(const State&, const ReadyItem& a, const ReadyItem& b) { return a < b; }
  static void SetPosition(State& state, const ReadyItem& item, uint32_t position);
};

// The place of a queue's head among heads of other queues: smaller goes first.
struct Precedence {
  uint32_t inverted_priority = 0;
  uint64_t virtual_us = 0;
  JobId job = 0;
  uint32_t order = 0;  // see OrderIn
  Ordinal ordinal = 0;
  auto operator<=>(const Precedence&) const = default;
};

// Which queue: a shape's, or a worker's for a shape.
struct QueuePlace {
  uint16_t shape = 0;
  uint16_t home = 0xFFFFu;  // worker slot; kNoSlot: the shape's own
};

class ReadyQueue {
 public:
  bool empty() const { return size_ == 0; }
  uint32_t size() const { return size_; }

  void Push(State& state, Job& job, Ordinal ordinal);
  void Remove(State& state, Job& job, Ordinal ordinal);

  // Whether there is a task that may be given out, and which. Lanes of jobs that are at their limit
  // of attempts are parked on the way, and their jobs told that it was at `place`, this queue.
  bool Top(State& state, QueuePlace place, Precedence* head);
  // The job's lane takes part again. False: it was not parked here.
  bool Unpark(const Job& job);

  // A task of a queue that is not empty, parked or not, its job first.
  std::pair<JobId, Ordinal> Any() const;

  // Some tasks of the job's lane, spread over all of them; at most `most`, in an order that only the
  // queue's history gives.
  template <typename Visit>
  void VisitSome(JobId job, uint32_t most, Visit visit) const {
    const uint32_t lane = FindLane(job);
    if (lane != kNotInHeap) lanes_[lane].by_rank.VisitSome(most, visit);
  }

  // As the task stands now, which is in this queue. Looks at a bounded number of tasks a job, and at each job.
  QueueStanding StandingOf(const State& state, const Job& job, Ordinal ordinal) const;

  // Whether the task is where it says.
  bool Holds(const Job& job, Ordinal ordinal) const;

 private:
  using TaskHeap = RunHeap<ReadyItem, State, ReadyItemTraits>;

  struct Lane {
    JobId job = 0;                // 0: unused
    uint32_t place = kNotInHeap;  // in by_share_ or parked_; kNotInHeap: empty
    bool parked = false;
    bool mixed_tails = false;  // else every task has `tail`, and by_tail is empty
    uint32_t tail = 0;
    uint32_t inverted_priority = 0;  // of its head, as by_share_ knows it
    uint64_t virtual_us = 0;         // likewise; at most the job's
    TaskHeap by_rank;
    // A binary heap by priority and tail. A task that has left the lane stays until it comes to
    // the front or the heap is built again.
    std::vector<ReadyItem> by_tail;
  };
  struct LaneTraits {
    static bool Less(const ReadyQueue& queue, uint32_t a, uint32_t b);
    static void SetPosition(ReadyQueue& queue, uint32_t lane, uint32_t place) {
      queue.lanes_[lane].place = place;
    }
  };

  using LaneHeap = IndexedHeap<uint32_t, ReadyQueue, LaneTraits>;
  LaneHeap& HeapOf(const Lane& lane) { return lane.parked ? parked_ : by_share_; }
  uint32_t FindLane(JobId job) const;  // kNotInHeap: none
  uint32_t LaneFor(JobId job);
  void Emptied(uint32_t lane);
  void SetHead(Lane& lane);
  void AddTail(const Job& job, Lane& lane, const ReadyItem& item, uint32_t tail);
  void RebuildTails(const Job& job, Lane& lane);
  // The urgent task of longest tail, or null.
  const ReadyItem* Urgent(const State& state, const Job& job, Lane& lane);

  uint32_t size_ = 0;
  uint32_t last_ = 0;  // lane of the last push: most queues serve one job at a time
  std::vector<Lane> lanes_;
  std::vector<uint32_t> unused_;                  // lanes
  absl::flat_hash_map<JobId, uint32_t> lane_of_;  // looked up, never iterated
  LaneHeap by_share_;
  LaneHeap parked_;  // their jobs are at their limits
};

// User priority of a task, inverted so that the most wanted is smallest.
uint32_t InvertedPriority(const Job& job, const TaskRec& task);
// The task's order inside its job and priority, in `Precedence` and for its worker: urgent tasks
// first, by tail, then the others by rank.
uint32_t OrderIn(const TaskRec& task, bool urgent);

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_READY_QUEUE_H_
