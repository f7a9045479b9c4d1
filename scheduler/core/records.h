// The records of the scheduler's tables. Indices are 32-bit; kNil ends every list. Sizes are
// budgeted: 96 bytes a task, 64 an object with its first replica, 12 an edge.
#ifndef TASKD_SCHEDULER_CORE_RECORDS_H_
#define TASKD_SCHEDULER_CORE_RECORDS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/heap.h"
#include "common/base/ids.h"
#include "common/base/run_heap.h"
#include "common/base/segments.h"
#include "common/base/session.h"
#include "scheduler/core/events.h"
#include "scheduler/core/fair_share.h"
#include "scheduler/core/ready_queue.h"
#include "scheduler/core/views.h"

namespace taskd::scheduler {

inline constexpr uint32_t kNil = 0xFFFFFFFFu;
inline constexpr uint16_t kNoSlot = 0xFFFFu;
inline constexpr uint8_t kNoVariant = 0xFFu;
inline constexpr JobId kNoJob = 0xFFFFFFFFu;
inline constexpr uint32_t kInSuspects = 0xFFFFFFFEu;  // TaskRec::position: see suspects.cc

// Whether a source of input (an object, or a collection as a whole) can be read. Kept as last told
// to the consumers: it changes only when a worklist item announces the change, see propagate.cc.
enum class Presence : uint8_t {
  kMissing,    // not made yet, freed, or lost: its task has to run
  kAway,       // only on workers whose connection is broken
  kAvailable,  // on a connected worker
  kDead,       // its task failed or was cancelled
};

// An input of a task, or the membership of an object in a collection. Threaded into its source's
// consumer list.
struct EdgeRec {
  uint32_t source = 0;    // object ordinal, or collection | kCollectionBit
  uint32_t next = kNil;   // next consumer of the same source
  uint32_t consumer = 0;  // task ordinal, or collection | kCollectionBit
};
static_assert(sizeof(EdgeRec) == 12);

// What an edge does not say by its place: kept apart, since most edges are "slot i, whole object".
struct Selection {
  uint32_t slot = 0;
  PartRange parts;
  uint32_t parts_total = 0;
};

// A task that was done and runs again to rebuild what was lost.
enum class Again : uint8_t { kNo = 0, kAsked, kAssigned };

struct TaskRec {
  uint32_t edges = 0;  // first of edge_count consecutive EdgeRecs
  uint32_t edge_count = 0;
  Ordinal first_output = 0;
  uint32_t body = 0;
  uint32_t rank = 0;
  uint32_t tail = 0;               // ms to the job's end along the longest path; 0: not known
  uint32_t missing = 0;            // edges whose source is kMissing or kDead
  uint32_t away = 0;               // edges whose source is kAway
  uint32_t position = kNotInHeap;  // in its queue
  uint32_t attempts = kNil;        // live attempts
  uint32_t tries = 0;              // attempts so far
  uint32_t retries = 0;            // failures that were retried
  Ordinal culprit = kNoOrdinal;    // of the failure that ended it
  AttemptId last_attempt = 0;
  WorkerId last_worker;
  uint32_t run_us = 0;  // of the accepted finish
  uint16_t output_count = 0;
  uint16_t shape = 0;        // global
  uint16_t option = 0;       // of the job
  uint16_t group = 0;        // of the job
  uint16_t home = kNoSlot;   // the worker in whose home queue it is; kNoSlot: the shape's queue
  uint16_t avoid = kNoSlot;  // a worker that could not fetch its inputs
  uint16_t recovery = 0;     // the recovery that waits for it; 0: none
  TaskState state = TaskState::kWaiting;
  FailureClass failure = FailureClass::kNone;
  uint8_t crashes = 0;  // losses while running, or while it ran alone
  uint8_t doubts = 0;   // losses of workers that had it in a slot and did not say whether it ran
  uint8_t stuck = 0;    // in a row
  Again again = Again::kNo;
  bool starting = true;  // its worklist item has not counted its inputs yet
  bool backoff = false;  // ready, but not before its timer
  bool moved = false;    // taken back from a worker
  uint64_t ready_ns = 0;
};
static_assert(sizeof(TaskRec) <= 96);

struct ReplicaRec {
  uint32_t next = kNil;  // of the same object
  uint32_t held_at = 0;  // its place in its worker's `held`
  uint16_t worker = 0;   // slot
  bool usable = false;   // its worker is connected and reconciled
  bool to_move = false;  // its worker leaves, and no other one that stays has it
};
static_assert(sizeof(ReplicaRec) + sizeof(ObjectId) <= 20, "with its entry in `held`");

struct ObjectRec {
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;    // of an alias: the collection that stands for what is behind it
  AttemptId version = 0;  // accepted; 0: never made
  Ordinal producer = 0;
  uint32_t consumers = kNil;    // edges
  uint32_t live_consumers = 0;  // unfinished tasks, and collections that have some
  uint32_t replicas = kNil;
  uint32_t outside_wants : 19 = 0;  // of clients, datasets and attempts that yielded
  Presence presence : 2 = Presence::kMissing;
  bool graph_want : 1 = false;
  bool in_collection : 1 = false;
  bool exported : 1 = false;   // other jobs read it, or did
  bool announced : 1 = false;  // a worklist item will announce its presence
  bool wide : 1 = false;       // its replicas have an index by worker
  bool copies : 1 = false;     // its task asks for several replicas
  bool copying : 1 = false;    // see copies.cc
  bool unclaimed : 1 = false;  // of an earlier start, and no worker has named a replica of it yet
  bool freed : 1 = false;      // its version was: a report of it crossed that order
  bool alias : 1 = false;      // delegated to an object of a child, see delegate.cc
  bool idle : 1 = false;       // has replicas that no unfinished task reads, see Worker::idle_bytes
  uint16_t usable = 0;         // replicas that are
};
static_assert(sizeof(ObjectRec) + sizeof(ReplicaRec) + sizeof(ObjectId) <= 64);

struct CollectionRec {
  Ordinal first = 0;
  uint32_t count = 0;
  uint32_t stride = 1;
  JobId job = 0;         // of the members; 0: the same one; kNoJob: it was forgotten
  uint32_t members = 0;  // first of `count` consecutive EdgeRecs; unless they are of another job
  uint32_t consumers = kNil;
  uint32_t live_consumers = 0;
  uint32_t missing = 0, away = 0, dead = 0;  // members by presence
  Ordinal dead_member = kNoOrdinal;
  Presence presence = Presence::kMissing;
  bool announced = false;
  bool held = false;  // foreign, and counts as a consumer: of an open job, or of a wanted alias
  Ordinal alias = kNoOrdinal;  // stands for what is behind this object of the same job
  ObjectId behind;             // of an alias that is there or away: the end of its chain; else none

