// Tasks that may kill their workers run alone: on a worker that has nothing else, so that a loss
// tells who did it, and takes nobody along.
//
// A task is a suspect when two workers were lost that had it in a slot and had not said whether it
// ran, or when one more loss would be its last. It waits in no queue but in a set of its own. A
// worker without attempts takes it; when none is, one that comes by for work is emptied.
#include <algorithm>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

uint32_t State::CrashLimit(const Job& job, const TaskRec& task) const {
  const Batch::Options& options = job.options[task.option];
  if ((options.retry_on & Batch::kRetryLost) == 0) return 1;
  return options.crash_limit == 0 ? limits::kDefaultCrashLimit : options.crash_limit;
}

bool State::IsSuspect(const Job& job, const TaskRec& task) const {
  return task.doubts >= limits::kDoubtsKept ||
         (task.crashes > 0 && task.crashes + 1u >= CrashLimit(job, task));
}

void State::FailByCrashes(Job& job, Ordinal ordinal, WorkerId last) {
  const TaskRec& task = job.tasks[ordinal];
  KeepFailure(job, {{job.id, ordinal},
                    task.last_attempt,
                    FailureClass::kCrashLimit,
                    0,
                    last,
                    StrCat(task.crashes,
                           " workers were lost while it ran; raise its crash limit if they were "
                           "lost for another reason")});
  FailTask(job, ordinal, FailureClass::kCrashLimit, ordinal);
}

void State::PushSuspect(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  task.position = kInSuspects;
  suspects.insert({job.id, ordinal});
  Worker* best = nullptr;
  VisitHungry(limits::kCandidates, [&](Worker& worker) {
    if (FitsIdle(worker, task.shape) && (best == nullptr || worker.attempts < best->attempts))
      best = &worker;
    return best != nullptr && best->attempts == 0;
  });
  if (best != nullptr) MarkDirty(*best);
}

void State::PopSuspect(Job& job, Ordinal ordinal) {
  suspects.erase({job.id, ordinal});
  job.tasks[ordinal].position = kNotInHeap;
  // One that is kept for nobody goes on with other work.
  if (reserved.size() > suspects.size()) MarkDirty(*workers[*reserved.begin()]);
}

void State::SetReserved(Worker& worker, bool is_reserved) {
  worker.reserved = is_reserved;
  if (!is_reserved) {
    reserved.erase(worker.id.slot);
    return;
  }
  reserved.insert(worker.id.slot);
  RetractAhead(worker);
}

void State::RetractAhead(Worker& worker) {
  for (uint32_t a = worker.first_attempt; a != kNil; a = attempts[a].next) {
    AttemptRec& attempt = attempts[a];
    if (attempt.slotted || attempt.state != AttemptState::kAssigned) continue;
    attempt.state = AttemptState::kRetracting;
    ++counters.retracts_sent;
    --budget;
    Emit(action::Retract{worker.stream, {{attempt.job, attempt.task}, attempt.id}});
  }
}

// True: it was given a suspect. Afterwards it takes other work unless it is `alone` or `reserved`.
bool State::TakeSuspect(Worker& worker) {
  if (worker.alone) return false;
  const TaskId* fitting = nullptr;
  uint32_t looked = 0;
  for (auto it = suspects.begin(); it != suspects.end() && looked < limits::kCandidates;
       ++it, ++looked) {
    const TaskRec& task = jobs[it->job]->tasks[it->ordinal];
    if (!FitsIdle(worker, task.shape) || jobs[it->job]->family->share.at_limit()) continue;
    fitting = &*it;
    break;
  }
  if (fitting == nullptr) {
    if (worker.reserved) SetReserved(worker, false);
    return false;
  }
  TaskId id = *fitting;
  Job& job = *jobs[id.job];
  if (worker.attempts > worker.yielded) {
    uint64_t most = std::max<uint64_t>(
        counters.workers[static_cast<size_t>(WorkerState::kUp)] / limits::kReservedShare, 1);
    if (!worker.reserved && reserved.size() < std::min<uint64_t>(most, suspects.size()))
      SetReserved(worker, true);
    return false;
  }
  if (!CanRun(worker, job.tasks[id.ordinal].shape)) return false;  // refused it, or a pool is empty
  if (worker.reserved) SetReserved(worker, false);
  PopSuspect(job, id.ordinal);
  worker.alone = true;
  if (worker.home_tasks > 0) Enqueue({.kind = WorkKind::kWorkerRehome, .job = worker.id.slot});
  Assign(worker, job, id.ordinal, true, AssignReason::kAlone);
  return true;
}

}  // namespace taskd::scheduler
