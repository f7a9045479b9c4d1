#include "common/base/prng.h"

#include <gtest/gtest.h>

#include <array>

#include "common/base/hash.h"

namespace taskd {
namespace {

// These numbers are part of the contract: seeds of failing simulations must mean the same for ever.
TEST(Prng, GoldenNumbers) {
  Prng prng(42);
  EXPECT_EQ(prng.Next(), 0x28EFE333B266F103u);
  EXPECT_EQ(prng.Next(), 0x47526757130F9F52u);
  EXPECT_EQ(prng.Below(1000), 344u);
  EXPECT_EQ(prng.Between(10, 20), 10u);
}

TEST(Hash, GoldenNumbers) {
  EXPECT_EQ(Mix64(0), 0xE220A8397B1DCDAFu) << "splitmix64's first output of seed 0";
  EXPECT_EQ(HashCombine(1, 2), 0xE06DD043328BD285u);
  EXPECT_EQ(HashBytes(0, "taskd"), 0x352E691E3D1248A5u);
  EXPECT_NE(HashBytes(0, ""), HashBytes(0, std::string_view("\0", 1)));
}

TEST(Prng, BoundsHold) {
  Prng prng(1);
  for (uint64_t bound : {1ull, 2ull, 3ull, 1000ull, 1ull << 63}) {
    for (int i = 0; i < 1000; ++i) ASSERT_LT(prng.Below(bound), bound);
  }
  for (int i = 0; i < 1000; ++i) {
    const uint64_t x = prng.Between(5, 7);
    ASSERT_TRUE(x >= 5 && x <= 7);
  }
  EXPECT_EQ(prng.Between(9, 9), 9u);
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(prng.Chance(0));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(prng.Chance(1000));
}

TEST(Prng, RoughlyUniform) {
  Prng prng(3);
  std::array<uint32_t, 16> hits = {};
  for (int i = 0; i < 160'000; ++i) ++hits[prng.Below(16)];
  for (uint32_t n : hits) EXPECT_NEAR(n, 10'000, 500);  // five standard deviations
}

}  // namespace
}  // namespace taskd
