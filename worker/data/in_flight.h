// What this worker is fetching: its data service lets workers that ask for it wait.
#ifndef TASKD_WORKER_DATA_IN_FLIGHT_H_
#define TASKD_WORKER_DATA_IN_FLIGHT_H_

#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/core/events.h"

namespace taskd::worker {

// Thread safe.
class InFlight {
 public:
  void Add(const std::vector<LocalKey>& keys) {
    std::lock_guard lock(mutex_);
    for (const LocalKey& key : keys) ++requests_[key];
  }
  void Remove(const std::vector<LocalKey>& keys) {
    std::lock_guard lock(mutex_);
    for (const LocalKey& key : keys) {
      auto it = requests_.find(key);
      if (--it->second == 0) requests_.erase(it);
    }
  }
  bool Contains(const LocalKey& key) const {
    std::lock_guard lock(mutex_);
    return requests_.contains(key);
  }

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<LocalKey, uint32_t> requests_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_IN_FLIGHT_H_
