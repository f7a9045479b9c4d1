#include "worker/store/work_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::worker {
namespace {

constexpr time_t kFreshSeconds = 60;

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return io::ErrnoStatus("make the folder", path, error.value());
  if (chmod(path.c_str(), 0700) != 0) {
    return io::ErrnoStatus("make private (chmod 700) the folder", path, errno);
  }
  return absl::OkStatus();
}

// The lock file holds the owner's pid, for the message that another daemon prints.
std::string ReadOwner(int fd) {
  char text[32] = {};
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  std::string owner(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!owner.empty() && owner.back() == '\n') owner.pop_back();
  return owner;
}

// Depth first below the open folder `fd`, which is closed. Chmods folders that their task made
// unreadable.
void RemoveEntries(int fd) {
  DIR* folder = fdopendir(fd);
  if (folder == nullptr) {
    close(fd);
    return;
  }
  while (dirent* entry = readdir(folder)) {
    const char* name = entry->d_name;
    if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
    if (entry->d_type != DT_DIR && unlinkat(dirfd(folder), name, 0) == 0) continue;
    int sub = openat(dirfd(folder), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub < 0 && errno == EACCES && fchmodat(dirfd(folder), name, 0700, 0) == 0) {
      sub = openat(dirfd(folder), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (sub >= 0) {
      fchmod(sub, 0700);
      RemoveEntries(sub);
    }
    unlinkat(dirfd(folder), name, AT_REMOVEDIR);
  }
  closedir(folder);
}

}  // namespace

WorkDir::WorkDir(std::string path)
    : path_(std::move(path)), store_path_(path_ + "/store"), run_path_(path_ + "/run") {}

absl::StatusOr<WorkDir> WorkDir::Open(const std::string& path) {
  std::error_code error;
  std::string absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  WorkDir dir(std::move(absolute));
  if (absl::Status made = MakeFolder(dir.path_); !made.ok()) return made;
  if (absl::Status locked = dir.Lock(); !locked.ok()) return locked;
  const std::string pid = StrCat(getpid(), "\n");
  if (ftruncate(dir.lock_fd_, 0) != 0 || pwrite(dir.lock_fd_, pid.data(), pid.size(), 0) < 0) {
    return io::ErrnoStatus("write", dir.path_ + "/lock", errno);
  }
  dir.Clean();
  for (const std::string& folder : {dir.store_path_, dir.run_path_}) {
    if (absl::Status made = MakeFolder(folder); !made.ok()) return made;
  }
  return dir;
}

absl::Status WorkDir::Lock() {
  const std::string lock = path_ + "/lock";
  lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd_ < 0) return io::ErrnoStatus("open", lock, errno);
  struct stat s;
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) {
    if (fstat(lock_fd_, &s) == 0 && s.st_nlink > 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("the work folder ", path_, " was removed while it was opened: start again"));
  }
  if (errno != EWOULDBLOCK) {
    return io::ErrnoStatus("lock (the work folder must be on a local disk)", lock, errno);
  }
  return absl::FailedPreconditionError(
      StrCat("the work folder ", path_, " is in use by another taskd-worker (pid ",
             ReadOwner(lock_fd_), "): stop it, or give this one another --work-dir"));
}

void WorkDir::SweepDead(const std::string& path, std::string_view prefix,
                        const std::function<void(const WorkDir&)>& found) {
  const std::filesystem::path own(path);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(own.parent_path(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || entry.path() == own) continue;
    struct stat s;
    const std::string lock = entry.path().string() + "/lock";
    // A folder that is just being made is not locked yet.
    if (lstat(entry.path().c_str(), &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != geteuid() ||
        lstat(lock.c_str(), &s) != 0 || time(nullptr) - s.st_mtime < kFreshSeconds) {
      continue;
    }
    WorkDir dead(entry.path().string());
    if (!dead.Lock().ok()) continue;
    found(dead);
    dead.Remove();
  }
}

WorkDir::WorkDir(WorkDir&& other) noexcept
    : path_(std::move(other.path_)),
      store_path_(std::move(other.store_path_)),
      run_path_(std::move(other.run_path_)),
      lock_fd_(std::exchange(other.lock_fd_, -1)) {}

WorkDir::~WorkDir() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

void WorkDir::Clean() const {
  RemoveTree(store_path_);
  RemoveTree(run_path_);
  RemoveTree(log_path());
}

void WorkDir::Remove() const {
  Clean();
  for (const std::string& file : {running_path(), path_ + "/lock"}) unlink(file.c_str());
  rmdir(path_.c_str());
}

void RemoveTree(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) RemoveEntries(fd);
  if (rmdir(path.c_str()) != 0 && errno == ENOTDIR) unlink(path.c_str());
}

}  // namespace taskd::worker
