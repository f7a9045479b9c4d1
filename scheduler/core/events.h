// What may happen to the scheduler core. Plain values; the shell decodes and validates before it
// builds one.
#ifndef TASKD_SCHEDULER_CORE_EVENTS_H_
#define TASKD_SCHEDULER_CORE_EVENTS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/base/session.h"

namespace taskd::scheduler {

using StreamId = uint64_t;  // the shell's number of a worker's stream; never reused
using ClientId = uint64_t;  // a client, whatever stream it uses; 0: none
using Token = uint64_t;     // the shell's number of a request; echoed in action::Reply

inline constexpr uint32_t kCollectionBit = 0x80000000u;

// Tasks first, first + stride, ... of a job, `count` of them.
struct OrdinalRange {
  Ordinal first = 0;
  uint32_t count = 0;
  uint32_t stride = 1;
  bool operator==(const OrdinalRange&) const = default;

  uint64_t last() const { return first + uint64_t{count - 1} * stride; }  // of one or more
};

// Objects first, first + stride, ... of a job, `count` of them.
struct ObjectRange {
  JobId job = 0;
  Ordinal first = 0;
  uint32_t count = 0;
  uint32_t stride = 1;
  auto operator<=>(const ObjectRange&) const = default;

  bool Contains(Ordinal object) const {
    return object >= first && (object - first) % stride == 0 && (object - first) / stride < count;
  }
  uint64_t last() const { return first + uint64_t{count - 1} * stride; }  // of one or more
};

// One batch of a graph as columns of rows. Indices are the job's; intake has checked every one of
// them against the limits and the tables, and that an edge names an object of this batch's earlier
// tasks or of earlier batches. Whether what it names of other jobs exists is for the core to say.
struct Batch {
  // One way to run a task: what it takes of a worker, and of the pools that are counted once for the
  // cluster (licences).
  struct Variant {
    Resources need;
    std::vector<PoolAmount> cluster;
    auto operator<=>(const Variant&) const = default;
  };
  // A resource request with its placement rule. Interned over all jobs: equal ones share queues.
  // Names of workers, hosts and attributes are interned by the shell, lists are sorted.
  struct Shape {
    std::vector<Variant> variants;  // best first; at least one
    std::vector<uint32_t> workers;  // any of these workers or hosts; both empty: anywhere
    std::vector<uint32_t> hosts;
    std::vector<uint32_t> attributes;  // all of these
    bool preferred = false;      // the rule is a wish: waits for it as long as moving costs less
    bool fail_fast = false;      // fails when no worker is left that the rule names
    uint64_t needs_time_ns = 0;  // not on a worker that ends sooner
    auto operator<=>(const Shape&) const = default;

    static Shape Of(const Resources& need) { return {.variants = {{need, {}}}}; }
    bool HasRule() const { return !workers.empty() || !hosts.empty() || !attributes.empty(); }
  };
  struct Options {
    uint32_t retries = 0;
    uint64_t backoff_ns = 0;
    uint64_t time_limit_ns = 0;
    int32_t priority = 0;
    uint32_t crash_limit = 0;  // 0: limits::kDefaultCrashLimit
    uint64_t expect_ns = 0;
    uint64_t expect_bytes = 0;
    // Which ends are tried again: a bit for each FailureClass, kRetryLost for the loss of a worker
    // while the task ran; and these exit codes, also when the bit of kExit is not set.
    uint32_t retry_on = ~0u;
    std::vector<int32_t> retry_exit_codes;
    // Running it again gives other bytes: all its outputs are made anew together.
    bool impure = false;
    // Its output is what was put on the one worker that its shape names, see put.cc.
    bool put = false;
    // Copies of each output, on as many workers; lost ones are made again. 0 and 1: one.
    uint32_t replicas = 0;
    // A second attempt elsewhere once it runs so many thousandths of what is expected; the first
    // accepted finish wins. 0: never.
    uint32_t straggler_milli = 0;

