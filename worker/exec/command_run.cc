// A command attempt, from its folder to its outputs:
//
//   files pool: plan, stage, spawn, watch -> reactor: logs, time limit, kill, exit -> files pool: collect,
//   done, clean up
//
// Each step owns the attempt while it runs, so only Kill is concurrent with it: it sets a flag that
// every step looks at, and asks the reactor to act on a process that runs.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/log.h"
#include "worker/exec/attempt_folder.h"
#include "worker/exec/command_plan.h"
#include "worker/exec/run.h"
#include "worker/exec/spawn.h"

namespace taskd::worker {
namespace {

// A pipe is drained this often after the exit: what it can hold, not what a process that left the
// group still writes.
constexpr int kDrainReads = 16;
constexpr char kWho[] = "the command";

std::atomic<bool> told_of_no_cgroup{false};

// Finds `name` as execvp does in `search_path`. Gives errno of the best reason when it is nowhere.
int FindProgram(const std::string& name, const std::string& search_path, std::string& program) {
  program = name;
  if (name.find('/') != std::string::npos) return 0;
  int error = ENOENT;
  for (size_t begin = 0; begin <= search_path.size();) {
    const size_t end = std::min(search_path.find(':', begin), search_path.size());
    if (end > begin) {
      program = search_path.substr(begin, end - begin) + "/" + name;
      if (access(program.c_str(), X_OK) == 0) return 0;
      if (errno == EACCES) error = EACCES;
    }
    begin = end + 1;
  }
  return error;
}

class CommandRun : public Run, public std::enable_shared_from_this<CommandRun> {
 public:
  CommandRun(ExecContext& context, std::shared_ptr<const ExecRequest> request, CpuList cpus)
      : context_(context), request_(std::move(request)), cpus_(std::move(cpus)) {}

  ~CommandRun() override {
    for (int fd : {out_fd_, err_fd_, pidfd_.load()}) {
      if (fd >= 0) close(fd);
    }
  }

  void Start() override {
    log_ = context_.logs.Open(request_->assignment.attempt);
    context_.files.Post([self = shared_from_this()] { self->Prepare(); });
  }

  void Kill() override {
    killed_ = true;
    context_.reactor.Post([self = shared_from_this()] {
      if (self->pidfd_ >= 0) self->Terminate();
    });
  }

 private:
  // --- files pool: before
  // -----------------------------------------------------------------------------------

  void Prepare() {
    const std::string name = StrCat("/", FolderName(context_, request_->assignment.attempt));
    const std::string folder = context_.run_path + name;
    const std::string& memory = context_.memory_run_path;
    ExecError error = MakePlan(*request_, folder, context_.pools, plan_);
    if (!error.ok()) return Finish(FailedDone(*request_, std::move(error)));
    folder_ = std::make_unique<AttemptFolder>(context_.store, context_.folders, folder,
                                              memory.empty() ? "" : memory + name);
    error = folder_->Stage(plan_);
    if (killed_) return Finish(CancelledDone(*request_));
    if (error.ok()) error = Launch();
    if (!error.ok()) return Finish(FailedDone(*request_, std::move(error)));
    Attach();
  }

  ExecError Launch() {
    SpawnRequest spawn;
    if (int error = FindProgram(plan_.argv[0], plan_.search_path, spawn.program); error != 0) {
      return {FailureClass::kCannotStart,
              StrCat("cannot start '", plan_.argv[0], "': ", std::strerror(error),
                     " in PATH=", plan_.search_path)};
    }
    spawn.argv = std::move(plan_.argv);
    spawn.env = std::move(plan_.env);
    spawn.folder = folder_->path();
    spawn.cpus = cpus_;
    int out_write = -1, err_write = -1;
    ExecError error = OpenStreams(out_write, err_write);
    if (error.ok()) {
      spawn.stdout_fd = out_write;
      spawn.stderr_fd = err_write;
      kernel_kills_ = context_.memory.KernelKillsLately();
      if (MakeCgroup()) spawn.cgroup_fd = cgroup_->fd();
      start_ns_ = MonotonicNs();
      const Spawned spawned = Spawn(spawn);
      pid_ = spawned.pid;
      spawned_pidfd_ = spawned.pidfd;
      if (spawned.error != 0) error = CannotStart(spawn.argv[0], spawned.error);
    }
    for (int fd : {out_write, err_write}) {
      if (fd >= 0) close(fd);
    }
    if (error.ok() && context_.guardian != nullptr) context_.guardian->Add(pid_);
    return error;
  }

