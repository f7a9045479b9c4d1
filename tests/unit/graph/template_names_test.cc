#include "common/graph/template_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::graph {
namespace {

using testing::HasSubstr;

v1::Axis List(std::string name, std::vector<std::string> values) {
  v1::Axis axis;
  axis.set_name(name);
  for (auto& v : values) axis.add_values(v);
  return axis;
}
v1::Axis Range(std::string name, int64_t first, int64_t step, uint32_t count) {
  v1::Axis axis;
  axis.set_name(name);
  axis.set_first(first);
  axis.set_step(step);
  axis.set_count(count);
  return axis;
}
TemplateNames Make(std::vector<v1::Axis> axes, std::vector<uint32_t> excluded = {}) {
  v1::Template t;
  t.set_name("t");
  uint32_t rows = 1;
  for (auto& axis : axes) {
    rows *= AxisSize(axis);
    *t.add_axes() = axis;
  }
  for (uint32_t row : excluded) t.add_excluded(row);
  t.set_task_count(rows - static_cast<uint32_t>(excluded.size()));
  auto names = TemplateNames::Create(t);
  EXPECT_TRUE(names.ok()) << names.status();
  return *std::move(names);
}
// "3" or "0+4*2" (first, count, stride), separated by blanks.
std::string Rows(const std::vector<Run>& runs) {
  std::string text;
  for (const Run& r : runs) {
    text += StrCat(text.empty() ? "" : " ", r.first);
    if (r.count != 1) text += StrCat("+", r.count, "*", r.stride);
  }
  return text;
}
std::string Match(const TemplateNames& names, std::string_view text) {
  auto rows = names.Match(ParseName(text)->selectors);
  return rows.ok() ? Rows(*rows) : StrCat("error: ", ToStd(rows.status().message()));
}

TEST(TemplateNames, KeysAreRowsOfTheProduct) {
  TemplateNames t = Make({List("a", {"0.10", "0.2"}), Range("s", 1, 1, 3)});
  EXPECT_EQ(t.Key(0), "t[0.10,1]");
  EXPECT_EQ(t.Key(2), "t[0.10,3]");
  EXPECT_EQ(t.Key(5), "t[0.2,3]");
  EXPECT_EQ(t.Position(5, 0), 1u);
  EXPECT_EQ(Make({}).Key(0), "t");
}

TEST(TemplateNames, SelectionsAreFewRuns) {
  TemplateNames t = Make({Range("a", 0, 1, 3), Range("b", 0, 1, 4), Range("c", 0, 1, 5)});
  EXPECT_EQ(Match(t, "t[*,*,*]"), "0+60*1");
  EXPECT_EQ(Match(t, "t[1,*,*]"), "20+20*1");
  EXPECT_EQ(Match(t, "t[*,2,3]"), "13+3*20");
  EXPECT_EQ(Match(t, "t[1,*,3]"), "23+4*5");
  EXPECT_EQ(Match(t, "t[*,*,3]"), "3+12*5");
  EXPECT_EQ(Match(t, "t[*,2,*]"), "10+5*1 30+5*1 50+5*1");
  EXPECT_EQ(Match(t, "t[1..2,*,*]"), "20+40*1");
  EXPECT_EQ(Match(t, "t[1,1..2,4]"), "29+2*5");
  EXPECT_EQ(Match(t, "t[2,3,4]"), "59");
}

TEST(TemplateNames, ExcludedRowsShiftTheOthers) {
  TemplateNames t = Make({Range("a", 0, 1, 2), Range("b", 0, 1, 4)}, {0, 5});
  EXPECT_EQ(t.task_count(), 6u);
  EXPECT_EQ(t.Key(0), "t[0,1]");
  EXPECT_EQ(t.Key(3), "t[1,0]");
  EXPECT_EQ(t.Key(4), "t[1,2]");
  EXPECT_EQ(Match(t, "t[0,*]"), "0+3*1");
  EXPECT_EQ(Match(t, "t[1,*]"), "3+3*1");
  EXPECT_EQ(Match(t, "t[1,1]"), "");
  EXPECT_EQ(Match(t, "t[*,2]"), "1+2*3");
}

// Every row's key selects that row and nothing else, over all shapes of products with holes.
TEST(TemplateNames, KeysAndRowsAreInverse) {
  for (uint32_t hole = 0; hole < 23; ++hole) {
    TemplateNames t = Make(
        {List("a", {"x", "*", "y,z"}), Range("b", 5, -2, 4), List("c", {"0..1", ""})}, {hole, 23});
    std::set<std::string> keys;
    for (uint32_t row = 0; row < t.task_count(); ++row) {
      EXPECT_TRUE(keys.insert(t.Key(row)).second);
      EXPECT_EQ(Match(t, t.Key(row)), StrCat(row));
    }
  }
}

TEST(TemplateNames, ErrorsNameTheAxisAndTheNearest) {
  TemplateNames t = Make({List("alpha", {"0.10", "0.25"}), Range("s", 1, 1, 3)});
  EXPECT_THAT(Match(t, "t[0.1,1]"),
              HasSubstr("axis 'alpha' of 't' has no value '0.1' (did you mean '0.10'?)"));
  EXPECT_THAT(Match(t, "t[0.10,4]"), HasSubstr("it has 1 .. 3"));
  EXPECT_THAT(Match(t, "t[0.10]"), HasSubstr("has 2 axes (alpha, s), but 1 values are given"));
  EXPECT_THAT(Match(t, "t[0.10,3..1]"), HasSubstr("has no value"));
  EXPECT_THAT(Match(Make({}), "t[1]"), HasSubstr("has no axes"));
}

TEST(FindAxisValue, RangesTakeTheirOwnSpellingOnly) {
  v1::Axis axis = Range("i", 10, -5, 4);  // 10 5 0 -5
  EXPECT_EQ(FindAxisValue(axis, "10"), 0);
  EXPECT_EQ(FindAxisValue(axis, "-5"), 3);
  EXPECT_EQ(FindAxisValue(axis, "-10"), -1);
  EXPECT_EQ(FindAxisValue(axis, "05"), -1);
  EXPECT_EQ(FindAxisValue(axis, "6"), -1);
  EXPECT_EQ(FindAxisValue(axis, "x"), -1);
}

TEST(AppendToRuns, FindsProgressions) {
  std::vector<graph::Run> runs;
  for (uint32_t v : {1, 2, 3, 10, 20, 21, 22, 40}) AppendToRuns(runs, v);
  EXPECT_EQ(Rows(runs), "1+3*1 10 20+3*1 40");
}

TEST(TemplateNames, RefusesTablesThatDoNotFit) {
  v1::Template t;
  t.set_name("t");
  *t.add_axes() = Range("i", 0, 1, 3);
  t.set_task_count(4);
  EXPECT_THAT(TemplateNames::Create(t).status().message(),
              HasSubstr("task_count is 4, but its axes make 3"));
  t.set_task_count(2);
  t.add_excluded(3);
  EXPECT_FALSE(TemplateNames::Create(t).ok());
  t.set_name("9");
  EXPECT_FALSE(TemplateNames::Create(t).ok());
  for (int i = 0; i < 8; ++i) *t.add_axes() = Range("i", 0, 1, 1'000'000);
  t.set_name("t");
  EXPECT_THAT(TemplateNames::Create(t).status().message(), HasSubstr("limit"));
}

}  // namespace
}  // namespace taskd::graph
