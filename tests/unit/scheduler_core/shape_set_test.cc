#include "scheduler/core/shape_set.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/base/prng.h"

namespace taskd::scheduler {
namespace {

// Shapes that lie close to each other, or far apart, first and last ones included.
TEST(ShapeSet, IsWalkedInOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Prng prng(seed);
    ShapeSet shapes;
    std::set<uint16_t> expected;
    const uint64_t range = prng.Below(2) == 0 ? 200 : 0xFFFF;
    for (int i = 0; i < 300; ++i) {
      auto shape = static_cast<uint16_t>(prng.Below(range));
      if (prng.Below(20) == 0) shape = 0xFFFE;
      const bool in = prng.Below(3) > 0;
      shapes.Set(shape, in);
      if (in) {
        expected.insert(shape);
      } else {
        expected.erase(shape);
      }
      ASSERT_EQ(shapes.Has(shape), in);
      std::vector<uint16_t> walked;
      for (uint16_t s = shapes.From(0); s != ShapeSet::kNone; s = shapes.From(s + 1u))
        walked.push_back(s);
      ASSERT_EQ(walked, std::vector<uint16_t>(expected.begin(), expected.end())) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace taskd::scheduler
