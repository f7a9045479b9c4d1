// Read-only answers. Nothing here changes the state.
#include <algorithm>

#include "common/base/text.h"
#include "common/base/units.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr size_t kFew = 16;
constexpr size_t kWantsShown = 256;

JobState StateOf(const Job& job) {
  if (job.cancelled) return JobState::kCancelled;
  if (!job.seal_asked) return JobState::kOpen;
  if (!job.ended) return JobState::kRunning;
  if (job.counts[static_cast<size_t>(TaskState::kFailed)] > 0) return JobState::kFailed;
  return job.counts[static_cast<size_t>(TaskState::kCancelled)] > 0 ? JobState::kCancelled
                                                                    : JobState::kDone;
}

// Why a worker does not take a task of this shape: empty when nothing speaks against it.
std::string Limit(const Worker& worker, const Resources& need) {
  if (need.cpus_milli > worker.capacity.cpus_milli) {
    return StrCat("has ", FormatCpus(worker.capacity.cpus_milli), " cpus, the task needs ",
                  FormatCpus(need.cpus_milli));
  }
  if (need.memory_bytes > worker.capacity.memory_bytes) {
    return StrCat("has ", FormatBytes(worker.capacity.memory_bytes), " of memory, the task needs ",
                  FormatBytes(need.memory_bytes));
  }
  return "";
}

WaitReason QueueReason(const State& state, const TaskRec& task) {
  const Resources& need = state.shapes[task.shape].need;
  bool any = false, draining = false;
  for (const auto& worker : state.workers) {
    if (worker == nullptr || !worker->connected()) continue;
    any = true;
    if (!need.Fits(worker->capacity)) continue;
    if (worker->up()) return WaitReason::kBehindOthers;
    draining = true;
  }
  if (draining) return WaitReason::kDrain;
  return any ? WaitReason::kUnschedulable : WaitReason::kNoWorker;
}

bool AtWorker(const State& state, const TaskRec& task) {
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    if (state.attempts[a].state != AttemptState::kCancelling &&
        state.workers[state.attempts[a].worker.slot]->connected()) {
      return true;
    }
  }
  return false;
}

// As far as is known: an attempt on a worker that is out of reach may still run.
bool RunsNow(const State& state, const TaskRec& task) {
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    const AttemptRec& attempt = state.attempts[a];
    if (attempt.started_ns != 0 && attempt.state != AttemptState::kCancelling &&
        state.workers[attempt.worker.slot]->connected()) {
      return true;
    }
  }
  return false;
}

WaitReason ReasonOf(const State& state, const Job& job, const TaskRec& task) {
  switch (task.state) {
    case TaskState::kWaiting:
      if (!task.starting && task.missing == 0 && task.away > 0) return WaitReason::kInputAway;
      for (uint32_t e = task.edges; e < task.edges + std::min<uint32_t>(task.edge_count, kFew);
           ++e) {
        uint32_t source = job.edges[e].source;
        if (!(source & kCollectionBit) && job.objects[source].presence == Presence::kMissing &&
            job.objects[source].version != 0) {
          return WaitReason::kInputRebuild;
        }
      }
      return WaitReason::kInputs;
    case TaskState::kReady:
      return task.backoff ? WaitReason::kBackoff : QueueReason(state, task);
    case TaskState::kActive:
      return RunsNow(state, task)    ? WaitReason::kNone
             : AtWorker(state, task) ? WaitReason::kAtWorker
                                     : WaitReason::kWorkerAway;
    default:
      return WaitReason::kNone;
  }
}

TaskView ViewOf(const State& state, const Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  TaskView view;
  view.task = {job.id, ordinal};
  view.state = task.state;
  view.running = task.state == TaskState::kActive && RunsNow(state, task);
  view.worker = task.last_worker;
  view.attempts = task.tries;
  view.run_ns = uint64_t{task.run_us} * 1000;
  view.body = task.body;
  view.first_output = task.first_output;
  view.output_count = task.output_count;
  view.failure = task.failure;
  view.culprit = task.culprit;
  view.reason = ReasonOf(state, job, task);
  return view;
}

void ExplainInputs(const Job& job, const TaskRec& task, Explanation& out) {
  auto add = [&](Ordinal ordinal) {
    const ObjectRec& object = job.objects[ordinal];
    if (object.presence == Presence::kAvailable || out.inputs.size() >= kFew) return;
    out.inputs.push_back(
        {{job.id, ordinal}, job.tasks[object.producer].state, object.version != 0});
  };
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      out.inputs_missing += job.objects[source].presence != Presence::kAvailable;
      add(source);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    out.inputs_missing += c.presence != Presence::kAvailable;
    for (uint32_t i = 0; i < c.count && out.inputs.size() < kFew; ++i) add(c.first + i * c.stride);
  }
}

}  // namespace

std::optional<JobView> SchedulerCore::GetJob(JobId id) const {
  const Job* job = state_->FindJob(id);
  if (job == nullptr) return std::nullopt;
  JobView view;
  view.job = id;
  view.state = StateOf(*job);
  view.priority = job->priority;
  view.tasks = job->counts;
  view.running = job->running;
  view.recomputed = job->recomputed;
  view.retried = job->retried;
  view.opened_ns = job->opened_ns;
  view.ended_ns = job->ended ? job->ended_ns : 0;
  view.bytes_moved = job->bytes_moved;
  view.bytes_saved = job->bytes_saved;
  view.batches = job->batches;
  view.failures.assign(job->failures.begin(),
                       job->failures.begin() + std::min(job->failures.size(), kFew));
  view.wants.assign(job->wants.begin(),
                    job->wants.begin() + std::min(job->wants.size(), kWantsShown));
  return view;
}

