#include "cli/client/ranks.h"

#include "cli/client/builder.h"
#include "tests/unit/cli/graph_fixture.h"

namespace taskd::client {
namespace {

using testing::ElementsAre;

using RanksTest = GraphTest;

TEST_F(RanksTest, ACompiledGraphIsOrdered) {
  // Each load is mapped before the next one; the sum is last.
  auto graph =
      Load(File("- {name: load, over: {i: 0..2}, out: {v: v}, sh: x}\n"
                "- {name: map, over: {i: 0..2}, in: {v: 'load[{i}].v'}, out: {m: m}, sh: x}\n"
                "- {name: sum, in: {m: 'map[*].m'}, out: {s: s}, sh: x}\n"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  v1::GraphBatch batch = Batches(*graph)[0];
  EXPECT_THAT(batch.rank(), ElementsAre(0, 2, 4, 1, 3, 5, 6));
  EXPECT_THAT(batch.tail(), ElementsAre(300, 300, 300, 200, 200, 200, 100));
}

TEST_F(RanksTest, HintsCount) {
  auto graph =
      Load(File("- {name: a, builtin: noop, expect: {time: 2s}}\n"
                "- {name: b, builtin: noop, expect: {time: 9s}}\n"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  v1::GraphBatch batch = Batches(*graph)[0];
  EXPECT_THAT(batch.rank(), ElementsAre(1, 0));
  EXPECT_THAT(batch.tail(), ElementsAre(2000, 9000));
}

TEST_F(RanksTest, RanksThatAreGivenStay) {
  GraphBuilder builder;
  builder.AddTasks(
      {.name = "a", .count = 3, .body = builder.AddBody(BuiltinBody("noop", {}, {"v"}))});
  std::vector<std::string> frames = *builder.Finish();
  v1::GraphBatch batch = **DecompressBatch(frames[0]);
  for (uint32_t rank : {7, 5, 6}) batch.add_rank(rank);
  frames = {*CompressBatch(batch)};
  std::vector<std::string> before = frames;
  ASSERT_TRUE(GiveRanks(frames).ok());
  EXPECT_EQ(frames, before);
}

TEST_F(RanksTest, BatchesShareOneOrder) {
  GraphBuilder builder;
  const uint32_t noop = builder.AddBody(BuiltinBody("noop", {}, {"v"}));
  const uint32_t one = builder.AddBody(BuiltinBody("noop", {"v"}, {"v"}));
  auto a = builder.AddTasks({.name = "a", .count = 100'000, .body = noop});
  builder.AddTasks({.name = "b",
                    .count = 100'000,
                    .body = one,
                    .edges = [&](uint32_t row, std::vector<Edge>& edges) {
                      edges.push_back({builder.Object(a, row, 0)});
                    }});
  std::vector<std::string> frames = *builder.Finish();
  ASSERT_GE(frames.size(), 4u);
  ASSERT_TRUE(GiveRanks(frames).ok());
  std::vector<uint32_t> rank;
  for (const std::string& frame : frames) {
    v1::GraphBatch batch = **DecompressBatch(frame);
    EXPECT_EQ(batch.rank_size(), batch.tail_size());
    rank.insert(rank.end(), batch.rank().begin(), batch.rank().end());
  }
  ASSERT_EQ(rank.size(), 200'000u);
  for (uint32_t t = 0; t < 100'000; ++t) ASSERT_EQ(rank[t] + 1, rank[100'000 + t]);
}

}  // namespace
}  // namespace taskd::client
