// Signals are for a whole process, so each case runs in a child of its own.
#include "common/io/shutdown.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>

namespace taskd::io {
namespace {

// The wait status of a child that runs `body` and, if that returns, exits with 99.
int RunChild(const std::function<void()>& body) {
  pid_t child = fork();
  if (child == 0) {
    body();
    _exit(99);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(ShutdownSignals, WaitReturnsTheSignal) {
  for (int signal : {SIGTERM, SIGINT}) {
    int status = RunChild([signal] {
      ShutdownSignals signals;
      kill(getpid(), signal);
      _exit(signals.Wait());
    });
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), signal);
  }
}

TEST(ShutdownSignals, TheCallbackRunsOnce) {
  int status = RunChild([] {
    std::promise<int> got;
    ShutdownSignals signals;
    signals.OnSignal([&](int signal) { got.set_value(signal); });
    kill(getpid(), SIGTERM);
    _exit(got.get_future().get() == SIGTERM ? 7 : 8);
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(ShutdownSignals, ASecondSignalEndsTheProcess) {
  int status = RunChild([] {
    ShutdownSignals signals;
    kill(getpid(), SIGTERM);
    signals.Wait();
    kill(getpid(), SIGINT);
    for (;;) pause();
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGINT);
}

TEST(ShutdownSignals, WithoutASignalItGoesAwayQuietly) {
  int status = RunChild([] {
    {
      ShutdownSignals signals;
      signals.OnSignal([](int) { _exit(1); });
    }
    _exit(0);
  });
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace taskd::io
