// Ctrl-C for verbs that wait: the first one stops the work in order, a second one ends taskctl at
// once.
#ifndef TASKD_CLI_TASKCTL_INTERRUPT_H_
#define TASKD_CLI_TASKCTL_INTERRUPT_H_

#include <unistd.h>

#include <functional>
#include <mutex>

#include "cli/taskctl/exit_codes.h"
#include "common/io/shutdown.h"

namespace taskd::cli {

// Make it before anything that starts a thread. While no InterruptAction lives, a signal ends
// taskctl.
class InterruptGuard {
 public:
  InterruptGuard() {
    signals_.OnSignal([this](int) {
      std::lock_guard lock(mutex_);
      if (!action_) _exit(kExitInterrupted);
      action_();
    });
  }

 private:
  friend class InterruptAction;
  std::mutex mutex_;
  std::function<void()> action_;
  io::ShutdownSignals signals_;  // last: its thread uses the others
};

// `action` runs, on another thread, if a signal comes while this lives.
class InterruptAction {
 public:
  InterruptAction(InterruptGuard& guard, std::function<void()> action) : guard_(guard) {
    Set(std::move(action));
  }
  ~InterruptAction() { Set(nullptr); }
  InterruptAction(const InterruptAction&) = delete;
  InterruptAction& operator=(const InterruptAction&) = delete;

 private:
  void Set(std::function<void()> action) {
    std::lock_guard lock(guard_.mutex_);
    guard_.action_ = std::move(action);
  }
  InterruptGuard& guard_;
};

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_INTERRUPT_H_
