// The words that the two cores exchange, as plain values. The shells carry them over gRPC
// (common/rpc converts), the simulator carries them over simulated streams. Shapes and meaning are
// those of worker_session.proto.
#ifndef TASKD_COMMON_BASE_SESSION_H_
#define TASKD_COMMON_BASE_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "common/base/ids.h"
#include "common/base/limits.h"

namespace taskd {

// An amount of a pool: a countable resource beside cpus and memory, "gpus" or one of the site's own.
// Pools are interned by name.
struct PoolAmount {
  uint16_t pool = 0;
  uint32_t milli = 0;  // thousandths; 0: no entry
  auto operator<=>(const PoolAmount&) const = default;
};

struct Resources {
  uint32_t cpus_milli = 0;  // thousandths of a cpu
  uint64_t memory_bytes = 0;
  // By pool, ascending; the first empty entry ends the list.
  std::array<PoolAmount, limits::kPoolsPerRequest> pools = {};

  auto operator<=>(const Resources&) const = default;

  uint32_t Pool(uint16_t pool) const {
    for (const PoolAmount& amount : pools) {
      if (amount.milli == 0) break;
      if (amount.pool == pool) return amount.milli;
    }
    return 0;
  }
  // Whether this is within `capacity` when `used` of it is taken.
  bool Fits(const Resources& capacity, const Resources& used) const {
    if (uint64_t{used.cpus_milli} + cpus_milli > capacity.cpus_milli ||
        used.memory_bytes + memory_bytes > capacity.memory_bytes) {
      return false;
    }
    for (const PoolAmount& amount : pools) {
      if (amount.milli == 0) break;
      if (uint64_t{used.Pool(amount.pool)} + amount.milli > capacity.Pool(amount.pool))
        return false;
    }
    return true;
  }
  bool Fits(const Resources& capacity) const { return Fits(capacity, {}); }
  // A sum has at most limits::kPoolsPerRequest pools: what is summed fits one worker.
  Resources& operator+=(const Resources& other);
  Resources& operator-=(const Resources& other);  // what is there
};

// The values of these enums are those of types.proto.
enum class TaskState : uint8_t { kWaiting = 1, kReady, kActive, kDone, kFailed, kCancelled };
enum class AttemptState : uint8_t { kAssigned = 1, kRunning, kRetracting, kCancelling, kYielded };
enum class AttemptEnd : uint8_t {
  kFinished = 1,
  kFailed,
  kCancelled,
  kRetracted,
  kRefused,
  kStuck,
  kLost
};
enum class FailureClass : uint8_t {
  kNone = 0,
  kExit,
  kSignal,
  kTimeout,
  kCannotStart,
  kOutputMissing,
  kInputChanged,
  kInputPath,
  kBadBody,
  kStore,
  kCrashLimit,
  kInputFailed,
  kInputLost,
  kOutOfMemory,
  kUnschedulable
};
inline constexpr FailureClass kLastFailureClass = FailureClass::kUnschedulable;
inline constexpr size_t kFailureClasses = static_cast<size_t>(kLastFailureClass) + 1;
enum class WaitReason : uint8_t {
  kNone = 0,
  kInputs,
  kInputRebuild,
  kBehindOthers,
  kNoWorker,
  kUnschedulable,
  kBackoff,
  kDrain,
  kAtWorker,
  kJobOpen,
  kInputAway,
  kWorkerAway,
  kPool,
  kRefused,
  kSuspect,
  kJobLimit,
  kRestart,
  kMemory,
  kHeld,
  kYielded
};
inline constexpr WaitReason kLastWaitReason = WaitReason::kYielded;
enum class WorkerState : uint8_t { kUp = 1, kSuspect, kAway, kDraining, kDrained, kLost };
enum class JobState : uint8_t { kOpen = 1, kRunning, kDone, kFailed, kCancelled };

// Half-open; {0, 0} is the whole object.
struct PartRange {
  uint32_t lo = 0;
  uint32_t hi = 0;
  bool whole() const { return hi == 0; }
  auto operator<=>(const PartRange&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const PartRange& r) {
    return H::combine(std::move(h), r.lo, r.hi);
  }
};

struct Replica {
  ObjectVersion id;
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
  bool operator==(const Replica&) const = default;
};

struct InputObject {
  ObjectVersion id;
  uint64_t size_bytes = 0;                                      // of the whole object
  std::array<WorkerId, limits::kHoldersPerInput> holders = {};  // ends at the first none
  bool operator==(const InputObject&) const = default;
};

// One input of a task: objects [first, first + count) of Assignment::objects, the same parts of
// each.
struct InputEdge {
  uint32_t slot = 0;  // of the body
  uint32_t first = 0;
  uint32_t count = 0;
  PartRange parts;
  bool operator==(const InputEdge&) const = default;
};

// For Assignment::next_use: nobody will read them; nobody has looked.
inline constexpr uint64_t kNoUse = ~uint64_t{0}, kUnknownUse = kNoUse - 1;

struct Assignment {
  AttemptRef attempt;
  uint32_t body = 0;  // of the job
  Resources need;
  int32_t priority = 0;             // larger first
  uint64_t order = 0;               // ties: smaller first
  uint64_t next_use = kUnknownUse;  // `order` of the first task that reads its outputs
  uint64_t time_limit_ns = 0;       // 0: none
  Ordinal first_output = 0;         // object ordinals in the task's job
  uint32_t output_count = 0;
  std::vector<InputEdge> edges;
  std::vector<InputObject> objects;
};

struct OutputInfo {
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
  // Not made, but delegated: it is this object of what the attempt submitted.
  Ordinal delegated = kNoOrdinal;
  bool operator==(const OutputInfo&) const = default;
};

// Nearly every task has one: that lies in place, and costs no allocation on its way.
using Outputs = absl::InlinedVector<OutputInfo, 1>;

struct BadHolder {
  ObjectVersion id;
  WorkerId worker;
  bool missing = false;  // it answered that it has no such replica; else it could not be reached
  bool operator==(const BadHolder&) const = default;
};

// An object that a worker was told to gather, and could not have of any holder named.
struct GatherFailure {
  ObjectVersion object;
  std::vector<BadHolder> bad_holders;
  bool operator==(const GatherFailure&) const = default;
};

// How an attempt ended. `sequence` counts 1, 2, 3 ... in an incarnation of a worker.
struct Outcome {
  uint64_t sequence = 0;
  AttemptRef attempt;
  AttemptEnd end = AttemptEnd::kFinished;
  FailureClass failure = FailureClass::kNone;
  int32_t exit_code = 0;
  std::string message;
  std::string exception;  // of a Python function, pickled; empty: none, or too large
  uint64_t run_ns = 0;    // 0: never started
  uint64_t fetched_bytes = 0;
  Ordinal first_output = 0;  // of the assignment: names the outputs of a job that was forgotten
  Outputs outputs;
  uint32_t submitted = 0;  // batches that it submitted; they came before
  std::vector<BadHolder> bad_holders;
};

struct Inventory {
  std::vector<Replica> replicas;
  std::vector<AttemptRef> assigned;  // fetching or queued
  std::vector<AttemptRef> running;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_SESSION_H_
