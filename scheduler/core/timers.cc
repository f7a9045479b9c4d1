// What is due. A timer is not taken back when its reason goes: it names what it was set for, and finds
// that changed.
#include "scheduler/core/state.h"

namespace taskd::scheduler {

void State::RunTimers() {
  using Next = TimerWheel<Timer>::Next;
  while (budget > 0) {
    const Next next = timers.Advance(now_ns);
    if (next == Next::kNothing) return;
    --budget;
    if (next == Next::kDue) RunTimer(timers.Take());
  }
}

void State::RunTimer(const Timer& timer) {
  switch (timer.kind) {
    case TimerKind::kClientLease:
      return EndLease(timer.a, timer.b);
    case TimerKind::kForgetJob:
      return ExpireJob(static_cast<JobId>(timer.a));
    case TimerKind::kBackoff:
      if (Job* job = FindJob(static_cast<JobId>(timer.a)))
        EndBackoff(*job, static_cast<Ordinal>(timer.b));
      return;
    case TimerKind::kStraggler:
      if (Job* job = FindJob(static_cast<JobId>(timer.a)))
        CheckStraggler(*job, static_cast<Ordinal>(timer.b));
      return;
    case TimerKind::kHold:
      return;  // the step that it causes is all
    case TimerKind::kGrace:
      Enqueue({.kind = WorkKind::kEndGrace, .job = 1});
      return CheckAllNamed();
    case TimerKind::kCopy:
      return RetryCopy(timer.a, static_cast<uint8_t>(timer.b));
    case TimerKind::kQuarantine:
      return EndQuarantine(static_cast<uint16_t>(timer.a), timer.b);
    case TimerKind::kLookAhead:
      if (Worker* worker = WorkerAt(static_cast<uint16_t>(timer.a))) MarkDirty(*worker);
      return;
    case TimerKind::kRefused:
    case TimerKind::kRerun:
    case TimerKind::kForget:
    case TimerKind::kSilent:
      break;
  }
  Worker* worker = WorkerAt(static_cast<uint16_t>(timer.a));
  if (worker != nullptr && worker->epoch == timer.b && !worker->leaving)
    RunWorkerTimer(*worker, timer);
}

void State::RunWorkerTimer(Worker& worker, const Timer& timer) {
  if (timer.kind == TimerKind::kRefused) {
    MarkDirty(worker);
  } else if (timer.kind == TimerKind::kRerun) {
    if (worker.state == WorkerState::kSuspect) BecomeAway(worker, LossCause::kClosed);
  } else if (timer.kind == TimerKind::kForget) {
    Forget(worker);
  } else if (now_ns - worker.last_heard_ns < config.silent_ns) {
    Arm(TimerKind::kSilent, worker.last_heard_ns + config.silent_ns, timer.a, timer.b);
  } else if (worker.connected()) {
    LoseConnection(worker);
    BecomeAway(worker, LossCause::kSilent);
  } else {
    // Silent in the middle of its return.
    Emit(action::CloseStream{worker.stream});
    event::WorkerClosed closed{worker.stream};
    On(closed);
  }
}

void State::EndBackoff(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kReady || !task.backoff || task.ready_ns > now_ns) return;
  task.backoff = false;
  PushReady(job, ordinal);
}

}  // namespace taskd::scheduler
