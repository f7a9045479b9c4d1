// Processes that outlive us: how to start one that does, and how to know years later that a pid is
// still the same one.
#ifndef TASKD_CLI_TASKCTL_PROCESS_H_
#define TASKD_CLI_TASKCTL_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::cli {

// A pid is used again after its process has ended: the start time (clock ticks since boot) and the
// boot tell which.
struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;
  std::string boot;
  bool operator==(const ProcessId&) const = default;
};

// None when there is no such process, or only its remains (a zombie).
std::optional<ProcessId> Identify(pid_t pid);
inline bool IsAlive(const ProcessId& process) { return Identify(process.pid) == process; }

absl::Status WritePidFile(const std::string& path, const ProcessId& process);
absl::StatusOr<ProcessId> ReadPidFile(const std::string& path);

// A descriptor that polls readable when the process has ended. -1: it has ended already. The caller
// closes it.
int OpenProcess(const ProcessId& process);

// Starts argv[0] (a path) in a session of its own, with no terminal, stdout and stderr appended to
// `log_path`.
absl::StatusOr<ProcessId> StartDaemon(const std::vector<std::string>& argv,
                                      const std::string& log_path);

struct NamedProcess {
  std::string name;
  ProcessId id;
};
// SIGTERM to all of them at once, SIGKILL to those that are there after `grace_ms`; returns when
// all have ended, with the names of those that had to be killed.
std::vector<std::string> EndProcesses(const std::vector<NamedProcess>& processes,
                                      uint32_t grace_ms);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_PROCESS_H_
