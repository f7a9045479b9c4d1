// After a restart: the journal is replayed, then workers come with what they hold and run.
//
// A record of a request makes that request again; the others change records of the tables as the
// event did whose consequence they are. While records come nothing is emitted and nothing is
// placed, and a task with a dead input waits for its own record: it may have had its copy already
// and finished.
//
// An object made before is *unclaimed* until a worker names a replica of it: away, without anybody
// to be away at. That ends with its first replica, or when nobody wants it, or at the latest
// `forget_after` after the restart; then it is lost like any other.
//
// An attempt of an earlier start goes on as ours when its worker names it, or its outcome, and its
// task waits for one. Assignments are not journalled: for twice `rerun_after` nothing is placed, so
// that workers that come back soon find their tasks still waiting for what they run. Job numbers
// whose records were lost may be in use for other graphs by now, so an attempt older than the batch
// of its task is never taken for it.
#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

absl::Status Damaged(const action::Journal& record, std::string_view what) {
  return absl::DataLossError(StrCat("journal record ", static_cast<int>(record.kind), " of job ",
                                    record.job, ", number ", record.number, ": ", what));
}

}  // namespace

absl::Status State::Restore(uint64_t now, const action::Journal& record, Event* request) {
  TASKD_CHECK(now >= now_ns);
  std::vector<Action> unsent;
  restoring = true;
  now_ns = now;
  actions = &unsent;
  budget = std::numeric_limits<int64_t>::max();
  absl::Status status = Replay(record, request);
  WorkOff();
  for (JobId id : changed_jobs) {
    if (Job* job = FindJob(id)) job->changed = false;
  }
  changed_jobs.clear();
  actions = nullptr;
  return status;
}

void State::WorkOff() {
  while (!worklist.empty() || !commands.empty()) {
    if (worklist.empty()) {
      worklist.push_back(commands.front());
      commands.pop_front();
    } else if (!Advance(worklist.front())) {
      worklist.pop_front();
    }
  }
}

absl::Status State::Replay(const action::Journal& record, Event* request) {
  using action::RecordKind;
  Job* job = FindJob(record.job);
  auto of_task = [&](void (State::*replay)(Job&, const action::Journal&)) {
    if (job == nullptr || record.number >= job->tasks.size())
      return Damaged(record, "there is no such task");
    (this->*replay)(*job, record);
    return absl::OkStatus();
  };
  switch (record.kind) {
    case RecordKind::kStart:
      if (record.number <= replayed_start || record.number >= config.start_count)
        return Damaged(record, "starts are not in order");
      replayed_start = record.number;
      return absl::OkStatus();
    case RecordKind::kOpenJob:
    case RecordKind::kBatch:
    case RecordKind::kSeal:
    case RecordKind::kCancelJob:
    case RecordKind::kCancelTasks:
    case RecordKind::kRetryTasks:
    case RecordKind::kPublishDataset:
    case RecordKind::kDropDataset:
      return ReplayRequest(record, request);
    case RecordKind::kFinish:
      return of_task(&State::ReplayFinish);
    case RecordKind::kFinalFailure:
      return of_task(&State::ReplayFinalFailure);
    case RecordKind::kRetry:
      return of_task(&State::ReplayRetry);
    case RecordKind::kSubmit:
      return ReplayRequest(record, request);
    case RecordKind::kDiscard:
      if (job == nullptr || job->is_root()) return Damaged(record, "there is no such job");
      Discard(*job);
      return absl::OkStatus();
    case RecordKind::kForget:
      if (job == nullptr) return Damaged(record, "there is no such job");
      return ReplayForget(*job, record);
  }
  return Damaged(record, "it is of a kind that this version does not know");
}

absl::Status State::ReplayRequest(const action::Journal& record, Event* request) {
  // A job whose client went away is cancelled without a request.
  const bool cancels = record.kind == action::RecordKind::kCancelJob;
  if (request == nullptr && !cancels) return Damaged(record, "its request is missing");
  if (replayed_start == 0) return Damaged(record, "it comes before the first start");
  const bool opens = record.kind == action::RecordKind::kOpenJob ||
                     (record.kind == action::RecordKind::kSubmit && record.number == 0);
  if (opens ? record.job != jobs.next_id() : FindJob(record.job) == nullptr)
    return Damaged(record, "jobs are not in order");
  const bool adds = record.kind == action::RecordKind::kBatch ||
                    (record.kind == action::RecordKind::kSubmit && !opens);
  if (adds && record.number != FindJob(record.job)->batches)
    return Damaged(record, "batches are not in order");
  // A cancel is recorded when it had an effect: then the job had been running, be it to rebuild
  // something that it does not know of here.
  if (cancels) {
    Job& job = *FindJob(record.job);
    Reopen(job);
    CancelWhole(job, 0);
    WorkOff();
    CheckJobEnd(job);
    return absl::OkStatus();
  }
  std::visit(
      [this](auto& e) {
        if constexpr (requires { e.token; }) e.token = 0;  // nobody waits for the reply
        On(e);
      },
      *request);
  return absl::OkStatus();
}

