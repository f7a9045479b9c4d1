// Memory limits that the kernel keeps: cgroups (version 2) below the one that this worker was started in,
// where that one is delegated to it.
//
//   PATH/taskd-UID-PID/daemon     this worker and its guardian: what has children may hold no process
//   PATH/taskd-UID-PID/tasks/N    of one attempt
//
// Whose `daemon` holds a process is alive. What dead workers of this user left goes at the next start.
#ifndef TASKD_WORKER_EXEC_CGROUPS_H_
#define TASKD_WORKER_EXEC_CGROUPS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::worker {

class Cgroups;

// What became of an attempt's memory.
struct MemoryEnd {
  bool killed = false;      // the kernel has killed in it for want of memory
  bool own_limit = false;   // its own limit was reached; else, when killed, somebody else's
  uint64_t peak_bytes = 0;  // 0: the kernel does not say (before 5.19)
};

// Of one attempt. Thread safe.
class Cgroup {
 public:
  ~Cgroup();  // kills what is in it, and removes it
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  int fd() const { return fd_; }  // of its folder, for SpawnRequest
  void Kill() const;              // all that is in it, also who left the process group
  MemoryEnd ReadMemory() const;

 private:
  friend class Cgroups;
  Cgroup(Cgroups& owner, std::string path, int fd)
      : owner_(owner), path_(std::move(path)), fd_(fd) {}
  Cgroups& owner_;
  const std::string path_;
  const int fd_;
};

class Cgroups {
 public:
  // Moves this process; before there are others of it. FailedPrecondition with the reason when there is no
  // cgroup to divide: nothing has changed then. `root` stands before /proc, /run and mount points, for tests.
  static absl::StatusOr<std::unique_ptr<Cgroups>> Open(const std::string& root = "");
  ~Cgroups();  // kills what is left, and moves this process back where the kernel lets it
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  const std::string& path() const { return path_; }
  // A byte written to it kills all attempts.
  int kill_fd() const { return kill_fd_; }

  // A cgroup whose processes may use so much memory together: anonymous, shared, the kernel's for them, no swap.
  // Pages of files count too, but give way. Thread safe.
  absl::StatusOr<std::unique_ptr<Cgroup>> Make(uint64_t memory_bytes);

 private:
  friend class Cgroup;
  explicit Cgroups(std::string parent) : parent_(std::move(parent)) {}
  absl::Status Build();
  void Remove(const std::string& path);
  void RemoveLeft();

  const std::string parent_;  // that this process was started in
  std::string path_;          // empty: nothing is made
  bool enabled_ = false;      // the parent's controller, by us
  int kill_fd_ = -1;
  std::atomic<uint64_t> next_{0};
  std::mutex mutex_;
  std::vector<std::string> left_;  // guarded by mutex_: processes that were killed were still there
};

// --- for tests ---

// The folder of the cgroup that this process is in.
absl::StatusOr<std::string> OwnCgroup(const std::string& root);

// Removes what dead workers of this user left below `parent`.
void SweepDeadCgroups(const std::string& parent);

MemoryEnd ReadMemoryOf(const std::string& path);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_CGROUPS_H_
