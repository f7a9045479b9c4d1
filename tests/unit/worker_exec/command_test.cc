#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/unit/worker_exec/exec_fixture.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
constexpr auto FILE_OUT = v1::OutputSlot::FILE;
constexpr auto PARTS = v1::OutputSlot::PARTS;
constexpr auto STDOUT = v1::OutputSlot::STDOUT;
constexpr auto OBJECT = v1::InputSlot::OBJECT;
constexpr auto AXIS = v1::InputSlot::AXIS;
constexpr auto PATH = v1::InputSlot::PATH;

const AttemptRef kAttempt{{1, 1}, 1};
const std::string kBig(limits::kHeapObjectBytes + 1, 'b');

class CommandTest : public ExecFixture {
 protected:
  void ExpectFinished(const event::ExecDone& done) {
    EXPECT_EQ(done.end, AttemptEnd::kFinished) << done.message;
    EXPECT_GT(done.run_ns, 0u);
  }
  void ExpectFailed(const event::ExecDone& done, FailureClass failure, const std::string& text) {
    EXPECT_EQ(done.end, AttemptEnd::kFailed);
    EXPECT_EQ(done.failure, failure) << done.message;
    EXPECT_THAT(done.message, HasSubstr(text));
    EXPECT_THAT(done.outputs, IsEmpty());
    EXPECT_FALSE(store_.Contains({{{1, 100}, 1}, {}}));
  }
};

TEST_F(CommandTest, WritesAFileAndStdout) {
  event::ExecDone done = Run(Task()
                                 .Sh("echo one > \"$out_a\"; echo two")
                                 .Out("a", FILE_OUT, "d/e/a.txt")
                                 .Out("b", STDOUT));
  ExpectFinished(done);
  ASSERT_EQ(done.outputs.size(), 2u);
  EXPECT_EQ(Output(0), "one\n");
  EXPECT_EQ(Output(1), "two\n");
  EXPECT_EQ(done.outputs[1].size_bytes, 4u);
}

TEST_F(CommandTest, FolderIsFreshAndRemovedAfterwards) {
  ExpectFinished(Run(Task().Sh("ls; touch x").Out("o", STDOUT)));
  EXPECT_EQ(Output(), "tmp\n");
  executor_.reset();  // joins the threads that clean up
  EXPECT_TRUE(std::filesystem::is_empty(run_.path()));
}

// Its folders are used again when there are enough of them, also for one that a process was left in.
TEST_F(CommandTest, NothingOfAnEarlierAttemptIsThere) {
  for (uint32_t i = 0; i < 2 * limits::kSpareFoldersLooked + 1; ++i) {
    ExpectFinished(Run(Task()
                           .Sh("find . -mindepth 1 | sort; pwd >> \"$all\"; mkdir -p d/e .in; "
                               "touch x d/e/y tmp/z .h; cd d; setsid sleep 0.2 > /dev/null 2>&1 &")
                           .Value("all", files_ / "all")
                           .Out("o", STDOUT)));
    ASSERT_EQ(Output(), "./.stdout\n./tmp\n") << "attempt " << i;
  }
  std::istringstream folders(ReadFile(files_ / "all"));
  std::set<std::string> names;
  for (std::string line; std::getline(folders, line);) names.insert(line);
  EXPECT_EQ(names.size(), 2 * limits::kSpareFoldersLooked + 1);
}

TEST_F(CommandTest, ItsUnitsOfPoolsAreNamed) {
  pools_ = {{3, {"gpus", {"GPU-a", "GPU-b"}}}, {4, {"worker.fpga", {}}}};
  MakeExecutor(0);
  Task task;
  task.Sh("env | grep -e CUDA -e UNITS | sort").Out("o", STDOUT);
  ExpectFinished(Run(task));
  EXPECT_EQ(Output(), "CUDA_VISIBLE_DEVICES=\n");
  task.units = {{3, 1, 1000}, {3, 2, 500}, {4, 7, 1000}};
  ExpectFinished(Run(task));
  EXPECT_EQ(Output(),
            "CUDA_VISIBLE_DEVICES=GPU-b,2\nTASKD_UNITS_gpus=GPU-b,2\nTASKD_UNITS_worker_fpga=7\n");
  task.Value("CUDA_VISIBLE_DEVICES", "5");
  ExpectFinished(Run(task));
  EXPECT_THAT(Output(), HasSubstr("CUDA_VISIBLE_DEVICES=5\n"));
}

