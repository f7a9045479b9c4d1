// Starting and stopping with daemons that misbehave: small scripts that stand in for
// taskd-scheduler and taskd-worker. A start with the real daemons is in tests/integration.
#include "cli/taskctl/local_cluster.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace taskd::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Waits for the --ready-file option's value in "$@".
constexpr char kReady[] =
    R"(while [ "$1" != --ready-file ]; do shift; done; echo {} > "$2.tmp"; mv "$2.tmp" "$2"; )";

class LocalClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "taskctl-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    fs::create_directory(root_ + "/bin");
    spec_.dir = root_ + "/state";
    spec_.timeout_ns = 20'000'000'000;
    spec_.program_path = root_ + "/none::" + root_ + "/bin";
  }
  void TearDown() override {
    StopLocalCluster(spec_.dir, 0).IgnoreError();
    fs::remove_all(root_);
  }

  void Program(const std::string& name, const std::string& script) {
    std::string path = root_ + "/bin/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(path, fs::perms::owner_all);
  }

  absl::Status Start() { return StartLocalCluster(spec_); }
  void ExpectNothingLeft() { EXPECT_FALSE(fs::exists(spec_.dir)); }

  std::string root_;
  LocalClusterSpec spec_;
};

TEST_F(LocalClusterTest, ASchedulerThatDiesShowsItsLog) {
  Program("taskd-scheduler", "echo cannot listen: the port is taken >&2; exit 1");
  Program("taskd-worker", "exec sleep 1000");
  absl::Status status = Start();
  EXPECT_THAT(std::string(status.message()), HasSubstr("scheduler ended while it started"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("  | cannot listen: the port is taken"));
  ExpectNothingLeft();
}

TEST_F(LocalClusterTest, AWorkerThatDiesEndsTheScheduler) {
  Program("taskd-scheduler",
          std::string("echo $$ > ") + root_ + "/pid; " + kReady + "exec sleep 1000");
  Program("taskd-worker", "echo no disk; exit 3");
  absl::Status status = Start();
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker-1 ended while it started"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("  | no disk"));
  ExpectNothingLeft();
  pid_t pid = 0;
  std::ifstream(root_ + "/pid") >> pid;
  ASSERT_GT(pid, 0);
  EXPECT_EQ(Identify(pid), std::nullopt);
}

TEST_F(LocalClusterTest, WorkersGetWhatWasSaidOfThem) {
  Program("taskd-scheduler", std::string(kReady) + "exec sleep 1000");
  Program("taskd-worker", "echo \"$@\"; exit 3");
  std::string message(Start().message());
  EXPECT_THAT(message, Not(HasSubstr("--pin")));
  EXPECT_THAT(message, Not(HasSubstr("--log-disk")));
  spec_.pin = true;
  spec_.log_disk_bytes = 0;
  message = std::string(Start().message());
  EXPECT_THAT(message, HasSubstr("--log-disk 0 --pin"));
}

TEST_F(LocalClusterTest, ASilentSchedulerIsGivenUp) {
  Program("taskd-scheduler", "echo thinking; exec sleep 1000");
  Program("taskd-worker", "exec sleep 1000");
  spec_.timeout_ns = 200'000'000;
  absl::Status status = Start();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("scheduler was not ready within 200 ms"));
  ExpectNothingLeft();
}

TEST_F(LocalClusterTest, MissingProgramsAreNamed) {
  Program("taskd-scheduler", "exit 1");
  absl::Status status = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot find the program taskd-worker in"));
  ExpectNothingLeft();
}

TEST_F(LocalClusterTest, AFolderOfAnotherClusterIsLeftAlone) {
  fs::create_directory(spec_.dir);
  std::ofstream(spec_.dir + "/access.yaml") << "precious";
  absl::Status status = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("was not started here"));
  EXPECT_TRUE(fs::exists(spec_.dir + "/access.yaml"));
  EXPECT_FALSE(fs::exists(spec_.dir + "/local"));
}

// A running cluster, as its files show it.
TEST_F(LocalClusterTest, ARunningClusterIsNotStartedTwiceAndStopsWithoutATrace) {
  fs::create_directories(spec_.dir + "/local");
  std::ofstream(spec_.dir + "/local/made-dir");
  std::ofstream(spec_.dir + "/access.yaml");
  auto scheduler = StartDaemon({"/bin/sleep", "1000"}, spec_.dir + "/local/scheduler.log");
  auto worker = StartDaemon({"/bin/sleep", "1000"}, spec_.dir + "/local/worker-1.log");
  ASSERT_TRUE(scheduler.ok() && worker.ok());
  ASSERT_TRUE(WritePidFile(spec_.dir + "/local/scheduler.pid", *scheduler).ok());
  ASSERT_TRUE(WritePidFile(spec_.dir + "/local/worker-1.pid", *worker).ok());
  absl::Status status = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("a cluster runs in"));
  EXPECT_TRUE(IsAlive(*scheduler));

  auto stopped = StopLocalCluster(spec_.dir, 10'000);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_TRUE(stopped->found);
  EXPECT_THAT(stopped->killed, IsEmpty());
  EXPECT_FALSE(IsAlive(*scheduler));
  EXPECT_FALSE(IsAlive(*worker));
  ExpectNothingLeft();
  EXPECT_FALSE(StopLocalCluster(spec_.dir, 0)->found);
}

TEST_F(LocalClusterTest, RemainsOfAKilledClusterDoNotStandInTheWay) {
  fs::create_directories(spec_.dir + "/local/worker-1/deep");
  std::ofstream(spec_.dir + "/local/made-dir");
  std::ofstream(spec_.dir + "/access.yaml") << "stale";
  ASSERT_TRUE(WritePidFile(spec_.dir + "/local/scheduler.pid", {getpid(), 1, "an old boot"}).ok());
  Program("taskd-scheduler", "echo reached; exit 1");
  Program("taskd-worker", "exit 1");
  absl::Status status = Start();
  EXPECT_THAT(std::string(status.message()), HasSubstr("| reached"));
  ExpectNothingLeft();
}

TEST_F(LocalClusterTest, FilesOfTheUserStay) {
  fs::create_directories(spec_.dir + "/local");
  std::ofstream(spec_.dir + "/local/made-dir");
  std::ofstream(spec_.dir + "/notes.txt") << "mine";
  ASSERT_TRUE(StopLocalCluster(spec_.dir, 0)->found);
  EXPECT_TRUE(fs::exists(spec_.dir + "/notes.txt"));
  EXPECT_FALSE(fs::exists(spec_.dir + "/local"));
}

TEST_F(LocalClusterTest, LogTailShowsTheLastLines) {
  std::string path = root_ + "/log";
  EXPECT_EQ(LogTail(path, 3), "");
  std::ofstream(path) << "1\n2\n3\n4\n";
  EXPECT_EQ(LogTail(path, 3), "  | 2\n  | 3\n  | 4");
  EXPECT_EQ(LogTail(path, 9), "  | 1\n  | 2\n  | 3\n  | 4");
  std::ofstream(path) << "1\n2";
  EXPECT_EQ(LogTail(path, 1), "  | 2");
}

}  // namespace
}  // namespace taskd::cli
