#include "worker/exec/cgroups.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/base/text.h"
#include "tests/unit/worker_exec/exec_fixture.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/exec/spawn.h"

namespace taskd::worker {
namespace {

namespace fs = std::filesystem;

// --- what the kernel says, from files in a folder ---

class CgroupFilesTest : public testing::Test {
 protected:
  void File(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ / path).parent_path());
    WriteFile(root_ / path, text);
  }
  // As this process would be in the cgroup `own`; `mount` is a line of mountinfo.
  std::string Own(const std::string& own, const std::string& mount) {
    File("proc/self/cgroup", own);
    File("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/root rw\n" + mount);
    const absl::StatusOr<std::string> path = OwnCgroup(root_.path());
    return path.ok() ? path->substr(root_.path().size()) : std::string(path.status().message());
  }
  std::string Refusal() {
    const auto cgroups = Cgroups::Open(root_.path());
    return cgroups.ok() ? "none" : std::string(cgroups.status().message());
  }

  TempDir root_;
};

constexpr char kMount[] = "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

TEST_F(CgroupFilesTest, OwnIsFoundWhereItIsMounted) {
  EXPECT_EQ(Own("0::/a/b\n", kMount), "/sys/fs/cgroup/a/b");
  EXPECT_EQ(Own("0::/\n", kMount), "/sys/fs/cgroup");
  EXPECT_EQ(Own("4:memory:/m\n0::/u\n", "30 22 0:26 / /mnt/c\\040g rw - cgroup2 none rw\n"),
            "/mnt/c g/u");
  // In a container that is shown its part of the tree.
  const std::string part = "30 22 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
  EXPECT_EQ(Own("0::/docker/abc/x\n", part), "/sys/fs/cgroup/x");
  EXPECT_EQ(Own("0::/docker/abc\n", part), "/sys/fs/cgroup");
  EXPECT_EQ(Own("0::/docker/abcdef\n", part), "no cgroup version 2 is mounted");
  EXPECT_EQ(Own("4:memory:/m\n", kMount), "no cgroup version 2 is mounted");
  EXPECT_EQ(Own("0::/a\n", "30 22 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n"),
            "no cgroup version 2 is mounted");
}

TEST_F(CgroupFilesTest, WithoutTheControllerOrTheRightToDivideNothingIsMade) {
  ASSERT_EQ(Own("0::/own\n", kMount), "/sys/fs/cgroup/own");
  const std::string own = "sys/fs/cgroup/own/";
  EXPECT_NE(Refusal().find("no memory controller"), std::string::npos) << Refusal();
  File(own + "cgroup.controllers", "cpu memory_other\n");
  EXPECT_NE(Refusal().find("no memory controller"), std::string::npos) << Refusal();
  File(own + "cgroup.controllers", "cpu memory pids\n");
  EXPECT_NE(Refusal().find("not delegated"), std::string::npos) << Refusal();  // no subtree_control
  File(own + "cgroup.subtree_control", "");
  // A folder that is none of the kernel's: it cannot be entered, and nothing is left in it.
  EXPECT_NE(Refusal().find("cgroup.procs"), std::string::npos) << Refusal();
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / own), {}), 2);
}

TEST_F(CgroupFilesTest, OnlyWhatDeadWorkersOfThisUserLeftIsRemoved) {
  const std::string mine = StrCat(root_.path(), "/taskd-", geteuid(), "-"),
                    others = StrCat(root_.path(), "/taskd-", geteuid() + 1, "-7");
  fs::create_directories(mine + "1/daemon");
  fs::create_directories(mine + "1/tasks/3");
  fs::create_directories(mine + "2/tasks");
  fs::create_directories(mine + "3");
  fs::create_directories(mine + "4/daemon/process");  // a folder cannot be removed then, either
  fs::create_directories(mine + "4/tasks/1");
  fs::create_directories(others + "/daemon");
  fs::create_directories(root_ / "user.slice");
  SweepDeadCgroups(root_.path());
  for (const char* gone : {"1", "2", "3"}) EXPECT_FALSE(fs::exists(mine + gone)) << gone;
  for (const std::string& stays :
       {mine + "4/daemon", mine + "4/tasks/1", others + "/daemon", root_ / "user.slice"}) {
    EXPECT_TRUE(fs::exists(stays)) << stays;
  }
}

TEST_F(CgroupFilesTest, WhoseLimitItWasIsTold) {
  const auto read = [&](const std::string& events) {
    File("memory.events", events);
    return ReadMemoryOf(root_.path());
  };
  MemoryEnd end = read("low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n");
  EXPECT_FALSE(end.killed);
  EXPECT_FALSE(end.own_limit);
  EXPECT_EQ(end.peak_bytes, 0u);
  File("memory.peak", "123456\n");
  end = read("low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 1\n");
  EXPECT_TRUE(end.killed);
  EXPECT_TRUE(end.own_limit);
  EXPECT_EQ(end.peak_bytes, 123456u);
  end = read("max 0\noom 0\noom_kill 2\n");
  EXPECT_TRUE(end.killed);
  EXPECT_FALSE(end.own_limit);
}

