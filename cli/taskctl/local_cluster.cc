#include "cli/taskctl/local_cluster.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <tuple>

#include "cli/client/connection.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/access_file.h"
#include "common/io/clock.h"
#include "common/io/cpu_count.h"
#include "common/io/files.h"

namespace taskd::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kTailLines = 20;
constexpr uint32_t kStopGraceMs = 5'000;   // for daemons that have nothing to run yet
constexpr uint64_t kCheckNs = 50'000'000;  // between looks at the scheduler's list of workers
constexpr std::string_view kSchedulerName = "scheduler";
constexpr std::string_view kStarterName = "taskctl";

std::string LocalDir(const std::string& dir) { return dir + "/local"; }
std::string FileOf(const std::string& dir, std::string_view name, std::string_view suffix) {
  return StrCat(LocalDir(dir), "/", name, suffix);
}

absl::StatusOr<std::string> FindProgram(const std::string& folders, const std::string& name) {
  for (size_t start = 0; start < folders.size();) {
    size_t end = std::min(folders.find(':', start), folders.size());
    std::string candidate = StrCat(std::string_view(folders).substr(start, end - start), "/", name);
    if (end > start && access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return absl::FailedPreconditionError(StrCat("cannot find the program ", name, " in ", folders,
                                              ": build or install it beside taskctl"));
}

uint32_t MachineCpusMilli() { return std::max(1u, io::UsableCpus()) * 1000; }

uint64_t MachineMemoryBytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
}

// Removes what a cluster left in `dir`, and `dir` itself if we made it and nothing else is in it.
absl::Status RemoveState(const std::string& dir) {
  bool made_dir = access(FileOf(dir, "made-dir", "").c_str(), F_OK) == 0;
  unlink(io::AccessPath(dir).c_str());
  std::error_code error;
  fs::remove_all(LocalDir(dir), error);
  if (error)
    return absl::InternalError(StrCat("cannot remove ", LocalDir(dir), ": ", error.message()));
  if (made_dir) rmdir(dir.c_str());
  return absl::OkStatus();
}

// Makes `dir` ours: nobody else starts a cluster in it before RemoveState.
absl::Status Claim(const std::string& dir) {
  bool made_dir = access(dir.c_str(), F_OK) != 0;
  absl::Status status = io::MakePrivateDir(dir);
  if (!status.ok()) return status;
  for (bool again = false; mkdir(LocalDir(dir).c_str(), 0700) != 0; again = true) {
    if (errno != EEXIST) return io::ErrnoStatus("create", LocalDir(dir), errno);
    for (const LocalProcess& process : LocalProcesses(dir)) {
      if (!process.alive) continue;
      return absl::FailedPreconditionError(StrCat(
          "a cluster runs in ", dir, " already (", process.name, ", pid ", process.id.pid,
          "): use it, stop it with `taskctl cluster stop`, or start another one with --dir"));
    }
    if (again)
      return absl::FailedPreconditionError(
          StrCat("another taskctl starts a cluster in ", dir, " right now"));
    // Everything in it was killed: clear the remains and take the folder over.
    made_dir = made_dir || access(FileOf(dir, "made-dir", "").c_str(), F_OK) == 0;
    status = RemoveState(dir);
    if (status.ok()) status = io::MakePrivateDir(dir);
    if (!status.ok()) return status;
  }
  if (access(io::AccessPath(dir).c_str(), F_OK) == 0) {
    rmdir(LocalDir(dir).c_str());
    return absl::FailedPreconditionError(
        StrCat(io::AccessPath(dir),
               " is of a cluster that was not started here: choose another folder with --dir"));
  }
  if (made_dir) status = io::WriteFileAtomically(FileOf(dir, "made-dir", ""), "");
  // Until the daemons have their pid files, ours shows that somebody is at work here.
  if (status.ok()) status = WritePidFile(FileOf(dir, kStarterName, ".pid"), *Identify(getpid()));
  if (!status.ok()) RemoveState(dir).IgnoreError();
  return status;
}

// SIGINT and SIGTERM as a descriptor, for as long as this lives.
class SignalDescriptor {
 public:
  SignalDescriptor() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before_);
    fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~SignalDescriptor() {
    close(fd_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  int fd() const { return fd_; }

 private:
  sigset_t before_;
  int fd_;
};

// One start, from the claimed folder to the last worker that is up.
class Starter {
 public:
  explicit Starter(const LocalClusterSpec& spec)
      : spec_(spec),
        deadline_ns_(io::NowNs() + spec.timeout_ns),
        inotify_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    // Files appear by rename.
    inotify_add_watch(inotify_, LocalDir(spec.dir).c_str(), IN_MOVED_TO);
  }
  ~Starter() {
    for (const Daemon& daemon : daemons_) close(daemon.fd);
    close(inotify_);
  }

  absl::Status Run() {
    absl::StatusOr<std::string> scheduler = FindProgram(spec_.program_path, "taskd-scheduler");
    if (!scheduler.ok()) return scheduler.status();
    absl::StatusOr<std::string> worker = FindProgram(spec_.program_path, "taskd-worker");
    if (!worker.ok()) return worker.status();
    absl::Status status = Start(std::string(kSchedulerName), {*scheduler, "--dir", spec_.dir});
    if (status.ok()) status = AwaitReady();
    for (uint32_t i = 1; status.ok() && i <= spec_.workers; ++i) {
      std::string name = StrCat("worker-", i);
      std::vector<std::string> argv = {
          *worker, "--dir", spec_.dir, "--name", name, "--work-dir", FileOf(spec_.dir, name, "")};
      AddWorkerFlags(&argv);
      status = Start(name, argv);
    }
    if (status.ok()) status = AwaitReady();
    if (status.ok()) status = AwaitWorkersUp();
    return status;
  }

  void Undo() {
    std::vector<NamedProcess> processes;
    for (const Daemon& daemon : daemons_) processes.push_back({daemon.name, daemon.id});
    EndProcesses(processes, kStopGraceMs);
  }

 private:
  struct Daemon {
    std::string name;
    ProcessId id;
    int fd;
    bool ready = false;
  };

  void AddWorkerFlags(std::vector<std::string>* argv) const {
    uint32_t cpus = spec_.cpus_milli;
    if (cpus == 0) cpus = std::max(1000u, MachineCpusMilli() / spec_.workers / 1000 * 1000);
    argv->insert(argv->end(), {"--cpus", FormatCpus(cpus)});
    uint64_t memory = spec_.memory_bytes;
    // What is left over is for the daemons, the page cache and the user's shell.
    // A worker takes a third of it again for results.
    if (memory == 0 && spec_.workers > 1) memory = MachineMemoryBytes() / 16 * 9 / spec_.workers;
    if (memory != 0) argv->insert(argv->end(), {"--memory", StrCat(memory)});
    if (spec_.store_bytes) argv->insert(argv->end(), {"--store", StrCat(*spec_.store_bytes)});
    if (spec_.log_disk_bytes)
      argv->insert(argv->end(), {"--log-disk", StrCat(*spec_.log_disk_bytes)});
    if (spec_.pin) argv->push_back("--pin");
    if (spec_.zero_workers) argv->push_back("--zero-worker");
  }

  absl::Status Start(const std::string& name, std::vector<std::string> argv) {
    argv.insert(argv.end(), {"--ready-file", FileOf(spec_.dir, name, ".ready")});
    absl::StatusOr<ProcessId> id = StartDaemon(argv, FileOf(spec_.dir, name, ".log"));
    if (!id.ok()) return id.status();
    daemons_.push_back({name, *id, OpenProcess(*id)});
    if (daemons_.back().fd < 0) return Died(daemons_.back());
    return WritePidFile(FileOf(spec_.dir, name, ".pid"), *id);
  }

  absl::Status Died(const Daemon& daemon) const {
    return absl::InternalError(StrCat(daemon.name, " ended while it started", Log(daemon)));
  }

  std::string Log(const Daemon& daemon) const {
    std::string tail = LogTail(FileOf(spec_.dir, daemon.name, ".log"), kTailLines);
    return tail.empty() ? "; it wrote no log" : StrCat("; its log ends with\n", tail);
  }

  // Sleeps until a file appears, a daemon ends (an error), a signal comes (an error) or the time is
  // up.
  absl::Status WaitForNews(uint64_t until_ns) {
    std::vector<pollfd> fds = {{signals_.fd(), POLLIN, 0}, {inotify_, POLLIN, 0}};
    for (const Daemon& daemon : daemons_) fds.push_back({daemon.fd, POLLIN, 0});
    uint64_t now = io::NowNs();
    uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
    poll(fds.data(), fds.size(), static_cast<int>(wait_ns / 1'000'000 + 1));
    if (fds[0].revents != 0)
      return absl::AbortedError("interrupted: what was started is stopped again");
    for (size_t i = 0; i < daemons_.size(); ++i) {
      if (fds[i + 2].revents != 0) return Died(daemons_[i]);
    }
    char events[4096];
    while (read(inotify_, events, sizeof events) > 0) {
    }
    return absl::OkStatus();
  }

  absl::Status AwaitReady() {
    for (;;) {
      const Daemon* missing = nullptr;
      for (Daemon& daemon : daemons_) {
        daemon.ready =
            daemon.ready || access(FileOf(spec_.dir, daemon.name, ".ready").c_str(), F_OK) == 0;
        if (!daemon.ready && missing == nullptr) missing = &daemon;
      }
      if (missing == nullptr) return absl::OkStatus();
      if (io::NowNs() >= deadline_ns_) {
        return absl::DeadlineExceededError(StrCat(missing->name, " was not ready within ",
                                                  FormatDuration(spec_.timeout_ns), Log(*missing)));
      }
      absl::Status status = WaitForNews(deadline_ns_);
      if (!status.ok()) return status;
    }
  }

  // A worker is ready when it serves; it is up when the scheduler has welcomed it.
  absl::Status AwaitWorkersUp() {
    absl::StatusOr<std::unique_ptr<client::Connection>> connection =
        client::Connection::Open(spec_.dir);
    if (!connection.ok()) return connection.status();
    for (;;) {
      absl::StatusOr<v1::ClusterStatus> status = (*connection)->GetStatus();
      if (!status.ok()) return status.status();
      if (status->workers_up() >= spec_.workers) return absl::OkStatus();
      uint64_t now = io::NowNs();
      if (now >= deadline_ns_) {
        return absl::DeadlineExceededError(
            StrCat("only ", status->workers_up(), " of ", spec_.workers, " workers were up within ",
                   FormatDuration(spec_.timeout_ns), Log(daemons_.back())));
      }
      absl::Status news = WaitForNews(std::min(now + kCheckNs, deadline_ns_));
      if (!news.ok()) return news;
    }
  }

  const LocalClusterSpec& spec_;
  uint64_t deadline_ns_;
  SignalDescriptor signals_;
  int inotify_;
  std::vector<Daemon> daemons_;
};

}  // namespace