  // False: the watch keeps its limit, or it has none.
  bool MakeCgroup() {
    const uint64_t limit_bytes = request_->assignment.need.memory_bytes;
    if (context_.cgroups == nullptr || limit_bytes == 0) return false;
    absl::StatusOr<std::unique_ptr<Cgroup>> made = context_.cgroups->Make(limit_bytes);
    if (made.ok()) {
      cgroup_ = *std::move(made);
    } else if (!told_of_no_cgroup.exchange(true)) {
      io::LogWarning(
          StrCat("a command has no cgroup, so its memory is watched instead (said once): ",
                 ToStd(made.status().message())));
    }
    return cgroup_ != nullptr;
  }

  // Pipes for the logs; a stdout that is an output goes straight to its file.
  ExecError OpenStreams(int& out_write, int& err_write) {
    int ends[2];
    if (plan_.stdout_is_output) {
      out_write = folder_->TakeStdout();
    } else if (pipe2(ends, O_CLOEXEC) == 0) {
      out_fd_ = ends[0];
      out_write = ends[1];
    }
    if (out_write >= 0 && pipe2(ends, O_CLOEXEC) == 0) {
      err_fd_ = ends[0];
      err_write = ends[1];
    }
    if (err_write < 0) {
      return {FailureClass::kStore,
              StrCat("cannot open the attempt's stdout and stderr: ", std::strerror(errno))};
    }
    for (int fd : {out_fd_, err_fd_}) {
      if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    return {};
  }

  static ExecError CannotStart(const std::string& program, int error) {
    std::string message = StrCat("cannot start '", program, "': ", std::strerror(error));
    if (error == E2BIG)
      message += ": its arguments and environment are too large; pass lists as files";
    // Out of processes or memory is the node's trouble, not the body's.
    const bool node = error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
    return {node ? FailureClass::kStore : FailureClass::kCannotStart, std::move(message)};
  }

  // From the last Watch on the reactor may end it at any time.
  void Attach() {
    const int pidfd = std::exchange(spawned_pidfd_, -1);
    pidfd_ = pidfd;
    Reactor& reactor = context_.reactor;
    if (const uint64_t limit = request_->assignment.need.memory_bytes;
        limit != 0 && cgroup_ == nullptr) {
      context_.memory.Add(pid_, limit, [self = shared_from_this()](uint64_t used_bytes) {
        self->context_.reactor.Post([self, used_bytes] { self->OnTooMuchMemory(used_bytes); });
      });
    }
    if (request_->assignment.time_limit_ns != 0)
      reactor.Post([self = shared_from_this()] { self->SetTimeLimit(); });
    if (out_fd_ >= 0)
      reactor.Watch(out_fd_, [self = shared_from_this()] { self->ReadLog(self->out_fd_, true); });
    reactor.Watch(err_fd_, [self = shared_from_this()] { self->ReadLog(self->err_fd_, false); });
    reactor.Watch(pidfd, [self = shared_from_this()] { self->OnExit(); });
    if (killed_) Kill();  // one that came before found no process
  }

  // --- reactor: while it runs
  // -------------------------------------------------------------------------------

  void SetTimeLimit() {
    if (pidfd_ < 0) return;
    const uint64_t until_ns = start_ns_ + request_->assignment.time_limit_ns;
    limit_timer_ = context_.reactor.AddTimer(until_ns, [self = shared_from_this()] {
      self->timed_out_ = true;
      self->Terminate();
    });
  }

  // At once: with a grace it would take more.
  void OnTooMuchMemory(uint64_t used_bytes) {
    if (pidfd_ < 0) return;
    used_bytes_ = used_bytes;
    KillGroup();
  }

  // False: nothing more will come now.
  bool ReadLog(int& fd, bool is_out) {
    thread_local char buffer[64 << 10];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0) {
      is_out ? log_->AppendOut({buffer, static_cast<size_t>(n)})
             : log_->AppendErr({buffer, static_cast<size_t>(n)});
      return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) CloseLog(fd);
    return false;
  }

  void CloseLog(int& fd) {
    if (fd < 0) return;
    context_.reactor.Unwatch(fd);
    close(std::exchange(fd, -1));
  }

  void Terminate() {
    if (std::exchange(terminating_, true)) return;
    const uint64_t grace_ns = context_.grace_ns;
    if (grace_ns == 0) return KillGroup();
    kill(-pid_, SIGTERM);
    kill(-pid_, SIGCONT);
    grace_timer_ = context_.reactor.AddTimer(MonotonicNs() + grace_ns,
                                             [self = shared_from_this()] { self->KillGroup(); });
  }

  void KillGroup() {
    kill(-pid_, SIGKILL);
    if (cgroup_ != nullptr) cgroup_->Kill();
  }

