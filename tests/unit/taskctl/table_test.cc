#include "cli/taskctl/table.h"

#include <gtest/gtest.h>

namespace taskd::cli {
namespace {

TEST(TerminalTest, PrintableEscapesWhatIsNotText) {
  EXPECT_EQ(Printable("map[3]"), "map[3]");
  EXPECT_EQ(Printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(Printable("a\tb\033[31m"),
            "a\\x09b\\x1b[31m");  // no escape code of a key reaches a terminal
  EXPECT_EQ(Printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(Printable("\xc3"), "\\xc3");                             // cut short
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond Unicode
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");                    // a C1 control character
}

TEST(TerminalTest, WidthsAreThoseOfTheScreen) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("gr\xc3\xbc\xc3\x9f"), 4u);
  EXPECT_EQ(DisplayWidth("\xe6\x97\xa5\xe6\x9c\xac"), 4u);  // two wide characters
  EXPECT_EQ(DisplayWidth("e\xcc\x81"), 1u);                 // a combining accent
}

TEST(TerminalTest, ShortenNeverCutsACharacter) {
  EXPECT_EQ(Shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(Shorten("abcdefg", 6), "abc...");
  EXPECT_EQ(Shorten("abcdefg", 3), "abc");
  EXPECT_EQ(Shorten("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5), "\xe6\x97\xa5...");
}

TEST(TableTest, AlignsByContentAndEndsLinesClean) {
  Table table({{"NAME"}, {"COUNT", Column::kRight}, {"NOTE"}}, 0, false);
  table.Add({"a", "1", ""});
  table.Add({"gr\xc3\xbc\xc3\x9f", "12 345", "x"});
  EXPECT_EQ(table.Take(),
            "NAME   COUNT  NOTE\n"
            "a          1\n"
            "gr\xc3\xbc\xc3\x9f  12 345  x\n");
}

TEST(TableTest, LaterPagesKeepTheWidthsAndHaveNoTitles) {
  Table table({{"NAME"}, {"N", Column::kRight}}, 0, false);
  EXPECT_EQ(table.Take(), "");
  table.Add({"longest", "1"});
  EXPECT_EQ(table.Take(), "NAME     N\nlongest  1\n");
  table.Add({"x", "2"});
  EXPECT_EQ(table.Take(), "x        2\n");
}

TEST(TableTest, NarrowTerminalsCutTheWidestColumnThatMayShrink) {
  Table table({{"NAME", Column::kLeft, true}, {"STATE"}}, 20, false);
  table.Add({"a-very-long-name-of-a-task", "running"});
  EXPECT_EQ(table.Take(), "NAME         STATE\na-very-l...  running\n");
}

TEST(TableTest, NeverCutsWhatMayNotShrink) {
  Table table({{"NAME", Column::kLeft, true}, {"STATE"}}, 10, false);
  table.Add({"a-very-long-name", "a-state-longer-than-the-screen"});
  EXPECT_EQ(table.Take(), "NAME      STATE\na-ver...  a-state-longer-than-the-screen\n");
}

TEST(TableTest, ColoursDoNotCountAsWidth) {
  Table table({{"S"}, {"N"}}, 0, true);
  table.Add({{"done", Style::kGood}, "1"});
  EXPECT_EQ(table.Take(), "\033[2mS\033[0m     \033[2mN\033[0m\n\033[32mdone\033[0m  1\n");
}

TEST(TableTest, KeysThatAreNotTextAreEscaped) {
  Table table({{"K"}, {"N"}}, 0, false);
  table.Add({"\xff\n", "1"});
  EXPECT_EQ(table.Take(), "K         N\n\\xff\\x0a  1\n");
}

}  // namespace
}  // namespace taskd::cli
