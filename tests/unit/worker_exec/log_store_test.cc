#include "worker/exec/log_store.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

AttemptRef Attempt(uint32_t n) { return {{1, n}, 1}; }

TEST(LogBufferTest, KeepsEverythingUpToTheCap) {
  LogBuffer buffer;
  std::string text;
  for (uint32_t i = 0; text.size() < limits::kLogBytes - 100; ++i) {
    const std::string line = std::to_string(i) + "\n";
    buffer.Append(line);
    text += line;
  }
  EXPECT_FALSE(buffer.truncated());
  EXPECT_EQ(buffer.Text(), text);
  EXPECT_EQ(buffer.Tail(10), text.substr(text.size() - 10));
}

TEST(LogBufferTest, TailCrossesFromHeadToTail) {
  LogBuffer buffer;
  buffer.Append(std::string(limits::kLogBytes - limits::kLogTailBytes - 1, 'h'));
  buffer.Append("abcd");
  EXPECT_EQ(buffer.Tail(6), "hhabcd");
  EXPECT_EQ(LogBuffer().Tail(6), "");
}

TEST(LogBufferTest, CountsWhatItLeavesOut) {
  LogBuffer buffer;
  const uint64_t total = 5'000'000;
  for (uint64_t i = 0; i < total; i += 1000) buffer.Append(std::string(1000, 'x'));
  for (bool packed : {false, true}) {
    if (packed) buffer.Pack();
    EXPECT_NE(buffer.Text().find("[taskd: " + std::to_string(total - limits::kLogBytes) +
                                 " bytes left out"),
              std::string::npos);
  }
  EXPECT_EQ(buffer.kept_bytes(), limits::kLogBytes);
}

TEST(LogStoreTest, OldestGoFirst) {
  LogStore logs({.total_bytes = 100, .attempts = 3});
  for (uint32_t n = 1; n <= 4; ++n) {
    logs.Open(Attempt(n))->AppendOut("0123456789");
    logs.Close(Attempt(n));
  }
  EXPECT_EQ(logs.Find(Attempt(1)), nullptr);
  ASSERT_NE(logs.Find(Attempt(2)), nullptr);
  EXPECT_EQ(logs.Find(Attempt(2))->Read().out, "0123456789");
  logs.Open(Attempt(5))->AppendErr(std::string(85, 'e'));
  EXPECT_NE(logs.Find(Attempt(2)), nullptr);  // running attempts do not count yet
  logs.Close(Attempt(5));
  EXPECT_EQ(logs.Find(Attempt(3)), nullptr);
  EXPECT_NE(logs.Find(Attempt(4)), nullptr);
  EXPECT_NE(logs.Find(Attempt(5)), nullptr);
}

