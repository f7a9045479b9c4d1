#include "cli/taskctl/selectors.h"

#include <gmock/gmock.h>

namespace taskd::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(SelectorsTest, JobsByNumberListRangeAndWord) {
  EXPECT_THAT(ParseJobSelector("3")->ids, ElementsAre(3));
  EXPECT_THAT(ParseJobSelector("5,3,5")->ids, ElementsAre(5, 3));
  EXPECT_THAT(ParseJobSelector("3-5,1")->ids, ElementsAre(3, 4, 5, 1));
  EXPECT_THAT(ParseJobSelector("4294967295")->ids, ElementsAre(4294967295u));
  auto last = ParseJobSelector("last");
  EXPECT_TRUE(last->last && !last->all);
  EXPECT_THAT(last->ids, IsEmpty());
  EXPECT_TRUE(ParseJobSelector("all")->all);
}

TEST(SelectorsTest, WrongJobsSayWhatIsRight) {
  for (const char* wrong : {"", "0", "x", "3,", "-3", "5-3", "3-", "4294967296", "1-4294967295",
                            "3 4", "latest", "+3"}) {
    auto selector = ParseJobSelector(wrong);
    ASSERT_FALSE(selector.ok()) << wrong;
    EXPECT_EQ(selector.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(selector.status().message()), HasSubstr("last or all"));
  }
}

TEST(SelectorsTest, Ordinals) {
  EXPECT_EQ(ParseOrdinal("@17"), 17u);
  EXPECT_EQ(ParseOrdinal("@0"), 0u);
  for (const char* wrong : {"17", "@", "@x", "@-1", "@17 ", "@4294967296"})
    EXPECT_EQ(ParseOrdinal(wrong), std::nullopt) << wrong;
}

TEST(SelectorsTest, ByteRangesIncludeBothEnds) {
  auto range = ParseByteRange("0-99");
  EXPECT_EQ(range->offset, 0u);
  EXPECT_EQ(range->length, 100u);
  EXPECT_EQ(ParseByteRange("5-5")->length, 1u);
  range = ParseByteRange("1MiB-");
  EXPECT_EQ(range->offset, 1u << 20);
  EXPECT_EQ(range->length, 0u);
  for (const char* wrong : {"", "5", "-5", "9-8", "a-b", "0-18446744073709551615"}) {
    EXPECT_FALSE(ParseByteRange(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace taskd::cli
