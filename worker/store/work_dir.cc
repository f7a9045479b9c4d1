#include "worker/store/work_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
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

absl::StatusOr<WorkDir> WorkDir::Open(const std::string& path) {
  WorkDir dir;
  std::error_code error;
  dir.path_ = std::filesystem::absolute(path, error).lexically_normal().string();
  while (dir.path_.size() > 1 && dir.path_.back() == '/') dir.path_.pop_back();
  dir.store_path_ = dir.path_ + "/store";
  dir.run_path_ = dir.path_ + "/run";
  if (absl::Status made = MakeFolder(dir.path_); !made.ok()) return made;

  const std::string lock = dir.path_ + "/lock";
  dir.lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (dir.lock_fd_ < 0) return io::ErrnoStatus("open", lock, errno);
  if (flock(dir.lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return io::ErrnoStatus("lock (the work folder must be on a local disk)", lock, errno);
    }
    return absl::FailedPreconditionError(
        StrCat("the work folder ", dir.path_, " is in use by another taskd-worker (pid ",
               ReadOwner(dir.lock_fd_), "): stop it, or give this one another --work-dir"));
  }
  const std::string pid = StrCat(getpid(), "\n");
  if (ftruncate(dir.lock_fd_, 0) != 0 || pwrite(dir.lock_fd_, pid.data(), pid.size(), 0) < 0) {
    return io::ErrnoStatus("write", lock, errno);
  }
  dir.Clean();
  for (const std::string& folder : {dir.store_path_, dir.run_path_}) {
    if (absl::Status made = MakeFolder(folder); !made.ok()) return made;
  }
  return dir;
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
}

void RemoveTree(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) RemoveEntries(fd);
  if (rmdir(path.c_str()) != 0 && errno == ENOTDIR) unlink(path.c_str());
}

}  // namespace taskd::worker
