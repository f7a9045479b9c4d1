#include "scheduler/shell/job_store.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {

std::string JobRecord::TaskKey(Ordinal task) const {
  std::shared_lock lock(mutex_);
  return names_.TaskKey(task);
}

std::string JobRecord::ObjectName(Ordinal object) const {
  std::shared_lock lock(mutex_);
  return names_.ObjectName(object);
}

absl::StatusOr<graph::NamedThing> JobRecord::Resolve(std::string_view name) const {
  std::shared_lock lock(mutex_);
  return names_.Resolve(name);
}

absl::StatusOr<std::vector<graph::Run>> JobRecord::MatchTasks(std::string_view pattern) const {
  std::shared_lock lock(mutex_);
  return names_.MatchTasks(pattern);
}

absl::StatusOr<std::vector<graph::Run>> JobRecord::MatchObjects(std::string_view pattern) const {
  std::shared_lock lock(mutex_);
  return names_.MatchObjects(pattern);
}

BodyPtr JobRecord::Body(uint32_t index) const {
  std::shared_lock lock(mutex_);
  return index < bodies_.size() ? bodies_[index] : nullptr;
}

void JobRecord::CopyArgs(Ordinal task, std::string* args) const {
  std::shared_lock lock(mutex_);
  auto after =
      std::upper_bound(args_.begin(), args_.end(), task,
                       [](Ordinal t, const ArgsColumn& column) { return t < column.first_task; });
  if (after == args_.begin()) return;
  const ArgsColumn& column = *std::prev(after);
  uint32_t i = task - column.first_task;
  if (i >= column.count) return;
  if (column.ends.empty()) {
    args->append(column.bytes, uint64_t{column.each} * i, column.each);
  } else {
    uint64_t begin = i == 0 ? 0 : column.ends[i - 1];
    args->append(column.bytes, begin, column.ends[i] - begin);
  }
}

uint32_t JobRecord::task_count() const {
  std::shared_lock lock(mutex_);
  return names_.task_count();
}

uint32_t JobRecord::object_count() const {
  std::shared_lock lock(mutex_);
  return names_.object_count();
}

absl::Status JobRecord::Add(const v1::GraphBatch& batch, std::vector<BodyPtr> bodies,
                            ArgsColumn args) {
  std::unique_lock lock(mutex_);
  if (absl::Status status = names_.AddBatch(batch); !status.ok()) return status;
  for (BodyPtr& body : bodies) bodies_.push_back(std::move(body));
  if (!args.bytes.empty()) args_.push_back(std::move(args));
  return absl::OkStatus();
}

std::shared_ptr<JobRecord> JobStore::Open(JobHeader header) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<JobRecord>& record = jobs_[header.job];
  if (record == nullptr) record = std::make_shared<JobRecord>(std::move(header));
  return record;
}

void JobStore::Adopt(JobId job, const std::shared_ptr<JobRecord>& record) {
  std::lock_guard lock(mutex_);
  if (jobs_.emplace(job, record).second) record->header_.job = job;
}

std::shared_ptr<JobRecord> JobStore::Find(JobId job) const {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(job);
  return found == jobs_.end() ? nullptr : found->second;
}

std::optional<JobHeader> JobStore::Header(JobId job) const {
  std::lock_guard lock(mutex_);
  if (auto found = jobs_.find(job); found != jobs_.end()) return found->second->header();
  auto kept = forgotten_.find(job);
  return kept == forgotten_.end() ? std::nullopt : std::optional(kept->second);
}

void JobStore::Forget(JobId job) {
  std::shared_ptr<JobRecord> record;  // outlives the lock: there may be much to free
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  record = std::move(found->second);
  jobs_.erase(found);
  forgotten_.emplace(job, record->header());
  forgotten_order_.push_back(job);
  if (forgotten_order_.size() <= forgotten_kept_) return;
  forgotten_.erase(forgotten_order_.front());
  forgotten_order_.pop_front();
}

bool JobStore::Forgotten(JobId job) const {
  std::lock_guard lock(mutex_);
  return forgotten_.contains(job);
}

uint64_t JobStore::records() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

std::string JobStore::TaskKey(TaskId task) const {
  auto record = Find(task.job);
  return record ? record->TaskKey(task.ordinal)
                : StrCat("task ", task.ordinal, " of job ", task.job);
}

std::string JobStore::ObjectName(ObjectId object) const {
  auto record = Find(object.job);
  return record ? record->ObjectName(object.ordinal)
                : StrCat("object ", object.ordinal, " of job ", object.job);
}

}  // namespace taskd::scheduler
