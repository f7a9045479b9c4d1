#include "common/io/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/random.h"
#include "common/io/ready_file.h"
#include "tests/unit/io/temp_dir.h"

namespace taskd::io {
namespace {

using testing::HasSubstr;

TEST(Files, WhatIsWrittenIsRead) {
  TempDir temp;
  std::string data("a\0b\nc", 5);
  ASSERT_TRUE(WriteFileAtomically(temp / "f", data).ok());
  EXPECT_EQ(*ReadFile(temp / "f"), data);
  ASSERT_TRUE(WriteFileAtomically(temp / "f", "").ok());
  EXPECT_EQ(*ReadFile(temp / "f"), "");
}

TEST(Files, TheModeDoesNotDependOnTheUmask) {
  TempDir temp;
  mode_t old = umask(0177);
  ASSERT_TRUE(WriteFileAtomically(temp / "f", "x", 0640).ok());
  umask(old);
  struct stat found;
  ASSERT_EQ(stat((temp / "f").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0640u);
}

TEST(Files, ErrorsNameThePath) {
  TempDir temp;
  auto missing = ReadFile(temp / "none");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(temp / "none"));
  EXPECT_EQ(WriteFileAtomically(temp / "no/f", "x").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(temp / "f", "12345").ok());
  EXPECT_EQ(ReadFile(temp / "f", 4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadFile(temp / "f", 5).ok());
}

TEST(Files, FoldersAreMadeWithTheirParents) {
  TempDir temp;
  ASSERT_TRUE(MakePrivateDir(temp / "a/b/c").ok());
  ASSERT_TRUE(MakePrivateDir(temp / "a/b/c/").ok());
  struct stat found;
  ASSERT_EQ(stat((temp / "a/b").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  ASSERT_TRUE(WriteFileAtomically(temp / "f", "x").ok());
  EXPECT_FALSE(MakePrivateDir(temp / "f/g").ok());
}

TEST(Files, TheReadyFileIsJson) {
  TempDir temp;
  ASSERT_TRUE(WriteReadyFile(temp / "r", {{"address", "a:1"}, {"odd", "q\"b\\n\n"}}).ok());
  EXPECT_EQ(*ReadFile(temp / "r"),
            "{\"pid\": " + std::to_string(getpid()) +
                ", \"address\": \"a:1\", \"odd\": \"q\\\"b\\\\n\\u000a\"}\n");
}

TEST(Random, DiffersAndHasItsLength) {
  EXPECT_EQ(RandomHex(16).size(), 32u);
  EXPECT_NE(RandomHex(16), RandomHex(16));
  EXPECT_NE(RandomU64(), RandomU64());
}

}  // namespace
}  // namespace taskd::io