TEST(LogBufferTest, AFollowerSeesEveryByteOrHowManyItMissed) {
  LogBuffer buffer;
  uint64_t position = 0;
  buffer.Append("one ");
  EXPECT_EQ(buffer.Since(position), "one ");
  EXPECT_EQ(buffer.Since(position), "");
  buffer.Append("two ");
  EXPECT_EQ(buffer.Since(position), "two ");
  std::string seen = "one two ", all = seen;
  for (int i = 0; i < 300; ++i) {
    const std::string piece(20'000, static_cast<char>('a' + i % 26));
    buffer.Append(piece);
    all += piece;
    seen += buffer.Since(position);
  }
  EXPECT_EQ(seen, all);  // it was always near the end
  uint64_t late = 100;
  const std::string text = buffer.Since(late);
  EXPECT_EQ(late, all.size());
  EXPECT_NE(text.find(" bytes left out here]"), std::string::npos);
  EXPECT_EQ(text.substr(0, 100), all.substr(100, 100));
  EXPECT_EQ(text.substr(text.size() - 1000), all.substr(all.size() - 1000));
}

TEST(LogStoreTest, FollowersAreWokenByBytesAndByTheEnd) {
  LogStore logs;
  std::shared_ptr<AttemptLog> log = logs.Open(Attempt(1));
  AttemptLog::Position position;
  AttemptLog::View news;
  EXPECT_TRUE(log->Follow(position, news, 0));
  EXPECT_EQ(news.out + news.err, "");
  constexpr uint64_t kForEver = 600'000'000'000;
  std::thread writer([&] {
    log->AppendErr("bad");
    log->AppendOut("good");
    logs.Close(Attempt(1));
  });
  std::string out, err;
  bool more = true;
  while (more) {
    more = log->Follow(position, news, kForEver);
    out += news.out;
    err += news.err;
  }
  writer.join();
  EXPECT_EQ(out + " " + err, "good bad");
}

class LogsOnDiskTest : public testing::Test {
 protected:
  // Logs of 1000 bytes: memory has room for two, and for two more that are being written.
  LogStore::Options Small() {
    return {.folder = folder_ / "logs", .total_bytes = 4500, .write_bytes = 2500};
  }
  static std::string Text(uint32_t n) { return std::string(999, static_cast<char>('a' + n % 26)); }
  static void Write(LogStore& logs, uint32_t n) {
    std::shared_ptr<AttemptLog> log = logs.Open(Attempt(n));
    log->AppendOut(Text(n));
    log->AppendErr("!");
    logs.Close(Attempt(n));
  }
  static void AwaitDisk(const LogStore& logs, uint64_t bytes) {
    while (logs.totals().disk_bytes < bytes) std::this_thread::yield();
  }

  TempDir folder_;
};

TEST_F(LogsOnDiskTest, OldLogsAreReadFromDisk) {
  LogStore logs(Small());
  for (uint32_t n = 1; n <= 50; ++n) {
    Write(logs, n);
    logs.Open(Attempt(1000 + n));  // writes nothing
    logs.Close(Attempt(1000 + n));
    if (n > 2) AwaitDisk(logs, (n - 2) * 1000);  // as fast as the disk takes them
  }
  while (logs.totals().memory_bytes > 2000)
    std::this_thread::yield();  // soon after the disk has it
  EXPECT_EQ(logs.totals().memory_bytes, 2000u);
  EXPECT_EQ(logs.totals().dropped, 0u);
  EXPECT_EQ(CountFiles(folder_ / "logs"), 1u);
  for (uint32_t n = 1; n <= 50; ++n) {
    auto log = logs.Find(Attempt(n));
    ASSERT_NE(log, nullptr) << n;
    EXPECT_EQ(log->Read().out, Text(n));
    EXPECT_EQ(log->Read().err, "!");
    AttemptLog::Position position;
    AttemptLog::View news;
    EXPECT_FALSE(log->Follow(position, news, 0));
    EXPECT_EQ(news.out, Text(n));
    EXPECT_EQ(logs.Find(Attempt(1000 + n))->Read().out, "");
  }
  EXPECT_EQ(logs.Find(Attempt(51)), nullptr);
}

TEST_F(LogsOnDiskTest, WhatWasLeftOutIsToldFromDiskAsWell) {
  LogStore logs({.folder = folder_ / "logs", .write_bytes = 0});
  std::shared_ptr<AttemptLog> log = logs.Open(Attempt(1));
  for (int i = 0; i < 30; ++i)
    log->AppendOut(std::string(100'000, static_cast<char>('a' + i % 26)));
  logs.Close(Attempt(1));
  const AttemptLog::View before = log->Read();
  AwaitDisk(logs, limits::kLogBytes);
  while (logs.Find(Attempt(1)) == log) std::this_thread::yield();
  const AttemptLog::View after = logs.Find(Attempt(1))->Read();
  EXPECT_EQ(after.out, before.out);
  EXPECT_TRUE(after.out_truncated);
  EXPECT_FALSE(after.err_truncated);
}

TEST_F(LogsOnDiskTest, ADiskThatTakesNothingCostsOldLogsOnly) {
  WriteFile(folder_ / "logs", "a file where the folder should be");
  LogStore logs(Small());
  for (uint32_t n = 1; n <= 10; ++n) Write(logs, n);
  while (logs.totals().dropped < 8) std::this_thread::yield();
  EXPECT_EQ(logs.Find(Attempt(1)), nullptr);
  EXPECT_EQ(logs.Find(Attempt(8)), nullptr);
  EXPECT_EQ(logs.Find(Attempt(9))->Read().out, Text(9));
  EXPECT_EQ(logs.Find(Attempt(10))->Read().out, Text(10));
}

TEST_F(LogsOnDiskTest, MemoryKeepsItsLimitWhateverTheDiskDoes) {
  LogStore logs(Small());
  for (uint32_t n = 1; n <= 3000; ++n) {
    Write(logs, n);
    ASSERT_LE(logs.totals().memory_bytes, 4500u);
  }
  EXPECT_NE(logs.Find(Attempt(3000)), nullptr);
}

TEST_F(LogsOnDiskTest, NothingIsLeftBehind) {
  {
    LogStore logs(Small());
    for (uint32_t n = 1; n <= 10; ++n) Write(logs, n);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST(LogArchiveTest, TheOldestFileGoesWhenThereIsNoRoom) {
  TempDir folder;
  LogArchive archive(folder / "logs", 80'000);
  for (uint32_t n = 1; n <= 200; ++n) {
    ASSERT_TRUE(archive.Append({{Attempt(n), std::to_string(n) + std::string(990, '.')}}).ok());
    ASSERT_LE(archive.bytes(), 80'000u);
  }
  EXPECT_LE(CountFiles(folder / "logs"), limits::kLogSegments);
  EXPECT_EQ(archive.Find(Attempt(1)), std::nullopt);
  uint32_t kept = 0;
  for (uint32_t n = 1; n <= 200; ++n) {
    const std::optional<std::string> found = archive.Find(Attempt(n));
    kept += found.has_value();
    EXPECT_TRUE(found || n <= 131) << n;
    if (!found) continue;
    EXPECT_EQ(*found, std::to_string(n) + std::string(990, '.'));
  }
  EXPECT_GE(kept, 69u);
  EXPECT_EQ(archive.dropped(), 200 - kept);
  EXPECT_EQ(archive.Append({{Attempt(1), std::string(80'001, 'x')}}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(archive.Find(Attempt(200)));
}

TEST(LogArchiveTest, DamageIsNoLog) {
  TempDir folder;
  LogArchive archive(folder / "logs", 80'000);
  ASSERT_TRUE(archive.Append({{Attempt(1), "first"}, {Attempt(2), "second"}}).ok());
  EXPECT_EQ(archive.Find(Attempt(2)), "second");
  std::fstream file(folder / "logs/0", std::ios::in | std::ios::out);
  file.seekp(7);
  file << "?";
  file.close();
  EXPECT_EQ(archive.Find(Attempt(1)), "first");
  EXPECT_EQ(archive.Find(Attempt(2)), std::nullopt);
  std::filesystem::resize_file(folder / "logs/0", 2);
  EXPECT_EQ(archive.Find(Attempt(1)), std::nullopt);
}

TEST(LogArchiveTest, TheLaterOfTwoCounts) {
  TempDir folder;
  LogArchive archive(folder / "logs", 80'000);
  for (const char* text : {"of one scheduler", "of another"})
    ASSERT_TRUE(archive.Append({{Attempt(1), text}}).ok());
  EXPECT_EQ(archive.Find(Attempt(1)), "of another");
}

}  // namespace
}  // namespace taskd::worker
