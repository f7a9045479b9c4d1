// What the verbs about tasks and objects share.
#ifndef TASKD_CLI_TASKCTL_TASKS_H_
#define TASKD_CLI_TASKCTL_TASKS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/client/connection.h"
#include "common/base/ids.h"

namespace taskd::cli {

// What `name` means in `job`: a task ("map[3]", "@17"), an object ("merge[2].c") or a part of one
// ("map[3].p[2]").
absl::StatusOr<v1::ResolvedName> ResolveName(client::Connection& connection, JobId job,
                                             std::string_view name);

// `name` as a task; naming an object is an error that says so.
absl::StatusOr<v1::TaskExplanation> ExplainTask(client::Connection& connection, JobId job,
                                                std::string_view name);

// "waiting".
std::string NameOf(v1::TaskState state);
// It has not ended.
bool IsPending(const v1::TaskInfo& task);

// The number of a try at a task, as people count: the low bits of an attempt id.
inline uint32_t TryNumber(AttemptId attempt) { return attempt & 0xFFFFFu; }

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_TASKS_H_
