#include "cli/taskctl/progress.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace taskd::cli {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

TEST(RateMeterTest, RateAndEtaOverTheWindow) {
  RateMeter rate(10 * kSecond);
  EXPECT_EQ(rate.PerSecond(), 0);
  EXPECT_EQ(rate.EtaNs(10), std::nullopt);
  rate.Add(kSecond, 0);
  EXPECT_EQ(rate.PerSecond(), 0);
  rate.Add(3 * kSecond, 10);
  EXPECT_DOUBLE_EQ(rate.PerSecond(), 5);
  EXPECT_EQ(rate.EtaNs(50), 10 * kSecond);
}

TEST(RateMeterTest, ForgetsWhatIsOlderThanTheWindow) {
  RateMeter rate(10 * kSecond);
  for (uint64_t s = 0; s <= 20; ++s) rate.Add(s * kSecond, s * 1000);     // fast
  for (uint64_t s = 21; s <= 40; ++s) rate.Add(s * kSecond, 20'000 + s);  // slow
  EXPECT_NEAR(rate.PerSecond(), 1, 0.01);
}

TEST(RateMeterTest, LostWorkIsNoNegativeRate) {
  RateMeter rate;
  rate.Add(kSecond, 100);
  rate.Add(2 * kSecond, 60);
  EXPECT_EQ(rate.PerSecond(), 0);
  EXPECT_EQ(rate.EtaNs(1), std::nullopt);
}

TEST(RateMeterTest, ManySamplesInAShortTimeStayExactAtTheEnds) {
  RateMeter rate(16 * kSecond);
  for (uint64_t ms = 0; ms <= 4000; ++ms) rate.Add(kSecond + ms * 1'000'000, ms);
  EXPECT_NEAR(rate.PerSecond(), 1000, 1);
}

JobFigures Figures() {
  JobFigures f;
  f.job = 3;
  f.name = "index";
  f.state = "running";
  f.done = 45;
  f.running = 12;
  f.total = 81;
  return f;
}

TEST(ProgressTest, TextWithAndWithoutABar) {
  RateMeter rate;
  EXPECT_EQ(ProgressText(Figures(), rate, 0), "job 3 index  45 / 81 done  12 running");
  rate.Add(kSecond, 35);
  rate.Add(2 * kSecond, 45);
  EXPECT_EQ(ProgressText(Figures(), rate, 0),
            "job 3 index  45 / 81 done  12 running  10/s  eta 4 s");
  EXPECT_EQ(ProgressText(Figures(), rate, 100),
            "job 3 index  [===========>        ]  45 / 81 done  12 running  10/s  eta 4 s");
  EXPECT_EQ(ProgressText(Figures(), rate, 60),
            "job 3 index  45 / 81 done  12 running  10/s  eta 4 s");
  EXPECT_EQ(ProgressText(Figures(), rate, 20), "job 3 index  45 /...");
}

TEST(ProgressTest, AnEndedJobShowsItsStateAndNoEta) {
  RateMeter rate;
  JobFigures f = Figures();
  f.state = "failed";
  f.ended = true;
  f.done = 80;
  f.failed = 1;
  f.running = 0;
  EXPECT_EQ(ProgressText(f, rate, 0), "job 3 index  80 / 81 done  1 failed  failed");
}

TEST(ProgressTest, AnEmptyTotalDoesNotDivide) {
  JobFigures f;
  f.job = 1;
  EXPECT_EQ(ProgressText(f, RateMeter(), 80), "job 1  0 / 0 done");
}

// What Progress writes to a pipe: a log file sees few lines, the first and the last among them.
TEST(ProgressTest, SparseLinesWithoutATerminal) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  {
    Progress progress(fds[1], false);
    JobFigures f = Figures();
    for (uint64_t ms = 0; ms < 6000; ms += 10) {
      f.done = ms / 100;
      progress.Update(kSecond + ms * 1'000'000, f);
    }
    f.ended = true;
    f.state = "done";
    f.running = 0;
    f.done = 81;
    progress.Update(7 * kSecond, f);
    progress.Update(7 * kSecond, f);
  }
  close(fds[1]);
  std::string text(4096, '\0');
  ssize_t n = read(fds[0], text.data(), text.size());
  close(fds[0]);
  ASSERT_GT(n, 0);
  text.resize(static_cast<size_t>(n));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text.find("job 3 index  0 / 81 done"), 0u) << text;
  EXPECT_NE(text.find("81 / 81 done  done\n"), std::string::npos) << text;
  EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(ByteProgressTest, ShowsWhatIsKnown) {
  RateMeter rate;
  EXPECT_EQ(ByteProgressText(0, 0, rate), "0 B / 0 B");
  EXPECT_EQ(ByteProgressText(1 << 20, 4 << 20, rate), "1.00 MiB / 4.00 MiB  25 %");
  rate.Add(0, 0);
  rate.Add(2'000'000'000, 2 << 20);
  EXPECT_EQ(ByteProgressText(2 << 20, 4 << 20, rate), "2.00 MiB / 4.00 MiB  50 %  1.00 MiB/s");
  EXPECT_EQ(
      ByteProgressText(1ull << 62, 1ull << 62, RateMeter()).find(" 100 %") != std::string::npos,
      true);
}

TEST(ByteProgressTest, SilentWithoutATerminal) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    ByteProgress progress(ends[1], false);
    progress.Update(1, 5, 10);
    progress.Update(1'000'000'000, 10, 10);
  }
  close(ends[1]);
  char text;
  EXPECT_EQ(read(ends[0], &text, 1), 0);
  close(ends[0]);
}

}  // namespace
}  // namespace taskd::cli