// --- processes in a cgroup; any of version 2 that may be made, whatever its controllers ---

class SpawnIntoCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<std::string> own = OwnCgroup("");
    if (own.ok()) path_ = StrCat(*own, "/taskd-test-", getpid());
    if (path_.empty() || mkdir(path_.c_str(), 0700) != 0) {
      path_.clear();
      GTEST_SKIP() << "skipped: no cgroup v2 that may have children";
    }
    fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~SpawnIntoCgroupTest() override {
    if (fd_ >= 0) close(fd_);
    if (!path_.empty()) {
      EXPECT_EQ(rmdir(path_.c_str()), 0);
    }
  }

  // The wait status. stdout goes to the file out_.
  int Run(const std::string& text) {
    SpawnRequest request;
    request.program = "/bin/sh";
    request.argv = {"sh", "-c", text};
    request.env = {"PATH=/bin:/usr/bin", "NAME=value"};
    request.folder = folder_.path();
    request.stdout_fd = open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    request.stderr_fd = request.stdout_fd;
    request.cgroup_fd = fd_;
    const Spawned spawned = Spawn(request);
    close(request.stdout_fd);
    EXPECT_EQ(spawned.error, 0);
    EXPECT_GE(fcntl(spawned.pidfd, F_GETFD), FD_CLOEXEC);
    close(spawned.pidfd);
    int status = 0;
    EXPECT_EQ(waitpid(spawned.pid, &status, 0), spawned.pid);
    return status;
  }

  TempDir folder_;
  const std::string out_ = folder_ / "out";
  std::string path_;
  int fd_ = -1;
};

TEST_F(SpawnIntoCgroupTest, ItIsThereFromItsFirstInstructionOn) {
  EXPECT_EQ(Run("cat /proc/self/cgroup"), 0);
  EXPECT_NE(ReadFile(out_).find(fs::path(path_).filename().string() + "\n"), std::string::npos)
      << ReadFile(out_);
}

TEST_F(SpawnIntoCgroupTest, SignalsAreAsWithoutOne) {
  signal(SIGUSR1, SIG_IGN);
  signal(SIGUSR2, [](int) {});
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGTERM);
  sigprocmask(SIG_BLOCK, &one, nullptr);
  EXPECT_EQ(Run("exec grep -E 'Sig(Blk|Ign)' /proc/self/status"), 0);
  sigset_t now;
  sigprocmask(SIG_UNBLOCK, &one, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 1);  // this thread's are what they were
  EXPECT_EQ(sigismember(&now, SIGINT), 0);
  EXPECT_EQ(signal(SIGUSR1, SIG_DFL), SIG_IGN);
  EXPECT_NE(signal(SIGUSR2, SIG_DFL), SIG_DFL);
  const std::string none = "\t0000000000000000\n";
  EXPECT_EQ(ReadFile(out_), "SigBlk:" + none + "SigIgn:" + none);
}

TEST_F(SpawnIntoCgroupTest, AllElseIsAsWithoutOne) {
  // stdin is empty; the shell leads its group.
  EXPECT_EQ(
      Run("pwd; echo $NAME; ls /proc/$$/fd; cat; cut -d ' ' -f 5 /proc/$$/stat | grep -qx $$ && "
          "echo leads"),
      0);
  EXPECT_EQ(ReadFile(out_), fs::canonical(folder_.path()).string() + "\nvalue\n0\n1\n2\nleads\n");
}

TEST_F(SpawnIntoCgroupTest, WhatCannotStartLeavesNothing) {
  SpawnRequest request;
  request.program = folder_ / "none";
  request.argv = {"none"};
  request.folder = folder_.path();
  request.stdout_fd = STDOUT_FILENO;
  request.stderr_fd = STDERR_FILENO;
  request.cgroup_fd = fd_;
  EXPECT_EQ(Spawn(request).error, ENOENT);
  request.program = "/bin/true";
  request.folder = folder_ / "none";
  EXPECT_EQ(Spawn(request).error, ENOENT);
  request.folder = folder_.path();
  request.cgroup_fd = STDOUT_FILENO;  // no cgroup
  const Spawned spawned = Spawn(request);
  EXPECT_EQ(spawned.error, EBADF);
  EXPECT_EQ(spawned.pidfd, -1);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // all are reaped
}

// --- commands, where the memory controller is delegated ---

