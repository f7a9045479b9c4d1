// What the scheduler core asks of its shell. Actions are carried out in order; those to one stream
// are delivered in order or not at all.
#ifndef TASKD_SCHEDULER_CORE_ACTIONS_H_
#define TASKD_SCHEDULER_CORE_ACTIONS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/base/session.h"
#include "scheduler/core/events.h"

namespace taskd::scheduler {

namespace action {

struct Welcome {
  StreamId stream = 0;
  WorkerId worker;
};
// The stream is to be closed after this message.
struct Refuse {
  StreamId stream = 0;
  std::string reason;
};
// A newer stream of the same worker took its place.
struct CloseStream {
  StreamId stream = 0;
};
struct Assign {
  StreamId stream = 0;
  Assignment assignment;
};
struct Retract {
  StreamId stream = 0;
  AttemptRef attempt;
};
struct Cancel {
  StreamId stream = 0;
  AttemptRef attempt;
};
struct Free {
  StreamId stream = 0;
  ObjectVersion object;
};
struct AckOutcomes {
  StreamId stream = 0;
  uint64_t sequence = 0;  // cumulative
};
struct Drain {
  StreamId stream = 0;
};
// It is drained, and may stop.
struct Retire {
  StreamId stream = 0;
};
// Fetch the object and keep it; answered by replicas_added or gathers_failed.
struct Gather {
  StreamId stream = 0;
  InputObject object;
};
// What the attempt awaits is there, or never will be: it has its resources again.
struct Resume {
  StreamId stream = 0;
  AttemptRef attempt;
};

// An answer to a client. `code` is a gRPC status code, 0 for accepted.
struct Reply {
  Token token = 0;
  uint32_t code = 0;
  std::string message;
  JobId job = 0;
  uint32_t next_batch = 0;
};
// Counters or state of the job changed; at most once a job in a step.
struct JobChanged {
  JobId job = 0;
};
// The job's records are gone; a compact one answers GetJob for a while.
struct JobForgotten {
  JobId job = 0;
};
// An object that some client wants came to exist, or never will (its task failed or was cancelled).
struct ObjectChanged {
  ObjectId object;
};

enum class RecordKind : uint8_t {
  kOpenJob = 1,
  kBatch,
  kSeal,
  kFinish,
  kFinalFailure,
  kCancelJob,
  kRetry,
  kForget,
  kCancelTasks,
  kRetryTasks,
  kPublishDataset,
  kDropDataset,
  kStart,  // by the shell, before all others of a start: `number` is Config::start_count
  kSubmit,
  kDiscard
};
// One journal record. A client's Reply needs every record before it, and so does AckOutcomes: what
// a worker has let go of is not asked for again. See SchedulerCore::Restore.
struct Journal {
  RecordKind kind = RecordKind::kOpenJob;
  JobId job = 0;
  uint32_t number = 0;  // batch number, task ordinal: by kind
  AttemptId attempt = 0;
  FailureClass failure = FailureClass::kNone;
  Outputs outputs = {};  // kFinish
  std::vector<OrdinalRange> tasks =
      {};  // kCancelTasks, kRetryTasks; there `number` is 1 for cancelled ones too
  std::vector<uint16_t> kept = {};  // kFinish of a rebuild: outputs that keep their older version
  Ordinal culprit = kNoOrdinal;     // kFinalFailure
  int32_t exit_code = 0;            // likewise
  std::string message = {};         // likewise
  std::string exception = {};       // likewise; see Outcome
  Token token = 0;  // of the request that it records: the shell stores that request with it
};

}  // namespace action

using Action =
    std::variant<action::Welcome, action::Refuse, action::CloseStream, action::Assign,
                 action::Retract, action::Cancel, action::Free, action::AckOutcomes, action::Drain,
                 action::Retire, action::Gather, action::Resume, action::Reply, action::JobChanged,
                 action::JobForgotten, action::ObjectChanged, action::Journal>;

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_ACTIONS_H_
