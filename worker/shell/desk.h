// What the scheduler told the shell and the core need not know: bodies, arguments, addresses. Of
// the core's thread.
#ifndef TASKD_WORKER_SHELL_DESK_H_
#define TASKD_WORKER_SHELL_DESK_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "worker/core/events.h"
#include "worker/exec/request.h"

namespace taskd::v1 {
class SchedulerToWorker;
}

namespace taskd::worker {

class Desk {
 public:
  // `zero`: attempts need no inputs, because nothing will be run.
  explicit Desk(bool zero = false) : zero_(zero) {}

  // A new stream: bodies and peers are mentioned anew. Assignments keep the bodies that they came
  // with.
  void BeginSession();

  // Notes what is for the shell and appends what is for the core, in the order of the message's
  // fields. An error: the message is damaged; nothing was appended.
  absl::Status Read(SessionId session, v1::SchedulerToWorker& message, std::vector<Event>& events);

  // Null: the core never took this assignment.
  std::shared_ptr<ExecRequest> Request(const AttemptRef& attempt) const;
  // Notes what it was given, before the request is handed on.
  void Grant(const AttemptRef& attempt, std::vector<UnitShare> units);
  void Release(const AttemptRef& attempt);

  // "": not known.
  std::string PeerAddress(WorkerId worker) const;

  // The scheduler said that nobody needs this worker any more.
  bool retired() const { return retired_; }

 private:
  const bool zero_;
  bool retired_ = false;
  absl::flat_hash_map<std::pair<JobId, uint32_t>, std::shared_ptr<const v1::Body>> bodies_;
  absl::flat_hash_map<WorkerId, std::string> peers_;
  absl::flat_hash_map<AttemptRef, std::shared_ptr<ExecRequest>> requests_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_DESK_H_
