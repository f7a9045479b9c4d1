// What taskctl's exit code says. The one table; README.md repeats it for people.
#ifndef TASKD_CLI_TASKCTL_EXIT_CODES_H_
#define TASKD_CLI_TASKCTL_EXIT_CODES_H_

#include "absl/status/status.h"

namespace taskd::cli {

inline constexpr int kExitOk = 0;
// Some task of a selected job failed; the verb itself worked.
inline constexpr int kExitTaskFailed = 1;
inline constexpr int kExitUsage = 2;        // wrong arguments, a bad graph file
inline constexpr int kExitNotFound = 3;     // no such job, task, object, worker
inline constexpr int kExitUnreachable = 4;  // no cluster, cannot reach it, or not allowed
inline constexpr int kExitTimeout = 5;
inline constexpr int kExitCancelled = 6;      // the job was cancelled
inline constexpr int kExitInterrupted = 130;  // Ctrl-C

// The exit code for a request that ended with `status`.
int ExitCodeFor(const absl::Status& status);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_EXIT_CODES_H_
