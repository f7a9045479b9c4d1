// Pages of jobs and of tasks, and what is said of what is not there. A page looks at
// limits::kQueryRecords records at most, so that it may hold fewer than were asked for; the cursor
// in it (0: at the end) goes on.
#ifndef TASKD_SCHEDULER_SHELL_LISTING_H_
#define TASKD_SCHEDULER_SHELL_LISTING_H_

#include "absl/status/status.h"
#include "scheduler/core/scheduler_core.h"
#include "scheduler/shell/describe.h"
#include "scheduler/shell/job_store.h"
#include "taskd/v1/admin.pb.h"

namespace taskd::scheduler {

// On the core thread.
absl::Status ListJobs(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                      const v1::ListJobsRequest& request, v1::JobList* to);
absl::Status ListObjects(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                         const v1::ListObjectsRequest& request, v1::ObjectList* to);
absl::Status ListTasks(const SchedulerCore& core, const JobStore& jobs, const Describer& describe,
                       const v1::ListTasksRequest& request, v1::TaskList* to);
absl::Status NoTask(const SchedulerCore& core, TaskId task);
// Why an object that is not available will never be; OK: it is still to come.
absl::Status WhyNever(const SchedulerCore& core, const JobStore& jobs, ObjectId object,
                      const std::optional<ObjectView>& view);
absl::Status NoObject(const SchedulerCore& core, ObjectId object);

// On any thread.
absl::Status NoJob(JobId job);
absl::Status NoRecord(const JobStore& jobs, JobId job);  // the store has none

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_LISTING_H_
