#include "worker/exec/guardian.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "common/base/check.h"
#include "common/io/files.h"

namespace taskd::worker {
namespace {

constexpr uint32_t kPids = 1u << 22;  // the kernel's PID_MAX_LIMIT
constexpr size_t kBytes = kPids / 8;

[[noreturn]] void Watch(int fd, const uint64_t* groups, int kill_fd) {
  setsid();  // away from the terminal's signals
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  prctl(PR_SET_NAME, "taskd-guardian");
  char none;
  while (read(fd, &none, 1) < 0 && errno == EINTR) {
  }
  for (uint32_t group = 1; group < kPids; ++group) {
    if (groups[group / 64] >> group % 64 & 1) kill(-static_cast<pid_t>(group), SIGKILL);
  }
  if (kill_fd >= 0 && write(kill_fd, "1", 1) < 0) _exit(1);
  _exit(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Guardian>> Guardian::Start(int kill_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return io::ErrnoStatus("make", "the guardian's pipe", errno);
  void* const groups =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const pid_t pid = groups == MAP_FAILED ? -1 : fork();
  if (pid < 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    if (groups != MAP_FAILED) munmap(groups, kBytes);
    return io::ErrnoStatus("start", "the guardian process", error);
  }
  if (pid == 0) {
    close(ends[1]);
    // A daemon's stdout may be a pipe whose reader waits for its end.
    const int null = open("/dev/null", O_RDWR);
    for (int fd : {0, 1, 2}) dup2(null, fd);
    Watch(ends[0], static_cast<const uint64_t*>(groups), kill_fd);
  }
  close(ends[0]);
  return std::unique_ptr<Guardian>(new Guardian(ends[1], pid, static_cast<uint64_t*>(groups)));
}

Guardian::~Guardian() {
  close(fd_);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  munmap(groups_, kBytes);
}

void Guardian::Add(pid_t group) const {
  const auto bit = static_cast<uint32_t>(group);
  TASKD_CHECK(bit < kPids);
  std::atomic_ref(groups_[bit / 64]).fetch_or(uint64_t{1} << bit % 64);
}

void Guardian::Remove(pid_t group) const {
  const auto bit = static_cast<uint32_t>(group);
  TASKD_CHECK(bit < kPids);
  std::atomic_ref(groups_[bit / 64]).fetch_and(~(uint64_t{1} << bit % 64));
}

}  // namespace taskd::worker
