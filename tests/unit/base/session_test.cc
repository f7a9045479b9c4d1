#include "common/base/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

namespace taskd {
namespace {

Resources Of(uint32_t cpus, uint64_t memory, std::initializer_list<PoolAmount> pools = {}) {
  Resources out{cpus, memory};
  std::copy(pools.begin(), pools.end(), out.pools.begin());
  return out;
}

TEST(Resources, FitBesideWhatIsUsed) {
  const Resources capacity = Of(4000, 100, {{1, 2000}, {5, 500}});
  EXPECT_TRUE(Of(4000, 100, {{1, 2000}, {5, 500}}).Fits(capacity));
  EXPECT_FALSE(Of(4001, 0).Fits(capacity));
  EXPECT_FALSE(Of(0, 101).Fits(capacity));
  EXPECT_FALSE(Of(0, 0, {{5, 501}}).Fits(capacity));
  EXPECT_FALSE(Of(0, 0, {{2, 1}}).Fits(capacity)) << "a pool that it does not have";
  const Resources used = Of(3000, 0, {{1, 1000}});
  EXPECT_TRUE(Of(1000, 0, {{1, 1000}}).Fits(capacity, used));
  EXPECT_FALSE(Of(1000, 0, {{1, 1001}}).Fits(capacity, used));
  EXPECT_FALSE(Of(UINT32_MAX, 0).Fits(capacity, used)) << "no overflow";
}

TEST(Resources, SumsKeepPoolsInOrderAndForgetEmptyOnes) {
  Resources sum = Of(1000, 10, {{3, 100}});
  sum += Of(500, 5, {{1, 50}, {3, 100}, {9, 1}});
  EXPECT_EQ(sum, Of(1500, 15, {{1, 50}, {3, 200}, {9, 1}}));
  sum -= Of(500, 5, {{1, 50}, {3, 50}});
  EXPECT_EQ(sum, Of(1000, 10, {{3, 150}, {9, 1}}));
  sum -= Of(1000, 10, {{3, 150}, {9, 1}});
  EXPECT_EQ(sum, Resources());
}

}  // namespace
}  // namespace taskd