std::string DefaultProgramPath() {
  absl::StatusOr<std::string> own = io::ProgramDir();
  const char* path = std::getenv("PATH");
  return StrCat(own.ok() ? *own : "", ":", path == nullptr ? "" : path);
}

absl::Status StartLocalCluster(const LocalClusterSpec& spec) {
  absl::Status status = Claim(spec.dir);
  if (!status.ok()) return status;
  Starter starter(spec);
  status = starter.Run();
  if (status.ok()) {
    unlink(FileOf(spec.dir, kStarterName, ".pid").c_str());
    return status;
  }
  starter.Undo();
  RemoveState(spec.dir).IgnoreError();
  return status;
}

std::vector<LocalProcess> LocalProcesses(const std::string& dir) {
  std::vector<LocalProcess> processes;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(LocalDir(dir), error)) {
    if (entry.path().extension() != ".pid") continue;
    absl::StatusOr<ProcessId> id = ReadPidFile(entry.path().string());
    if (id.ok()) processes.push_back({entry.path().stem().string(), *id, IsAlive(*id)});
  }
  // The scheduler first, then worker-2 before worker-10.
  std::sort(processes.begin(), processes.end(), [](const LocalProcess& a, const LocalProcess& b) {
    return std::make_tuple(a.name != kSchedulerName, a.name.size(), a.name) <
           std::make_tuple(b.name != kSchedulerName, b.name.size(), b.name);
  });
  return processes;
}