  bool foreign() const { return job != 0; }
  bool Has(Ordinal member) const { return ObjectRange{job, first, count, stride}.Contains(member); }
};

// A collection of another job, whose members are objects of this one.
struct Importer {
  JobId job = 0;
  uint32_t collection = 0;
};
// The other way round: a collection of this job, and the key that its importer has there.
struct Import {
  uint32_t collection = 0;
  uint32_t key = 0;
};

struct GroupRec {
  // See Learned; 0: unknown.
  uint64_t average_ns = 0;      // run times
  uint64_t told_ppm = 0;        // run times over what was expected of the same tasks by hints
  uint64_t average_bytes = 0;   // of all outputs of a task
  uint64_t told_bytes_ppm = 0;  // likewise over hints
};

// Tasks from `first` on were submitted in this start of the scheduler.
struct TakenIn {
  Ordinal first = 0;
  uint32_t start = 0;
};

// What a client sees of a job as it goes on.
struct Progress {
  StateCounts counts = {};  // of tasks, by state
  uint64_t running = 0, recomputed = 0, retried = 0;
  uint64_t bytes_moved = 0, bytes_saved = 0;
};

// A job and all that its tasks submitted, see children.cc: one share, one limit, one history.
struct Family {
  struct Parked {
    QueuePlace place;
    JobId job = 0;
  };
  JobId root = 0;  // the job that a client submitted
  Share share;
  std::vector<Parked> parked;       // queues that skip a job until the family is below its limit
  bool unparking = false;           // a worklist item takes them back
  uint64_t left_cpu_us = 0;         // of unfinished tasks, by what was told of them
  uint64_t most_left_cpu_us = 0;    // since nothing was left
  uint64_t outside_wants = 0;       // of clients, datasets, and jobs that read of it
  Progress of_children;             // but for those that were discarded
  uint32_t open_children = 0;       // not ended
  absl::btree_set<JobId> children;  // at any depth: a parent before what its tasks submitted

