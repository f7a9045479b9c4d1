// The scheduler's state machine: every task, object, worker and job of the cluster.
//
//   Step(now, events, budget, actions) -> when to call again
//
// Deterministic: the same steps give the same actions, bit for bit. Single-threaded; no clock, no
// I/O (DESIGN law 1). See the folder's README for the tables, the worklist and what happens on each
// event.
#ifndef TASKD_SCHEDULER_CORE_SCHEDULER_CORE_H_
#define TASKD_SCHEDULER_CORE_SCHEDULER_CORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"
#include "scheduler/core/views.h"

namespace taskd::scheduler {

struct Config {
  uint32_t start_count = 1;  // of the scheduler: the high bits of attempt ids; below 4096
  uint64_t rerun_after_closed_ns = limits::kRerunAfterClosedNs;
  uint64_t silent_ns = limits::kSilentNs;
  uint64_t forget_after_ns = limits::kForgetAfterNs;
  uint64_t lookahead_ns = limits::kLookaheadNs;
  uint64_t straggler_ns = limits::kStragglerNs;
  uint64_t early_fetch_ns = limits::kEarlyFetchNs;
  uint64_t client_lease_ns = limits::kClientLeaseNs;
  uint64_t quarantine_ns = limits::kQuarantineNs;
  uint32_t ended_jobs_kept = limits::kEndedJobsKept;
  uint32_t forgotten_jobs_kept = limits::kForgottenJobsKept;
};

inline constexpr uint64_t kNever = ~uint64_t{0};

class State;

class SchedulerCore {
 public:
  explicit SchedulerCore(const Config& config);
  ~SchedulerCore();
  SchedulerCore(const SchedulerCore&) = delete;
  SchedulerCore& operator=(const SchedulerCore&) = delete;

  // Applies `events` in order and appends actions. About `budget` transitions are done, then the
  // rest is kept; when work is left the result is `now_ns`, else the next time at which something
  // is due (kNever: nothing). `now_ns` never decreases.
  uint64_t Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                std::vector<Action>& actions);

  // Takes up one record that earlier starts journalled; all of them in order, before the first
  // Step. `request` is the event that the record is about (moved from), for those kinds that record
  // a request; else null. Nothing is emitted. `Config::start_count` is larger than in any record.
  //
  // Finished tasks are done, and their results away, until workers come and name what they hold;
  // what none has claimed `forget_after` after the first Step is lost. Attempts of earlier starts
  // that workers still have are adopted with their outcomes. Not kept: wants of clients, drains,
  // counts of crashes, learned durations, ranks that came after their batches.
  //
  // Not OK: the record does not fit those before it (kDataLoss). The core is as before it.
  absl::Status Restore(uint64_t now_ns, const action::Journal& record, Event* request);

  // Questions, answered between steps. Lists are paged: the answer starts at `cursor`, ends after
  // `limit` records looked at, and `*next` is where to go on (0: at the end).
  const Counters& counters() const;
  std::optional<JobView> GetJob(JobId job) const;
  std::optional<JobView> GetJobBriefly(JobId job) const;  // without failures and wants
  std::vector<JobId> ListJobs(JobId cursor, uint32_t limit, JobId* next) const;
  std::vector<JobId> ListNewestJobs(JobId cursor, uint32_t limit, JobId* next) const;  // backwards
  std::optional<TaskView> GetTask(TaskId task) const;
  // Tasks in ordinal order whose state is in `state_mask` (bit i: TaskState i).
  std::vector<TaskView> ListTasks(JobId job, uint32_t state_mask, Ordinal cursor, uint32_t limit,
                                  Ordinal* next) const;
  std::optional<Explanation> Explain(TaskId task) const;
  std::optional<ObjectView> GetObject(ObjectId object) const;
  std::optional<ObjectRange> GetDataset(const std::string& name) const;
  // Datasets by name, after `after`; at most `limit` of them.
  std::vector<DatasetView> ListDatasets(const std::string& after, uint32_t limit) const;
  std::optional<WorkerView> GetWorker(WorkerId worker) const;
  std::vector<WorkerView> ListWorkers() const;

  // "" when every invariant holds, else the first broken one. O(state); for tests and the
  // simulator.
  std::string Validate() const;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_SCHEDULER_CORE_H_
