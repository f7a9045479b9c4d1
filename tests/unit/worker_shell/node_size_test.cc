#include "worker/shell/node_size.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "tests/unit/worker_store/temp_dir.h"
#include "worker/exec/cpu_pins.h"

namespace taskd::worker {
namespace {

class NodeSizeTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SLURM_CPUS_ON_NODE");
    unsetenv("SLURM_MEM_PER_NODE");
    File("proc/meminfo", "MemTotal:       10240 kB\nMemFree:   1 kB\n");
  }
  void TearDown() override { SetUp(); }
  void File(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ / path).parent_path());
    WriteFile(root_ / path, text);
  }
  uint32_t Cpus() { return DetectNodeSize(root_.path()).cpus_milli; }
  uint64_t Memory() { return DetectNodeSize(root_.path()).memory_bytes; }

  TempDir root_;
};

constexpr uint64_t kMachine = 10240 * 1024 / 5 * 3;

TEST_F(NodeSizeTest, WithoutCgroupsItIsTheMachine) {
  EXPECT_EQ(Cpus(), std::max<size_t>(1, ReadCpus().size()) * 1000);
  EXPECT_EQ(Memory(), kMachine);
}

TEST_F(NodeSizeTest, Version2LimitsOfAnyFolderAboveHold) {
  File("proc/self/cgroup", "0::/a/b\n");
  File("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  File("sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(Memory(), kMachine);
  File("sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  File("sys/fs/cgroup/a/memory.max", "1000\n");
  EXPECT_EQ(Cpus(), 500u);
  EXPECT_EQ(Memory(), 600u);
}

TEST_F(NodeSizeTest, Version1) {
  File("proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/c\n");
  File("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
  File("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
  EXPECT_GE(Cpus(), 1000u);
  File("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "25000\n");
  File("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "2000\n");
  EXPECT_EQ(Cpus(), 250u);
  EXPECT_EQ(Memory(), 1200u);
}

TEST_F(NodeSizeTest, TheBatchSystemsWordCounts) {
  setenv("SLURM_MEM_PER_NODE", "5", 1);
  EXPECT_EQ(Memory(), (5u << 20) / 5 * 3);
  setenv("SLURM_CPUS_ON_NODE", "1", 1);
  EXPECT_EQ(Cpus(), 1000u);
}

}  // namespace
}  // namespace taskd::worker
