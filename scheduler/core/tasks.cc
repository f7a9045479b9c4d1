// The states of a task: waiting <-> ready -> active -> done, failed or cancelled; done -> waiting
// to rebuild what was lost.
#include <algorithm>
#include <utility>

#include "common/base/muldiv.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

void State::SetTaskState(Job& job, TaskRec& task, TaskState state) {
  const TaskState before = task.state;
  --counters.tasks[static_cast<size_t>(task.state)];
  if (HalvesLeft(task.state) != HalvesLeft(state)) {
    const uint64_t told_us = ToldCpuUs(job, task);
    Family& family = *job.family;
    family.SetLeft(family.left_cpu_us + told_us * HalvesLeft(state) / 2 -
                   told_us * HalvesLeft(task.state) / 2);
  }
  task.state = state;
  ++counters.tasks[static_cast<size_t>(state)];
  CountIn(job, [&](Progress& p) {
    --p.counts[static_cast<size_t>(before)];
    ++p.counts[static_cast<size_t>(state)];
  });
  Changed(job);
}

void State::LinkInputs(Job& job, const TaskRec& task) {
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    EdgeRec& edge = job.edges[e];
    uint32_t& head = edge.source & kCollectionBit
                         ? job.collections[edge.source & ~kCollectionBit].consumers
                         : job.objects[edge.source].consumers;
    edge.next = head;
    head = e;
  }
}

void State::StartTask(Job& job, Ordinal ordinal, Start start) {
  TaskRec& task = job.tasks[ordinal];
  if (start == Start::kFirst) LinkInputs(job, task);
  if (task.state != TaskState::kWaiting || !task.starting) return;
  // Cancelled and put back since this item was made: the other item starts it.
  if ((start == Start::kAgain) != (task.again != Again::kNo)) return;
  if (job.cancelled) return CancelTask(job, ordinal);
  task.starting = false;
  task.missing = task.away = 0;
  uint32_t dead = kNil;
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    const EdgeRec& edge = job.edges[e];
    if (start != Start::kAgain) AcquireSource(job, edge.source);
    if (!(edge.source & kCollectionBit)) MakeIfWanted(job, edge.source);
    Presence presence = SourcePresence(job, edge.source);
    if (presence == Presence::kAway) ++task.away;
    if (presence == Presence::kMissing || presence == Presence::kDead) ++task.missing;
    if (presence == Presence::kDead && dead == kNil) dead = edge.source;
  }
  budget -= task.edge_count;
  if (dead != kNil && !Postpone(job, ordinal)) return EndByInput(job, ordinal, dead);
  Settle(job, ordinal);
}

void State::Settle(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  bool ready = task.missing == 0 && task.away == 0;
  if (ready && task.state == TaskState::kWaiting) {
    // What it was submitted in place of had crashed so often.
    if (task.crashes > 0 && task.tries == 0 && task.crashes >= CrashLimit(job, task))
      return FailByCrashes(job, ordinal, {});
    SetTaskState(job, task, TaskState::kReady);
    task.ready_ns = now_ns;
    PushReady(job, ordinal);
  } else if (!ready && task.state == TaskState::kReady) {
    if (task.position != kNotInHeap) PopReady(job, ordinal);
    task.backoff = false;
    SetTaskState(job, task, TaskState::kWaiting);
  }
  if (!ready && task.missing == 0 && task.state == TaskState::kWaiting)
    DemandAwayInputs(job, ordinal);
}

void State::InputChanged(Job& job, Ordinal ordinal, uint32_t source, Presence before,
                         Presence after) {
  TaskRec& task = job.tasks[ordinal];
  if (task.starting) return;
  if (Ended(task.state)) {
    // See EndedCare.
    if (after == Presence::kDead || (before == Presence::kMissing && !restoring)) return;
    if (before == Presence::kDead && task.culprit == ordinal) FollowDelegated(job, ordinal, source);
    FollowCulprit(job, ordinal);
    return;
  }
  auto count = [&task](Presence presence, int32_t by) {
    if (presence == Presence::kAway) task.away += by;
    if (presence == Presence::kMissing || presence == Presence::kDead) task.missing += by;
  };
  count(before, -1);
  count(after, +1);
  // An active task may have its copy already; if not, its attempt ends stuck and Requeue looks
  // again.
  if (task.state == TaskState::kActive) return;
  if (after == Presence::kDead && !Postpone(job, ordinal)) return EndByInput(job, ordinal, source);
  Settle(job, ordinal);
}

void State::DemandAwayInputs(Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  auto demand = [&](Job& owner, Ordinal input) {
    const ObjectId id{owner.id, input};
    if (Actual(owner, owner.objects[input]) == Presence::kAway && IsPastRerun(id)) MakeAgain(id);
  };
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      demand(job, source);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    if (c.presence != Presence::kAway) continue;
    Job& owner = *MembersOf(job, c);
    for (uint32_t i = 0; i < c.count; ++i) demand(owner, c.first + i * c.stride);
    budget -= c.count;
  }
}

