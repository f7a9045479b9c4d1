#include "worker/exec/cpu_pins.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "common/base/text.h"
#include "tests/unit/worker_exec/exec_fixture.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two nodes of two cores of two threads, numbered as Linux does it: second threads come last.
std::vector<Cpu> TwoNodes() {
  return {{0, 0, 0}, {1, 1, 0}, {2, 2, 1}, {3, 3, 1}, {4, 0, 0}, {5, 1, 0}, {6, 2, 1}, {7, 3, 1}};
}

TEST(CpuPinsTest, SmallOnesGetCoresOfTheirOwnAsLongAsThereAreSome) {
  CpuPins pins(TwoNodes());
  EXPECT_THAT(pins.Take(1000), ElementsAre(0));
  EXPECT_THAT(pins.Take(1000), ElementsAre(2));  // the other node
  EXPECT_THAT(pins.Take(1000), ElementsAre(1));
  EXPECT_THAT(pins.Take(1000), ElementsAre(3));
  EXPECT_THAT(pins.Take(1000), ElementsAre(4));  // now they share
  pins.GiveBack({1});
  EXPECT_THAT(pins.Take(1000), ElementsAre(1));  // a core that is free again
}

TEST(CpuPinsTest, LargeOnesGetWholeCoresOfOneNode) {
  CpuPins pins(TwoNodes());
  EXPECT_THAT(pins.Take(2000), ElementsAre(0, 4));
  EXPECT_THAT(pins.Take(3000), ElementsAre(2, 3, 6));
  pins.GiveBack({0, 4});
  EXPECT_THAT(pins.Take(4000), ElementsAre(0, 1, 4, 5));
}

TEST(CpuPinsTest, WhatNoNodeHasAloneIsTakenFromSeveral) {
  CpuPins pins(TwoNodes());
  EXPECT_THAT(pins.Take(1000), ElementsAre(0));
  EXPECT_THAT(pins.Take(6000), ElementsAre(1, 2, 3, 5, 6, 7));
  EXPECT_THAT(pins.Take(2000), IsEmpty());  // one is left
  EXPECT_THAT(pins.Take(1000), ElementsAre(4));
}

TEST(CpuPinsTest, PartsAreNotPinned) {
  CpuPins pins(TwoNodes());
  for (uint32_t milli : {0u, 500u, 1500u}) EXPECT_THAT(pins.Take(milli), IsEmpty());
  EXPECT_THAT(pins.Take(8000), testing::SizeIs(8));
  CpuPins off({});
  EXPECT_FALSE(off.on());
  EXPECT_THAT(off.Take(1000), IsEmpty());
}

TEST(CpuPinsTest, SysTellsCoresAndNodes) {
  TempDir root;
  const std::vector<Cpu> real = ReadCpus();
  ASSERT_FALSE(real.empty());
  const std::string folder =
      root / StrCat("sys/devices/system/cpu/cpu", real[0].number, "/topology");
  std::filesystem::create_directories(folder);
  std::filesystem::create_directories(folder + "/../node3");
  WriteFile(folder + "/thread_siblings_list", "17,81\n");
  const std::vector<Cpu> cpus = ReadCpus(root.path());
  EXPECT_EQ(cpus[0].number, real[0].number);
  EXPECT_EQ(cpus[0].core, 17u);
  EXPECT_EQ(cpus[0].node, 3u);
  for (size_t i = 1; i < cpus.size(); ++i) {  // nothing is told of the others
    EXPECT_EQ(cpus[i].core, cpus[i].number);
    EXPECT_EQ(cpus[i].node, 0u);
  }
}

class PinnedTest : public ExecFixture {
 protected:
  static std::string ListOf(const std::vector<Cpu>& cpus) {
    std::string list;
    for (const Cpu& cpu : cpus) list += StrCat(list.empty() ? "" : " ", cpu.number);
    return list;
  }
  // What sched_getaffinity tells in the task itself.
  static Task Tell(uint32_t ordinal, uint32_t cpus_milli) {
    Task task(ordinal);
    task.Sh("exec python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))'")
        .Out("o", v1::OutputSlot::STDOUT);
    task.assignment.need.cpus_milli = cpus_milli;
    return task;
  }
};

TEST_F(PinnedTest, CommandsRunWhereTheyArePinned) {
  const std::vector<Cpu> cpus = ReadCpus();
  pinned_ = {cpus.back()};
  MakeExecutor(0);
  for (int again = 0; again < 2; ++again) {  // given back
    EXPECT_EQ(Run(Tell(1, 1000)).message, "");
    EXPECT_EQ(Output(), StrCat(cpus.back().number, "\n"));
  }
  EXPECT_EQ(Run(Tell(1, 500)).message, "");
  EXPECT_EQ(Output(), ListOf(cpus) + "\n");
  pinned_ = {};
  MakeExecutor(0);
  EXPECT_EQ(Run(Tell(1, 1000)).message, "");
  EXPECT_EQ(Output(), ListOf(cpus) + "\n");
}

TEST(PinProcessTest, AllThreadsMove) {
  const std::vector<Cpu> cpus = ReadCpus();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    char byte;
    if (read(ends[0], &byte, 1) != 1) _exit(1);
    const std::vector<Cpu> mine = ReadCpus();
    _exit(mine.size() == 1 && mine[0].number == cpus.back().number ? 0 : 2);
  }
  PinProcess(pid, {cpus.back().number});
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace taskd::worker
