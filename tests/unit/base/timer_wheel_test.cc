#include "common/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <set>

#include "common/base/prng.h"

namespace taskd {
namespace {

struct Entry {
  uint64_t at_ns = 0;
  uint64_t what = 0;
  auto operator<=>(const Entry&) const = default;
};
using Wheel = TimerWheel<Entry>;

// Takes all that is due, as long as `steps` last.
std::vector<Entry> TakeDue(Wheel& wheel, uint64_t now_ns, uint64_t steps = UINT64_MAX) {
  std::vector<Entry> taken;
  for (; steps > 0; --steps) {
    const Wheel::Next next = wheel.Advance(now_ns);
    if (next == Wheel::Next::kNothing) break;
    if (next == Wheel::Next::kDue) taken.push_back(wheel.Take());
  }
  return taken;
}

// Random times and steps beside a set that is surely right. Some steps end early, and others come between.
void Compare(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Wheel wheel;
  std::set<Entry> model;
  uint64_t now_ns = prng.Below(2) == 0 ? 0 : prng.Below(uint64_t{1} << 62);
  for (uint64_t i = 0; i < 3000; ++i) {
    if (prng.Below(3) > 0) {
      const uint64_t ahead = prng.Below(uint64_t{1} << prng.Below(45));
      const Entry entry{prng.Below(20) == 0 ? now_ns - now_ns / 3 : now_ns + ahead, i};
      wheel.Insert(entry);
      model.insert(entry);
    } else {
      now_ns += prng.Below(uint64_t{1} << prng.Below(43));
      const bool early = prng.Below(3) == 0;
      std::vector<Entry> taken = TakeDue(wheel, now_ns, early ? prng.Below(40) : UINT64_MAX);
      for (const Entry& entry : taken) {
        ASSERT_FALSE(model.empty());
        ASSERT_EQ(entry, *model.begin());
        ASSERT_LE(entry.at_ns, now_ns);
        model.erase(model.begin());
      }
      if (!early) {
        ASSERT_TRUE(model.empty() || model.begin()->at_ns > now_ns);
      }
    }
    ASSERT_EQ(wheel.size(), model.size());
    ASSERT_EQ(wheel.EarliestNs(), model.empty() ? UINT64_MAX : model.begin()->at_ns);
  }
}

TEST(TimerWheel, GivesWhatIsDueInOrder) {
  for (uint64_t seed = 1; seed <= 40; ++seed) Compare(seed);
}

TEST(TimerWheel, AnyTimeHasAPlace) {
  Wheel wheel;
  const std::vector<uint64_t> times = {0, 1, uint64_t{1} << 16, uint64_t{1} << 63, UINT64_MAX - 1};
  for (uint64_t at_ns : times) wheel.Insert({at_ns, 0});
  EXPECT_EQ(TakeDue(wheel, uint64_t{1} << 63).size(), 4u);
  EXPECT_EQ(wheel.EarliestNs(), UINT64_MAX - 1);
  EXPECT_EQ(TakeDue(wheel, UINT64_MAX).size(), 1u);
  EXPECT_TRUE(wheel.empty());
}

TEST(TimerWheel, ManyOfOneTimeAreNotMovedAtOnce) {
  constexpr uint64_t kMany = 100'000, kAt = 5'000'000'000;
  Wheel wheel;
  for (uint64_t i = 0; i < kMany; ++i) wheel.Insert({kAt, kMany - i});
  EXPECT_EQ(wheel.Advance(kAt - 1), Wheel::Next::kNothing);
  uint64_t moves = 0;
  while (wheel.Advance(kAt) == Wheel::Next::kMore) ++moves;
  EXPECT_GT(moves, kMany / 64);
  EXPECT_EQ(wheel.Take(), (Entry{kAt, 1}));
}

}  // namespace
}  // namespace taskd
