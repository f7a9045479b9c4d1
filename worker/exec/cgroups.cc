#include "worker/exec/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "absl/strings/str_split.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "worker/exec/proc_text.h"
#include "worker/exec/spawn.h"

namespace taskd::worker {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 100;  // of what fails while killed processes end
constexpr std::chrono::milliseconds kBetweenTries(10);
constexpr uint64_t kProbeBytes = 16 << 20;
constexpr int kNames = 10;  // of ours, when others are taken, or taken away while they are made

// As files of cgroups want it: in one piece, and never a file that was not there.
absl::Status Write(const std::string& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? -1 : write(fd, text.data(), text.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (n != static_cast<ssize_t>(text.size())) return io::ErrnoStatus("write", path, error);
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0) return io::ErrnoStatus("make the cgroup", path, errno);
  return absl::OkStatus();
}

bool HasWord(const std::string& path, std::string_view word) {
  const absl::StatusOr<std::string> text = io::ReadFile(path);
  if (!text.ok()) return false;
  for (absl::string_view listed : absl::StrSplit(*text, absl::ByAnyChar(" \n"))) {
    if (ToStd(listed) == word) return true;
  }
  return false;
}

std::string ControlOf(const std::string& path) { return path + "/cgroup.subtree_control"; }

// "\040" stands for a space in /proc/self/mountinfo.
std::string Unescaped(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>(std::strtol(std::string(text.substr(i + 1, 3)).c_str(), nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// systemd keeps for itself what it does not mark as delegated. For any other user but root, who may write
// everywhere, the owner of the folder says it.
bool IsDelegated(const std::string& root, const std::string& path) {
  if (access(path.c_str(), W_OK) != 0 || access(ControlOf(path).c_str(), W_OK) != 0) return false;
  std::error_code error;
  if (geteuid() != 0 || !fs::exists(root + "/run/systemd/system", error)) return true;
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    char value = 0;
    if (getxattr(path.c_str(), name, &value, 1) == 1 && value == '1') return true;
  }
  return false;
}

std::string NamePrefix() { return StrCat("taskd-", geteuid(), "-"); }

// A process that ends before it runs a program, for want of one.
absl::Status CheckSpawn(int cgroup_fd, const std::string& folder) {
  SpawnRequest nothing;
  nothing.argv = {""};
  nothing.folder = folder;
  nothing.stdout_fd = STDOUT_FILENO;
  nothing.stderr_fd = STDERR_FILENO;
  nothing.cgroup_fd = cgroup_fd;
  const int error = Spawn(nothing).error;
  if (error == ENOENT) return absl::OkStatus();
  return io::ErrnoStatus("start", "a process in a cgroup", error);
}

// What is in it is killed. False: somebody is still there.
bool RemoveTasks(const std::string& path) {
  (void)Write(path + "/cgroup.kill", "1");
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.is_directory(error)) rmdir(entry.path().c_str());
  }
  return rmdir(path.c_str()) == 0 || errno == ENOENT;
}

}  // namespace

absl::StatusOr<std::string> OwnCgroup(const std::string& root) {
  const absl::StatusOr<std::string> mounts = io::ReadFile(root + "/proc/self/mountinfo");
  const absl::StatusOr<std::string> own = io::ReadFile(root + "/proc/self/cgroup");
  if (!mounts.ok()) return mounts.status();
  if (!own.ok()) return own.status();
  std::string path;
  for (absl::string_view line : absl::StrSplit(*own, '\n')) {
    if (line.substr(0, 3) == "0::") path = std::string(line.substr(3));
  }
  for (absl::string_view line : absl::StrSplit(*mounts, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (path.empty() || fields.size() < 6 || line.find(" - cgroup2 ") == absl::string_view::npos)
      continue;
    // A container sees a part of the tree, whose root it is told here.
    const std::string mounted = fields[3] == "/" ? "" : Unescaped(fields[3]);
    if (!path.starts_with(mounted)) continue;
    std::string below = path.substr(mounted.size());
    if (below == "/") below.clear();
    if (below.empty() || below[0] == '/') return StrCat(root, Unescaped(fields[4]), below);
  }
  return absl::FailedPreconditionError("no cgroup version 2 is mounted");
}

void SweepDeadCgroups(const std::string& parent) {
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    if (entry.path().filename().string().starts_with(NamePrefix()))
      found.push_back(entry.path().string());
  }
  for (const std::string& path : found) {
    // The kernel removes no cgroup that holds a process, and nobody enters one that is gone: the worker is dead.
    if (rmdir((path + "/daemon").c_str()) != 0 && errno != ENOENT) continue;
    for (int i = 0; i < kTries && !RemoveTasks(path + "/tasks"); ++i)
      std::this_thread::sleep_for(kBetweenTries);
    rmdir(path.c_str());
  }
}

