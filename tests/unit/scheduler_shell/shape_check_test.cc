#include "scheduler/shell/shape_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "common/base/limits.h"
#include "common/rpc/interned_names.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

v1::Shape Good() {
  v1::Shape shape;
  shape.mutable_need()->set_cpus_milli(1000);
  v1::PoolAmount* gpus = shape.mutable_need()->add_pools();
  gpus->set_name("gpus");
  gpus->set_milli(1000);
  v1::PoolAmount* licence = shape.add_cluster();
  licence->set_name("pool.licence");
  licence->set_milli(2000);
  shape.add_others()->mutable_need()->set_cpus_milli(16'000);
  shape.add_hosts("node7");
  shape.add_hosts("node3");
  shape.add_hosts("node7");
  shape.add_attributes("ssd");
  shape.set_preferred(true);
  shape.set_needs_time_ns(5);
  return shape;
}

TEST(ShapeCheck, TakesAllOfIt) {
  auto shape = CheckShape(Good());
  ASSERT_TRUE(shape.ok()) << shape.status();
  ASSERT_EQ(shape->variants.size(), 2u);
  EXPECT_EQ(shape->variants[0].need.Pool(rpc::PoolNumber("gpus")), 1000u);
  EXPECT_EQ(shape->variants[0].cluster,
            (std::vector<PoolAmount>{{rpc::PoolNumber("pool.licence"), 2000}}));
  EXPECT_EQ(shape->variants[1].need.cpus_milli, 16'000u);
  EXPECT_EQ(shape->hosts.size(), 2u) << "named twice, counted once";
  EXPECT_TRUE(std::is_sorted(shape->hosts.begin(), shape->hosts.end()));
  EXPECT_EQ(shape->attributes, (std::vector<uint32_t>{rpc::PlaceNumber("ssd")}));
  EXPECT_TRUE(shape->preferred);
  EXPECT_EQ(shape->needs_time_ns, 5u);
}

TEST(ShapeCheck, SaysWhatIsWrong) {
  struct Case {
    std::string what;
    std::function<void(v1::Shape&)> spoil;
    std::string message;
  };
  const Case cases[] = {
      {"no cpu", [](auto& s) { s.mutable_need()->clear_cpus_milli(); }, "needs no cpu"},
      {"no cpu in a variant", [](auto& s) { s.mutable_others(0)->clear_need(); }, "needs no cpu"},
      {"many variants",
       [](auto& s) {
         for (int i = 0; i < 3; ++i) *s.add_others() = s.others(0);
       },
       "has 5 variants; at most 4"},
      {"pool twice", [](auto& s) { *s.add_cluster() = s.cluster(0); }, "twice"},
      {"no host", [](auto& s) { s.add_hosts(""); }, "names one of its hosts \"\""},
      {"many names",
       [](auto& s) {
         for (uint32_t i = 0; i <= limits::kNamesPerRule; ++i) s.add_workers("w");
       },
       "at most 256"},
      {"pin without a name",
       [](auto& s) {
         s.set_preferred(false);
         s.set_fail_fast(true);
         s.clear_hosts();
       },
       "needs workers or hosts by name"},
      {"pin that is a wish", [](auto& s) { s.set_fail_fast(true); }, "not only preferred"},
  };
  for (const Case& c : cases) {
    v1::Shape shape = Good();
    c.spoil(shape);
    auto checked = CheckShape(shape);
    EXPECT_FALSE(checked.ok()) << c.what;
    EXPECT_THAT(checked.status().message(), HasSubstr(c.message)) << c.what;
  }
}

}  // namespace
}  // namespace taskd::scheduler
