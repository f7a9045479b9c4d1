#include "common/base/heap.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/base/prng.h"

namespace taskd {
namespace {

struct World {
  std::vector<uint64_t> key;
  std::vector<uint32_t> position;
};

struct ByKey {
  static bool Less(const World& w, uint32_t a, uint32_t b) {
    return w.key[a] != w.key[b] ? w.key[a] < w.key[b] : a < b;
  }
  static void SetPosition(World& w, uint32_t a, uint32_t position) { w.position[a] = position; }
};

// Random pushes, pops, removals from the middle and changes of keys, beside a set that is surely
// right.
void Compare(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  constexpr uint32_t kItems = 200;
  Prng prng(seed);
  World world{std::vector<uint64_t>(kItems, 0), std::vector<uint32_t>(kItems, kNotInHeap)};
  IndexedHeap<uint32_t, World, ByKey> heap;
  std::set<std::pair<uint64_t, uint32_t>> model;
  const uint64_t keys = prng.Between(1, 300);  // few keys make ties
  for (int i = 0; i < 3000; ++i) {
    const auto item = static_cast<uint32_t>(prng.Below(kItems));
    const bool in = world.position[item] != kNotInHeap;
    switch (prng.Below(4)) {
      case 0:
      case 1:
        if (in) break;
        world.key[item] = prng.Below(keys);
        heap.Push(world, item);
        model.insert({world.key[item], item});
        break;
      case 2:
        if (in) {
          heap.Remove(world, world.position[item]);
          model.erase({world.key[item], item});
        } else if (!heap.empty()) {
          ASSERT_EQ(heap.Pop(world), model.begin()->second);
          model.erase(model.begin());
        }
        break;
      default:
        if (!in) break;
        model.erase({world.key[item], item});
        world.key[item] = prng.Below(keys);
        model.insert({world.key[item], item});
        heap.Update(world, world.position[item]);
    }
    ASSERT_EQ(heap.size(), model.size());
    if (!heap.empty()) {
      ASSERT_EQ(heap.top(), model.begin()->second);
    }
    uint32_t inside = 0;
    for (uint32_t k = 0; k < kItems; ++k) {
      if (world.position[k] == kNotInHeap) continue;
      ++inside;
      ASSERT_EQ(heap.at(world.position[k]), k);
    }
    ASSERT_EQ(inside, model.size());
  }
  while (!heap.empty()) {
    ASSERT_EQ(heap.Pop(world), model.begin()->second);
    model.erase(model.begin());
  }
}

TEST(IndexedHeap, AgreesWithASet) {
  for (uint64_t seed = 1; seed <= 20; ++seed) Compare(seed);
}

}  // namespace
}  // namespace taskd
