// The flags of taskd-worker.
#ifndef TASKD_WORKER_SHELL_OPTIONS_H_
#define TASKD_WORKER_SHELL_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/session.h"
#include "worker/exec/node_pools.h"
#include "worker/exec/runner_programs.h"

namespace taskd::worker {

struct WorkerOptions {
  std::string dir;  // with the access file
  std::string scheduler;
  std::string name;
  Resources capacity;
  uint64_t store_budget_bytes = 0;  // of memory; 0: no limit
  uint64_t disk_bytes = 0;          // for results; 0: no limit
  uint64_t log_disk_bytes = limits::kLogsDiskBytes;
  std::string memory_dir;  // of a tmpfs, for results in memory; empty: they are files on disk
  std::vector<std::string> pools;  // "gpus=2", "worker.fpga=1"
  NodePools node_pools;            // the same, no flag
  std::vector<std::string> attributes;
  uint64_t ends_after_ns = 0;  // 0: no end
  std::string work_dir;
  std::string listen = "127.0.0.1:0";
  std::string advertise;
  std::string metrics_listen = "127.0.0.1:0";
  std::string log_level = "info";
  std::string ready_file;
  std::string host;          // no flag
  std::string sweep_prefix;  // of work folders of workers of this user, if ours is one; no flag
  bool zero = false;         // tasks are acknowledged, not run
  bool core_dumps = false;
  bool pin = false;
  bool no_file_passing = false;
  bool no_compression = false;  // of what is sent
  bool compress_spill = false;
  RunnerPrograms runners;
  uint64_t grace_ns = 5'000'000'000;
};

// Fills in what was not given from this machine. A value: the process ends with it (--help, or an
// error on stderr).
std::optional<int> ParseOptions(int argc, const char* const* argv, WorkerOptions& options);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_OPTIONS_H_
