#include <gmock/gmock.h>

#include "common/base/crc32c.h"
#include "tests/unit/worker_exec/exec_fixture.h"

namespace taskd::worker {
namespace {

using ::testing::HasSubstr;
constexpr auto VALUE = v1::OutputSlot::VALUE;
constexpr auto AXIS = v1::InputSlot::AXIS;
constexpr uint64_t kLongNs = 1'000'000'000'000;

using BuiltinTest = ExecFixture;

TEST_F(BuiltinTest, NoopIsOverAtOnceWithEmptyOutputs) {
  std::optional<event::ExecDone> done =
      Start(Task().Builtin("noop").Out("a", VALUE).Out("b", VALUE));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->end, AttemptEnd::kFinished);
  ASSERT_EQ(done->outputs.size(), 2u);
  EXPECT_EQ(done->outputs[0].size_bytes, 0u);
  EXPECT_EQ(Output(1), "");
  EXPECT_EQ(store_.totals().objects, 2u);
}

TEST_F(BuiltinTest, SleepTakesItsTimeAndCanBeKilled) {
  event::ExecDone done = Run(Task().Builtin("sleep", 20'000'000).Out("a", VALUE));
  EXPECT_EQ(done.end, AttemptEnd::kFinished);
  EXPECT_GE(done.run_ns, 20'000'000u);
  ASSERT_FALSE(Start(Task(2).Builtin("sleep", kLongNs)));
  executor_->Kill({{1, 2}, 1});
  EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
}

TEST_F(BuiltinTest, ThousandsOfSleepsNeedNoThreads) {
  for (uint32_t i = 1; i <= 2000; ++i) ASSERT_FALSE(Start(Task(i).Builtin("sleep", 50'000'000)));
  for (uint32_t i = 1; i <= 2000; ++i) EXPECT_EQ(Wait().end, AttemptEnd::kFinished);
}

TEST_F(BuiltinTest, TimeLimits) {
  for (const char* name : {"sleep", "busy"}) {
    Task task;
    task.Builtin(name, kLongNs).assignment.time_limit_ns = 10'000'000;
    event::ExecDone done = Run(task);
    EXPECT_EQ(done.failure, FailureClass::kTimeout) << name;
  }
}

TEST_F(BuiltinTest, BusyCanBeKilled) {
  ASSERT_FALSE(Start(Task().Builtin("busy", kLongNs)));
  executor_->Kill({{1, 1}, 1});
  EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
}

TEST_F(BuiltinTest, GenerateDependsOnTheKeyOnly) {
  Task task;
  task.Builtin("generate", 0, 300'001).Out("a", VALUE).Out("b", VALUE);
  event::ExecDone first = Run(task);
  ASSERT_EQ(first.end, AttemptEnd::kFinished);
  EXPECT_EQ(first.outputs[0].size_bytes, 300'001u);
  EXPECT_NE(first.outputs[0].crc32c, first.outputs[1].crc32c);
  EXPECT_EQ(Run(task).outputs, first.outputs);
  task.key = "other";
  EXPECT_NE(Run(task).outputs[0].crc32c, first.outputs[0].crc32c);
}

TEST_F(BuiltinTest, WhatWasPutBecomesTheOutputOnce) {
  const LocalKey key = puts_.NewKey();
  ASSERT_TRUE(store_.Put(key, "some bytes").ok());
  Task task;
  task.Builtin("put").Out("v", VALUE).Value("token", puts_.Keep(key, 1));
  std::optional<event::ExecDone> done = Start(task);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->end, AttemptEnd::kFinished);
  ASSERT_EQ(done->outputs.size(), 1u);
  EXPECT_EQ(done->outputs[0].size_bytes, 10u);
  EXPECT_EQ(Output(), "some bytes");
  EXPECT_FALSE(store_.Contains(key));
  done = Start(task);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->failure, FailureClass::kStore);
  EXPECT_THAT(done->message, HasSubstr("put it again"));
}

TEST_F(BuiltinTest, ConcatAndChecksumReadEveryInputInOrder) {
  const ObjectVersion a = PutParts(1, {"a0", "a1"}), b = PutParts(2, {"b0", "b1"});
  EXPECT_EQ(Run(Task().Builtin("concat").In("x", AXIS, {b, a}, {1, 2}).Out("o", VALUE)).end,
            AttemptEnd::kFinished);
  EXPECT_EQ(Output(), "b1a1");
  EXPECT_EQ(Run(Task().Builtin("checksum").In("x", AXIS, {a}).Out("o", VALUE)).end,
            AttemptEnd::kFinished);
  char line[32];
  std::snprintf(line, sizeof line, "%08x 4\n", Crc32c("a0a1"));
  EXPECT_EQ(Output(), line);
}

TEST_F(BuiltinTest, BadOnesAreNamed) {
  EXPECT_THAT(Run(Task().Builtin("nop")).message, HasSubstr("no built-in 'nop'"));
  EXPECT_THAT(Run(Task().Builtin("concat")).message, HasSubstr("one output"));
  event::ExecDone done = Run(Task().Builtin("concat").In("x", AXIS, {{{9, 9}, 9}}).Out("o", VALUE));
  EXPECT_EQ(done.end, AttemptEnd::kStuck);
}

}  // namespace
}  // namespace taskd::worker
