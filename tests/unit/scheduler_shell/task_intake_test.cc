#include "scheduler/shell/task_intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/graph/put_batch.h"
#include "tests/unit/scheduler_shell/graphs.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

constexpr StreamId kStream = 1;

// A worker that runs the first task of a job, which submits.
class TaskIntakeTest : public testing::Test, public ActionSink {
 protected:
  explicit TaskIntakeTest(const std::string& name = "top")
      : submissions_(&jobs_), loop_({}, {&submissions_, this}), intake_(&jobs_, &loop_) {
    submissions_.SetLoop(&loop_, &intake_);
    loop_.Start();
    intake_.Start();
    loop_.Post(event::WorkerHello{.stream = kStream,
                                  .identity = 1,
                                  .incarnation = 1,
                                  .capacity = {4000, 0, {}},
                                  .host = 0,
                                  .name = 0});
    loop_.Post(event::InventoryDone{kStream});
    job_ = Reply([](Token token) { return event::OpenJob{token, 1, 2, 0}; });
    jobs_.Open({job_, name, "me", 0});
    std::promise<absl::Status> done;
    intake_.Submit(job_, 0, Frame(SmallGraph().SerializeAsString()),
                   [&](const absl::Status& s) { done.set_value(s); });
    EXPECT_TRUE(done.get_future().get().ok());
    Sync();
    EXPECT_FALSE(assigned_.empty());
    attempt_ = assigned_.front();
    loop_.Post(event::WorkerReport{.stream = kStream, .started = {attempt_}});
  }
  ~TaskIntakeTest() override {
    intake_.Stop();
    loop_.Stop();
  }

  void OnActions(uint64_t, const SchedulerCore&, std::span<Action> actions) override {
    for (const Action& action : actions) {
      auto* assign = std::get_if<action::Assign>(&action);
      if (assign == nullptr) continue;
      assigned_.push_back(assign->assignment.attempt);
      // What a stream needs for the assignment is there by now.
      known_ = known_ && jobs_.Find(assign->assignment.attempt.task.job) != nullptr;
    }
  }
  uint64_t OnTime(uint64_t, const SchedulerCore&) override { return kNever; }

  JobId Reply(std::function<Event(Token)> make) {
    std::promise<JobId> job;
    loop_.Request(std::move(make), [&](const action::Reply& reply, const SchedulerCore&, uint64_t) {
      job.set_value(reply.job);
    });
    return job.get_future().get();
  }
  void Sync() {
    loop_.AskAndWait([](const SchedulerCore&, uint64_t) {});
  }

  struct Result {
    JobId job = 0;
    Ordinal first = 0;
    absl::Status status;
  };
  // Of an early one.
  Result Submit(uint32_t number, std::string frame, StreamId stream = kStream, uint32_t graph = 0) {
    std::promise<Result> result;
    submissions_.Submit(
        stream, {{attempt_, number, true, std::move(frame), graph}},
        [&](const TaskIntake::Submission&, JobId job, Ordinal first, const absl::Status& status) {
          result.set_value({job, first, status});
        },
        [] {});
    return result.get_future().get();
  }
  void SubmitHeld(std::vector<std::string> frames) {
    std::vector<TaskIntake::Submission> held;
    for (uint32_t i = 0; i < frames.size(); ++i) held.push_back({attempt_, i, false, frames[i]});
    std::promise<void> posted;
    submissions_.Submit(
        kStream, std::move(held),
        [](const TaskIntake::Submission&, JobId, Ordinal, const absl::Status&) { FAIL(); },
        [&] { posted.set_value(); });
    posted.get_future().wait();
  }
  void Finish(uint32_t submitted) {
    event::WorkerReport report{kStream};
    Outcome outcome;
    outcome.sequence = 1;
    outcome.attempt = attempt_;
    outcome.outputs = {{10, 1}};
    outcome.submitted = submitted;
    report.outcomes.push_back(outcome);
    loop_.Post(std::move(report));
    Sync();
  }
  JobView View(JobId job) {
    JobView view;
    loop_.AskAndWait([&](const SchedulerCore& core, uint64_t) { view = *core.GetJob(job); });
    return view;
  }

  JobStore jobs_;
  TaskIntake submissions_;
  CoreLoop loop_;
  Intake intake_;
  JobId job_ = 0;
  AttemptRef attempt_;
  std::vector<AttemptRef> assigned_;
  bool known_ = true;
};

std::string SmallFrame(uint32_t number = 0) {
  v1::GraphBatch batch = SmallGraph();
  batch.set_number(number);
  return Frame(batch.SerializeAsString());
}

TEST_F(TaskIntakeTest, AnEarlyBatchBecomesAJobBelow) {
  const Result first = Submit(0, SmallFrame());
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.job, job_ + 1);
  EXPECT_EQ(jobs_.Header(first.job)->name, "top/map[0]");
  EXPECT_EQ(jobs_.Header(first.job)->owner, "me");
  EXPECT_EQ(jobs_.TaskKey({first.job, 3}), "sum");
  EXPECT_EQ(View(first.job).parent, attempt_);
  Sync();
  EXPECT_TRUE(known_);
  // The same again, as after a stream broke.
  const Result again = Submit(0, SmallFrame());
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.job, first.job);
  EXPECT_EQ(View(first.job).batches, 1u);
}

