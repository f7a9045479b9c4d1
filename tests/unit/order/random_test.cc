// Random graphs against slow oracles.
#include <gtest/gtest.h>

#include "common/base/prng.h"
#include "scheduler/order/liveness.h"
#include "scheduler/order/network.h"
#include "scheduler/order/order.h"
#include "tests/unit/order/graphs.h"
#include "tests/unit/order/oracle.h"

namespace taskd::order {
namespace {

TEST(OrderRandom, IsTopologicalAndTheSameEachTime) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Prng random(seed);
    Graph graph = Random(random, 1 + static_cast<uint32_t>(random.Below(200)), 4, 30);
    Ranks ranks = Order(graph);
    ASSERT_TRUE(IsTopological(graph, ranks.rank)) << seed;
    Ranks again = Order(graph);
    ASSERT_EQ(ranks.rank, again.rank) << seed;
    ASSERT_EQ(ranks.tail, again.tail) << seed;
  }
}

TEST(OrderRandom, PeakIsTheNaiveOne) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Prng random(seed);
    Graph graph = Random(random, 1 + static_cast<uint32_t>(random.Below(80)), 4, 20);
    graph.hint.clear();
    std::vector<uint32_t> as_given(graph.task_count());
    for (uint32_t t = 0; t < as_given.size(); ++t) as_given[t] = t;
    ASSERT_EQ(PeakOf(graph, as_given).weight, NaivePeak(graph, as_given)) << seed;
    std::vector<uint32_t> rank = Order(graph).rank;
    ASSERT_EQ(PeakOf(graph, rank).weight, NaivePeak(graph, rank)) << seed;
    ASSERT_LE(PeakOf(graph, rank).weight, PeakOf(graph, as_given).weight) << seed;
  }
}

TEST(OrderRandom, IsNearTheBestOfAllOrders) {
  uint64_t ours = 0, best = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Prng random(seed);
    Graph graph = Random(random, 12, 3, 8);
    graph.hint.clear();
    uint64_t peak = PeakOf(graph, Order(graph).rank).weight;
    uint64_t bound = BestPeak(graph);
    ASSERT_GE(peak, bound) << seed;
    ours += peak;
    best += bound;
  }
  EXPECT_LE(ours * 100, best * 105);
}

// growth() tells before a run what the run then does to the live weight; with collections, at most.
TEST(OrderRandom, GrowthComesTrue) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Prng random(seed);
    Graph graph = Random(random, 1 + static_cast<uint32_t>(random.Below(60)), 4, 20, seed % 2 == 0);
    if (random.Below(2) == 0 && graph.output_count[0] > 0) graph.wants = {0};
    Network network = BuildNetwork(graph);
    Liveness live(network);
    auto unread = [&](uint32_t node) {
      int64_t gone = 0;  // what nobody will ever read is freed at once; growth() does not count it
      for (uint32_t s = network.source_begin[node]; s < network.source_begin[node + 1]; ++s)
        gone += network.readers_of_source(s).empty() && !network.kept[s] ? network.weight[s] : 0;
      return gone;
    };
    for (uint32_t task = 0; task < graph.task_count(); ++task) {
      uint32_t node = network.node_of[task];
      int64_t before = static_cast<int64_t>(live.live()), growth = live.growth(node);
      live.Run(node);
      int64_t grew = static_cast<int64_t>(live.live()) - before + unread(node);
      if (graph.collections.empty()) {
        ASSERT_EQ(grew, growth) << seed;
      } else {
        ASSERT_LE(grew, growth) << seed;
      }
    }
  }
}

}  // namespace
}  // namespace taskd::order
