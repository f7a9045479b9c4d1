// Answers to questions about the scheduler core's state: copies, made between steps.
#ifndef TASKD_SCHEDULER_CORE_VIEWS_H_
#define TASKD_SCHEDULER_CORE_VIEWS_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/ids.h"
#include "common/base/session.h"
#include "scheduler/core/events.h"

namespace taskd::scheduler {

// Task counts by state, indexed by TaskState.
using StateCounts = std::array<uint64_t, 7>;

struct FailureView {
  TaskId task;  // the culprit
  AttemptId attempt = 0;
  FailureClass failure = FailureClass::kNone;
  int32_t exit_code = 0;
  WorkerId worker;
  std::string message;
  std::string exception;  // see Outcome
};

struct JobView {
  JobId job = 0;
  JobState state = JobState::kOpen;
  int32_t priority = 0;
  uint32_t weight = 0;
  uint32_t max_running = 0;  // 0: no limit
  uint64_t ttl_ns = 0;       // after its end; 0: none
  bool ephemeral = false;    // cancelled when its client has left
  StateCounts tasks = {};
  uint64_t running = 0;     // active tasks whose attempt has started
  uint64_t recomputed = 0;  // runs that rebuilt lost results
  uint64_t retried = 0;
  uint64_t opened_ns = 0, ended_ns = 0;       // of the core's clock; ended 0: not yet
  uint64_t bytes_moved = 0, bytes_saved = 0;  // input bytes to fetch / already there, at assignment
  uint32_t batches = 0;
  // Of a job that a task submitted: which attempt. Its tasks count in the job that a client submitted,
  // too.
  AttemptRef parent;
  uint32_t children = 0;              // jobs that its tasks submitted, at any depth
  bool forgotten = false;             // this is all that is left of it
  std::vector<FailureView> failures;  // culprits, in order of failing, the first few
  std::vector<Ordinal> wants;         // the graph's wants, the first few
};

struct AttemptView {
  AttemptId attempt = 0;
  WorkerId worker;
  AttemptState state = AttemptState::kAssigned;  // of a live attempt
  bool ended = false;
  AttemptEnd end = AttemptEnd::kFinished;
  FailureClass failure = FailureClass::kNone;
  int32_t exit_code = 0;
  uint64_t run_ns = 0;
};

struct TaskView {
  TaskId task;
  TaskState state = TaskState::kWaiting;
  bool running = false;
  WorkerId worker;        // of the newest live attempt, else of the last one
  uint32_t attempts = 0;  // so far
  uint64_t run_ns = 0;    // of the accepted finish
  uint32_t body = 0;
  Ordinal first_output = 0;
  uint32_t output_count = 0;
  FailureClass failure = FailureClass::kNone;
  Ordinal culprit = kNoOrdinal;
  WaitReason reason = WaitReason::kNone;
  uint32_t rank = 0;  // smaller runs earlier
  uint32_t tail = 0;  // ms from its start to the job's end; 0: not known
};

struct WaitingInputView {
  ObjectId object;
  TaskState producer = TaskState::kWaiting;
  bool lost = false;  // it existed before
  // What it waits for in the end: the first unfinished task, along first missing inputs, that lacks
  // no input; and what that waits for.
  TaskId root;
  TaskState root_state = TaskState::kWaiting;
  WaitReason root_reason = WaitReason::kNone;
};
// The nearest thing that keeps a task from a worker.
enum class LimitKind : uint8_t {
  kNone = 0,
  kReserved,     // it runs a suspect alone, or is emptied for one
  kQuarantined,  // tasks failed there that ran well elsewhere
  kBusy,         // needs more than is free: fits when idle
  kStore,        // its store has no room beside what its attempts will add
  kRefused,      // it refused a moment ago
  kClusterPool,  // of what is free in the cluster
  kAway,
  kDraining,
  kEnds,  // its time is over before the task's is
  kCpus,
  kMemory,
  kPool,
  kRule,  // the placement rule names others
};
struct FitLimit {
  LimitKind kind = LimitKind::kNone;
  uint64_t has = 0, needs = 0;  // thousandths, bytes or ns: by kind
  uint16_t pool = 0;
  auto operator<=>(const FitLimit&) const = default;
};
// "has 4 cpus, the task needs 16".
std::string ToString(const FitLimit& limit, std::string_view pool_name);

// Workers of one kind that answer alike.
struct WorkerFitView {
  WorkerId worker;  // one of them
  bool now = false;
  bool when_idle = false;
  FitLimit limit;
  uint32_t count = 1;
};
// What a task of a queue has in front of it.
struct QueueStanding {
  uint64_t ahead =
      0;  // tasks that go first: of its job, and of jobs whose tasks are more urgent to their users
  bool about = false;  // `ahead` is an estimate, of a sample of a long queue
  uint32_t sharing =
      0;  // other jobs of the same priority: they and its job take turns, see fair_share.h
};

struct Explanation {
  TaskView task;
  std::vector<WaitingInputView> inputs;           // those not available, the first few
  uint64_t inputs_missing = 0, inputs_total = 0;  // edges
  std::vector<WorkerFitView> workers;  // who can now, who could when idle, then nearest misses
  std::vector<AttemptView> attempts;   // every live one, and the last ends
  QueueStanding standing;              // of a ready task, in the queue that it waits in
  FailureView failure;
};

struct ObjectView {
  ObjectId object;
  ObjectId behind;  // the same; of one that was delegated, what holders have: all below is of that

