#include "worker/exec/guardian.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace taskd::worker {
namespace {

// A process group of one that sleeps until it is killed.
pid_t StartSleeper() {
  const pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  setpgid(pid, pid);
  return pid;
}

TEST(GuardianTest, KillsWhatIsOnItsListWhenTheDaemonIsGone) {
  const pid_t listed = StartSleeper(), removed = StartSleeper();
  {
    auto guardian = Guardian::Start();
    ASSERT_TRUE(guardian.ok()) << guardian.status();
    (*guardian)->Add(removed);
    (*guardian)->Add(listed);
    (*guardian)->Remove(removed);
  }  // closes the pipe, as the end of a process does
  int status;
  ASSERT_EQ(waitpid(listed, &status, 0), listed);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(waitpid(removed, &status, WNOHANG), 0);
  kill(removed, SIGTERM);
  ASSERT_EQ(waitpid(removed, &status, 0), removed);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

}  // namespace
}  // namespace taskd::worker
