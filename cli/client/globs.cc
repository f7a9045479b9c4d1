#include "cli/client/globs.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <queue>
#include <utility>

#include "common/base/text.h"

namespace taskd::client {
namespace {

struct Entry {
  std::string name;
  unsigned char type;  // of dirent
};

std::vector<Entry> List(const std::string& folder) {
  std::vector<Entry> entries;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (dir == nullptr) return entries;
  while (const dirent* e = readdir(dir.get())) {
    std::string_view name = e->d_name;
    if (name != "." && name != "..") entries.push_back({std::string(name), e->d_type});
  }
  return entries;
}

std::string Join(const std::string& folder, std::string_view name) {
  return StrCat(folder, folder.ends_with('/') ? "" : "/", name);
}

bool IsWild(std::string_view component) {
  return component.find_first_of("*?[") != std::string_view::npos;
}

class Finder {
 public:
  Finder(std::vector<std::string> components, std::vector<FoundFile>& files)
      : components_(std::move(components)), files_(files) {}

  void Walk(const std::string& folder, size_t at) {
    const std::string& component = components_[at];
    const bool last = at + 1 == components_.size();
    if (component == "**") {
      if (!last) Walk(folder, at + 1);
      for (const Entry& e : List(folder)) {
        if (e.name[0] == '.') continue;
        std::string path = Join(folder, e.name);
        if (IsRealFolder(path, e.type)) {
          Walk(path, at);
        } else if (last) {
          TakeFile(std::move(path));
        }
      }
      return;
    }
    if (!IsWild(component)) {
      std::string path = Join(folder, component);
      last ? TakeFile(std::move(path)) : Walk(path, at + 1);
      return;
    }
    for (const Entry& e : List(folder)) {
      if (fnmatch(component.c_str(), e.name.c_str(), FNM_PERIOD) != 0) continue;
      std::string path = Join(folder, e.name);
      last ? TakeFile(std::move(path)) : Walk(path, at + 1);
    }
  }

 private:
  static bool IsRealFolder(const std::string& path, unsigned char type) {
    if (type != DT_UNKNOWN) return type == DT_DIR;
    struct stat info;
    return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
  void TakeFile(std::string path) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    files_.push_back({std::move(path), static_cast<uint64_t>(info.st_size)});
  }

  std::vector<std::string> components_;
  std::vector<FoundFile>& files_;
};

}  // namespace

absl::StatusOr<std::vector<FoundFile>> FindFiles(std::string_view pattern,
                                                 std::string_view folder) {
  if (pattern.empty())
    return absl::InvalidArgumentError("an empty glob; write it like /data/*.txt");
  std::string start = "/";
  if (pattern[0] != '/') {
    start = std::string(folder);
    if (start.empty() || start[0] != '/')
      return absl::InternalError("the folder of a relative glob is not absolute");
  }
  std::vector<std::string> components;
  for (size_t i = 0; i <= pattern.size();) {
    size_t slash = std::min(pattern.find('/', i), pattern.size());
    std::string component(pattern.substr(i, slash - i));
    i = slash + 1;
    if (component.empty() || component == ".") continue;
    if (component != "**" && component.find("**") != std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat("'", pattern, "': ** stands alone between slashes, like /data/**/*.txt"));
    }
    components.push_back(std::move(component));
  }
  if (components.empty() || pattern.back() == '/') {
    return absl::InvalidArgumentError(StrCat("'", pattern, "' names a folder; its files are ",
                                             pattern, pattern.back() == '/' ? "*" : "/*"));
  }
  std::vector<FoundFile> files;
  Finder(std::move(components), files).Walk(start, 0);
  std::sort(files.begin(), files.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  auto same = [](const FoundFile& a, const FoundFile& b) { return a.path == b.path; };
  files.erase(std::unique(files.begin(), files.end(), same),
              files.end());  // a/**/**/b finds them twice
  return files;
}

std::vector<std::vector<FoundFile>> Balance(std::vector<FoundFile> files, uint32_t count) {
  std::vector<std::vector<FoundFile>> lists(count);
  if (count == 0) return lists;
  std::sort(files.begin(), files.end(), [](const FoundFile& a, const FoundFile& b) {
    return a.size_bytes != b.size_bytes ? a.size_bytes > b.size_bytes : a.path < b.path;
  });
  using Load = std::pair<uint64_t, uint32_t>;  // bytes, list
  std::priority_queue<Load, std::vector<Load>, std::greater<>> lightest;
  for (uint32_t i = 0; i < count; ++i) lightest.push({0, i});
  for (FoundFile& file : files) {
    auto [bytes, list] = lightest.top();
    lightest.pop();
    // One byte for the file itself, so that empty files spread too.
    lightest.push({bytes + file.size_bytes + 1, list});
    lists[list].push_back(std::move(file));
  }
  for (auto& list : lists) {
    std::sort(list.begin(), list.end(),
              [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  }
  return lists;
}

}  // namespace taskd::client
