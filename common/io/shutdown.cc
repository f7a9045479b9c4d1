#include "common/io/shutdown.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "common/base/check.h"

namespace taskd::io {

struct ShutdownSignals::Impl {
  int signals = -1;  // signalfd
  int stop = -1;     // eventfd: the destructor wants the thread to end
  std::thread watcher;

  // The next signal, or 0 when the destructor asks to stop.
  int Next() {
    for (;;) {
      pollfd fds[] = {{signals, POLLIN, 0}, {stop, POLLIN, 0}};
      if (poll(fds, 2, -1) < 0) continue;  // EINTR
      if (fds[1].revents != 0) return 0;
      signalfd_siginfo info;
      if (read(signals, &info, sizeof(info)) == sizeof(info))
        return static_cast<int>(info.ssi_signo);
    }
  }

  void Watch(const std::function<void(int)>& callback) {
    int signal = Next();
    if (signal == 0) return;
    callback(signal);
    // Whoever asks a second time does not want to wait for an orderly end.
    if (int again = Next(); again != 0) _exit(128 + again);
  }
};

ShutdownSignals::ShutdownSignals() : impl_(std::make_unique<Impl>()) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  TASKD_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  impl_->signals = signalfd(-1, &set, SFD_CLOEXEC);
  impl_->stop = eventfd(0, EFD_CLOEXEC);
  TASKD_CHECK(impl_->signals >= 0 && impl_->stop >= 0);
}

ShutdownSignals::~ShutdownSignals() {
  eventfd_write(impl_->stop, 1);
  if (impl_->watcher.joinable()) impl_->watcher.join();
  close(impl_->signals);
  close(impl_->stop);
}

void ShutdownSignals::OnSignal(std::function<void(int)> callback) {
  TASKD_CHECK(!impl_->watcher.joinable());
  impl_->watcher =
      std::thread([impl = impl_.get(), callback = std::move(callback)] { impl->Watch(callback); });
}

int ShutdownSignals::Wait() {
  int signal = impl_->Next();
  impl_->watcher = std::thread([impl = impl_.get()] {
    if (int again = impl->Next(); again != 0) _exit(128 + again);
  });
  return signal;
}

}  // namespace taskd::io
