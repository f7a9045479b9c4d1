#include "worker/exec/runner_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "worker/exec/spawn.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

// What a pipe holds, not what a process that left the group still writes.
constexpr int kLogReads = 16;

void CloseFd(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

}  // namespace

Runner::~Runner() {
  for (int* fd : {&socket_, &pidfd_, &out_fd_, &err_fd_}) CloseFd(*fd);
}

ExecError Runner::Launch() {
  if (mkdir(home_.c_str(), 0700) != 0)
    return {FailureClass::kStore,
            StrCat("cannot make the folder ", home_, ": ", std::strerror(errno))};
  int sockets[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
  Spawned spawned;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0 ||
      pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    spawned.error = errno;
  } else {
    SpawnRequest request;
    request.program = spec_.argv[0];
    request.argv = spec_.argv;
    request.env = spec_.env;
    request.env.push_back("TMPDIR=" + home_);
    request.folder = home_;
    request.stdout_fd = out[1];
    request.stderr_fd = err[1];
    request.socket_fd = sockets[1];
    spawned = Spawn(request);
  }
  for (int* fd : {&sockets[1], &out[1], &err[1]}) CloseFd(*fd);
  socket_ = sockets[0];
  out_fd_ = out[0];
  err_fd_ = err[0];
  if (spawned.error != 0) {
    RemoveTree(home_);
    return {FailureClass::kCannotStart,
            StrCat("cannot start ", spec_.argv[0], ": ", std::strerror(spawned.error),
                   "; it belongs beside taskd-worker, or tell where it is with --runner")};
  }
  pid_ = spawned.pid;
  pidfd_ = spawned.pidfd;
  if (pool_.guardian_ != nullptr) pool_.guardian_->Add(pid_);
  for (int fd : {out_fd_, err_fd_}) fcntl(fd, F_SETFL, O_NONBLOCK);
  timeval stall = {};
  stall.tv_sec = limits::kRunnerStallNs / 1'000'000'000;
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
  return {};
}

void Runner::Attach() {
  attached_ = true;
  Reactor& reactor = pool_.reactor_;
  reactor.Watch(pidfd_, [self = shared_from_this()] { self->OnExit(); });
  reactor.Watch(socket_, [self = shared_from_this()] { self->OnSocket(); });
  reactor.Watch(out_fd_, [self = shared_from_this()] { self->ReadLog(self->out_fd_, true); });
  reactor.Watch(err_fd_, [self = shared_from_this()] { self->ReadLog(self->err_fd_, false); });
}

void Runner::OnSocket() { ReadFrames(); }

bool Runner::ReadFrames() {
  if (deaf_) return false;
  std::vector<char>& buffer = pool_.buffer_;
  const ssize_t n = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    // It is ending, or the function has closed what it should not know: then nobody will ever hear the rest.
    deaf_ = true;
    pool_.reactor_.Unwatch(socket_);
    Kill();
    return false;
  }
  stream_.Append({buffer.data(), static_cast<size_t>(n)});
  std::string error;
  while (std::optional<runner::FrameStream::Frame> frame = stream_.Next(error)) {
    const bool hello = frame->header.type == runner::FrameType::kHello;
    if (hello == greeted_) {
      error = "an answer that nobody expects";
    } else if (hello) {
      greeted_ = true;
    } else if (const std::shared_ptr<Client> client = client_) {
      client->OnFrame(*std::move(frame));
    } else {
      error = "an answer to no task";
    }
    if (!error.empty()) break;
  }
  if (!error.empty()) Break(error);
  return error.empty();
}

void Runner::Break(const std::string& error) {
  deaf_ = true;
  pool_.reactor_.Unwatch(socket_);
  if (const std::shared_ptr<Client> client = client_) client->OnBroken(error);
  Kill();
}

bool Runner::ReadLog(int& fd, bool is_out) {
  std::vector<char>& buffer = pool_.buffer_;
  const ssize_t n = fd < 0 ? 0 : read(fd, buffer.data(), buffer.size());
  if (n > 0) {
    if (client_ != nullptr) client_->OnLog(is_out, {buffer.data(), static_cast<size_t>(n)});
    return true;
  }
  if (n == 0 || (errno != EAGAIN && errno != EINTR)) CloseWatched(fd);
  return false;
}

