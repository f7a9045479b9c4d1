// Takes in what tasks submit. A batch is checked on the intake's thread, as those of clients are, and goes to the core;
// what it says before is only posted after it. The core gives the child job its number when it takes the first batch:
// then, and before anything of it is assigned, the child's record goes to the job store.
//
// Every batch may come again, on a new stream of its worker. What the core has taken it acknowledges by its number; a
// batch that it has not taken is kept here until it has.
#ifndef TASKD_SCHEDULER_SHELL_TASK_INTAKE_H_
#define TASKD_SCHEDULER_SHELL_TASK_INTAKE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/graph_check.h"
#include "scheduler/shell/graph_numbers.h"
#include "scheduler/shell/intake.h"
#include "scheduler/shell/job_store.h"

namespace taskd::scheduler {

class TaskIntake : public ActionSink {
 public:
  struct Submission {
    AttemptRef attempt;
    uint32_t number = 0;
    bool early = false;
    std::string frame;
    uint32_t graph = 0;  // of the attempt's
  };
  // Of an early batch; on the core's thread or the intake's. `job`: the child; `first`: the first object of the batch.
  using Answer = std::function<void(const Submission& of, JobId job, Ordinal first,
                                    const absl::Status& status)>;

  explicit TaskIntake(JobStore* jobs) : jobs_(jobs) {}
  // Before they start; both outlive this.
  void SetLoop(CoreLoop* loop, Intake* intake) {
    loop_ = loop;
    intake_ = intake;
  }

  // Any thread. `then` is called on the intake's thread when all of them have been posted to the core.
  void Submit(StreamId stream, std::vector<Submission> submissions, Answer answer,
              std::function<void()> then);

  // Before the sinks that assign.
  void OnActions(uint64_t now_ns, const SchedulerCore& core, std::span<Action> actions) override;
  uint64_t OnTime(uint64_t, const SchedulerCore&) override { return kNever; }

 private:
  // Of one attempt.
  struct Child {
    GraphTables tables;
    struct Graph {
      uint32_t batches = 0;  // of its own
      GraphNumbers numbers;
    };
    absl::flat_hash_map<uint32_t, Graph> graphs;
    std::vector<Ordinal> first_objects;  // of each batch that was sound
    absl::flat_hash_map<uint32_t, std::shared_ptr<const Batch>> untaken;  // of these, by number
    std::shared_ptr<JobRecord> record;
    JobId job = 0;  // once the first was taken
  };
  using ChildPtr = std::shared_ptr<Child>;

  // On the intake's thread.
  void Take(StreamId stream, const Submission& submission, const Answer& answer);
  // The batch for the core: empty when it has it. Or why it is none.
  absl::StatusOr<std::shared_ptr<const Batch>> Check(Child& child, const Submission& submission);
  void Post(StreamId stream, const Submission& submission, std::shared_ptr<const Batch> batch,
            std::string refused, const ChildPtr& child, const Answer& answer);
  void OnTaken(const ChildPtr& child, AttemptRef attempt, uint32_t number, JobId job);
  void OnRefused(const ChildPtr& child, AttemptRef attempt);
  void Forget(JobId job);
  JobHeader HeaderFor(TaskId parent) const;

  JobStore* const jobs_;
  CoreLoop* loop_ = nullptr;
  Intake* intake_ = nullptr;

  // Of the intake's thread.
  absl::flat_hash_map<AttemptRef, ChildPtr> children_;
  absl::btree_set<std::pair<JobId, AttemptRef>> of_job_;
  // Of the core's thread: records whose batch is with the core, by its token.
  absl::flat_hash_map<Token, std::shared_ptr<JobRecord>> asked_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_TASK_INTAKE_H_
