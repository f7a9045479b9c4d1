#include "scheduler/shell/value_cache.h"

#include <gtest/gtest.h>

namespace taskd::scheduler {
namespace {

ObjectVersion Object(Ordinal ordinal, AttemptId version = 1) { return {{1, ordinal}, version}; }

TEST(ValueCacheTest, GivesWhatWasAddedByVersion) {
  ValueCache cache;
  cache.Add(Object(5, 1), {"first", 7});
  cache.Add(Object(5, 2), {"second", 8});
  ASSERT_TRUE(cache.Get(Object(5, 1)));
  EXPECT_EQ(cache.Get(Object(5, 1))->bytes, "first");
  EXPECT_EQ(cache.Get(Object(5, 2))->bytes, "second");
  EXPECT_EQ(cache.Get(Object(5, 2))->crc32c, 8u);
  EXPECT_FALSE(cache.Get(Object(5, 3)));
  cache.Drop(Object(5, 1));
  cache.Drop(Object(5, 1));
  EXPECT_FALSE(cache.Get(Object(5, 1)));
  EXPECT_TRUE(cache.Get(Object(5, 2)));
  EXPECT_EQ(cache.totals().values, 1u);
  cache.Drop(Object(5, 2));
  EXPECT_EQ(cache.totals().bytes, 0u);
}

TEST(ValueCacheTest, TakesNothingLarge) {
  ValueCache cache;
  cache.Add(Object(1), {std::string(limits::kInlineBytes, 'x'), 0});
  cache.Add(Object(2), {std::string(limits::kInlineBytes + 1, 'x'), 0});
  cache.Add(Object(3), {"", 0});
  EXPECT_TRUE(cache.Get(Object(1)));
  EXPECT_FALSE(cache.Get(Object(2)));
  EXPECT_FALSE(cache.Get(Object(3)));
}

TEST(ValueCacheTest, TheOldestGoWhenItIsFull) {
  constexpr uint64_t kLimit = 100'000;
  ValueCache cache(kLimit);
  const SmallValue value{std::string(limits::kInlineBytes, 'x'), 1};
  for (Ordinal i = 0; i < 10'000; ++i) {
    cache.Add(Object(i), value);
    ASSERT_LE(cache.totals().bytes, kLimit);
  }
  const uint64_t kept = cache.totals().values;
  EXPECT_GT(kept, 100u);
  EXPECT_LT(kept, kLimit / limits::kInlineBytes);
  for (Ordinal i = 0; i < 10'000; ++i)
    EXPECT_EQ(cache.Get(Object(i)).has_value(), i + kept >= 10'000) << i;
}

TEST(ValueCacheTest, AddedTwiceItIsAsOldAsAtFirst) {
  ValueCache cache(3000);
  for (Ordinal i = 0; i < 3; ++i) cache.Add(Object(i), {std::string(500, 'x'), 1});
  const uint64_t before = cache.totals().bytes;
  cache.Add(Object(0), {std::string(500, 'x'), 1});
  EXPECT_EQ(cache.totals().bytes, before);
  for (Ordinal i = 3; i < 6; ++i) cache.Add(Object(i), {std::string(500, 'x'), 1});
  EXPECT_FALSE(cache.Get(Object(0)));
  EXPECT_TRUE(cache.Get(Object(5)));
}

}  // namespace
}  // namespace taskd::scheduler
