#include "worker/exec/folder_pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/exec/command_plan.h"

namespace taskd::worker {
namespace {

namespace fs = std::filesystem;

class FolderPoolTest : public testing::Test {
 protected:
  // A folder that is as a new one: that is looked at here. The file is closed at once.
  std::string Take(bool with_stdout = false) {
    const std::string path = run_ / StrCat("attempt-", ++taken_);
    absl::StatusOr<int> fd = pool_->Take(path, with_stdout);
    EXPECT_TRUE(fd.ok()) << fd.status();
    EXPECT_EQ(*fd >= 0, with_stdout);
    std::set<std::string> found, expected{path + "/tmp"};
    for (const auto& entry : fs::recursive_directory_iterator(path))
      found.insert(entry.path().string());
    if (with_stdout) {
      expected.insert(StdoutOf(path));
      EXPECT_EQ(write(*fd, "x", 1), 1);
      EXPECT_EQ(ReadFile(StdoutOf(path)), "x");
      close(*fd);
    }
    EXPECT_EQ(found, expected);
    for (const std::string& folder : {path, path + "/tmp"}) {
      EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all) << folder;
    }
    return path;
  }

  // So many that they are looked at when the next one is taken, each left behind as `leave` does it.
  template <class Leave>
  void Use(Leave&& leave, bool with_stdout = false) {
    std::vector<std::string> paths;
    for (uint32_t i = 0; i < limits::kSpareFoldersLooked; ++i) paths.push_back(Take(with_stdout));
    for (const std::string& path : paths) {
      const uint64_t inode = with_stdout ? InodeOf(StdoutOf(path)) : 0;
      leave(path);
      pool_->GiveBack(path, inode);
    }
  }

  static std::string StdoutOf(const std::string& path) { return path + "/" + kStdoutFile; }

  static ino_t InodeOf(const std::string& path) {
    struct stat s;
    return stat(path.c_str(), &s) == 0 ? s.st_ino : 0;
  }

  size_t Folders() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(run_.path()), {}));
  }

  // How many of the folders that were used come again.
  size_t CountReused(const std::set<ino_t>& used) {
    size_t count = 0;
    for (uint32_t i = 0; i < limits::kSpareFoldersLooked; ++i) count += used.count(InodeOf(Take()));
    return count;
  }

  TempDir run_, files_;
  std::unique_ptr<FolderPool> pool_ = std::make_unique<FolderPool>();
  uint32_t taken_ = 0;
};

TEST_F(FolderPoolTest, WhatWasUsedComesAgainEmptyUnderANewName) {
  std::set<ino_t> used;
  Use([&](const std::string& path) {
    used.insert(InodeOf(path));
    WriteFile(path + "/out", "text");
    WriteFile(path + "/tmp/scratch", "text");
    fs::create_directories(path + "/a/b/c");
    fs::create_symlink("/", path + "/tmp/root");
  });
  EXPECT_EQ(CountReused(used), limits::kSpareFoldersLooked);
  EXPECT_EQ(Folders(), limits::kSpareFoldersLooked);  // none of the old names is left
}

TEST_F(FolderPoolTest, WhatIsNotAsItWasIsNotUsedAgain) {
  int way = 0;
  Use([&](const std::string& path) {
    switch (way++ % 4) {
      case 0:
        fs::permissions(path, fs::perms::owner_all | fs::perms::group_read);
        break;
      case 1:
        fs::remove(path + "/tmp");
        break;
      case 2:
        fs::remove(path + "/tmp");
        fs::create_directory_symlink("/", path + "/tmp");
        break;
      case 3:
        fs::permissions(path + "/tmp", fs::perms::owner_read | fs::perms::owner_exec);
        break;
    }
  });
  EXPECT_EQ(Folders(), 0u);
}

TEST_F(FolderPoolTest, WhatIsPutIntoASpareOneIsNeverSeen) {
  std::vector<std::string> old;
  Use([&](const std::string& path) { old.push_back(path); });
  for (const std::string& path : old) WriteFile(path + "/late", "text");
  Take();  // looks
  EXPECT_EQ(Folders(), limits::kSpareFoldersLooked);
}

