#include "worker/exec/reactor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;

TEST(ReactorTest, TimersFireInOrderOfTimeAndCanBeCancelled) {
  Reactor reactor;
  std::vector<int> order;
  std::promise<void> finished;
  reactor.Post([&] {
    const uint64_t now = MonotonicNs();
    reactor.AddTimer(now + 3'000'000, [&] {
      order.push_back(3);
      finished.set_value();
    });
    Reactor::Timer cancelled = reactor.AddTimer(now + 2'000'000, [&] { order.push_back(2); });
    reactor.AddTimer(now + 1'000'000, [&, cancelled] {
      order.push_back(1);
      reactor.CancelTimer(cancelled);
      reactor.CancelTimer(cancelled);
      reactor.CancelTimer({});
    });
  });
  finished.get_future().wait();
  EXPECT_THAT(order, ElementsAre(1, 3));
}

TEST(ReactorTest, ATimerOfThePastFiresAtOnce) {
  Reactor reactor;
  std::promise<void> finished;
  reactor.Post([&] { reactor.AddTimer(1, [&] { finished.set_value(); }); });
  finished.get_future().wait();
}

TEST(ReactorTest, PostedWorkRunsBeforeTheEnd) {
  int count = 0;
  {
    Reactor reactor;
    for (int i = 0; i < 1000; ++i) reactor.Post([&] { ++count; });
  }
  EXPECT_EQ(count, 1000);
}

}  // namespace
}  // namespace taskd::worker
