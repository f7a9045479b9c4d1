// Second attempts: a task that runs much longer than others of its group gets one elsewhere, when it
// asked for that and somebody idles. The first accepted finish wins.
#include <algorithm>

#include "common/base/muldiv.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
bool HasUsable(const State& state, const Job& job, Ordinal ordinal) {
  const ObjectRec* behind = state.FindObject(state.Behind(job, ordinal));
  return behind != nullptr && behind->usable > 0;
}

// Asked in the midst of events: the task's own counts may not have been told yet.
bool HasInputs(const State& state, const Job& job, const TaskRec& task) {
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      if (!HasUsable(state, job, source)) return false;
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    const Job* owner = state.MembersOf(job, c);
    if (owner == nullptr) return false;
    for (uint32_t i = 0; i < c.count; ++i) {
      if (!HasUsable(state, *owner, c.first + i * c.stride)) return false;
    }
  }
  return true;
}
}  // namespace

// When the attempt is late. While nothing is known of its group, that is asked again after a while.
uint64_t State::LateNs(const AttemptRec& attempt) const {
  const Job& job = *jobs[attempt.job];
  const TaskRec& task = job.tasks[attempt.task];
  uint64_t expected = ExpectedNs(job, task);
  if (expected == 0) return now_ns + config.straggler_ns;
  uint64_t patience = MulDiv(expected, job.options[task.option].straggler_milli, 1000);
  return attempt.started_ns + std::max(patience, config.straggler_ns);
}

void State::WatchStraggler(const AttemptRec& attempt) {
  const Job& job = *jobs[attempt.job];
  if (job.options[job.tasks[attempt.task].option].straggler_milli == 0) return;
  Arm(TimerKind::kStraggler, LateNs(attempt), attempt.job, attempt.task);
}

void State::CheckStraggler(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  uint32_t only = task.attempts;
  // One attempt, and it runs: whatever else there is will be watched when it starts.
  if (task.state != TaskState::kActive || only == kNil || attempts[only].next_of_task != kNil ||
      attempts[only].state != AttemptState::kRunning || attempts[only].orphaned) {
    return;
  }
  const AttemptRec& attempt = attempts[only];
  if (LateNs(attempt) > now_ns) return WatchStraggler(attempt);
  Worker* idle = nullptr;
  VisitHungry(limits::kCandidates, [&](Worker& worker) {
    if (worker.id != attempt.worker && worker.up() && CanRun(worker, task.shape)) idle = &worker;
    return idle != nullptr;
  });
  // Only what nobody else needs is spent on it, and no more than its job may have. An input that is
  // gone meanwhile may come back.
  if (idle == nullptr || !HasInputs(*this, job, task) || job.family->share.at_limit()) {
    Arm(TimerKind::kStraggler, now_ns + config.straggler_ns, job.id, ordinal);
    return;
  }
  SetHungry(*idle, false);
  Assign(*idle, job, ordinal, true, AssignReason::kSecond);
  MarkDirty(*idle);
}

}  // namespace taskd::scheduler
