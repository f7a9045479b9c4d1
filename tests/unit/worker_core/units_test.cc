#include "worker/core/units.h"

#include <gtest/gtest.h>

#include <map>

#include "common/base/prng.h"

namespace taskd::worker {
namespace {

Resources Pools(std::vector<PoolAmount> amounts) {
  Resources out;
  for (size_t i = 0; i < amounts.size(); ++i) out.pools[i] = amounts[i];
  return out;
}

using Shares = std::vector<UnitShare>;

TEST(Units, WholeOnesAreTheLowest) {
  Units units(Pools({{1, 4000}, {7, 1000}}));
  EXPECT_EQ(units.Grant(Pools({{1, 2000}})), (Shares{{1, 0, 1000}, {1, 1, 1000}}));
  EXPECT_EQ(units.Grant(Pools({{1, 1000}, {7, 1000}})), (Shares{{1, 2, 1000}, {7, 0, 1000}}));
  EXPECT_FALSE(units.CanGrant(Pools({{1, 1000}, {7, 1000}})));
  units.GiveBack({{1, 0, 1000}, {1, 1, 1000}});
  EXPECT_EQ(units.Grant(Pools({{1, 1000}})), (Shares{{1, 0, 1000}}));
  EXPECT_FALSE(units.CanGrant(Pools({{9, 1}})));
}

TEST(Units, PartsLieWhereTheyLeaveLeast) {
  Units units(Pools({{1, 3000}}));
  EXPECT_EQ(units.Grant(Pools({{1, 300}})), (Shares{{1, 0, 300}}));
  EXPECT_EQ(units.Grant(Pools({{1, 800}})), (Shares{{1, 1, 800}}));
  EXPECT_EQ(units.Grant(Pools({{1, 200}})), (Shares{{1, 1, 200}}));
  EXPECT_EQ(units.Grant(Pools({{1, 1500}})), (Shares{{1, 2, 1000}, {1, 0, 500}}));
  EXPECT_TRUE(units.CanGrant(Pools({{1, 200}})));
  EXPECT_FALSE(units.CanGrant(Pools({{1, 201}})));
}

TEST(Units, APoolMayEndWithAPart) {
  Units units(Pools({{1, 1500}}));
  EXPECT_EQ(units.Grant(Pools({{1, 500}})), (Shares{{1, 1, 500}}));
  EXPECT_EQ(units.Grant(Pools({{1, 600}})), (Shares{{1, 0, 600}}));
  units.GiveBack({{1, 1, 500}});
  EXPECT_FALSE(units.CanGrant(Pools({{1, 1000}})));
}

// Grants, returns and takings again, beside a table of what is in use.
TEST(Units, NoUnitIsEverGivenOutTwice) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    const Resources capacity = Pools({{1, static_cast<uint32_t>(prng.Between(1, 6500))},
                                      {2, static_cast<uint32_t>(prng.Between(1, 9000))}});
    Units units(capacity);
    std::map<std::pair<uint16_t, uint32_t>, uint32_t> used;
    std::vector<Shares> holding, lent;
    auto add = [&](const Shares& shares, bool take) {
      for (const UnitShare& share : shares) {
        uint32_t& milli = used[{share.pool, share.unit}];
        milli = take ? milli + share.milli : milli - share.milli;
        ASSERT_LE(milli, 1000u);
        ASSERT_LT(share.unit * 1000, capacity.Pool(share.pool));
      }
    };
    for (int i = 0; i < 2000; ++i) {
      const uint64_t what = prng.Below(4);
      if (what < 2) {
        const Resources need = Pools({{1, static_cast<uint32_t>(prng.Between(1, 2500))},
                                      {2, static_cast<uint32_t>(prng.Between(1, 3000))}});
        if (!units.CanGrant(need)) continue;
        holding.push_back(units.Grant(need));
        uint64_t sum = 0;
        for (const UnitShare& share : holding.back()) sum += share.milli;
        ASSERT_EQ(sum, need.Pool(1) + need.Pool(2));
        add(holding.back(), true);
      } else if (what == 2 && !holding.empty()) {
        const size_t at = prng.Below(holding.size());
        units.GiveBack(holding[at]);
        add(holding[at], false);
        lent.push_back(holding[at]);
        holding.erase(holding.begin() + static_cast<long>(at));
      } else if (!lent.empty()) {
        const size_t at = prng.Below(lent.size());
        if (!units.AreFree(lent[at])) continue;
        units.Take(lent[at]);
        add(lent[at], true);
        holding.push_back(lent[at]);
        lent.erase(lent.begin() + static_cast<long>(at));
      }
      uint64_t in_use = 0;
      for (const auto& [unit, milli] : used) in_use += milli;
      ASSERT_EQ(units.used_milli(), in_use);
    }
  }
}

}  // namespace
}  // namespace taskd::worker
