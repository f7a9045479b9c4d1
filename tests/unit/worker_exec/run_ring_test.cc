#include "worker/exec/run_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

using ::testing::IsEmpty;

AttemptRef Attempt(uint32_t n) { return {{3, n}, 7}; }

std::vector<std::string> Keys(const std::string& path) {
  std::vector<std::string> keys;
  for (const RunRing::Entry& entry : RunRing::ReadLeft(path)) keys.push_back(entry.key);
  return keys;
}

TEST(RunRingTest, NamesWhatWasNotRemoved) {
  TempDir temp;
  const std::string path = temp / "running";
  EXPECT_THAT(RunRing::ReadLeft(path), IsEmpty());
  {
    auto ring = RunRing::Open(path);
    ASSERT_TRUE(ring.ok()) << ring.status();
    const uint32_t first = (*ring)->Add(Attempt(1), "map[1]");
    (*ring)->Add(Attempt(2), std::string(300, 'k'));
    (*ring)->Remove(first);
    (*ring)->Add(Attempt(3), "map[3]");
  }
  const std::vector<RunRing::Entry> left = RunRing::ReadLeft(path);
  EXPECT_THAT(Keys(path), testing::UnorderedElementsAre("map[3]", std::string(224, 'k')));
  for (const RunRing::Entry& entry : left) {
    EXPECT_GT(entry.since_ms, 0u);
    EXPECT_EQ(entry.attempt, Attempt(entry.key == "map[3]" ? 3 : 2));
  }
  ASSERT_TRUE(RunRing::Open(path).ok());
  EXPECT_THAT(RunRing::ReadLeft(path), IsEmpty());
}

TEST(RunRingTest, MoreThanItHoldsAreLeftOut) {
  TempDir temp;
  auto ring = RunRing::Open(temp / "running");
  ASSERT_TRUE(ring.ok());
  std::vector<uint32_t> slots;
  for (uint32_t i = 0; i < 2000; ++i) slots.push_back((*ring)->Add(Attempt(i), "t"));
  EXPECT_EQ(slots.back(), RunRing::kNoSlot);
  EXPECT_EQ(RunRing::ReadLeft(temp / "running").size(), 1024u);
  for (uint32_t slot : slots) (*ring)->Remove(slot);
  EXPECT_THAT(RunRing::ReadLeft(temp / "running"), IsEmpty());
}

TEST(RunRingTest, ADamagedFileNamesNothing) {
  TempDir temp;
  WriteFile(temp / "running", std::string(1000, '\x31'));
  EXPECT_THAT(RunRing::ReadLeft(temp / "running"), IsEmpty());
}

}  // namespace
}  // namespace taskd::worker
