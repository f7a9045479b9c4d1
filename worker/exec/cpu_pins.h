// Which cpus of this node attempts are pinned to: an attempt that asks for whole cpus gets so many that no other pinned
// one has, in few NUMA nodes and on cores of its own where there are such.
//
// Cores stay the scheduler's and the core's to count; numbers of cpus are known here only. The sum of what runs is
// never more than the worker's size, so that there is always enough for whoever may start.
#ifndef TASKD_WORKER_EXEC_CPU_PINS_H_
#define TASKD_WORKER_EXEC_CPU_PINS_H_

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace taskd::worker {

using CpuList = std::vector<uint32_t>;  // numbers as the kernel has them, ascending

struct Cpu {
  uint32_t number = 0;
  uint32_t core = 0;  // of whose hyperthreads it is one
  uint32_t node = 0;  // NUMA
};

// What this process may run on, and what /sys tells of it. `root` stands before /sys, for tests.
std::vector<Cpu> ReadCpus(const std::string& root = "");

// Thread safe.
class CpuPins {
 public:
  // None: nobody is pinned.
  explicit CpuPins(std::vector<Cpu> cpus);

  bool on() const { return !all_.empty(); }
  const CpuList& all() const { return all_; }

  // Taken until GiveBack. Empty: the attempt is not pinned, because it asks for a part of a cpu or for more than are
  // free.
  CpuList Take(uint32_t cpus_milli);
  void GiveBack(const CpuList& cpus);

 private:
  struct State {
    Cpu cpu;
    bool taken = false;
  };
  CpuList all_;
  std::mutex mutex_;
  std::vector<State> cpus_;  // guarded by mutex_; by node, core and number
  size_t free_ = 0;          // likewise
};

// What this thread starts runs on these cpus, as does this thread, as long as this lives. An empty list, or one that the
// kernel refuses (they were taken from this process meanwhile), changes nothing.
class ThreadOnCpus {
 public:
  explicit ThreadOnCpus(const CpuList& cpus);
  ~ThreadOnCpus();
  ThreadOnCpus(const ThreadOnCpus&) = delete;
  ThreadOnCpus& operator=(const ThreadOnCpus&) = delete;

 private:
  CpuList before_;  // empty: nothing was changed
};

// All threads that the process has now.
void PinProcess(pid_t pid, const CpuList& cpus);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_CPU_PINS_H_
