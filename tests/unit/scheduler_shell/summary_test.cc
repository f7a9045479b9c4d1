// The sentence that `taskctl task explain` begins with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/shell/describe.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

class SummaryTest : public testing::Test {
 protected:
  SummaryTest() : core_(Config{}) {
    directory_.Set(kWorker, {"node1"});
    view_.task.task = {3, 7};
    view_.task.worker = kWorker;
    view_.task.attempts = 1;
  }
  std::string Summary() const { return Describer(core_, jobs_, directory_, 0).Summary(view_); }

  const WorkerId kWorker{4, 1};
  SchedulerCore core_;
  JobStore jobs_;
  WorkerDirectory directory_;
  Explanation view_;
};

TEST_F(SummaryTest, EveryReasonHasASentenceOfItsOwn) {
  view_.inputs = {{{3, 1}, TaskState::kActive, false}};
  view_.inputs_missing = 3;
  view_.inputs_total = 5;
  view_.workers = {{kWorker, false, false, {LimitKind::kCpus, 4000, 16000}}};
  struct Case {
    WaitReason reason;
    const char* message;
  };
  for (const Case& c :
       {Case{WaitReason::kInputs,
             "waits for object 1 of job 3 (its task is active) and 2 more of its 5 inputs"},
        {WaitReason::kInputRebuild, "was lost and is being made again"},
        {WaitReason::kInputAway, "to come back"},
        {WaitReason::kBehindOthers, "every worker that fits is busy (node1 has 4 cpus"},
        {WaitReason::kNoWorker, "no worker is connected; start one"},
        {WaitReason::kUnschedulable,
         "no connected worker fits (node1 has 4 cpus, the task needs 16)"},
        {WaitReason::kBackoff, "tried again after a pause"},
        {WaitReason::kDrain, "draining or away"},
        {WaitReason::kHeld, "submitted by a task that has not succeeded yet"},
        {WaitReason::kYielded, "gave its slot back"},
        {WaitReason::kJobOpen, "sealed"}}) {
    view_.task.state = TaskState::kReady;
    view_.task.reason = c.reason;
    EXPECT_THAT(Summary(),
                testing::AllOf(testing::StartsWith("task 7 of job 3"), HasSubstr(c.message)));
  }
}

TEST_F(SummaryTest, WhereItRuns) {
  view_.task.state = TaskState::kActive;
  view_.task.reason = WaitReason::kAtWorker;
  view_.attempts = {{1, kWorker, AttemptState::kAssigned}};
  EXPECT_THAT(Summary(), HasSubstr("is at node1: it fetches"));
  view_.task.running = true;
  view_.task.reason = WaitReason::kNone;
  view_.attempts = {{1, kWorker, AttemptState::kRunning}};
  view_.attempts[0].run_ns = 2'000'000'000;
  EXPECT_THAT(Summary(), HasSubstr("has been running on node1 for 2"));
}

TEST_F(SummaryTest, HowItFailed) {
  view_.task.state = TaskState::kFailed;
  view_.task.culprit = 7;
  view_.failure = {{3, 7}, 1,       FailureClass::kExit,
                   3,      kWorker, "it ended with exit code 3:\nno such file\n"};
  EXPECT_THAT(
      Summary(),
      HasSubstr("exited with code 3 on node1: no such file; its output is in taskctl task logs 3"));
  view_.task.culprit = 2;
  EXPECT_THAT(Summary(),
              HasSubstr("cannot run because task 2 of job 3, which it depends on, failed"));
}

}  // namespace
}  // namespace taskd::scheduler
