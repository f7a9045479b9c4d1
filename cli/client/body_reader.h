// What a task runs, reads and writes: sh, argv, native, python, builtin, in, out, stdout.
#ifndef TASKD_CLI_CLIENT_BODY_READER_H_
#define TASKD_CLI_CLIENT_BODY_READER_H_

#include "absl/status/status.h"
#include "cli/client/graph_model.h"

namespace taskd::client {

// MAX_ARG_STRLEN of Linux: one argument or variable of a process is shorter.
inline constexpr size_t kArgumentBytes = 131'072;

// Fills in the body, inputs and outputs of `definition` from its node. argv waits for CompileArgv:
// its words may name axes.
absl::Status ReadBody(const FileContext& context, const YamlNode& task, Definition& definition);

// argv as words of pieces, and the check that all names of the task's environment differ. After
// ResolveAxes.
absl::Status FinishBody(const FileContext& context, Definition& definition);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_BODY_READER_H_
