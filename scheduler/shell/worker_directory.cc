#include "scheduler/shell/worker_directory.h"

namespace taskd::scheduler {

void WorkerDirectory::Set(WorkerId worker, const WorkerProfile& profile) {
  std::lock_guard lock(mutex_);
  workers_[worker] = profile;
}

void WorkerDirectory::SetStatistics(WorkerId worker, uint64_t store_bytes, uint64_t fetched_bytes,
                                    uint64_t served_bytes) {
  std::lock_guard lock(mutex_);
  auto found = workers_.find(worker);
  if (found == workers_.end()) return;
  found->second.store_bytes = store_bytes;
  found->second.fetched_bytes = fetched_bytes;
  found->second.served_bytes = served_bytes;
}

WorkerProfile WorkerDirectory::Get(WorkerId worker) const {
  std::lock_guard lock(mutex_);
  auto found = workers_.find(worker);
  return found == workers_.end() ? WorkerProfile{} : found->second;
}

std::string WorkerDirectory::Name(WorkerId worker) const {
  if (!worker) return "";
  std::lock_guard lock(mutex_);
  auto found = workers_.find(worker);
  return found == workers_.end() ? ToString(worker) : found->second.name;
}

}  // namespace taskd::scheduler
