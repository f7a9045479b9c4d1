#include "worker/store/work_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <set>

#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

using ::testing::HasSubstr;

TEST(WorkDirTest, MakesPrivateFolders) {
  TempDir temp;
  absl::StatusOr<WorkDir> dir = WorkDir::Open(temp / "a/b");
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_EQ(dir->path(), temp / "a/b");
  for (const std::string& folder : {dir->path(), dir->store_path(), dir->run_path()}) {
    struct stat s;
    ASSERT_EQ(stat(folder.c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777, 0700u);
  }
}

TEST(WorkDirTest, RefusesASecondDaemonAndLetsTheNextOneIn) {
  TempDir temp;
  {
    absl::StatusOr<WorkDir> first = WorkDir::Open(temp.path());
    ASSERT_TRUE(first.ok());
    absl::StatusOr<WorkDir> second = WorkDir::Open(temp.path());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.status().message()), HasSubstr("--work-dir"));
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
  }
  EXPECT_TRUE(WorkDir::Open(temp.path()).ok());
}

TEST(WorkDirTest, EmptiesWhatAnEarlierDaemonLeft) {
  TempDir temp;
  std::filesystem::create_directories(temp / "run/1/deep");
  std::filesystem::create_directories(temp / "store");
  WriteFile(temp / "run/1/deep/file", "x");
  WriteFile(temp / "store/7", "x");
  WriteFile(temp / "precious", "not ours");
  std::filesystem::create_symlink(temp / "precious", temp / "run/1/link");
  chmod((temp / "run/1/deep").c_str(), 0);
  absl::StatusOr<WorkDir> dir = WorkDir::Open(temp.path());
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_TRUE(std::filesystem::is_empty(temp / "run"));
  EXPECT_TRUE(std::filesystem::is_empty(temp / "store"));
  EXPECT_EQ(ReadFile(temp / "precious"), "not ours");
}

TEST(WorkDirTest, SweepsWhatTheDeadLeft) {
  TempDir temp;
  const auto age = [&](const std::string& name) {
    std::filesystem::last_write_time(
        temp / (name + "/lock"),
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  };
  for (const char* name : {"w-dead", "w-kept", "w-fresh", "other"}) {
    ASSERT_TRUE(WorkDir::Open(temp / name).ok());
    WriteFile(temp / (std::string(name) + "/store/1"), "x");
    if (std::string(name) != "w-fresh") age(name);
  }
  WriteFile(temp / "w-kept/precious", "not ours");
  std::filesystem::create_directories(temp / "w-no-daemon's");
  absl::StatusOr<WorkDir> living = WorkDir::Open(temp / "w-living");
  ASSERT_TRUE(living.ok());
  age("w-living");
  absl::StatusOr<WorkDir> own = WorkDir::Open(temp / "w-own");
  ASSERT_TRUE(own.ok());
  age("w-own");
  std::set<std::string> found;
  WorkDir::SweepDead(own->path(), "w-", [&](const WorkDir& dir) { found.insert(dir.path()); });
  EXPECT_EQ(found, (std::set<std::string>{temp / "w-dead", temp / "w-kept"}));
  EXPECT_FALSE(std::filesystem::exists(temp / "w-dead"));
  EXPECT_FALSE(std::filesystem::exists(temp / "w-kept/store"));
  EXPECT_EQ(ReadFile(temp / "w-kept/precious"), "not ours");
  for (const char* name :
       {"w-fresh/store/1", "other/store/1", "w-no-daemon's", "w-living/run", "w-own/run"})
    EXPECT_TRUE(std::filesystem::exists(temp / name)) << name;
}

TEST(WorkDirTest, NamesTheFolderThatItCannotMake) {
  TempDir temp;
  WriteFile(temp / "file", "");
  absl::StatusOr<WorkDir> dir = WorkDir::Open(temp / "file/sub");
  EXPECT_THAT(std::string(dir.status().message()), HasSubstr(temp / "file/sub"));
}

}  // namespace
}  // namespace taskd::worker
