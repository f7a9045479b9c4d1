// What may happen to the worker core.
#ifndef TASKD_WORKER_CORE_EVENTS_H_
#define TASKD_WORKER_CORE_EVENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/base/session.h"

namespace taskd::worker {

using SessionId = uint64_t;  // the shell's number of a stream to the scheduler; never reused, grows
using FetchId = uint64_t;    // the core's number of a fetch request; never reused
using SpillId = uint64_t;    // likewise of objects that go to disk together

// Bytes that a worker may have: a whole replica, or only some parts of one.
struct LocalKey {
  ObjectVersion id;
  PartRange parts;
  auto operator<=>(const LocalKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const LocalKey& k) {
    return H::combine(std::move(h), k.id, k.parts);
  }
};

// Bytes of small objects that came with a message. The shell's: the core hands them on unseen.
class Values;
using ValuesRef = std::shared_ptr<const Values>;

// What the store has taken in.
struct StoredOutput : OutputInfo {
  bool on_disk = false;  // there was no room in memory
};

enum class FetchStatus : uint8_t { kOk = 0, kMissing, kBusy, kIoError, kUnreachable };

namespace event {

// The scheduler welcomed us on a new stream. `other_cluster`: it is not the scheduler that we
// served before, so running attempts end and the store is emptied. The core answers with its
// inventory.
struct SessionUp {
  SessionId session = 0;
  WorkerId worker;
  bool other_cluster = false;
};
struct SessionDown {
  SessionId session = 0;
};

// From the scheduler. Those of an older session are ignored.
struct Assign {
  SessionId session = 0;
  Assignment assignment;
  ValuesRef values = {};
  std::vector<uint32_t> valued = {};  // of which of assignment.objects; ascending
};
struct Retract {
  SessionId session = 0;
  AttemptRef attempt;
};
struct Cancel {
  SessionId session = 0;
  AttemptRef attempt;
};
struct Free {
  SessionId session = 0;
  ObjectVersion object;
};
// Fetch the whole object and keep it as a replica. Answered by SendReplicaAdded or SendGatherFailed; a
// Free calls it off.
struct Gather {
  SessionId session = 0;
  InputObject object;
  ValuesRef values = {};  // not null: it came along
};
struct AckOutcomes {
  SessionId session = 0;
  uint64_t sequence = 0;
};

// From the data plane: how each item of a fetch ended, in the order of action::StartFetch. From the store: likewise
// of action::PutValues.
struct FetchDone {
  struct Item {
    FetchStatus status = FetchStatus::kOk;
    uint64_t size_bytes = 0;
    uint32_t crc32c = 0;
    bool on_disk = false;
  };
  FetchId fetch = 0;
  std::vector<Item> items;
};

// From an executor: the body ended and is reaped. With kFinished those of its outputs that it did not
// delegate are in the store as versions of this attempt; else nothing of it is.
struct ExecDone {
  AttemptRef attempt;
  // kFinished, kFailed, kCancelled (it was killed on our order) or kStuck (an input was lost: see
  // ReplicaLost).
  AttemptEnd end = AttemptEnd::kFinished;
  FailureClass failure = FailureClass::kNone;
  int32_t exit_code = 0;
  std::string message;
  std::string exception;  // see Outcome
  uint64_t run_ns = 0;
  std::vector<StoredOutput> outputs;
};

// From an executor: the body submits its next batch, which the shell keeps until ReleaseSubmission.
// An early one is answered by SubmitAnswered before it
// submits another; what it submits is either all early or all held.
struct ExecSubmit {
  AttemptRef attempt;
  bool early = false;
};
// From an executor: the body waits for these objects, and does nothing until ResumeExec.
struct ExecYield {
  AttemptRef attempt;
  std::vector<ObjectId> awaits;
};
// From the scheduler: an early batch was taken, or refused for good.
struct SubmitAnswered {
  SessionId session = 0;
  AttemptRef attempt;
  uint32_t number = 0;
  bool taken = false;
};
// From the scheduler: what the attempt awaits is there, or never will be.
struct Resume {
  SessionId session = 0;
  AttemptRef attempt;
};

// From the store: how each item of action::Spill ended, in its order.
struct Spilled {
  enum class Result : uint8_t {
    kOnDisk = 0,
    kFailed,  // the disk has no room, or cannot be written: it is in memory as before
    kGone     // it was not there: dropped or lost meanwhile
  };
  SpillId spill = 0;
  std::vector<Result> results;
};

// From the store: a replica vanished or is damaged.
struct ReplicaLost {
  ObjectVersion object;
};
// The daemon stops: kill what runs, start nothing. When idle the core says action::Stopped.
struct Shutdown {};

}  // namespace event

using Event =
    std::variant<event::SessionUp, event::SessionDown, event::Assign, event::Retract, event::Cancel,
                 event::Free, event::Gather, event::AckOutcomes, event::FetchDone, event::ExecDone,
                 event::ExecSubmit, event::ExecYield, event::SubmitAnswered, event::Resume,
                 event::ReplicaLost, event::Spilled, event::Shutdown>;

}  // namespace taskd::worker

#endif  // TASKD_WORKER_CORE_EVENTS_H_
