// What the scheduler keeps about jobs outside of the core: names, keys, bodies and arguments
// (DESIGN section 5).
//
// A job appears when the core has opened it and grows by accepted batches, which one thread
// (intake) adds. Any thread may read; a reader sees a batch whole or not at all.
#ifndef TASKD_SCHEDULER_SHELL_JOB_STORE_H_
#define TASKD_SCHEDULER_SHELL_JOB_STORE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/graph/job_names.h"

namespace taskd::v1 {
class Body;
class GraphBatch;
}  // namespace taskd::v1

namespace taskd::scheduler {

using BodyPtr = std::shared_ptr<const v1::Body>;

// Arguments of the tasks of one batch: bytes back to back.
struct ArgsColumn {
  Ordinal first_task = 0;
  uint32_t count = 0;
  uint32_t each = 0;  // bytes of every task, when `ends` is empty
  std::vector<uint64_t> ends;
  std::string bytes;
};

// What is true for a whole job; set when it is opened.
struct JobHeader {
  JobId job = 0;
  std::string name;
  std::string owner;
  uint64_t submitted_ms = 0;  // wall clock
};

class JobRecord {
 public:
  explicit JobRecord(JobHeader header) : header_(std::move(header)) {}

  const JobHeader& header() const { return header_; }

  std::string TaskKey(Ordinal task) const;
  std::string ObjectName(Ordinal object) const;
  absl::StatusOr<graph::NamedThing> Resolve(std::string_view name) const;
  absl::StatusOr<std::vector<graph::Run>> MatchTasks(std::string_view pattern) const;
  absl::StatusOr<std::vector<graph::Run>> MatchObjects(std::string_view pattern) const;
  BodyPtr Body(uint32_t index) const;  // null: no such body
  // Appends the task's arguments to *args; nothing when it has none.
  void CopyArgs(Ordinal task, std::string* args) const;
  uint32_t task_count() const;
  uint32_t object_count() const;

  // Adds an accepted batch. An error of the names changes nothing.
  absl::Status Add(const v1::GraphBatch& batch, std::vector<BodyPtr> bodies, ArgsColumn args);

 private:
  friend class JobStore;

  JobHeader header_;  // of one that is in a store: as it was put there
  mutable std::shared_mutex mutex_;
  graph::JobNames names_;
  std::vector<BodyPtr> bodies_;
  std::vector<ArgsColumn> args_;  // by first task; batches without arguments have none
};

class JobStore {
 public:
  // Of jobs that were forgotten the headers of the last `forgotten_kept` stay: as many as the core
  // has compact records.
  explicit JobStore(uint32_t forgotten_kept = limits::kForgottenJobsKept)
      : forgotten_kept_(forgotten_kept) {}

  // The job's record, made now if need be.
  std::shared_ptr<JobRecord> Open(JobHeader header);
  // Puts a record there that was made before its job had a number; nothing when the job has one.
  void Adopt(JobId job, const std::shared_ptr<JobRecord>& record);
  std::shared_ptr<JobRecord> Find(JobId job) const;  // null: no such job, or it was forgotten
  std::optional<JobHeader> Header(JobId job) const;
  // Drops the record; its memory goes back before this returns, unless somebody else has it.
  void Forget(JobId job);
  bool Forgotten(JobId job) const;
  uint64_t records() const;

  // "map[3]" and "map[3].p", also for what is not there: "task 17 of job 3".
  std::string TaskKey(TaskId task) const;
  std::string ObjectName(ObjectId object) const;

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<JobId, std::shared_ptr<JobRecord>> jobs_;
  absl::flat_hash_map<JobId, JobHeader> forgotten_;
  std::deque<JobId> forgotten_order_;
  const uint32_t forgotten_kept_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_JOB_STORE_H_
