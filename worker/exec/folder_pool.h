// Folders for attempts. To make one and remove it costs a disk's file system about as much as starting a
// process, so emptied ones are used again.
//
// What an attempt gets is as a new one, whoever had it before: it has a name that was never used, so a path
// that somebody kept leads nowhere; it is seen to be empty under that name; and no process was in it when all
// of them were looked at after its last attempt, so none is left that could write there. A process that left
// its group is thereby kept away as one that holds a removed folder is.
#ifndef TASKD_WORKER_EXEC_FOLDER_POOL_H_
#define TASKD_WORKER_EXEC_FOLDER_POOL_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace taskd::worker {

class FolderPool {
 public:
  // `proc_path`: where the processes of this node are seen.
  explicit FolderPool(std::string proc_path = "/proc") : proc_path_(std::move(proc_path)) {}
  ~FolderPool();  // removes what it keeps
  FolderPool(const FolderPool&) = delete;
  FolderPool& operator=(const FolderPool&) = delete;

  // Thread safe, as GiveBack is. The folder `path` (0700), in a parent that is there, and in it nothing but an
  // empty `tmp`. Paths are never used twice.
  absl::Status Take(const std::string& path);

  // Removes what is in it, and the folder itself when it cannot serve again.
  void GiveBack(const std::string& path);

 private:
  std::vector<std::string> WithoutProcesses(std::vector<std::string> spares) const;

  const std::string proc_path_;
  std::mutex mutex_;
  std::vector<std::string> ready_;    // guarded by mutex_: no process was in it
  std::vector<std::string> resting_;  // guarded by mutex_: not looked at yet
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_FOLDER_POOL_H_
