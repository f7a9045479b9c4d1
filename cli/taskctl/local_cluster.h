// A cluster on this machine: one scheduler and some workers that taskctl started. All of it lives
// in one folder:
//
//   DIR/access.yaml              written by the scheduler: addresses and keys
//   DIR/local/scheduler.pid .log .ready, worker-1.pid .log .ready, worker-1/ (its work folder) ...
//   DIR/local/made-dir           we made DIR itself, and remove it at the end
//
// Making DIR/local claims DIR (mkdir is atomic, on network file systems too); removing it frees it.
#ifndef TASKD_CLI_TASKCTL_LOCAL_CLUSTER_H_
#define TASKD_CLI_TASKCTL_LOCAL_CLUSTER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/taskctl/process.h"

namespace taskd::cli {

struct LocalClusterSpec {
  std::string dir;
  uint32_t workers = 1;
  uint32_t cpus_milli = 0;  // of each worker; 0: this machine's, shared out
  uint64_t memory_bytes =
      0;  // of each worker; 0: the worker's own choice if alone, else shared out
  std::optional<uint64_t>
      store_bytes;  // for results, of each worker; none: the worker's own choice
  std::optional<uint64_t> log_disk_bytes;  // for old logs, likewise
  bool pin = false;                        // tasks of whole cpus have them for themselves
  bool zero_workers = false;               // they acknowledge tasks and run nothing
  uint64_t timeout_ns = 0;                 // for all to be up
  std::string program_path;  // where taskd-scheduler and taskd-worker are looked for: folders with
                             // ':' between
};

// The folder of the running program, then $PATH.
std::string DefaultProgramPath();

// Starts it and returns when every worker is up. On any failure (a signal too: kAborted) what was
// started is ended, its files are removed, and the error ends with the last lines of the log of
// what failed.
absl::Status StartLocalCluster(const LocalClusterSpec& spec);

// What the pid files in DIR/local name, alive or not. Empty: there is no local cluster.
struct LocalProcess {
  std::string name;
  ProcessId id;
  bool alive = false;
};
std::vector<LocalProcess> LocalProcesses(const std::string& dir);

// Ends the processes of DIR's local cluster and removes its files; also what is left of one that
// was killed.
struct StopResult {
  bool found = false;               // there was something to stop or to remove
  std::vector<std::string> killed;  // did not end by themselves in time
};
absl::StatusOr<StopResult> StopLocalCluster(const std::string& dir, uint32_t grace_ms);

// The last `lines` lines of a log file, indented; "" when there are none.
std::string LogTail(const std::string& path, uint32_t lines);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_LOCAL_CLUSTER_H_