    bool operator==(const Options&) const = default;
    bool RetriedOn(FailureClass failure, int32_t exit_code) const;
  };
  static constexpr uint32_t kRetryLost = 1u << 31;
  struct Collection {
    Ordinal first = 0;  // object ordinal
    uint32_t count = 0;
    uint32_t stride = 1;
    JobId job = 0;  // whose objects they are; 0: of this one
    // If not empty: `first`, `count` and `stride` say which ones of this dataset. A count of 0: all.
    std::string dataset = {};
    bool operator==(const Collection&) const = default;
  };
  struct Task {
    uint32_t body = 0;
    uint32_t rank = 0;   // smaller runs earlier; see scheduler/order
    uint16_t shape = 0;  // index into the job's shapes
    uint16_t option = 0;
    uint16_t group = 0;
    uint16_t output_count = 0;
    uint32_t edge_count = 0;
    uint32_t tail = 0;  // ms from its start to the job's end along the longest path; 0: not known
  };
  struct Edge {
    uint32_t source = 0;  // object ordinal, or collection index | kCollectionBit
    uint32_t slot = 0;
    PartRange parts;
    uint32_t parts_total = 0;  // parts of the source's objects; 0: unknown. Only weighs costs
  };
  std::vector<Shape> shapes;  // appended to the job's tables
  std::vector<Options> options;
  std::vector<Collection> collections;
  std::vector<Task> tasks;     // outputs are numbered through the job in this order
  std::vector<Edge> edges;     // of the tasks, in order
  std::vector<Ordinal> wants;  // objects that the graph wants kept
};

namespace event {

// A worker opened a stream. Answered by action::Welcome or action::Refuse.
struct WorkerHello {
  StreamId stream = 0;
  uint64_t identity = 0;     // of the daemon: stable over its restarts
  uint64_t incarnation = 0;  // of the process
  Resources capacity;
  uint32_t host = 0;  // names are interned by the shell
  uint32_t name = 0;
  std::vector<uint32_t> attributes;  // sorted
  uint64_t ends_after_ns = 0;        // from now; 0: no end
  uint64_t store_budget_bytes = 0;   // memory for results, see memory.cc; 0: no limit
};
// What it holds and runs, in chunks; unacked outcomes follow as a WorkerReport, then InventoryDone.
struct WorkerInventory {
  StreamId stream = 0;
  Inventory chunk;
};
struct InventoryDone {
  StreamId stream = 0;
};
// Any message of a worker, an empty one (heartbeat) included.
struct WorkerReport {
  StreamId stream = 0;
  std::vector<AttemptRef> started;
  std::vector<Outcome> outcomes;
  std::vector<Replica> replicas_added;
  std::vector<ObjectVersion> replicas_lost;
  std::vector<GatherFailure> gathers_failed;
};
// A clean stop: what it held is gone now.
struct WorkerGoodbye {
  StreamId stream = 0;
};
struct WorkerClosed {
  StreamId stream = 0;
};
// Give it nothing new, take back what has not started, copy elsewhere what only it holds; it is drained
// when nobody needs it any more. `retire`: then it is told to stop.
struct DrainWorker {
  Token token = 0;
  WorkerId worker;
  bool retire = false;
};

// The size of a pool that is counted once for the cluster. Less than is in use: nothing is taken
// away, nothing new starts until it fits again.
struct SetPool {
  Token token = 0;
  uint16_t pool = 0;
  uint32_t capacity_milli = 0;
};

struct OpenJob {
  Token token = 0;
  uint64_t submission_hi = 0, submission_lo = 0;  // the same id names the same job
  int32_t priority = 0;
  uint64_t ttl_ns = 0;       // forgotten so long after its end; 0: when the history is full
  uint32_t owner = 0;        // interned by the shell; 0: the only one
  uint32_t weight = 100;     // against the owner's other jobs; 0 counts as 1
  uint32_t max_running = 0;  // attempts at once; 0: no limit
  // Ephemeral: cancelled when this client has left. 0: detached. Opened again, it is as is said last.
  ClientId client = 0;
};
struct AddBatch {
  Token token = 0;
  JobId job = 0;
  uint32_t number = 0;  // 0, 1, 2 ...; an older number is acknowledged again and ignored
  Batch batch;
};
struct SealJob {
  Token token = 0;
  JobId job = 0;
  uint32_t batches = 0;
};
// What scheduler/order found, in slices: ranks and tails of tasks [first, first + size). A task that
// is active keeps its old rank until it comes through a queue again.
struct SetRanks {
  JobId job = 0;
  Ordinal first = 0;
  std::vector<uint32_t> rank;
  std::vector<uint32_t> tail;  // as long as `rank`
};
struct CancelJob {
  Token token = 0;
  JobId job = 0;
};
// Cancels tasks that have not ended; what depends on them is cancelled with the culprit named.
struct CancelTasks {
  Token token = 0;
  JobId job = 0;
  std::vector<OrdinalRange> tasks;
};
// Puts failed tasks back to waiting, from their stored definitions and with fresh counts of retries
// and crashes, and with them what failed because of them. Without `tasks`: every failed one. Named
// ones take along the failures above them, without which they could not run.
struct RetryTasks {
  Token token = 0;
  JobId job = 0;
  std::vector<OrdinalRange> tasks;
  bool cancelled_too = false;  // else cancelled tasks stay as they are
};
// Frees the objects of a job that has ended and drops its records; a compact one stays for a while.
struct ForgetJob {
  Token token = 0;
  JobId job = 0;
};
// The complete set of objects that a client wants; replaces its previous set. Empty when it leaves for
// good.
struct SetWants {
  ClientId client = 0;
  std::vector<ObjectId> objects;
};

// Keeps objects of a job under a name, until it is dropped: other jobs may read them.
struct PublishDataset {
  Token token = 0;
  std::string name;
  ObjectRange objects;
};
struct DropDataset {
  Token token = 0;
  std::string name;
};

// What an attempt submits, batch by batch; a worker whose stream broke says again what was not
// answered. Objects and tasks of the batch are numbered in the attempt's own job, which the answer
// names; it may read objects of other jobs that exist. See children.cc.
struct SubmitFromTask {
  Token token = 0;
  StreamId stream = 0;
  AttemptRef attempt;
  uint32_t number = 0;  // 0, 1, 2 ...; an older number is acknowledged again and ignored
  bool early = false;   // its tasks start now; else when the attempt's finish is accepted
  Batch batch;
  std::string refused = {};  // why the batch is no part of a graph: it is empty then
};

// A running attempt waits for objects: it has given its resources back until action::Resume. A worker
// whose stream broke says it again.
struct YieldAttempt {
  StreamId stream = 0;
  AttemptRef attempt;
  std::vector<ObjectId> awaits;
};

// A client's stream broke: its wants and its ephemeral jobs stay for a lease.
struct ClientGone {
  ClientId client = 0;
  bool for_good = false;  // it said goodbye: there is no lease
};
// It is there again; SetWants says so, too.
struct ClientBack {
  ClientId client = 0;
};

}  // namespace event

using Event =
    std::variant<event::WorkerHello, event::WorkerInventory, event::InventoryDone,
                 event::WorkerReport, event::WorkerGoodbye, event::WorkerClosed, event::DrainWorker,
                 event::SetPool, event::OpenJob, event::AddBatch, event::SealJob, event::SetRanks,
                 event::CancelJob, event::CancelTasks, event::RetryTasks, event::ForgetJob,
                 event::SetWants, event::PublishDataset, event::DropDataset, event::SubmitFromTask,
                 event::YieldAttempt, event::ClientGone, event::ClientBack>;

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_EVENTS_H_