TEST_F(CommandTest, EnvironmentIsSmallAndSpeaksOfTheTask) {
  setenv("TASKD_SECRET_OF_THE_DAEMON", "x", 1);
  Task task;
  task.key = "map[3]";
  task.Sh("env | sort").Out("o", STDOUT).Value("axis", "a b {c}");
  auto* var = task.body.add_vars();
  var->set_name("maps");
  var->set_value("64");
  task.assignment.need.cpus_milli = 1500;
  ExpectFinished(Run(task));
  const std::string env = Output();
  for (const char* line : {"axis=a b {c}\n", "maps=64\n", "TASKD_JOB=1\n", "TASKD_TASK=map[3]\n",
                           "TASKD_ATTEMPT=1\n", "TASKD_CPUS=2\n", "OMP_NUM_THREADS=2\n",
                           "out_o=/dev/stdout\n", "PATH=", "HOME=", "LANG="}) {
    EXPECT_THAT(env, HasSubstr(line));
  }
  EXPECT_THAT(env, Not(HasSubstr("SECRET")));
}

TEST_F(CommandTest, InputsAreFilesWhereverTheyAreKept) {
  const ObjectVersion small = Put(1, "small"), big = Put(2, kBig);
  ExpectFinished(Run(Task()
                         .Sh("cat \"$in_s\" \"$in_b\"; echo $in_s $in_b >&2")
                         .In("s", OBJECT, {small})
                         .In("b", OBJECT, {big})
                         .Out("o", STDOUT)));
  EXPECT_EQ(Output(), "small" + kBig);
  EXPECT_EQ(executor_->logs().Find(kAttempt)->Read().err, ".in/s .in/b\n");
}

TEST_F(CommandTest, AnAxisIsAFolderInOrderWithAList) {
  std::vector<ObjectVersion> objects;
  for (uint32_t i = 0; i < 11; ++i) objects.push_back(Put(i + 1, std::to_string(i) + " "));
  ExpectFinished(
      Run(Task()
              .Sh("cat \"$in_r\"/*; tail -n1 \"$in_r_list\"; xargs cat < \"$in_r_list\" | wc -c")
              .In("r", AXIS, objects)
              .Out("o", STDOUT)));
  EXPECT_EQ(Output(), "0 1 2 3 4 5 6 7 8 9 10 .in/r/10\n23\n");
}

TEST_F(CommandTest, PartsOfObjectsAreFilesOfTheirOwn) {
  const ObjectVersion a = PutParts(1, {"a0", "a1", "a2"}), b = PutParts(2, {"b0", "", kBig});
  ExpectFinished(Run(Task().Sh("cat \"$in_r\"/*").In("r", AXIS, {a, b}, {1, 2}).Out("o", STDOUT)));
  EXPECT_EQ(Output(), "a1");
  ExpectFinished(Run(Task().Sh("cat \"$in_r\"/*").In("r", AXIS, {a, b}, {1, 3}).Out("o", STDOUT)));
  EXPECT_EQ(Output(), "a1a2" + kBig);
}

TEST_F(CommandTest, AFetchedSelectionStandsForItsParts) {
  const ObjectVersion id{{1, 5}, 1};
  ASSERT_TRUE(store_.Put({id, {1, 2}}, "only part 1").ok());
  ExpectFinished(Run(Task().Sh("cat \"$in_r\"").In("r", OBJECT, {id}, {1, 2}).Out("o", STDOUT)));
  EXPECT_EQ(Output(), "only part 1");
}

TEST_F(CommandTest, PartsAreOneObjectAndAMissingFileIsEmpty) {
  ExpectFinished(Run(
      Task().Sh("for k in 0 2 3; do echo $k > \"$out_p/$k\"; done").Out("p", PARTS, "p/{k}", 4)));
  EXPECT_EQ(Output(0), "0\n2\n3\n");
  EXPECT_EQ(Output(0, {1, 2}), "");
  EXPECT_EQ(Output(0, {2, 4}), "2\n3\n");
}

