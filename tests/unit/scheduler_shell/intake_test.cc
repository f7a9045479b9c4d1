#include "scheduler/shell/intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "common/base/limits.h"
#include "tests/unit/scheduler_shell/graphs.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

TEST(Decompress, OneFrameAndNothingElse) {
  std::string text(100'000, 'x');
  std::string frame = Frame(text);
  EXPECT_EQ(*Decompress(frame), text);
  EXPECT_EQ(*Decompress(Frame("")), "");
  for (size_t cut = 0; cut < frame.size(); ++cut)
    EXPECT_FALSE(Decompress(frame.substr(0, cut)).ok()) << cut;
  EXPECT_THAT(std::string(Decompress(frame + "x").status().message()), HasSubstr("after its end"));
  EXPECT_THAT(std::string(Decompress("not zstd").status().message()), HasSubstr("damaged"));
}

TEST(Decompress, BombsAreCutOff) {
  std::string frame = Frame(std::string(limits::kBatchBytes + 1, '\0'));
  ASSERT_LT(frame.size(), 1u << 20);
  EXPECT_THAT(std::string(Decompress(frame).status().message()), HasSubstr("smaller"));
  EXPECT_TRUE(Decompress(Frame(std::string(limits::kBatchBytes, '\0'))).ok());
  EXPECT_FALSE(Decompress(std::string(limits::kFrameBytes + 1, 'x')).ok());
}

class IntakeTest : public testing::Test {
 protected:
  IntakeTest() : loop_({}, {}), intake_(&jobs_, &loop_) {
    loop_.Start();
    intake_.Start();
    std::promise<JobId> opened;
    loop_.Request(
        [](Token token) {
          return event::OpenJob{token, 1, 2, 0};
        },
        [&](const action::Reply& reply, const SchedulerCore&, uint64_t) {
          opened.set_value(reply.job);
        });
    job_ = opened.get_future().get();
    record_ = jobs_.Open({job_, "test", "me", 0});
  }
  ~IntakeTest() override {
    intake_.Stop();
    loop_.Stop();
  }

  absl::Status Submit(uint32_t number, std::string frame, JobId job = 0) {
    std::promise<absl::Status> done;
    intake_.Submit(job == 0 ? job_ : job, number, std::move(frame),
                   [&](const absl::Status& s) { done.set_value(s); });
    return done.get_future().get();
  }
  absl::Status Submit(uint32_t number, const v1::GraphBatch& batch) {
    return Submit(number, Frame(batch.SerializeAsString()));
  }
  absl::Status Seal(uint32_t batches) {
    std::promise<absl::Status> done;
    intake_.Seal(job_, batches, [&](const absl::Status& s) { done.set_value(s); });
    return done.get_future().get();
  }

  JobStore jobs_;
  CoreLoop loop_;
  Intake intake_;
  JobId job_ = 0;
  std::shared_ptr<JobRecord> record_;
};

TEST_F(IntakeTest, AnAcceptedBatchIsInTheCoreAndInTheStore) {
  ASSERT_TRUE(Submit(0, SmallGraph()).ok());
  EXPECT_EQ(record_->TaskKey(2), "map[2]");
  EXPECT_EQ(record_->ObjectName(3), "sum.s");
  EXPECT_EQ(record_->Body(1)->command().sh(), "sum");
  EXPECT_EQ(record_->Body(2), nullptr);
  for (const auto& [task, expected] : std::vector<std::pair<Ordinal, std::string>>{
           {0, "a"}, {1, "bb"}, {2, "ccc"}, {3, ""}, {4, ""}}) {
    std::string args;
    record_->CopyArgs(task, &args);
    EXPECT_EQ(args, expected) << task;
  }
  std::optional<TaskView> task;
  loop_.AskAndWait([&](const SchedulerCore& core, uint64_t) { task = core.GetTask({job_, 3}); });
  ASSERT_TRUE(task.has_value());
  EXPECT_EQ(task->state, TaskState::kWaiting);
}

TEST_F(IntakeTest, TheSameBatchIsAcknowledgedAgainAnotherIsNot) {
  ASSERT_TRUE(Submit(0, SmallGraph()).ok());
  EXPECT_TRUE(Submit(0, SmallGraph()).ok());
  EXPECT_EQ(record_->task_count(), 4u);
  v1::GraphBatch other = SmallGraph();
  other.set_want(0, 2);
  absl::Status status = Submit(0, other);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("other contents"));
}

// SmallGraph with a field of 1 MiB that nobody knows.
std::string LargeFrame() {
  const std::string field = "\x82\xf1\x04\x80\x80\x40";
  return Frame(SmallGraph().SerializeAsString() + field + std::string(1 << 20, 'x'));
}

