// Folders for attempts, and files in them for a stdout that is an output. To make and remove them costs a
// disk's file system half of what starting a process does, so emptied ones are used again.
//
// What an attempt gets is as a new one, whoever had it before: it has a name that was never used, so a path
// that somebody kept leads nowhere; it is seen to be empty under that name; and no process was in it when all
// of them were looked at, after its last attempt and after its last name was taken from it, so none is left that
// could write there. Of the file, the kernel
// says that nobody else has it open. A process that left its group is thereby kept away as one that holds a
// removed folder, or file, is.
#ifndef TASKD_WORKER_EXEC_FOLDER_POOL_H_
#define TASKD_WORKER_EXEC_FOLDER_POOL_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace taskd::worker {

class FolderPool {
 public:
  // `proc_path`: where the processes of this node are seen.
  explicit FolderPool(std::string proc_path = "/proc") : proc_path_(std::move(proc_path)) {}
  ~FolderPool();  // removes what it keeps
  FolderPool(const FolderPool&) = delete;
  FolderPool& operator=(const FolderPool&) = delete;

  // Thread safe, as GiveBack is. The folder `path` (0700), in a parent that is there, and in it nothing but an
  // empty `tmp` and, `with_stdout`, an empty kStdoutFile (0600), which is open for writing: -1 without. Paths
  // are never used twice.
  absl::StatusOr<int> Take(const std::string& path, bool with_stdout);

  // Removes what is in it, and the folder itself when it cannot serve again. `stdout_inode`: of the file that
  // Take gave with it; 0: none, or it is not to be used again.
  void GiveBack(const std::string& path, uint64_t stdout_inode);

 private:
  struct Spare {
    std::string path;
    bool has_stdout = false;
  };
  Spare TakeSpare(bool with_stdout);  // without a path: there is none
  std::vector<Spare> WithoutProcesses(std::vector<Spare> spares) const;

  const std::string proc_path_;
  std::mutex mutex_;
  std::vector<Spare> ready_;    // guarded by mutex_: no process was in it
  std::vector<Spare> resting_;  // guarded by mutex_: not looked at yet
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_FOLDER_POOL_H_
