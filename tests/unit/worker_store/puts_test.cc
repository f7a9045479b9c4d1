#include "worker/store/puts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

using ::testing::HasSubstr;

constexpr LocalKey kTask{{{1, 2}, 3}, {}};

class PutsTest : public testing::Test {
 protected:
  std::string PathOf(const std::string& bytes) {
    const std::string path = dir_.path() + "/file";
    std::ofstream(path) << bytes;
    return path;
  }
  std::string Text(const LocalKey& key) {
    absl::StatusOr<ObjectReader> reader = store_.Get(key);
    if (!reader.ok()) return reader.status().ToString();
    std::string text(reader->meta().size_bytes, ' ');
    EXPECT_TRUE(reader->Read(0, text.data(), text.size()).ok());
    return text;
  }

  TempDir dir_, store_dir_;
  Store store_{{store_dir_.path()}, [](ObjectVersion) {}};
  Puts puts_{store_};
};

TEST_F(PutsTest, AFileBecomesATasksOutput) {
  for (const std::string& bytes : {std::string(), std::string("some"), std::string(300'000, 'x')}) {
    const std::string path = PathOf(bytes);
    absl::StatusOr<std::string> token = puts_.KeepFile(path, 1);
    ASSERT_TRUE(token.ok()) << token.status();
    EXPECT_EQ(token->size(), 32u);
    absl::StatusOr<StoredOutput> output = puts_.Claim(*token, kTask);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(output->size_bytes, bytes.size());
    EXPECT_EQ(Text(kTask), bytes);
    EXPECT_EQ(store_.totals().objects, 1u);
    EXPECT_THAT(std::string(puts_.Claim(*token, kTask).status().message()),
                HasSubstr("put it again"));
    struct stat s;
    EXPECT_EQ(stat(path.c_str(), &s), 0);  // it stays
  }
}

TEST_F(PutsTest, WhatNobodyComesForGoes) {
  const std::string path = PathOf("some");
  const std::string old = *puts_.KeepFile(path, 1), claimed = *puts_.KeepFile(path, 2),
                    fresh = *puts_.KeepFile(path, 100);
  ASSERT_TRUE(puts_.Claim(claimed, kTask).ok());
  puts_.Expire(limits::kPutNs + 99);
  EXPECT_EQ(store_.totals().objects, 2u);
  EXPECT_EQ(puts_.Claim(old, kTask).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(puts_.Claim(fresh, {{{1, 5}, 3}, {}}).ok());
  puts_.Expire(limits::kPutNs * 2);
  EXPECT_EQ(store_.totals().objects, 2u);
}

TEST_F(PutsTest, OnlyRegularFiles) {
  const std::string pipe = dir_.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(std::string(puts_.KeepFile(pipe, 1).status().message()),
              HasSubstr("no regular file"));
  EXPECT_THAT(std::string(puts_.KeepFile(dir_.path(), 1).status().message()),
              HasSubstr("no regular file"));
  EXPECT_THAT(std::string(puts_.KeepFile(dir_.path() + "/none", 1).status().message()),
              HasSubstr("No such file"));
  EXPECT_EQ(store_.totals().objects, 0u);
}

}  // namespace
}  // namespace taskd::worker
