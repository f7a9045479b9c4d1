// What one seed decides: sizes, speeds, timers, budgets and how much goes wrong.
#ifndef TASKD_TESTS_SIM_OPTIONS_H_
#define TASKD_TESTS_SIM_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/prng.h"
#include "common/base/session.h"
#include "scheduler/core/scheduler_core.h"
#include "worker/core/worker_core.h"

namespace taskd::sim {

// A defect planted into the harness, which a checker must find.
enum class Mutation : uint8_t {
  kNone = 0,
  kOutcomeAttempt,  // a finish is reported for another attempt of the task
  kLoseOutcome,     // a finish is lost on a stream that stays up
  kLoseAssign,      // an assignment is lost on a stream that stays up
  kLoseFree,        // Free messages are lost on streams that stay up
  kLoseAck,         // acknowledgements are lost on streams that stay up
  kWrongBytes,      // an executor writes other bytes than the task's
  kSwapInputs,      // an assignment names its inputs in another order
  kExtraCapacity,   // a worker core believes in cpus that are not there
  kDoubleFinish,    // a second finish of a task with other bytes is reported as a new attempt's
  kCount
};

// Pools: of a worker, and of the cluster.
inline constexpr uint16_t kDevices = 1, kLicences = 2;
inline constexpr uint32_t kAttributes = 2;  // 1 and 2
// What rules call a worker and a host.
inline uint32_t WorkerName(uint32_t index) { return 100 + index; }
inline uint32_t HostName(uint32_t host) { return 50 + host; }

struct Options {
  uint64_t seed = 0;

  // Cluster.
  std::vector<Resources> workers;                 // worker 0 fits every task and always comes back
  std::vector<uint64_t> stores;                   // budgets of their stores; 0: no limit
  std::vector<std::vector<uint32_t>> attributes;  // by worker; worker 0 has all
  std::vector<bool> broken;  // by worker: it says that it has a device, and refuses what needs it
  std::vector<uint64_t> lives;  // by worker: how long one has from its start on; 0: no end
  uint32_t hosts = 1;
  uint32_t licences_milli = 0;  // of kLicences, in the healed phase
  scheduler::Config scheduler;
  worker::Config worker;  // capacity is set per worker
  uint64_t heartbeat_ns = 0;
  uint32_t scheduler_budget = 0;  // transitions a step
  uint32_t worker_budget = 0;
  uint32_t inbox_cut = 0;                // at most so many events a step; 0: all
  uint32_t spurious_step_per_mille = 0;  // extra steps without events
  uint32_t step_delay_ns = 0;     // upper bound between a first event and the step that takes it
  uint32_t validate_every = 100;  // steps
  uint64_t journal_sync_ns = 0;   // upper bound of one

  // Network and data plane.
  uint64_t delay_min_ns = 0, delay_max_ns = 0;
  uint64_t bandwidth_bytes_per_ms = 0;
  uint32_t busy_per_mille = 0;
  uint32_t io_error_per_mille = 0;

  // Graphs.
  uint32_t tasks = 0;
  uint32_t jobs = 0;
  uint32_t max_output_bytes = 0;
  uint32_t doomed_per_mille = 0;    // tasks whose every attempt fails
  uint32_t flaky_per_mille = 0;     // tasks some of whose attempts fail
  uint32_t poison_per_mille = 0;    // tasks that kill their worker
  uint32_t hang_per_mille = 0;      // of attempts that have a time limit: they never return
  uint32_t miscount_per_mille = 0;  // of attempts: another number of outputs than their task has
  uint32_t gets_per_mille = 0;      // tasks that get objects while they run
  uint64_t exec_ns = 0;             // scale of durations

  // Faults.
  uint32_t faults = 0;
  uint64_t fault_window_ns = 0;
  uint32_t stubborn_per_mille = 0;  // killed executors that finish all the same

  Mutation mutation = Mutation::kNone;

  static Options Draw(uint64_t seed);
};

// "" names kNone; kCount when there is no such mutation.
Mutation MutationByName(const std::string& name);
const char* Name(Mutation mutation);

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_OPTIONS_H_