  void SetLeft(uint64_t cpu_us) {
    left_cpu_us = cpu_us;
    most_left_cpu_us = cpu_us == 0 ? 0 : std::max(most_left_cpu_us, cpu_us);
  }
};

enum class ChildState : uint8_t {
  kRoot,       // none: a client submitted it
  kHeld,       // its tasks start when the attempt that submitted it is accepted
  kEarly,      // they have started before that
  kAccepted,   // sealed, and goes on as any job
  kDiscarded,  // the attempt ended otherwise, or an impure task submitted anew: counts nowhere
};

// Of short jobs there may be very many.
template <typename T>
using JobTableOf = Segments<T, 4096, 16>;

// A waiting task whose inputs are fetched before it is ready, see early.cc.
struct Sink {
  WorkerId home;      // where to; 0: not chosen
  uint32_t made = 0;  // inputs
  uint64_t made_bytes = 0;
  uint64_t home_bytes = 0;  // there, or ordered
};

struct Job {
  JobId id = 0;
  uint64_t submission_hi = 0, submission_lo = 0;
  std::unique_ptr<Family> own_family;  // of a root
  Family* family = nullptr;
  ChildState child = ChildState::kRoot;
  AttemptRef parent;  // that submitted it
  // What attempts of its tasks submitted.
  absl::btree_map<std::pair<Ordinal, AttemptId>, JobId> children;
  bool seal_asked = false;  // sealed once the tasks before it have started
  bool sealed = false, cancelled = false, ended = false;
  bool changed = false;  // JobChanged is due at the end of the step
  uint32_t batches = 0;
  JobTableOf<TaskRec> tasks;
  JobTableOf<ObjectRec> objects;
  JobTableOf<EdgeRec> edges;
  std::vector<CollectionRec> collections;
  uint32_t aliases = 0;            // ever
  std::vector<uint32_t> numbered;  // collections of batches, when there are some of aliases between
  std::vector<Import> imports;
  absl::btree_map<uint32_t, Importer> importers;  // the newest has the largest key
  uint32_t last_importer = 0;
  std::vector<uint16_t> shapes;  // job's index -> global
  std::vector<Batch::Options> options;
  std::vector<GroupRec> groups;
  absl::flat_hash_map<uint32_t, Selection> selections;  // by edge; looked up, never iterated
  absl::flat_hash_map<Ordinal, std::vector<AttemptView>>
      history;  // ends other than a first finish; likewise
  Progress progress;
  uint64_t opened_ns = 0, ended_ns = 0;
  uint64_t largest_bytes = 0;                // of an object of it, so far
  absl::flat_hash_map<Ordinal, Sink> sinks;  // looked up, never iterated
  std::vector<FailureView> failures;
  std::vector<Ordinal> wants;
  uint64_t ttl_ns = 0;         // 0: none
  uint32_t attempts = 0;       // live ones
  uint64_t outside_wants = 0;  // of clients, datasets, and jobs that read of it
  uint32_t datasets = 0;       // that are of it
  uint64_t idle_since_ns = 0;  // its key in State::idle_jobs
  ClientId client = 0;         // it is cancelled when that one has left; 0: detached
  bool idle = false;           // in there: ended, and nobody wants anything of it
  bool expired = false;        // past its time to live
  bool forgetting = false;
  bool swept = false;            // no object of it has a replica, for good
  uint32_t retries_pending = 0;  // kRetryRange items
  absl::flat_hash_set<Ordinal>
      retry_asked;  // tasks that the retry under way looked up; looked up, never iterated
  std::vector<TakenIn> taken_in;  // by first task

