// Tasks cancelled by name, and failed ones put back, a task at a time. Each such command begins when
// the worklist is empty: all that was asked before it has had its effects.
//
// A failed task can run again once none of its inputs is dead. So a retry revives the tasks that
// failed by themselves; their outputs turn from dead to missing, and each consumer that is told so
// follows when its culprit was revived and nothing else is in its way. The failures above a task
// that was named are found by walking up its dead inputs, each task once.
#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kInvalid = 3, kFailedPrecondition = 9;  // gRPC status codes

constexpr uint32_t kCulpritDepth = 64;
}  // namespace

// "" or what is wrong with them.
std::string State::CheckRanges(const Job& job, const std::vector<OrdinalRange>& ranges) const {
  for (const OrdinalRange& range : ranges) {
    if (range.stride == 0) return "tasks are to be named with a stride of at least 1";
    if (range.count == 0 || range.last() < job.tasks.size()) continue;
    return StrCat("job ", job.id, " has ", job.tasks.size(), " tasks; there are none from ",
                  range.first, " to ", range.last());
  }
  return "";
}

void State::On(event::CancelTasks& e) {
  Job* job = JobForCommand(e.token, e.job);
  if (job == nullptr) return;
  if (std::string wrong = CheckRanges(*job, e.tasks); !wrong.empty())
    return Answer(e.token, kInvalid, std::move(wrong), e.job);
  for (const OrdinalRange& range : e.tasks) {
    commands.push_back(WalkOf(WorkKind::kCancelRange, job->id, range));
  }
  Emit(action::Journal{.kind = action::RecordKind::kCancelTasks,
                       .job = job->id,
                       .tasks = e.tasks,
                       .token = e.token});
  Answer(e.token, 0, "", job->id);
}

void State::CancelUnended(Job& job, Ordinal ordinal) {
  TaskState state = job.tasks[ordinal].state;
  if (state == TaskState::kWaiting || state == TaskState::kReady || state == TaskState::kActive)
    EndTask(job, ordinal, TaskState::kCancelled);
}

void State::On(event::RetryTasks& e) {
  Job* job = JobForCommand(e.token, e.job);
  if (job == nullptr) return;
  if (std::string wrong = CheckRanges(*job, e.tasks); !wrong.empty())
    return Answer(e.token, kInvalid, std::move(wrong), e.job);
  if (job->cancelled && !e.cancelled_too) {
    return Answer(e.token, kFailedPrecondition,
                  StrCat("job ", e.job, " was cancelled: ask for its cancelled tasks, too"), e.job);
  }
  Emit(action::Journal{.kind = action::RecordKind::kRetryTasks,
                       .job = job->id,
                       .number = e.cancelled_too,
                       .tasks = e.tasks,
                       .token = e.token});
  if (e.tasks.empty()) {
    RetryChildren(*job, e.cancelled_too);
    RetryWhole(*job, e.cancelled_too);
  } else {
    for (const OrdinalRange& range : e.tasks) {
      ++job->retries_pending;
      Work work = WalkOf(WorkKind::kRetryRange, job->id, range);
      work.cancelled_too = e.cancelled_too;
      work.inputs_too = true;
      commands.push_back(work);
    }
    PutBackCancelled(*job);
  }
  Answer(e.token, 0, "", job->id);
}

void State::RetryWhole(Job& job, bool cancelled_too) {
  job.failures.clear();
  ++job.retries_pending;
  Work work = WalkOf(WorkKind::kRetryRange, job.id, {0, job.tasks.size()});
  work.cancelled_too = cancelled_too;
  commands.push_back(work);
  PutBackCancelled(job);
}

// From now on a cancel is a new one; the walk of an older one comes before the commands.
void State::PutBackCancelled(Job& job) {
  if (job.cancelled) {
    job.cancelled = false;
    commands.push_back({.kind = WorkKind::kRevisitWants, .job = job.id});
  }
  Changed(job);
}

uint32_t State::DeadSource(const Job& job, const TaskRec& task) const {
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    if (SourcePresence(job, job.edges[e].source) == Presence::kDead) return job.edges[e].source;
  }
  return kNil;
}

// What of a dead source is; {}: its job was forgotten. The member of a collection that is noted may
// have come back.
ObjectId State::DeadBehind(const Job& job, uint32_t source) const {
  if (!(source & kCollectionBit)) return Behind(job, source);
  const CollectionRec& c = job.collections[source & ~kCollectionBit];
  const Job* owner = MembersOf(job, c);
  if (owner == nullptr) return {};
  Ordinal dead = c.dead_member;
  for (uint32_t i = 0; i < c.count && owner->objects[dead].presence != Presence::kDead; ++i)
    dead = c.first + i * c.stride;
  return Behind(*owner, dead);
}

