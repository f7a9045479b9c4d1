#include "scheduler/shell/core_loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "common/base/limits.h"

namespace taskd::scheduler {
namespace {

class CountingSink : public ActionSink {
 public:
  void OnActions(uint64_t, const SchedulerCore&, std::span<Action> actions) override {
    for (const Action& action : actions)
      refusals += std::holds_alternative<action::Welcome>(action);
  }
  uint64_t OnTime(uint64_t now_ns, const SchedulerCore&) override {
    if (++calls >= 3) return kNever;
    return now_ns + 1'000'000;
  }
  std::atomic<int> refusals = 0;
  std::atomic<int> calls = 0;
};

TEST(CoreLoop, QuestionsSeeWhatWasPostedBefore) {
  CoreLoop loop({}, {});
  loop.Start();
  for (uint64_t i = 1; i <= 50; ++i) {
    loop.Request(
        [i](Token token) {
          return event::OpenJob{token, i, i, 0};
        },
        [](const auto&, const auto&, uint64_t) {});
    size_t jobs = 0;
    loop.AskAndWait([&](const SchedulerCore& core, uint64_t) {
      JobId next;
      jobs = core.ListJobs(0, 1000, &next).size();
    });
    EXPECT_EQ(jobs, i);
  }
}

TEST(CoreLoop, RepliesReachWhoAsked) {
  CoreLoop loop({}, {});
  loop.Start();
  std::vector<std::future<JobId>> jobs;
  for (uint64_t i = 1; i <= 20; ++i) {
    auto answer = std::make_shared<std::promise<JobId>>();
    jobs.push_back(answer->get_future());
    loop.Request(
        [i](Token token) {
          return event::OpenJob{token, i, i, 0};
        },
        [answer](const action::Reply& reply, const SchedulerCore&, uint64_t) {
          answer->set_value(reply.job);
        });
  }
  for (JobId i = 1; i <= 20; ++i) EXPECT_EQ(jobs[i - 1].get(), i);
}

TEST(CoreLoop, SinksSeeActionsAndTimes) {
  CountingSink sink;
  CoreLoop loop({}, {&sink});
  loop.Start();
  loop.Post(event::WorkerHello{1, 10, 20, {1000, 1}, 1});
  loop.AskAndWait([](const SchedulerCore&, uint64_t) {});
  EXPECT_EQ(sink.refusals, 1);
  while (sink.calls < 3)
    std::this_thread::yield();  // the times that it asked for come by themselves
}

TEST(CoreLoop, AFullQueueSaysSoAndCallsWhenThereIsRoom) {
  CoreLoop loop({}, {});
  loop.Start();
  std::promise<void> entered, leave;
  loop.Ask([&](const SchedulerCore&, uint64_t) {
    entered.set_value();
    leave.get_future().wait();
  });
  entered.get_future().wait();
  EXPECT_TRUE(loop.Post(event::WorkerReport{1}));
  EXPECT_FALSE(loop.Post(event::WorkerReport{1}, limits::kEventQueueItems));
  std::promise<void> room;
  bool called = false;
  loop.WhenRoom([&] {
    called = true;
    room.set_value();
  });
  EXPECT_FALSE(called);
  EXPECT_EQ(loop.stats().queue_items, limits::kEventQueueItems + 1);
  leave.set_value();
  room.get_future().wait();
  loop.WaitForRoom();
}

}  // namespace
}  // namespace taskd::scheduler
