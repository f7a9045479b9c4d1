#include "worker/exec/folder_pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

namespace fs = std::filesystem;

class FolderPoolTest : public testing::Test {
 protected:
  // A folder that is as a new one: that is looked at here.
  std::string Take() {
    const std::string path = run_ / StrCat("attempt-", ++taken_);
    EXPECT_TRUE(pool_->Take(path).ok());
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(path))
      found.push_back(entry.path().string());
    EXPECT_EQ(found, std::vector<std::string>{path + "/tmp"});
    for (const std::string& folder : {path, path + "/tmp"}) {
      EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all) << folder;
    }
    return path;
  }

  // So many that they are looked at when the next one is taken, each left behind as `leave` does it.
  template <class Leave>
  void Use(Leave&& leave) {
    std::vector<std::string> paths;
    for (uint32_t i = 0; i < limits::kSpareFoldersLooked; ++i) paths.push_back(Take());
    for (const std::string& path : paths) {
      leave(path);
      pool_->GiveBack(path);
    }
  }

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

  TempDir run_;
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
  Take();
  EXPECT_FALSE(fs::exists(old.back() + "/late"));
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
    pool_->GiveBack(path);
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
  for (const std::string& path : paths) pool_->GiveBack(path);
  EXPECT_EQ(Folders(), limits::kSpareFolders);
  pool_.reset();
  EXPECT_EQ(Folders(), 0u);
}

}  // namespace
}  // namespace taskd::worker
