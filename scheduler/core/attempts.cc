// Attempts: from the assignment to the end that their worker reports, or to the loss of that
// worker.
#include <algorithm>

#include "common/base/mutant.h"
#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint64_t kStuckBackoffNs = 100'000'000;
constexpr size_t kHistoryOfTask = 8;
constexpr uint32_t kPromotionScan = 64;
}  // namespace

bool Batch::Options::RetriedOn(FailureClass failure, int32_t exit_code) const {
  if ((retry_on >> static_cast<uint32_t>(failure) & 1) != 0) return true;
  return failure == FailureClass::kExit &&
         std::find(retry_exit_codes.begin(), retry_exit_codes.end(), exit_code) !=
             retry_exit_codes.end();
}

uint32_t State::FindAttempt(AttemptRef ref) const {
  const Job* job = FindJob(ref.task.job);
  if (job == nullptr || ref.task.ordinal >= job->tasks.size()) return kNil;
  uint32_t a = job->tasks[ref.task.ordinal].attempts;
  while (a != kNil && attempts[a].id != ref.attempt) a = attempts[a].next_of_task;
  return a;
}

void State::SetAhead(const Worker& worker, uint16_t shape, uint32_t ahead) {
  CountIndex& index = ahead_of_shape[shape];
  index.Set(worker.id.slot, ahead);
  if (index.empty() == ahead_shapes.Has(shape)) ahead_shapes.Set(shape, !index.empty());
}

void State::TakeSlot(Worker& worker, AttemptRec& attempt) {
  ShapeLoad& load = Load(worker, attempt.shape);
  worker.used += VariantOf(attempt).need;
  UsePools(VariantOf(attempt));
  ++load.slotted;
  if (load.listed) return;
  load.listed = true;
  auto& running = worker.running_shapes;
  running.insert(std::lower_bound(running.begin(), running.end(), attempt.shape), attempt.shape);
}

void State::LeaveSlot(Worker& worker, AttemptRec& attempt) {
  worker.used -= VariantOf(attempt).need;
  --Load(worker, attempt.shape).slotted;
  ReturnPools(VariantOf(attempt));
}

void State::Charge(Worker& worker, AttemptRec& attempt) {
  if (attempt.slotted) return TakeSlot(worker, attempt);
  ShapeLoad& load = Load(worker, attempt.shape);
  ++worker.ahead;
  load.ahead_ns += attempt.expected_ns;
  ++load.ahead;
  SetAhead(worker, attempt.shape, load.ahead);
}

void State::Uncharge(Worker& worker, AttemptRec& attempt) {
  if (attempt.slotted && attempt.yielded) {
    --worker.yielded;
    return;
  }
  if (attempt.slotted) return LeaveSlot(worker, attempt);
  ShapeLoad& load = Load(worker, attempt.shape);
  --worker.ahead;
  load.ahead_ns -= attempt.expected_ns;
  --load.ahead;
  SetAhead(worker, attempt.shape, load.ahead);
}

// The worker starts look-ahead by itself when something ends; this keeps our picture of its free
// resources.
void State::PromoteAhead(Worker& worker) {
  uint32_t scanned = 0;
  for (uint32_t a = worker.first_attempt;
       a != kNil && worker.ahead > 0 && worker.used.cpus_milli < worker.capacity.cpus_milli &&
       scanned < kPromotionScan;
       a = attempts[a].next, ++scanned) {
    AttemptRec& attempt = attempts[a];
    if (attempt.slotted || attempt.state != AttemptState::kAssigned ||
        !VariantOf(attempt).need.Fits(worker.capacity, worker.used))
      continue;
    Uncharge(worker, attempt);
    attempt.slotted = true;
    Charge(worker, attempt);
  }
}

