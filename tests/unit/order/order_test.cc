#include "scheduler/order/order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/order/graphs.h"
#include "tests/unit/order/oracle.h"

namespace taskd::order {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

uint64_t OurPeak(const Graph& graph) { return PeakOf(graph, Order(graph).rank).weight; }

TEST(Order, TakesNothing) {
  Ranks ranks = Order({});
  EXPECT_TRUE(ranks.rank.empty());
  EXPECT_TRUE(ranks.tail.empty());
}

TEST(Order, IndependentTasksAsTheyCame) {
  EXPECT_THAT(Order(Independent(4)).rank, ElementsAre(0, 1, 2, 3));
}

TEST(Order, IndependentTasksLongestFirst) {
  GraphMaker m;
  for (uint64_t seconds : {2, 5, 1, 5}) {
    m.Task({});
    m.Expect(seconds * 1'000'000'000, 0);
  }
  EXPECT_THAT(Order(m.graph).rank, ElementsAre(2, 0, 3, 1));
  EXPECT_THAT(Order(m.graph).tail, ElementsAre(2000, 5000, 1000, 5000));
}

TEST(Order, IndependentChainsLongestFirst) {
  GraphMaker m;
  uint32_t a = m.Task({}), b = m.Task({});
  uint32_t c = m.Task({b});
  m.Task({a});
  m.Task({c});
  EXPECT_THAT(Order(m.graph).rank, ElementsAre(3, 0, 1, 4, 2));
}

TEST(Order, ReductionNeedsDepthNotWidth) {
  // One partial result a level, and the inputs of the one that is made.
  EXPECT_EQ(OurPeak(Tree(4096, 2)), 14u);
  EXPECT_LE(OurPeak(Tree(4096, 8)), 4u * 7 + 2);
}

TEST(Order, ReductionOverLoadsAndMaps) {
  GraphMaker m;
  std::vector<uint32_t> loads, maps;
  for (int i = 0; i < 100; ++i) loads.push_back(m.Task({}));
  for (uint32_t load : loads) maps.push_back(m.Task({load}));
  m.Task(maps);
  EXPECT_EQ(OurPeak(m.graph), 101u);  // each load goes when it is mapped
}

TEST(Order, NeediestSideFirst) {
  // The side that needs three at once goes before the one that needs two.
  GraphMaker m;
  uint32_t a = m.Task({});
  uint32_t b = m.Task({a});
  uint32_t c = m.Task({}), d = m.Task({}), e = m.Task({});
  uint32_t f = m.Task({c, d, e});
  m.Task({b, f});
  EXPECT_EQ(OurPeak(m.graph), BestPeak(m.graph));
}

TEST(Order, BytesDecide) {
  // A large result that shrinks is not held while another one is made.
  GraphMaker m;
  std::vector<uint32_t> small;
  for (int i = 0; i < 3; ++i) {
    uint32_t large = m.Task({});
    m.Expect(0, 1'000'000);
    small.push_back(m.Task({large}));
    m.Expect(0, 1'000);
  }
  m.Task(small);
  m.Expect(0, 1'000);
  Peak peak = PeakOf(m.graph, Order(m.graph).rank);
  Peak all_loads_first = PeakOf(m.graph, {0, 3, 1, 4, 2, 5, 6});
  EXPECT_LT(peak.weight * 2, all_loads_first.weight);
}

TEST(Order, TailsAreLongestPaths) {
  GraphMaker m;
  uint32_t a = m.Task({});
  uint32_t b = m.Task({a});
  m.Task({a});
  m.Task({b, a});
  EXPECT_THAT(Order(m.graph).tail, ElementsAre(300, 200, 100, 100));
}

TEST(Order, TailsOfUnknownTasksAreTheMean) {
  GraphMaker m;
  uint32_t a = m.Task({});
  m.Expect(1'000'000'000, 0);
  uint32_t b = m.Task({a});
  m.Expect(0, 0);
  m.Task({b});
  m.Expect(3'000'000'000, 0);
  EXPECT_THAT(Order(m.graph).tail, ElementsAre(6000, 5000, 3000));
}

TEST(Order, TailsSaturate) {
  GraphMaker m;
  m.Task({});
  m.Expect(~uint64_t{0}, 0);
  for (uint32_t i = 0; i < 3; ++i) {
    m.Task({i});
    m.Expect(~uint64_t{0}, 0);
  }
  EXPECT_THAT(Order(m.graph).tail, Each(0xFFFFFFFFu));
}

TEST(Order, TailsThroughCollections) {
  GraphMaker m;
  m.Task({});
  m.Task({});
  uint32_t all = m.Collect(0, 2);
  m.Task({all});
  m.Task({all});
  EXPECT_THAT(Order(m.graph).tail, ElementsAre(200, 200, 100, 100));
}

TEST(Order, WantedResultsStay) {
  GraphMaker m;
  uint32_t a = m.Task({});
  uint32_t b = m.Task({a});
  uint32_t c = m.Task({b});
  m.Task({c});
  std::vector<uint32_t> rank = {0, 1, 2, 3};
  EXPECT_EQ(PeakOf(m.graph, rank).weight, 2u);
  m.graph.wants = {a, b};
  EXPECT_EQ(PeakOf(m.graph, rank).weight, 4u);
  EXPECT_EQ(PeakOf(m.graph, rank).weight, NaivePeak(m.graph, rank));
}

TEST(Order, SameInputTwice) {
  GraphMaker m;
  uint32_t a = m.Task({});
  m.Task({a, a, a});
  EXPECT_EQ(OurPeak(m.graph), 2u);
}

TEST(Order, SeveralOutputsAndNone) {
  GraphMaker m;
  m.Task({}, 3);      // objects 0 1 2
  m.Task({1}, 0);     // none
  m.Task({0, 2}, 1);  // object 3
  Ranks ranks = Order(m.graph);
  EXPECT_TRUE(IsTopological(m.graph, ranks.rank));
  EXPECT_EQ(OurPeak(m.graph), 3u);
}

TEST(Order, FinishesWhatAColumnIsNeededForBeforeTheNext) {
  // All of A has to be there, with its means; but of B little more than a column, and the sums of two.
  for (uint32_t side : {7u, 12u, 20u})
    EXPECT_LE(OurPeak(ProductSum(side)), side * side + 5 * side + 2) << side;
}

TEST(Order, FinishesOneColumnOfAShuffleBeforeTheNext) {
  // Two stages of groups: 16 loads, each split four ways, merged within groups, split and merged again.
  GraphMaker m;
  std::vector<uint32_t> level;
  for (int i = 0; i < 16; ++i) level.push_back(m.Task({}));
  for (uint32_t step : {1u, 4u}) {
    std::vector<uint32_t> merged(16);
    for (uint32_t p = 0; p < 16; ++p) {
      uint32_t base = p - p / step % 4 * step;
      std::vector<uint32_t> pieces;
      for (uint32_t k = 0; k < 4; ++k) pieces.push_back(m.Task({level[base + k * step]}));
      merged[p] = m.Task(pieces);
    }
    level = merged;
  }
  EXPECT_LE(OurPeak(m.graph), 25u);  // 16 at the end anyway
}

// Sizes at which anything more than near-linear, or a recursion, would not end. A sanitizer makes a step
// some 50 times slower: it gets a sixteenth of them.
#ifdef __SANITIZE_ADDRESS__
constexpr uint32_t kLevels = 16;
#else
constexpr uint32_t kLevels = 20;
#endif
constexpr uint32_t kMany = 1u << kLevels;

TEST(OrderAtScale, Chain) { EXPECT_EQ(OurPeak(Chain(kMany)), 2u); }
TEST(OrderAtScale, DiamondLadder) { EXPECT_EQ(OurPeak(Diamonds(kMany / 4)), 3u); }
TEST(OrderAtScale, Independent) { EXPECT_EQ(OurPeak(Independent(kMany)), kMany); }
TEST(OrderAtScale, Stencil) { EXPECT_LE(OurPeak(Stencil(1024, kMany / 1024)), 2060u); }
TEST(OrderAtScale, Tree) { EXPECT_EQ(OurPeak(Tree(kMany / 2, 2)), kLevels + 1); }
TEST(OrderAtScale, AllToAll) { EXPECT_EQ(OurPeak(AllToAll(kMany / 8, 10)), kMany / 4); }

TEST(OrderAtScale, ProductSum) {
  // The bound of small sums holds for four million edges, where few orders are made.
  constexpr uint32_t kSide = kLevels == 20 ? 100 : 32;
  EXPECT_LE(OurPeak(ProductSum(kSide)), kSide * kSide + 5 * kSide + 2);
}

TEST(OrderAtScale, OneSink) {
  // A task has at most 65,535 inputs: the sink reads a million results as a collection.
  GraphMaker m;
  for (uint32_t i = 0; i < kMany; ++i) m.Task({});
  m.Task({m.Collect(0, kMany)});
  EXPECT_EQ(OurPeak(m.graph), kMany + 1);
}

TEST(OrderAtScale, OneSource) {
  GraphMaker m;
  m.Task({});
  for (uint32_t i = 0; i < kMany; ++i) m.Task({0});
  EXPECT_EQ(OurPeak(m.graph), kMany + 1);
}

TEST(OrderAtScale, ManySinksOverSharedInputs) {
  // Each of 30 tasks reads all of the results one by one.
  constexpr uint32_t kResults = kMany / 18;
  GraphMaker m;
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < kResults; ++i) all.push_back(m.Task({}));
  for (int i = 0; i < 30; ++i) m.Task(all);
  EXPECT_EQ(OurPeak(m.graph), kResults + 30);
}

TEST(OrderAtScale, OverlappingCollections) {
  // Reader i reads results 0 to i: billions of members, shared in blocks.
  constexpr uint32_t kResults = kMany / 10;
  GraphMaker m;
  for (uint32_t i = 0; i < kResults; ++i) m.Task({});
  for (uint32_t i = 0; i < kResults; ++i) m.Task({m.Collect(0, i + 1)});
  Ranks ranks = Order(m.graph);
  std::vector<uint32_t> task_at(ranks.rank.size());
  for (uint32_t t = 0; t < task_at.size(); ++t) task_at[ranks.rank[t]] = t;
  uint32_t made = 0;  // results 0 .. made - 1 are there
  std::vector<bool> ran(kResults, false);
  for (uint32_t t : task_at) {
    if (t >= kResults) {
      ASSERT_GE(made, t - kResults + 1);
      continue;
    }
    ran[t] = true;
    while (made < ran.size() && ran[made]) ++made;
  }
}

}  // namespace
}  // namespace taskd::order
