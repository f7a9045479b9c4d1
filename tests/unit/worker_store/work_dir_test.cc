#include "worker/store/work_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

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

TEST(WorkDirTest, NamesTheFolderThatItCannotMake) {
  TempDir temp;
  WriteFile(temp / "file", "");
  absl::StatusOr<WorkDir> dir = WorkDir::Open(temp / "file/sub");
  EXPECT_THAT(std::string(dir.status().message()), HasSubstr(temp / "file/sub"));
}

}  // namespace
}  // namespace taskd::worker