TEST_F(CommandTest, ListsAndPathsHaveNames) {
  WriteFile(files_ / "outside", "outside");
  Task task;
  task.Sh("cat \"$m_list\" \"$in_f\"")
      .Out("o", STDOUT)
      .In("f", PATH, {})
      .Path("f", files_ / "outside");
  auto* list = task.args.add_lists();
  list->set_name("m_list");
  list->set_value("x\ny\n");
  ExpectFinished(Run(task));
  EXPECT_EQ(Output(), "x\ny\noutside");
}

TEST_F(CommandTest, ArgvWordsAreNotSplitOrRewritten) {
  Task task;
  task.Argv({"printf", "%s|"})
      .Value("v", "a  $HOME")
      .Out("o", STDOUT)
      .In("i", OBJECT, {Put(1, "")});
  auto* word = task.body.mutable_command()->add_argv();
  word->add_pieces()->set_value("v");
  word->add_pieces()->set_literal("-");
  word->add_pieces()->set_input("i");
  ExpectFinished(Run(task));
  EXPECT_EQ(Output(), "a  $HOME-.in/i|");
}

TEST_F(CommandTest, FailuresAreNamed) {
  Task exit3 = Task().Sh("echo oops >&2; exit 3").Out("o", STDOUT);
  event::ExecDone done = Run(exit3);
  ExpectFailed(done, FailureClass::kExit, "exit code 3; its stderr ends:\noops\n");
  EXPECT_EQ(done.exit_code, 3);

  done = Run(Task().Sh("kill -9 $$"));
  ExpectFailed(done, FailureClass::kSignal, "signal 9");
  EXPECT_EQ(done.exit_code, 9);

  ExpectFailed(Run(Task().Argv({"no-such-program"})), FailureClass::kCannotStart,
               "cannot start 'no-such-program'");
  ExpectFailed(Run(Task().Argv({"/etc/passwd"})), FailureClass::kCannotStart,
               "/etc/passwd': Permission denied");
  ExpectFailed(Run(Task().Argv({"./nope"})), FailureClass::kCannotStart, "'./nope': No such file");
  ExpectFailed(Run(Task().Sh(": > a").Out("a", FILE_OUT, "a").Out("c", FILE_OUT, "c.csv")),
               FailureClass::kOutputMissing,
               "output 'c' was not written: the command left no file 'c.csv'");
  ExpectFailed(Run(Task().Sh(":").In("f", PATH, {}).Path("f", "/no/such")),
               FailureClass::kInputPath, "/no/such");
}

TEST_F(CommandTest, ALostInputIsNoFailureOfTheBody) {
  const ObjectVersion big = Put(1, kBig);
  ASSERT_EQ(unlink((files_ / "0").c_str()), 0);
  event::ExecDone done = Run(Task().Sh(":").In("x", OBJECT, {big}));
  EXPECT_EQ(done.end, AttemptEnd::kStuck);
  EXPECT_EQ(done.failure, FailureClass::kNone);
  EXPECT_THAT(done.message, HasSubstr(".in/x"));
  EXPECT_THAT(lost_, ElementsAre(big));
}

TEST_F(CommandTest, BodiesThatDoNotFitAreRefused) {
  const auto bad = [&](const Task& task, const std::string& text) {
    ExpectFailed(Run(task), FailureClass::kBadBody, text);
  };
  bad(Task().Sh(":").Out("o", FILE_OUT, "../up"), "../up");
  bad(Task().Sh(":").Out("o", FILE_OUT, "/etc/x"), "/etc/x");
  bad(Task().Sh(":").Out("o", FILE_OUT, "a//b"), "a//b");
  bad(Task().Sh(":").Out("o", PARTS, "p", 3), "{k}");
  bad(Task().Sh(":").Out("o", v1::OutputSlot::FOLDER, "d"), "yet");
  bad(Task().Sh(":").Value("a=b", "x"), "a=b");
  bad(Task().Sh(":").Value("a", std::string("x\0y", 3)), "zero byte");
  bad(Task().Sh(":").In("x", OBJECT, {Put(1, ""), Put(2, "")}), "one object");
  bad(Task().Sh(":").In("x", PATH, {}), "names none");
  bad(Task().Sh(":").In("x", OBJECT, {Put(1, "no parts")}, {0, 1}), "parts");
  bad(Task(), "not supported yet");
  Task damaged;
  damaged.Sh(":").In("x", OBJECT, {Put(1, "")});
  damaged.assignment.edges[0].count = 2;
  bad(damaged, "damaged");
}