std::vector<JobId> SchedulerCore::ListJobs(JobId cursor, uint32_t limit, JobId* next) const {
  std::vector<JobId> out;
  JobId id = std::max<JobId>(cursor, 1);
  for (; id < state_->jobs.size() && out.size() < limit; ++id) out.push_back(id);
  *next = id < state_->jobs.size() ? id : 0;
  return out;
}

std::optional<TaskView> SchedulerCore::GetTask(TaskId task) const {
  const Job* job = state_->FindJob(task.job);
  if (job == nullptr || task.ordinal >= job->tasks.size()) return std::nullopt;
  return ViewOf(*state_, *job, task.ordinal);
}

std::vector<TaskView> SchedulerCore::ListTasks(JobId id, uint32_t state_mask, Ordinal cursor,
                                               uint32_t limit, Ordinal* next) const {
  std::vector<TaskView> out;
  *next = 0;
  const Job* job = state_->FindJob(id);
  if (job == nullptr) return out;
  Ordinal ordinal = cursor;
  for (uint32_t looked = 0; ordinal < job->tasks.size() && looked < limit; ++ordinal, ++looked) {
    if (state_mask >> static_cast<uint32_t>(job->tasks[ordinal].state) & 1) {
      out.push_back(ViewOf(*state_, *job, ordinal));
    }
  }
  *next = ordinal < job->tasks.size() ? ordinal : 0;
  return out;
}

std::optional<Explanation> SchedulerCore::Explain(TaskId id) const {
  const Job* job = state_->FindJob(id.job);
  if (job == nullptr || id.ordinal >= job->tasks.size()) return std::nullopt;
  const TaskRec& task = job->tasks[id.ordinal];
  Explanation out;
  out.task = ViewOf(*state_, *job, id.ordinal);
  out.inputs_total = task.edge_count;
  ExplainInputs(*job, task, out);
  const Shape& shape = state_->shapes[task.shape];
  for (const auto& worker : state_->workers) {
    if (worker == nullptr) continue;
    WorkerFitView fit{worker->id};
    fit.limit = Limit(*worker, shape.need);
    fit.when_idle = worker->up() && fit.limit.empty();
    if (fit.limit.empty() && !worker->up()) {
      fit.limit = worker->draining ? "is draining" : "is not connected";
    }
    fit.now = fit.when_idle && state_->CanRun(*worker, task.shape);
    if (fit.when_idle && !fit.now) fit.limit = "is busy";
    out.workers.push_back(std::move(fit));
  }
  if (auto it = job->history.find(id.ordinal); it != job->history.end()) out.attempts = it->second;
  for (uint32_t a = task.attempts; a != kNil; a = state_->attempts[a].next_of_task) {
    const AttemptRec& attempt = state_->attempts[a];
    AttemptView view{attempt.id, attempt.worker, attempt.state};
    if (attempt.started_ns != 0) view.run_ns = state_->now_ns - attempt.started_ns;
    out.attempts.push_back(view);
  }
  if (task.state == TaskState::kDone && task.tries > 0) {
    AttemptView view{task.last_attempt, task.last_worker, AttemptState::kRunning, true,
                     AttemptEnd::kFinished};
    view.run_ns = uint64_t{task.run_us} * 1000;
    out.attempts.push_back(view);
  }
  if (task.position != kNotInHeap) out.ahead_in_queue = shape.queued - 1;
  for (const FailureView& failure : job->failures) {
    if (failure.task.ordinal == task.culprit) out.failure = failure;
  }
  return out;
}

std::optional<ObjectView> SchedulerCore::GetObject(ObjectId id) const {
  ObjectRec* object = state_->FindObject(id);
  if (object == nullptr) return std::nullopt;
  const Job& job = *state_->FindJob(id.job);
  ObjectView view;
  view.object = id;
  view.version = object->version;
  view.size_bytes = object->size_bytes;
  view.crc32c = object->crc32c;
  view.available = object->usable > 0;
  view.wanted = state_->Wanted(job, *object);
  view.producer = {id.job, object->producer};
  view.producer_state = job.tasks[object->producer].state;
  for (uint32_t r = object->replicas; r != kNil; r = state_->replicas[r].next) {
    if (state_->replicas[r].usable)
      view.holders.push_back(state_->workers[state_->replicas[r].worker]->id);
  }
  std::sort(view.holders.begin(), view.holders.end());
  return view;
}

std::optional<WorkerView> SchedulerCore::GetWorker(WorkerId id) const {
  const Worker* worker = state_->FindWorker(id);
  if (worker == nullptr) return std::nullopt;
  WorkerView view;
  view.worker = worker->id;
  view.state = worker->state;
  view.stream = worker->stream;
  view.capacity = worker->capacity;
  view.in_use = {static_cast<uint32_t>(worker->used_cpus), worker->used_memory};
  view.host = worker->host;
  view.running = worker->started;
  view.assigned = worker->attempts;
  view.queued_home = worker->home_tasks;
  view.objects = worker->held.size();
  view.object_bytes = worker->object_bytes;
  view.finished = worker->finished;
  return view;
}

std::vector<WorkerView> SchedulerCore::ListWorkers() const {
  std::vector<WorkerView> out;
  for (const auto& worker : state_->workers) {
    if (worker != nullptr) out.push_back(*GetWorker(worker->id));
  }
  return out;
}

std::string SchedulerCore::Validate() const { return ValidateState(*state_); }

}  // namespace taskd::scheduler
