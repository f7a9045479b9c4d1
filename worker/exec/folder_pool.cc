#include "worker/exec/folder_pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <climits>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

constexpr std::string_view kTmp = "tmp";

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

// False: something is left in it, `kept` aside.
bool Empty(const std::string& path, std::string_view kept) {
  return List(path, [&](std::string_view name) {
    if (name == kept) return true;
    const std::string entry = StrCat(path, "/", name);
    if (unlink(entry.c_str()) == 0) return true;
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

bool IsAsNew(const std::string& path) {
  bool has_tmp = false;
  const bool nothing_else = List(path, [&](std::string_view name) {
    has_tmp = name == kTmp;
    return has_tmp;
  });
  return nothing_else && has_tmp && IsPlain(path) && IsPlain(TmpOf(path)) &&
         List(TmpOf(path), [](std::string_view) { return false; });
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
  for (const std::vector<std::string>* spares : {&ready_, &resting_}) {
    for (const std::string& spare : *spares) RemoveTree(spare);
  }
}

absl::Status FolderPool::Take(const std::string& path) {
  std::vector<std::string> looked;
  {
    std::lock_guard lock(mutex_);
    if (ready_.empty() && resting_.size() >= limits::kSpareFoldersLooked) looked.swap(resting_);
  }
  if (!looked.empty()) looked = WithoutProcesses(std::move(looked));
  std::string spare;
  {
    std::lock_guard lock(mutex_);
    ready_.insert(ready_.end(), looked.begin(), looked.end());
    if (!ready_.empty()) {
      spare = std::move(ready_.back());
      ready_.pop_back();
    }
  }
  if (!spare.empty()) {
    // Under a name that nobody knows: what is seen now stays so.
    const bool renamed = rename(spare.c_str(), path.c_str()) == 0;
    if (renamed && IsAsNew(path)) return absl::OkStatus();
    RemoveTree(renamed ? path : spare);
  }
  for (const std::string& made : {path, TmpOf(path)}) {
    if (mkdir(made.c_str(), 0700) != 0) return io::ErrnoStatus("make the folder", made, errno);
  }
  return absl::OkStatus();
}

void FolderPool::GiveBack(const std::string& path) {
  if (IsPlain(path) && IsPlain(TmpOf(path)) && Empty(path, kTmp) && Empty(TmpOf(path), {})) {
    std::lock_guard lock(mutex_);
    if (ready_.size() + resting_.size() < limits::kSpareFolders) {
      resting_.push_back(path);
      return;
    }
  }
  RemoveTree(path);
}

// Those that no process is in; the others are removed, and all when it cannot be seen. Processes that may not
// be looked at are another user's, who may not enter.
std::vector<std::string> FolderPool::WithoutProcesses(std::vector<std::string> spares) const {
  absl::flat_hash_set<std::string_view> names;
  for (const std::string& spare : spares) names.insert(NameOf(spare));
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
  std::erase_if(spares, [&](const std::string& spare) {
    if (seen && !taken.contains(std::string(NameOf(spare)))) return false;
    RemoveTree(spare);
    return true;
  });
  return spares;
}

}  // namespace taskd::worker
