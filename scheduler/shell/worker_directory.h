// What workers say about themselves that the core does not need: names, addresses, statistics.
// Thread-safe.
#ifndef TASKD_SCHEDULER_SHELL_WORKER_DIRECTORY_H_
#define TASKD_SCHEDULER_SHELL_WORKER_DIRECTORY_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "scheduler/core/events.h"

namespace taskd::scheduler {

struct WorkerProfile {
  std::string name;
  std::string host;
  std::string data_address;
  std::string metrics_address;
  std::string version;
  uint64_t identity = 0;
  // From heartbeats.
  uint64_t store_bytes = 0;
  uint64_t fetched_bytes = 0;
  uint64_t served_bytes = 0;
};

class WorkerDirectory {
 public:
  void Set(WorkerId worker, const WorkerProfile& profile);
  void SetStatistics(WorkerId worker, uint64_t store_bytes, uint64_t fetched_bytes,
                     uint64_t served_bytes);
  // Of a worker that was welcomed at some time, also of one that is lost; else a profile without a
  // name.
  WorkerProfile Get(WorkerId worker) const;
  std::string Name(WorkerId worker) const;  // "" for no worker; "w3.1" for one that is not known

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<WorkerId, WorkerProfile> workers_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_WORKER_DIRECTORY_H_
