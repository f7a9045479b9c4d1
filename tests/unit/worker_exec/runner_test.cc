// Functions in processes of their own: which process they get, and what they may do to it. Libraries and the
// rest of the behaviour are tested with real daemons (tests/integration/runners_test.py).
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "tests/unit/worker_exec/exec_fixture.h"

namespace taskd::worker {
namespace {

Task Native(const std::string& function, uint32_t ordinal = 1) {
  Task task(ordinal);
  task.body.mutable_native()->set_library(TEST_OPS);
  task.body.mutable_native()->set_function(function);
  return task;
}

class RunnerPoolTest : public testing::Test {
 protected:
  RunnerPoolTest() { Make({}); }

  void Make(RunnerPool::Options options) {
    options.run_path = home_.path();
    pool_.reset();
    pool_ = std::make_unique<RunnerPool>(reactor_, files_, nullptr, options);
  }

  // On the reactor's thread, to which the pool belongs.
  void Do(const std::function<void()>& what) {
    std::promise<void> done;
    reactor_.Post([&] {
      what();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::shared_ptr<Runner> Start(const std::string& key) {
    std::shared_ptr<Runner> runner;
    const ExecError error = pool_->Start({"it", key, {RUNNER_PROGRAM}, {}}, runner);
    EXPECT_TRUE(error.ok()) << error.message;
    Do([&] { pool_->Attach(runner); });
    return runner;
  }
  // Its pid; 0: none is idle.
  pid_t Take(const std::string& key) {
    pid_t pid = 0;
    Do([&] {
      if (auto runner = pool_->Take(key)) pid = runner->pid();
    });
    return pid;
  }
  void GiveBack(const std::shared_ptr<Runner>& runner) {
    Do([&] { pool_->GiveBack(runner); });
  }
  size_t Live() {
    size_t live = 0;
    Do([&] { live = pool_->live(); });
    return live;
  }
  // Gone and reaped.
  static void AwaitEnd(pid_t pid) {
    while (kill(pid, 0) == 0) std::this_thread::yield();
  }

  TempDir home_;
  Reactor reactor_;
  io::ThreadPool files_{2};
  std::unique_ptr<RunnerPool> pool_;
};

TEST_F(RunnerPoolTest, OfTheSameKeyTheOneThatWasUsedLast) {
  const auto a = Start("k"), b = Start("k");
  EXPECT_EQ(Take("k"), 0);  // both have work
  GiveBack(a);
  GiveBack(b);
  EXPECT_EQ(Take("other"), 0);
  EXPECT_EQ(Take("k"), b->pid());
  EXPECT_EQ(Take("k"), a->pid());
  EXPECT_EQ(Take("k"), 0);
}

TEST_F(RunnerPoolTest, RoomForAnotherKind) {
  const auto a = Start("a"), b = Start("b");
  GiveBack(a);
  GiveBack(b);
  Do([&] { pool_->MakeRoom(); });
  AwaitEnd(a->pid());  // it has waited longest
  EXPECT_EQ(Take("a"), 0);
  EXPECT_EQ(Take("b"), b->pid());
}

TEST_F(RunnerPoolTest, NoMoreAreKeptThanMay) {
  const auto a = Start("k"), b = Start("k"), c = Start("k");
  EXPECT_EQ(Live(), 3u);
  for (const auto& runner : {a, b, c}) GiveBack(runner);
  AwaitEnd(a->pid());
  EXPECT_EQ(Live(), 2u);
}

TEST_F(RunnerPoolTest, IdleOnesEnd) {
  Make({.run_path = "", .kept = 2, .idle_ns = 1'000'000});
  const auto a = Start("k");
  GiveBack(a);
  AwaitEnd(a->pid());
  EXPECT_EQ(Take("k"), 0);
}

TEST_F(RunnerPoolTest, WhoDiedIsNotGivenOut) {
  const auto a = Start("k");
  GiveBack(a);
  kill(a->pid(), SIGKILL);
  AwaitEnd(a->pid());
  EXPECT_EQ(Take("k"), 0);
  EXPECT_EQ(Live(), 0u);
}

TEST_F(RunnerPoolTest, EndsAllOfThem) {
  const auto a = Start("a"), b = Start("b");
  GiveBack(a);
  pool_.reset();
  AwaitEnd(a->pid());
  AwaitEnd(b->pid());
}

TEST_F(RunnerPoolTest, ProgramThatIsMissing) {
  std::shared_ptr<Runner> runner;
  const ExecError error = pool_->Start({"it", "k", {"/nowhere/taskd-runner"}, {}}, runner);
  EXPECT_EQ(error.failure, FailureClass::kCannotStart);
  EXPECT_NE(error.message.find("/nowhere/taskd-runner: No such file or directory"),
            std::string::npos)
      << error.message;
}

class RunnerTest : public ExecFixture {
 protected:
  // Runs it, and gives the output.
  std::string Value(const Task& task) {
    event::ExecDone done = Run(task);
    EXPECT_EQ(done.end, AttemptEnd::kFinished) << done.message;
    std::string value = Output();
    store_.Drop(OutputKey(task.assignment, 0));
    return value;
  }
};

TEST_F(RunnerTest, GrantsDecideWhichProcessRuns) {
  Task task = Native("pid").Out("p", v1::OutputSlot::VALUE);
  const std::string first = Value(task);
  EXPECT_EQ(Value(task), first);
  task.assignment.need.cpus_milli = 2000;  // its libraries have read OMP_NUM_THREADS
  EXPECT_NE(Value(task), first);
}

TEST_F(RunnerTest, InputThatIsGoneIsNoFailure) {
  event::ExecDone done = Run(Native("noop").In("x", v1::InputSlot::OBJECT, {{{1, 9}, 1}}));
  EXPECT_EQ(done.end, AttemptEnd::kStuck);
  EXPECT_EQ(done.failure, FailureClass::kNone);
}

TEST_F(RunnerTest, LargeInput) {
  const ObjectVersion x = Put(9, std::string(1 << 20, 'x'));
  Task task = Native("sum").In("x", v1::InputSlot::OBJECT, {x}).Out("o", v1::OutputSlot::VALUE);
  EXPECT_EQ(Value(task).substr(0, 17), "1048576 125829120");
}

TEST_F(RunnerTest, KilledBeforeItHasAProcess) {
  for (int round = 0; round < 20; ++round) {
    Task task = Native("hang");
    task.args.add_values()->set_name("mark");
    task.args.mutable_values(0)->set_value(files_.path() + "-mark");
    EXPECT_FALSE(Start(task).has_value());
    executor_->Kill(task.assignment.attempt);
    EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
  }
  unlink((files_.path() + "-mark").c_str());
}

TEST_F(RunnerTest, ManyOutputs) {
  Task task = Native("noop");
  for (int i = 0; i < 1000; ++i) task.Out("o" + std::to_string(i), v1::OutputSlot::VALUE);
  event::ExecDone done = Run(task);
  EXPECT_EQ(done.end, AttemptEnd::kFinished) << done.message;
  EXPECT_EQ(done.outputs.size(), 1000u);
}

TEST_F(RunnerTest, OutputsOfCommandsAreRefused) {
  event::ExecDone done = Run(Native("noop").Out("o", v1::OutputSlot::FILE, "o"));
  EXPECT_EQ(done.failure, FailureClass::kBadBody);
  EXPECT_EQ(done.message, "output 'o': a function makes values");
}

}  // namespace
}  // namespace taskd::worker
