#include "worker/exec/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "common/io/files.h"

namespace taskd::worker {
namespace {

// A message is one int: a group to add, or minus a group to remove. Writes of that size to a pipe
// are atomic.
void Send(int fd, pid_t message) {
  ssize_t n;
  do {
    n = write(fd, &message, sizeof message);
  } while (n < 0 && errno == EINTR);
  // EPIPE: someone killed the guardian. Attempts then outlive a killed daemon; nothing else
  // changes.
}

[[noreturn]] void Watch(int fd) {
  setsid();  // away from the terminal's signals
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  prctl(PR_SET_NAME, "taskd-guardian");
  std::vector<pid_t> groups;
  pid_t message;
  for (;;) {
    const ssize_t n = read(fd, &message, sizeof message);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof message) break;
    if (message > 0) {
      groups.push_back(message);
    } else if (auto it = std::find(groups.begin(), groups.end(), -message); it != groups.end()) {
      *it = groups.back();
      groups.pop_back();
    }
  }
  for (pid_t group : groups) kill(-group, SIGKILL);
  _exit(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Guardian>> Guardian::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return io::ErrnoStatus("make", "the guardian's pipe", errno);
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    return io::ErrnoStatus("start", "the guardian process", error);
  }
  if (pid == 0) {
    close(ends[1]);
    // A daemon's stdout may be a pipe whose reader waits for its end.
    const int null = open("/dev/null", O_RDWR);
    for (int fd : {0, 1, 2}) dup2(null, fd);
    Watch(ends[0]);
  }
  close(ends[0]);
  return std::unique_ptr<Guardian>(new Guardian(ends[1], pid));
}

Guardian::~Guardian() {
  close(fd_);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Guardian::Add(pid_t group) const { Send(fd_, group); }
void Guardian::Remove(pid_t group) const { Send(fd_, -group); }

}  // namespace taskd::worker