absl::StatusOr<StopResult> StopLocalCluster(const std::string& dir, uint32_t grace_ms) {
  StopResult result;
  if (access(LocalDir(dir).c_str(), F_OK) != 0) return result;
  result.found = true;
  // First a `cluster start` that is still at it, which undoes what it has done; then the workers,
  // which say goodbye to a scheduler that still listens.
  auto end = [&](auto chosen) {
    std::vector<NamedProcess> processes;
    for (const LocalProcess& process : LocalProcesses(dir)) {
      if (chosen(process.name)) processes.push_back({process.name, process.id});
    }
    for (std::string& name : EndProcesses(processes, grace_ms))
      result.killed.push_back(std::move(name));
  };
  end([](const std::string& name) { return name == kStarterName; });
  end([](const std::string& name) { return name != kSchedulerName; });
  end([](const std::string& name) { return name == kSchedulerName; });
  absl::Status status = RemoveState(dir);
  if (!status.ok()) return status;
  return result;
}

std::string LogTail(const std::string& path, uint32_t lines) {
  absl::StatusOr<std::string> text = io::ReadFile(path);
  if (!text.ok()) return "";
  size_t start = text->size();
  for (uint32_t i = 0; start > 0 && i <= lines; ++i) {
    size_t before = start == 1 ? std::string::npos : text->rfind('\n', start - 2);
    if (i == lines) break;
    start = before == std::string::npos ? 0 : before + 1;
  }
  std::string tail;
  for (size_t at = start; at < text->size();) {
    size_t end = std::min(text->find('\n', at), text->size());
    tail += StrCat("  | ", std::string_view(*text).substr(at, end - at), "\n");
    at = end + 1;
  }
  if (!tail.empty()) tail.pop_back();
  return tail;
}

}  // namespace taskd::cli
