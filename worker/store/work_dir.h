// The folder on the node's own disk that one worker daemon has for itself:
//
//   lock      held (flock) while a daemon lives; never on a network file system that does not know flock
//   store/    objects above limits::kHeapObjectBytes, one file each
//   run/      one folder an attempt
//
// Everything in store/ and run/ belongs to the daemon that made it: a new one starts with both
// empty, because the scheduler knows it as a new incarnation that holds nothing.
#ifndef TASKD_WORKER_STORE_WORK_DIR_H_
#define TASKD_WORKER_STORE_WORK_DIR_H_

#include <string>

#include "absl/status/statusor.h"

namespace taskd::worker {

class WorkDir {
 public:
  // Makes the folder (0700) if needed, locks it and removes what an earlier daemon left.
  // FailedPrecondition when another daemon has the folder.
  static absl::StatusOr<WorkDir> Open(const std::string& path);

  WorkDir(WorkDir&& other) noexcept;
  WorkDir& operator=(WorkDir&&) = delete;
  ~WorkDir();  // lets the lock go; files stay

  const std::string& path() const { return path_; }
  const std::string& store_path() const { return store_path_; }
  const std::string& run_path() const { return run_path_; }

  // Empties store/ and run/: at a clean stop.
  void Clean() const;

 private:
  WorkDir() = default;

  std::string path_, store_path_, run_path_;
  int lock_fd_ = -1;
};

// Removes `path` and everything below it, without following links. What cannot be removed is left.
void RemoveTree(const std::string& path);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_WORK_DIR_H_
