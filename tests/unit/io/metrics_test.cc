#include "common/io/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace taskd::io {
namespace {

using testing::HasSubstr;

TEST(MetricsPage, OneFamilyForOneName) {
  MetricsPage page;
  page.Counter("x_total", "What.", 1, {{"kind", "a"}});
  page.Gauge("y_bytes", "Size.", 3);
  page.Counter("x_total", "What.", 2, {{"kind", "b"}});
  std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("# HELP x_total What.\n# TYPE x_total counter\nx_total{kind=\"a\"} "
                              "1\nx_total{kind=\"b\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE y_bytes gauge\ny_bytes 3\n"));
}

TEST(MetricsPage, HistogramsAreCumulative) {
  MetricsPage page;
  const double bounds[] = {0.5, 1};
  const uint64_t buckets[] = {2, 0, 3};
  page.Histogram("t_seconds", "Time.", bounds, buckets, 4.5);
  std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("t_seconds_count 5\nt_seconds_sum 4.5\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{le=\"0.5\"} 2\nt_seconds_bucket{le=\"1\"} "
                              "2\nt_seconds_bucket{le=\"+Inf\"} 5\n"));
}

TEST(MetricsPageDeathTest, NamesFollowTheRules) {
  MetricsPage page;
  EXPECT_DEATH(page.Counter("x", "A counter ends in _total.", 1), "");
  EXPECT_DEATH(page.Gauge("x_total", "Only a counter does.", 1), "");
  EXPECT_DEATH(page.Gauge("Bad-Name", "Snake case.", 1), "");
}

}  // namespace
}  // namespace taskd::io