TEST_F(FolderPoolTest, NobodyEntersAFolderThatWasLookedAtByItsOldName) {
  std::vector<std::string> old;
  Use([&](const std::string& path) { old.push_back(path); });
  for (const std::string& path : old) EXPECT_TRUE(fs::exists(path));
  Take();  // looks
  for (const std::string& path : old) EXPECT_FALSE(fs::exists(path)) << path;
  EXPECT_EQ(Folders(), limits::kSpareFoldersLooked);
}

TEST_F(FolderPoolTest, TheFileOfAStdoutIsUsedAgainEmpty) {
  std::set<ino_t> used;
  Use([&](const std::string& path) { used.insert(InodeOf(StdoutOf(path))); }, true);
  for (uint32_t i = 0; i < limits::kSpareFoldersLooked / 2; ++i)
    EXPECT_TRUE(used.contains(InodeOf(StdoutOf(Take(true)))));
  Take();  // who wants none finds none
}

TEST_F(FolderPoolTest, AFileThatSomebodyStillHasIsLeftToHim) {
  std::map<ino_t, int> open_ones;
  int way = 0;
  const auto leave = [&](const std::string& path) {
    const std::string file = StdoutOf(path), other = files_ / StrCat(way);
    const ino_t inode = InodeOf(file);
    switch (way++ % 3) {
      case 0:
        open_ones[inode] = open(file.c_str(), O_WRONLY | O_CLOEXEC);
        break;
      case 1:
        fs::create_hard_link(file, other);
        open_ones[inode] = -1;
        break;
      case 2:  // another file in its place
        fs::rename(file, other);
        WriteFile(file, "text");
        open_ones[inode] = -1;
        break;
    }
  };
  Use(leave, true);
  for (uint32_t i = 0; i < limits::kSpareFoldersLooked; ++i)
    EXPECT_FALSE(open_ones.contains(InodeOf(StdoutOf(Take(true)))));
  for (const auto& [inode, fd] : open_ones) {
    if (fd >= 0) close(fd);
  }
}

TEST_F(FolderPoolTest, WhereAProcessIsNobodyElseComes) {
  // Three that outlive their attempts: in the folder, in its tmp, and in what was removed of it.
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < limits::kSpareFoldersLooked; ++i) paths.push_back(Take());
  std::vector<pid_t> processes;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (const char* where : {"", "/tmp", "/sub"}) {
    const std::string folder = paths[processes.size()] + where;
    fs::create_directory(folder);
    const pid_t pid = fork();
    if (pid == 0) {
      char byte = chdir(folder.c_str()) == 0 ? 'y' : 'n';
      if (write(ends[1], &byte, 1) != 1) _exit(1);
      for (;;) pause();
    }
    processes.push_back(pid);
    char there = 0;
    ASSERT_EQ(read(ends[0], &there, 1), 1);
    EXPECT_EQ(there, 'y');
  }
  std::set<ino_t> used;
  for (const std::string& path : paths) {
    used.insert(InodeOf(path));
    pool_->GiveBack(path, 0);
  }
  // Their inodes live as long as they do, so no new folder has the same.
  EXPECT_EQ(CountReused(used), limits::kSpareFoldersLooked - processes.size());
  for (pid_t pid : processes) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
}

TEST_F(FolderPoolTest, WithoutASightOfProcessesNothingIsUsedAgain) {
  pool_ = std::make_unique<FolderPool>(run_ / "no-proc");
  Use([](const std::string&) {});
  Take();
  EXPECT_EQ(Folders(), 1u);
}

TEST_F(FolderPoolTest, KeepsSoManyAndRemovesThemInTheEnd) {
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < limits::kSpareFolders + 5; ++i) paths.push_back(Take());
  for (const std::string& path : paths) pool_->GiveBack(path, 0);
  EXPECT_EQ(Folders(), limits::kSpareFolders);
  pool_.reset();
  EXPECT_EQ(Folders(), 0u);
}

}  // namespace
}  // namespace taskd::worker
