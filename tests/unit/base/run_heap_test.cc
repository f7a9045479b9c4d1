#include "common/base/run_heap.h"

#include <gtest/gtest.h>

#include <compare>
#include <map>
#include <set>
#include <vector>

#include "common/base/prng.h"

namespace taskd {
namespace {

struct Item {
  uint32_t key = 0;
  uint32_t number = 0;  // from 1 on: Item{} is none
  auto operator<=>(const Item&) const = default;
};
using World = std::map<uint32_t, uint32_t>;  // positions by number
struct ByKey {
  static bool Less(const World&, const Item& a, const Item& b) { return a < b; }
  static void SetPosition(World& w, const Item& item, uint32_t position) {
    w[item.number] = position;
  }
};
using Heap = RunHeap<Item, World, ByKey>;

// Mostly ascending pushes, some out of order, and removals from anywhere, beside a set that is
// surely right.
void Compare(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  World world;
  Heap heap;
  std::set<Item> model;
  const uint64_t out_of_order = prng.Between(0, 100);  // percent
  const uint64_t pushes = prng.Between(30, 70);        // percent
  for (uint32_t number = 1; number < 4000; ++number) {
    if (prng.Below(100) < pushes) {
      Item item{number, number};
      if (prng.Below(100) < out_of_order) item.key = static_cast<uint32_t>(prng.Below(4000));
      heap.Push(world, item);
      model.insert(item);
    } else if (!model.empty()) {
      Item item = *model.begin();
      ASSERT_EQ(heap.top(), item);
      if (prng.Below(3) == 0) {
        auto it = model.lower_bound({static_cast<uint32_t>(prng.Below(4000)), 0});
        if (it != model.end()) item = *it;
      }
      ASSERT_TRUE(heap.Has(world[item.number]));
      ASSERT_EQ(heap.at(world[item.number]), item);
      heap.Remove(world, world[item.number]);
      ASSERT_EQ(world[item.number], kNotInHeap);
      model.erase(item);
    }
    ASSERT_EQ(heap.size(), model.size());
    ASSERT_EQ(heap.empty(), model.empty());
    if (!model.empty()) {
      ASSERT_EQ(heap.top(), *model.begin());
    }
    // In a run without holes it is the next in order, or one that is not known.
    if (const Item* next = heap.Following(1); next != nullptr && *next != Item{}) {
      ASSERT_TRUE(model.contains(*next));
      ASSERT_NE(*next, heap.top());
    }
    if (number % 500 != 0) continue;
    std::set<Item> seen;
    heap.ForEach([&](const Item& item) { ASSERT_TRUE(seen.insert(item).second); });
    std::set<Item> some;
    heap.VisitSome(8, [&](const Item& item) { ASSERT_TRUE(some.insert(item).second); });
    ASSERT_LE(some.size(), 8u);
    for (const Item& item : some) ASSERT_TRUE(model.contains(item));
    ASSERT_EQ(some.empty(), model.empty());
    ASSERT_EQ(seen, model);
  }
}

TEST(RunHeap, IsAPriorityQueueWhateverTheOrder) {
  for (uint64_t seed = 1; seed <= 60; ++seed) Compare(seed);
}

TEST(RunHeap, TakesFromTheFrontOfALongRun) {
  World world;
  Heap heap;
  uint32_t pushed = 0;
  for (uint32_t taken = 0; taken < 10'000; ++taken) {
    for (; pushed < taken + 300; ++pushed) heap.Push(world, {pushed, pushed + 1});
    ASSERT_EQ(heap.top().key, taken);
    heap.Remove(world, world[taken + 1]);
  }
  EXPECT_EQ(heap.size(), 299u);
}

}  // namespace
}  // namespace taskd
