// What waits for the core's thread: events, messages of the scheduler, the ends of streams, and what bodies ask.
// Everyone else only puts things in here; nobody waits for room, but above limits::kEventQueueItems
// the session stops reading.
#ifndef TASKD_WORKER_SHELL_INBOX_H_
#define TASKD_WORKER_SHELL_INBOX_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <variant>

#include "absl/status/status.h"
#include "worker/core/events.h"
#include "worker/shell/dialogs.h"

namespace taskd::v1 {
class SchedulerToWorker;
}

namespace taskd::worker {

struct SessionMessage {
  SessionId session = 0;
  std::shared_ptr<v1::SchedulerToWorker> message;
};
struct SessionClosed {
  SessionId session = 0;
  absl::Status status;
};
using InboxItem = std::variant<Event, SessionMessage, SessionClosed, TaskAsked>;

class Inbox {
 public:
  // Any thread. `weight`: how much work the item is. False: there is too much; see WhenRoom.
  bool Post(InboxItem item, uint32_t weight = 1);

  // Calls `resume` from the core's thread once there is room, or at once.
  void WhenRoom(std::function<void()> resume);

  // The core's thread: everything that waits; blocks until there is something or `wake_at_ns`
  // (CLOCK_MONOTONIC).
  std::deque<InboxItem> Take(uint64_t wake_at_ns);

  uint64_t queued() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable not_empty_;
  std::deque<InboxItem> items_;
  uint64_t weight_ = 0;
  std::function<void()> resume_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_INBOX_H_