// Of a task that failed or was cancelled. The one noted may have been put back while another input
// keeps the task from following: then that one's is to blame, and so on upwards, as far as is looked.
Ordinal State::CulpritOfTask(const Job& job, Ordinal ordinal) const {
  for (uint32_t depth = 0; depth < kCulpritDepth; ++depth) {
    const TaskRec& task = job.tasks[ordinal];
    if (task.culprit == kNoOrdinal || task.culprit == ordinal) return ordinal;
    if (Failed(job.tasks[task.culprit])) return task.culprit;
    uint32_t dead = DeadSource(job, task);
    if (dead == kNil) return ordinal;
    const ObjectId object = DeadBehind(job, dead);
    if (object.job != job.id) return ordinal;
    ordinal = job.objects[object.ordinal].producer;
  }
  return ordinal;
}

void State::RetryTask(Job& job, Ordinal ordinal, const Work& work) {
  TaskRec& task = job.tasks[ordinal];
  if (job.cancelled || !Failed(task) ||
      (task.state == TaskState::kCancelled && !work.cancelled_too))
    return;
  budget -= task.edge_count;
  uint32_t dead = DeadSource(job, task);
  if (dead == kNil) return ReviveTask(job, ordinal);
  // It follows when that input can come.
  task.culprit = CulpritFor(job, ordinal, dead);
  if (task.state == TaskState::kFailed) task.failure = FailureClass::kInputFailed;
  if (task.culprit == ordinal) {
    DropFailure(job, ordinal);
    KeepFailure(job, ImportFailure(job, ordinal, dead));
  }
  if (work.inputs_too) RetryInputs(job, task, work.cancelled_too);
}

void State::RetryInputs(Job& job, const TaskRec& task, bool cancelled_too) {
  auto ask = [&](Ordinal object) {
    if (job.objects[object].presence != Presence::kDead) return;
    const ObjectId behind = Behind(job, object);
    Job* maker = FindJob(behind.job);
    if (maker == nullptr || maker->forgetting) return;
    Ordinal producer = maker->objects[behind.ordinal].producer;
    if (!maker->retry_asked.insert(producer).second) return;
    ++maker->retries_pending;
    Work work = WalkOf(WorkKind::kRetryRange, maker->id, {producer, 1});
    work.cancelled_too = cancelled_too;
    work.inputs_too = true;
    Enqueue(work);
  };
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      ask(source);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    if (c.dead == 0 || c.foreign()) continue;
    for (uint32_t i = 0; i < c.count; ++i) ask(c.first + i * c.stride);
    budget -= c.count;
  }
}

void State::EndRetry(Job& job) {
  if (--job.retries_pending > 0) return;
  job.retry_asked = {};
  CheckJobEnd(job);
  ForgetIfDiscarded(job);
}

void State::ReviveTask(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.culprit == ordinal) DropFailure(job, ordinal);
  DropImpure(job, task);
  Reopen(job);
  SetTaskState(job, task, TaskState::kWaiting);
  task.starting = true;
  task.failure = FailureClass::kNone;
  task.culprit = kNoOrdinal;
  task.retries = 0;
  task.crashes = task.doubts = 0;
  task.stuck = 0;
  task.avoid = kNoSlot;
  // Its old attempts are being cancelled; they count for nothing any more.
  for (uint32_t a = task.attempts; a != kNil; a = attempts[a].next_of_task)
    attempts[a].crash_counted = attempts[a].doubted = false;
  for (uint32_t i = 0; i < task.output_count; ++i)
    PresenceMayHaveChanged(job, task.first_output + i);
  Enqueue({.kind = WorkKind::kReviveTask, .job = job.id, .index = ordinal});
}

// An input of a task that has ended is not dead any more. If the task ended because of it, it is
// put back; not when its culprit is as dead as before and just a lost result returned.
void State::FollowCulprit(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (!Failed(task) || task.culprit == kNoOrdinal || task.culprit == ordinal) return;
  if (job.cancelled) return;
  if (Failed(job.tasks[task.culprit])) {
    // Its own record may come only after what made this one follow.
    if (restoring) unfollowed.push_back({job.id, ordinal});
    return;
  }
  budget -= task.edge_count;
  uint32_t dead = DeadSource(job, task);
  if (dead == kNil) return ReviveTask(job, ordinal);
  task.culprit = CulpritFor(job, ordinal, dead);
}

}  // namespace taskd::scheduler
