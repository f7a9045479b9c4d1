#include "worker/shell/inbox.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/limits.h"
#include "common/io/clock.h"

namespace taskd::worker {

bool Inbox::Post(InboxItem item, uint32_t weight) {
  bool room;
  {
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    weight_ += weight;
    room = weight_ < limits::kEventQueueItems;
  }
  not_empty_.notify_one();
  return room;
}

void Inbox::WhenRoom(std::function<void()> resume) {
  {
    std::lock_guard lock(mutex_);
    if (!items_.empty()) {
      resume_ = std::move(resume);
      return;
    }
  }
  resume();
}

std::deque<InboxItem> Inbox::Take(uint64_t wake_at_ns) {
  std::deque<InboxItem> taken;
  std::function<void()> resume;
  {
    std::unique_lock lock(mutex_);
    const uint64_t now = io::NowNs();
    if (items_.empty() && wake_at_ns > now) {
      const uint64_t wait_ns = std::min<uint64_t>(wake_at_ns - now, 3'600'000'000'000);
      not_empty_.wait_for(lock, std::chrono::nanoseconds(wait_ns),
                          [this] { return !items_.empty(); });
    }
    taken.swap(items_);
    weight_ = 0;
    resume = std::exchange(resume_, nullptr);
  }
  if (resume) resume();
  return taken;
}

uint64_t Inbox::queued() const {
  std::lock_guard lock(mutex_);
  return items_.size();
}

}  // namespace taskd::worker
