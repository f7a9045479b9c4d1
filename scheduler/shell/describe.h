// The core's views as the admin protocol's messages, with names in place of numbers, and in words.
#ifndef TASKD_SCHEDULER_SHELL_DESCRIBE_H_
#define TASKD_SCHEDULER_SHELL_DESCRIBE_H_

#include <cstdint>
#include <string>

#include "scheduler/core/scheduler_core.h"
#include "scheduler/shell/job_store.h"
#include "scheduler/shell/worker_directory.h"
#include "taskd/v1/admin.pb.h"

namespace taskd::scheduler {

// Borrows all three for as long as it lives; used on the core thread.
class Describer {
 public:
  Describer(const SchedulerCore& core, const JobStore& jobs, const WorkerDirectory& directory,
            uint64_t now_ns)
      : core_(core), jobs_(jobs), directory_(directory), now_ns_(now_ns) {}

  void Job(const JobView& view, v1::JobInfo* to) const;
  void Task(const TaskView& view, v1::TaskInfo* to) const;
  void Explain(const Explanation& view, v1::TaskExplanation* to) const;
  void Object(const ObjectView& view, v1::ObjectInfo* to) const;
  void Worker(const WorkerView& view, v1::WorkerInfo* to) const;

  // One sentence about where the task is and why, which names what to do when there is something to
  // do.
  std::string Summary(const Explanation& view) const;

 private:
  void Failure(const FailureView& view, v1::TaskFailure* to) const;
  std::string Waiting(const Explanation& view) const;
  std::string InputsText(const Explanation& view) const;
  std::string AttemptText(const Explanation& view) const;
  std::string FailureText(const Explanation& view) const;
  std::string Fitting(const Explanation& view) const;
  std::string Key(TaskId task) const { return jobs_.TaskKey(task); }

  const SchedulerCore& core_;
  const JobStore& jobs_;
  const WorkerDirectory& directory_;
  const uint64_t now_ns_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_DESCRIBE_H_