void State::EndAttempt(uint32_t index, AttemptEnd end, const Outcome* outcome) {
  AttemptRec& attempt = attempts[index];
  Job& job = *jobs[attempt.job];
  TaskRec& task = job.tasks[attempt.task];
  Worker& worker = *workers[attempt.worker.slot];
  uint32_t* link = &task.attempts;
  while (*link != index) link = &attempts[*link].next_of_task;
  *link = attempt.next_of_task;
  (attempt.previous == kNil ? worker.first_attempt : attempts[attempt.previous].next) =
      attempt.next;
  (attempt.next == kNil ? worker.last_attempt : attempts[attempt.next].previous) = attempt.previous;
  --worker.attempts;
  if (attempt.alone) worker.alone = false;
  if (--job.attempts == 0) ForgetIfSwept(job);
  Uncharge(worker, attempt);
  ReturnPromise(worker, attempt, true);
  SettleShare(job, attempt, outcome);
  if (attempt.started_ns != 0) {
    --worker.started;
    if (!attempt.orphaned) CountRunning(job, -1);
  }
  if (attempt.retract_for != kNoSlot) {
    if (Worker* asker = WorkerAt(attempt.retract_for))
      asker->retracts_pending -= asker->retracts_pending > 0;
  }
  ++counters.attempts_ended[static_cast<size_t>(end)];
  if (outcome != nullptr && end == AttemptEnd::kFailed) {
    ++counters.attempts_failed[static_cast<size_t>(outcome->failure)];
  }
  if (end != AttemptEnd::kFinished && end != AttemptEnd::kRetracted) {
    std::vector<AttemptView>& history = job.history[attempt.task];
    if (history.size() == kHistoryOfTask) history.erase(history.begin());
    AttemptView view{attempt.id, attempt.worker, attempt.state, true, end};
    if (outcome != nullptr) {
      view.failure = outcome->failure;
      view.exit_code = outcome->exit_code;
      view.run_ns = outcome->run_ns;
    }
    history.push_back(view);
  }
  if (!job.children.empty()) LeaveChild(job, attempt.task, attempt.id);
  if (!refused_submissions.empty()) refused_submissions.erase({{job.id, attempt.task}, attempt.id});
  const AttemptRef ref{{job.id, attempt.task}, attempt.id};
  attempt.next = free_attempt;
  free_attempt = index;
  if (!awaits.empty()) DropAwaits(ref);
  if (worker.resuming) ResumeWhatFits(worker);
  PromoteAhead(worker);
  MarkDirty(worker);
  CheckDrained(worker);
}

void State::OnStarted(Worker& worker, AttemptRef ref) {
  uint32_t index = FindAttempt(ref);
  if (index == kNil || attempts[index].worker != worker.id) {
    ++counters.stale_messages;
    return;
  }
  AttemptRec& attempt = attempts[index];
  if (attempt.started_ns != 0) return;
  attempt.started_ns = std::max<uint64_t>(now_ns, 1);
  LearnBandwidth(worker, attempt);
  ReturnPromise(worker, attempt, false);
  ++worker.started;
  if (!attempt.orphaned) CountRunning(*jobs[attempt.job], +1);
  if (!attempt.slotted) {
    Uncharge(worker, attempt);
    attempt.slotted = true;
    Charge(worker, attempt);
  }
  if (attempt.state == AttemptState::kCancelling) return;
  if (attempt.retract_for != kNoSlot) {  // it started before the retract came
    if (Worker* asker = WorkerAt(attempt.retract_for)) {
      asker->retracts_pending -= asker->retracts_pending > 0;
      MarkDirty(*asker);
    }
    attempt.retract_for = kNoSlot;
  }
  attempt.state = AttemptState::kRunning;
  Load(worker, attempt.shape).refusals = 0;
  WatchStraggler(attempt);
}

void State::OnOutcome(Worker& worker, Outcome& outcome) {
  if (TASKD_MUTANT(kRetractIgnored) && outcome.end == AttemptEnd::kRetracted) return;
  uint32_t index = FindAttempt(outcome.attempt);
  bool ours = index != kNil && attempts[index].worker == worker.id;
  if (TASKD_MUTANT(kFinishUnchecked) && !ours) {
    index = jobs[outcome.attempt.task.job]->tasks[outcome.attempt.task.ordinal].attempts;
    ours = index != kNil;
  }
  if (index == kNil) {
    index = AdoptOutcome(worker, outcome);
    ours = index != kNil;
  }
  if (!ours) {
    ++counters.stale_messages;
    return ReleaseOutputs(worker, outcome);
  }
  AttemptRec attempt = attempts[index];
  Job& job = *jobs[attempt.job];
  TaskRec& task = job.tasks[attempt.task];
  Absolve(task, attempt);
  bool live = task.state == TaskState::kWaiting || task.state == TaskState::kReady ||
              task.state == TaskState::kActive;
  bool finished =
      outcome.end == AttemptEnd::kFinished && outcome.outputs.size() == task.output_count;
  if (live && finished && HasSubmission(job, attempt, outcome)) {
    AcceptChild(job, attempt.task, attempt.id);
    EndAttempt(index, AttemptEnd::kFinished, &outcome);
    FinishTask(job, attempt.task, attempt, outcome);
    return DiscardLate(job, attempt.task);
  }
  if (!live) {
    EndAttempt(index, outcome.end, &outcome);
    return ReleaseOutputs(worker, outcome);
  }
  if (finished) {
    const bool refused = outcome.failure != FailureClass::kNone;
    EndAttempt(index, refused ? AttemptEnd::kFailed : AttemptEnd::kStuck, &outcome);
    ReleaseOutputs(worker, outcome);
    return refused ? OnFailed(job, attempt.task, attempt, outcome)
                   : OnStuck(job, attempt.task, attempt, outcome);
  }
  EndAttempt(index, outcome.end, &outcome);
  switch (outcome.end) {
    case AttemptEnd::kFinished:  // with a wrong number of outputs
    case AttemptEnd::kFailed:
      return OnFailed(job, attempt.task, attempt, outcome);
    case AttemptEnd::kStuck:
      return OnStuck(job, attempt.task, attempt, outcome);
    case AttemptEnd::kRefused:
      NoteRefusal(worker, attempt.shape);
      task.avoid = worker.id.slot;
      return Requeue(job, attempt.task, 0);
    case AttemptEnd::kRetracted:
      task.moved = true;
      [[fallthrough]];
    default:
      return Requeue(job, attempt.task, 0);
  }
}

