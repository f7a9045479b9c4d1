#include "cli/taskctl/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <sys/pidfd.h>  // without C linkage of its own in glibc 2.36
}

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/files.h"

extern char** environ;

namespace taskd::cli {
namespace {

constexpr uint32_t kKilledMs =
    10'000;  // a killed process that is not gone by then waits for its disk

std::string Boot() {
  absl::StatusOr<std::string> text = io::ReadFile("/proc/sys/kernel/random/boot_id");
  if (!text.ok()) return "?";
  return text->substr(0, text->find('\n'));
}

struct Running {
  const NamedProcess* process;
  int fd;
};

// Waits until every one has ended or the time is over; takes those that have ended out of
// `running`.
void WaitForEnd(std::vector<Running>& running, uint32_t wait_ms) {
  uint64_t deadline = io::NowNs() + uint64_t{wait_ms} * 1'000'000;
  while (!running.empty()) {
    std::vector<pollfd> fds;
    for (const Running& r : running) fds.push_back({r.fd, POLLIN, 0});
    uint64_t now = io::NowNs();
    if (now >= deadline) return;
    poll(fds.data(), fds.size(), static_cast<int>((deadline - now) / 1'000'000 + 1));
    for (size_t i = fds.size(); i-- > 0;) {
      if (fds[i].revents == 0) continue;
      waitpid(running[i].process->id.pid, nullptr, WNOHANG);  // only our own children leave remains
      close(running[i].fd);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

}  // namespace

std::optional<ProcessId> Identify(pid_t pid) {
  absl::StatusOr<std::string> text = io::ReadFile(StrCat("/proc/", pid, "/stat"));
  if (!text.ok()) return std::nullopt;
  // proc(5): "pid (name) state ppid ...", the start time is field 22. The name may hold anything,
  // ')' too.
  size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(name_end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  uint64_t start = 0;
  if (!(fields >> start)) return std::nullopt;
  return ProcessId{pid, start, Boot()};
}

absl::Status WritePidFile(const std::string& path, const ProcessId& process) {
  return io::WriteFileAtomically(
      path, StrCat(process.pid, " ", process.start_ticks, " ", process.boot, "\n"));
}

absl::StatusOr<ProcessId> ReadPidFile(const std::string& path) {
  absl::StatusOr<std::string> text = io::ReadFile(path);
  if (!text.ok()) return text.status();
  std::istringstream fields(*text);
  ProcessId process;
  if (!(fields >> process.pid >> process.start_ticks >> process.boot) || process.pid <= 0) {
    return absl::InvalidArgumentError(StrCat(path, " does not hold a process id"));
  }
  return process;
}

int OpenProcess(const ProcessId& process) {
  int fd = pidfd_open(process.pid, 0);
  if (fd < 0) return -1;
  // Looked at after the open: the descriptor is of the process that had the pid then.
  if (IsAlive(process)) return fd;
  close(fd);
  return -1;
}

absl::StatusOr<ProcessId> StartDaemon(const std::vector<std::string>& argv,
                                      const std::string& log_path) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t pid = 0;
  int error = posix_spawn(&pid, words[0], &files, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return io::ErrnoStatus("start", argv[0], error);
  std::optional<ProcessId> id = Identify(pid);
  // Already a zombie: its start time does not matter any more.
  return id ? *id : ProcessId{pid, 0, Boot()};
}

std::vector<std::string> EndProcesses(const std::vector<NamedProcess>& processes,
                                      uint32_t grace_ms) {
  std::vector<Running> running;
  for (const NamedProcess& process : processes) {
    int fd = OpenProcess(process.id);
    if (fd < 0) continue;
    pidfd_send_signal(fd, SIGTERM, nullptr, 0);
    running.push_back({&process, fd});
  }
  WaitForEnd(running, grace_ms);
  std::vector<std::string> killed;
  for (const Running& r : running) {
    killed.push_back(r.process->name);
    pidfd_send_signal(r.fd, SIGKILL, nullptr, 0);
  }
  WaitForEnd(running, kKilledMs);
  for (const Running& r : running) close(r.fd);
  return killed;
}

}  // namespace taskd::cli
