#include "scheduler/shell/graph_numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Rows = GraphTables::Rows;

v1::GraphBatch FreshBatch() {
  v1::GraphBatch batch;
  batch.add_runs()->set_template_index(0);
  return batch;
}

TEST(GraphNumbers, TheFirstGraphKeepsItsOwn) {
  GraphNumbers numbers;
  v1::GraphBatch batch = FreshBatch();
  batch.add_input_source(5);
  batch.add_input_source(2 | kCollectionBit);
  batch.add_want(7);
  ASSERT_TRUE(numbers.Renumber({}, 0, batch).ok());
  EXPECT_EQ(batch.body_size(), 0);
  EXPECT_THAT(batch.input_source(), ElementsAre(5, 2 | kCollectionBit));
  EXPECT_THAT(batch.want(), ElementsAre(7));
}

TEST(GraphNumbers, AnEmptyColumnNamesTheGraphsOwnRowZero) {
  GraphNumbers numbers;
  v1::GraphBatch batch = FreshBatch();
  batch.add_input_source(0);
  batch.add_input_source(kCollectionBit);
  const Rows before{
      .bodies = 3, .shapes = 2, .options = 1, .templates = 4, .collections = 6, .objects = 100};
  ASSERT_TRUE(numbers.Renumber(before, 0, batch).ok());
  EXPECT_THAT(batch.body(), ElementsAre(3));
  EXPECT_THAT(batch.shape(), ElementsAre(2));
  EXPECT_THAT(batch.option(), ElementsAre(1));
  EXPECT_EQ(batch.runs(0).template_index(), 4u);
  EXPECT_THAT(batch.input_source(), ElementsAre(100, 6 | kCollectionBit));
}

// Ten objects, then ten of others, then ten more.
TEST(GraphNumbers, WhatCameBetweenItsBatchesIsSkipped) {
  GraphNumbers numbers;
  v1::GraphBatch batch = FreshBatch();
  ASSERT_TRUE(numbers.Renumber({.bodies = 1, .objects = 5}, 0, batch).ok());
  numbers.Commit({.bodies = 1, .objects = 5}, {.bodies = 2, .objects = 15});
  v1::GraphBatch later = FreshBatch();
  later.add_body(0);
  later.add_body(1);
  for (uint32_t object : {0u, 9u, 10u, 19u}) later.add_want(object);
  const Rows before{.bodies = 4, .objects = 25};
  ASSERT_TRUE(numbers.Renumber(before, 0, later).ok());
  EXPECT_THAT(later.body(), ElementsAre(1, 4));
  EXPECT_THAT(later.want(), ElementsAre(5, 14, 25, 34));
  numbers.Commit(before, {.bodies = 5, .objects = 35});
  // It goes on where it ended: no hole.
  v1::GraphBatch last = FreshBatch();
  last.add_collections()->set_first(15);
  last.mutable_collections(0)->set_count(10);
  last.mutable_collections(0)->set_stride(1);
  ASSERT_TRUE(numbers.Renumber({.bodies = 5, .objects = 35}, 0, last).ok());
  EXPECT_EQ(last.collections(0).first(), 30u);
}

TEST(GraphNumbers, ACollectionLiesSideBySide) {
  GraphNumbers numbers;
  numbers.Commit({}, {.objects = 10});
  v1::GraphBatch batch = FreshBatch();
  v1::Collection* c = batch.add_collections();
  c->set_first(8);
  c->set_count(3);
  c->set_stride(1);
  const absl::Status status = numbers.Renumber({.objects = 12}, 0, batch);
  EXPECT_THAT(std::string(status.message()), HasSubstr("submitted something else"));
  c->set_count(2);
  EXPECT_TRUE(numbers.Renumber({.objects = 12}, 0, batch).ok());
}

TEST(GraphNumbers, WhatItReadsByTheJobsNameHasTheJobsNumbers) {
  GraphNumbers numbers;
  v1::GraphBatch batch = FreshBatch();
  for (JobId job : {7u, 8u}) {
    v1::Collection* c = batch.add_collections();
    c->set_job(job);
    c->set_first(3);
    c->set_count(1);
    c->set_stride(1);
  }
  ASSERT_TRUE(numbers.Renumber({.objects = 12}, 7, batch).ok());
  EXPECT_EQ(batch.collections(0).job(), 0u);
  EXPECT_EQ(batch.collections(0).first(), 3u);
  EXPECT_EQ(batch.collections(1).job(), 8u);
  EXPECT_EQ(batch.collections(1).first(), 3u);
}

TEST(GraphNumbers, NumbersOfNothingStayThat) {
  GraphNumbers numbers;
  numbers.Commit({}, {.objects = 10});
  v1::GraphBatch batch = FreshBatch();
  batch.add_input_source(~kCollectionBit);
  batch.add_want(~0u);
  ASSERT_TRUE(numbers.Renumber({.objects = 4'000'000}, 0, batch).ok());
  EXPECT_EQ(batch.input_source(0), ~kCollectionBit);
  EXPECT_EQ(batch.want(0), ~kCollectionBit);
}

}  // namespace
}  // namespace taskd::scheduler
