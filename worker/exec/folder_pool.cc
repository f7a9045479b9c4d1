#include "worker/exec/folder_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "worker/exec/command_plan.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

constexpr std::string_view kTmp = "tmp";
constexpr std::string_view kSpareSuffix = ".spare";

// Calls see(name) for what is in the folder `path` until it says false. False: that, or an error.
template <class See>
bool List(const std::string& path, See&& see) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* folder = fd < 0 ? nullptr : fdopendir(fd);
  if (folder == nullptr) {
    if (fd >= 0) close(fd);
    return false;
  }
  bool go_on = true;
  errno = 0;
  while (const dirent* entry = go_on ? readdir(folder) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") go_on = see(name);
    errno = 0;
  }
  const bool whole = go_on && errno == 0;
  closedir(folder);
  return whole;
}

// False: something is left in it but what may stay.
template <class MayStay>
bool Empty(const std::string& path, MayStay&& may_stay) {
  return List(path, [&](std::string_view name) {
    const std::string entry = StrCat(path, "/", name);
    if (may_stay(name, entry) || unlink(entry.c_str()) == 0) return true;
    RemoveTree(entry);
    struct stat s;
    return lstat(entry.c_str(), &s) != 0;
  });
}

// A folder as we make it: ours, private, small, and without rules for who may use what is put into it.
bool IsPlain(const std::string& path) {
  struct stat s;
  return lstat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid() &&
         (s.st_mode & 07777) == 0700 &&
         static_cast<uint64_t>(s.st_size) <= limits::kSpareFolderBytes &&
         getxattr(path.c_str(), "system.posix_acl_default", nullptr, 0) < 0;
}

std::string TmpOf(const std::string& path) { return StrCat(path, "/", kTmp); }
std::string StdoutOf(const std::string& path) { return StrCat(path, "/", kStdoutFile); }

bool IsAsNew(const std::string& path, bool with_stdout) {
  bool has_tmp = false, has_stdout = false;
  const bool nothing_else = List(path, [&](std::string_view name) {
    has_tmp |= name == kTmp;
    has_stdout |= name == kStdoutFile;
    return name == kTmp || name == kStdoutFile;
  });
  return nothing_else && has_tmp && has_stdout == with_stdout && IsPlain(path) &&
         IsPlain(TmpOf(path)) && List(TmpOf(path), [](std::string_view) { return false; });
}

// Whether the file that Take gave is there, under no other name, and empty now.
bool EmptyStdout(const std::string& path, uint64_t inode) {
  struct stat s;
  if (lstat(path.c_str(), &s) != 0 || s.st_ino != inode || s.st_nlink != 1 || !S_ISREG(s.st_mode) ||
      (s.st_mode & 07777) != 0600 || s.st_uid != geteuid()) {
    return false;
  }
  return s.st_size == 0 || truncate(path.c_str(), 0) == 0;
}

// -1: somebody else has it open, or the kernel does not say. A lease is given to the only one who has.
int OpenStdout(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat s;
  if (fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0 &&
      fstat(fd, &s) == 0 && s.st_size == 0) {
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Calls see(name) for each folder that the working folder of some process lies in, or is; `cwd` names it as
// the kernel does, also when it is removed or below another root.
template <class See>
void ForEachName(std::string_view cwd, See&& see) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (cwd.ends_with(kDeleted)) cwd.remove_suffix(kDeleted.size());
  while (!cwd.empty()) {
    see(NameOf(cwd));
    cwd = cwd.substr(0, cwd.rfind('/') == std::string_view::npos ? 0 : cwd.rfind('/'));
  }
}

}  // namespace

FolderPool::~FolderPool() {
  for (const std::vector<Spare>* spares : {&ready_, &resting_}) {
    for (const Spare& spare : *spares) RemoveTree(spare.path);
  }
}