void State::RunAgain(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kDone || job.forgetting) return;
  if (job.cancelled) return CancelTask(job, ordinal);
  SetTaskState(job, task, TaskState::kWaiting);
  task.starting = true;
  Reopen(job);
  task.again = Again::kAsked;
  DropImpure(job, task);
  JoinRecovery(task);
  // Its inputs are wanted from now on; what of them is gone is asked for when the item comes, not
  // from here: a chain of a million tasks is no recursion.
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e)
    AcquireSource(job, job.edges[e].source);
  budget -= task.edge_count;
  for (uint32_t i = 0; i < task.output_count; ++i)
    PresenceMayHaveChanged(job, task.first_output + i);
  Enqueue({.kind = WorkKind::kRestartTask, .job = job.id, .index = ordinal});
}

// What is left of an impure task does not go with what its new run will make.
void State::DropImpure(Job& job, const TaskRec& task) {
  if (!job.options[task.option].impure) return;
  for (uint32_t i = 0; i < task.output_count; ++i) {
    ObjectRec& object = job.objects[task.first_output + i];
    if (object.alias) {
      EndAlias(job, task.first_output + i);
    } else {
      DropReplicas(job, {job.id, task.first_output + i});
      object.freed = true;
    }
  }
}

// It had ended, and has something to do again.
void State::Reopen(Job& job) {
  if (!job.ended) return;
  job.ended = false;
  if (!job.is_root()) {
    ++job.family->open_children;
    return Reopen(RootOf(job));
  }
  --counters.jobs_ended;
  ++counters.jobs_open;
  Reclassify(job);
}

// A rebuild is called off when its holder came back or nobody wants the result any more.
void State::CheckStillNeeded(Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  if (task.again == Again::kNo) return;
  for (uint32_t i = 0; i < task.output_count; ++i) {
    const ObjectRec& object = job.objects[task.first_output + i];
    // What records have made is there until its holders have had time to come.
    const bool there = object.usable > 0 || object.alias || (restoring && object.unclaimed);
    if (!there && Wanted(job, object)) return;
  }
  EndTask(job, ordinal, TaskState::kDone);
}

void State::ReleaseInputs(Job& job, const TaskRec& task) {
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e)
    ReleaseSource(job, job.edges[e].source);
  budget -= task.edge_count;
}

void State::EndTask(Job& job, Ordinal ordinal, TaskState state) {
  TaskRec& task = job.tasks[ordinal];
  if (task.position != kNotInHeap) PopReady(job, ordinal);
  task.backoff = false;
  bool acquired = (!task.starting || task.again != Again::kNo) && !Ended(task.state);
  task.starting = false;
  SetTaskState(job, task, state);
  if (acquired) ReleaseInputs(job, task);
  task.again = Again::kNo;
  LeaveRecovery(task);
  CancelAttempts(task);
  for (uint32_t i = 0; i < task.output_count; ++i)
    PresenceMayHaveChanged(job, task.first_output + i);
  CheckJobEnd(job);
}

void State::FinishTask(Job& job, Ordinal ordinal, const AttemptRec& attempt, Outcome& outcome) {
  TaskRec& task = job.tasks[ordinal];
  Worker& worker = *workers[attempt.worker.slot];
  task.run_us = static_cast<uint32_t>(std::min<uint64_t>(outcome.run_ns / 1000, 0xFFFFFFFFu));
  task.stuck = 0;
  task.doubts = 0;
  worker.blamed -= worker.blamed > 0;
  if (task.retries > 0 && task.avoid != kNoSlot && task.avoid != worker.id.slot) Blame(task.avoid);
  task.avoid = kNoSlot;
  task.last_worker = attempt.worker;
  task.last_attempt = attempt.id;
  GroupRec& group = job.groups[task.group];
  group.average_ns = Learned(group.average_ns, outcome.run_ns);
  if (uint64_t told = job.options[task.option].expect_ns; told != 0) {
    group.told_ppm =
        Learned(group.told_ppm, MulDivAtMost(outcome.run_ns, 1'000'000, told, limits::kToldPpmMax));
  }
  LearnBytes(job, task, outcome);
  std::vector<uint16_t> kept;
  for (uint16_t i = 0; i < task.output_count; ++i) {
    ObjectId id{job.id, task.first_output + i};
    ObjectRec& object = job.objects[id.ordinal];
    if (outcome.outputs[i].delegated != kNoOrdinal) {
      if (!Delegate(job, id.ordinal, attempt.id, outcome.outputs[i].delegated)) kept.push_back(i);
      continue;
    }
    // Bodies are deterministic: a replica that is there is as good as the new one.
    if (object.usable > 0 || object.alias || (object.version != 0 && !Wanted(job, object))) {
      Emit(action::Free{worker.stream, {id, attempt.id}});
      kept.push_back(i);
      continue;
    }
    // An unacked outcome follows the whole inventory: what that did not list was lost meanwhile.
    bool gone = worker.reconciling && !worker.listed.contains({id, attempt.id});
    if (gone && object.version != 0) {
      kept.push_back(i);
      continue;
    }
    DropReplicas(job, id);
    object.unclaimed = object.freed = false;
    object.version = attempt.id;
    object.size_bytes = outcome.outputs[i].size_bytes;
    job.largest_bytes = std::max(job.largest_bytes, object.size_bytes);
    object.crc32c = outcome.outputs[i].crc32c;
    if (!gone) AddReplica(worker, id, worker.connected());
  }
  ++worker.finished;
  auto& record = EmitNew<action::Journal>();
  record.kind = action::RecordKind::kFinish;
  record.job = job.id;
  record.number = ordinal;
  record.attempt = attempt.id;
  record.outputs = std::move(outcome.outputs);
  record.kept = std::move(kept);
  EndTask(job, ordinal, TaskState::kDone);
  for (uint32_t i = 0; i < task.output_count; ++i) {
    FreeIfUnwanted(job, task.first_output + i);
    MakeIfWanted(job, task.first_output + i);
  }
}

