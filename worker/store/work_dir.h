// The folder on the node's own disk that one worker daemon has for itself:
//
//   lock      held (flock) while a daemon lives; never on a network file system that does not know flock
//   store/    objects above limits::kHeapObjectBytes, one file each
//   run/      one folder an attempt
//   logs/     logs of ended attempts, see worker/exec/log_archive.h; made when needed
//   running   what runs, see worker/exec/run_ring.h
//
// Everything in store/, run/ and logs/ belongs to the daemon that made it: a new one starts with them
// empty, because the scheduler knows it as a new incarnation that holds nothing.
#ifndef TASKD_WORKER_STORE_WORK_DIR_H_
#define TASKD_WORKER_STORE_WORK_DIR_H_

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace taskd::worker {

class WorkDir {
 public:
  // Makes the folder (0700) if needed, locks it and removes what an earlier daemon left, but for `running`.
  // FailedPrecondition when another daemon has the folder.
  static absl::StatusOr<WorkDir> Open(const std::string& path);

  WorkDir(WorkDir&& other) noexcept;
  WorkDir& operator=(WorkDir&&) = delete;
  ~WorkDir();  // lets the lock go; files stay

  const std::string& path() const { return path_; }
  const std::string& store_path() const { return store_path_; }
  const std::string& run_path() const { return run_path_; }
  std::string log_path() const { return path_ + "/logs"; }
  std::string running_path() const { return path_ + "/running"; }

  // Removes what dead daemons left in folders beside `path` whose names begin with `prefix`, as daemons without
  // a name of their own do. Only what a daemon makes goes, and never of a folder that a living one has.
  // Calls `found` with each that there is, before.
  static void SweepDead(const std::string& path, std::string_view prefix,
                        const std::function<void(const WorkDir&)>& found);

  // Empties store/, run/ and logs/: at a clean stop.
  void Clean() const;

  // And the folder with them, unless somebody keeps something there.
  void Remove() const;

 private:
  explicit WorkDir(std::string path);
  absl::Status Lock();

  std::string path_, store_path_, run_path_;
  int lock_fd_ = -1;
};

// Removes `path` and everything below it, without following links. What cannot be removed is left.
void RemoveTree(const std::string& path);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_WORK_DIR_H_