TEST_F(CommandTest, AnOutputMustBeAFileOfTheTask) {
  ExpectFailed(Run(Task().Sh("ln -s /etc/passwd o").Out("o", FILE_OUT, "o")),
               FailureClass::kOutputMissing, "link");
  ExpectFailed(Run(Task().Sh("rmdir d; ln -s /etc d").Out("o", FILE_OUT, "d/passwd")),
               FailureClass::kOutputMissing, "link");
  ExpectFailed(Run(Task().Sh("mkdir o").Out("o", FILE_OUT, "o")), FailureClass::kOutputMissing,
               "folder");
  ExpectFailed(Run(Task().Sh("mkfifo o").Out("o", FILE_OUT, "o")), FailureClass::kOutputMissing,
               "regular");
}

TEST_F(CommandTest, AChangedInputFailsTheAttemptAndLosesTheReplica) {
  const ObjectVersion big = Put(1, kBig), small = Put(2, "small");
  ExpectFinished(Run(Task().Sh("echo more >> \"$in_s\"").In("s", OBJECT, {small})));  // a copy
  ExpectFailed(Run(Task().Sh("echo more >> \"$in_b\"").In("b", OBJECT, {big})),
               FailureClass::kInputChanged, ".in/b");
  EXPECT_THAT(lost_, ElementsAre(big));
  EXPECT_FALSE(store_.Contains({big, {}}));
  EXPECT_TRUE(store_.Contains({small, {}}));
}

TEST_F(CommandTest, AnInputMayBeAnOutput) {
  const ObjectVersion big = Put(1, kBig);
  ExpectFinished(Run(Task().Sh("ln \"$in_b\" o").In("b", OBJECT, {big}).Out("o", FILE_OUT, "o")));
  EXPECT_EQ(Output(), kBig);
  store_.Drop({big, {}});
  EXPECT_EQ(Output(), kBig);
}

TEST_F(CommandTest, KillEndsTheWholeGroup) {
  Task task;
  task.Sh("sleep 1000 & sleep 1000 & echo running; wait");
  ASSERT_FALSE(Start(task));
  WaitForLog(kAttempt, "running");
  executor_->Kill(kAttempt);
  event::ExecDone done = Wait();
  EXPECT_EQ(done.end, AttemptEnd::kCancelled);
  executor_->Kill(kAttempt);  // harmless
}

TEST_F(CommandTest, WhatIgnoresSigtermIsKilledAfterTheGrace) {
  MakeExecutor(50'000'000);
  ASSERT_FALSE(Start(Task().Sh("trap '' TERM; echo running; while :; do sleep 1000; done")));
  WaitForLog(kAttempt, "running");
  executor_->Kill(kAttempt);
  EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
}

TEST_F(CommandTest, KillBeforeTheStart) {
  ASSERT_FALSE(Start(Task().Sh("sleep 1000")));
  executor_->Kill(kAttempt);
  EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
}

TEST_F(CommandTest, TimeLimit) {
  Task task;
  task.Sh("echo first >&2; sleep 1000").assignment.time_limit_ns = 50'000'000;
  ExpectFailed(Run(task), FailureClass::kTimeout, "time limit of 50 ms");
}

TEST_F(CommandTest, LeftoverProcessesEndWithTheAttempt) {
  ExpectFinished(Run(Task().Sh("sleep 1000 & echo $! > pid").Out("p", FILE_OUT, "pid")));
  const pid_t pid = std::stoi(Output());
  while (kill(pid, 0) == 0) {  // until init has reaped it, or for ever: the test's time limit
    const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") Z") != std::string::npos) break;
    std::this_thread::yield();
  }
}

