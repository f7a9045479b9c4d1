#include "scheduler/shell/ranker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/limits.h"

namespace taskd::scheduler {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Two loads, each with a reader; the loads come first.
Batch TwoPairs() {
  Batch batch;
  batch.options.emplace_back();
  for (uint32_t inputs : {0, 0, 1, 1}) {
    Batch::Task& task = batch.tasks.emplace_back();
    task.output_count = 1;
    task.edge_count = inputs;
  }
  for (uint32_t source : {0, 1}) batch.edges.emplace_back().source = source;
  return batch;
}

class RankerTest : public testing::Test {
 protected:
  // What was sent; nothing more is afterwards.
  std::vector<event::SetRanks> Sent() {
    ranker_.reset();
    return sent_;
  }
  void WaitFor(size_t slices) {
    for (;;) {
      {
        std::lock_guard lock(mutex_);
        if (sent_.size() >= slices) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  std::mutex mutex_;
  std::vector<event::SetRanks> sent_;
  std::unique_ptr<Ranker> ranker_ = std::make_unique<Ranker>([this](event::SetRanks ranks) {
    std::lock_guard lock(mutex_);
    sent_.push_back(std::move(ranks));
  });
};

TEST_F(RankerTest, AJobThatIsForgottenUnsealedIsNotHeld) {
  ranker_->Add(7, TwoPairs(), false);
  ranker_->Forget(7);
  EXPECT_EQ(ranker_->held_items(), 0u);
  ranker_->Forget(8);
  ranker_->Seal(7);
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(RankerTest, OrdersASealedJob) {
  ranker_->Add(7, TwoPairs(), false);
  EXPECT_EQ(ranker_->held_items(), 6u);
  ranker_->Seal(7);
  EXPECT_EQ(ranker_->held_items(), 0u);
  WaitFor(1);
  std::vector<event::SetRanks> sent = Sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].job, 7u);
  EXPECT_EQ(sent[0].first, 0u);
  EXPECT_THAT(sent[0].rank, ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(sent[0].tail, ElementsAre(200, 200, 100, 100));
}

TEST_F(RankerTest, InputsOfEarlierBatchesCount) {
  Batch second;
  second.collections.push_back({0, 4, 1});
  second.tasks.emplace_back().edge_count = 1;
  second.edges.emplace_back().source = 0 | kCollectionBit;
  ranker_->Add(1, TwoPairs(), false);
  ranker_->Add(1, second, false);
  ranker_->Seal(1);
  WaitFor(1);
  EXPECT_THAT(sent_[0].tail, ElementsAre(300, 300, 200, 200, 100));
}

TEST_F(RankerTest, InputsOfOtherJobsDoNotCount) {
  Batch second;
  second.collections.push_back({0, 4, 1, 9});
  second.collections.push_back({.dataset = "d"});
  second.collections.push_back({0, 4, 1});
  second.tasks.emplace_back().edge_count = 3;
  for (uint32_t c : {0, 1, 2}) second.edges.emplace_back().source = c | kCollectionBit;
  ranker_->Add(1, TwoPairs(), false);
  ranker_->Add(1, second, false);
  ranker_->Seal(1);
  WaitFor(1);
  EXPECT_THAT(sent_[0].tail, ElementsAre(300, 300, 200, 200, 100));
}

TEST_F(RankerTest, HintsCount) {
  Batch batch;
  for (uint64_t seconds : {1, 3, 2}) {
    batch.options.emplace_back().expect_ns = seconds * 1'000'000'000;
    batch.tasks.emplace_back().option = static_cast<uint16_t>(batch.options.size() - 1);
  }
  ranker_->Add(1, batch, false);
  ranker_->Seal(1);
  WaitFor(1);
  EXPECT_THAT(sent_[0].rank, ElementsAre(2, 0, 1));
  EXPECT_THAT(sent_[0].tail, ElementsAre(1000, 3000, 2000));
}

TEST_F(RankerTest, LongJobsComeInSlices) {
  Batch batch;
  batch.options.emplace_back();
  for (uint32_t t = 0; t < 20'000; ++t) {
    batch.tasks.emplace_back().output_count = 1;
    if (t == 0) continue;
    batch.tasks.back().edge_count = 1;
    batch.edges.emplace_back().source = t - 1;
  }
  ranker_->Add(1, batch, false);
  ranker_->Seal(1);
  WaitFor(3);
  uint32_t next = 0;
  for (const event::SetRanks& slice : sent_) {
    EXPECT_EQ(slice.first, next);
    ASSERT_EQ(slice.rank.size(), slice.tail.size());
    for (uint32_t rank : slice.rank) EXPECT_EQ(rank, next++);
  }
  EXPECT_EQ(next, 20'000u);
}

TEST_F(RankerTest, RanksOfTheUserStay) {
  ranker_->Add(1, TwoPairs(), false);
  ranker_->Add(1, TwoPairs(), true);
  ranker_->Add(1, TwoPairs(), false);
  EXPECT_EQ(ranker_->held_items(), 0u);
  ranker_->Seal(1);
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(RankerTest, AlikeAndIndependentTasksNeedNone) {
  Batch batch;
  batch.options.emplace_back();
  batch.tasks.resize(3);
  ranker_->Add(1, batch, false);
  ranker_->Seal(1);
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(RankerTest, OverTheLimitTheOldestJobGivesWay) {
  Batch large;
  large.options.emplace_back();
  large.tasks.resize(limits::kTasksPerBatch);
  ranker_->Add(1, TwoPairs(), false);
  ranker_->Add(2, TwoPairs(), false);
  while (ranker_->held_items() + large.tasks.size() <= limits::kOrderItems)
    ranker_->Add(1, large, false);
  ranker_->Add(2, large, false);
  EXPECT_EQ(ranker_->held_items(), 6 + large.tasks.size());
  ranker_->Add(1, large, false);  // given up: nothing is kept
  EXPECT_EQ(ranker_->held_items(), 6 + large.tasks.size());
  ranker_->Seal(1);
  ranker_->Seal(2);
  WaitFor(9);
  for (const event::SetRanks& slice : Sent()) EXPECT_EQ(slice.job, 2u);
}

}  // namespace
}  // namespace taskd::scheduler