  AttemptId version = 0;  // 0: never made
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
  bool available = false;  // a connected worker has it
  bool wanted = false;
  TaskId producer;
  TaskState producer_state = TaskState::kWaiting;
  std::vector<WorkerId> holders;
};

struct DatasetView {
  std::string name;
  ObjectRange objects;
};

struct WorkerView {
  WorkerId worker;
  WorkerState state = WorkerState::kUp;
  uint64_t stream = 0;  // 0: not connected
  Resources capacity, in_use;
  uint32_t host = 0;
  uint32_t running = 0;      // started attempts
  uint32_t assigned = 0;     // all attempts
  uint32_t queued_home = 0;  // tasks in its home queues
  uint64_t objects = 0, object_bytes = 0;
  uint64_t store_budget_bytes = 0;  // 0: no limit
  uint64_t promised_bytes = 0;      // what its attempts are going to add
  bool quarantined = false;         // up, and gets nothing new for a while
  uint64_t to_move = 0;    // of these, needed and on no worker that stays: it is being drained
  uint32_t gathering = 0;  // objects that it has been told to fetch for their own sake
  uint64_t finished = 0;
};

// Why a task was given to the worker that got it.
enum class AssignReason : uint8_t { kHome = 0, kIdle, kMoved, kSecond, kAlone };
inline constexpr size_t kAssignReasons = 5;
// Why a worker was lost.
enum class LossCause : uint8_t { kClosed = 0, kSilent, kGoodbye, kRestarted };

// Powers of two from 1 us: bucket i counts values below 2^i us; the last one is open.
struct LatencyHistogram {
  std::array<uint64_t, 28> buckets = {};
  uint64_t count = 0, sum_ns = 0;
  void Add(uint64_t ns) {
    uint64_t us = ns / 1000;
    ++buckets[std::min<uint64_t>(static_cast<uint64_t>(std::bit_width(us)), buckets.size() - 1)];
    ++count;
    sum_ns += ns;
  }
};

// Totals since the start, and gauges; read between steps by the exporter.
struct Counters {
  StateCounts tasks = {};                                      // gauge, by TaskState
  std::array<uint64_t, 8> attempts_ended = {};                 // by AttemptEnd
  std::array<uint64_t, kFailureClasses> attempts_failed = {};  // by FailureClass
  std::array<uint64_t, kAssignReasons> assigned = {};          // by AssignReason
  std::array<uint64_t, 7> workers = {};                        // gauge, by WorkerState
  std::array<uint64_t, 4> workers_lost = {};                   // by LossCause
  uint64_t running = 0;                                        // gauge: started attempts
  uint64_t retracts_sent = 0;
  uint64_t held_for_memory = 0;  // times that a worker with room for a task left it in its queue
  uint64_t bytes_moved = 0, bytes_saved = 0;
  uint64_t objects_lost = 0;  // wanted objects whose last replica went
  uint64_t tasks_recomputed = 0;
  uint64_t tasks_retried = 0;
  uint64_t attempts_adopted = 0;           // of earlier starts of the scheduler
  uint64_t stale_messages = 0;             // outcomes of attempts that are not ours any more
  uint64_t jobs_open = 0, jobs_ended = 0;  // gauges
  uint64_t jobs_forgotten = 0;
  uint64_t client_wants = 0;  // gauge
  uint64_t quarantined = 0;   // gauge: workers that get nothing new for a while
  uint64_t quarantines = 0;
  uint64_t gathers = 0, gathers_failed = 0;  // orders to copy an object to another worker
  uint64_t gathered_bytes = 0;               // ordered
  uint64_t early_gathers = 0;                // of these, of inputs of tasks that are not ready yet
  uint64_t recoveries = 0,
           recovery_ns_total = 0;  // from the loss to the last task put back by it being done
  LatencyHistogram ready_to_assigned;
  LatencyHistogram recovery;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_VIEWS_H_