class CgroupCommandTest : public ExecFixture {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Cgroups>> opened = Cgroups::Open();
    if (!opened.ok())
      GTEST_SKIP() << "skipped: no delegated cgroup v2: " << opened.status().message();
    cgroups_ = *std::move(opened);
    path_ = cgroups_->path();
    MakeExecutor(2'000'000'000);
  }
  void TearDown() override {
    executor_.reset();
    cgroups_.reset();
    EXPECT_FALSE(fs::exists(path_)) << path_;
  }
  size_t Cgroups_() const {
    return static_cast<size_t>(std::count_if(fs::directory_iterator(path_ + "/tasks"), {},
                                             [](const auto& e) { return e.is_directory(); }));
  }
  static Task Limited(Task task, uint64_t bytes) {
    task.assignment.need.memory_bytes = bytes;
    return task;
  }

  std::string path_;
};

// Takes 64 MiB and more; or 1 MiB and some.
constexpr char kTakeMuch[] =
    "awk 'BEGIN { s = \"x\"; for (i = 0; i < 26; ++i) s = s s; print length(s) }'";
constexpr char kTakeLittle[] =
    "awk 'BEGIN { s = \"x\"; for (i = 0; i < 20; ++i) s = s s; print length(s) }'";

TEST_F(CgroupCommandTest, ACommandWithALimitRunsInACgroupOfItsOwn) {
  const event::ExecDone done =
      Run(Limited(Task().Sh("cat /proc/self/cgroup").Out("o", v1::OutputSlot::STDOUT), 64 << 20));
  ASSERT_EQ(done.end, AttemptEnd::kFinished) << done.message;
  EXPECT_NE(Output().find(fs::path(path_).filename().string() + "/tasks/"), std::string::npos)
      << Output();
  EXPECT_EQ(Cgroups_(), 0u);
}

TEST_F(CgroupCommandTest, WhoWantsTooMuchIsKilledAndNamed) {
  const event::ExecDone done = Run(Limited(Task().Sh(kTakeMuch), 40 << 20));
  EXPECT_EQ(done.failure, FailureClass::kOutOfMemory) << done.message;
  EXPECT_NE(done.message.find("it may use 40.0 MiB"), std::string::npos) << done.message;
  EXPECT_EQ(Cgroups_(), 0u);
  EXPECT_EQ(Run(Limited(Task(2).Sh(kTakeLittle), 40 << 20)).end, AttemptEnd::kFinished);
}

TEST_F(CgroupCommandTest, OfACommandThatWantsTooMuchNothingGoesOn) {
  // Also what would have ended well, and what has left the process group.
  const std::string file = files_.path() + "-alive";
  const event::ExecDone done =
      Run(Limited(Task().Sh(StrCat("setsid sh -c 'sleep 1000; echo > ", file, "' & ", kTakeMuch,
                                   "; sleep 1000")),
                  40 << 20));
  EXPECT_EQ(done.failure, FailureClass::kOutOfMemory) << done.message;
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(CgroupCommandTest, WhoLeftTheGroupEndsWithTheAttempt) {
  // It holds the pipe until it ends.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const std::string held = StrCat("/proc/", getpid(), "/fd/", ends[1]);
  const event::ExecDone done =
      Run(Limited(Task().Sh(StrCat("(setsid sleep 1000 >", held, " 2>&1 &) ; exit 0")), 64 << 20));
  EXPECT_EQ(done.end, AttemptEnd::kFinished) << done.message;
  close(ends[1]);
  char none;
  EXPECT_EQ(read(ends[0], &none, 1), 0);
  close(ends[0]);
}

TEST_F(CgroupCommandTest, AKillElsewhereIsNotTakenForOneOfTheKernels) {
  const event::ExecDone done = Run(Limited(Task().Sh("kill -9 $$"), 64 << 20));
  EXPECT_EQ(done.failure, FailureClass::kSignal) << done.message;
}

TEST_F(CgroupCommandTest, WithoutALimitThereIsNoCgroup) {
  EXPECT_EQ(Run(Task().Sh("cat /proc/self/cgroup").Out("o", v1::OutputSlot::STDOUT)).end,
            AttemptEnd::kFinished);
  EXPECT_EQ(Output().find("/tasks/"), std::string::npos) << Output();
}

TEST_F(CgroupCommandTest, ASecondWorkerLeavesTheFirstAlone) {
  const pid_t pid = fork();
  if (pid == 0) {
    // Ours cannot be moved back as long as this one is here: only the root of all may hold both.
    absl::StatusOr<std::unique_ptr<Cgroups>> second = Cgroups::Open();
    _exit(fs::exists(path_ + "/tasks") && (!second.ok() || (*second)->path() != path_) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Run(Limited(Task().Sh("true"), 64 << 20)).end, AttemptEnd::kFinished);
}

TEST_F(CgroupCommandTest, AByteKillsAllAttempts) {
  ASSERT_FALSE(Start(Limited(Task().Sh("echo running; setsid sleep 1000"), 64 << 20)));
  WaitForLog({{1, 1}, 1}, "running");
  ASSERT_EQ(write(cgroups_->kill_fd(), "1", 1), 1);
  EXPECT_EQ(Wait().failure, FailureClass::kSignal);
}

}  // namespace
}  // namespace taskd::worker