// It is not asked again for a while, and longer each time: else a task could go round for ever among
// workers that refuse it, when moving it elsewhere takes longer than they are left alone.
void State::NoteRefusal(Worker& worker, uint16_t shape) {
  ShapeLoad& load = Load(worker, shape);
  load.refused_until_ns = now_ns + (limits::kRefusedNs << load.refusals);
  load.refusals = std::min<uint8_t>(load.refusals + 1, limits::kRefusalDoublings);
  Arm(TimerKind::kRefused, load.refused_until_ns, worker.id.slot, worker.epoch);
}

// The finish came too late or twice. Bytes of an accepted version are kept, others freed.
void State::ReleaseOutputs(Worker& worker, const Outcome& outcome) {
  if (outcome.end != AttemptEnd::kFinished) return;
  const Job* job = FindJob(outcome.attempt.task.job);
  // Of a job that was forgotten, or of a batch that a crash took along.
  if (job == nullptr || outcome.attempt.task.ordinal >= job->tasks.size()) {
    for (uint32_t i = 0; i < outcome.outputs.size(); ++i) {
      Emit(action::Free{
          worker.stream,
          {{outcome.attempt.task.job, outcome.first_output + i}, outcome.attempt.attempt}});
    }
    return;
  }
  const TaskRec& task = job->tasks[outcome.attempt.task.ordinal];
  for (uint32_t i = 0; i < task.output_count && i < outcome.outputs.size(); ++i) {
    ObjectId id{job->id, task.first_output + i};
    if (outcome.outputs[i].delegated != kNoOrdinal) continue;
    // An unacked outcome follows the whole inventory: what that did not list was lost meanwhile.
    if (worker.reconciling && !worker.listed.contains({id, outcome.attempt.attempt})) continue;
    ReportReplica(worker, {{id, outcome.attempt.attempt}});
  }
}

void State::OnFailed(Job& job, Ordinal ordinal, const AttemptRec& attempt, const Outcome& outcome) {
  TaskRec& task = job.tasks[ordinal];
  // Another attempt of it is still on its way, or it waits for one: that decides.
  if (task.state != TaskState::kActive || HasLiveAttempt(task)) return;
  const Batch::Options& options = job.options[task.option];
  if (task.retries < options.retries && options.RetriedOn(outcome.failure, outcome.exit_code)) {
    uint64_t backoff = options.backoff_ns;
    for (uint32_t i = 0; i < task.retries && backoff < limits::kBackoffMaxNs; ++i) backoff *= 2;
    ++task.retries;
    task.avoid = attempt.worker.slot;  // it may be the worker's fault
    CountIn(job, [](Progress& p) { ++p.retried; });
    ++counters.tasks_retried;
    Emit(action::Journal{
        action::RecordKind::kRetry, job.id, ordinal, attempt.id, outcome.failure, {}});
    return Requeue(job, ordinal, now_ns + std::min(backoff, limits::kBackoffMaxNs));
  }
  KeepFailure(job, {{job.id, ordinal},
                    attempt.id,
                    outcome.failure,
                    outcome.exit_code,
                    attempt.worker,
                    outcome.message,
                    outcome.exception});
  FailTask(job, ordinal, outcome.failure, ordinal);
}

void State::OnStuck(Job& job, Ordinal ordinal, const AttemptRec& attempt, const Outcome& outcome) {
  bool learned = false;
  // An earlier start gave its workers' names to others.
  if (StartOf(attempt.id) == config.start_count) {
    for (const BadHolder& bad : outcome.bad_holders) learned |= StrikeOut(bad);
  }
  TaskRec& task = job.tasks[ordinal];
  if (learned) {  // the input is made again: its worker is as good as any
    task.stuck = 0;
    return Requeue(job, ordinal, 0);
  }
  task.avoid = attempt.worker.slot;
  uint64_t backoff = kStuckBackoffNs << std::min<uint8_t>(task.stuck, 6);
  if (task.stuck < 255) ++task.stuck;
  Requeue(job, ordinal, now_ns + backoff);
}

bool State::HasLiveAttempt(const TaskRec& task) const {
  for (uint32_t a = task.attempts; a != kNil; a = attempts[a].next_of_task) {
    if (!attempts[a].orphaned && attempts[a].state != AttemptState::kCancelling) return true;
  }
  return false;
}

