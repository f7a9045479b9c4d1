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

}  // namespace
}  // namespace taskd
