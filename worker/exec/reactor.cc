#include "worker/exec/reactor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "common/base/check.h"

namespace taskd::worker {
namespace {

uint64_t EventOf(int fd, uint32_t serial) {
  return uint64_t{serial} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

uint64_t MonotonicNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

Reactor::Reactor()
    : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer_fd_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  TASKD_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0 && timer_fd_ >= 0);
  for (int fd : {wake_fd_, timer_fd_}) {
    epoll_event event = {.events = EPOLLIN, .data = {.u64 = EventOf(fd, 0)}};
    TASKD_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
  thread_ = std::thread([this] { Run(); });
}

Reactor::~Reactor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  TASKD_CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
  thread_.join();
  for (int fd : {epoll_fd_, wake_fd_, timer_fd_}) close(fd);
}

void Reactor::Post(Callback callback) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    wake = posted_.empty();
    posted_.push_back(std::move(callback));
  }
  const uint64_t one = 1;
  if (wake) TASKD_CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
}

void Reactor::Watch(int fd, Callback readable) {
  WatchRec watch{0, std::make_shared<Callback>(std::move(readable))};
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
  {
    std::lock_guard lock(mutex_);
    watch.serial = next_serial_++;
    event.data.u64 = EventOf(fd, watch.serial);
    watches_[fd] = std::move(watch);
  }
  TASKD_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Reactor::Unwatch(int fd) {
  WatchRec ended;  // is freed without the lock
  {
    std::lock_guard lock(mutex_);
    auto it = watches_.find(fd);
    if (it == watches_.end()) return;
    ended = std::move(it->second);
    watches_.erase(it);
  }
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

std::shared_ptr<Reactor::Callback> Reactor::FindWatch(int fd, uint32_t serial) {
  std::lock_guard lock(mutex_);
  auto it = watches_.find(fd);
  return it == watches_.end() || it->second.serial != serial ? nullptr : it->second.callback;
}

Reactor::Timer Reactor::AddTimer(uint64_t due_ns, Callback callback) {
  const Timer timer{due_ns, next_timer_++};
  timers_.emplace(timer, std::move(callback));
  return timer;
}

void Reactor::CancelTimer(Timer timer) { timers_.erase(timer); }

void Reactor::Run() {
  epoll_event events[64];
  for (;;) {
    ArmTimer();
    const int n = epoll_wait(epoll_fd_, events, 64, -1);
    TASKD_CHECK(n >= 0 || errno == EINTR);
    bool due = false, posted = false;
    for (int i = 0; i < n; ++i) {
      const int fd = static_cast<int>(static_cast<uint32_t>(events[i].data.u64));
      due |= fd == timer_fd_;
      posted |= fd == wake_fd_;
      // An earlier callback of this round may have ended the watch, and another thread begun one of
      // the same number; the copy keeps a callback that ends its own.
      const auto serial = static_cast<uint32_t>(events[i].data.u64 >> 32);
      if (const std::shared_ptr<Callback> callback = FindWatch(fd, serial)) (*callback)();
    }
    if (due) RunDueTimers();
    if (posted && !RunPosted()) return;
  }
}

void Reactor::ArmTimer() {
  const uint64_t due = timers_.empty() ? 0 : timers_.begin()->first.first;
  if (due == armed_ns_) return;
  armed_ns_ = due;
  itimerspec spec = {};
  spec.it_value.tv_sec = static_cast<time_t>(due / 1'000'000'000);
  spec.it_value.tv_nsec = static_cast<long>(due % 1'000'000'000);
  TASKD_CHECK(timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &spec, nullptr) == 0);
}

void Reactor::RunDueTimers() {
  uint64_t expirations;
  if (read(timer_fd_, &expirations, sizeof expirations) > 0) armed_ns_ = 0;
  const uint64_t now = MonotonicNs();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    Callback callback = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    callback();
  }
}

bool Reactor::RunPosted() {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(wake_fd_, &count, sizeof count);
  std::vector<Callback> posted;
  bool stopping;
  {
    std::lock_guard lock(mutex_);
    posted.swap(posted_);
    stopping = stopping_;
  }
  for (Callback& callback : posted) callback();
  return !stopping;
}

}  // namespace taskd::worker
