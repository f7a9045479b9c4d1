// Read-only answers. Nothing here changes the state.
#include <algorithm>
#include <iterator>

#include "scheduler/core/explain.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr size_t kFew = 16;
constexpr size_t kWantsShown = 256;

}  // namespace

// What is kept of a forgotten job, too.
JobView CompactView(const Job& job) {
  JobView view;
  view.job = job.id;
  view.state = StateOf(job);
  view.priority = job.family->share.priority;
  view.weight = job.family->share.weight;
  view.max_running = job.family->share.max_attempts;
  view.ttl_ns = job.ttl_ns;
  view.ephemeral = job.client != 0;
  view.tasks = job.progress.counts;
  view.running = job.progress.running;
  view.recomputed = job.progress.recomputed;
  view.retried = job.progress.retried;
  view.opened_ns = job.opened_ns;
  view.ended_ns = job.ended ? job.ended_ns : 0;
  view.bytes_moved = job.progress.bytes_moved;
  view.bytes_saved = job.progress.bytes_saved;
  view.batches = job.batches;
  view.parent = job.parent;
  if (!job.is_root()) return view;
  const Progress& more = job.family->of_children;
  for (size_t i = 0; i < more.counts.size(); ++i) view.tasks[i] += more.counts[i];
  view.running += more.running;
  view.recomputed += more.recomputed;
  view.retried += more.retried;
  view.bytes_moved += more.bytes_moved;
  view.bytes_saved += more.bytes_saved;
  view.children = static_cast<uint32_t>(job.family->children.size());
  return view;
}

std::optional<JobView> SchedulerCore::GetJobBriefly(JobId id) const {
  if (const Job* job = state_->FindJob(id)) return CompactView(*job);
  auto kept = state_->forgotten.find(id);
  if (kept == state_->forgotten.end()) return std::nullopt;
  return kept->second.view;
}

std::optional<JobView> SchedulerCore::GetJob(JobId id) const {
  std::optional<JobView> view = GetJobBriefly(id);
  if (const Job* job = state_->FindJob(id)) {
    view->failures.assign(job->failures.begin(),
                          job->failures.begin() + std::min(job->failures.size(), kFew));
    view->wants.assign(job->wants.begin(),
                       job->wants.begin() + std::min(job->wants.size(), kWantsShown));
  }
  return view;
}

std::vector<JobId> SchedulerCore::ListJobs(JobId cursor, uint32_t limit, JobId* next) const {
  std::vector<JobId> out;
  Job* job = state_->jobs.From(std::max<JobId>(cursor, 1));
  auto kept = state_->forgotten.lower_bound(cursor);
  *next = 0;
  while (job != nullptr || kept != state_->forgotten.end()) {
    bool forgotten = job == nullptr || (kept != state_->forgotten.end() && kept->first < job->id);
    JobId id = forgotten ? kept->first : job->id;
    if (out.size() == limit) {
      *next = id;
      break;
    }
    out.push_back(id);
    if (forgotten) {
      ++kept;
    } else {
      job = state_->jobs.From(id + 1);
    }
  }
  return out;
}

std::vector<JobId> SchedulerCore::ListNewestJobs(JobId cursor, uint32_t limit, JobId* next) const {
  std::vector<JobId> out;
  const JobId end = cursor == 0 ? state_->jobs.next_id() : cursor + 1;
  Job* job = state_->jobs.Before(end);
  auto kept = state_->forgotten.lower_bound(end);
  *next = 0;
  for (;;) {
    const JobId live = job == nullptr ? 0 : job->id;
    const JobId gone = kept == state_->forgotten.begin() ? 0 : std::prev(kept)->first;
    const JobId id = std::max(live, gone);
    if (id == 0) return out;
    if (out.size() == limit) {
      *next = id;
      return out;
    }
    out.push_back(id);
    if (id == live) {
      job = state_->jobs.Before(id);
    } else {
      --kept;
    }
  }
}

std::optional<TaskView> SchedulerCore::GetTask(TaskId task) const {
  const Job* job = state_->FindJob(task.job);
  if (job == nullptr || task.ordinal >= job->tasks.size()) return std::nullopt;
  Reasons reasons(*state_);
  return state_->ViewOf(*job, task.ordinal, reasons);
}

std::vector<TaskView> SchedulerCore::ListTasks(JobId id, uint32_t state_mask, Ordinal cursor,
                                               uint32_t limit, Ordinal* next) const {
  std::vector<TaskView> out;
  *next = 0;
  const Job* job = state_->FindJob(id);
  if (job == nullptr) return out;
  Reasons reasons(*state_);
  Ordinal ordinal = cursor;
  for (uint32_t looked = 0; ordinal < job->tasks.size() && looked < limit; ++ordinal, ++looked) {
    if (state_mask >> static_cast<uint32_t>(job->tasks[ordinal].state) & 1) {
      out.push_back(state_->ViewOf(*job, ordinal, reasons));
    }
  }
  *next = ordinal < job->tasks.size() ? ordinal : 0;
  return out;
}

std::optional<ObjectView> SchedulerCore::GetObject(ObjectId id) const {
  const ObjectRec* object = state_->FindObject(id);
  if (object == nullptr) return std::nullopt;
  ObjectView view;
  view.object = id;
  view.wanted = state_->Wanted(*state_->FindJob(id.job), *object);
  if (const ObjectId behind = state_->Behind(*state_->FindJob(id.job), id.ordinal);
      behind != ObjectId{}) {
    id = behind;
    object = state_->FindObject(id);
  }
  view.behind = id;
  const Job& job = *state_->FindJob(id.job);
  view.version = object->version;
  view.size_bytes = object->size_bytes;
  view.crc32c = object->crc32c;
  view.available = object->usable > 0;
  view.producer = {id.job, object->producer};
  view.producer_state = job.tasks[object->producer].state;
  for (uint32_t r = object->replicas; r != kNil; r = state_->replicas[r].next) {
    if (state_->replicas[r].usable)
      view.holders.push_back(state_->workers[state_->replicas[r].worker]->id);
  }
  std::sort(view.holders.begin(), view.holders.end());
  return view;
}

std::optional<ObjectRange> SchedulerCore::GetDataset(const std::string& name) const {
  auto found = state_->datasets.find(name);
  return found == state_->datasets.end() ? std::nullopt : std::optional(found->second);
}

std::vector<DatasetView> SchedulerCore::ListDatasets(const std::string& after,
                                                     uint32_t limit) const {
  std::vector<DatasetView> out;
  for (auto it = state_->datasets.upper_bound(after);
       it != state_->datasets.end() && out.size() < limit; ++it)
    out.push_back({it->first, it->second});
  return out;
}

std::optional<WorkerView> SchedulerCore::GetWorker(WorkerId id) const {
  const Worker* worker = state_->FindWorker(id);
  if (worker == nullptr) return std::nullopt;
  WorkerView view;
  view.worker = worker->id;
  view.state = worker->state;
  view.stream = worker->stream;
  view.capacity = worker->capacity;
  view.in_use = worker->used;
  view.host = worker->host;
  view.running = worker->started;
  view.assigned = worker->attempts;
  view.queued_home = worker->home_tasks;
  view.objects = worker->held.size();
  view.object_bytes = worker->object_bytes;
  view.store_budget_bytes = worker->store_budget_bytes;
  view.promised_bytes = worker->promised_bytes;
  view.quarantined = worker->quarantined;
  view.to_move = worker->to_move;
  view.gathering = static_cast<uint32_t>(worker->gathering.size());
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
