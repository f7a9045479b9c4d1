#include "common/io/access_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "common/io/files.h"
#include "tests/unit/io/temp_dir.h"

namespace taskd::io {
namespace {

using testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat found;
  EXPECT_EQ(stat(path.c_str(), &found), 0);
  return found.st_mode & 0777;
}

const AccessFile kAccess = {"c1", {"127.0.0.1:7070", "node1:7070"}, "client", "worker"};

TEST(AccessFile, ComesBackAsItWasAndIsPrivate) {
  TempDir temp;
  std::string dir = temp / "a/b";
  ASSERT_TRUE(WriteAccessFile(dir, kAccess).ok());
  EXPECT_EQ(ModeOf(dir), 0700u);
  EXPECT_EQ(ModeOf(AccessPath(dir)), 0600u);
  auto read = ReadAccessFile(dir);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->cluster_id, "c1");
  EXPECT_EQ(read->addresses, kAccess.addresses);
  EXPECT_EQ(read->client_key, "client");
  EXPECT_EQ(read->worker_key, "worker");
}

TEST(AccessFile, IsReplacedWhole) {
  TempDir temp;
  ASSERT_TRUE(WriteAccessFile(temp.path(), kAccess).ok());
  AccessFile other = kAccess;
  other.cluster_id = "c2";
  ASSERT_TRUE(WriteAccessFile(temp.path(), other).ok());
  EXPECT_EQ(ReadAccessFile(temp.path())->cluster_id, "c2");
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(temp.path()))
    ++files;
  EXPECT_EQ(files, 1);  // nothing is left beside it
}

TEST(AccessFile, OneThatOthersCanReadIsRefused) {
  TempDir temp;
  ASSERT_TRUE(WriteAccessFile(temp.path(), kAccess).ok());
  for (mode_t mode : {0640, 0604, 0620, 0666}) {
    chmod(AccessPath(temp.path()).c_str(), mode);
    auto read = ReadAccessFile(temp.path());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kPermissionDenied) << mode;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr("chmod 600"));
  }
}

TEST(AccessFile, MissingAndDamagedOnesSayWhatToDo) {
  TempDir temp;
  auto missing = ReadAccessFile(temp / "none");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("taskctl cluster start"));
  for (const char* text : {"", "x", "[1]", "{addresses: {a: b}, client_key: k}", "cluster_id: c",
                           "a: [", "{client_key: [1]}"}) {
    ASSERT_TRUE(WriteFileAtomically(AccessPath(temp.path()), text).ok());
    auto read = ReadAccessFile(temp.path());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(AccessPath(temp.path())));
  }
}

TEST(AccessFile, TheFolderIsTheFlagThenTheVariableThenHome) {
  setenv("TASKD_DIR", "/from/variable", 1);
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(*AccessDir("/from/flag"), "/from/flag");
  EXPECT_EQ(*AccessDir(""), "/from/variable");
  unsetenv("TASKD_DIR");
  EXPECT_EQ(*AccessDir(""), "/home/me/.taskd");
  unsetenv("HOME");
  EXPECT_EQ(AccessDir("").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace taskd::io
