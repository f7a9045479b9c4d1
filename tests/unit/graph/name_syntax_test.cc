#include "common/graph/name_syntax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/text.h"

namespace taskd::graph {
namespace {

using testing::HasSubstr;

// "template|selector|selector|.output|lo-hi", "*" for a star.
std::string Parsed(std::string_view text) {
  auto name = ParseName(text);
  if (!name.ok()) return StrCat("error: ", ToStd(name.status().message()));
  std::string out = name->template_name;
  for (const Selector& s : name->selectors) out += StrCat("|", s.all ? "<all>" : s.value);
  if (!name->output.empty()) out += StrCat("|.", name->output);
  if (name->has_parts) out += StrCat("|", name->parts.lo, "-", name->parts.hi);
  return out;
}

TEST(ParseName, Table) {
  EXPECT_EQ(Parsed("top"), "top");
  EXPECT_EQ(Parsed("map[3]"), "map|3");
  EXPECT_EQ(Parsed("sim[0.10,*]"), "sim|0.10|<all>");
  EXPECT_EQ(Parsed("sim[0.10, 7]"), "sim|0.10|7");
  EXPECT_EQ(Parsed("merge[*].c"), "merge|<all>|.c");
  EXPECT_EQ(Parsed("map[3].p[2]"), "map|3|.p|2-3");
  EXPECT_EQ(Parsed("map[3].p[0..3]"), "map|3|.p|0-4");
  EXPECT_EQ(Parsed("map[3].p[*]"), "map|3|.p|0-0");
  EXPECT_EQ(Parsed("f[/a b/c.txt].c"), "f|/a b/c.txt|.c");
  EXPECT_EQ(Parsed("f[a\\,b\\]c\\\\d,\\*]"), "f|a,b]c\\d|*");
  EXPECT_EQ(Parsed("f[]"), "f|");
}

TEST(ParseName, RefusesWithTheText) {
  for (const char* bad :
       {"", "[3]", "9map", "map[3", "map[3]c", "map.c.d", "map[3].", "map[3].p[x]",
        "map[3].p[3..1]", "map[3].p[1", "a b", "map[3].p[99999999999]"}) {
    EXPECT_THAT(Parsed(bad), HasSubstr("is not a name")) << bad;
  }
}

TEST(AppendValue, ComesBackThroughParseName) {
  for (const std::string value :
       {"3", "0.10", "a,b", "x]y", "back\\slash", "*", "a*b", "..", "ümläut", " lead", ""}) {
    std::string key = "t[";
    AppendValue(key, value);
    auto name = ParseName(key + ",z].c");
    ASSERT_TRUE(name.ok()) << key << name.status();
    EXPECT_EQ(name->selectors[0].value, value);
    EXPECT_FALSE(name->selectors[0].all) << key;
  }
}

TEST(Names, WhatMayBeOne) {
  EXPECT_TRUE(IsTemplateName("word-count_2"));
  EXPECT_FALSE(IsTemplateName("2words"));
  EXPECT_FALSE(IsTemplateName("a.b"));
  EXPECT_TRUE(IsIdentifier("in_x2"));
  EXPECT_FALSE(IsIdentifier("a-b"));
  EXPECT_FALSE(IsIdentifier(""));
}

TEST(Nearest, FindsTypingErrorsOnly) {
  EXPECT_EQ(Nearest("mrege", {"map", "merge", "top"}), "merge");
  EXPECT_EQ(Nearest("tsak", {"task", "x"}), "task");
  EXPECT_EQ(Nearest("zebra", {"map", "merge"}), "");
  EXPECT_EQ(Nearest("a", {"b"}), "");
  EXPECT_EQ(DidYouMean("mapp", {"map"}), " (did you mean 'map'?)");
}

}  // namespace
}  // namespace taskd::graph