TEST_F(IntakeTest, SmallOnesAreCheckedWhereTheyComeIn) {
  std::thread::id answered_on;
  intake_.Submit(job_, 0, Frame("damaged"),
                 [&](const absl::Status&) { answered_on = std::this_thread::get_id(); });
  EXPECT_EQ(answered_on, std::this_thread::get_id());
  std::promise<std::thread::id> by;
  intake_.Submit(job_, 7, LargeFrame(),
                 [&](const absl::Status&) { by.set_value(std::this_thread::get_id()); });
  EXPECT_NE(by.get_future().get(), std::this_thread::get_id());
}

TEST_F(IntakeTest, WhatIsSmallWaitsForWhatIsNot) {
  std::promise<absl::Status> batch, seal;
  intake_.Submit(job_, 0, LargeFrame(), [&](const absl::Status& s) { batch.set_value(s); });
  intake_.Seal(job_, 1, [&](const absl::Status& s) { seal.set_value(s); });
  EXPECT_TRUE(batch.get_future().get().ok());
  EXPECT_TRUE(seal.get_future().get().ok());
}

TEST_F(IntakeTest, OrderAndSealing) {
  EXPECT_EQ(Submit(1, SmallGraph()).code(), absl::StatusCode::kFailedPrecondition);
  v1::GraphBatch misnumbered = SmallGraph();
  misnumbered.set_number(7);
  EXPECT_EQ(Submit(0, misnumbered).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Submit(0, SmallGraph()).ok());
  EXPECT_EQ(Seal(2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Seal(1).ok());
  EXPECT_TRUE(Seal(1).ok());
  v1::GraphBatch late;
  late.set_number(1);
  EXPECT_THAT(std::string(Submit(1, late).message()), HasSubstr("sealed"));
}

TEST_F(IntakeTest, ASealedJobWithoutRanksGetsThem) {
  ASSERT_TRUE(Submit(0, SmallGraph()).ok());
  ASSERT_TRUE(Seal(1).ok());
  std::vector<uint32_t> ranks, tails;
  while (tails.empty() || tails[0] == 0) {
    ranks.clear();
    tails.clear();
    loop_.AskAndWait([&](const SchedulerCore& core, uint64_t) {
      for (Ordinal t = 0; t < 4; ++t) {
        ranks.push_back(core.GetTask({job_, t})->rank);
        tails.push_back(core.GetTask({job_, t})->tail);
      }
    });
  }
  EXPECT_THAT(ranks, testing::ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(tails, testing::ElementsAre(200, 200, 200, 100));
}

TEST_F(IntakeTest, OfAForgottenJobOnlyTheHeaderStays) {
  ASSERT_TRUE(Submit(0, SmallGraph()).ok());
  ASSERT_TRUE(Seal(1).ok());
  loop_.Post(event::CancelJob{0, job_});
  for (uint32_t code = 1; code != 0;) {  // until it has ended
    std::promise<uint32_t> answered;
    loop_.Request(
        [this](Token token) {
          return event::ForgetJob{token, job_};
        },
        [&](const action::Reply& reply, const SchedulerCore&, uint64_t) {
          answered.set_value(reply.code);
        });
    code = answered.get_future().get();
  }
  intake_.Forget(job_);
  // The core answers now: what it took is acknowledged again, more is not taken.
  EXPECT_TRUE(Submit(0, SmallGraph()).ok());
  EXPECT_TRUE(Seal(1).ok());
  EXPECT_THAT(std::string(Submit(1, SmallGraph()).message()), HasSubstr("was forgotten"));
  EXPECT_EQ(jobs_.Find(job_), nullptr);
  EXPECT_EQ(jobs_.records(), 0u);
  EXPECT_EQ(jobs_.Header(job_)->name, "test");
  EXPECT_TRUE(jobs_.Forgotten(job_));
  EXPECT_EQ(record_.use_count(), 1);  // nobody else has it
}

TEST(JobStore, HeadersOfForgottenJobsAreBounded) {
  JobStore jobs(2);
  for (JobId job = 1; job <= 4; ++job) {
    jobs.Open({job, "name", "owner", 7});
    jobs.Forget(job);
    jobs.Forget(job);
  }
  EXPECT_FALSE(jobs.Header(2).has_value());
  EXPECT_FALSE(jobs.Forgotten(2));
  EXPECT_EQ(jobs.Header(3)->submitted_ms, 7u);
  EXPECT_EQ(jobs.Header(4)->owner, "owner");
}

TEST_F(IntakeTest, BadBatchesAreRefusedAndAGoodOneIsTakenAfterwards) {
  EXPECT_THAT(std::string(Submit(0, "not zstd").message()), HasSubstr("damaged"));
  EXPECT_THAT(std::string(Submit(0, Frame("not a batch")).message()), HasSubstr("damaged"));
  EXPECT_EQ(Submit(0, Frame(""), 99).code(), absl::StatusCode::kNotFound);
  v1::GraphBatch twice = SmallGraph();
  twice.mutable_templates(1)->set_name("map");
  EXPECT_THAT(std::string(Submit(0, twice).message()), HasSubstr("two templates named 'map'"));
  EXPECT_TRUE(Submit(0, SmallGraph()).ok());
}

}  // namespace
}  // namespace taskd::scheduler
