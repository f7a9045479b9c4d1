#include "worker/exec/memory_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/muldiv.h"
#include "common/base/text.h"
#include "worker/exec/proc_text.h"
#include "worker/exec/reactor.h"

namespace taskd::worker {
namespace {

// Of a file of /proc, which is read whole or not at all; "": it is gone.
std::string_view ReadProc(const char* path, char* buffer, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t n = read(fd, buffer, size);
  close(fd);
  return n <= 0 ? std::string_view() : std::string_view(buffer, static_cast<size_t>(n));
}

// The process group in /proc/PID/stat; 0: it is gone. The command in it may hold anything but its last ')'.
pid_t GroupOf(int pid, char* buffer, size_t size) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  std::string_view text = ReadProc(path, buffer, size);
  const size_t end = text.rfind(')');
  if (end == std::string_view::npos) return 0;
  char state = 0;
  int parent = 0, group = 0;
  const std::string rest(text.substr(end + 1, 64));
  return std::sscanf(rest.c_str(), " %c %d %d", &state, &parent, &group) == 3 ? group : 0;
}

uint64_t MemoryOf(int pid, char* buffer, size_t size) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/status", pid);
  const std::string_view text = ReadProc(path, buffer, size);
  return (FieldOf(text, "RssAnon:") + FieldOf(text, "RssShmem:") + FieldOf(text, "VmSwap:")) * 1024;
}

// Anonymous and shared memory in bytes of the process groups that are wanted; any other process costs one
// short read.
absl::flat_hash_map<pid_t, uint64_t> MemoryOfGroups(const std::function<bool(pid_t)>& wanted) {
  absl::flat_hash_map<pid_t, uint64_t> used;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return used;
  std::vector<char> buffer(8192);
  while (const dirent* entry = readdir(proc)) {
    const int pid = std::atoi(entry->d_name);  // 0: no process
    const pid_t group = pid == 0 ? 0 : GroupOf(pid, buffer.data(), buffer.size());
    if (group > 0 && wanted(group)) used[group] += MemoryOf(pid, buffer.data(), buffer.size());
  }
  closedir(proc);
  return used;
}

}  // namespace

MemoryWatch::~MemoryWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void MemoryWatch::Add(pid_t group, uint64_t limit_bytes, Exceeded exceeded) {
  std::lock_guard lock(mutex_);
  groups_[group] = {limit_bytes, std::move(exceeded)};
  // A new process has taken nothing yet.
  const uint64_t ns = std::clamp(MulDiv(limit_bytes, 1'000'000'000, kGrowthBytesPerSecond),
                                 kShortestNs, kLongestNs);
  next_ns_ = std::min(next_ns_, MonotonicNs() + ns);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void MemoryWatch::Remove(pid_t group) {
  std::lock_guard lock(mutex_);
  groups_.erase(group);
}

uint64_t MemoryWatch::KernelKills() {
  std::vector<char> buffer(32768);
  const uint64_t kills =
      FieldOf(ReadProc(vmstat_path_.c_str(), buffer.data(), buffer.size()), "oom_kill ");
  std::lock_guard lock(mutex_);
  kernel_looked_ns_ = MonotonicNs();
  return kernel_kills_ = kills;
}

uint64_t MemoryWatch::KernelKillsLately() {
  {
    std::lock_guard lock(mutex_);
    if (kernel_looked_ns_ != 0 && MonotonicNs() - kernel_looked_ns_ <= kLongestNs)
      return kernel_kills_;
  }
  return KernelKills();
}

void MemoryWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t now_ns = MonotonicNs();
    if (groups_.empty()) {
      next_ns_ = UINT64_MAX;
      changed_.wait(lock);
    } else if (next_ns_ > now_ns) {
      changed_.wait_for(lock, std::chrono::nanoseconds(next_ns_ - now_ns));
    } else {
      next_ns_ = UINT64_MAX;
      lock.unlock();
      const uint64_t wait_ns = Look();
      lock.lock();
      next_ns_ = std::min(next_ns_, MonotonicNs() + wait_ns);
    }
  }
}

// How long the next look can wait.
uint64_t MemoryWatch::Look() {
  const auto used = MemoryOfGroups([this](pid_t group) {
    std::lock_guard lock(mutex_);
    return groups_.contains(group);
  });
  std::lock_guard lock(mutex_);
  uint64_t wait_ns = kLongestNs;
  for (const auto& [group, bytes] : used) {
    auto it = groups_.find(group);
    if (it == groups_.end()) continue;
    const uint64_t limit_bytes = it->second.limit_bytes;
    if (bytes > limit_bytes) {
      it->second.exceeded(bytes);
      groups_.erase(it);
    } else {
      wait_ns =
          std::min(wait_ns, MulDiv(limit_bytes - bytes, 1'000'000'000, kGrowthBytesPerSecond));
    }
  }
  return std::max(wait_ns, kShortestNs);
}

}  // namespace taskd::worker
