// Where processes of tasks reach their worker: a gRPC service on a socket in the work folder, or on the loopback when
// that folder's path is too long for one. It only hands requests on: who may ask what is for Dialogs to say. What is put it
// copies into the store first.
#ifndef TASKD_WORKER_SHELL_TASK_SERVICE_H_
#define TASKD_WORKER_SHELL_TASK_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/shell/inbox.h"
#include "worker/store/puts.h"

namespace taskd::worker {

class TaskService {
 public:
  static absl::StatusOr<std::unique_ptr<TaskService>> Start(const std::string& folder,
                                                            std::shared_ptr<Inbox> inbox,
                                                            Puts& puts);
  ~TaskService();  // what has no answer by then is refused

  const std::string& address() const;  // $TASKD_SOCKET

 private:
  struct Impl;
  explicit TaskService(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_TASK_SERVICE_H_