absl::StatusOr<std::unique_ptr<Cgroups>> Cgroups::Open(const std::string& root) {
  const absl::StatusOr<std::string> parent = OwnCgroup(root);
  if (!parent.ok()) return parent.status();
  if (!HasWord(*parent + "/cgroup.controllers", "memory")) {
    return absl::FailedPreconditionError(
        StrCat("the cgroup ", *parent, " has no memory controller (cgroup version 2)"));
  }
  if (!IsDelegated(root, *parent)) {
    return absl::FailedPreconditionError(StrCat(
        "the cgroup ", *parent, " is not delegated to this worker; systemd: Delegate=yes does it"));
  }
  SweepDeadCgroups(*parent);
  std::unique_ptr<Cgroups> cgroups(new Cgroups(*parent));
  if (absl::Status built = cgroups->Build(); !built.ok()) return built;
  return cgroups;
}

absl::Status Cgroups::Build() {
  absl::Status made;
  for (int i = 0; i < kNames; ++i) {
    path_ = StrCat(parent_, "/", NamePrefix(), getpid(), i == 0 ? "" : StrCat("-", i));
    made = MakeFolder(path_);
    if (!made.ok()) continue;
    // A worker that starts at the same time may have taken it for a dead one's.
    made = MakeFolder(path_ + "/daemon");
    if (made.ok()) made = Write(path_ + "/daemon/cgroup.procs", "0");
    if (made.ok()) break;
    rmdir((path_ + "/daemon").c_str());
    rmdir(path_.c_str());
  }
  if (!made.ok()) {
    path_.clear();
    return made;
  }
  const std::string tasks = path_ + "/tasks";
  if (absl::Status s = MakeFolder(tasks); !s.ok()) return s;
  if (!HasWord(ControlOf(parent_), "memory")) {
    if (!Write(ControlOf(parent_), "+memory").ok()) {
      return absl::FailedPreconditionError(StrCat(
          "the cgroup ", parent_,
          " cannot be divided, because other processes are in it; start this worker in one of its "
          "own, as with systemd-run --scope -p Delegate=yes"));
    }
    enabled_ = true;
  }
  for (const std::string& path : {path_, tasks}) {
    if (absl::Status s = Write(ControlOf(path), "+memory"); !s.ok()) return s;
  }
  kill_fd_ = open((tasks + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC);
  if (kill_fd_ < 0)
    return absl::FailedPreconditionError("this kernel cannot kill a cgroup: 5.14 can");
  // Whether all can be done is known before an attempt needs it.
  absl::StatusOr<std::unique_ptr<Cgroup>> probe = Make(kProbeBytes);
  return probe.ok() ? CheckSpawn((*probe)->fd(), path_) : probe.status();
}

Cgroups::~Cgroups() {
  if (path_.empty()) return;
  if (kill_fd_ >= 0) close(kill_fd_);
  for (int i = 0; i < kTries && !RemoveTasks(path_ + "/tasks"); ++i)
    std::this_thread::sleep_for(kBetweenTries);
  (void)Write(ControlOf(path_), "-memory");
  if (enabled_) (void)Write(ControlOf(parent_), "-memory");  // not while others use it
  (void)Write(parent_ + "/cgroup.procs", "0");
  rmdir((path_ + "/daemon").c_str());
  rmdir(path_.c_str());
}

absl::StatusOr<std::unique_ptr<Cgroup>> Cgroups::Make(uint64_t memory_bytes) {
  RemoveLeft();
  const std::string path = StrCat(path_, "/tasks/", next_++);
  if (absl::Status s = MakeFolder(path); !s.ok()) return s;
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    rmdir(path.c_str());
    return io::ErrnoStatus("open", path, error);
  }
  std::unique_ptr<Cgroup> cgroup(new Cgroup(*this, path, fd));
  if (absl::Status s = Write(path + "/memory.max", StrCat(memory_bytes)); !s.ok()) return s;
  if (absl::Status s = Write(path + "/memory.oom.group", "1"); !s.ok()) return s;
  absl::Status swap = Write(path + "/memory.swap.max", "0");
  if (!swap.ok() && !absl::IsNotFound(swap)) return swap;  // a kernel without swap has no such file
  return cgroup;
}

void Cgroups::Remove(const std::string& path) {
  if (rmdir(path.c_str()) == 0) return;
  std::lock_guard lock(mutex_);
  left_.push_back(path);
}

void Cgroups::RemoveLeft() {
  std::lock_guard lock(mutex_);
  std::erase_if(left_, [](const std::string& path) { return rmdir(path.c_str()) == 0; });
}

Cgroup::~Cgroup() {
  Kill();
  close(fd_);
  owner_.Remove(path_);
}

void Cgroup::Kill() const { (void)Write(path_ + "/cgroup.kill", "1"); }

MemoryEnd Cgroup::ReadMemory() const { return ReadMemoryOf(path_); }

MemoryEnd ReadMemoryOf(const std::string& path) {
  MemoryEnd end;
  if (const absl::StatusOr<std::string> events = io::ReadFile(path + "/memory.events");
      events.ok()) {
    end.killed = FieldOf(*events, "oom_kill ") != 0;
    end.own_limit = FieldOf(*events, "oom ") != 0;
  }
  if (const absl::StatusOr<std::string> peak = io::ReadFile(path + "/memory.peak"); peak.ok())
    end.peak_bytes = FieldOf(*peak, "");
  return end;
}

}  // namespace taskd::worker
