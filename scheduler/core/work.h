// What the scheduler core has still to do, now or at some time, and what it weighs before it places a task.
#ifndef TASKD_SCHEDULER_CORE_WORK_H_
#define TASKD_SCHEDULER_CORE_WORK_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "scheduler/core/events.h"
#include "scheduler/core/records.h"

namespace taskd::scheduler {

enum class WorkKind : uint8_t {
  kStartTasks,      // job, index..limit: link and count the inputs of new tasks
  kRestartTask,     // job, index: count the inputs of a done task that has to run again
  kStillNeeded,     // job, index: call off its running again if nothing of it is lost any more
  kAnnounceObject,  // job, index: tell consumers that the presence changed
  kAnnounceCollection,
  kReleaseMembers,  // job, index: the collection has no unfinished consumer any more
  kAcquireMembers,  // job, index: it has one again
  kDemandAway,      // job, index: consumers that lack nothing else have this away object rebuilt
  kCancelTasks,     // job
  kCancelRange,     // job, index..limit by cursor
  kRetryRange,      // job, index..limit by cursor, cancelled_too, inputs_too
  kCancelChildren,  // job, index and limit by cursor: what its tasks submitted
  kRevisitWants,    // job: make again what the graph wants
  kReviveTask,      // job, index: a failed task that starts anew
  kForgetObjects,   // job: free all
  kForgetRecords,   // job
  kDropHusk,        // the first of `husks`
  kDropClient,      // index, limit: halves of its id: its lease is over
  kHoldDataset,     // job, index..limit by cursor: want each
  kLetGoDataset,    // likewise, the other way round
  kSweepObjects,    // job: free what nobody wants
  kFailShape,       // index: the shape: its rule names no worker that is left
  kEndByInput,      // job, index: an input was found dead while the journal was read
  kFollowCulprit,  // job, index: failed, and its culprit may have been put back while the journal was read
  kEndGrace,            // job, index: what no worker has claimed since the restart is lost
  kCheckDrained,        // worker: whether it holds and runs nothing that anyone needs
  kWorkerDrain,         // worker: what only it holds is copied elsewhere
  kWorkerAway,          // worker: its replicas cannot be read
  kWorkerDemand,        // worker: past rerun_after
  kWorkerReturn,        // worker: inventory complete: keep what it listed, drop the rest
  kWorkerForget,        // worker: drop its replicas, free its slot
  kWorkerOrphan,        // worker: its attempts may run elsewhere
  kWorkerDropAttempts,  // worker: its attempts are lost
  kWorkerRehome,        // worker: give its home queues back
  kTakePut,             // job, index: what was put becomes the task's output
  kUnpark,              // job: its family is below its limit of attempts again
};

struct Work {
  WorkKind kind = WorkKind::kStartTasks;
  JobId job = 0;  // or the worker's slot
  uint32_t index = 0;
  uint32_t cursor = kNil;
  uint32_t limit = 0;
  bool begun = false;
  bool cancelled_too = false, inputs_too = false;
  Presence before = Presence::kMissing, after = Presence::kMissing;
};

// An item that walks the range: `cursor` is its stride.
inline Work WalkOf(WorkKind kind, JobId job, const OrdinalRange& range) {
  return {.kind = kind,
          .job = job,
          .index = range.first,
          .cursor = range.stride,
          .limit = range.count == 0 ? range.first : static_cast<uint32_t>(range.last() + 1)};
}

enum class TimerKind : uint8_t {
  kClientLease,
  kForgetJob,
  kBackoff,
  kSilent,
  kRerun,
  kForget,
  kRefused,
  kStraggler,
  kGrace,
  kHold,
  kCopy,
  kQuarantine,
  kLookAhead
};
struct Timer {
  uint64_t at_ns = 0;
  TimerKind kind = TimerKind::kBackoff;
  uint64_t a = 0, b = 0;  // job, task | worker slot, epoch | client, epoch | object, tries
  auto operator<=>(const Timer&) const = default;
};

// An object of which copies may lack.
struct CopyAsk {
  ObjectId id;
  uint8_t tries = 0;  // gathers that failed in a row
};
// A worker has been told to fetch an object.
struct Gather {
  WorkerId target;
  AttemptId version = 0;
  uint8_t tries = 0;
  uint64_t bytes = 0;
};
// An input of a waiting task, to be fetched to its home.
struct EarlyAsk {
  ObjectId id;
  TaskId task;
};

struct Recovery {
  uint64_t lost_ns = 0;
  uint64_t outstanding = 0;  // tasks put back by the loss that are not done yet
};

// What a task does to a worker's store, see memory.cc.
enum class Room : uint8_t {
  kFits,
  kMakes,  // does not fit, and frees as much as it adds
  kGrows,  // goes after what makes room
  kWaits,  // until attempts there have ended
};

// Bytes that a task would add to a worker's store, and take from it by its end.
struct Footprint {
  uint64_t outputs = 0, fetched = 0;
  uint64_t freed = 0;  // its share of inputs that others read too
  uint64_t added() const { return outputs + fetched; }
};

// Inputs of this many bytes are large: it matters where else they are fetched to, and from whom.
inline constexpr uint64_t kLargeBytes = 4 << 20;

// What a task would take to a worker.
struct Move {
  uint64_t ns = 0, bytes = 0;
  bool waits = false;  // who is to send it has enough to send for now
};

// Inputs of an attempt, in bytes: there or not, and from whom most of them come.
struct Fetch {
  uint64_t present = 0, missing = 0;
  uint16_t sender = kNoSlot;
  uint64_t sender_bytes = 0;
  void Add(uint16_t from, uint64_t bytes);
};

// Of an object with many replicas: the replica before a worker's in its list; kNil: it is the first.
using WideIndex = absl::flat_hash_map<uint16_t, uint32_t>;  // looked up, never iterated

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_WORK_H_
