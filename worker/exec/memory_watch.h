// Watches how much memory attempts use, by looking at their processes, and says so when one uses more
// than it asked for. What is counted is what only the node's death or the process's can free: anonymous
// and shared memory; files that it has mapped, its inputs say, are not.
//
// One look at /proc serves all attempts. The nearer one of them is to its limit, the sooner comes the next:
// in the time between two looks a process can take kGrowthBytesPerSecond, so a limit is overrun by what it
// takes in kShortestNs.
#ifndef TASKD_WORKER_EXEC_MEMORY_WATCH_H_
#define TASKD_WORKER_EXEC_MEMORY_WATCH_H_

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace taskd::worker {

class MemoryWatch {
 public:
  // Bytes in use. Any thread; once a group.
  using Exceeded = std::function<void(uint64_t used_bytes)>;

  explicit MemoryWatch(std::string vmstat_path) : vmstat_path_(std::move(vmstat_path)) {}
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  // A process group, from its start until it is reaped. Thread safe.
  void Add(pid_t group, uint64_t limit_bytes, Exceeded exceeded);
  void Remove(pid_t group);

  // How often the kernel has killed for want of memory since the node started; 0: it does not say. Lately:
  // a moment ago, at most kLongestNs. Thread safe.
  uint64_t KernelKills();
  uint64_t KernelKillsLately();

 private:
  static constexpr uint64_t kShortestNs = 50'000'000, kLongestNs = 1'000'000'000;
  static constexpr uint64_t kGrowthBytesPerSecond = uint64_t{4} << 30;

  struct Group {
    uint64_t limit_bytes = 0;
    Exceeded exceeded;
  };

  void Run();
  uint64_t Look();

  const std::string vmstat_path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;                             // guarded by mutex_
  uint64_t next_ns_ = UINT64_MAX;                     // of the next look; guarded by mutex_
  absl::flat_hash_map<pid_t, Group> groups_;          // guarded by mutex_
  uint64_t kernel_kills_ = 0, kernel_looked_ns_ = 0;  // guarded by mutex_
  std::thread thread_;                                // from the first group on
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_MEMORY_WATCH_H_
