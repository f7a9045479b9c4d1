// What was *put*: bytes that a client, or a running task, left at a worker. A task stands for them, whose shape names that
// worker: its attempt there makes them its output, takes no resources, and goes there whatever the worker does besides
// (it may be drained, or in quarantine). No other worker can, and once the worker has given them away it cannot either: then
// the attempt fails. So what was put is lost with its last replica, as its lineage ends there.
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint64_t kAwayNs = 100'000'000;  // while its worker is away; it is lost or back soon
}

// From where a task may not fail or be assigned yet: later. It waits as if it were backing off.
void State::AskForPut(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  task.backoff = true;
  task.ready_ns = now_ns;
  Enqueue({.kind = WorkKind::kTakePut, .job = job.id, .index = ordinal});
}

void State::TakePut(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kReady || !task.backoff || job.cancelled)
    return;  // or is about to be
  Worker* worker = nullptr;
  VisitNamed(shapes[task.shape].spec, [&](Worker& named) {
    const bool gone = named.leaving || named.state == WorkerState::kDrained;
    worker = gone ? nullptr : &named;
    return !gone;
  });
  // After a restart it has yet to come.
  if (worker == nullptr && !restoring && now_ns >= grace_until_ns) {
    KeepFailure(
        job, {.task = {job.id, ordinal},
              .failure = FailureClass::kUnschedulable,
              .message = "the worker that it was put on is gone or drained, and with it the last "
                         "copy: put it again"});
    return FailTask(job, ordinal, FailureClass::kUnschedulable, ordinal);
  }
  // An attempt that is out of reach may have made it.
  if (worker == nullptr || !worker->connected() || task.attempts != kNil ||
      now_ns < hold_until_ns) {
    task.ready_ns = now_ns + kAwayNs;
    return Arm(TimerKind::kBackoff, task.ready_ns, job.id, ordinal);
  }
  task.backoff = false;
  Assign(*worker, job, ordinal, true, AssignReason::kHome);
}

}  // namespace taskd::scheduler