// Culprits with text, as many as are shown.
void State::KeepFailure(Job& job, FailureView failure) {
  if (!job.is_root() && IsCounted(job)) {
    Job& root = RootOf(job);
    if (root.failures.size() < limits::kFailuresKept) root.failures.push_back(failure);
  }
  if (job.failures.size() < limits::kFailuresKept) job.failures.push_back(std::move(failure));
}

void State::DropFailure(Job& job, Ordinal ordinal) {
  const TaskId task{job.id, ordinal};
  for (Job* of : {&job, &RootOf(job)})
    std::erase_if(of->failures, [&](const FailureView& f) { return f.task == task; });
}

void State::FailTask(Job& job, Ordinal ordinal, FailureClass failure, Ordinal culprit) {
  TaskRec& task = job.tasks[ordinal];
  task.failure = failure;
  task.culprit = culprit;
  action::Journal record{.kind = action::RecordKind::kFinalFailure,
                         .job = job.id,
                         .number = ordinal,
                         .attempt = task.last_attempt,
                         .failure = failure,
                         .culprit = culprit};
  if (!job.failures.empty() && job.failures.back().task == TaskId{job.id, ordinal}) {
    record.exit_code = job.failures.back().exit_code;
    record.message = job.failures.back().message;
    record.exception = job.failures.back().exception;
  }
  Emit(std::move(record));
  EndTask(job, ordinal, TaskState::kFailed);
}

void State::EndByInput(Job& job, Ordinal ordinal, uint32_t source) {
  const Ordinal culprit = CulpritFor(job, ordinal, source);
  if (culprit == ordinal) KeepFailure(job, ImportFailure(job, ordinal, source));
  if (job.tasks[culprit].state != TaskState::kCancelled)
    return FailTask(job, ordinal, FailureClass::kInputFailed, culprit);
  job.tasks[ordinal].culprit = culprit;
  EndTask(job, ordinal, TaskState::kCancelled);
}

void State::CancelTask(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.state == TaskState::kFailed || task.state == TaskState::kCancelled) return;
  if (task.state == TaskState::kDone) {
    // Only when it would have to run again in a cancelled job: nobody will make its outputs. What is
    // away may come back.
    bool lost = false;
    for (uint32_t i = 0; i < task.output_count; ++i) {
      const ObjectRec& object = job.objects[task.first_output + i];
      lost |= !object.alias && Actual(job, object) == Presence::kMissing && Wanted(job, object);
    }
    if (!lost) return;
  }
  EndTask(job, ordinal, TaskState::kCancelled);
}

void State::StartRecovery(uint64_t lost_ns) {
  auto previous = recoveries.find(last_recovery);
  if (previous != recoveries.end() && previous->second.outstanding == 0) recoveries.erase(previous);
  do {
    ++last_recovery;
  } while (last_recovery == 0 || recoveries.contains(last_recovery));
  recoveries[last_recovery] = {lost_ns, 0};
}

void State::JoinRecovery(TaskRec& task) {
  auto it = recoveries.find(last_recovery);
  if (task.recovery != 0 || it == recoveries.end()) return;
  task.recovery = last_recovery;
  ++it->second.outstanding;
}

void State::LeaveRecovery(TaskRec& task) {
  if (task.recovery == 0) return;
  auto it = recoveries.find(task.recovery);
  task.recovery = 0;
  TASKD_CHECK(it != recoveries.end());
  if (--it->second.outstanding > 0) return;
  uint64_t took = now_ns - it->second.lost_ns;
  ++counters.recoveries;
  counters.recovery_ns_total += took;
  counters.recovery.Add(took);
  recoveries.erase(it);
}

}  // namespace taskd::scheduler