TEST_F(TaskIntakeTest, WhatIsNoGraphIsRefused) {
  EXPECT_THAT(std::string(Submit(0, "garbage").status.message()), HasSubstr("damaged"));
  EXPECT_THAT(std::string(Submit(1, SmallFrame(1)).status.message()), HasSubstr("before batch 0"));
  EXPECT_THAT(std::string(Submit(0, SmallFrame(5)).status.message()),
              HasSubstr("says that it is batch 5"));
  ASSERT_TRUE(Submit(0, SmallFrame()).status.ok());
  v1::GraphBatch doubled = SmallGraph();  // templates of the same names
  doubled.set_number(1);
  EXPECT_FALSE(Submit(1, Frame(doubled.SerializeAsString())).status.ok());
  EXPECT_TRUE(Submit(0, Frame("")).status.ok());  // it was taken: nobody looks at it again
}

TEST_F(TaskIntakeTest, ABatchOfAStreamThatIsGoneIsTakenOnTheNext) {
  EXPECT_THAT(std::string(Submit(0, SmallFrame(), 99).status.message()), HasSubstr("is over"));
  const Result taken = Submit(0, SmallFrame());
  ASSERT_TRUE(taken.status.ok()) << taken.status;
  EXPECT_NE(jobs_.Find(taken.job), nullptr);
}

TEST_F(TaskIntakeTest, AHeldBatchStartsWithTheFinish) {
  SubmitHeld({SmallFrame()});
  Sync();
  const size_t before = assigned_.size();
  Finish(1);
  EXPECT_GT(assigned_.size(), before);
  EXPECT_TRUE(known_);
  EXPECT_EQ(View(job_).children, 1u);
}

TEST_F(TaskIntakeTest, AHeldBatchThatIsNoneFailsTheTask) {
  SubmitHeld({"garbage"});
  Finish(1);
  const JobView view = View(job_);
  ASSERT_EQ(view.failures.size(), 1u);
  EXPECT_EQ(view.failures[0].failure, FailureClass::kBadBody);
  EXPECT_THAT(view.failures[0].message, HasSubstr("what it submitted was refused"));
  EXPECT_EQ(view.children, 0u);
}

// The second one reads what the first one makes, and a put comes between its batches.
TEST_F(TaskIntakeTest, SeveralGraphsBecomeOneJob) {
  const Result first = Submit(0, SmallFrame());
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.first, 0u);
  const Ordinal objects = jobs_.Find(first.job)->object_count();

  const v1::GraphBatch put = graph::NextPutBatch(0, "w1", {"data", "token"});
  const Result second = Submit(1, Frame(put.SerializeAsString()), kStream, 7);
  ASSERT_TRUE(second.status.ok()) << second.status;
  EXPECT_EQ(second.job, first.job);
  EXPECT_EQ(second.first, objects);

  v1::GraphBatch reader;
  reader.add_bodies()->mutable_builtin()->set_name("concat");
  reader.mutable_bodies(0)->add_outputs()->set_name("all");
  reader.mutable_bodies(0)->mutable_outputs(0)->set_kind(v1::OutputSlot::VALUE);
  reader.add_shapes()->mutable_need()->set_cpus_milli(1000);
  reader.add_options();
  reader.add_templates()->set_name("reader");
  reader.mutable_templates(0)->set_task_count(1);
  reader.add_runs()->set_count(1);
  v1::Collection* from = reader.add_collections();
  from->set_job(first.job);
  from->set_first(second.first);
  from->set_count(1);
  from->set_stride(1);
  reader.add_input_count(1);
  reader.add_input_source(kCollectionBit);
  const Result third = Submit(2, Frame(reader.SerializeAsString()), kStream, 8);
  ASSERT_TRUE(third.status.ok()) << third.status;
  EXPECT_EQ(third.first, objects + 1);
  EXPECT_EQ(jobs_.Find(first.job)->ObjectName(third.first), "reader.all");

  const v1::GraphBatch more = graph::NextPutBatch(1, "w1", {"more", "token"});
  const Result fourth = Submit(3, Frame(more.SerializeAsString()), kStream, 7);
  ASSERT_TRUE(fourth.status.ok()) << fourth.status;
  EXPECT_EQ(fourth.first, objects + 2);
  EXPECT_EQ(Submit(1, "", kStream, 7).first, second.first);  // again
  EXPECT_EQ(View(first.job).batches, 4u);
}

class LongNameTest : public TaskIntakeTest {
 protected:
  LongNameTest() : TaskIntakeTest(std::string(limits::kJobNameBytes - 1, 'n') + "\xff") {}
};

TEST_F(LongNameTest, OfALongNameTheEndStays) {
  const std::string name = jobs_.Header(Submit(0, SmallFrame()).job)->name;
  EXPECT_LE(name.size(), limits::kJobNameBytes);
  EXPECT_TRUE(name.starts_with("...n")) << name;
  EXPECT_TRUE(name.ends_with("n\\xff/map[0]")) << name;
}

}  // namespace
}  // namespace taskd::scheduler
