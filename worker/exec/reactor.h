// One thread that waits for everything an attempt waits for: descriptors (pidfds, log pipes) and
// points in time (time limits, grace, sleeps). Callbacks run on it and must not block.
#ifndef TASKD_WORKER_EXEC_REACTOR_H_
#define TASKD_WORKER_EXEC_REACTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"

namespace taskd::worker {

class Reactor {
 public:
  using Callback = std::function<void()>;
  // Names a timer; the default is none.
  using Timer = std::pair<uint64_t, uint64_t>;  // due_ns (CLOCK_MONOTONIC), sequence

  Reactor();
  ~Reactor();  // runs what was posted, then stops; timers and watches are forgotten
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // Any thread: runs `callback` on the reactor's thread, in order of the calls.
  void Post(Callback callback);
  // Any thread; level-triggered. The callback may run before this returns.
  void Watch(int fd, Callback readable);

  // The rest is for callbacks on the reactor's thread only.
  void Unwatch(int fd);  // before the descriptor is closed
  Timer AddTimer(uint64_t due_ns, Callback callback);
  void CancelTimer(Timer timer);

 private:
  void Run();
  void ArmTimer();
  void RunDueTimers();
  std::shared_ptr<Callback> FindWatch(int fd, uint32_t serial);
  bool RunPosted();

  int epoll_fd_, wake_fd_, timer_fd_;
  std::mutex mutex_;
  std::vector<Callback> posted_;  // guarded by mutex_
  bool stopping_ = false;         // guarded by mutex_
  struct WatchRec {
    uint32_t serial = 0;  // tells it from an earlier one of a descriptor with the same number
    std::shared_ptr<Callback> callback;
  };
  absl::flat_hash_map<int, WatchRec> watches_;  // guarded by mutex_
  uint32_t next_serial_ = 0;                    // guarded by mutex_
  absl::btree_map<Timer, Callback> timers_;
  uint64_t next_timer_ = 1;
  uint64_t armed_ns_ = 0;  // what timer_fd_ is set to; 0: nothing
  std::thread thread_;
};

uint64_t MonotonicNs();

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_REACTOR_H_
