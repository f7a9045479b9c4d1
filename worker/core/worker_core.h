// The worker's state machine: which attempts it has, what they still need, what may start.
//
//   Step(now, events, budget, actions) -> when to call again
//
// Deterministic: the same steps give the same actions. Single-threaded; no clock, no I/O (see
// DESIGN law 1).
//
// An attempt goes fetching -> queued -> running -> ended. A fetch brings whole replicas (kept, and
// reported to the scheduler as secondaries until it frees them) or parts (dropped with the last
// attempt that uses them). Outcomes are kept until the scheduler has acknowledged their sequence,
// and are sent again on every new session.
#ifndef TASKD_WORKER_CORE_WORKER_CORE_H_
#define TASKD_WORKER_CORE_WORKER_CORE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "worker/core/actions.h"
#include "worker/core/events.h"

namespace taskd::worker {

struct Config {
  Resources capacity;
  uint64_t store_bytes = 0;  // memory for objects; 0: without limit
  uint32_t fetches_total = limits::kFetchesTotal;
  uint32_t fetches_per_peer = limits::kFetchesPerPeer;
};

// Read between steps by the shell's exporter.
struct Counters {
  uint64_t attempts_ended[8] = {};  // by AttemptEnd
  uint64_t fetched_bytes = 0;
  uint64_t fetch_items[5] = {};                  // by FetchStatus
  uint64_t values_taken = 0, values_failed = 0;  // inputs that came with their assignments
  uint32_t fetching = 0, queued = 0, running = 0;
  uint64_t replicas = 0, replica_bytes = 0;
  uint64_t memory_bytes = 0, disk_bytes = 0;  // of pieces in the store, by where they are
  uint64_t spilled = 0, spilled_bytes = 0, spills_failed = 0;
  uint64_t outcomes_unacked = 0;
};

inline constexpr uint64_t kNever = ~uint64_t{0};

class WorkerCore {
 public:
  explicit WorkerCore(const Config& config);
  ~WorkerCore();
  WorkerCore(const WorkerCore&) = delete;
  WorkerCore& operator=(const WorkerCore&) = delete;

  // Applies `events` in order and appends actions. At most `budget` transitions are done; when work
  // is left the result is `now_ns`, else the next time at which something is due (kNever: nothing).
  // `now_ns` never decreases.
  uint64_t Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                std::vector<Action>& actions);

  const Counters& counters() const;

  // "" when every invariant holds, else the first one that is broken. O(state); for tests and the
  // simulator.
  std::string Validate() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_CORE_WORKER_CORE_H_