void State::ReplayFinish(Job& job, const action::Journal& record) {
  TaskRec& task = job.tasks[record.number];
  // It had been put back to make again what was lost: that is in no record.
  if (task.state == TaskState::kDone && job.aliases > 0) {
    DropImpure(job, task);
    WorkOff();
  }
  AcceptChild(job, record.number, record.attempt);
  // Of a cancelled job it came late, and was wanted by nobody. Else the task had been put back: a
  // retry takes along what fails while it is at work.
  if (task.state == TaskState::kFailed || task.state == TaskState::kCancelled) {
    if (job.cancelled) return;
    ReviveTask(job, record.number);
    WorkOff();  // who failed by it follows, before it is there again
  }
  task.last_attempt = std::max(task.last_attempt, record.attempt);
  for (uint16_t i = 0; i < task.output_count && i < record.outputs.size(); ++i) {
    if (std::find(record.kept.begin(), record.kept.end(), i) != record.kept.end()) continue;
    ObjectRec& object = job.objects[task.first_output + i];
    if (record.outputs[i].delegated != kNoOrdinal) {
      Delegate(job, task.first_output + i, record.attempt, record.outputs[i].delegated);
      continue;
    }
    object.version = record.attempt;
    object.size_bytes = record.outputs[i].size_bytes;
    job.largest_bytes = std::max(job.largest_bytes, object.size_bytes);
    object.crc32c = record.outputs[i].crc32c;
    object.unclaimed = true;
    object.freed = false;
  }
  if (task.state != TaskState::kDone) EndTask(job, record.number, TaskState::kDone);
  for (uint32_t i = 0; i < task.output_count; ++i) {
    PresenceMayHaveChanged(job, task.first_output + i);
    FreeIfUnwanted(job, task.first_output + i);
    MakeIfWanted(job, task.first_output + i);  // what it kept may be gone and needed here
  }
}

void State::ReplayFinalFailure(Job& job, const action::Journal& record) {
  TaskRec& task = job.tasks[record.number];
  if (task.state == TaskState::kCancelled) return;
  // A retry was at work, had put its culprit back, and took it along.
  if (record.failure == FailureClass::kInputFailed && record.culprit != record.number &&
      record.culprit < job.tasks.size() && job.tasks[record.culprit].state != TaskState::kFailed) {
    task.retries = 0;
    return;
  }
  task.failure = record.failure;
  task.culprit = record.culprit;
  if (task.state == TaskState::kFailed) return;  // taken along, and failed again
  task.last_attempt = std::max(task.last_attempt, record.attempt);
  if (record.culprit == record.number && job.failures.size() < limits::kFailuresKept) {
    job.failures.push_back({.task = {job.id, record.number},
                            .attempt = record.attempt,
                            .failure = record.failure,
                            .exit_code = record.exit_code,
                            .message = record.message,
                            .exception = record.exception});
  }
  EndTask(job, record.number, TaskState::kFailed);
}

// It is ready at once: how long it was to wait counts from a time that is gone.
void State::ReplayRetry(Job& job, const action::Journal& record) {
  TaskRec& task = job.tasks[record.number];
  ++task.retries;
  CountIn(job, [](Progress& p) { ++p.retried; });
  task.last_attempt = std::max(task.last_attempt, record.attempt);
}

// Only what has ended was forgotten: what still waits because of a dead input had ended by it.
absl::Status State::ReplayForget(Job& job, const action::Journal& record) {
  restoring = false;
  for (TaskId id : postponed) {
    if (id.job == job.id) EndIfInputDead(job, id.ordinal);
  }
  std::erase_if(postponed, [&job](TaskId id) { return id.job == job.id; });
  WorkOff();
  restoring = true;
  if (!job.ended) return Damaged(record, "it has not ended");
  BeginForget(job);
  return absl::OkStatus();
}

