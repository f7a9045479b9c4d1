// What a run of one seed adds up to: plain counters that processes can share, and the first
// failure.
#ifndef TASKD_TESTS_SIM_REPORT_H_
#define TASKD_TESTS_SIM_REPORT_H_

#include <array>
#include <cstdint>
#include <string>
#include <variant>

#include "common/base/session.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/views.h"
#include "worker/core/actions.h"

namespace taskd::sim {

enum class Fault : uint8_t {
  kStreamBreak = 0,   // both sides see it closed
  kHalfOpen,          // the scheduler is not told
  kSilence,           // messages are held, then delivered
  kSilenceThenBreak,  // held, then lost
  kCrash,
  kCrashUnnoticed,  // the scheduler is not told
  kCrashForGood,
  kGoodbye,
  kReplicaLost,      // the store notices
  kReplicaVanished,  // nobody notices until it is read
  kDataCut,          // two workers cannot reach each other
  kDataCutOneWay,    // the first cannot ask the second
  kClog,             // everything from this worker takes much longer
  kOneWayUp,         // what the worker says is held; it hears
  kOneWayDown,       // the reverse
  kDiskFull,         // it can keep no new bytes for a while
  kReplicaDamaged,   // its checksum is wrong; noticed when it is read
  kSoleReplicaLost,  // of an object that somebody needs
  kDrain,
  kSlow,
  kWorkerPause,     // its process stands still, executors too
  kSchedulerPause,  // its core is not called for a while
  kSchedulerCrash,
  kClientCrash,  // it comes back and resumes its submission
  kBadWorker,    // for a while every body fails there
  kFewLicences,  // somebody else has some of them
  kPoison,       // a task killed its worker
  kTimeOver,     // the worker had said so
  kCount
};
const char* Name(Fault fault);

inline constexpr size_t kWaitReasons = static_cast<size_t>(kLastWaitReason) + 1;

// Trivially copyable, summed over seeds.
struct Stats {
  std::array<uint64_t, static_cast<size_t>(Fault::kCount)> faults = {};
  std::array<uint64_t, std::variant_size_v<scheduler::Action>> scheduler_actions = {};
  std::array<uint64_t, std::variant_size_v<worker::Action>> worker_actions = {};
  std::array<uint64_t, 8> attempt_ends = {};  // outcomes delivered, by AttemptEnd; kLost: inferred
  std::array<uint64_t, kFailureClasses> final_failures = {};  // journalled, by FailureClass
  std::array<uint64_t, 7> task_ends = {};                     // by TaskState
  uint64_t seeds = 0, tasks = 0, objects = 0, edges = 0;
  uint64_t scheduler_steps = 0, worker_steps = 0, validations = 0;
  uint64_t reruns = 0;  // assignments of tasks that had finished before
  uint64_t needless_reruns =
      0;                     // of these, none of the outputs needed at that time (a late release)
  uint64_t early_frees = 0;  // of what a rebuild decided a moment ago would have read
  uint64_t twins = 0;        // second attempts beside one on a worker that is away
  uint64_t values_checked = 0;
  uint64_t late_wants = 0, rebuilt_for_clients = 0;
  uint64_t clients_gone = 0, goodbyes = 0, left_jobs = 0;  // without, with a goodbye; cancelled
  uint64_t mutations = 0;                                  // planted defects
  uint64_t records_lost = 0, records_replayed = 0;
  uint64_t attempts_adopted = 0;
  uint64_t quarantines = 0;                               // of workers
  uint64_t early_gathers = 0;                             // of inputs of tasks that were not ready
  uint64_t forgotten_early = 0;                           // jobs, while others went on
  uint64_t values_taken = 0;                              // inputs that came with a message
  uint64_t yields = 0;                                    // said to the scheduler
  uint64_t submissions = 0;                               // batches that tasks submitted
  uint64_t discards = 0;                                  // of what they submitted
  uint64_t gets = 0, gets_answered = 0, gets_failed = 0;  // of running tasks
  uint64_t gets_waited = 0, gets_gathered = 0, gets_retried = 0;
  uint64_t delegations = 0;  // of outputs to what they submitted
  uint64_t imports = 0;      // sent: inputs of other jobs, datasets among them
  uint64_t datasets_published = 0, datasets_dropped = 0;
  std::array<std::array<uint64_t, 7>, 7> task_moves = {};    // by TaskState; 0: not there
  std::array<std::array<uint64_t, 7>, 7> worker_moves = {};  // by WorkerState; 0: not there
  std::array<std::array<uint64_t, 6>, 6> job_moves = {};     // by JobState; 0: not there
  std::array<uint64_t, kWaitReasons> reasons = {};           // tasks seen waiting for it
  std::array<uint64_t, std::tuple_size_v<decltype(scheduler::Counters::assigned)>> assigned = {};
  std::array<uint64_t, std::tuple_size_v<decltype(scheduler::Counters::attempts_failed)>>
      attempts_failed = {};
  std::array<uint64_t, std::tuple_size_v<decltype(scheduler::Counters::workers_lost)>>
      workers_lost = {};
  uint64_t simulated_ms = 0;

  void Add(const Stats& other);
};

std::string Table(const Stats& stats);
// What never happened although it can: one line each.
std::string Unmet(const Stats& stats);

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_REPORT_H_
