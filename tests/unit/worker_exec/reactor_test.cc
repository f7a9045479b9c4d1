#include "worker/exec/reactor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

struct Pipe {
  Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0); }
  ~Pipe() {
    for (int fd : ends) close(fd);
  }
  int in() const { return ends[0]; }
  void Fill() const { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  int ends[2];
};

TEST(ReactorTest, AnyThreadMayBeginToWatch) {
  Pipe pipe;
  Reactor reactor;
  pipe.Fill();
  std::promise<void> seen;
  reactor.Watch(pipe.in(), [&] {
    reactor.Unwatch(pipe.in());
    seen.set_value();
  });
  seen.get_future().wait();
}

// Both are readable in one round; the first one's callback puts another pipe in the place of the second.
TEST(ReactorTest, AnEventOfAClosedDescriptorIsNotThatOfTheNextWithItsNumber) {
  Pipe first, second, third;
  int called = 0;
  std::promise<void> finished;
  {
    Reactor reactor;
    reactor.Post([&] {
      reactor.Watch(first.in(), [&] {
        reactor.Unwatch(first.in());
        reactor.Unwatch(second.in());
        EXPECT_EQ(dup3(third.in(), second.in(), O_CLOEXEC), second.in());
        reactor.Watch(second.in(), [&] { ++called; });
        reactor.Post([&] { finished.set_value(); });
      });
      reactor.Watch(second.in(), [&] { ++called; });
      first.Fill();
      second.Fill();
    });
    finished.get_future().wait();
  }
  EXPECT_EQ(called, 0);
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