bool State::Postpone(const Job& job, Ordinal ordinal) {
  if (restoring) postponed.push_back({job.id, ordinal});
  return restoring;
}

void State::EndRestore() {
  restoring = false;
  for (Job* job = jobs.From(1); job != nullptr; job = jobs.From(job->id + 1))
    ForgetIfDiscarded(*job);
  for (TaskId id : std::exchange(postponed, {})) {
    if (FindJob(id.job) != nullptr)
      Enqueue({.kind = WorkKind::kEndByInput, .job = id.job, .index = id.ordinal});
  }
  for (TaskId id : std::exchange(unfollowed, {})) {
    if (FindJob(id.job) != nullptr)
      Enqueue({.kind = WorkKind::kFollowCulprit, .job = id.job, .index = id.ordinal});
  }
  // Clients have as long as after any other break to come back to their jobs.
  for (const auto& [id, client] : clients) {
    event::ClientGone gone{id};
    On(gone);
  }
  grace_until_ns = now_ns + config.forget_after_ns;
  Arm(TimerKind::kGrace, grace_until_ns, 0, 0);
  if (counters.jobs_open == 0) return;
  hold_until_ns = now_ns + 2 * config.rerun_after_closed_ns;
  Arm(TimerKind::kHold, hold_until_ns, 0, 0);
}

void State::EndIfInputDead(Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kWaiting && task.state != TaskState::kReady) return;
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (SourcePresence(job, source) != Presence::kDead) continue;
    return EndByInput(job, ordinal, source);
  }
}

bool State::AdvanceEndGrace(Work& work) {
  Job* job = jobs.From(work.job);
  if (job == nullptr) return false;
  if (job->id != work.job) work.index = 0;
  work.job = job->id;
  if (work.index == 0 && job->pending() && FindAttempt(job->parent) == kNil) Discard(*job);
  if (work.index >= job->objects.size()) {
    ++work.job;
    work.index = 0;
    return true;
  }
  ObjectRec& object = job->objects[work.index];
  if (object.unclaimed) {
    object.unclaimed = false;
    PresenceMayHaveChanged(*job, work.index);
  }
  ++work.index;
  return true;
}

void State::NoteTakenIn(Job& job) {
  uint32_t start = restoring ? replayed_start : config.start_count;
  if (job.taken_in.empty() || job.taken_in.back().start != start)
    job.taken_in.push_back({job.tasks.size(), start});
}

bool State::Adoptable(AttemptRef ref) const {
  const Job* job = FindJob(ref.task.job);
  if (job == nullptr || ref.task.ordinal >= job->tasks.size()) return false;
  const TaskRec& task = job->tasks[ref.task.ordinal];
  if (task.starting || (task.state != TaskState::kWaiting && task.state != TaskState::kReady))
    return false;
  auto taken = std::partition_point(
      job->taken_in.begin(), job->taken_in.end(),
      [&ref](const TakenIn& entry) { return entry.first <= ref.task.ordinal; });
  // What ended up to the last one is in the journal: such an outcome comes again because only its
  // acknowledgement was lost.
  return StartOf(ref.attempt) < config.start_count && ref.attempt > task.last_attempt &&
         StartOf(ref.attempt) >= std::prev(taken)->start;
}

uint32_t State::Adopt(Worker& worker, AttemptRef ref) {
  if (!Adoptable(ref)) return kNil;
  Job& job = *jobs[ref.task.job];
  TaskRec& task = job.tasks[ref.task.ordinal];
  if (task.position != kNotInHeap) PopReady(job, ref.task.ordinal);
  task.backoff = false;
  // An inventory does not say which variant of its shape it has: probably the best that fits.
  uint8_t variant = FittingVariant(worker, task.shape, {});
  if (variant == kNoVariant) variant = 0;
  // Whether it runs is told apart; what it was given of the cluster's pools it has from its assignment on.
  const bool slotted = shapes[task.shape].uses_cluster;
  uint32_t index = AddAttempt(worker, job, ref.task.ordinal, ref.attempt, slotted, variant, false);
  Promise(worker, job, attempts[index], 0);
  SetTaskState(job, task, TaskState::kActive);
  ++counters.attempts_adopted;
  return index;
}

// Other ends lead to nothing.
uint32_t State::AdoptOutcome(Worker& worker, const Outcome& outcome) {
  bool counts = outcome.end == AttemptEnd::kFinished || outcome.end == AttemptEnd::kFailed;
  return counts ? Adopt(worker, outcome.attempt) : kNil;
}

}  // namespace taskd::scheduler
