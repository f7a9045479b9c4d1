#include "cli/taskctl/process.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/io/files.h"

namespace taskd::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "taskctl-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    for (const NamedProcess& process : started_) EndProcesses({process}, 0);
    std::filesystem::remove_all(folder_);
  }

  // Starts `script` and waits until it has written "ready" to its log.
  ProcessId StartScript(const std::string& name, const std::string& script) {
    std::string fifo = folder_ + "/" + name + ".fifo";
    EXPECT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    std::string ready = "echo ready > " + fifo + "\n";
    size_t at = script.find("READY;");
    auto id = StartDaemon({"/bin/sh", "-c", std::string(script).replace(at, 6, ready)},
                          folder_ + "/" + name + ".log");
    EXPECT_TRUE(id.ok()) << id.status();
    started_.push_back({name, *id});
    std::ifstream wait(fifo);
    std::string word;
    wait >> word;
    EXPECT_EQ(word, "ready");
    return *id;
  }

  std::string folder_;
  std::vector<NamedProcess> started_;
};

TEST_F(ProcessTest, APidThatIsUsedAgainIsAnotherProcess) {
  std::optional<ProcessId> self = Identify(getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(IsAlive(*self));
  ProcessId other = *self;
  other.start_ticks += 1;
  EXPECT_FALSE(IsAlive(other));
  EXPECT_EQ(OpenProcess(other), -1);
  other = *self;
  other.boot = "another boot";
  EXPECT_FALSE(IsAlive(other));
  EXPECT_EQ(Identify(0x3FFFFFFF), std::nullopt);
}

TEST_F(ProcessTest, PidFilesComeBackAsTheyWere) {
  std::string path = folder_ + "/x.pid";
  ProcessId self = *Identify(getpid());
  ASSERT_TRUE(WritePidFile(path, self).ok());
  EXPECT_EQ(*ReadPidFile(path), self);
  std::ofstream(path) << "junk";
  EXPECT_FALSE(ReadPidFile(path).ok());
  EXPECT_TRUE(absl::IsNotFound(ReadPidFile(folder_ + "/none.pid").status()));
}

TEST_F(ProcessTest, ADaemonHasASessionOfItsOwnAndALog) {
  ProcessId id = StartScript("d", "echo out; echo err >&2; READY; exec sleep 1000");
  EXPECT_EQ(getsid(id.pid), id.pid);
  EXPECT_EQ(*io::ReadFile(folder_ + "/d.log"), "out\nerr\n");
  EXPECT_THAT(EndProcesses({{"d", id}}, 10'000), IsEmpty());
  EXPECT_FALSE(IsAlive(id));
}

TEST_F(ProcessTest, WhatIgnoresSigtermIsKilledAndNamed) {
  ProcessId deaf = StartScript("deaf", "trap '' TERM; READY; while :; do sleep 1000 & wait; done");
  ProcessId fine = StartScript("fine", "READY; exec sleep 1000");
  EXPECT_THAT(EndProcesses({{"deaf", deaf}, {"fine", fine}}, 100), ElementsAre("deaf"));
  EXPECT_FALSE(IsAlive(deaf));
  EXPECT_FALSE(IsAlive(fine));
}

TEST_F(ProcessTest, EndingAForeignProcessIsRefused) {
  ProcessId id = StartScript("d", "READY; exec sleep 1000");
  ProcessId stale = id;
  stale.start_ticks -= 1;  // what an old pid file would say
  EXPECT_THAT(EndProcesses({{"d", stale}}, 10), IsEmpty());
  EXPECT_TRUE(IsAlive(id));
}

TEST_F(ProcessTest, AProgramThatDoesNotExistIsNamed) {
  auto id = StartDaemon({folder_ + "/no-such-program"}, folder_ + "/x.log");
  ASSERT_FALSE(id.ok());
  EXPECT_THAT(std::string(id.status().message()), testing::HasSubstr("no-such-program"));
}

}  // namespace
}  // namespace taskd::cli