void State::Requeue(Job& job, Ordinal ordinal, uint64_t not_before_ns) {
  TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kActive || HasLiveAttempt(task)) return;
  SetTaskState(job, task, TaskState::kWaiting);
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    if (SourcePresence(job, job.edges[e].source) == Presence::kDead) {
      return EndByInput(job, ordinal, job.edges[e].source);
    }
  }
  if (not_before_ns > now_ns && task.missing == 0 && task.away == 0) {
    SetTaskState(job, task, TaskState::kReady);
    task.ready_ns = not_before_ns;
    task.backoff = true;
    Arm(TimerKind::kBackoff, not_before_ns, job.id, ordinal);
    return;
  }
  Settle(job, ordinal);
}

void State::CancelAttempts(TaskRec& task) {
  for (uint32_t a = task.attempts; a != kNil; a = attempts[a].next_of_task) {
    AttemptRec& attempt = attempts[a];
    if (attempt.state == AttemptState::kCancelling) continue;
    attempt.state = AttemptState::kCancelling;
    Worker& worker = *workers[attempt.worker.slot];
    if (worker.stream != 0)
      Emit(action::Cancel{worker.stream, {{attempt.job, attempt.task}, attempt.id}});
  }
}

bool State::CountCrash(Job& job, AttemptRec& attempt) {
  if (workers[attempt.worker.slot]->said_goodbye) return false;
  TaskRec& task = job.tasks[attempt.task];
  if (attempt.yielded) return false;
  if (attempt.started_ns == 0 && !attempt.alone) {
    if (attempt.slotted && !attempt.doubted && task.doubts < 255) {
      attempt.doubted = true;
      ++task.doubts;
    }
    return false;
  }
  if (!attempt.crash_counted && task.crashes < 255) {
    attempt.crash_counted = true;
    ++task.crashes;
  }
  return task.crashes >= CrashLimit(job, task);
}

// Its worker did not die, or not of it.
void State::Absolve(TaskRec& task, AttemptRec& attempt) {
  if (attempt.crash_counted) --task.crashes;
  if (attempt.doubted && task.doubts > 0) --task.doubts;  // a finish forgets them
  attempt.crash_counted = attempt.doubted = false;
}

void State::CountRunning(Job& job, int32_t by) {
  CountIn(job, [by](Progress& p) { p.running += by; });
  counters.running += by;
  Changed(job);
}

// Nobody knows whether an orphan still runs: it does not count as running.
void State::SetOrphaned(AttemptRec& attempt, bool orphaned) {
  if (attempt.orphaned == orphaned) return;
  attempt.orphaned = orphaned;
  Job& job = *jobs[attempt.job];
  if (attempt.started_ns != 0) CountRunning(job, orphaned ? -1 : +1);
  if (attempt.yielded) return;
  if (orphaned) {
    shares.AttemptCountsNot(job.family->share);
    Unpark(*job.family);
  } else {
    shares.AttemptCounts(job.family->share);
  }
}

void State::Orphan(uint32_t index) {
  AttemptRec& attempt = attempts[index];
  Job& job = *jobs[attempt.job];
  TaskRec& task = job.tasks[attempt.task];
  if (task.state != TaskState::kActive) return SetOrphaned(attempt, true);
  bool over_limit = CountCrash(job, attempt);
  // It may have killed its workers: no other one gets it, but this one may still come back with its
  // result.
  if (over_limit && !workers[attempt.worker.slot]->leaving) return;
  SetOrphaned(attempt, true);
  if (over_limit) return FailByCrashes(job, attempt.task, attempt.worker);
  JoinRecovery(task);
  Requeue(job, attempt.task, 0);
}

void State::Unorphan(uint32_t index) {
  AttemptRec& attempt = attempts[index];
  Job& job = *jobs[attempt.job];
  TaskRec& task = job.tasks[attempt.task];
  Absolve(task, attempt);
  if (!attempt.orphaned) return;
  SetOrphaned(attempt, false);
  if (task.state != TaskState::kWaiting && task.state != TaskState::kReady) return;
  if (attempt.state == AttemptState::kCancelling) return;
  if (task.position != kNotInHeap) PopReady(job, attempt.task);
  task.backoff = false;
  SetTaskState(job, task, TaskState::kActive);
}

void State::LoseAttempt(uint32_t index) {
  if (!attempts[index].orphaned && workers[attempts[index].worker.slot]->leaving) Orphan(index);
  AttemptRec attempt = attempts[index];
  EndAttempt(index, AttemptEnd::kLost, nullptr);
  Job& job = *jobs[attempt.job];
  if (attempt.orphaned) return;
  JoinRecovery(job.tasks[attempt.task]);
  Requeue(job, attempt.task, 0);
}

}  // namespace taskd::scheduler
