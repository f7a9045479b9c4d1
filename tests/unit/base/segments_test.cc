#include "common/base/segments.h"

#include <gtest/gtest.h>

#include <string>

namespace taskd {
namespace {

TEST(Segments, ElementsStayWhereTheyAre) {
  Segments<std::string, 4> s;
  EXPECT_TRUE(s.empty());
  const std::string* first = &s.Append("0");
  for (uint32_t i = 1; i < 100; ++i) EXPECT_EQ(s.Append(std::to_string(i)), std::to_string(i));
  EXPECT_EQ(first, &s[0]);
  ASSERT_EQ(s.size(), 100u);
  const auto& view = s;
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(view[i], std::to_string(i));
}

TEST(SegmentsDeathTest, OutOfRangeStopsTheProcess) {
  Segments<int, 4> s;
  s.Append(1);
  EXPECT_DEATH(s[1], "");
}

TEST(Segments, ShrinksFromItsEnd) {
  Segments<uint32_t, 4> array;
  for (uint32_t i = 0; i < 20; ++i) array.Append(i);
  for (uint32_t size = 19; size > 0; --size) {
    array.RemoveLast();
    ASSERT_EQ(array.size(), size);
    ASSERT_EQ(array[size - 1], size - 1);
  }
  array.RemoveLast();
  EXPECT_TRUE(array.empty());
  for (uint32_t i = 0; i < 20; ++i) array.Append(i + 100);
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ(array[i], i + 100);
}

TEST(Segments, AFirstSegmentThatStartsSmallLosesNothingAsItGrows) {
  Segments<std::string, 16, 2> array;
  for (uint32_t i = 0; i < 100; ++i) {
    array.Append(std::to_string(i));
    for (uint32_t j = 0; j <= i; ++j) ASSERT_EQ(array[j], std::to_string(j));
  }
  const std::string* first = &array[0];
  array.Append("100");
  EXPECT_EQ(first, &array[0]) << "whole segments stay where they are";
  while (!array.empty()) array.DropLastSegment();
  array.Append("again");
  EXPECT_EQ(array[0], "again");
}

TEST(Segments, RecordsAreMadeWhenTheyAreAppended) {
  struct Record {
    uint32_t number = 7;
    uint64_t rest[3] = {8, 9, 10};
  };
  Segments<Record, 16, 2> array;
  auto is_fresh = [](const Record& r) {
    return r.number == 7 && r.rest[0] == 8 && r.rest[1] == 9 && r.rest[2] == 10;
  };
  for (uint32_t round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(is_fresh(array.Append())) << "nothing is left of what was there before";
      array[i] = {i, {i, i, i}};
      for (uint32_t j = 0; j <= i; ++j) ASSERT_EQ(array[j].rest[2], j);
    }
    for (uint32_t i = 0; i < 50; ++i) array.RemoveLast();
    while (!array.empty()) array.DropLastSegment();
  }
}

}  // namespace
}  // namespace taskd
