#include "scheduler/core/count_index.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/base/prng.h"

namespace taskd::scheduler {
namespace {

TEST(CountIndex, ClassesIncreaseWithTheCount) {
  for (uint32_t count = 1; count < 100'000; ++count) {
    ASSERT_GE(CountClass(count), CountClass(count - 1));
    // Two counts of a class differ by less than a quarter.
    if (CountClass(count) == CountClass(count - count / 4 - 1)) {
      FAIL() << count;
    }
  }
}

// Walked from the fullest class down, every worker with a count once.
TEST(CountIndex, HoldsWhatWasSet) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Prng prng(seed);
    CountIndex index;
    std::vector<uint32_t> counts(50, 0);
    const uint64_t largest = prng.Between(1, uint64_t{1} << prng.Between(1, 32)) - 1;
    for (int i = 0; i < 2000; ++i) {
      auto slot = static_cast<uint16_t>(prng.Below(counts.size()));
      counts[slot] = prng.Below(3) == 0 ? 0 : static_cast<uint32_t>(prng.Below(largest + 1));
      index.Set(slot, counts[slot]);
      std::set<uint16_t> seen;
      uint8_t last = 0xFF;
      for (uint16_t s = index.First(); s != CountIndex::kNone; s = index.Next(s)) {
        ASSERT_TRUE(seen.insert(s).second) << "seed " << seed;
        ASSERT_GT(counts[s], 0u);
        ASSERT_LE(CountClass(counts[s]), last);
        last = CountClass(counts[s]);
      }
      for (uint16_t s = 0; s < counts.size(); ++s) {
        ASSERT_EQ(seen.contains(s), counts[s] > 0) << "seed " << seed;
      }
      ASSERT_EQ(index.empty(), seen.empty());
    }
  }
}

}  // namespace
}  // namespace taskd::scheduler
