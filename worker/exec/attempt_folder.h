// The folder that a command runs in: inputs are put there before, outputs are taken from it
// afterwards.
#ifndef TASKD_WORKER_EXEC_ATTEMPT_FOLDER_H_
#define TASKD_WORKER_EXEC_ATTEMPT_FOLDER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "worker/exec/command_plan.h"
#include "worker/exec/folder_pool.h"
#include "worker/exec/request.h"
#include "worker/store/store.h"

namespace taskd::worker {

class AttemptFolder {
 public:
  // `memory_path`: a name for a folder of the attempt on the tmpfs of the store; empty: there is none.
  AttemptFolder(Store& store, FolderPool& pool, std::string path, std::string memory_path)
      : store_(store), pool_(pool), path_(std::move(path)), memory_path_(std::move(memory_path)) {}
  ~AttemptFolder();  // gives it back
  AttemptFolder(const AttemptFolder&) = delete;
  AttemptFolder& operator=(const AttemptFolder&) = delete;

  // Makes the folders and files of the plan. Large whole objects become hard links to their store
  // files, or symbolic links to such in memory; the rest are copies. kInputPath, kInputLost (a replica is gone; the store has reported
  // it) or kStore.
  ExecError Stage(const CommandPlan& plan);

  // kInputChanged when the body wrote to a linked store file; every such replica is dropped and
  // reported lost.
  ExecError CheckInputs() const;

  // Puts every output into the store as a version of `attempt`. All or nothing: after an error none
  // is there. kOutputMissing or kStore.
  ExecError Collect(const CommandPlan& plan, const Assignment& assignment, const TaskAccess* access,
                    std::vector<StoredOutput>& outputs);

  const std::string& path() const { return path_; }
  // The file of a stdout that is an output, open for writing, from Stage on; the caller's. -1: there is none.
  int TakeStdout() { return std::exchange(stdout_fd_, -1); }

 private:
  struct Link {
    ObjectVersion id;
    std::string name;  // of the input, in messages
    std::string path;  // of the hard link
    FileIdentity identity;
  };

  ExecError StageInput(const CommandPlan::StagedInput& input);
  bool LinkInput(const ObjectReader& reader, const CommandPlan::StagedInput& input);
  ExecError WriteText(const CommandPlan::TextFile& text) const;
  absl::StatusOr<StoredOutput> CollectOutput(const CommandPlan::Output& output,
                                             const LocalKey& key);
  absl::StatusOr<StoredOutput> CollectParts(const CommandPlan::Output& output, const LocalKey& key);
  // A regular file below the folder, reached without following any link. NotFound, or
  // FailedPrecondition saying what stands there instead.
  absl::StatusOr<int> OpenOutput(const std::string& file) const;

  Store& store_;
  FolderPool& pool_;
  const std::string path_, memory_path_;
  bool made_ = false, memory_made_ = false;
  int stdout_fd_ = -1;
  uint64_t stdout_inode_ = 0;
  std::vector<Link> links_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_ATTEMPT_FOLDER_H_