  void OnExit() {
    run_ns_ = MonotonicNs() - start_ns_;
    // The leader is a zombie still, so its number names this group and no other: end what it left
    // behind.
    KillGroup();
    if (context_.guardian != nullptr) context_.guardian->Remove(pid_);
    context_.memory.Remove(pid_);
    while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
    }
    const int pidfd = pidfd_.exchange(-1);
    context_.reactor.Unwatch(pidfd);
    close(pidfd);
    for (int i = 0; i < kDrainReads && out_fd_ >= 0 && ReadLog(out_fd_, true); ++i) {
    }
    for (int i = 0; i < kDrainReads && err_fd_ >= 0 && ReadLog(err_fd_, false); ++i) {
    }
    CloseLog(out_fd_);
    CloseLog(err_fd_);
    context_.reactor.CancelTimer(limit_timer_);
    context_.reactor.CancelTimer(grace_timer_);
    was_killed_ = killed_;
    context_.files.Post([self = shared_from_this()] { self->Conclude(); });
  }

  // --- files pool: after
  // ------------------------------------------------------------------------------------

  void Conclude() {
    const ExecError changed =
        folder_->CheckInputs();  // also after a failure: the replica is bad either way
    if (was_killed_) return Finish(CancelledDone(*request_, run_ns_));
    if (used_bytes_ != 0)
      return Finish(WithStderr(TooMuchMemoryDone(*request_, kWho, used_bytes_, false, run_ns_)));
    const MemoryEnd memory = cgroup_ == nullptr ? MemoryEnd() : cgroup_->ReadMemory();
    // Who ended well did so before.
    if (memory.killed && memory.own_limit && wait_status_ != 0) {
      const uint64_t used_bytes =
          memory.peak_bytes == 0 ? request_->assignment.need.memory_bytes : memory.peak_bytes;
      return Finish(WithStderr(TooMuchMemoryDone(*request_, kWho, used_bytes, true, run_ns_)));
    }
    if (timed_out_) return Finish(WithStderr(TimeoutDone(*request_, run_ns_)));
    if (wait_status_ != 0) return Finish(WithStderr(BadExit(memory)));
    if (!changed.ok()) return Finish(FailedDone(*request_, changed, run_ns_));
    event::ExecDone done;
    done.attempt = request_->assignment.attempt;
    done.run_ns = run_ns_;
    ExecError error =
        folder_->Collect(plan_, request_->assignment, request_->access.get(), done.outputs);
    if (!error.ok()) return Finish(WithStderr(FailedDone(*request_, std::move(error), run_ns_)));
    Finish(std::move(done));
  }

  event::ExecDone BadExit(const MemoryEnd& memory) const {
    const bool out_of_memory =
        cgroup_ == nullptr ? context_.memory.KernelKills() != kernel_kills_ : memory.killed;
    return ExitDone(*request_, kWho, wait_status_, out_of_memory, run_ns_);
  }

  event::ExecDone WithStderr(event::ExecDone done) const {
    return worker::WithStderr(std::move(done), *log_);
  }

  void Finish(event::ExecDone done) {
    cgroup_.reset();
    context_.logs.Close(request_->assignment.attempt);
    context_.done(std::move(done));
    folder_.reset();
  }

  ExecContext& context_;
  const std::shared_ptr<const ExecRequest> request_;
  const CpuList cpus_;
  std::shared_ptr<AttemptLog> log_;
  std::atomic<bool> killed_{false};

  CommandPlan plan_;
  std::unique_ptr<AttemptFolder> folder_;
  std::unique_ptr<Cgroup> cgroup_;  // null: it has none
  pid_t pid_ = -1;
  int spawned_pidfd_ = -1;  // until the reactor has it
  std::atomic<int> pidfd_{
      -1};  // the reactor's, from Attach on; -1: there is no process, or it is reaped
  int out_fd_ = -1, err_fd_ = -1;
  uint64_t start_ns_ = 0, run_ns_ = 0;
  Reactor::Timer limit_timer_, grace_timer_;
  uint64_t used_bytes_ = 0;    // of memory, when that was too much
  uint64_t kernel_kills_ = 0;  // before the start
  bool terminating_ = false, timed_out_ = false, was_killed_ = false;
  int wait_status_ = 0;
};

}  // namespace

std::shared_ptr<Run> MakeCommandRun(ExecContext& context,
                                    std::shared_ptr<const ExecRequest> request, CpuList cpus) {
  return std::make_shared<CommandRun>(context, std::move(request), std::move(cpus));
}

}  // namespace taskd::worker
