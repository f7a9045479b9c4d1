// What a body asks of its worker while it runs, and what it is answered.
#ifndef TASKD_WORKER_EXEC_TASK_REQUEST_H_
#define TASKD_WORKER_EXEC_TASK_REQUEST_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "worker/store/object.h"

namespace taskd::worker {

// The next batch of the graph that it submits; `early`: its tasks start now, not when this one has succeeded.
struct SubmitRequest {
  bool early = false;
  std::string frame;
  uint32_t graph = 0;  // of the task's: any number, the same for its batches
};
// It waits until each of them is there or never will be, and others have its resources meanwhile.
struct AwaitRequest {
  std::vector<ObjectId> objects;
};
// It waits for the object, and reads it.
struct GetRequest {
  ObjectId object;
};
// It does not make the output itself: that is this object of what it submitted.
struct DelegateRequest {
  std::string output;
  Ordinal object = 0;
};
// What Puts keeps under the token is an object of what it submits.
struct PutRequest {
  std::string token;
  std::string name = {};  // of the task that stands for it; empty: any
};
using TaskRequest =
    std::variant<SubmitRequest, AwaitRequest, GetRequest, DelegateRequest, PutRequest>;

struct TaskAnswer {
  absl::Status status;
  // Of an early submission: whose tasks and objects they are, and the first of the objects.
  JobId job = 0;
  Ordinal first_object = 0;
  std::optional<ObjectReader> object;  // that was asked for; its bytes are not verified yet
  ObjectVersion id;                    // of it
};
// Any thread; once, or never when the attempt has ended before.
using AnswerTo = std::function<void(TaskAnswer)>;

// How processes of one attempt reach the worker by themselves, and which outputs they have delegated.
class TaskAccess {
 public:
  TaskAccess(std::string dir, std::string socket, std::string token)
      : dir(std::move(dir)), socket(std::move(socket)), token(std::move(token)) {}

  const std::string dir, socket, token;  // $TASKD_DIR, $TASKD_SOCKET, $TASKD_TOKEN

  // Any thread. The last call for an output counts.
  void Delegate(uint32_t output, Ordinal object) {
    std::lock_guard lock(mutex_);
    delegated_[output] = object;
  }
  Ordinal Delegated(uint32_t output) const {  // kNoOrdinal: it is not
    std::lock_guard lock(mutex_);
    auto it = delegated_.find(output);
    return it == delegated_.end() ? kNoOrdinal : it->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<uint32_t, Ordinal> delegated_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_TASK_REQUEST_H_