TEST_F(CommandTest, LogsAreCappedAndEndWithTheEnd) {
  ExpectFailed(
      Run(Task().Sh(
          "echo begin >&2; head -c 3000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")),
      FailureClass::kExit, "xend\n");
  const AttemptLog::View log = executor_->logs().Find(kAttempt)->Read();
  EXPECT_TRUE(log.err_truncated);
  EXPECT_FALSE(log.out_truncated);
  EXPECT_EQ(log.err.substr(0, 6), "begin\n");
  EXPECT_EQ(log.err.substr(log.err.size() - 4), "end\n");
  EXPECT_THAT(log.err, HasSubstr("bytes left out here"));
  EXPECT_LT(log.err.size(), limits::kLogBytes + 100);
}

TEST_F(CommandTest, ManyAtOnceLeaveNothingOpen) {
  const size_t before = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  for (uint32_t i = 1; i <= 100; ++i) ASSERT_FALSE(Start(Task(i).Sh("echo $TASKD_JOB")));
  for (uint32_t i = 1; i <= 100; ++i) ExpectFinished(Wait());
  MakeExecutor(0);  // the old one has let everything go
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}),
            static_cast<ptrdiff_t>(before));
}

TEST_F(CommandTest, DestroyingTheExecutorKillsWhatRuns) {
  ASSERT_FALSE(Start(Task().Sh("trap '' TERM; echo running; sleep 1000")));
  WaitForLog(kAttempt, "running");
  executor_.reset();
  EXPECT_EQ(Wait().end, AttemptEnd::kCancelled);
}

// Two processes that hold 64 MiB each, with `limit_bytes` for both.
Task Greedy(uint64_t limit_bytes) {
  const std::string hold =
      "awk 'BEGIN { s = \"x\"; for (i = 0; i < 26; ++i) s = s s; print length(s); while (1); }'";
  Task task;
  task.Sh(hold + " & " + hold).Out("o", STDOUT);
  task.assignment.need.memory_bytes = limit_bytes;
  return task;
}

TEST_F(CommandTest, WhoTakesTooMuchMemoryIsKilled) {
  ExpectFailed(Run(Greedy(100 << 20)), FailureClass::kOutOfMemory, "it may use 100 MiB");
}

TEST_F(CommandTest, MemoryWithinTheLimitIsLeftAlone) {
  Task task;
  // Of 80 MiB that are mapped, as an input would be, none counts.
  const std::string big = files_.path() + "-mapped";
  std::ofstream(big) << std::string(80 << 20, 'x');
  task.Argv({"python3", "-c",
             "import mmap, time\n"
             "f = open('" +
                 big +
                 "')\n"
                 "m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
                 "print(sum(m[::4096]))\n"
                 "time.sleep(0.3)"});
  task.Out("o", STDOUT);
  task.assignment.need.memory_bytes = 64 << 20;
  ExpectFinished(Run(task));
  std::filesystem::remove(big);
}

TEST_F(CommandTest, AKillByTheKernelForMemoryIsNamed) {
  const std::string vmstat = files_.path() + "-vmstat";
  std::ofstream(vmstat) << "nr_free_pages 1\noom_kill 3\n";
  ExpectFailed(Run(Task().Sh("kill -9 $$")), FailureClass::kSignal, "signal 9");
  std::ofstream(vmstat) << "nr_free_pages 1\noom_kill 3\n";
  ExpectFailed(Run(Task(2).Sh("echo oom_kill 4 > '" + vmstat + "'; kill -9 $$")),
               FailureClass::kOutOfMemory, "the node ran out of memory");
  ExpectFailed(Run(Task(3).Sh("echo oom_kill 5 > '" + vmstat + "'; exit 137")),
               FailureClass::kOutOfMemory, "the node ran out of memory");
  ExpectFailed(Run(Task(4).Sh("exit 137")), FailureClass::kExit, "137");
  std::filesystem::remove(vmstat);
}

}  // namespace
}  // namespace taskd::worker
