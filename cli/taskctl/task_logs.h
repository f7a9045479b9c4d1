// What `taskctl task logs` does.
#ifndef TASKD_CLI_TASKCTL_TASK_LOGS_H_
#define TASKD_CLI_TASKCTL_TASK_LOGS_H_

#include <cstdint>
#include <string>

#include "cli/taskctl/context.h"

namespace taskd::cli {

struct LogOptions {
  std::string job;
  std::string task;
  uint32_t attempt = 0;  // 0: the newest that left a log
  bool only_stdout = false;
  bool only_stderr = false;
  bool follow = false;
};

void Logs(Context& context, const LogOptions& options);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_TASK_LOGS_H_
