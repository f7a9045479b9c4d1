#include "common/base/ids.h"

#include <gtest/gtest.h>

#include "absl/container/flat_hash_set.h"
#include "common/base/names.h"

namespace taskd {
namespace {

TEST(Ids, Text) {
  EXPECT_EQ(ToString(TaskId{3, 17}), "3@17");
  EXPECT_EQ(ToString(ObjectId{3, 17}), "3.o17");
  EXPECT_EQ(ToString(AttemptRef{{3, 17}, MakeAttemptId(5, 2)}), "3@17#2");
  EXPECT_EQ(ToString(WorkerId{4, 1}), "w4.1");
}

TEST(Ids, AttemptsKeepTheStartInTheirHighBits) {
  EXPECT_EQ(MakeAttemptId(1, 1), (1u << 20) + 1);
  EXPECT_EQ(MakeAttemptId(4095, 0xFFFFF), 0xFFFFFFFFu);
  EXPECT_LT(MakeAttemptId(1, 0xFFFFF), MakeAttemptId(2, 1)) << "a later start is larger";
}

TEST(Ids, NoneIsFalse) {
  EXPECT_FALSE(WorkerId());
  EXPECT_FALSE((WorkerId{7, 0}));
  EXPECT_TRUE((WorkerId{0, 1}));
}

TEST(Ids, PackedWorkerComesBack) {
  for (WorkerId id : {WorkerId{0, 0}, WorkerId{0, 1}, WorkerId{1, 0}, WorkerId{65535, 65535},
                      WorkerId{258, 772}}) {
    EXPECT_EQ(WorkerId::FromPacked(id.packed()), id);
  }
}

TEST(Ids, OrderIsJobThenOrdinalThenAttempt) {
  const AttemptRef in_order[] = {{{1, 1}, 1}, {{1, 1}, 2}, {{1, 2}, 1}, {{2, 0}, 0}};
  for (int i = 0; i < 3; ++i) EXPECT_LT(in_order[i], in_order[i + 1]);
  const ObjectVersion versions[] = {{{1, 5}, 9}, {{1, 6}, 1}, {{2, 0}, 0}};
  for (int i = 0; i < 2; ++i) EXPECT_LT(versions[i], versions[i + 1]);
}

TEST(Ids, HashDistinguishesWhatDiffers) {
  absl::flat_hash_set<ObjectVersion> set;
  for (uint32_t job = 1; job < 5; ++job) {
    for (uint32_t o = 0; o < 5; ++o) {
      for (uint32_t v = 1; v < 5; ++v) EXPECT_TRUE(set.insert({{job, o}, v}).second);
    }
  }
  EXPECT_TRUE(set.contains(ObjectVersion{{2, 3}, 4}));
  EXPECT_FALSE(set.contains(ObjectVersion{{2, 3}, 5}));
}

TEST(Names, EveryValueHasItsOwn) {
  EXPECT_EQ(Name(TaskState::kCancelled), "cancelled");
  EXPECT_EQ(Name(AttemptState::kCancelling), "cancelling");
  EXPECT_EQ(Name(AttemptEnd::kLost), "lost");
  EXPECT_EQ(Name(FailureClass::kInputLost), "input_lost");
  EXPECT_EQ(Name(kLastFailureClass), "unschedulable");
  EXPECT_EQ(Name(WaitReason::kWorkerAway), "worker_away");
  EXPECT_EQ(Name(kLastWaitReason), "yielded");
  EXPECT_EQ(Name(WorkerState::kLost), "lost");
  EXPECT_EQ(Name(JobState::kCancelled), "cancelled");
  EXPECT_EQ(Name(static_cast<TaskState>(0)), "unknown");
  EXPECT_EQ(Name(static_cast<FailureClass>(99)), "unknown");
  absl::flat_hash_set<std::string> seen;
  for (uint8_t i = 0; i <= static_cast<uint8_t>(kLastFailureClass); ++i) {
    EXPECT_TRUE(seen.insert(std::string(Name(static_cast<FailureClass>(i)))).second) << int{i};
  }
}

}  // namespace
}  // namespace taskd
