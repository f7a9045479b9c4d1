// Inside of a running task: its worker, which submits, waits and delegates for it (see proto/taskd/v1/task.proto).
#ifndef TASKD_CLI_CLIENT_TASK_SOCKET_H_
#define TASKD_CLI_CLIENT_TASK_SOCKET_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace taskd::client {

class TaskSocket {
 public:
  // Null: this process is no task's ($TASKD_SOCKET and $TASKD_TOKEN say so). Connects with the first call.
  static std::unique_ptr<TaskSocket> FromEnvironment();
  ~TaskSocket();

  // A whole graph: one zstd-compressed GraphBatch a frame. Early: the job below the task's own that it became.
  // Held, until the task has succeeded: 0.
  absl::StatusOr<JobId> Submit(const std::vector<std::string>& frames, bool early);
  // Blocks until each is there, or never will be; the task's resources are free meanwhile.
  absl::Status Await(const std::vector<ObjectId>& objects);
  // The task's `output` is that object of the graph that it submits.
  absl::Status Delegate(std::string_view output, Ordinal object);

 private:
  struct Impl;
  explicit TaskSocket(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_TASK_SOCKET_H_