void Runner::ReadLogs() {
  for (int i = 0; i < kLogReads && ReadLog(out_fd_, true); ++i) {
  }
  for (int i = 0; i < kLogReads && ReadLog(err_fd_, false); ++i) {
  }
}

void Runner::CloseWatched(int& fd) {
  if (fd < 0) return;
  pool_.reactor_.Unwatch(fd);
  CloseFd(fd);
}

void Runner::RunOn(const CpuList& cpus) {
  if (cpus == cpus_ || pidfd_ < 0) return;
  PinProcess(pid_, cpus);
  cpus_ = cpus;
}

void Runner::Terminate() {
  if (pidfd_ < 0) return;
  kill(-pid_, SIGTERM);
  kill(-pid_, SIGCONT);
}

void Runner::Kill() {
  if (pidfd_ < 0) return;  // reaped: the number may be another's
  killed_ = true;
  kill(-pid_, SIGKILL);
}

void Runner::OnExit() {
  const std::shared_ptr<Runner> self = shared_from_this();
  // The leader is a zombie still, so its number names this group and no other: end what it left behind.
  kill(-pid_, SIGKILL);
  if (pool_.guardian_ != nullptr) pool_.guardian_->Remove(pid_);
  while (ReadFrames()) {  // an answer counts, however its runner ended
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (!deaf_) pool_.reactor_.Unwatch(socket_);
  deaf_ = true;
  ReadLogs();
  for (int* fd : {&out_fd_, &err_fd_, &pidfd_}) CloseWatched(*fd);
  pool_.Ended(self);
  if (const std::shared_ptr<Client> client = std::exchange(client_, nullptr)) client->OnEnd(status);
}

RunnerPool::~RunnerPool() {
  std::promise<void> ended;
  reactor_.Post([&] {
    while (!live_.empty()) {
      const std::shared_ptr<Runner> runner = *live_.begin();
      runner->Kill();
      runner->OnExit();  // waits for it
    }
    ended.set_value();
  });
  ended.get_future().wait();
}

std::shared_ptr<Runner> RunnerPool::Take(const std::string& key) {
  // The one that was used last: its caches are warm, and the others become old.
  for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
    if ((*it)->key() != key || (*it)->killed_ || (*it)->deaf_) continue;
    std::shared_ptr<Runner> runner = *it;
    idle_.erase(std::next(it).base());
    reactor_.CancelTimer(runner->idle_timer_);
    return runner;
  }
  return nullptr;
}

void RunnerPool::MakeRoom() {
  while (!idle_.empty() && live() >= options_.kept) EndIdle(idle_.front());
}

size_t RunnerPool::live() const {
  return static_cast<size_t>(std::count_if(live_.begin(), live_.end(),
                                           [](const auto& runner) { return !runner->killed_; }));
}

ExecError RunnerPool::Start(const RunnerSpec& spec, std::shared_ptr<Runner>& runner) {
  runner.reset(new Runner(*this, spec));
  runner->home_ = StrCat(options_.run_path, "/runner-", next_home_++);
  return runner->Launch();
}

void RunnerPool::Attach(const std::shared_ptr<Runner>& runner) {
  live_.insert(runner);
  runner->Attach();
}

void RunnerPool::GiveBack(const std::shared_ptr<Runner>& runner) {
  runner->SetClient(nullptr);
  if (runner->pidfd_ < 0) return;
  if (runner->deaf_ || runner->killed_ || runner->full()) return runner->Kill();
  idle_.push_back(runner);
  runner->idle_timer_ =
      reactor_.AddTimer(MonotonicNs() + options_.idle_ns, [this, runner] { EndIdle(runner); });
  if (live() > options_.kept) EndIdle(idle_.front());
}

void RunnerPool::EndIdle(std::shared_ptr<Runner> runner) {
  reactor_.CancelTimer(runner->idle_timer_);
  idle_.remove(runner);
  runner->Kill();
}

void RunnerPool::Ended(const std::shared_ptr<Runner>& runner) {
  reactor_.CancelTimer(runner->idle_timer_);
  idle_.remove(runner);
  live_.erase(runner);
  files_.Post([home = runner->home_] { RemoveTree(home); });
}

}  // namespace taskd::worker