  CollectionRec& BehindAlias(const ObjectRec& alias) { return collections[alias.crc32c]; }
  const CollectionRec& BehindAlias(const ObjectRec& alias) const {
    return collections[alias.crc32c];
  }
  bool is_root() const { return child == ChildState::kRoot; }
  // Its attempt's fate is not known.
  bool pending() const { return child == ChildState::kHeld || child == ChildState::kEarly; }
  uint64_t unfinished() const {
    return progress.counts[1] + progress.counts[2] + progress.counts[3];
  }
};

// A client that wants something or has ephemeral jobs.
struct Client {
  std::vector<ObjectId> wants;  // sorted
  absl::btree_set<JobId> ephemeral;
  bool gone = false;  // its lease runs
  uint64_t epoch = 0;
};

// Objects that an attempt yielded for, held until it ends or yields again.
struct Awaits {
  std::vector<ObjectId> objects;
  uint32_t left = 0;  // of these, neither there nor dead
};

// What is left of a job that was forgotten.
struct ForgottenJob {
  std::pair<uint64_t, uint64_t> submission;
  JobView view;
};

struct alignas(64) AttemptRec {
  JobId job = 0;
  Ordinal task = 0;
  AttemptId id = 0;
  WorkerId worker;
  uint32_t next_of_task = kNil;
  uint32_t next = kNil, previous = kNil;  // on the worker, oldest first
  AttemptState state = AttemptState::kAssigned;
  bool slotted = false;   // its resources are charged; else look-ahead
  bool alone = false;     // a suspect: its worker has nothing else
  bool doubted = false;   // counted in its task's doubts
  bool yielded = false;   // its resources are not charged, see yield.cc
  bool orphaned = false;  // its worker is away: the task may run elsewhere
  bool crash_counted = false;
  bool listed = false;  // by the inventory under way
  uint16_t retract_for = kNoSlot;
  uint16_t shape = 0;
  uint8_t variant = 0;       // of the shape
  uint64_t expected_ns = 0;  // charged to its worker's look-ahead while not slotted
  uint64_t charged_us = 0;   // of cpu time, to its job's share
  uint64_t started_ns = 0;   // 0: not reported
  uint64_t assigned_ns = 0;
  uint64_t fetch_bytes = 0;  // of its inputs, not there when it was given a slot; 0: look-ahead
  // Its share of its worker's promised_bytes: inputs to fetch, until it starts, and outputs.
  uint64_t promised_in_bytes = 0, promised_out_bytes = 0;
  // Until it starts: who sends it large inputs, how much, and what that one had sent before.
  WorkerId sender;
  uint64_t sent_bytes = 0, sent_before = 0;
};

// A worker's dealings with one shape.
struct alignas(64) ShapeLoad {
  uint32_t slotted = 0, ahead = 0;
  uint64_t ahead_ns = 0;
  bool listed = false;            // in the worker's running_shapes
  uint64_t refused_until_ns = 0;  // the worker said that it cannot, for a reason we do not see
  uint8_t refusals = 0;           // in a row, as far as they are counted
  ReadyQueue home;
};

// Ten thousand of them do not fit the processor's caches, so what the way of a task goes through lies
// together: lines of 64 bytes, see prefetch.cc.
struct alignas(64) Worker {
  WorkerId id;
  uint16_t kind = 0;  // workers alike, see Classify
  WorkerState state = WorkerState::kSuspect;
  bool dirty = false, dirty_ahead = false, hungry = false;  // membership in the lists of State
  bool reconciling = false;  // between hello and the end of the inventory
  bool returning = false;    // the worklist compares what it held with what it listed
  bool draining = false;
  bool alone = false;             // runs a suspect, which is to have no company
  bool reserved = false;          // being emptied for one; also in State::reserved
  bool quarantined = false;       // see quarantine.cc
  bool draining_checked = false;  // a worklist item looks whether it is drained
  bool short_of_memory = false;   // left a task in its queue for that; in State::short_of_memory
  bool resuming = false;          // `to_resume` is not empty
  uint8_t blamed = 0;  // tasks that failed here and ran elsewhere, less those that ran here
  uint32_t first_attempt = kNil;
  std::vector<std::unique_ptr<ShapeLoad>> loads;  // by global shape, grown on use
  // Begins 16 bytes before the second line. What is used may exceed the capacity for a moment: the
  // worker decides.
  Resources used;
  Resources capacity;  // likewise, before the third: pools are looked at when a task needs some
  uint64_t hungry_key = 0;     // its key in State::hungry, while it is there
  uint64_t look_ahead_ns = 0;  // when it is asked again whether it is time to bind some

