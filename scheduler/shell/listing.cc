#include "scheduler/shell/listing.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/rpc/wire.h"

namespace taskd::scheduler {
namespace {

constexpr uint32_t kPage = 1000;

uint32_t PageSize(uint32_t asked) {
  return asked == 0 ? kPage : std::min(asked, limits::kQueryRecords);
}

// A bit for each state; all of them when none is named.
template <class State, class States>
absl::StatusOr<uint32_t> Mask(const States& states) {
  uint32_t mask = 0;
  for (int state : states) {
    auto decoded = rpc::Decode(static_cast<State>(state));
    if (!decoded.ok()) return decoded.status();
    mask |= 1u << static_cast<uint32_t>(*decoded);
  }
  return mask == 0 ? ~0u : mask;
}

template <class State>
bool In(uint32_t mask, State state) {
  return (mask >> static_cast<uint32_t>(state) & 1) != 0;
}

absl::Status Forgotten(JobId job) {
  return absl::NotFoundError(StrCat("job ", job,
                                    " was forgotten: its tasks and results are gone; taskctl job "
                                    "show ",
                                    job, " tells what is left"));
}

// Visits ordinals of `runs` from `cursor` on, until `visit` says stop or too many were looked at. The
// ordinal to go on with; 0: it was the last.
template <class Visit>
Ordinal VisitRuns(const std::vector<graph::Run>& runs, Ordinal cursor, Visit visit) {
  uint32_t looked = 0;
  for (const graph::Run& run : runs) {
    uint32_t i = cursor <= run.first ? 0 : (cursor - run.first + run.stride - 1) / run.stride;
    for (; i < run.count; ++i) {
      const Ordinal ordinal = run.first + i * run.stride;
      if (looked++ == limits::kQueryRecords || !visit(ordinal)) return ordinal;
    }
  }
  return 0;
}

absl::Status ListMatching(const SchedulerCore& core, const Describer& describe,
                          const v1::ListTasksRequest& request, uint32_t mask,
                          const JobRecord& record, v1::TaskList* to) {
  auto runs = record.MatchTasks(request.pattern());
  if (!runs.ok()) return runs.status();
  const uint32_t limit = PageSize(request.limit());
  to->set_next_cursor(VisitRuns(*runs, request.cursor(), [&](Ordinal ordinal) {
    if (static_cast<uint32_t>(to->tasks_size()) == limit) return false;
    auto task = core.GetTask({request.job(), ordinal});
    if (task && In(mask, task->state)) describe.Task(*task, to->add_tasks());
    return true;
  }));
  return absl::OkStatus();
}

}  // namespace

absl::Status ListJobs(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                      const v1::ListJobsRequest& request, v1::JobList* to) {
  auto mask = Mask<v1::JobState>(request.states());
  if (!mask.ok()) return mask.status();
  auto asked_for = [&](const JobView& job) {
    if (!In(*mask, job.state)) return false;
    if (job.parent.task.job != 0 && !request.with_children()) return false;
    if (request.owner().empty()) return true;
    auto header = jobs.Header(job.job);
    return header && header->owner == request.owner();
  };
  JobId cursor = request.cursor();
  uint32_t looked = 0, limit = PageSize(request.limit());
  do {
    uint32_t chunk =
        std::min(limit - static_cast<uint32_t>(to->jobs_size()), limits::kQueryRecords - looked);
    for (JobId job : request.newest_first() ? core.ListNewestJobs(cursor, chunk, &cursor)
                                            : core.ListJobs(cursor, chunk, &cursor)) {
      auto view = core.GetJobBriefly(job);
      if (view && asked_for(*view)) describe.Job(*view, to->add_jobs());
    }
    looked += chunk;
  } while (cursor != 0 && static_cast<uint32_t>(to->jobs_size()) < limit &&
           looked < limits::kQueryRecords);
  to->set_next_cursor(cursor);
  return absl::OkStatus();
}

absl::Status ListTasks(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                       const v1::ListTasksRequest& request, v1::TaskList* to) {
  auto record = jobs.Find(request.job());
  if (record == nullptr) return NoRecord(jobs, request.job());
  auto mask = Mask<v1::TaskState>(request.states());
  if (!mask.ok()) return mask.status();
  if (!request.pattern().empty()) return ListMatching(core, describe, request, *mask, *record, to);
  // The core counts records looked at, the caller records given: looking goes on until a page is
  // full.
  Ordinal cursor = request.cursor();
  uint32_t looked = 0, limit = PageSize(request.limit());
  do {
    uint32_t chunk =
        std::min(limit - static_cast<uint32_t>(to->tasks_size()), limits::kQueryRecords - looked);
    for (const TaskView& task : core.ListTasks(request.job(), *mask, cursor, chunk, &cursor))
      describe.Task(task, to->add_tasks());
    looked += chunk;
  } while (cursor != 0 && static_cast<uint32_t>(to->tasks_size()) < limit &&
           looked < limits::kQueryRecords);
  to->set_next_cursor(cursor);
  return absl::OkStatus();
}

absl::Status ListObjects(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                         const v1::ListObjectsRequest& request, v1::ObjectList* to) {
  auto record = jobs.Find(request.job());
  if (record == nullptr) return NoRecord(jobs, request.job());
  std::vector<graph::Run> runs = {{0, record->object_count(), 1}};
  if (!request.pattern().empty()) {
    auto matching = record->MatchObjects(request.pattern());
    if (!matching.ok()) return matching.status();
    runs = *std::move(matching);
  }
  const uint32_t limit = PageSize(request.limit());
  to->set_next_cursor(VisitRuns(runs, request.cursor(), [&](Ordinal ordinal) {
    if (static_cast<uint32_t>(to->objects_size()) == limit) return false;
    if (auto object = core.GetObject({request.job(), ordinal}))
      describe.Object(*object, to->add_objects());
    return true;
  }));
  return absl::OkStatus();
}

absl::Status NoJob(JobId job) {
  return absl::NotFoundError(StrCat("there is no job ", job, "; taskctl job list shows the jobs"));
}

absl::Status NoRecord(const JobStore& jobs, JobId job) {
  return jobs.Forgotten(job) ? Forgotten(job) : NoJob(job);
}

absl::Status NoTask(const SchedulerCore& core, TaskId task) {
  auto job = core.GetJobBriefly(task.job);
  if (!job) return NoJob(task.job);
  if (job->forgotten) return Forgotten(task.job);
  return absl::NotFoundError(
      StrCat("there is no task ", ToString(task), "; taskctl task list ", task.job, " shows them"));
}

absl::Status WhyNever(const SchedulerCore& core, const JobStore& jobs, ObjectId object,
                      const std::optional<ObjectView>& view) {
  const std::string name = jobs.ObjectName(object);
  if (!view) {
    auto job = core.GetJobBriefly(object.job);
    if (!job) return NoJob(object.job);
    return absl::NotFoundError(StrCat(name, " is not there: job ", object.job,
                                      !job->forgotten ? " has not been sent so far yet; try again"
                                                      : " was forgotten; submit its graph again"));
  }
  if (view->producer_state != TaskState::kFailed && view->producer_state != TaskState::kCancelled)
    return absl::OkStatus();
  const std::string key = jobs.TaskKey(view->producer);
  if (view->producer_state == TaskState::kCancelled)
    return absl::CancelledError(StrCat(name, " was not made: task ", key, " was cancelled"));
  return absl::FailedPreconditionError(StrCat(name, " was not made: task ", key,
                                              " failed (taskctl task explain ", view->producer.job,
                                              " ", key, " says why)"));
}

absl::Status NoObject(const SchedulerCore& core, ObjectId object) {
  auto job = core.GetJobBriefly(object.job);
  if (!job) return NoJob(object.job);
  if (job->forgotten) return Forgotten(object.job);
  return absl::NotFoundError(StrCat("there is no object ", ToString(object)));
}

}  // namespace taskd::scheduler
