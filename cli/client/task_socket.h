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

  struct Submitted {
    JobId job = 0;             // below the task's own; 0: it is held until the task has succeeded
    Ordinal first_object = 0;  // where in it the objects of the graph begin
  };
  // A whole graph: one zstd-compressed GraphBatch a frame.
  absl::StatusOr<Submitted> Submit(const std::vector<std::string>& frames, bool early);
  // Blocks until each is there, or never will be; the task's resources are free meanwhile.
  absl::Status Await(const std::vector<ObjectId>& objects);
  // Keeps what the file holds as an object of that job. `name`: of the task that stands for it; empty: any.
  absl::StatusOr<ObjectId> Put(const std::string& path, const std::string& name);
  // The task's `output` is that object of what it submits.
  absl::Status Delegate(std::string_view output, Ordinal object);

 private:
  struct Impl;
  explicit TaskSocket(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_TASK_SOCKET_H_
