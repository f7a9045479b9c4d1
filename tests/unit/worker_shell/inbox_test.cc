#include "worker/shell/inbox.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/base/limits.h"
#include "common/io/clock.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kNeverNs = ~uint64_t{0};

TEST(InboxTest, GivesItemsInOrderAndWaitsForThem) {
  Inbox inbox;
  std::thread poster([&] {
    for (uint32_t i = 1; i <= 100; ++i) inbox.Post(event::ReplicaLost{{{1, i}, 1}});
  });
  uint32_t next = 1;
  while (next <= 100) {
    for (InboxItem& item : inbox.Take(kNeverNs)) {
      EXPECT_EQ(std::get<event::ReplicaLost>(std::get<Event>(item)).object.object.ordinal, next++);
    }
  }
  poster.join();
}

TEST(InboxTest, ReturnsAtTheTimeWithNothing) {
  Inbox inbox;
  EXPECT_TRUE(inbox.Take(0).empty());
  const uint64_t due = io::NowNs() + 2'000'000;
  EXPECT_TRUE(inbox.Take(due).empty());
  EXPECT_GE(io::NowNs(), due);
}

TEST(InboxTest, SaysWhenItIsFullAndResumesWhenItIsTaken) {
  Inbox inbox;
  int resumed = 0;
  EXPECT_TRUE(inbox.Post(event::Shutdown{}));
  EXPECT_FALSE(inbox.Post(event::Shutdown{}, limits::kEventQueueItems));
  inbox.WhenRoom([&] { ++resumed; });
  EXPECT_EQ(resumed, 0);
  EXPECT_EQ(inbox.Take(0).size(), 2u);
  EXPECT_EQ(resumed, 1);
  EXPECT_TRUE(inbox.Post(event::Shutdown{}));
  inbox.Take(0);
  EXPECT_EQ(resumed, 1);
  inbox.WhenRoom([&] { ++resumed; });
  EXPECT_EQ(resumed, 2);
}

}  // namespace
}  // namespace taskd::worker
