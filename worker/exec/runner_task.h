// Everything about an attempt whose body is a function, before a runner is asked: which runner it needs, what that one
// is told, and the inputs that are held until it has them.
#ifndef TASKD_WORKER_EXEC_RUNNER_TASK_H_
#define TASKD_WORKER_EXEC_RUNNER_TASK_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "worker/exec/request.h"
#include "worker/exec/run.h"
#include "worker/exec/runner_pool.h"
#include "worker/runner/channel.h"
#include "worker/store/object.h"

namespace taskd::worker {

class RunnerTask {
 public:
  // May block: opens files.
  static ExecError Make(ExecContext& context, const ExecRequest& request, RunnerTask& task);
  ~RunnerTask();
  RunnerTask() = default;
  RunnerTask(const RunnerTask&) = delete;
  RunnerTask& operator=(const RunnerTask&) = delete;

  // In order. `known`: the runner has had the code. Valid as long as this.
  std::vector<runner::OutgoingFrame> Frames(bool code_known) const;

  const RunnerSpec& spec() const { return spec_; }
  uint64_t code_id() const { return message_.code_id; }
  std::string function() const { return std::string(message_.function); }
  const std::string& folder() const { return folder_; }
  const std::string& output_folder() const { return output_folder_; }
  // Of inputs that lie in memory, which counts as its processes' when they look at it.
  uint64_t shared_bytes() const { return shared_bytes_; }

 private:
  friend class RunnerTaskMaker;

  RunnerSpec spec_;
  std::string folder_, output_folder_;
  runner::TaskMessage message_;    // points into the request and texts_
  std::deque<std::string> texts_;  // strings that are nowhere else
  std::deque<ObjectReader> held_;  // descriptors, and bytes on the heap
  std::vector<runner::FileRange> ranges_;
  std::vector<int> fds_;  // one a range
  int packed_fd_ = -1;    // small inputs that are too many for a frame
  uint64_t shared_bytes_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_RUNNER_TASK_H_