absl::StatusOr<int> FolderPool::Take(const std::string& path, bool with_stdout) {
  Spare spare = TakeSpare(with_stdout);
  bool taken = !spare.path.empty();
  if (taken) {
    if (spare.has_stdout && !with_stdout) {
      unlink(StdoutOf(spare.path).c_str());
      spare.has_stdout = false;
    }
    // Under another such name: what is seen now stays so.
    const bool renamed = rename(spare.path.c_str(), path.c_str()) == 0;
    taken = renamed && IsAsNew(path, spare.has_stdout);
    if (!taken) RemoveTree(renamed ? path : spare.path);
  }
  if (!taken) {
    for (const std::string& made : {path, TmpOf(path)}) {
      if (mkdir(made.c_str(), 0700) != 0) return io::ErrnoStatus("make the folder", made, errno);
    }
  }
  if (!with_stdout) return -1;
  const std::string file = StdoutOf(path);
  if (taken && spare.has_stdout) {
    if (const int fd = OpenStdout(file); fd >= 0) return fd;
    unlink(file.c_str());
  }
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return io::ErrnoStatus("make", file, errno);
  return fd;
}

FolderPool::Spare FolderPool::TakeSpare(bool with_stdout) {
  std::vector<Spare> looked;
  {
    std::lock_guard lock(mutex_);
    if (ready_.empty() && resting_.size() >= limits::kSpareFoldersLooked) looked.swap(resting_);
  }
  // First under a name that nobody knows: who is in it is seen, and nobody enters it any more.
  std::erase_if(looked, [](Spare& spare) {
    const std::string known = std::exchange(spare.path, StrCat(spare.path, kSpareSuffix));
    if (rename(known.c_str(), spare.path.c_str()) == 0) return false;
    RemoveTree(known);
    return true;
  });
  if (!looked.empty()) looked = WithoutProcesses(std::move(looked));
  std::lock_guard lock(mutex_);
  ready_.insert(ready_.end(), looked.begin(), looked.end());
  if (ready_.empty()) return {};
  auto fits = std::find_if(ready_.begin(), ready_.end(),
                           [&](const Spare& spare) { return spare.has_stdout == with_stdout; });
  std::swap(fits == ready_.end() ? ready_.front() : *fits, ready_.back());
  Spare spare = std::move(ready_.back());
  ready_.pop_back();
  return spare;
}

void FolderPool::GiveBack(const std::string& path, uint64_t stdout_inode) {
  bool has_stdout = false;
  const auto may_stay = [&](std::string_view name, const std::string& entry) {
    if (name == kTmp) return true;
    if (name != kStdoutFile || stdout_inode == 0) return false;
    has_stdout = EmptyStdout(entry, stdout_inode);
    return has_stdout;
  };
  if (IsPlain(path) && IsPlain(TmpOf(path)) && Empty(path, may_stay) &&
      Empty(TmpOf(path), [](std::string_view, const std::string&) { return false; })) {
    std::lock_guard lock(mutex_);
    if (ready_.size() + resting_.size() < limits::kSpareFolders) {
      resting_.push_back({path, has_stdout});
      return;
    }
  }
  RemoveTree(path);
}

// Those that no process is in; the others are removed, and all when it cannot be seen. Processes that may not
// be looked at are another user's, who may not enter.
std::vector<FolderPool::Spare> FolderPool::WithoutProcesses(std::vector<Spare> spares) const {
  absl::flat_hash_set<std::string_view> names;
  for (const Spare& spare : spares) names.insert(NameOf(spare.path));
  absl::flat_hash_set<std::string> taken;
  char cwd[PATH_MAX];
  const bool seen = List(proc_path_, [&](std::string_view process) {
    if (!std::isdigit(static_cast<unsigned char>(process[0]))) return true;
    const ssize_t n = readlink(StrCat(proc_path_, "/", process, "/cwd").c_str(), cwd, sizeof cwd);
    if (n <= 0) return true;
    ForEachName({cwd, static_cast<size_t>(n)}, [&](std::string_view name) {
      if (names.contains(name)) taken.insert(std::string(name));
    });
    return true;
  });
  std::erase_if(spares, [&](const Spare& spare) {
    if (seen && !taken.contains(std::string(NameOf(spare.path)))) return false;
    RemoveTree(spare.path);
    return true;
  });
  return spares;
}

}  // namespace taskd::worker
