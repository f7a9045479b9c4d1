// What an executor gets for one attempt, and how it says that the attempt failed.
#ifndef TASKD_WORKER_EXEC_REQUEST_H_
#define TASKD_WORKER_EXEC_REQUEST_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/session.h"
#include "worker/core/units.h"

namespace taskd::v1 {
class Body;
}

namespace taskd::worker {

class TaskAccess;

struct ExecRequest {
  Assignment assignment;
  std::string key;                       // of the task
  std::string args;                      // a serialized v1::TaskArgs
  std::shared_ptr<const v1::Body> body;  // null: the scheduler never sent it
  std::vector<UnitShare> units;          // that it was given when it started
  std::shared_ptr<TaskAccess> access;    // of commands; null: they have none
};

// kNone: no error.
struct ExecError {
  FailureClass failure = FailureClass::kNone;
  std::string message;
  bool ok() const { return failure == FailureClass::kNone; }
};

inline ExecError BadBody(std::string message) {
  return {FailureClass::kBadBody, std::move(message)};
}

// An input that the store does not give: kInputLost when its replica is gone, kBadBody when it has no such parts,
// else kStore.
ExecError InputError(const std::string& what, const absl::Status& status);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_REQUEST_H_
