// The records of a large cluster do not fit the processor's caches: a report of one worker of ten
// thousand would wait for memory a dozen times, one time after the other. So what comes later is asked
// for while one report, one item of the worklist, or one worker with a free slot is worked off: first
// where things are, then the worker and its tasks, then what those point at. Changes nothing but the
// time that it takes.
#include "common/base/prefetch.h"

#include <algorithm>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

// So far ahead of what is worked off: each finds there what the one before asked for.
constexpr size_t kFarthest = 10, kFar = 7, kNear = 4, kNext = 2;
constexpr size_t kOfReport = 8;  // outcomes of one report that is yet to come
constexpr size_t kShapes = 4;    // of one worker
// Likewise inside a report, from the first of its outcomes on that was not asked for before it came.
constexpr size_t kFarInReport = kOfReport, kNearInReport = kOfReport / 2;

void AskForWorker(const Worker& worker, bool reports) {
  Prefetch(&worker.id);
  Prefetch(&worker.capacity);
  Prefetch(&worker.last_attempt);
  if (reports) Prefetch(&worker.object_bytes);
}

void AskForLoads(const Worker& worker) {
  for (size_t s = 0; s < std::min(worker.loads.size(), kShapes); ++s)
    Prefetch(worker.loads[s].get());
}

// The task that an attempt is of; null: there is none.
const TaskRec* TaskOf(const Job* job, TaskId id) {
  return job != nullptr && id.ordinal < job->tasks.size() ? &job->tasks[id.ordinal] : nullptr;
}

}  // namespace

void State::PrefetchReports(std::span<const Event> events, size_t at) {
  auto report_at = [&](size_t ahead) {
    return at + ahead < events.size() ? std::get_if<event::WorkerReport>(&events[at + ahead])
                                      : nullptr;
  };
  auto for_tasks = [&](const event::WorkerReport& report, auto visit) {
    for (size_t i = 0; i < std::min(report.outcomes.size(), kOfReport); ++i) {
      const TaskId id = report.outcomes[i].attempt.task;
      const Job* job = FindJob(id.job);
      if (const TaskRec* task = TaskOf(job, id)) visit(*job, *task, report.outcomes[i]);
    }
  };
  // Looked up once: kNoSlot when there is no such worker.
  auto reporter_at = [&](size_t ahead) -> uint16_t& {
    return reporters[(at + ahead) % reporters.size()];
  };
  if (const auto* report = report_at(kFarthest)) {
    slot_of_stream.prefetch(report->stream);
    Prefetch(report->outcomes.data());
  }
  if (const auto* report = report_at(kFar)) {
    auto it = slot_of_stream.find(report->stream);
    reporter_at(kFar) = it == slot_of_stream.end() ? kNoSlot : it->second;
    if (const Worker* worker = WorkerAt(reporter_at(kFar))) AskForWorker(*worker, true);
    for_tasks(*report,
              [](const Job&, const TaskRec& task, const Outcome&) { PrefetchRecord(task); });
  }
  if (const auto* report = report_at(kNear)) {
    if (const Worker* worker = WorkerAt(reporter_at(kNear))) {
      Prefetch(worker->loads.data());
      Prefetch(worker->held.Directory());
    }
    for_tasks(*report, [this](const Job& job, const TaskRec& task, const Outcome& outcome) {
      if (task.attempts != kNil) PrefetchRecord(attempts[task.attempts]);
      if (task.output_count > 0) PrefetchRecord(job.objects[task.first_output]);
      Prefetch(outcome.outputs.data());
    });
  }
  if (report_at(kNext) == nullptr) return;
  if (const Worker* worker = WorkerAt(reporter_at(kNext))) {
    AskForLoads(*worker);
    Prefetch(worker->held.End());
  }
}

void State::PrefetchStarted(const event::WorkerReport& report, size_t at) {
  const std::vector<AttemptRef>& started = report.started;
  if (at + kFarInReport < started.size()) {
    const TaskId id = started[at + kFarInReport].task;
    if (const TaskRec* task = TaskOf(FindJob(id.job), id)) PrefetchRecord(*task);
  }
  if (at + kNearInReport >= started.size() || at + kNearInReport < kOfReport) return;
  const TaskId id = started[at + kNearInReport].task;
  const TaskRec* task = TaskOf(FindJob(id.job), id);
  if (task != nullptr && task->attempts != kNil) PrefetchRecord(attempts[task->attempts]);
}

// What it has of tasks was asked for when they started, often by the same report.
void State::PrefetchOutcomes(const event::WorkerReport& report, size_t at) {
  const std::vector<Outcome>& outcomes = report.outcomes;
  if (at + kNearInReport >= outcomes.size() || at + kNearInReport < kOfReport) return;
  const Outcome& outcome = outcomes[at + kNearInReport];
  Prefetch(outcome.outputs.data());
  const Job* job = FindJob(outcome.attempt.task.job);
  const TaskRec* task = TaskOf(job, outcome.attempt.task);
  if (task != nullptr && task->output_count > 0) PrefetchRecord(job->objects[task->first_output]);
}

void State::PrefetchWork() {
  auto look = [&](size_t ahead, auto visit) {
    if (ahead >= worklist.size()) return;
    const Work& work = worklist[ahead];
    if (work.kind != WorkKind::kAnnounceObject) return;
    if (const Job* job = FindJob(work.job)) visit(*job, job->objects[work.index]);
  };
  look(kNear, [](const Job&, const ObjectRec& object) { PrefetchRecord(object); });
  look(kNext, [this](const Job& job, const ObjectRec& object) {
    PrefetchRecord(job.tasks[object.producer]);
    if (object.replicas != kNil) Prefetch(&replicas[object.replicas]);
  });
}

void State::PrefetchWorkers(const std::deque<uint16_t>& slots) {
  auto look = [&](size_t ahead, auto visit) {
    if (ahead >= slots.size()) return;
    if (const Worker* worker = WorkerAt(slots[ahead])) visit(*worker);
  };
  look(kFar, [](const Worker& worker) { AskForWorker(worker, false); });
  look(kNear, [](const Worker& worker) { Prefetch(worker.loads.data()); });
  look(kNext, AskForLoads);
}

}  // namespace taskd::scheduler
