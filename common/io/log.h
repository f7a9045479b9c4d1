// Log lines to stderr: time, level, program, text. Thread-safe; usable before InitLog (level
// "info").
#ifndef TASKD_COMMON_IO_LOG_H_
#define TASKD_COMMON_IO_LOG_H_

#include <string_view>

#include "absl/status/status.h"

namespace taskd::io {

// `level`: debug, info, warning, error or off. Also quiets gRPC's own log unless GRPC_VERBOSITY is
// set, and makes a failed TASKD_CHECK flush the log.
absl::Status InitLog(std::string_view program, std::string_view level);

void LogDebug(std::string_view text);
void LogInfo(std::string_view text);
void LogWarning(std::string_view text);
void LogError(std::string_view text);

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_LOG_H_
