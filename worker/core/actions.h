// What the worker core asks of its shell. Actions are carried out in order.
#ifndef TASKD_WORKER_CORE_ACTIONS_H_
#define TASKD_WORKER_CORE_ACTIONS_H_

#include <cstdint>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "common/base/ids.h"
#include "common/base/session.h"
#include "worker/core/events.h"
#include "worker/core/units.h"

namespace taskd::worker {

namespace action {

// To the scheduler, on the session named. A message for a session that is gone is dropped by the
// shell.
struct SendInventory {
  SessionId session = 0;
  Inventory chunk;
};
// After the inventory and the unacked outcomes.
struct SendInventoryDone {
  SessionId session = 0;
};
struct SendStarted {
  SessionId session = 0;
  AttemptRef attempt;
};
struct SendOutcome {
  SessionId session = 0;
  Outcome outcome;
};
// With the batch that the shell keeps: the attempt's `number`th.
struct SendSubmit {
  SessionId session = 0;
  AttemptRef attempt;
  uint32_t number = 0;
  bool early = false;
};
struct SendYield {
  SessionId session = 0;
  AttemptRef attempt;
  std::vector<ObjectId> awaits;
};
struct SendReplicaAdded {
  SessionId session = 0;
  Replica replica;
};
struct SendReplicaLost {
  SessionId session = 0;
  ObjectVersion object;
};
struct SendGatherFailed {
  SessionId session = 0;
  GatherFailure failure;
};

// To the data plane: one request to one peer. Answered by event::FetchDone, also after a
// CancelFetch.
struct StartFetch {
  FetchId fetch = 0;
  WorkerId peer;
  std::vector<LocalKey> items;
};
struct CancelFetch {
  FetchId fetch = 0;
};

// To the executors: every input is in the store and stays there until ExecDone. The shell kept the
// body and the arguments that came with the assignment.
struct StartExec {
  AttemptRef attempt;
  std::vector<UnitShare> units;  // of pools, that are its own
};
struct KillExec {
  AttemptRef attempt;
};
// It has its resources again.
struct ResumeExec {
  AttemptRef attempt;
};
// The batches that it submitted are of no use any more. Perhaps long after the attempt has ended: held
// ones stay until its outcome is acknowledged.
struct ReleaseSubmission {
  AttemptRef attempt;
};
// The attempt has ended: its body, arguments and work folder are not needed any more.
struct ReleaseAttempt {
  AttemptRef attempt;
};

// To the store: objects that nobody needs to be asked for. With `values` their bytes came along; answered by
// event::FetchDone, since they may be damaged, or find no room. Without, they have no bytes: that cannot fail, and is
// not answered.
struct PutValues {
  FetchId fetch = 0;
  ValuesRef values;
  absl::InlinedVector<LocalKey, 1> items;
};
// To the store: writes them to disk and gives their memory back. Who reads them goes on undisturbed.
// Answered by event::Spilled.
struct Spill {
  SpillId spill = 0;
  std::vector<LocalKey> items;
};
struct Drop {
  LocalKey key;
};
// Everything of another cluster.
struct DropAll {};

struct Stopped {};

}  // namespace action

using Action =
    std::variant<action::SendInventory, action::SendInventoryDone, action::SendStarted,
                 action::SendOutcome, action::SendReplicaAdded, action::SendReplicaLost,
                 action::SendGatherFailed, action::StartFetch, action::CancelFetch,
                 action::StartExec, action::KillExec, action::ReleaseAttempt, action::SendSubmit,
                 action::SendYield, action::ResumeExec, action::ReleaseSubmission,
                 action::PutValues, action::Spill, action::Drop, action::DropAll, action::Stopped>;

}  // namespace taskd::worker

#endif  // TASKD_WORKER_CORE_ACTIONS_H_
