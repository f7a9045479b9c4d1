// SIGTERM and SIGINT as a callback on an ordinary thread.
#ifndef TASKD_COMMON_IO_SHUTDOWN_H_
#define TASKD_COMMON_IO_SHUTDOWN_H_

#include <functional>
#include <memory>

namespace taskd::io {

// Create it first thing in main: threads inherit the blocked signals from it. Child processes do,
// too, so whoever spawns one resets the mask (POSIX_SPAWN_SETSIGMASK). SIGPIPE is ignored from then
// on.
class ShutdownSignals {
 public:
  ShutdownSignals();
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  // `callback(signal)` runs once, at the first signal (also one that came before this call). A
  // second signal ends the process at once with exit code 128 + signal.
  void OnSignal(std::function<void(int)> callback);

  // Blocks until the first signal and returns it; instead of OnSignal. A second signal then ends
  // the process.
  int Wait();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_SHUTDOWN_H_
