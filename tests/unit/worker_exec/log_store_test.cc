#include "worker/exec/log_store.h"

#include <gtest/gtest.h>

#include <thread>

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
  LogStore logs(/*total_bytes=*/100, /*attempts=*/3);
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

}  // namespace
}  // namespace taskd::worker