  // The fourth line.
  uint32_t last_attempt = kNil;
  uint32_t attempts = 0, started = 0, ahead = 0, home_tasks = 0;
  uint32_t retracts_pending = 0;  // asked of others on its behalf
  StreamId stream = 0;            // 0: not connected
  uint64_t ends_ns = 0;           // when its time is over; 0: never
  uint64_t finished = 0;
  // Memory for results. Results that no unfinished task reads are `idle`: the first to be spilled.
  uint64_t store_budget_bytes = 0;  // 0: no limit
  uint64_t promised_bytes = 0;      // what its attempts are going to add

  // The fifth, only for its reports.
  uint64_t object_bytes = 0;
  uint64_t idle_bytes = 0;  // of these
  uint64_t last_heard_ns = 0;
  uint64_t outcomes_seen = 0;
  // Every object with a replica here. What goes is replaced by the last one: walked from its end, so
  // that a walk meets each that was there at least once.
  Segments<ObjectId, 128> held;

  // What attempts elsewhere fetch from here, see links.cc.
  uint32_t sends = 0;
  uint64_t sending_bytes = 0;
  uint64_t sent_bytes = 0;       // so far
  uint64_t out_bytes_per_s = 0;  // as learned; 0: not yet
  uint64_t gathering_bytes = 0;  // of `gathering`

  // Ascending: shapes that have a slot here, and some that had one when they were last looked at.
  std::vector<uint16_t> running_shapes;
  uint64_t identity = 0, incarnation = 0;
  uint64_t in_bytes_per_s = 0;  // as learned; 0: not yet
  uint64_t lost_ns = 0;
  uint64_t epoch =
      0;  // drawn at each change of connection, never twice: stale timers are told by it
  uint32_t name = 0, host = 0;  // names are those of the shell
  std::vector<uint32_t> attributes;
  uint32_t counted_cpus = 0;            // in State::up_cpus_milli
  uint32_t quarantines = 0;             // so far
  bool retire = false;                  // it is told to stop when it is drained
  bool said_goodbye = false;            // what it ran was stopped on purpose
  bool leaving = false;                 // being forgotten: slot is freed by the worklist
  uint32_t yielded = 0;                 // attempts
  std::deque<AttemptRef> to_resume;     // when there is room; some may have ended
  uint32_t walks = 0;                   // worklist items that walk `held`
  uint32_t to_move = 0;                 // replicas with that mark
  absl::btree_set<ObjectId> gathering;  // it has been told to fetch
  absl::flat_hash_set<ObjectVersion>
      listed;                      // by the inventory under way; looked up, never iterated
  std::vector<Replica> undecided;  // listed, made by attempts whose outcomes are yet to come

  bool up() const { return state == WorkerState::kUp; }
  // Of its store: what is or is going to be there and is read by unfinished tasks.
  uint64_t InUse() const { return object_bytes - idle_bytes + promised_bytes + gathering_bytes; }
  // Takes nothing new.
  bool Closed() const { return alone || reserved || quarantined || resuming; }
  bool connected() const {
    return state == WorkerState::kUp || state == WorkerState::kDraining ||
           state == WorkerState::kDrained;
  }
};

// Where a large object is being fetched to, by the newest orders.
struct UnderWay {
  ObjectId object;
  std::array<uint16_t, 4> slots = {kNoSlot, kNoSlot, kNoSlot, kNoSlot};
  uint32_t next = 0;
};

struct Shape {
  Batch::Shape spec;
  bool failing = false;  // a worklist item fails what waits in `queue`
  bool uses_cluster =
      false;  // some variant takes of a cluster pool: no look-ahead, it starts unasked
  ReadyQueue queue;
  uint64_t queued = 0;  // in `queue` and in every home queue
};

struct ClusterPool {
  uint64_t capacity_milli = 0, used_milli = 0;
  std::vector<uint16_t> shapes;  // that use it
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_RECORDS_H_
